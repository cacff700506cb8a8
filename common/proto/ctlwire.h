/*
 * The protocol of the control socket, between a command and hauberk-control.
 * Floor 1.  A connection carries one request.
 *
 *	request:  length of the rest (4 bytes, little-endian), 1 if the answer
 *	          is wanted as JSON (1 byte), number of words (1 byte),
 *	          each word as length (2 bytes) and bytes
 *	answer:   pieces, each length (4 bytes), kind (1 byte), bytes; the last
 *	          is of kind EXIT and holds the exit code (1 byte)
 */
#ifndef HB_PROTO_CTLWIRE_H
#define HB_PROTO_CTLWIRE_H

#include "common/base/buf.h"
#include "common/base/limits.h"

enum { HB_CTL_WORDS = 16, HB_CTL_PIECE = 65536 };

struct hb_ctl_question {
	bool json;
	size_t nwords;
	struct hb_span words[HB_CTL_WORDS];
};

/* Appends the request.  0 or HB_E_LIMIT (more than HB_MAX_CONTROL_LINE). */
int hb_ctl_question_put(const struct hb_ctl_question *q,
    struct hb_buf *out) HB_MUSTCHECK;
/*
 * Parses a request at the front of IN: bytes used, 0 if IN holds only a part,
 * HB_E_LIMIT, HB_E_SYNTAX.  Words point into IN.
 */
int hb_ctl_question_parse(struct hb_span in,
    struct hb_ctl_question *out) HB_MUSTCHECK;

enum hb_ctl_kind { HB_CTL_OUT, HB_CTL_ERR, HB_CTL_EXIT, HB_CTL_KINDS };

struct hb_ctl_piece {
	enum hb_ctl_kind kind;
	struct hb_span bytes;
	unsigned exit_code; /* EXIT */
};

/* Appends S in pieces of at most HB_CTL_PIECE bytes; OUT is unbounded. */
void hb_ctl_piece_put(enum hb_ctl_kind kind, struct hb_span s,
    struct hb_buf *out);
void hb_ctl_exit_put(unsigned exit_code, struct hb_buf *out);
/* Returns as hb_ctl_question_parse does. */
int hb_ctl_piece_parse(struct hb_span in,
    struct hb_ctl_piece *out) HB_MUSTCHECK;

#endif
