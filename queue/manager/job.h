/* The queue manager's half of a job; the scheduler's is struct sched_job.
 * Floor 4. */
#ifndef QUEUE_MANAGER_JOB_H
#define QUEUE_MANAGER_JOB_H

#include "queue/manager/role.h"

/*
 * state	from	when
 * OPEN		-	the scheduler gives a job, or a worker claims one of
 *			a former life of this process: results come, and those
 *			that are ok are applied at the end of the turn
 * ENDED	OPEN	worker or helper says so or is lost, or the message
 *			cannot be sent: no result counts any more
 * SETTLED	ENDED	the end of the turn: all results are applied, who has
 *			none gets one, and the scheduler is done with it
 * freed	SETTLED	nothing is pending: the worker gets its JOB_ACK
 *
 * Pending is what calls back, in any state: a message that is being read, and
 * changes on their way to the disk.
 */
enum q_job_state { Q_JOB_OPEN, Q_JOB_ENDED, Q_JOB_SETTLED };

/* A recipient that was taken out of a job by the operator: what comes of the
 * attempt is told all the same. */
struct q_left {
	SLIST_ENTRY(q_left) link;
	struct hb_rcpt rcpt;
};

/* Sends the message C with its envelope H. */
typedef void (*q_job_send_fn)(struct q_job *j, const struct q_envelope *h,
    const struct q_content *c);

struct q_job {
	TAILQ_ENTRY(q_job) link, dirty;
	struct q *q;
	enum q_job_state state;
	bool is_dirty; /* in q->dirty: something is to be done for it */
	unsigned pending;
	size_t loading; /* of its worker's */
	struct sched_job *sched; /* NULL: SETTLED */
	uint32_t no;
	unsigned worker;
	q_job_send_fn send;	/* when the message is read */
	struct hb_peer *helper; /* of a local job, once it is there */
	uint64_t id; /* of the message, which may be gone */
	int64_t arrived_ms;
	struct hb_arena *arena;
	SLIST_HEAD(, q_left) left;
	struct hb_outcome results[Q_JOB_RCPTS];
	size_t n, settled; /* settled: the first of them that are not */
	/* what was said at the end */
	enum hb_reason reason;
	bool unreachable;
};

static inline bool
q_job_is_local(const struct q_job *j)
{
	return j->worker == j->q->workers;
}

/* outcome.c */
struct q_job *q_job_new(struct q *q, struct sched_job *job);
void q_job_free(struct q_job *j);
/* R is about to leave its job, if it has one, before there is a result. */
void q_job_leave(const struct sched_rcpt *r);
void q_job_result(struct q_job *j, const struct hb_outcome *o);
/* No more results will come. */
void q_job_end(struct q_job *j);
/* The same outcome for all. */
void q_job_end_with(struct q_job *j, const struct hb_outcome *like);
void q_settle_dirty(struct q *q);

/* load.c */
/* Reads the message, then SEND runs, unless the job is over by then. */
void q_job_load(struct q_job *j, q_job_send_fn send);
/* The frames of a message, large or not, to P; the job begins. */
void q_send_content(
    struct hb_peer *p, uint32_t no, const struct q_content *c);

/* local.c */
void q_local_start(struct q_job *j);

/* job.c */
void q_job_start(struct q *q, struct sched_job *job);
void q_jobs_lost(struct q *q, unsigned worker);

#endif
