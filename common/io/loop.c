/* The event loop over libevent.  Floor 3. */
#include "config.h"

#include "common/io/loop-priv.h"

#include <stdlib.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "common/base/err.h"
#include "common/base/mem.h"

struct signal_watch {
	struct event *ev;
	hb_signal_fn cb;
	void *ctx;
	SLIST_ENTRY(signal_watch) link;
};

struct hb_loop {
	struct hb_hooks hooks; /* first */
	struct event_base *base;
	SLIST_HEAD(, signal_watch) signals;
	bool stop;
};

struct hb_timer {
	struct event *ev;
	hb_timer_fn cb;
	void *ctx;
};

struct hb_io {
	struct hb_loop *loop;
	struct event *ev;
	int fd;
	unsigned want;
	hb_io_fn cb;
	void *ctx;
};

struct hb_loop *
hb_loop_new(void)
{
	struct hb_loop *l = HB_NEW(struct hb_loop);
	struct event_config *cfg = event_config_new();

	if (cfg == NULL)
		HB_BUG("out of memory");
	/* The loop runs in one thread; helper threads answer through an
	 * eventfd and touch nothing of it. */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL)
		HB_BUG("no event base");
	hb_clock_refresh();
	return l;
}

void
hb_loop_free(struct hb_loop **l)
{
	struct signal_watch *w;

	if (*l == NULL)
		return;
	while ((w = SLIST_FIRST(&(*l)->signals)) != NULL) {
		SLIST_REMOVE_HEAD(&(*l)->signals, link);
		event_free(w->ev);
		free(w);
	}
	hb_hooks_free(&(*l)->hooks);
	event_base_free((*l)->base);
	free(*l);
	*l = NULL;
}

int
hb_loop_run(struct hb_loop *l)
{
	l->stop = false;
	hb_turn_ended();
	while (!l->stop) {
		int flags = EVLOOP_ONCE;

		if (l->hooks.armed != NULL)
			flags |= EVLOOP_NONBLOCK;
		if (event_base_loop(l->base, flags) < 0)
			return HB_E_IO;
		hb_clock_refresh();
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

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct hb_timer *t = ctx;

	hb_clock_refresh();
	t->cb(t->ctx);
}

struct hb_timer *
hb_timer_new(struct hb_loop *l, hb_timer_fn cb, void *ctx)
{
	struct hb_timer *t = HB_NEW(struct hb_timer);

	t->cb = cb;
	t->ctx = ctx;
	t->ev = evtimer_new(l->base, on_timer, t);
	if (t->ev == NULL)
		HB_BUG("out of memory");
	return t;
}

void
hb_timer_set(struct hb_timer *t, int64_t ms)
{
	struct timeval tv;

	if (ms < 0)
		ms = 0;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	if (evtimer_add(t->ev, &tv) != 0)
		HB_BUG("timer");
}

void
hb_timer_clear(struct hb_timer *t)
{
	evtimer_del(t->ev);
}

bool
hb_timer_is_set(const struct hb_timer *t)
{
	return evtimer_pending(t->ev, NULL) != 0;
}

void
hb_timer_free(struct hb_timer **t)
{
	if (*t == NULL)
		return;
	event_free((*t)->ev);
	free(*t);
	*t = NULL;
}

static void
on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct hb_io *io = ctx;
	unsigned got = 0;

	if (what & EV_READ)
		got |= HB_IO_READ;
	if (what & EV_WRITE)
		got |= HB_IO_WRITE;
	hb_clock_refresh();
	io->cb(io->ctx, got);
}

struct hb_io *
hb_io_new(struct hb_loop *l, int fd, hb_io_fn cb, void *ctx)
{
	struct hb_io *io = HB_NEW(struct hb_io);

	io->loop = l;
	io->fd = fd;
	io->cb = cb;
	io->ctx = ctx;
	io->ev = event_new(l->base, fd, 0, on_io, io);
	if (io->ev == NULL)
		HB_BUG("out of memory");
	return io;
}

void
hb_io_want(struct hb_io *io, unsigned what)
{
	short events = EV_PERSIST;

	if (what == io->want)
		return;
	io->want = what;
	event_del(io->ev);
	if (what == 0)
		return;
	if (what & HB_IO_READ)
		events |= EV_READ;
	if (what & HB_IO_WRITE)
		events |= EV_WRITE;
	event_assign(io->ev, io->loop->base, io->fd, events, on_io, io);
	if (event_add(io->ev, NULL) != 0)
		HB_BUG("event_add");
}

void
hb_io_free(struct hb_io **io)
{
	if (*io == NULL)
		return;
	event_free((*io)->ev);
	free(*io);
	*io = NULL;
}

static void
on_signal(evutil_socket_t signo, short what, void *ctx)
{
	struct signal_watch *w = ctx;

	hb_clock_refresh();
	w->cb(w->ctx, (int)signo);
}

void
hb_loop_on_signal(struct hb_loop *l, int signo, hb_signal_fn cb, void *ctx)
{
	struct signal_watch *w = HB_NEW(struct signal_watch);

	w->cb = cb;
	w->ctx = ctx;
	w->ev = evsignal_new(l->base, signo, on_signal, w);
	if (w->ev == NULL || event_add(w->ev, NULL) != 0)
		HB_BUG("signal event");
	SLIST_INSERT_HEAD(&l->signals, w, link);
}
