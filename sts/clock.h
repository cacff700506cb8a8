/*
 * Can the clock be trusted?  No jump of the clock may end a policy (HACKING
 * "The channel decision").  Floor 2: the caller passes both clocks; sts/core
 * keeps the newest good time in the store.
 *
 *	UNKNOWN -> good times were read from the store -> judged
 *	judged:  before the build, or an hour before the newest good time
 *	             -> BEHIND
 *	         more than 30 days after the newest good time, at the first
 *	             look of a process, or the first after a sleep of more
 *	             than 30 days -> AHEAD
 *	         an hour ahead of the last trusted time plus the time since
 *	             then on the monotonic clock -> AHEAD
 *	         otherwise -> GOOD
 *	BEHIND, AHEAD: until a certificate was valid by that clock, or the
 *	         clock returned
 *
 * Every WALL is without the shift of a lab, which is deliberate.  MONO is the
 * monotonic clock that goes on while the machine sleeps; it measures a sleep
 * with the same hardware clock as WALL.
 */
#ifndef STS_CLOCK_H
#define STS_CLOCK_H

#include "common/base/span.h"

enum sts_clock_state {
	STS_CLOCK_UNKNOWN,
	STS_CLOCK_GOOD,
	STS_CLOCK_BEHIND,
	STS_CLOCK_AHEAD
};

struct sts_clock {
	enum sts_clock_state state;
	int64_t build_ms;
	int64_t good_ms; /* newest trusted time; 0: none */
	int64_t wall_ms, mono_ms; /* of the last look */
	/* Both clocks when the clock was last trusted on evidence. */
	int64_t anchor_ms, anchor_mono_ms;
	bool anchored, confirmed;
};

/* BUILD_MS: a correct clock is never before it. */
void sts_clock_init(struct sts_clock *c, int64_t build_ms);
/* Passes the current time of both clocks: call it before each question about
 * time. */
void sts_clock_look(struct sts_clock *c, int64_t wall_ms, int64_t mono_ms);
/* The store was read: GOOD_MS is its newest good time, or 0.  From then on the
 * clock is judged. */
void sts_clock_kept(struct sts_clock *c, int64_t good_ms, int64_t wall_ms,
    int64_t mono_ms);
/* A policy was looked up at MS: the clock once showed this time. */
void sts_clock_seen(struct sts_clock *c, int64_t ms);
/* A certificate was valid by that clock. */
void sts_clock_confirm(
    struct sts_clock *c, int64_t wall_ms, int64_t mono_ms);

/* May timed state expire?  Only while the clock is good. */
static inline bool
sts_clock_is_good(const struct sts_clock *c)
{
	return c->state == STS_CLOCK_GOOD;
}

/* "unknown", "good", "behind", "ahead" */
const char *sts_clock_word(enum sts_clock_state s);

#endif
