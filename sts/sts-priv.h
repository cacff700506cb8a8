/* Shared by sts.c and ctl.c.  Floor 3. */
#ifndef STS_STS_PRIV_H
#define STS_STS_PRIV_H

#include <sys/queue.h>

#include "sts/core.h"
#include "sts/http.h"
#include "sts/sts.h"

struct sts_job;

struct sts {
	struct sts_env env;
	struct sts_core *core;
	struct sts_http *http;
	struct hb_timer *timer;
	struct hb_hook *turn;
	LIST_HEAD(, sts_job) jobs; /* questions of the core, under way */
	struct hb_ctl_asks asks;   /* questions of control, under way */
};

/* Passes both clocks to the core and returns the time. */
static inline int64_t
sts_now(const struct sts *s)
{
	int64_t now = hb_now_ms();

	sts_core_clock(s->core, now - hb_clock_ahead(), hb_boot_ms(), now);
	return now;
}

#endif
