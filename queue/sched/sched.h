/*
 * The scheduler: what is tried when.  Floor 2, pure: times come in, actions go
 * out; the queue manager performs them.
 *
 *	   add            due              route           q_sched_next
 *	NEW ---> (waits) ---> DUE -> ASKED ------> READY -----------> ACTIVE
 *	 ^                            |              ^                   |
 *	 |<------- defer -------------'              |<-- unreachable ---|
 *	 |<------------------------- defer ------------------------------|
 *	                    fail: FAILED -> DSN -> done       done <--'
 *
 * A deferred recipient forgets its route; it is looked up again when the
 * recipient is due, so that a changed configuration or alias counts.
 * Recipients of an unreachable destination stay in its line: one job probes it
 * at growing intervals, and the first success releases the others.
 *
 * A run: q_sched_add, q_sched_rcpt; next gives ASK; q_sched_route; next gives
 * JOB; for each recipient q_sched_done, _defer or _fail, then
 * q_sched_job_end; q_sched_forget when none is left.
 *
 * A worker has a bounded number of jobs, and so have the helpers that write
 * local mail.  A slow job, because a host or a policy host does not answer, a
 * mailbox is locked or a program is slow, stops counting, up to another bound:
 * hundreds of hanging destinations do not block the mail to others.  One
 * mailbox has Q_LOCAL_WINDOW helpers at most.
 *
 * Every event costs O(log n) at most, except those documented to walk a
 * message.
 */
#ifndef QUEUE_SCHED_SCHED_H
#define QUEUE_SCHED_SCHED_H

#include <sys/queue.h>

#include "queue/sched/heap.h"
#include "queue/sched/last.h"

struct q_sched;
struct sched_dest;
struct sched_job;

enum {
	Q_JOB_RCPTS = 100,	/* recipients of one job at most */
	Q_WORKER_JOBS = 400,	/* of one delivery worker, without old ones */
	Q_WORKER_MOST = 2000,	/* of one delivery worker, with old ones */
	Q_OLD_MS = 5000,	/* a job that takes longer makes room */
	Q_WORKER_BYTES = 32 << 20,
	Q_LARGE_WEIGHT = 64 << 10, /* of a body that is sent as a descriptor */
	Q_LOCAL_JOBS = 16,	/* helpers at a time, without old ones */
	Q_LOCAL_MOST = 128,	/* with old ones; fewer than HB_MAX_HELPERS */
	Q_LOCAL_WINDOW = 2,	/* of one local destination */
	Q_FIRST_WINDOW = 5,	/* connections to an unknown destination */
	Q_SPILL = 5,		/* jobs before a destination uses more workers */
	Q_MAX_ASKS = 200,	/* route lookups at a time */
	Q_DSN_WAIT_MS = 5000 /* for more failures of the same message */
};

/* symbol, word, counts as busy: a change is expected soon */
#define Q_STATES(X)                                                            \
	X(NEW, false)    /* waits for when_ms */                               \
	X(DUE, true)     /* its route must be looked up */                    \
	X(ASKED, true)                                                         \
	X(READY, true)   /* in its destination's line */                  \
	X(ACTIVE, true)  /* in a job */                                        \
	X(FAILED, false) /* waits for its DSN */                            \
	X(DSN, false) /* its DSN is being written */                     \
	X(HELD, false)
enum q_state {
#define X(sym, busy) Q_##sym,
	Q_STATES(X)
#undef X
	Q_STATE_COUNT
};

#define Q_RF_FLUSH 1u  /* operator asked: goes first, ignores host state */
#define Q_RF_URGENT 2u /* in the line that no block stops */
#define Q_RF_QUEUED 4u /* FAILED: in the line of DSNs */

struct sched_rcpt {
	TAILQ_ENTRY(sched_rcpt) of_msg; /* FAILED first */
	struct sched_msg *msg;
	struct sched_dest *dest; /* READY, ACTIVE; otherwise NULL */
	struct q_last *last; /* NULL: not tried yet */
	int64_t when_ms;     /* NEW: next attempt */
	union {
		TAILQ_ENTRY(sched_rcpt) line;
		struct sched_job *job; /* ACTIVE */
	};
	struct q_node node; /* due time */
	uint32_t idx;
	uint16_t attempts;
	uint8_t state, flags;
};

#define Q_MF_HELD 1u
#define Q_MF_NOWARN 2u /* never, or done already */
#define Q_MF_LARGE 4u
#define Q_MF_DSN 8u /* the message is a DSN */

struct sched_msg {
	HB_ROW(id); /* 0: a free cell */
	int64_t arrived_ms;
	uint64_t size;
	TAILQ_HEAD(, sched_rcpt) rcpts;
	struct sched_rcpt **by_idx; /* of a message with many, or NULL */
	void *user; /* the caller's */
	uint32_t live, busy, failed;
	uint32_t next_idx; /* above all that were ever used */
	uint32_t room;	   /* of by_idx */
	uint32_t flags;
	uint32_t njobs; /* not ended yet */
};

struct sched_job {
	HB_ROW(key);
	uint32_t no;	  /* not 0 */
	unsigned worker;  /* conf.workers: local */
	struct sched_dest *dest; /* NULL: claimed after a restart */
	struct sched_msg *msg;   /* NULL: finished in the meantime */
	uint64_t bytes;
	bool final, flush;
	bool young;	     /* in its worker's line of young jobs */
	uint8_t jitter;
	TAILQ_ENTRY(sched_job) age; /* of the young ones */
	int64_t old_ms;	     /* when it is young no more */
	size_t n;
	struct sched_rcpt *rcpts[Q_JOB_RCPTS]; /* NULL: has its result */
	void *user;
};

struct q_sched_conf {
	int64_t first_ms, max_ms; /* back-off */
	int64_t lifetime_ms;
	int64_t warn_ms; /* 0: off */
	int64_t host_memory_ms; /* longest rest of an unreachable destination;
				 * 0: none */
	unsigned max_connections;
	unsigned workers; /* of delivery; never changes */
	unsigned char key[16]; /* secret, for tables of remote names */
	uint32_t (*below)(uint32_t n);
};

struct q_sched *q_sched_new(const struct q_sched_conf *conf);
void q_sched_free(struct q_sched **s);
/* Times of waiting recipients follow: O(n).  Workers and key stay. */
void q_sched_set_conf(struct q_sched *s, const struct q_sched_conf *conf);

/* ID is not 0 and not in use.  FLAGS: Q_MF_*. */
struct sched_msg *q_sched_add(struct q_sched *s, uint64_t id,
    int64_t arrived_ms, uint64_t size, uint32_t flags);
struct sched_msg *q_sched_find(const struct q_sched *s, uint64_t id);
/* Adds a recipient, first tried at WHEN_MS. */
struct sched_rcpt *q_sched_rcpt(
    struct q_sched *s, struct sched_msg *m, uint32_t idx, int64_t when_ms);
struct sched_rcpt *q_sched_find_rcpt(const struct sched_msg *m, uint32_t idx);
/* The first recipient with a number of IDX or above, or NULL: recipients may
 * come and go between calls. */
struct sched_rcpt *q_sched_next_rcpt(const struct sched_msg *m, uint32_t idx);
/* Restores the state from a record (replay). */
void q_sched_tried(struct q_sched *s, struct sched_rcpt *r, uint32_t attempts,
    int64_t next_ms, const struct hb_outcome *o);
/* Replay has ended and it is NOW_MS: a next attempt beyond one back-off is
 * moved to one back-off, and no message is from the future.  ANEW: waiting
 * times are unknown; all recipients are due. */
void q_sched_start(struct q_sched *s, int64_t now_ms, bool anew);
/* Forgets message and recipients, even active ones. */
void q_sched_forget(struct q_sched *s, struct sched_msg *m);
/* The next message at or after *CURSOR (start with 0), or NULL: messages may
 * come and go between calls. */
struct sched_msg *q_sched_walk(const struct q_sched *s, uint32_t *cursor);

/* Workers and router are down until this reports otherwise. */
void q_sched_worker(struct q_sched *s, unsigned worker, bool usable);
void q_sched_router(struct q_sched *s, bool usable);

enum q_act_kind {
	Q_ACT_NONE,
	Q_ACT_ASK,   /* rcpt: where does it go?  q_sched_route, _defer, ... */
	Q_ACT_JOB,   /* job */
	Q_ACT_WARN,  /* msg: send its sender a delay warning */
	Q_ACT_DSN /* msg: q_sched_take_failed */
};
struct q_act {
	enum q_act_kind kind;
	struct sched_msg *msg;
	struct sched_rcpt *rcpt;
	struct sched_job *job; /* owned by the caller: free() after job_end */
	/* Recipients that became due on the way.  When they are many, the rest
	 * of them is for the next call, also after Q_ACT_NONE. */
	unsigned moved;
};
void q_sched_next(struct q_sched *s, int64_t now_ms, struct q_act *act);
/* When q_sched_next may return something without another event; INT64_MAX. */
int64_t q_sched_wake(const struct q_sched *s);

/* The answer to ASK.  Recipients with the same KEY (text, compared byte by
 * byte) are delivered together.  Worker: by hash of DOMAIN, or the local
 * helper. */
struct q_route {
	struct hb_span key;    /* route, and what must not be mixed */
	size_t route_n;	       /* bytes of key that are the route */
	size_t rcpts_n; /* bytes at its end that are the recipients' domain,
			 * which is DOMAIN if there are none */
	struct hb_span domain; /* policy domain; may be empty */
	bool local;
	bool spread; /* no domain of its own: all workers share it */
};
void q_sched_route(struct q_sched *s, struct sched_rcpt *r,
    const struct q_route *route, int64_t now_ms);
struct hb_span sched_dest_route(const struct sched_dest *d);
struct hb_span sched_dest_domain(const struct sched_dest *d);
/* The recipients' domain, if it matters for them. */
struct hb_span sched_dest_rcpts_domain(const struct sched_dest *d);

/* An ASK that got no answer: it is the next one. */
void q_sched_unask(struct q_sched *s, struct sched_rcpt *r);
/* No more work.  R is freed. */
void q_sched_done(struct q_sched *s, struct sched_rcpt *r);
/* R waits until WHEN_MS; counts one more attempt. */
void q_sched_defer(struct q_sched *s, struct sched_rcpt *r,
    const struct hb_outcome *o, int64_t when_ms);
/* A permanent failure, or a success that is told.  A DSN for its message
 * follows. */
void q_sched_fail(struct q_sched *s, struct sched_rcpt *r,
    const struct hb_outcome *o, int64_t now_ms);
/* Moves each FAILED recipient of M to DSN, at most MAX of them into OUT, sorted
 * by idx. */
size_t q_sched_take_failed(struct q_sched *s, struct sched_msg *m,
    struct sched_rcpt **out, size_t max);
/* The DSN could not be stored: try again at WHEN_MS. */
void q_sched_dsn_again(struct q_sched *s, struct sched_rcpt *r,
    int64_t when_ms);
/* The same of a delay warning of M. */
void q_sched_warn_again(struct q_sched *s, struct sched_msg *m,
    int64_t when_ms);
/* The job has ended; the caller gave each recipient its outcome before. */
void q_sched_job_end(struct q_sched *s, struct sched_job *job);
/*
 * The job's destination was unreachable because of OUTCOME: it is left alone
 * for its back-off or `host-memory`, whichever is shorter.  Returns when it is
 * probed again; 0 if this is not remembered and each recipient has its own
 * back-off.  Call it before q_sched_wait returns the recipients.
 */
int64_t q_sched_unreachable(struct q_sched *s, struct sched_job *job,
    const struct hb_outcome *o, int64_t now_ms);
/* Puts R back into the line of its (unreachable) destination; counts an
 * attempt. */
void q_sched_wait(struct q_sched *s, struct sched_rcpt *r,
    const struct hb_outcome *o);
/* The job's destination answered.  TROUBLE: a connection broke or the like. */
void q_sched_reached(struct q_sched *s, struct sched_job *job, bool trouble);

/* Jobs by number, for results, also from before a restart.  A job made here has
 * neither message nor destination yet. */
struct sched_job *q_sched_job(const struct q_sched *s, uint32_t no);
struct sched_job *q_sched_claim(
    struct q_sched *s, unsigned worker, uint32_t no);
/* Adds R to a claimed job.  Returns false if the job is full or R cannot be
 * claimed. */
bool q_sched_claim_rcpt(struct q_sched *s, struct sched_job *job,
    struct sched_rcpt *r);

int64_t q_sched_backoff(const struct q_sched *s, unsigned attempts,
    uint8_t jitter);
int64_t q_sched_expires(const struct q_sched *s, const struct sched_msg *m);

/* The operator's commands; each of the last two walks the message. */
void q_sched_flush(struct q_sched *s, struct sched_rcpt *r, int64_t now_ms);
/* R follows Q_MF_HELD of its message. */
void q_sched_follow(struct q_sched *s, struct sched_rcpt *r, int64_t now_ms);
void q_sched_hold(struct q_sched *s, struct sched_msg *m);
void q_sched_release(struct q_sched *s, struct sched_msg *m, int64_t now_ms);

/* Is R the last reason of any recipient? */
bool q_sched_waits_for(const struct q_sched *s, enum hb_reason r);
/* The job that R is in, or NULL. */
static inline struct sched_job *
q_rcpt_job(const struct sched_rcpt *r)
{
	return r->state == Q_ACTIVE ? r->job : NULL;
}
/* For the listing: what happened last, and when it is tried next (0: now). */
const struct q_last *q_rcpt_last(const struct sched_rcpt *r);
int64_t q_rcpt_next_ms(const struct sched_rcpt *r);

struct q_sched_stats {
	uint32_t messages, recipients, state[Q_STATE_COUNT];
	uint32_t destinations, unreachable, jobs;
};
void q_sched_stats(const struct q_sched *s, struct q_sched_stats *out);

#endif
