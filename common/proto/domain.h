/*
 * Domain names as text: syntax and comparison.  Floor 1.  RFC 1035 s2.3.1, RFC
 * 5321 s2.3.5, s4.1.3.  Names are ASCII (A-labels); a name with bytes above 127
 * is refused because it would need Unicode tables.
 */
#ifndef HB_PROTO_DOMAIN_H
#define HB_PROTO_DOMAIN_H

#include "common/base/limits.h"
#include "common/base/span.h"

struct hb_netaddr;

/* Labels of letters, digits and inner hyphens, at most 63 bytes each, 253 in
 * all; one trailing dot is allowed.  One label is enough. */
bool hb_domain_is_name(struct hb_span s);
/* The same with underscores anywhere in a label, for DNS owner names, HELO
 * names and the part after "@": containers and Windows hosts have such
 * names. */
bool hb_domain_is_dns_name(struct hb_span s);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]": an address literal, RFC 5321 s4.1.3. */
bool hb_domain_is_literal(struct hb_span s);
/* The same, with its address in *OUT; an IPv4-mapped one as IPv4. */
bool hb_domain_literal(struct hb_span s, struct hb_netaddr *out);

/* Removes one trailing dot. */
static inline struct hb_span
hb_domain_dotless(struct hb_span s)
{
	return s.n > 0 && s.p[s.n - 1] == '.' ? hb_span_head(s, s.n - 1) : s;
}

/* Ignores case and one trailing dot. */
bool hb_domain_eq(struct hb_span a, struct hb_span b);
/* Is NAME below PARENT (not equal to it)? */
bool hb_domain_is_below(struct hb_span name, struct hb_span parent);

#endif
