/*
 * Parser of SMTP and LMTP replies, RFC 5321 s4.2, from a server that may be
 * hostile.  Floor 1, fuzzed.  The caller feeds one line at a time; the text it
 * keeps is bounded and printable.
 */
#ifndef HB_PROTO_REPLY_H
#define HB_PROTO_REPLY_H

#include "common/base/buf.h"
#include "common/base/limits.h"

struct hb_reply {
	unsigned code;	    /* 200..599; 0: no line yet */
	unsigned lines;	    /* read so far, parts of a long one too */
	bool done;	    /* the last line was read */
	bool last, mid_line; /* of the current line: final; cut */
	struct hb_span line; /* text of the newest line, in the input */
	char status[16];    /* enhanced code of the first line, or "" */
	size_t ntext;
	/* Lines joined by a blank, with the enhanced code only before the
	 * first; no NUL. */
	char text[HB_MAX_REPLY_TEXT];
};

/* Call it before each reply. */
void hb_reply_reset(struct hb_reply *r);
/*
 * Reads one line off the front of IN, or HB_MAX_REPLY_LINE bytes of a longer
 * one, of which only the first part counts.  Returns bytes used; 0 if IN holds
 * no complete line; HB_E_SYNTAX (not a reply), HB_E_LIMIT (the reply is too
 * long).
 */
int hb_reply_feed(struct hb_reply *r, struct hb_span in) HB_MUSTCHECK;
struct hb_span hb_reply_text(const struct hb_reply *r);
/* 2, 3, 4 or 5: the meaning of an unknown code, RFC 5321 s4.2.1. */
static inline unsigned
hb_reply_class(const struct hb_reply *r)
{
	return r->code / 100;
}

#endif
