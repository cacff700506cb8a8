/* Domain names.  Floor 1.  RFC 1035 s2.3.1, RFC 5321 s2.3.5. */
#include "common/proto/domain.h"

#include "common/proto/netaddr.h"

enum { NAME_MAX_BYTES = 253 }; /* 255 on the wire, RFC 1035 s2.3.4 */

static bool
label_is_good(struct hb_span l, bool underscore)
{
	if (l.n == 0 || l.n > HB_MAX_LABEL || l.p[0] == '-' ||
	    l.p[l.n - 1] == '-')
		return false;
	for (size_t i = 0; i < l.n; i++)
		if (!hb_is_alnum(l.p[i]) && l.p[i] != '-' &&
		    !(underscore && l.p[i] == '_'))
			return false;
	return true;
}

static bool
name_is_good(struct hb_span s, bool underscore)
{
	size_t start = 0;

	s = hb_domain_dotless(s);
	if (s.n == 0 || s.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && s.p[i] != '.')
			continue;
		if (!label_is_good(hb_span(s.p + start, i - start), underscore))
			return false;
		start = i + 1;
	}
	return true;
}

bool
hb_domain_is_name(struct hb_span s)
{
	return name_is_good(s, false);
}

bool
hb_domain_is_dns_name(struct hb_span s)
{
	return name_is_good(s, true);
}

bool
hb_domain_literal(struct hb_span s, struct hb_netaddr *out)
{
	bool v6;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = hb_span(s.p + 1, s.n - 2);
	v6 = hb_span_has_prefix_nocase(s, HB_SPAN("IPv6:"));
	if (v6)
		s = hb_span_from(s, 5);
	/* a mapped address is an IPv6 address as text and an IPv4 as value */
	return (hb_span_find(s, ':') < s.n) == v6 &&
	    hb_netaddr_parse(s, out) == 0;
}

bool
hb_domain_is_literal(struct hb_span s)
{
	struct hb_netaddr a;

	return hb_domain_literal(s, &a);
}

bool
hb_domain_eq(struct hb_span a, struct hb_span b)
{
	return hb_span_eq_nocase(hb_domain_dotless(a), hb_domain_dotless(b));
}

bool
hb_domain_is_below(struct hb_span name, struct hb_span parent)
{
	name = hb_domain_dotless(name);
	parent = hb_domain_dotless(parent);
	if (parent.n == 0 || name.n <= parent.n + 1 ||
	    name.p[name.n - parent.n - 1] != '.')
		return false;
	return hb_span_eq_nocase(hb_span_from(name, name.n - parent.n),
	    parent);
}
