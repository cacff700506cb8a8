/*
 * The file of waiting mail that `hauberkctl export` writes and `import` reads.
 * Floor 1, pure.  It may come from anywhere: everything in it is checked.
 *
 *	0   9  "HBQUEUE1\n"
 *	9      records, each
 *		0  1  type
 *		1  4  bytes of the payload, HB_QF_PAYLOAD at most (little-endian)
 *		5  4  CRC-32C of the check of the record before (0 for the
 *		      first), type, length and payload
 *		9     payload
 *
 * Records come in this order: HEAD; for each message MSG, any number of RCPT,
 * any number of BODY, END; TAIL.  DROP in place of a message's record: the
 * message could not be read to its end and is void.  The checks form a chain,
 * so that no record can be lost or moved; a file without TAIL is truncated.
 */
#ifndef HB_PROTO_QUEUEFILE_H
#define HB_PROTO_QUEUEFILE_H

#include "common/proto/envelope.h"

enum { HB_QF_PAYLOAD = 32768, HB_QF_RECORD = 9 };

/* Symbol, type, what may follow it. */
#define HB_QF_TYPES(X)                                                         \
	X(START, 0, HB_QF_IS(HEAD))                                            \
	X(HEAD, 'H', HB_QF_IS(MSG) | HB_QF_IS(TAIL))                           \
	X(MSG, 'M',                                                            \
	    HB_QF_IS(RCPT) | HB_QF_IS(BODY) | HB_QF_IS(END) | HB_QF_IS(DROP))  \
	X(RCPT, 'R',                                                           \
	    HB_QF_IS(RCPT) | HB_QF_IS(BODY) | HB_QF_IS(END) | HB_QF_IS(DROP))  \
	X(BODY, 'B', HB_QF_IS(BODY) | HB_QF_IS(END) | HB_QF_IS(DROP))          \
	X(END, 'E', HB_QF_IS(MSG) | HB_QF_IS(TAIL))                            \
	X(DROP, 'D', HB_QF_IS(MSG) | HB_QF_IS(TAIL))                           \
	X(TAIL, 'T', 0)
#define HB_QF_IS(sym) (1u << HB_QF_##sym)
enum hb_qf_type {
#define X(sym, type, next) HB_QF_##sym,
	HB_QF_TYPES(X)
#undef X
	HB_QF_COUNT
};

#define RECORD_STRUCT(name) hb_##name
#include "common/proto/record-struct.h"
#include "common/proto/queuefile.def"
#include "common/proto/record-undef.h"

extern const struct hb_record hb_qf_head_record;
extern const struct hb_record hb_qf_msg_record;
extern const struct hb_record hb_qf_rcpt_record;

struct hb_qf_writer {
	uint32_t chain;
	bool begun;
};
/* Appends a record.  PAYLOAD: HB_QF_PAYLOAD bytes at most. */
void hb_qf_put(struct hb_qf_writer *w, enum hb_qf_type type,
    struct hb_span payload, struct hb_buf *out);
/* The same for a record from above.  0 or HB_E_RANGE: a field exceeds its
 * bound. */
int hb_qf_put_record(struct hb_qf_writer *w, enum hb_qf_type type,
    const struct hb_record *record, const void *v,
    struct hb_buf *out) HB_MUSTCHECK;

struct hb_qf_reader {
	uint64_t at;	     /* bytes read */
	uint64_t left;	     /* of the body that is being read */
	uint32_t chain;
	enum hb_qf_type last; /* START: nothing read yet */
};
/* The record that was read.  Spans point into the input. */
struct hb_qf_item {
	enum hb_qf_type type;
	struct hb_qf_head head;
	struct hb_qf_msg msg; /* MSG, with */
	struct hb_env env;    /* at END the BODYs must have its size */
	struct hb_qf_rcpt to; /* RCPT, with */
	struct hb_rcpt rcpt;
	struct hb_outcome outcome; /* result NONE if absent */
	struct hb_span body;
};
/*
 * Reads the record at the front of IN, which is at r->at of the file.  Returns
 * bytes used; 0 if IN holds only a part; HB_E_SYNTAX (not such a file, or a
 * record out of order), HB_E_UNSUPPORTED (another version), HB_E_CORRUPT,
 * HB_E_RANGE and HB_E_MORE (its fields).  After an error nothing more can be
 * read.
 */
int hb_qf_read(struct hb_qf_reader *r, struct hb_span in,
    struct hb_qf_item *out) HB_MUSTCHECK;

#endif
