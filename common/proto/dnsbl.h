/*
 * Questions to DNS about an address: its name (RFC 1035 s3.5, RFC 3596 s2.5),
 * and whether a zone lists it (RFC 5782).  Floor 1.
 */
#ifndef HB_PROTO_DNSBL_H
#define HB_PROTO_DNSBL_H

#include "common/base/limits.h"
#include "common/proto/conf.h"
#include "common/proto/dnsmsg.h"

#define HB_REVERSE_NAME (HB_MAX_DOMAIN + 1)

/* The parts of A, the last first, below ZONE; without a ZONE below
 * in-addr.arpa or ip6.arpa.  0, or HB_E_LIMIT: no name is so long. */
int hb_reverse_name(const struct hb_netaddr *a, struct hb_span zone,
    char out[HB_REVERSE_NAME]) HB_MUSTCHECK;

/* "127.0.0.2", "127.0.0.2-11", "127.0.0.2-127.0.0.11": codes of listings.  0 or
 * HB_E_SYNTAX. */
int hb_dnsbl_codes(struct hb_span s, struct hb_dnsbl_range *out) HB_MUSTCHECK;
/* In the first of the short forms. */
void hb_dnsbl_put_codes(const struct hb_dnsbl_range *r, struct hb_buf *out);

enum hb_dnsbl_says {
	HB_DNSBL_CLEAN,
	HB_DNSBL_LISTED,
	HB_DNSBL_SILENT,  /* no answer */
	HB_DNSBL_REFUSES, /* 127.255.255.0/24: it does not answer this server */
	HB_DNSBL_STRANGE  /* what no list answers: somebody else has the name */
};
/* What A, the answer to a question for addresses, says. */
enum hb_dnsbl_says hb_dnsbl_read(const struct hb_dnsbl *zone,
    const struct hb_dns_answer *a);

#endif
