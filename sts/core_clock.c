/* The core's clock: storing good times and reporting bad ones.  Floor 2. */
#include "sts/core-priv.h"

#include "common/base/err.h"
#include "common/base/timefmt.h"

enum {
	KEEP_MS = 60 * 60 * 1000, /* between two writes of a good time */
	ASK_MS = 60 * 1000,       /* between two looks for others' proof */
	STEP_MS = 1000,           /* a clock that moves by less was not set */
	LATE_MS = 5 * 1000 /* an alarm: it stood still, the machine slept */
};

static void
say(const struct sts_core *c, enum sts_clock_state was)
{
	enum sts_clock_state is = c->clock.state;
	char good[HB_TIME_RFC3339_SIZE];

	if (is == was || is == STS_CLOCK_UNKNOWN)
		return;
	if (is == STS_CLOCK_GOOD) {
		if (was != STS_CLOCK_UNKNOWN)
			HB_LOG(HB_LOG_WARN, HB_EV_CLOCK,
			    hb_kv_str(HB_K_STATE, sts_clock_word(is)));
		return;
	}
	hb_time_rfc3339(c->clock.good_ms, good);
	HB_LOG(HB_LOG_ERROR, HB_EV_CLOCK,
	    hb_kv_str(HB_K_STATE, sts_clock_word(is)),
	    hb_kv_str(HB_K_SINCE, good),
	    hb_kv_str(HB_K_TEXT,
		"the clock is not believed: policies do not expire until a "
		"certificate proves valid"));
}

void
sts_core_clock(
    struct sts_core *c, int64_t wall_ms, int64_t mono_ms, int64_t now_ms)
{
	enum sts_clock_state was = c->clock.state;
	int64_t step = now_ms - mono_ms - c->skew_ms;
	bool late;

	c->mono_ms = mono_ms;
	c->shift_ms = now_ms - wall_ms;
	c->skew_ms += step;
	c->moved = c->moved || step >= STEP_MS || step <= -STEP_MS;
	late = mono_ms - c->alarm_ms > LATE_MS;
	if (late)
		c->alarm_ms = INT64_MAX;
	sts_clock_look(&c->clock, wall_ms, mono_ms);
	say(c, was);
	if (c->moved || late || was != c->clock.state)
		sts_core_set_alarm(c);
}

int64_t
sts_core_least_ms(const struct sts_core *c, int64_t now_ms)
{
	const struct sts_clock *k = &c->clock;
	int64_t good = k->good_ms > k->build_ms ? k->good_ms : k->build_ms;

	return now_ms > good + c->shift_ms ? now_ms : good + c->shift_ms;
}

enum sts_clock_state
sts_core_clock_state(const struct sts_core *c)
{
	return c->clock.state;
}

void
sts_core_clock_load(struct sts_core *c)
{
	if (c->clock_loaded || c->clock_asked)
		return;
	c->clock_asked = true;
	c->clock_asked_ms = c->mono_ms;
	c->ops->load_clock(c->ctx);
}

void
sts_core_clock_loaded(struct sts_core *c, int err, struct hb_span value)
{
	enum sts_clock_state was = c->clock.state;
	struct sts_record r = { .tried_ms = 0 };

	c->clock_asked = false;
	if (err < 0 && err != HB_E_NOTFOUND)
		return;
	c->clock_loaded = true;
	if (err == 0 && sts_record_decode(value, &r) < 0)
		r.tried_ms = 0;
	c->clock_kept_ms = r.tried_ms;
	sts_clock_kept(&c->clock, r.tried_ms, c->clock.wall_ms, c->mono_ms);
	say(c, was);
}

static void
keep_now(struct sts_core *c)
{
	struct sts_record r = { .tried_ms = c->clock.wall_ms };
	struct hb_buf value = HB_BUF_INIT(0);

	c->clock_kept_ms = r.tried_ms;
	sts_record_encode(&r, &value);
	c->ops->save_clock(c->ctx, hb_buf_span(&value));
	hb_buf_free(&value);
}

void
sts_core_clock_keep(struct sts_core *c)
{
	if (c->clock_loaded && sts_clock_is_good(&c->clock) &&
	    !sts_within(c->clock_kept_ms, c->clock_kept_ms + KEEP_MS,
		c->clock.wall_ms))
		keep_now(c);
}

void
sts_core_clock_confirmed(struct sts_core *c)
{
	enum sts_clock_state was = c->clock.state;

	sts_clock_confirm(&c->clock, c->clock.wall_ms, c->mono_ms);
	if (was != c->clock.state && sts_clock_is_good(&c->clock))
		keep_now(c);
	say(c, was);
}

void
sts_core_clock_tick(struct sts_core *c)
{
	if (c->clock_loaded && !sts_clock_is_good(&c->clock) &&
	    c->mono_ms - c->clock_asked_ms >= ASK_MS)
		c->clock_loaded = false;
	sts_core_clock_load(c);
	sts_core_clock_keep(c);
}
