/* Counters of this process.  Floor 1. */
#include "common/proto/stats.h"

#include <stdio.h>

uint64_t hb_stats[HB_STAT_COUNT];

static const struct hb_stat_info named[] = {
#define HB_STAT(sym, family, label, value, help)                               \
	[HB_STAT_##sym] = { (family), (label), (value), (help) },
#include "common/proto/stats.def"
};

struct hb_stat_info
hb_stat_info(enum hb_stat s)
{
	if (s < HB_STAT_NAMED)
		return named[s];
	return (struct hb_stat_info){ "hosts_refused", "reason",
		hb_reason_word((enum hb_reason)(s - HB_STAT_REFUSED_HOST)),
		"mail hosts that the channel decision did not take" };
}

void
hb_stat_key(enum hb_stat s, char dst[64])
{
	struct hb_stat_info info = hb_stat_info(s);

	(void)snprintf(dst, 64, "%s/%s", info.family, info.value);
}

bool
hb_stat_is_first(enum hb_stat s)
{
	return s == 0 ||
	    strcmp(hb_stat_info(s).family,
		hb_stat_info((enum hb_stat)(s - 1)).family) != 0;
}

uint64_t
hb_stat_sum(enum hb_stat s)
{
	const char *family = hb_stat_info(s).family;
	uint64_t sum = 0;

	for (unsigned i = 0; i < HB_STAT_COUNT; i++)
		if (strcmp(hb_stat_info((enum hb_stat)i).family, family) == 0)
			sum += hb_stats[i];
	return sum;
}

void
hb_stat_delivered(struct hb_span tls)
{
	struct hb_span kind = tls;
	unsigned s = HB_STAT_DELIVERED_DANE;

	(void)hb_span_cut(&kind, '/'); /* TLSv1.3/verified */
	while (s > HB_STAT_DELIVERED_NONE &&
	    !hb_span_eq(kind, hb_span_str(named[s].value)))
		s--;
	hb_stat(tls.n > 0 ? s : HB_STAT_DELIVERED_LOCAL);
}
