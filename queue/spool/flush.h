/*
 * The helper thread of the queue: the only place where it waits for the disk
 * (HACKING "Roles").  Floor 3.  A job runs in the thread, one at a time in
 * order of submission, and touches only its own data; then its end runs in the
 * loop.
 *
 * The thread starts with the first job, so that it is created inside the
 * sandbox.
 */
#ifndef QUEUE_SPOOL_FLUSH_H
#define QUEUE_SPOOL_FLUSH_H

#include <sys/queue.h>

#include "common/io/loop.h"

/* Embedded in the owner's struct, which it keeps alive until DONE. */
struct flush_task {
	STAILQ_ENTRY(flush_task) link;
	void (*run)(struct flush_task *j);  /* in the thread */
	void (*done)(struct flush_task *j); /* in the loop; may submit again */
};

/* Runs jobs: the thread, or a test that decides when. */
struct q_exec {
	void *ctx;
	void (*submit)(void *ctx, struct flush_task *j);
	/* Waits for all jobs and runs their ends. */
	void (*drain)(void *ctx);
};

struct q_flush;
struct q_flush *q_flush_new(struct hb_loop *l);
const struct q_exec *q_flush_exec(struct q_flush *f); /* borrowed */
/* Drains, then ends the thread. */
void q_flush_free(struct q_flush **f);

#endif
