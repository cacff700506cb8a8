/*
 * Address lists of the header fields To, Cc, Bcc and From.  Floor 1.  RFC 5322
 * s3.4: display names, comments, groups, obsolete routes; folded lines.
 */
#ifndef HB_PROTO_ADDRLIST_H
#define HB_PROTO_ADDRLIST_H

#include "common/base/buf.h"

/* Length of the comment at the front of S, RFC 5322 s3.2.2; 0 if it is not
 * closed or nested too deeply. */
size_t hb_comment_length(struct hb_span s);

struct hb_addrlist {
	struct hb_span rest;
	/* end of the last address, where a domain can be inserted, and whether
	 * it has none */
	const unsigned char *end;
	bool bare;
};

static inline struct hb_addrlist
hb_addrlist(struct hb_span value)
{
	return (struct hb_addrlist){ .rest = value };
}

/*
 * Writes the next address to OUT (emptied first) as hb_addr_format does; an
 * address without domain is only its local part, and a domain may have U-labels
 * (hb_idna_address).  Returns 1 for an address; 0
 * at the end; HB_E_SYNTAX or another error of hb_addr_parse (that address is
 * skipped, the caller may go on).
 */
int hb_addrlist_next(struct hb_addrlist *l, struct hb_buf *out) HB_MUSTCHECK;

/*
 * Appends VALUE with "@DOMAIN" added to each address that has no domain; all
 * other bytes are kept.  Text that is not an address (two words, an encoded
 * word, 8-bit text) is kept too.
 */
void hb_addrlist_qualify(struct hb_span value, struct hb_span domain,
    struct hb_buf *out);

#endif
