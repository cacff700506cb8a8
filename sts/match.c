/* Mail host names against policy patterns.  RFC 8461 s4.1.  Floor 1. */
#include "sts/match.h"

#include "common/proto/domain.h"

bool
sts_match_pattern(struct hb_span pattern, struct hb_span host)
{
	struct hb_span label;

	pattern = hb_domain_dotless(pattern);
	host = hb_domain_dotless(host);
	if (pattern.n < 2 || pattern.p[0] != '*' || pattern.p[1] != '.')
		return pattern.n > 0 && hb_span_eq_nocase(pattern, host);
	label = hb_span_cut(&host, '.');
	return label.n > 0 && host.n > 0 &&
	       hb_span_eq_nocase(hb_span_from(pattern, 2), host);
}

bool
sts_match_policy(const struct sts_policy *p, struct hb_span host)
{
	for (size_t i = 0; i < p->nmx; i++)
		if (sts_match_pattern(p->mx[i], host))
			return true;
	return false;
}
