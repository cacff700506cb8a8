/* Trust in the clock.  Floor 2. */
#include "sts/clock.h"

#define HOUR_MS (INT64_C(60) * 60 * 1000)
/* A server that was off for longer has to ask somebody. */
#define OFF_MAX_MS (30 * 24 * HOUR_MS)

static const char *const words[] = {
	[STS_CLOCK_UNKNOWN] = "unknown",
	[STS_CLOCK_GOOD] = "good",
	[STS_CLOCK_BEHIND] = "behind",
	[STS_CLOCK_AHEAD] = "ahead",
};

const char *
sts_clock_word(enum sts_clock_state s)
{
	return words[s];
}

void
sts_clock_init(struct sts_clock *c, int64_t build_ms)
{
	*c = (struct sts_clock){ .state = STS_CLOCK_UNKNOWN,
		.build_ms = build_ms };
}

static void
believe(struct sts_clock *c, int64_t wall_ms, int64_t mono_ms)
{
	c->state = STS_CLOCK_GOOD;
	c->good_ms = wall_ms;
	c->anchor_ms = wall_ms;
	c->anchor_mono_ms = mono_ms;
	c->anchored = true;
}

/* Nothing but the newest good time to compare with. */
static enum sts_clock_state
judge_first(const struct sts_clock *c, int64_t wall_ms)
{
	if (c->good_ms > 0 && wall_ms > c->good_ms + OFF_MAX_MS)
		return STS_CLOCK_AHEAD;
	return STS_CLOCK_GOOD;
}

/* What the monotonic clock makes of the last time that was believed.  The
 * anchor stays, so that small steps add up. */
static enum sts_clock_state
judge_running(const struct sts_clock *c, int64_t wall_ms, int64_t mono_ms)
{
	int64_t off = wall_ms - c->anchor_ms - (mono_ms - c->anchor_mono_ms);

	if (off < -HOUR_MS)
		return STS_CLOCK_BEHIND;
	return off > HOUR_MS ? STS_CLOCK_AHEAD : STS_CLOCK_GOOD;
}

static enum sts_clock_state
judge(const struct sts_clock *c, int64_t wall_ms, int64_t mono_ms)
{
	if (wall_ms < c->build_ms || wall_ms < c->good_ms - HOUR_MS)
		return STS_CLOCK_BEHIND;
	return c->anchored ? judge_running(c, wall_ms, mono_ms)
			   : judge_first(c, wall_ms);
}

void
sts_clock_look(struct sts_clock *c, int64_t wall_ms, int64_t mono_ms)
{
	bool slept = mono_ms - c->mono_ms > OFF_MAX_MS;

	c->wall_ms = wall_ms;
	c->mono_ms = mono_ms;
	if (slept) /* as if it had been off */
		c->anchored = false;
	if (c->state == STS_CLOCK_UNKNOWN)
		return;
	c->state = judge(c, wall_ms, mono_ms);
	if (c->state != STS_CLOCK_GOOD)
		return;
	if (!c->anchored)
		believe(c, wall_ms, mono_ms);
	if (wall_ms > c->good_ms)
		c->good_ms = wall_ms;
}

void
sts_clock_seen(struct sts_clock *c, int64_t ms)
{
	if (c->confirmed || ms <= c->good_ms)
		return;
	c->good_ms = ms;
	/* what was believed until now was too early */
	if (c->wall_ms < ms - HOUR_MS)
		c->anchored = false;
}

/* Another process may have got the proof meanwhile. */
static bool
is_shared_proof(const struct sts_clock *c, int64_t good_ms, int64_t wall_ms)
{
	return c->state == STS_CLOCK_AHEAD && good_ms > c->good_ms &&
	       good_ms > wall_ms - HOUR_MS && good_ms < wall_ms + HOUR_MS;
}

void
sts_clock_kept(struct sts_clock *c, int64_t good_ms, int64_t wall_ms,
    int64_t mono_ms)
{
	if (is_shared_proof(c, good_ms, wall_ms)) {
		sts_clock_confirm(c, wall_ms, mono_ms);
		return;
	}
	sts_clock_seen(c, good_ms);
	if (c->state == STS_CLOCK_UNKNOWN)
		c->state = STS_CLOCK_BEHIND; /* until it is judged */
	sts_clock_look(c, wall_ms, mono_ms);
}

void
sts_clock_confirm(struct sts_clock *c, int64_t wall_ms, int64_t mono_ms)
{
	if (wall_ms < c->build_ms)
		return;
	believe(c, wall_ms, mono_ms);
	c->wall_ms = wall_ms;
	c->confirmed = true;
}
