/*
 * The header field TLS-Required.  Floor 1.  RFC 8689 s3: its only value is
 * "No", and a message has at most one such field.
 *
 * Blanks, folding and comments (CFWS, RFC 5322 s3.2.2) may surround the value.
 * A field with any other value has no effect, nor have two fields, whatever
 * they say: the message violates s3, and an unclear request lowers no policy of
 * a recipient.
 */
#ifndef HB_PROTO_TLSREQUIRED_H
#define HB_PROTO_TLSREQUIRED_H

#include "common/base/span.h"

/* Zeroed before the first line of a header section. */
struct hb_tlsrequired {
	bool open;	  /* following lines may belong to a field */
	bool several;
	bool quoted;	  /* the next byte of a comment is literal */
	unsigned char at; /* position in the value; private */
	unsigned depth;	  /* of comments */
};

/* LINE: each line of the header section in turn, from its first byte; its CRLF
 * may be missing. */
void hb_tlsrequired_line(struct hb_tlsrequired *t, struct hb_span line);
/* Further bytes of the line given last. */
void hb_tlsrequired_more(struct hb_tlsrequired *t, struct hb_span bytes);
/* Did the lines so far contain exactly one such field, with the value No? */
bool hb_tlsrequired_is_no(const struct hb_tlsrequired *t);

#endif
