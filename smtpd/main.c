/* hauberk-smtpd: receives mail from clients.  Floor 4. */
#include "config.h"

#include "common/io/ctlreply.h"
#include "common/proto/stats.h"
#include "smtpd/worker.h"

static struct smtpd_worker *
worker_of(const struct hb_role_env *env)
{
	return env->ctx;
}

/* Without a word to the parent there would be no TLS here any more. */
static void
keyagent_broken(void *ctx, const char *why)
{
	struct hb_role_env *env = ctx;
	struct ipc_peer_lost m = { .role = HB_ROLE_KEYAGENT,
		.why = hb_span_str(why) };

	HB_LOG(HB_LOG_ERROR, HB_EV_PEER, hb_kv_str(HB_K_STATE, "broken"),
	    hb_kv_str(HB_K_PEER, hb_role_name(HB_ROLE_KEYAGENT)),
	    hb_kv_str(HB_K_ERROR, why));
	hb_peer_post(env->parent, HB_IPC_PEER_LOST, &m, -1);
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct smtpd_worker *w = HB_NEW(struct smtpd_worker);

	env->ctx = w;
	w->env = env;
	w->keys = hb_keyclient_new();
	hb_keyclient_on_broken(w->keys, keyagent_broken, env);
	w->site.now_ms = hb_now_ms();
	w->site.space = UINT64_MAX;
	w->site.ids.instance = (uint8_t)env->instance;
	hb_random(&w->site.ids.counter, sizeof(w->site.ids.counter));
	return smtpd_worker_configure(w, err);
}

/* Sessions keep the rules they began with. */
static int
on_reload(struct hb_role_env *env, const struct hb_conf *old,
    struct hb_buf *err)
{
	return smtpd_worker_configure(worker_of(env), err);
}

static void
router_up(struct smtpd_client *c)
{
	smtpd_session_router_up(c->session);
	smtpd_client_run(c);
}

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	struct smtpd_worker *w = worker_of(env);

	if (hb_peer_role(p) == HB_ROLE_ROUTER)
		smtpd_worker_each(w, router_up);
	else if (hb_peer_role(p) == HB_ROLE_QUEUE)
		w->site.queue_up = true;
}

/* Nothing of an open transaction can be saved; after a pause nobody else
 * would wake the client. */
static void
queue_lost(struct smtpd_client *c)
{
	smtpd_frames_end(c);
	smtpd_session_queue_lost(c->session);
	c->paused = false;
	if (c->conn != NULL && c->tls_ms == 0)
		hb_conn_pause(c->conn, false);
	smtpd_client_run(c);
}

static void
on_peer_lost(struct hb_role_env *env, struct hb_peer *p)
{
	struct smtpd_worker *w = worker_of(env);

	if (hb_peer_role(p) != HB_ROLE_QUEUE)
		return;
	w->site.queue_up = false;
	smtpd_worker_each(w, queue_lost);
}

static void
on_peer_drain(struct hb_role_env *env, struct hb_peer *p)
{
	if (hb_peer_role(p) == HB_ROLE_QUEUE)
		smtpd_worker_each(worker_of(env), smtpd_client_go_on);
}

static bool
claim_peer(struct hb_role_env *env, enum hb_role role, unsigned instance,
    int fd)
{
	if (role != HB_ROLE_KEYAGENT)
		return false;
	hb_keyclient_set_fd(worker_of(env)->keys, fd);
	return true;
}

static void
on_stop(struct hb_role_env *env)
{
	smtpd_worker_stop(worker_of(env));
}

static void
on_ctl(struct hb_role_env *env, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	const struct smtpd_worker *w = worker_of(env);
	struct hb_ctl c = { .peer = control, .ref = q->ref };

	if (q->verb == HB_CTL_SESSIONS) {
		smtpd_sessions_ctl(w, &c);
		return;
	}
	if (q->verb != HB_CTL_STATUS) {
		hb_ctl_end(&c, 64, "smtpd does not know this");
		return;
	}
	hb_ctl_int(&c, "sessions", (int64_t)w->n_clients);
	hb_ctl_int(&c, "sessions_total", (int64_t)w->sessions);
	hb_ctl_int(&c, "accepted", (int64_t)hb_stat_sum(HB_STAT_ACCEPTED_SMTP));
	hb_ctl_int(&c, "rejected", (int64_t)hb_stat_sum(HB_STAT_REFUSED_CONNECT));
	hb_ctl_int(&c, "logins_failed",
	    (int64_t)hb_stats[HB_STAT_LOGIN_FAIL]);
	hb_ctl_int(&c, "tries_delayed",
	    (int64_t)hb_stat_sum(HB_STAT_DELAYED_LOGIN));
	hb_ctl_int(&c, "bytes", (int64_t)w->site.bytes);
	hb_ctl_bool(&c, "tls", w->site.tls_ready);
	smtpd_certs_answer(w, &c);
	smtpd_filterio_answer(w, &c);
}

int
main(int argc, char **argv)
{
	static const struct hb_role_spec spec = {
		.role = HB_ROLE_SMTPD,
		.on = smtpd_on_frame,
		.setup = setup,
		.on_reload = on_reload,
		.on_peer = on_peer,
		.on_peer_lost = on_peer_lost,
		.on_peer_drain = on_peer_drain,
		.claim_peer = claim_peer,
		.on_stop = on_stop,
		.on_ctl = on_ctl,
	};

	return hb_role_run(&spec, argc, argv);
}
