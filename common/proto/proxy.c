/*
 * The PROXY header.  Floor 1.  As "The PROXY protocol" of HAProxy, versions 1
 * and 2, has it (2.1, 2.2).
 */
#include "common/proto/proxy.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/limits.h"

enum {
	LINE_MAX = 107, /* version 1, with CRLF */
	HEAD = 16,	/* version 2, before the addresses */
	CRC = 3		/* TLV: CRC-32C of the whole header */
};

static const unsigned char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* --- version 1 --- */

static bool
is_port(struct hb_span word, uint64_t *port)
{
	return hb_span_u64(word, 65535, port) == 0 &&
	    (word.n == 1 || word.p[0] != '0');
}

/* The next word, up to one blank. */
static bool
next_address(struct hb_span *line, unsigned family, struct hb_netaddr *a)
{
	struct hb_span word = hb_span_cut(line, ' ');

	/* what is IPv4 within IPv6 is read as IPv4 */
	return hb_netaddr_parse(word, a) == 0 &&
	    (hb_span_find(word, ':') < word.n) == (family == 6);
}

/* LINE: behind "PROXY ", without CRLF. */
static int
parse_line(struct hb_span line, struct hb_proxy *out)
{
	struct hb_span family = hb_span_cut(&line, ' ');
	struct hb_netaddr from, to;
	uint64_t port, to_port;
	unsigned want;

	if (hb_span_eq(family, HB_SPAN("UNKNOWN")))
		return 0; /* what follows is to be ignored */
	if (hb_span_eq(family, HB_SPAN("TCP4")))
		want = 4;
	else if (hb_span_eq(family, HB_SPAN("TCP6")))
		want = 6;
	else
		return HB_E_SYNTAX;
	if (!next_address(&line, want, &from) ||
	    !next_address(&line, want, &to) ||
	    !is_port(hb_span_cut(&line, ' '), &port) ||
	    !is_port(line, &to_port))
		return HB_E_SYNTAX;
	out->client = from;
	out->client.port = (uint16_t)port;
	return 0;
}

static int
version_1(struct hb_span in, struct hb_proxy *out)
{
	static const struct hb_span start = HB_SPAN_INIT("PROXY ");
	size_t n = in.n < start.n ? in.n : start.n;
	size_t lf = hb_span_find(hb_span_head(in, LINE_MAX), '\n');
	int r;

	if (!hb_span_eq(hb_span_head(in, n), hb_span_head(start, n)))
		return HB_E_SYNTAX;
	if (lf >= in.n)
		return in.n < LINE_MAX ? 0 : HB_E_LIMIT;
	if (lf >= LINE_MAX)
		return HB_E_LIMIT;
	if (hb_span_find(in, '\r') + 1 != lf)
		return HB_E_SYNTAX;
	r = parse_line(hb_span_from(hb_span_head(in, lf - 1), start.n), out);
	return r < 0 ? r : (int)lf + 1;
}

/* --- version 2 --- */

/* CRC-32C of HEADER with zeros in the place of the four bytes at AT. */
static bool
crc_is_right(struct hb_span header, size_t at)
{
	static const unsigned char zeros[4];
	const unsigned char *p = header.p + at;
	uint32_t said = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
	uint32_t crc = hb_crc32c(0, hb_span_head(header, at));

	crc = hb_crc32c(crc, hb_span(zeros, 4));
	return hb_crc32c(crc, hb_span_from(header, at + 4)) == said;
}

/* TLVs from AT to the end of HEADER: only the sum is looked at. */
static int
check_tlvs(struct hb_span header, size_t at)
{
	while (at < header.n) {
		size_t len;

		if (header.n - at < 3)
			return HB_E_SYNTAX;
		len = (size_t)header.p[at + 1] << 8 | header.p[at + 2];
		if (header.n - at - 3 < len)
			return HB_E_SYNTAX;
		if (header.p[at] == CRC &&
		    (len != 4 || !crc_is_right(header, at + 3)))
			return HB_E_SYNTAX;
		at += 3 + len;
	}
	return 0;
}

static void
take_address(struct hb_netaddr *a, unsigned family, const unsigned char *p)
{
	size_t n = family == 4 ? 4 : 16;

	a->family = (uint8_t)family;
	memcpy(a->b, p, n);
	a->port = (uint16_t)(p[2 * n] << 8 | p[2 * n + 1]);
	hb_netaddr_unmap(a);
}

/* HEADER is whole.  A protocol of another kind than TCP is no SMTP. */
static int
parse_binary(struct hb_span header, struct hb_proxy *out)
{
	/* by the family, the high half of the byte: UNSPEC, INET, INET6, UNIX;
	 * two addresses and ports */
	static const size_t sizes[] = { 0, 12, 36, 216 };
	unsigned command = header.p[12] & 0xf, family = header.p[13] >> 4;
	unsigned transport = header.p[13] & 0xf;
	int r;

	if (command > 1 || family >= HB_ARRAY_LEN(sizes) || transport > 2)
		return HB_E_SYNTAX;
	if (command == 0)
		return 0; /* LOCAL: all that follows is to be ignored */
	if (header.n - HEAD < sizes[family] ||
	    (family != 0 && transport != 1))
		return HB_E_SYNTAX;
	/* UNSPEC: what follows is of no known form */
	r = family == 0 ? 0 : check_tlvs(header, HEAD + sizes[family]);
	if (r == 0 && (family == 1 || family == 2))
		take_address(&out->client, family == 1 ? 4 : 6,
		    header.p + HEAD);
	return r;
}

static int
version_2(struct hb_span in, struct hb_proxy *out)
{
	size_t n;
	int r;

	if (in.n > sizeof(signature) && in.p[12] >> 4 != 2)
		return HB_E_SYNTAX;
	if (in.n < HEAD)
		return 0;
	n = HEAD + ((size_t)in.p[14] << 8 | in.p[15]);
	if (n > HB_MAX_PROXY_HEADER)
		return HB_E_LIMIT;
	if (in.n < n)
		return 0;
	r = parse_binary(hb_span_head(in, n), out);
	return r < 0 ? r : (int)n;
}

int
hb_proxy_parse(struct hb_span in, struct hb_proxy *out)
{
	size_t n = in.n < sizeof(signature) ? in.n : sizeof(signature);

	*out = (struct hb_proxy){ 0 };
	if (in.n == 0)
		return 0;
	if (in.p[0] == 'P')
		return version_1(in, out);
	if (memcmp(in.p, signature, n) != 0)
		return HB_E_SYNTAX;
	return version_2(in, out);
}
