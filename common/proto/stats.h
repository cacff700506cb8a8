/*
 * Counters of this process since its start.  Floor 1: a plain array without
 * lock; control adds up those of all roles.  The list is stats.def.
 */
#ifndef HB_PROTO_STATS_H
#define HB_PROTO_STATS_H

#include "common/base/span.h"
#include "common/proto/envelope.h"

enum hb_stat {
#define HB_STAT(sym, family, label, value, help) HB_STAT_##sym,
#include "common/proto/stats.def"
	HB_STAT_NAMED,
	/* mail hosts refused by a verdict, by its reason */
	HB_STAT_REFUSED_HOST = HB_STAT_NAMED,
	HB_STAT_COUNT = HB_STAT_REFUSED_HOST + HB_REASON_COUNT
};

struct hb_stat_info {
	const char *family, *label, *value, *help; /* "" for none */
};
struct hb_stat_info hb_stat_info(enum hb_stat s);
/* "family/value", the name under which a role sends it to control; DST of 64
 * bytes. */
void hb_stat_key(enum hb_stat s, char dst[64]);
/* Is S the first row of its family?  The rows of a family are adjacent. */
bool hb_stat_is_first(enum hb_stat s);

extern uint64_t hb_stats[HB_STAT_COUNT];

static inline void
hb_stat(enum hb_stat s)
{
	hb_stats[s]++;
}
static inline void
hb_stat_refused_host(enum hb_reason why)
{
	hb_stats[HB_STAT_REFUSED_HOST + why]++;
}
/* Counts a recipient that has the message; TLS: word of the log, empty for
 * local delivery. */
void hb_stat_delivered(struct hb_span tls);
/* Sum of all rows of S's family. */
uint64_t hb_stat_sum(enum hb_stat s);

#endif
