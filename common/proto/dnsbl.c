#include "common/proto/dnsbl.h"

#include <stdio.h>

#include "common/base/err.h"

/* Codes as numbers. */
#define NET_LISTS 0x7f000000u /* RFC 5782 s2.1: 127.0.0.0/8 */
#define NET_REFUSES 0x7fffff00u
/* RFC 5782 s5: no zone lists it; some refuse with it. */
#define CODE_NOTHING 0x7f000001u

/* --- names --- */

/* The Nth part of A from its end: an octet, or half of one. */
static unsigned
part(const struct hb_netaddr *a, size_t n)
{
	unsigned byte;

	if (a->family == 4)
		return a->b[3 - n];
	byte = a->b[15 - n / 2];
	return n % 2 == 0 ? byte & 15 : byte >> 4;
}

int
hb_reverse_name(const struct hb_netaddr *a, struct hb_span zone,
    char out[HB_REVERSE_NAME])
{
	size_t parts = a->family == 4 ? 4 : 32;
	struct hb_buf b = HB_BUF_INIT(0);
	int r;

	for (size_t i = 0; i < parts; i++)
		hb_buf_addf(&b, a->family == 4 ? "%u." : "%x.", part(a, i));
	if (zone.n > 0)
		hb_buf_add(&b, zone);
	else
		hb_buf_adds(&b, a->family == 4 ? "in-addr.arpa" : "ip6.arpa");
	r = hb_span_copy(hb_buf_span(&b), out, HB_REVERSE_NAME);
	hb_buf_free(&b);
	return r < 0 ? HB_E_LIMIT : 0;
}

/* --- codes --- */

static uint32_t
number_of(const unsigned char b[4])
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	    (uint32_t)b[2] << 8 | b[3];
}

static int
read_code(struct hb_span s, uint32_t *out)
{
	struct hb_netaddr a;

	if (hb_netaddr_parse(s, &a) < 0 || a.family != 4 || a.b[0] != 127)
		return HB_E_SYNTAX;
	*out = number_of(a.b);
	return 0;
}

int
hb_dnsbl_codes(struct hb_span s, struct hb_dnsbl_range *out)
{
	size_t dash = hb_span_find(s, '-');
	struct hb_span last = hb_span_from(s, dash + 1);
	uint64_t octet;

	if (read_code(hb_span_head(s, dash), &out->first) < 0)
		return HB_E_SYNTAX;
	if (dash == s.n)
		out->last = out->first;
	else if (hb_span_u64(last, 255, &octet) == 0)
		out->last = (out->first & ~255u) | (uint32_t)octet;
	else if (read_code(last, &out->last) < 0)
		return HB_E_SYNTAX;
	return out->last >= out->first ? 0 : HB_E_SYNTAX;
}

static void
put_code(struct hb_buf *out, uint32_t code)
{
	hb_buf_addf(out, "%u.%u.%u.%u", code >> 24, code >> 16 & 255,
	    code >> 8 & 255, code & 255);
}

void
hb_dnsbl_put_codes(const struct hb_dnsbl_range *r, struct hb_buf *out)
{
	put_code(out, r->first);
	if (r->last == r->first)
		return;
	hb_buf_adds(out, "-");
	put_code(out, r->last);
}

/* --- answers --- */

static enum hb_dnsbl_says
read_one(const struct hb_dnsbl *zone, uint32_t code)
{
	if ((code & 0xff000000u) != NET_LISTS)
		return HB_DNSBL_STRANGE;
	if ((code & 0xffffff00u) == NET_REFUSES)
		return HB_DNSBL_REFUSES;
	for (size_t i = 0; i < zone->n; i++)
		if (code >= zone->codes[i].first &&
		    code <= zone->codes[i].last)
			return HB_DNSBL_LISTED;
	return zone->n > 0 || code == CODE_NOTHING ? HB_DNSBL_CLEAN
						   : HB_DNSBL_LISTED;
}

enum hb_dnsbl_says
hb_dnsbl_read(const struct hb_dnsbl *zone, const struct hb_dns_answer *a)
{
	enum hb_dnsbl_says all = HB_DNSBL_CLEAN;

	if (a->status == HB_DNS_TEMP)
		return HB_DNSBL_SILENT;
	for (size_t i = 0; i < a->n; i++) {
		enum hb_dnsbl_says one;

		if (a->rr[i].data.n != 4)
			continue;
		one = read_one(zone, number_of(a->rr[i].data.p));
		/* what no list answers spoils what stands beside it */
		if (one > all)
			all = one;
	}
	return all;
}
