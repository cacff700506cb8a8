/*
 * The addresses of a header field: To, Cc, Bcc, From.  Floor 1.  RFC 5322
 * s3.4: display names, comments, groups, obsolete routes; folded lines.
 */
#ifndef HB_PROTO_ADDRLIST_H
#define HB_PROTO_ADDRLIST_H

#include "common/base/buf.h"

/* RFC 5322 s3.2.2.  How long the comment at the front of S is; 0: it does
 * not end, or is nested beyond reason. */
size_t hb_comment_length(struct hb_span s);

struct hb_addrlist {
	struct hb_span rest;
	/* of the address that came last: where a domain would be put in,
	 * and that it has none */
	const unsigned char *end;
	bool bare;
};

static inline struct hb_addrlist
hb_addrlist(struct hb_span value)
{
	return (struct hb_addrlist){ .rest = value };
}

/*
 * The next address into OUT (emptied first) as hb_addr_format writes it; one
 * without domain is its local part alone.  1 an address; 0 none left;
 * HB_E_SYNTAX or another error of hb_addr_parse (this one is skipped, go on).
 */
int hb_addrlist_next(struct hb_addrlist *l, struct hb_buf *out) HB_MUSTCHECK;

/*
 * Appends VALUE with "@DOMAIN" behind each address that has no domain; all
 * other bytes stay.  What is no address (two words, an encoded word, 8-bit
 * text) stays too.
 */
void hb_addrlist_qualify(struct hb_span value, struct hb_span domain,
    struct hb_buf *out);

#endif
