/*
 * Queue time: by what the queue counts how long mail waits.  Floor 2, pure.
 * No jump of the wall clock bounces mail, holds it for ever, or makes the queue
 * spin: HACKING "Promises", 1 and 2.
 *
 * The rule: queue never asks whether the clock is right.  It keeps ages, and
 * these the monotonic clock counts.  So no proof has to be waited for, and a
 * jump under the running queue means nothing.
 *
 *	a new spool	  queue time is what the wall clock shows
 *	while it runs	  the monotonic clock, a day at most of each sleep of
 *			  the machine, and `lab advance`, which is deliberate
 *	while it is down  what the wall clock says, from the last stamp on, if
 *			  that is no more than a quarter of the lifetime, and
 *			  not before the stamp.  Else nothing: the wait is not
 *			  known, and all that waits is tried at once
 *
 * Arrivals and next attempts are kept in queue time.  Each such record
 * carries a stamp, which says what the wall clock showed then; so the newest
 * stamp in the spool suffices, also when the clock was wrong all along.
 * Dates that people read are of the wall clock: of arrival, as it was then.
 */
#ifndef QUEUE_SCHED_CLOCK_H
#define QUEUE_SCHED_CLOCK_H

#include "queue/spool/change.h"

/* What the clocks show, ms: the wall clock without the shift of the lab. */
struct q_clocks {
	int64_t wall_ms, mono_ms, ahead_ms;
};

struct q_clock {
	struct q_stamp last; /* newest; at_ms 0: none */
	int64_t base_ms; /* queue time less monotonic time and shift */
};

/* A stamp of the spool; one that cannot be is ignored. */
void q_clock_note(struct q_clock *c, const struct q_stamp *s);
/* All stamps were noted.  MOST_MS: the longest stop that counts.  False: it
 * is not known how long the queue was down. */
bool q_clock_start(
    struct q_clock *c, const struct q_clocks *now, int64_t most_ms);
struct q_stamp q_clock_stamp(const struct q_clock *c,
    const struct q_clocks *now);

#endif
