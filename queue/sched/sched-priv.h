/* Inside of the scheduler: sched.c (recipients, times), queue/sched/dest.c
 * (destinations, jobs).  Floor 2. */
#ifndef QUEUE_SCHED_SCHED_PRIV_H
#define QUEUE_SCHED_SCHED_PRIV_H

#include "queue/sched/pool.h"
#include "queue/sched/sched.h"

TAILQ_HEAD(q_line, sched_rcpt);

struct sched_dest {
	HB_ROW(hash);
	TAILQ_ENTRY(sched_dest) round; /* of its worker */
	struct q_line line;	    /* waits for window and block */
	struct q_line urgent;	    /* waits for the window only */
	struct q_last *last;	    /* why it was unreachable */
	struct q_node node;	    /* end of the block */
	uint32_t refs; /* recipients READY or ACTIVE */
	uint32_t window, active;
	uint32_t at_home; /* of the active ones, on the home worker */
	uint16_t fails;	  /* failed probes; 0: it is reachable */
	uint16_t home;	  /* worker */
	bool in_round, local, spread;
	uint32_t route_n, key_n, domain_n, rcpts_n;
	unsigned char text[]; /* key, domain */
};

struct q_worker {
	TAILQ_HEAD(, sched_dest) round; /* those with something to do */
	TAILQ_HEAD(, sched_job) age;	/* young jobs, the eldest first */
	uint64_t bytes;
	uint32_t jobs, young;
	bool usable;
};

struct q_sched {
	struct q_sched_conf conf;
	struct q_pool msgs, rcpts;
	struct hb_rows by_id;	/* messages */
	struct hb_rows dests;	/* by the hash of their keys */
	struct q_lasts lasts;
	struct q_heap times;	/* nodes of recipients */
	struct q_heap blocks;	/* nodes of destinations */
	struct q_line asks;	/* DUE */
	struct q_line dsns;	/* FAILED, QUEUED */
	struct q_worker *workers; /* conf.workers + 1, the last local */
	unsigned turn;		/* worker to look at next */
	struct hb_rows jobs;	/* by their number */
	uint32_t next_job;
	uint32_t count[Q_STATE_COUNT];
	bool router;
};

void q_set_state(struct q_sched *s, struct sched_rcpt *r, enum q_state state);
/* Removes R from its line and heap. */
void q_detach(struct q_sched *s, struct sched_rcpt *r);
/* Puts R's next due time into the heap, according to its state. */
void q_set_due(struct q_sched *s, struct sched_rcpt *r);

/* R (detached) joins its destination's line. */
void sched_dest_join(struct q_sched *s, struct sched_rcpt *r, bool urgent);
/* R leaves for good: its destination may be freed. */
void sched_dest_leave(struct q_sched *s, struct sched_rcpt *r);
void sched_dest_unblock_due(struct q_sched *s, int64_t now_ms);
/* The next job, or NULL. */
struct sched_job *sched_dest_next_job(struct q_sched *s, int64_t now_ms);
/* When an ageing job makes room for a waiting one; INT64_MAX if never. */
int64_t sched_dest_wake(const struct q_sched *s);
/* The message of these jobs is gone. */
void q_jobs_orphan(struct q_sched *s, const struct sched_msg *m);
void sched_dest_free_all(struct q_sched *s);

#endif
