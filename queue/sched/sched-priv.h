/* Inside of the scheduler: sched.c (recipients, times), queue/sched/dest.c
 * (destinations, jobs).  Floor 2. */
#ifndef QUEUE_SCHED_SCHED_PRIV_H
#define QUEUE_SCHED_SCHED_PRIV_H

#include "queue/sched/pool.h"
#include "queue/sched/sched.h"

enum { Q_JOB_TABLE = 1024 };

struct q_line {
	struct sched_rcpt *head, *tail;
};

struct sched_dest {
	struct sched_dest *hnext;
	struct sched_dest *prev, *next; /* in the round of its worker */
	struct q_line line;	    /* waits for window and block */
	struct q_line urgent;	    /* waits for the window only */
	struct q_last *last;	    /* why it was unreachable */
	struct q_node node;	    /* end of the block */
	uint64_t hash;
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
	struct sched_dest *head, *tail; /* destinations with work */
	struct sched_job *eldest, *youngest; /* jobs that are young */
	uint64_t bytes;
	uint32_t jobs, young;
	bool usable;
};

struct q_sched {
	struct q_sched_conf conf;
	struct q_pool msgs, rcpts;
	struct sched_msg **mtable;
	uint32_t mtable_size;
	struct sched_dest **dtable;
	uint32_t dtable_size, ndests;
	struct q_lasts lasts;
	struct q_heap times;	/* nodes of recipients */
	struct q_heap blocks;	/* nodes of destinations */
	struct q_line asks;	/* DUE */
	struct q_line dsns;	/* FAILED, QUEUED */
	struct q_worker *workers; /* conf.workers + 1, the last one is local */
	unsigned turn;		/* next worker to check */
	struct sched_job *jobs[Q_JOB_TABLE];
	uint32_t njobs, next_job;
	uint32_t count[Q_STATE_COUNT];
	bool router;
};

void q_line_push(struct q_line *l, struct sched_rcpt *r);
void q_line_remove(struct q_line *l, struct sched_rcpt *r);
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
