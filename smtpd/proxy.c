/*
 * Connections of balancers (listen ... proxy-protocol=): nothing is said, and
 * nothing counted, before the PROXY header names the client.  Floor 4.
 *
 * Bytes are looked at first and then read up to the end of the header: what
 * follows stays in the socket, for SMTP or a TLS handshake.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/limits.h"
#include "common/proto/proxy.h"
#include "smtpd/worker.h"

enum { HEADER_MS = 10000 }; /* a lost packet is sent again meanwhile */

struct smtpd_arrival {
	LIST_ENTRY(smtpd_arrival) link;
	struct smtpd_worker *worker;
	struct smtpd_caller who;
	struct hb_io *io;
	int64_t deadline_ms; /* monotonic */
	size_t n;	     /* of the header */
	unsigned char header[HB_MAX_PROXY_HEADER];
};

static void
forget(struct smtpd_arrival *a)
{
	LIST_REMOVE(a, link);
	hb_io_free(&a->io);
	smtpd_rules_drop(a->who.rules);
	free(a);
}

static void
give_up(struct smtpd_arrival *a)
{
	close(a->who.fd);
	forget(a);
}

/* The session begins. */
static void
arrive(struct smtpd_arrival *a)
{
	hb_io_free(&a->io);
	smtpd_client_new(a->worker, &a->who);
	forget(a);
}

static void
arrive_nameless(struct smtpd_arrival *a)
{
	a->who.nameless = true;
	arrive(a);
}

/* N bytes more are there to be looked at.  Those of the header are read. */
static void
look(struct smtpd_arrival *a, size_t n)
{
	struct hb_proxy p;
	int r = hb_proxy_parse(hb_span(a->header, a->n + n), &p);
	size_t mine = r > 0 ? (size_t)r - a->n : n;

	if (r < 0 || recv(a->who.fd, a->header + a->n, mine, 0) !=
	    (ssize_t)mine) {
		arrive_nameless(a);
		return;
	}
	a->n += mine;
	if (r == 0)
		return;
	if (p.client.family != 0)
		a->who.addr = p.client;
	arrive(a);
}

static void
on_bytes(void *ctx, unsigned what)
{
	struct smtpd_arrival *a = ctx;
	ssize_t n = recv(a->who.fd, a->header + a->n,
	    sizeof(a->header) - a->n, MSG_PEEK);

	if (n > 0)
		look(a, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		give_up(a);
}

void
smtpd_proxy_wait(struct smtpd_worker *w, const struct smtpd_caller *who)
{
	struct smtpd_arrival *a = HB_NEW(struct smtpd_arrival);

	a->worker = w;
	a->who = *who;
	a->who.rules->refs++;
	a->deadline_ms = hb_mono_ms() + HEADER_MS;
	LIST_INSERT_HEAD(&w->arrivals, a, link);
	a->io = hb_io_new(w->env->loop, who->fd, on_bytes, a);
	hb_io_want(a->io, HB_IO_READ);
	smtpd_worker_start_sweep(w);
}

void
smtpd_proxy_tick(struct smtpd_worker *w)
{
	struct smtpd_arrival *a, *next;

	for (a = LIST_FIRST(&w->arrivals); a != NULL; a = next) {
		next = LIST_NEXT(a, link);
		if (hb_mono_ms() >= a->deadline_ms)
			arrive_nameless(a);
	}
}

void
smtpd_proxy_stop(struct smtpd_worker *w)
{
	while (!LIST_EMPTY(&w->arrivals))
		give_up(LIST_FIRST(&w->arrivals));
}
