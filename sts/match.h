/*
 * Does a mail host's name match a policy's pattern?  RFC 8461 s4.1.  Floor 1.
 */
#ifndef STS_MATCH_H
#define STS_MATCH_H

#include "sts/policy.h"

/*
 * PATTERN is a name, or "*." and a name: the star stands for exactly one
 * label.  ASCII case and one final dot of either are ignored.
 */
bool sts_match_pattern(struct hb_span pattern, struct hb_span host);
bool sts_match_policy(const struct sts_policy *p, struct hb_span host);

#endif
