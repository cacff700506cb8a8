/* Queue time: the scheduler's, which goes on where it was and which no setting
 * of the wall clock moves.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include "common/base/timefmt.h"

enum {
	STOP_PART = 4, /* of the lifetime: the longest stop that counts */
	CLOCK_STEP_MS = 60 * 60 * 1000 /* of the wall clock: worth a word */
};

static struct q_clocks
clocks(void)
{
	int64_t ahead = hb_clock_ahead();

	return (struct q_clocks){ .wall_ms = hb_now_ms() - ahead,
		.mono_ms = hb_age_ms() - ahead, .ahead_ms = ahead };
}

int64_t
q_now(const struct q *q)
{
	return q->clock.base_ms + hb_age_ms();
}

int64_t
q_date(const struct q *q, int64_t queue_ms)
{
	return hb_now_ms() + queue_ms - q_now(q);
}

struct q_stamp
q_stamp(const struct q *q)
{
	struct q_clocks now = clocks();

	return q_clock_stamp(&q->clock, &now);
}

void
q_stamp_env(const struct q *q, struct hb_env *env)
{
	struct q_stamp s = q_stamp(q);

	env->queue_ms = s.at_ms;
	env->queue_off_ms = s.off_ms;
	env->queue_ahead_ms = s.ahead_ms;
}

/* That mail is not hurt by it does not make a wrong clock right. */
void
q_time_watch(struct q *q)
{
	int64_t step = q_stamp(q).off_ms - q->off_ms;
	char from[HB_TIME_RFC3339_SIZE];

	if (step > -CLOCK_STEP_MS && step < CLOCK_STEP_MS)
		return;
	q->off_ms += step;
	hb_time_rfc3339(hb_now_ms() - step, from);
	HB_LOG(HB_LOG_WARN, HB_EV_CLOCK, hb_kv_str(HB_K_STATE, "set"),
	    hb_kv_str(HB_K_FROM, from),
	    hb_kv_str(HB_K_TEXT,
		"the clock was set, or this host slept for days: "
		"what waits does not age by it"));
}

/* Queue time goes on where it was. */
void
q_time_start(struct q *q)
{
	struct q_clocks now = clocks();
	bool is_known = q_clock_start(&q->clock, &now,
	    q->env->conf->lifetime / STOP_PART);

	q->off_ms = q->clock.last.off_ms;
	q_time_watch(q);
	q_sched_start(q->sched, q_now(q), !is_known);
}
