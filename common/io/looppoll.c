/*
 * The event loop over poll(2), for a role that has few descriptors and is
 * linked without libevent (HACKING "Roles").  Floor 3.  It handles no signals:
 * the parent does.
 */
#include "config.h"

#include "common/io/loop-priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum { MAX_FDS = 64 };

struct hb_timer {
	TAILQ_ENTRY(hb_timer) link;
	struct hb_loop *loop;
	int64_t at_ms; /* monotonic; -1: not set */
	hb_timer_fn cb;
	void *ctx;
};

struct hb_io {
	struct hb_loop *loop;
	int fd;
	size_t slot;
	hb_io_fn cb;
	void *ctx;
};

struct hb_loop {
	struct hb_hooks hooks; /* first */
	TAILQ_HEAD(, hb_timer) timers;
	struct pollfd fds[MAX_FDS];
	struct hb_io *ios[MAX_FDS];
	size_t nfds;
	bool stop;
};

struct hb_loop *
hb_loop_new(void)
{
	struct hb_loop *l = HB_NEW(struct hb_loop);

	TAILQ_INIT(&l->timers);
	hb_clock_refresh();
	return l;
}

void
hb_loop_free(struct hb_loop **l)
{
	if (*l == NULL)
		return;
	hb_hooks_free(&(*l)->hooks);
	free(*l);
	*l = NULL;
}

/* Timers.  There are so few that a list does. */

struct hb_timer *
hb_timer_new(struct hb_loop *l, hb_timer_fn cb, void *ctx)
{
	struct hb_timer *t = HB_NEW(struct hb_timer);

	t->loop = l;
	t->at_ms = -1;
	t->cb = cb;
	t->ctx = ctx;
	TAILQ_INSERT_TAIL(&l->timers, t, link);
	return t;
}

void
hb_timer_set(struct hb_timer *t, int64_t ms)
{
	t->at_ms = hb_mono_ms() + (ms > 0 ? ms : 0);
}

void
hb_timer_clear(struct hb_timer *t)
{
	t->at_ms = -1;
}

bool
hb_timer_is_set(const struct hb_timer *t)
{
	return t->at_ms >= 0;
}

void
hb_timer_free(struct hb_timer **t)
{
	if (*t == NULL)
		return;
	TAILQ_REMOVE(&(*t)->loop->timers, *t, link);
	free(*t);
	*t = NULL;
}

/* The timer that is due first, or NULL. */
static struct hb_timer *
first_timer(const struct hb_loop *l)
{
	struct hb_timer *t, *first = NULL;

	TAILQ_FOREACH(t, &l->timers, link)
		if (t->at_ms >= 0 && (first == NULL || t->at_ms < first->at_ms))
			first = t;
	return first;
}

/* One that is set again for now waits for the next turn. */
static void
run_timers(struct hb_loop *l)
{
	int64_t now = hb_mono_ms();
	struct hb_timer *t;

	while ((t = first_timer(l)) != NULL && t->at_ms < now) {
		t->at_ms = -1;
		t->cb(t->ctx);
	}
}

/* --- descriptors --- */

struct hb_io *
hb_io_new(struct hb_loop *l, int fd, hb_io_fn cb, void *ctx)
{
	struct hb_io *io = HB_NEW(struct hb_io);

	HB_ASSERT(l->nfds < MAX_FDS);
	io->loop = l;
	io->fd = fd;
	io->slot = l->nfds++;
	io->cb = cb;
	io->ctx = ctx;
	l->ios[io->slot] = io;
	l->fds[io->slot] = (struct pollfd){ .fd = -1 };
	return io;
}

void
hb_io_want(struct hb_io *io, unsigned what)
{
	struct pollfd *p = &io->loop->fds[io->slot];

	/* the end of a peer is told of whether it is wanted or not */
	p->fd = what != 0 ? io->fd : -1;
	p->events = (short)(((what & HB_IO_READ) != 0 ? POLLIN : 0) |
	    ((what & HB_IO_WRITE) != 0 ? POLLOUT : 0));
}

/* The last one takes the free place. */
void
hb_io_free(struct hb_io **io)
{
	struct hb_loop *l;
	size_t last, slot;

	if (*io == NULL)
		return;
	l = (*io)->loop;
	slot = (*io)->slot;
	last = --l->nfds;
	l->fds[slot] = l->fds[last];
	l->ios[slot] = l->ios[last];
	l->ios[slot]->slot = slot;
	free(*io);
	*io = NULL;
}

/* What poll said, in terms of what is wanted: a peer that is gone makes both
 * ready. */
static unsigned
ready(const struct pollfd *p)
{
	bool gone = (p->revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
	unsigned what = 0;

	if ((p->events & POLLIN) != 0 && (gone || (p->revents & POLLIN) != 0))
		what |= HB_IO_READ;
	if ((p->events & POLLOUT) != 0 && (gone || (p->revents & POLLOUT) != 0))
		what |= HB_IO_WRITE;
	return what;
}

/* From the end: a callback may free any, the last then takes its place and
 * has had its turn. */
static void
run_ios(struct hb_loop *l)
{
	for (size_t i = l->nfds; i-- > 0;) {
		unsigned what = i < l->nfds ? ready(&l->fds[i]) : 0;

		if (what == 0)
			continue;
		l->fds[i].revents = 0;
		l->ios[i]->cb(l->ios[i]->ctx, what);
	}
}

/* --- the loop --- */

static int
wait_ms(const struct hb_loop *l)
{
	const struct hb_timer *t = first_timer(l);
	int64_t ms;

	if (l->hooks.armed != NULL)
		return 0;
	if (t == NULL)
		return -1;
	/* a clock that was read a little earlier shall not end it too soon */
	ms = t->at_ms - hb_mono_ms() + 1;
	return ms <= 0 ? 0 : ms < 60000 ? (int)ms : 60000;
}

int
hb_loop_run(struct hb_loop *l)
{
	l->stop = false;
	hb_turn_ended();
	while (!l->stop) {
		if (poll(l->fds, (nfds_t)l->nfds, wait_ms(l)) < 0 &&
		    errno != EINTR)
			return HB_E_IO;
		hb_clock_refresh();
		run_ios(l);
		run_timers(l);
		hb_hooks_run(&l->hooks);
		hb_turn_ended();
	}
	return 0;
}

void
hb_loop_stop(struct hb_loop *l)
{
	l->stop = true;
}
