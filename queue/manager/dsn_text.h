/*
 * DSNs about messages: RFC 3464 in the frame of RFC 6522.  Floor 2, pure.
 *
 *	multipart/report; report-type=delivery-status
 *	  text/plain               for a person: what, to whom, why
 *	  message/delivery-status  for a program
 *	  message/rfc822, or text/rfc822-headers
 *
 * RFC 6533: with an address in UTF-8 the second is message/global-delivery-
 * status, and headers in UTF-8 are message/global-headers.
 */
#ifndef QUEUE_MANAGER_DSN_TEXT_H
#define QUEUE_MANAGER_DSN_TEXT_H

#include "common/base/limits.h"
#include "common/proto/envelope.h"

enum q_dsn_kind {
	Q_DSN_FAILED,
	Q_DSN_DELAYED,
	Q_DSN_SUCCESS, /* each recipient as its outcome has it */
	Q_DSN_KIND_COUNT
};

struct q_dsn_rcpt {
	struct hb_span address, original, orcpt; /* orcpt: as in hb_rcpt */
	struct hb_outcome outcome;
};

struct q_dsn {
	enum q_dsn_kind kind;
	struct hb_span hostname;
	uint64_t id;	 /* of the DSN */
	uint64_t parent; /* of the message it is about */
	struct hb_span to;
	struct hb_span envid; /* xtext, as in hb_env */
	int64_t now_ms, arrived_ms;
	int64_t retry_until_ms; /* DELAYED: when delivery will be given up */
	const struct q_dsn_rcpt *rcpts;
	size_t n;
	/* The message in wire form: its header section is returned, or all of
	 * it. */
	struct hb_span head, body;
	bool whole; /* return all if it is 7bit: body is complete */
	bool utf8;  /* the header section is one of RFC 6532 */
	/* Random, so that no author of text in the DSN can write its
	 * boundary. */
	uint64_t nonce;
};

/* Bytes that one DSN may have of all its recipients, and of a header section:
 * a longer one is cut at the end of a line.  What is made of both is one job
 * for delivery (HB_MAX_JOB_BYTES). */
enum {
	Q_DSN_RCPT_BYTES = 1536 << 10,
	Q_DSN_HEAD_BYTES = HB_MAX_LARGE_MESSAGE
};
/* R takes no more of a DSN than this. */
size_t q_dsn_rcpt_bytes(const struct q_dsn_rcpt *r);

/*
 * Appends the DSN in wire form (CRLF, dots stuffed) to HEAD and BODY, unbounded
 * buffers: its header section, and the rest.  Returns HB_ENV_DOTTED,
 * HB_ENV_SMTPUTF8 and HB_ENV_8BIT where they apply.  It contains no byte above 127 (a DSN must
 * also arrive through hosts without 8BITMIME), but in the address that it goes
 * to.  Of a message with such bytes only the headers are
 * returned, encoded where they contain some.  Text of remote servers is made
 * harmless: no control character, lines folded (RFC 5322 s2.1.1).
 */
uint32_t q_dsn_write(const struct q_dsn *d, struct hb_buf *head,
    struct hb_buf *body);

#endif
