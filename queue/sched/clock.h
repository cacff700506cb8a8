/*
 * Queue time: the clock that measures how long mail waits.  Floor 2, pure.  No
 * jump of the wall clock bounces mail, holds it forever, or makes the queue
 * spin: HACKING "Promises", 1 and 2.
 *
 * The rule: queue never asks whether the clock is right.  It keeps ages, which
 * the monotonic clock counts.  It therefore waits for no proof, and a jump
 * while the queue runs has no effect.
 *
 *	a new spool	  queue time is the wall clock's time
 *	while it runs	  advances with the monotonic clock, a day at most for
 *			  each sleep of the machine, and with `lab advance',
 *			  which is deliberate
 *	while it is down  advances by the wall clock since the last stamp, if
 *			  that is no more than a quarter of the lifetime, and
 *			  not before the stamp.  Otherwise not at all: the
 *			  downtime is unknown, and all waiting mail is tried at
 *			  once
 *
 * Arrivals and next attempts are kept in queue time.  Each such record carries
 * a stamp with the wall clock's time; the newest stamp in the spool therefore
 * suffices, even if the clock was wrong all along.  Dates that people read are
 * in wall clock time: that of arrival, as it was then.
 */
#ifndef QUEUE_SCHED_CLOCK_H
#define QUEUE_SCHED_CLOCK_H

#include "queue/spool/change.h"

/* Readings of the clocks in ms: the wall clock without the shift of the lab. */
struct q_clocks {
	int64_t wall_ms, mono_ms, ahead_ms;
};

struct q_clock {
	struct q_stamp last; /* newest; at_ms 0: none */
	int64_t base_ms; /* queue time minus monotonic time and shift */
};

/* Adds a stamp of the spool; an impossible one is ignored. */
void q_clock_note(struct q_clock *c, const struct q_stamp *s);
/* All stamps were noted.  MOST_MS: the longest downtime that counts.  Returns
 * false if the downtime is unknown. */
bool q_clock_start(
    struct q_clock *c, const struct q_clocks *now, int64_t most_ms);
struct q_stamp q_clock_stamp(const struct q_clock *c,
    const struct q_clocks *now);

#endif
