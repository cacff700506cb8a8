/*
 * Can the clock be believed?  No jump of the clock may end a policy (HACKING
 * "The channel decision").  Floor 2: both clocks come in by calls; sts/core
 * keeps the newest good time in the store.
 *
 *	UNKNOWN -> what the store says of good times was read -> judged
 *	judged:  before the build, or an hour before the newest good time
 *	             -> BEHIND
 *	         more than 30 days after the newest good time, as the first
 *	             thing a process sees, or sees after a sleep of more than
 *	             30 days -> AHEAD
 *	         an hour ahead of what the monotonic clock makes of the last
 *	             time that was believed -> AHEAD
 *	         else -> GOOD
 *	BEHIND, AHEAD: until a certificate proved valid at that clock, or the
 *	         clock returned
 *
 * Every WALL is without the shift of a lab, which is deliberate.  MONO is the
 * monotonic clock that goes on while the machine sleeps; what it says of a
 * sleep comes from the same clock of the machine as WALL.
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
	int64_t good_ms; /* newest time that was believed; 0: none */
	int64_t wall_ms, mono_ms; /* of the last look */
	/* Both clocks when the clock was last believed on evidence. */
	int64_t anchor_ms, anchor_mono_ms;
	bool anchored, confirmed;
};

/* BUILD_MS: no honest clock is before it. */
void sts_clock_init(struct sts_clock *c, int64_t build_ms);
/* What the clocks say now: to be told before each question about time. */
void sts_clock_look(struct sts_clock *c, int64_t wall_ms, int64_t mono_ms);
/* The store was read: GOOD_MS is the newest good time it knows, or 0.  From
 * then on the clock is judged. */
void sts_clock_kept(struct sts_clock *c, int64_t good_ms, int64_t wall_ms,
    int64_t mono_ms);
/* A policy was looked for at MS: the clock was there once. */
void sts_clock_seen(struct sts_clock *c, int64_t ms);
/* A certificate proved valid at that clock. */
void sts_clock_confirm(
    struct sts_clock *c, int64_t wall_ms, int64_t mono_ms);

/* May what is timed end?  Only on the word of a good clock. */
static inline bool
sts_clock_is_good(const struct sts_clock *c)
{
	return c->state == STS_CLOCK_GOOD;
}

/* "unknown", "good", "behind", "ahead" */
const char *sts_clock_word(enum sts_clock_state s);

#endif
