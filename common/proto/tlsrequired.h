/*
 * The header field TLS-Required.  Floor 1.  RFC 8689 s3: its one value is
 * "No", at most one such field is in a message.
 *
 * Around the word blanks, folding and comments (CFWS, RFC 5322 s3.2.2) may
 * stand.  A field with any other value asks for nothing, and so do two fields,
 * whatever they say: the message breaks s3, and what is not asked for clearly
 * lowers no policy of a recipient.
 */
#ifndef HB_PROTO_TLSREQUIRED_H
#define HB_PROTO_TLSREQUIRED_H

#include "common/base/span.h"

/* Zeroed before the first line of a header section. */
struct hb_tlsrequired {
	bool open;	  /* the lines that come next may belong to a field */
	bool several;
	bool quoted;	  /* the next byte of a comment stands for itself */
	unsigned char at; /* in the value; private */
	unsigned depth;	  /* of comments */
};

/* LINE: each of the header section in turn, from its first byte; its CRLF may
 * be missing. */
void hb_tlsrequired_line(struct hb_tlsrequired *t, struct hb_span line);
/* More bytes of the line given last. */
void hb_tlsrequired_more(struct hb_tlsrequired *t, struct hb_span bytes);
/* Did the lines so far hold one such field, with the value No? */
bool hb_tlsrequired_is_no(const struct hb_tlsrequired *t);

#endif
