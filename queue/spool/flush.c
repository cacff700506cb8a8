/* The helper thread of the queue.  Floor 3. */
#include "config.h"

#include "queue/spool/flush.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/mem.h"

STAILQ_HEAD(job_list, flush_task);

struct q_flush {
	struct q_exec exec;
	struct hb_io *io;
	int fd; /* eventfd: jobs have ended */
	bool started;
	size_t under_way; /* the loop's count, ends not yet run */
	struct job_list ending; /* the loop's: ends to run now */
	pthread_t thread;
	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t work;
	struct job_list todo, ended;
	bool stop;
};

static void *
thread_main(void *arg)
{
	struct q_flush *f = arg;
	struct flush_task *j;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		while ((j = STAILQ_FIRST(&f->todo)) == NULL && !f->stop)
			pthread_cond_wait(&f->work, &f->lock);
		if (j == NULL)
			break;
		STAILQ_REMOVE_HEAD(&f->todo, link);
		pthread_mutex_unlock(&f->lock);
		j->run(j);
		pthread_mutex_lock(&f->lock);
		STAILQ_INSERT_TAIL(&f->ended, j, link);
		uint64_t one = 1;

		while (write(f->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			continue;
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void
submit(void *ctx, struct flush_task *j)
{
	struct q_flush *f = ctx;

	if (!f->started) {
		/* Signals stay with the loop's thread. */
		sigset_t all, old;

		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		if (pthread_create(&f->thread, NULL, thread_main, f) != 0)
			HB_BUG("the helper thread does not start");
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		f->started = true;
	}
	f->under_way++;
	pthread_mutex_lock(&f->lock);
	STAILQ_INSERT_TAIL(&f->todo, j, link);
	pthread_cond_signal(&f->work);
	pthread_mutex_unlock(&f->lock);
}

/* An end may drain in its turn: what is left is found in the list. */
static void
run_ends(struct q_flush *f)
{
	struct flush_task *j;
	uint64_t count;

	if (STAILQ_EMPTY(&f->ending)) {
		while (read(f->fd, &count, sizeof(count)) < 0 &&
		    errno == EINTR)
			continue;
		pthread_mutex_lock(&f->lock);
		STAILQ_CONCAT(&f->ending, &f->ended);
		pthread_mutex_unlock(&f->lock);
	}
	while ((j = STAILQ_FIRST(&f->ending)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->ending, link);
		f->under_way--;
		j->done(j);
	}
}

static void
on_event(void *ctx, unsigned what)
{
	run_ends(ctx);
}

/* The eventfd blocks: the loop reads it when it is ready only. */
static void
drain(void *ctx)
{
	struct q_flush *f = ctx;

	while (f->under_way > 0)
		run_ends(f);
}

struct q_flush *
q_flush_new(struct hb_loop *l)
{
	struct q_flush *f = HB_NEW(struct q_flush);

	f->fd = eventfd(0, EFD_CLOEXEC);
	if (f->fd < 0)
		HB_BUG("no eventfd");
	f->exec = (struct q_exec){ f, submit, drain };
	STAILQ_INIT(&f->todo);
	STAILQ_INIT(&f->ended);
	STAILQ_INIT(&f->ending);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->work, NULL);
	f->io = hb_io_new(l, f->fd, on_event, f);
	hb_io_want(f->io, HB_IO_READ);
	return f;
}

const struct q_exec *
q_flush_exec(struct q_flush *f)
{
	return &f->exec;
}

void
q_flush_free(struct q_flush **fp)
{
	struct q_flush *f = *fp;

	if (f == NULL)
		return;
	drain(f);
	if (f->started) {
		pthread_mutex_lock(&f->lock);
		f->stop = true;
		pthread_cond_signal(&f->work);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->thread, NULL);
	}
	hb_io_free(&f->io);
	close(f->fd);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->work);
	free(f);
	*fp = NULL;
}
