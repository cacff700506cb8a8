/*
 * hauberk-delivery: sends messages to other servers.  Floor 4: connects
 * channels and adaptors to the machines.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>

#include "common/base/err.h"

enum {
	/* Below what the parent waits for, or it would kill before all is
	 * told. */
	STOP_MS = 7000,
	ANSWER_MS = 15000, /* no question takes longer */
	MAX_BUNDLES = 64
};

static struct dlv_worker *
worker_of(const struct hb_role_env *env)
{
	return env->ctx;
}

/* --- configuration --- */

static void
copy_file(const struct hb_role_env *env, enum hb_file_kind kind,
    struct hb_buf *to)
{
	struct hb_span content;

	hb_buf_clear(to);
	if (hb_role_file(env, kind, 0, &content))
		hb_buf_add(to, content);
}

static struct hb_tls *
make_tls(const struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_span bundles[MAX_BUNDLES];
	size_t n = 0;

	while (n < MAX_BUNDLES &&
	    hb_role_file(env, HB_FILE_CA, (unsigned)n, &bundles[n]))
		n++;
	return hb_tls_client_new(bundles, n, env->conf->tls_min_version, err);
}

static int
make_adaptors(struct dlv_worker *w, struct hb_buf *err)
{
	struct hb_role_env *env = w->env;
	struct dlv_pool_env pool = { .loop = env->loop, .conf = env->conf,
		.ask_endpoint = dlv_endpoint_ask, .ctx = w };
	struct sts_env sts = { .loop = env->loop, .conf = env->conf,
		.ops = &dlv_store_ops, .build_ms = env->build_ms };

	copy_file(env, HB_FILE_HOSTS, &w->hosts);
	copy_file(env, HB_FILE_RESOLV, &w->resolv);
	w->dns = hb_dns_new(env->loop, env->conf, hb_buf_span(&w->resolv),
	    err);
	w->tls = make_tls(env, err);
	if (w->dns == NULL || w->tls == NULL)
		return HB_E_IO;
	w->probe = dlv_probe_new(w);
	pool.tls = w->tls;
	w->pool = dlv_pool_new(&pool);
	sts.dns = w->dns;
	sts.tls = w->tls;
	sts.store = dlv_store_table(w->store, HB_TABLE_POLICY);
	w->sts = sts_new(&sts);
	if (w->sts != NULL)
		return 0;
	hb_buf_adds(err, "libcurl cannot be set up");
	return HB_E_IO;
}

static void
free_worker(struct dlv_worker *w)
{
	dlv_jobs_free(&w->jobs);
	dlv_explain_lost(w, NULL);
	dlv_probe_free(&w->probe);
	sts_free(&w->sts);
	dlv_pool_free(&w->pool);
	hb_ctl_asks_free(&w->ledger_asks);
	dlv_ledger_free(&w->ledger);
	hb_hook_free(&w->ledger_turn);
	dlv_store_free(&w->store);
	hb_dns_free(&w->dns);
	hb_dns_free(&w->last_dns);
	hb_timer_free(&w->last_timer);
	hb_tls_free(&w->tls);
	hb_timer_free(&w->stop_timer);
	hb_buf_free(&w->hosts);
	hb_buf_free(&w->resolv);
	free(w);
}

static void
on_last_timer(void *ctx)
{
	struct dlv_worker *w = ctx;

	hb_dns_free(&w->last_dns);
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct dlv_worker *w = HB_NEW(struct dlv_worker);
	int r;

	w->env = env;
	w->last_timer = hb_timer_new(env->loop, on_last_timer, w);
	w->store = dlv_store_new(env);
	dlv_worker_ledger_setup(w);
	w->jobs = dlv_jobs_new(w);
	env->ctx = w;
	r = make_adaptors(w, err);
	if (r < 0) {
		free_worker(w);
		env->ctx = NULL;
	}
	return r;
}

static bool
same_servers(const struct hb_addrs *a, const struct hb_addrs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!hb_netaddr_eq(&a->v[i], &b->v[i]))
			return false;
	return true;
}

/*
 * The resolver of the new configuration; the old one where nothing changed,
 * so that questions under way are not lost.  NULL with ERR.
 */
static struct hb_dns *
next_dns(struct dlv_worker *w, const struct hb_conf *old, struct hb_buf *err)
{
	const struct hb_conf *conf = w->env->conf;
	struct hb_buf resolv = HB_BUF_INIT(0);
	struct hb_dns *dns = w->dns;

	copy_file(w->env, HB_FILE_RESOLV, &resolv);
	if (!same_servers(&old->resolvers, &conf->resolvers) ||
	    !hb_span_eq(hb_buf_span(&resolv), hb_buf_span(&w->resolv)))
		dns = hb_dns_new(w->env->loop, conf, hb_buf_span(&resolv),
		    err);
	if (dns != NULL) {
		hb_buf_free(&w->resolv);
		w->resolv = resolv;
	} else {
		hb_buf_free(&resolv);
	}
	return dns;
}

/* Everything new is made first, so that a failure leaves the old in place. */
static int
on_reload(struct hb_role_env *env, const struct hb_conf *old,
    struct hb_buf *err)
{
	struct dlv_worker *w = worker_of(env);
	struct hb_tls *tls = make_tls(env, err), *old_tls = w->tls;
	struct hb_dns *dns = NULL, *old_dns = w->dns;

	if (tls != NULL)
		dns = next_dns(w, old, err);
	if (dns == NULL) {
		hb_tls_free(&tls);
		return HB_E_IO;
	}
	copy_file(env, HB_FILE_HOSTS, &w->hosts);
	w->dns = dns;
	w->tls = tls;
	sts_reconf(w->sts, env->conf, dns, tls);
	dlv_pool_reconf(w->pool, env->conf, tls);
	dlv_probe_reconf(w->probe);
	if (old_dns != dns) {
		/* Attempts that wait for its answers get them: a reload is no
		 * trouble of DNS. */
		hb_dns_free(&w->last_dns);
		w->last_dns = old_dns;
		hb_timer_set(w->last_timer, ANSWER_MS);
	}
	hb_tls_free(&old_tls);
	return 0;
}

/* --- peers --- */

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	if (hb_peer_role(p) == HB_ROLE_QUEUE) {
		sts_store_up(worker_of(env)->sts);
		dlv_jobs_queue_up(worker_of(env)->jobs);
		dlv_ledger_store_up(worker_of(env)->ledger);
	}
}

static void
on_peer_lost(struct hb_role_env *env, struct hb_peer *p)
{
	struct dlv_worker *w = worker_of(env);

	if (hb_peer_role(p) == HB_ROLE_QUEUE) {
		dlv_store_lost(w->store);
	} else if (hb_peer_role(p) == HB_ROLE_CONTROL) {
		dlv_explain_lost(w, p);
		sts_ctl_lost(w->sts, p);
		hb_ctl_asks_lost(&w->ledger_asks, p);
	}
}

static void
on_peer_drain(struct hb_role_env *env, struct hb_peer *p)
{
	if (hb_peer_role(p) == HB_ROLE_QUEUE)
		dlv_jobs_queue_drained(worker_of(env)->jobs);
}

static void
on_clock(struct hb_role_env *env)
{
	sts_clock_moved(worker_of(env)->sts);
}

static void
on_ctl(struct hb_role_env *env, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct dlv_worker *w = worker_of(env);
	struct hb_ctl c = { .peer = control, .ref = q->ref };

	if (q->verb == HB_CTL_STATUS) {
		hb_ctl_int(&c, "jobs", (int64_t)dlv_jobs_running(w->jobs));
		hb_ctl_int(&c, "connections",
		    (int64_t)dlv_pool_connections(w->pool));
		hb_ctl_int(&c, "idle_connections",
		    (int64_t)dlv_pool_idle(w->pool));
		dlv_probe_status(w->probe, &c);
		sts_status(w->sts, &c);
	} else if (q->verb == HB_CTL_EXPLAIN_ROUTE) {
		dlv_explain(w, control, q);
	} else if (!dlv_ledger_ctl(w, control, q) &&
	    !sts_ctl(w->sts, control, q)) {
		hb_ctl_end(&c, 1, "not a question for this role");
	}
}

/* --- stop --- */

void
dlv_worker_idle(struct dlv_worker *w)
{
	struct hb_peer *queue = hb_role_peer(w->env, HB_ROLE_QUEUE, 0);

	if (queue != NULL)
		hb_peer_flush(queue, 1000);
	hb_role_exit(w->env);
}

static void
on_stop_timer(void *ctx)
{
	dlv_worker_idle(ctx);
}

/* Transactions that run are finished, within bounds: what was sent and not
 * answered would be sent twice. */
static void
on_stop(struct hb_role_env *env)
{
	struct dlv_worker *w = worker_of(env);

	if (dlv_jobs_are_over(w->jobs)) {
		dlv_worker_idle(w);
		return;
	}
	w->stopping = true;
	w->stop_timer = hb_timer_new(env->loop, on_stop_timer, w);
	hb_timer_set(w->stop_timer, STOP_MS);
}

static const struct hb_role_spec spec = {
	.role = HB_ROLE_DELIVERY,
	.on = dlv_on_frame,
	.setup = setup,
	.on_reload = on_reload,
	.on_peer = on_peer,
	.on_peer_lost = on_peer_lost,
	.on_peer_drain = on_peer_drain,
	.on_clock = on_clock,
	.on_stop = on_stop,
	.on_ctl = on_ctl,
};

int
main(int argc, char **argv)
{
	return hb_role_run(&spec, argc, argv);
}
