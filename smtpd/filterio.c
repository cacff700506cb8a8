/*
 * The connections to filters: sockets, time, troubles.  Floor 4.  What is said
 * over them is the session's business (smtpd/filters.h).
 *
 * The jail reaches no unix socket: the parent connects to those.  A connection
 * that is over is let go of: it leaves when its last words are written, though
 * its client is gone by then.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io/trouble.h"
#include "common/proto/endpoint.h"
#include "smtpd/milter.h"
#include "smtpd/worker.h"

enum {
	INPUT_MAX = HB_MILTER_FRAME + HB_MAX_MILTER_PACKET,
	LEAVE_MS = 5000 /* for the last words */
};

struct smtpd_filterio {
	struct smtpd_worker *worker;
	struct smtpd_client *client; /* NULL: it leaves */
	size_t n; /* number of the filter */
	struct hb_conn *conn; /* NULL: not yet */
	uint32_t ref; /* of the question to the parent; 0: none */
	bool again;   /* the filter's backlog is full: ask once more */
	int64_t deadline_ms; /* monotonic; 0: none */
	LIST_ENTRY(smtpd_filterio) link; /* of those that leave */
};

static struct smtpd_milter *
machine(const struct smtpd_filterio *fio)
{
	return smtpd_session_filter(fio->client->session, fio->n);
}

static void
end(struct smtpd_filterio *fio)
{
	if (fio->client != NULL)
		fio->client->filters[fio->n] = NULL;
	else
		LIST_REMOVE(fio, link);
	hb_conn_free(&fio->conn);
	free(fio);
}

/* --- events --- */

static void
lost(struct smtpd_filterio *fio, const char *why)
{
	struct smtpd_client *c = fio->client;
	size_t n = fio->n;

	end(fio);
	if (c == NULL)
		return;
	smtpd_session_filter_lost(c->session, n, why);
	smtpd_client_run(c);
}

static void
connected(struct smtpd_filterio *fio)
{
	smtpd_session_filter_connected(fio->client->session, fio->n);
	smtpd_client_run(fio->client);
}

static void
on_connected(void *ctx)
{
	connected(ctx);
}

static void
on_input(void *ctx)
{
	struct smtpd_filterio *fio = ctx;

	if (fio->client != NULL)
		smtpd_client_run(fio->client);
	else
		hb_conn_consume(fio->conn, hb_conn_input(fio->conn).n);
}

static void
on_drain(void *ctx)
{
	struct smtpd_filterio *fio = ctx;

	if (fio->client == NULL)
		return;
	smtpd_session_filter_drained(fio->client->session, fio->n);
	smtpd_client_run(fio->client);
}

static void
on_close(void *ctx, int err, int syserr)
{
	lost(ctx, syserr != 0 ? strerror(syserr)
			      : "it closed the connection");
}

static const struct hb_conn_ops conn_ops = {
	.on_connected = on_connected,
	.on_input = on_input,
	.on_drain = on_drain,
	.on_close = on_close,
};

/* --- the beginning --- */

static void
ask_parent(struct smtpd_filterio *fio)
{
	struct smtpd_worker *w = fio->worker;
	struct hb_span path = hb_span_str(machine(fio)->conf->path);
	struct ipc_endpoint_get m = { .ref = smtpd_client_txn(fio->client) };

	/* one that a reload took away is none */
	if (hb_endpoint_find(w->env->conf, path, &m.index) < 0)
		m.index = UINT32_MAX;
	fio->ref = m.ref;
	fio->again = false;
	hb_peer_post(w->env->parent, HB_IPC_ENDPOINT_GET, &m, -1);
}

static void
open_one(struct smtpd_client *c, size_t n)
{
	struct smtpd_filterio *fio = HB_NEW(struct smtpd_filterio);

	fio->worker = c->worker;
	fio->client = c;
	fio->n = n;
	if (c->filters == NULL)
		c->filters = hb_calloc(smtpd_session_filters(c->session),
		    sizeof(*c->filters));
	c->filters[n] = fio;
	if (machine(fio)->conf->path != NULL)
		ask_parent(fio);
	else
		fio->conn = hb_conn_connect(c->worker->env->loop,
		    &machine(fio)->conf->addr, NULL, INPUT_MAX, &conn_ops,
		    fio);
}

static struct smtpd_filterio *
find(struct smtpd_worker *w, uint32_t ref)
{
	struct smtpd_client *c = smtpd_worker_find(w, ref);

	for (size_t i = 0; c != NULL && c->filters != NULL &&
	     i < smtpd_session_filters(c->session); i++)
		if (c->filters[i] != NULL && c->filters[i]->ref == ref)
			return c->filters[i];
	return NULL;
}

void
smtpd_on_endpoint(struct smtpd_worker *w, struct hb_peer *p,
    const struct ipc_endpoint *m, int fd)
{
	struct smtpd_filterio *fio = m->ref != 0 ? find(w, m->ref) : NULL;

	if (fio == NULL || m->error != 0) {
		if (m->error == 0)
			close(fd);
		if (fio == NULL)
			return;
		fio->ref = 0;
		fio->again = m->error == EAGAIN;
		if (!fio->again)
			lost(fio, strerror((int)m->error));
		return;
	}
	fio->ref = 0;
	fio->conn = hb_conn_attach(w->env->loop, fd, INPUT_MAX, &conn_ops,
	    fio);
	connected(fio);
}

/* --- what the machine wants --- */

static void
leave(struct smtpd_filterio *fio)
{
	struct smtpd_worker *w = fio->worker;

	if (fio->conn == NULL) {
		end(fio);
		return;
	}
	fio->client->filters[fio->n] = NULL;
	fio->client = NULL;
	fio->deadline_ms = hb_mono_ms() + LEAVE_MS;
	LIST_INSERT_HEAD(&w->leaving, fio, link);
	hb_conn_shutdown(fio->conn);
	smtpd_worker_start_sweep(w);
}

/* What is known of the filter NAME changes. */
static void
note_state(struct smtpd_worker *w, const char *name,
    const char *why)
{
	const struct hb_filters *all = &w->env->conf->milters;

	for (size_t i = 0; i < all->n; i++) {
		struct smtpd_filter_state *st = &w->filter_states[i];
		bool down = why != NULL;

		if (strcmp(all->v[i].name, name) != 0)
			continue;
		st->sessions += down ? 0 : 1;
		st->failures += down ? 1 : 0;
		if (st->since_ms == 0 || st->down != down)
			st->since_ms = w->site.now_ms;
		st->down = down;
	}
}

/* What became of a filter is told to the operator. */
static void
note(struct smtpd_client *c, struct smtpd_milter *m)
{
	struct hb_span name = hb_span_str(m->conf->name);

	if (m->came)
		hb_trouble_end(HB_EV_MILTER, name);
	if (m->failure != NULL)
		hb_trouble_begin(HB_EV_MILTER, name, hb_span_str(m->failure));
	if (m->came || m->failure != NULL)
		note_state(c->worker, m->conf->name, m->failure);
	m->came = false;
	free(m->failure);
	m->failure = NULL;
}

static bool
serve(struct smtpd_client *c, size_t n)
{
	struct smtpd_milter *m = smtpd_session_filter(c->session, n);
	struct smtpd_filterio *fio;
	bool any = m->opens || m->closes || m->out.n > 0;

	note(c, m);
	if (m->opens)
		open_one(c, n);
	m->opens = false;
	fio = c->filters != NULL ? c->filters[n] : NULL;
	if (fio != NULL && fio->conn != NULL)
		hb_conn_write(fio->conn, hb_buf_span(&m->out));
	hb_buf_free(&m->out);
	if (fio != NULL && m->timer_set)
		fio->deadline_ms = m->timer_ms != 0
		    ? hb_mono_ms() + m->timer_ms : 0;
	m->timer_set = false;
	if (fio != NULL && m->closes)
		leave(fio);
	m->closes = false;
	return any;
}

bool
smtpd_filterio_take(struct smtpd_client *c)
{
	bool any = false;

	for (size_t i = 0; i < smtpd_session_filters(c->session); i++)
		any = serve(c, i) || any;
	return any;
}

bool
smtpd_filterio_feed(struct smtpd_client *c)
{
	size_t used = 0;

	if (c->filters == NULL)
		return false;
	for (size_t i = 0; i < smtpd_session_filters(c->session); i++) {
		struct smtpd_filterio *fio = c->filters[i];

		if (fio == NULL || fio->conn == NULL)
			continue;
		used = smtpd_session_filter_input(c->session, i,
		    hb_conn_input(fio->conn));
		hb_conn_consume(fio->conn, used);
		/* of what is no packet nothing is used, and it is the end */
		if (used > 0 || machine(fio)->state == SMTPD_MILTER_GONE)
			return true;
	}
	return false;
}

bool
smtpd_filterio_tick(struct smtpd_client *c, int64_t now_ms)
{
	if (c->filters == NULL)
		return false;
	for (size_t i = 0; i < smtpd_session_filters(c->session); i++) {
		struct smtpd_filterio *fio = c->filters[i];

		if (fio == NULL)
			continue;
		if (fio->deadline_ms != 0 && now_ms >= fio->deadline_ms) {
			lost(fio, "it does not answer in time");
			return true;
		}
		if (fio->again)
			ask_parent(fio);
	}
	return false;
}

void
smtpd_filterio_sweep(struct smtpd_worker *w)
{
	struct smtpd_filterio *fio, *next;
	int64_t now = hb_mono_ms();

	for (fio = LIST_FIRST(&w->leaving); fio != NULL; fio = next) {
		next = LIST_NEXT(fio, link);
		if (now >= fio->deadline_ms)
			end(fio);
	}
}

void
smtpd_filterio_free(struct smtpd_client *c)
{
	for (size_t i = 0; c->filters != NULL &&
	     i < smtpd_session_filters(c->session); i++)
		if (c->filters[i] != NULL)
			end(c->filters[i]);
	free(c->filters);
	c->filters = NULL;
}

void
smtpd_filterio_answer(const struct smtpd_worker *w, const struct hb_ctl *c)
{
	const struct hb_filters *all = &w->env->conf->milters;

	hb_ctl_array(c, "filters");
	for (size_t i = 0; i < all->n; i++) {
		const struct smtpd_filter_state *st = &w->filter_states[i];

		hb_ctl_object(c, NULL);
		hb_ctl_text(c, "name", all->v[i].name);
		hb_ctl_text(c, "state", st->since_ms == 0 ? "unasked"
			: st->down ? "down" : "answers");
		if (st->since_ms != 0)
			hb_ctl_time(c, "since", st->since_ms);
		else
			hb_ctl_null(c, "since");
		hb_ctl_int(c, "sessions", (int64_t)st->sessions);
		hb_ctl_int(c, "failures", (int64_t)st->failures);
		hb_ctl_close(c);
	}
	hb_ctl_close(c);
}
