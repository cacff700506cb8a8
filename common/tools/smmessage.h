/*
 * A message from standard input, converted to wire form.  Floor 2: bytes in,
 * bytes out.  RFC 5321 s4.5.2, RFC 5322 s3.6.
 *
 * Lines end with LF or CRLF and leave with CRLF, dots are stuffed.  Any other
 * CR becomes white space in the header, where a new line would be a new field,
 * and ends a line in the body; VT and FF in the header become white space too
 * because some programs take them for the end of a line.  Bcc, Return-Path and
 * Content-Length are dropped; From is added if it is missing because only this
 * program knows the author's name (queue adds other missing fields); addresses
 * in the header get a domain.
 */
#ifndef HB_TOOLS_SMMESSAGE_H
#define HB_TOOLS_SMMESSAGE_H

#include "common/base/buf.h"

struct sm_message {
	/* set before the first line */
	bool stop_at_dot;   /* a line of one dot ends the message */
	bool want_rcpts;    /* -t: collect the recipients of the header */
	bool keep_fields;   /* drop none */
	struct hb_span from; /* the field to add, with its name */
	struct hb_span origin; /* domain of addresses without one; or empty */
	/* results */
	struct hb_buf wire;
	struct hb_buf rcpts; /* -t: values of To, Cc, Bcc, "," between */
	struct hb_buf resent; /* same of Resent-To, ...: they win */
	/* internal */
	bool started, in_header;
	bool has_from;
	struct hb_buf field; /* current one: its lines, each with CRLF */
	struct hb_buf line;  /* the header line being read */
};

void sm_message_init(struct sm_message *m);
void sm_message_free(struct sm_message *m);
/* LINE without its end.  HB_E_CLOSED: it was the dot, read no more;
 * HB_E_SYNTAX: a NUL byte. */
int sm_message_line(struct sm_message *m, struct hb_span line) HB_MUSTCHECK;
/* No more lines. */
void sm_message_end(struct sm_message *m);
/*
 * Copies to OUT a message already in wire form and only adds domains to its
 * addresses.  HB_E_SYNTAX: a NUL byte.
 */
int sm_message_qualify(struct hb_span wire, struct hb_span origin,
    struct hb_buf *out) HB_MUSTCHECK;

/* Appends a display name so that no byte of it can end the field: quoted, or as
 * encoded words (RFC 2047) if it is not ASCII. */
void sm_put_name(struct hb_span name, struct hb_buf *out);

#endif
