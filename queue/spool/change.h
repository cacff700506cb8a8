/* Changes to a live message.  Floor 1. */
#ifndef QUEUE_SPOOL_CHANGE_H
#define QUEUE_SPOOL_CHANGE_H

#include "common/proto/envelope.h"

/* Queue time (queue/sched/clock.h), the wall clock's lead over it, and the
 * shift of a lab in both. */
struct q_stamp {
	int64_t at_ms, off_ms, ahead_ms;
};

enum q_change_kind {
	Q_CHANGE_RCPT,	  /* a new recipient (expansion): rcpt */
	Q_CHANGE_TRIED,	  /* still waiting: idx, attempts, next_ms (queue time), stamp, outcome (ok, fail: waits for its DSN) */
	Q_CHANGE_DONE,	  /* recipient needs no more work: idx, outcome (ok, fail, replaced by expansion) */
	Q_CHANGE_FLAGS,	  /* message flags are now flags (HB_ENV_HELD) */
	Q_CHANGE_WARNED,  /* the delay warning of this message was made */
	Q_CHANGE_FINISHED /* no record of the message is needed any more */
};
struct q_change {
	enum q_change_kind kind;
	/* RCPT: the recipient to add.  TRIED, DONE: whose outcome it is, if it
	 * must be reported; not written. */
	const struct hb_rcpt *rcpt;
	uint32_t idx, attempts, flags;
	int64_t next_ms;
	struct q_stamp stamp;
	const struct hb_outcome *outcome;
	struct hb_span route; /* DONE, TRIED with ok: the place that now has its copy */
};

#endif
