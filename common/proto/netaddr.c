/* IPv4 and IPv6 addresses as values.  Floor 1. */
#include "common/proto/netaddr.h"

#include <stdio.h>

#include "common/base/err.h"

static int
parse_v4(struct hb_span s, uint8_t *b)
{
	for (int i = 0; i < 4; i++) {
		struct hb_span part = i < 3 ? hb_span_cut(&s, '.') : s;
		uint64_t v;

		/* "010" is octal to some and decimal to others. */
		if (part.n > 1 && part.p[0] == '0')
			return HB_E_SYNTAX;
		if (part.n > 3 || hb_span_u64(part, 255, &v) < 0)
			return HB_E_SYNTAX;
		b[i] = (uint8_t)v;
	}
	return 0;
}

/* Groups of one side of "::"; the LAST side may end in a dotted IPv4 address.
 * Returns bytes filled, or HB_E_SYNTAX. */
static int
parse_groups(struct hb_span s, bool last, uint8_t *b)
{
	int n = 0;

	while (s.n > 0) {
		size_t colon = hb_span_find(s, ':');
		struct hb_span part = hb_span_head(s, colon);
		uint64_t v;

		if (hb_span_find(part, '.') < part.n) {
			if (!last || colon < s.n || n > 12 || parse_v4(part, b + n) < 0)
				return HB_E_SYNTAX;
			return n + 4;
		}
		if (part.n > 4 || n > 14 || hb_span_hex64(part, &v) < 0)
			return HB_E_SYNTAX;
		b[n++] = (uint8_t)(v >> 8);
		b[n++] = (uint8_t)v;
		if (colon + 1 == s.n)
			return HB_E_SYNTAX;
		s = hb_span_from(s, colon + 1);
	}
	return n;
}

static size_t
find_double_colon(struct hb_span s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == ':' && s.p[i + 1] == ':')
			return i;
	return s.n;
}

static int
parse_v6(struct hb_span s, uint8_t *b)
{
	uint8_t left[18] = { 0 }, right[18] = { 0 };
	size_t at = find_double_colon(s);
	int nl, nr = 0;

	nl = parse_groups(hb_span_head(s, at), at == s.n, left);
	if (at < s.n)
		nr = parse_groups(hb_span_from(s, at + 2), true, right);
	if (nl < 0 || nr < 0)
		return HB_E_SYNTAX;
	if (at == s.n ? nl != 16 : nl + nr > 14)
		return HB_E_SYNTAX;
	memset(b, 0, 16);
	memcpy(b, left, (size_t)nl);
	memcpy(b + 16 - nr, right, (size_t)nr);
	return 0;
}

bool
hb_netaddr_unmap(struct hb_netaddr *a)
{
	static const uint8_t prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
		0xff };

	if (a->family != 6 || memcmp(a->b, prefix, sizeof(prefix)) != 0)
		return false;
	a->family = 4;
	memmove(a->b, a->b + 12, 4);
	memset(a->b + 4, 0, 12);
	return true;
}

int
hb_netaddr_parse(struct hb_span s, struct hb_netaddr *out)
{
	struct hb_netaddr a = { 0 };
	int r;

	if (hb_span_find(s, ':') < s.n) {
		a.family = 6;
		r = s.n > 45 ? HB_E_SYNTAX : parse_v6(s, a.b);
		if (r == 0)
			(void)hb_netaddr_unmap(&a);
	} else {
		a.family = 4;
		r = parse_v4(s, a.b);
	}
	if (r == 0)
		*out = a;
	return r;
}

static int
parse_port(struct hb_span s, uint16_t *out)
{
	uint64_t v;

	if (hb_span_u64(s, 65535, &v) < 0 || v == 0)
		return HB_E_SYNTAX;
	*out = (uint16_t)v;
	return 0;
}

int
hb_netaddr_parse_port(struct hb_span s, struct hb_netaddr *out)
{
	struct hb_span host = s, port = HB_SPAN_NONE;
	size_t at;
	int r = 0;

	if (s.n > 0 && s.p[0] == '[') {
		at = hb_span_find(s, ']');
		if (at == s.n)
			return HB_E_SYNTAX;
		host = hb_span(s.p + 1, at - 1);
		port = hb_span_from(s, at + 1);
		if (hb_span_find(host, ':') == host.n)
			return HB_E_SYNTAX;
	} else if (hb_span_find(s, ':') < s.n) {
		at = hb_span_find(s, ':');
		/* More than one colon: a bare IPv6 address. */
		if (hb_span_find(hb_span_from(s, at + 1), ':') <
		    hb_span_from(s, at + 1).n)
			return hb_netaddr_parse(s, out);
		host = hb_span_head(s, at);
		port = hb_span_from(s, at);
	}
	if (hb_span_eq(host, HB_SPAN("*")))
		*out = (struct hb_netaddr){ 0 };
	else
		r = hb_netaddr_parse(host, out);
	if (r < 0 || port.n == 0)
		return r;
	if (port.p[0] != ':')
		return HB_E_SYNTAX;
	return parse_port(hb_span_from(port, 1), &out->port);
}

int
hb_cidr_parse(struct hb_span s, struct hb_cidr *out)
{
	size_t slash = hb_span_find(s, '/');
	uint64_t bits;
	int r = hb_netaddr_parse(hb_span_head(s, slash), &out->net);

	if (r < 0)
		return r;
	bits = out->net.family == 4 ? 32 : 128;
	if (slash < s.n &&
	    hb_span_u64(hb_span_from(s, slash + 1), bits, &bits) < 0)
		return HB_E_SYNTAX;
	out->bits = (uint8_t)bits;
	return 0;
}

/* The longest run of two or more zero groups is written "::" (RFC 5952). */
static void
format_v6(const uint8_t *b, char *dst)
{
	int best = -1, best_n = 1;
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		int k = i;

		while (k < 8 && b[2 * k] == 0 && b[2 * k + 1] == 0)
			k++;
		if (k - i > best_n) {
			best = i;
			best_n = k - i;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			n += (size_t)snprintf(dst + n, 3, "::");
			i += best_n - 1;
			continue;
		}
		n += (size_t)snprintf(dst + n, 7, "%s%x",
		    i > 0 && (best < 0 || i != best + best_n) ? ":" : "",
		    b[2 * i] << 8 | b[2 * i + 1]);
	}
}

void
hb_netaddr_format(const struct hb_netaddr *a, char dst[HB_NETADDR_TEXT])
{
	if (a->family == 4)
		snprintf(dst, HB_NETADDR_TEXT, "%u.%u.%u.%u", a->b[0], a->b[1],
		    a->b[2], a->b[3]);
	else if (a->family == 6)
		format_v6(a->b, dst);
	else
		snprintf(dst, HB_NETADDR_TEXT, "*");
}

void
hb_netaddr_format_port(const struct hb_netaddr *a, char dst[HB_NETADDR_TEXT])
{
	char text[HB_NETADDR_TEXT];
	bool six = a->family == 6;

	hb_netaddr_format(a, text);
	if (a->port == 0)
		snprintf(dst, HB_NETADDR_TEXT, "%s", text);
	else
		snprintf(dst, HB_NETADDR_TEXT, "%s%.45s%s:%u", six ? "[" : "",
		    text, six ? "]" : "", a->port);
}

void
hb_cidr_format(const struct hb_cidr *c, char dst[HB_NETADDR_TEXT])
{
	char text[HB_NETADDR_TEXT];

	hb_netaddr_format(&c->net, text);
	snprintf(dst, HB_NETADDR_TEXT, "%.45s/%u", text, c->bits);
}

bool
hb_netaddr_eq(const struct hb_netaddr *a, const struct hb_netaddr *b)
{
	return a->family == b->family && a->port == b->port &&
	    memcmp(a->b, b->b, a->family == 4 ? 4 : 16) == 0;
}

bool
hb_netaddr_is_loopback(const struct hb_netaddr *a)
{
	static const unsigned char v6[16] = { [15] = 1 };

	if (a->family == 4)
		return a->b[0] == 127;
	return a->family == 6 && memcmp(a->b, v6, sizeof(v6)) == 0;
}

bool
hb_netaddr_is_unspecified(const struct hb_netaddr *a)
{
	static const unsigned char zero[16] = { 0 };

	return a->family != 0 &&
	    memcmp(a->b, zero, a->family == 4 ? 4 : 16) == 0;
}

bool
hb_cidr_has(const struct hb_cidr *c, const struct hb_netaddr *a)
{
	size_t whole = c->bits / 8, rest = c->bits % 8;
	unsigned mask;

	if (c->net.family != a->family)
		return false;
	if (memcmp(c->net.b, a->b, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	mask = 0xff00u >> rest & 0xff;
	return ((c->net.b[whole] ^ a->b[whole]) & mask) == 0;
}
