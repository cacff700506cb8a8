/* Listeners, rules, the list of clients.  Floor 4. */
#include "config.h"

#include "smtpd/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/sock.h"
#include "common/io/trouble.h"
#include "common/proto/incoming.h"

enum {
	ACCEPT_BATCH = 64,
	SWEEP_MS = 250,
	STOP_MS = 6000 /* for commits on their way; the parent waits 8 s */
};

/* --- rules and certificates --- */

void
smtpd_rules_drop(struct smtpd_listener_conf *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	hb_arena_free(&r->arena);
	free(r);
}

/* Sessions keep the filters that they began with. */
static void
copy_filters(const struct hb_filters *from, struct smtpd_listener_conf *r)
{
	struct hb_filters *to;

	if (from->n == 0)
		return;
	r->arena = hb_arena_new();
	to = hb_arena_alloc(r->arena, sizeof(*to));
	to->n = from->n;
	to->v = hb_arena_alloc(r->arena, from->n * sizeof(*to->v));
	for (size_t i = 0; i < from->n; i++) {
		to->v[i] = from->v[i];
		to->v[i].name = hb_arena_cstr(r->arena,
		    hb_span_str(from->v[i].name));
		if (from->v[i].path != NULL)
			to->v[i].path = hb_arena_cstr(r->arena,
			    hb_span_str(from->v[i].path));
	}
	r->filters = to;
}

/* What listeners have in common. */
static struct smtpd_listener_conf *
make_common(const struct hb_conf *c)
{
	struct smtpd_listener_conf *r = HB_NEW(struct smtpd_listener_conf);

	r->refs = 1;
	if (hb_span_copy(hb_span_str(c->hostname), r->hostname,
		sizeof(r->hostname)) < 0)
		r->hostname[0] = '\0';
	if (hb_span_copy(hb_span_str(hb_conf_origin(c)), r->origin,
		sizeof(r->origin)) < 0)
		r->origin[0] = '\0';
	r->max_size = c->max_message_size;
	r->max_header = c->max_header_size;
	r->max_recipients = c->max_recipients;
	r->max_hops = c->max_hops;
	r->command_ms = c->command_timeout;
	r->data_ms = c->data_timeout;
	copy_filters(&c->milters, r);
	return r;
}

static struct smtpd_listener_conf *
make_rules(const struct hb_conf *c, unsigned index)
{
	const struct hb_listen *l = &c->listens.v[index];
	struct smtpd_listener_conf *r = make_common(c);

	r->kind = l->kind;
	r->listen = index;
	r->tls = l->tls;
	r->auth = l->auth;
	r->implicit_tls = l->kind == HB_LISTEN_SUBMISSIONS;
	return r;
}

/* As hb_incoming_dropped: sendmail -bs has put in a field of its own. */
struct smtpd_listener_conf *
smtpd_worker_local_rules(const struct smtpd_worker *w)
{
	struct smtpd_listener_conf *r = make_common(w->env->conf);
	struct hb_incoming_rules in = hb_incoming_dropped(w->env->conf);

	r->kind = HB_LISTEN_SUBMISSION;
	r->max_header = in.max_header;
	r->max_hops = in.max_hops;
	return r;
}

static void
replace_rules(struct smtpd_worker *w)
{
	for (size_t i = 0; i < w->n_rules; i++)
		smtpd_rules_drop(w->rules[i]);
	free(w->rules);
	w->n_rules = w->env->conf->listens.n;
	w->rules =
	    hb_calloc(w->n_rules + 1, sizeof(struct smtpd_listener_conf *));
	for (size_t i = 0; i < w->n_rules; i++)
		w->rules[i] = make_rules(w->env->conf, (unsigned)i);
}

int
smtpd_worker_configure(struct smtpd_worker *w, struct hb_buf *err)
{
	struct hb_span chains[HB_MAX_CERTIFICATES];
	struct hb_tls *tls = NULL, *before;
	unsigned n = 0;

	while (n < HB_MAX_CERTIFICATES &&
	    hb_role_file(w->env, HB_FILE_CERT, n, &chains[n]))
		n++;
	if (n > 0) {
		tls = hb_tls_server_new(chains, n,
		    w->env->conf->tls_min_version, w->keys, err);
		if (tls == NULL)
			return HB_E_TLS;
	}
	before = w->tls;
	w->tls = tls;
	smtpd_certs_tell(w, before);
	hb_tls_free(&before);
	w->site.tls_ready = tls != NULL;
	w->site.greylist = w->env->conf->greylist.on;
	/* their zones are those of the configuration before */
	smtpd_worker_each(w, smtpd_lookup_give_up);
	smtpd_lookup_reset(w);
	hb_trouble_end_all(HB_EV_MILTER);
	free(w->filter_states);
	w->filter_states = hb_calloc(w->env->conf->milters.n + 1,
	    sizeof(*w->filter_states));
	smtpd_worker_unlisten(w); /* those of these rules come behind them */
	replace_rules(w);
	smtpd_certs_changed(w);
	return 0;
}

/* --- listeners --- */

void
smtpd_worker_unlisten(struct smtpd_worker *w)
{
	struct smtpd_listener *l;

	while ((l = SLIST_FIRST(&w->listeners)) != NULL) {
		SLIST_REMOVE_HEAD(&w->listeners, link);
		hb_io_free(&l->io);
		close(l->fd);
		free(l);
	}
}

/* Out of descriptors or memory: the sweep tries again. */
static bool
is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM;
}

static void
take(struct smtpd_listener *l, int fd, const struct hb_netaddr *addr)
{
	struct smtpd_worker *w = l->worker;
	const struct hb_listen *spec = &w->env->conf->listens.v[l->index];
	struct smtpd_caller who = { .rules = w->rules[l->index], .fd = fd,
		.addr = *addr };

	if (hb_cidrs_have(&spec->proxies, addr))
		smtpd_proxy_wait(w, &who);
	else
		smtpd_client_new(w, &who);
}

/* One connection, or false when there is none to take now. */
static bool
accept_one(struct smtpd_listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct hb_netaddr addr = { 0 };
	int fd = accept4(l->fd, (struct sockaddr *)&ss, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (is_shortage(errno)) {
			hb_io_want(l->io, 0);
			smtpd_worker_start_sweep(l->worker);
		}
		return errno == ECONNABORTED || errno == EINTR;
	}
	if (hb_sock_to_netaddr(&ss, len, &addr))
		take(l, fd, &addr);
	else
		close(fd);
	return true;
}

static void
on_ready(void *ctx, unsigned what)
{
	struct smtpd_listener *l = ctx;
	int n = 0;

	while (n < ACCEPT_BATCH && accept_one(l))
		n++;
}

void
smtpd_worker_listen(struct smtpd_worker *w, uint32_t index, int fd)
{
	struct smtpd_listener *l;

	if (w->stopping || index >= w->n_rules || hb_sock_set_nonblock(fd)) {
		close(fd);
		return;
	}
	l = HB_NEW(struct smtpd_listener);
	l->worker = w;
	l->index = index;
	l->fd = fd;
	SLIST_INSERT_HEAD(&w->listeners, l, link);
	l->io = hb_io_new(w->env->loop, fd, on_ready, l);
	hb_io_want(l->io, HB_IO_READ);
}

/* --- clients --- */

struct smtpd_client *
smtpd_worker_find(struct smtpd_worker *w, uint64_t ref)
{
	uint64_t index = ref & ((1u << SMTPD_REF_BITS) - 1);

	return ref != 0 && index < w->n_slots ? w->clients[index] : NULL;
}

void
smtpd_worker_each(struct smtpd_worker *w, void (*fn)(struct smtpd_client *c))
{
	for (size_t i = 0; i < w->n_slots; i++)
		if (w->clients[i] != NULL)
			fn(w->clients[i]);
}

static void
on_sweep(void *ctx)
{
	struct smtpd_worker *w = ctx;
	struct smtpd_listener *l;

	w->site.now_ms = hb_now_ms();
	SLIST_FOREACH(l, &w->listeners, link)
		hb_io_want(l->io, HB_IO_READ);
	smtpd_proxy_tick(w);
	smtpd_worker_each(w, smtpd_client_tick);
	smtpd_filterio_sweep(w);
	if (w->stopping &&
	    (w->n_clients == 0 || hb_mono_ms() >= w->stop_at_ms))
		hb_role_exit(w->env);
	else if (w->n_clients > 0 || !LIST_EMPTY(&w->arrivals) ||
	    w->stopping || !LIST_EMPTY(&w->leaving))
		smtpd_worker_start_sweep(w);
}

void
smtpd_worker_start_sweep(struct smtpd_worker *w)
{
	if (w->sweep == NULL)
		w->sweep = hb_timer_new(w->env->loop, on_sweep, w);
	if (!hb_timer_is_set(w->sweep))
		hb_timer_set(w->sweep, SWEEP_MS);
}

static void
stop_client(struct smtpd_client *c)
{
	smtpd_session_stop(c->session);
	smtpd_client_run(c);
}

void
smtpd_worker_stop(struct smtpd_worker *w)
{
	w->stopping = true;
	w->stop_at_ms = hb_mono_ms() + STOP_MS;
	smtpd_worker_unlisten(w);
	smtpd_proxy_stop(w);
	smtpd_worker_each(w, stop_client);
	if (w->n_clients == 0)
		hb_role_exit(w->env);
	else
		smtpd_worker_start_sweep(w);
}
