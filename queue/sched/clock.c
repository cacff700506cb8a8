/* Queue time.  Floor 2. */
#include "queue/sched/clock.h"

/* A clock that is set may go back a little. */
#define BACK_MS INT64_C(3600000)
/* Some thirty thousand years: sums of a few such times do not overflow. */
#define FAR_MS (INT64_C(1) << 50)

static bool
is_near(int64_t ms)
{
	return ms > -FAR_MS && ms < FAR_MS;
}

/* Without the shift of the lab. */
static int64_t
steady(const struct q_stamp *s)
{
	return s->at_ms - s->ahead_ms;
}

void
q_clock_note(struct q_clock *c, const struct q_stamp *s)
{
	if (s->at_ms <= 0 || !is_near(s->at_ms) || !is_near(s->off_ms) ||
	    !is_near(s->ahead_ms))
		return;
	if (c->last.at_ms == 0 || steady(s) > steady(&c->last))
		c->last = *s;
}

bool
q_clock_start(struct q_clock *c, const struct q_clocks *now, int64_t most_ms)
{
	int64_t at = now->wall_ms > 0 ? now->wall_ms : 1, down = 0;
	bool is_known = true;

	if (c->last.at_ms != 0) {
		at = steady(&c->last);
		down = now->wall_ms - at - c->last.off_ms;
		is_known = down >= -BACK_MS && down <= most_ms;
		if (!is_known || down < 0)
			down = 0;
	}
	c->base_ms = at + down - now->mono_ms;
	return is_known;
}

struct q_stamp
q_clock_stamp(const struct q_clock *c, const struct q_clocks *now)
{
	int64_t at = c->base_ms + now->mono_ms;

	return (struct q_stamp){ .at_ms = at + now->ahead_ms,
		.off_ms = now->wall_ms - at, .ahead_ms = now->ahead_ms };
}
