/* The queue manager: its start and end, who is there to work with, and what
 * the scheduler wants done.  It knows all others; none of them knows it.
 * Floor 4. */
#include "config.h"

#include "queue/manager/job.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/io/workers.h"

enum {
	ACTIONS_TURN = 1000,	/* then others have their turn */
	MOVES = 20, /* that become due take as long as an action */
	NAP_MS = 10 * 1000 /* the machine may sleep: timers stand still */
};

/* --- the spool --- */

static void
on_corrupt(void *ctx, uint64_t id, const char *file)
{
	struct q *q = ctx;
	struct sched_msg *m = id != 0 ? q_sched_find(q->sched, id) : NULL;

	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT,
	    hb_kv_if(id != 0, hb_kv_id(HB_K_MSG, id)),
	    hb_kv_str(HB_K_FILE, file));
	if (m != NULL)
		q_forget(q, m);
}

static void
on_space(void *ctx, uint64_t bytes)
{
	struct q *q = ctx;

	HB_LOG(bytes > 0 ? HB_LOG_INFO : HB_LOG_ERROR, HB_EV_SPOOL,
	    hb_kv_str(HB_K_STATE, bytes > 0 ? "space" : "full"),
	    hb_kv_int(HB_K_SIZE, (int64_t)bytes));
	q_room_seen(q, bytes);
}

/* Messages whose recipients were all done when the record of their end was
 * lost. */
static void
finish_replayed(struct q *q)
{
	uint32_t cursor = 0;
	struct sched_msg *m;

	while ((m = q_sched_walk(q->sched, &cursor)) != NULL)
		q_finish_if_empty(q, m);
}

/* --- the scheduler --- */

/* False: enough for this turn. */
static bool
perform(struct q *q, const struct q_act *act)
{
	switch (act->kind) {
	case Q_ACT_NONE:
		break;
	case Q_ACT_ASK:
		return q_ask(q, act->rcpt);
	case Q_ACT_JOB:
		q_job_start(q, act->job);
		break;
	case Q_ACT_WARN:
		q_dsn_delayed(q, act->msg);
		break;
	case Q_ACT_DSN:
		q_dsn_ended(q, act->msg);
		break;
	}
	return true;
}

static void
set_timer(struct q *q)
{
	int64_t at = q_sched_wake(q->sched), wait;

	if (at == INT64_MAX) {
		hb_timer_clear(q->timer);
		return;
	}
	wait = at - q_now(q);
	hb_timer_set(q->timer, wait < NAP_MS ? wait : NAP_MS);
}

static void
run(void *ctx)
{
	struct q *q = ctx;
	struct q_act act;

	q_settle_dirty(q);
	q_blame_end(q);
	if (q->stopping)
		return;
	q_time_watch(q);
	for (unsigned i = 0; i < ACTIONS_TURN; i += 1 + act.moved / MOVES) {
		q_sched_next(q->sched, q_now(q), &act);
		if (act.kind == Q_ACT_NONE && act.moved == 0) {
			set_timer(q);
			return;
		}
		if (!perform(q, &act))
			break;
	}
	hb_timer_set(q->timer, 0);
}

/* --- workers and peers --- */

/* And local deliveries, which have a worker's number too. */
static void
update_all(struct q *q)
{
	q_sched_worker(q->sched, q->workers, !q->gated && !q->paused);
	for (unsigned i = 0; i < q->workers; i++)
		q_worker_update(q, &q->delivery[i]);
}

void
q_on_pause(struct q *q, struct hb_peer *p, const struct ipc_pause *m)
{
	q->paused = m->on != 0;
	update_all(q);
}

void
q_open_gate(struct q *q)
{
	if (q->gated)
		HB_LOG(HB_LOG_DEBUG, HB_EV_START,
		    hb_kv_str(HB_K_STATE, "scheduling"));
	q->gated = false;
	hb_timer_clear(q->gate);
	update_all(q);
}

static void
on_gate(void *ctx)
{
	q_open_gate(ctx);
}

static bool
all_ready(const struct q *q)
{
	for (unsigned i = 0; i < q->workers; i++)
		if (!q->delivery[i].ready)
			return false;
	return true;
}

static void
claims_over(void *ctx)
{
	struct q_delivery *d = ctx;

	d->ready = true;
	hb_timer_clear(d->claims);
	if (d->q->gated && all_ready(d->q))
		q_open_gate(d->q);
	q_worker_update(d->q, d);
}

void
q_on_claims_end(struct q *q, struct hb_peer *p, const struct ipc_claims_end *m)
{
	hb_peer_set_state(p, HB_CHANNEL_SERVING);
	claims_over(&q->delivery[hb_peer_instance(p)]);
}

static void
delivery_up(struct q *q, struct hb_peer *p)
{
	struct q_delivery *d;

	if (hb_peer_instance(p) >= q->workers)
		return;
	d = &q->delivery[hb_peer_instance(p)];
	d->peer = p;
	d->ready = false;
	hb_peer_set_state(p, HB_CHANNEL_CLAIMING);
	hb_timer_set(d->claims, Q_CLAIMS_MS);
	q_worker_update(q, d);
}

void
q_peer_up(struct q *q, struct hb_peer *p)
{
	unsigned i = hb_peer_instance(p);

	if (hb_peer_role(p) == HB_ROLE_DELIVERY) {
		delivery_up(q, p);
	} else if (hb_peer_role(p) == HB_ROLE_ROUTER) {
		q->router = p;
		q_sched_router(q->sched, true);
	} else if (hb_peer_role(p) == HB_ROLE_SMTPD &&
	    i < HB_ARRAY_LEN(q->smtpd)) {
		q->smtpd[i] = p;
		q_tell_space(q, p);
	} else if (hb_peer_role(p) == HB_ROLE_CONTROL) {
		q->control = p;
	}
	q_kick(q);
}

void
q_peer_lost(struct q *q, struct hb_peer *p)
{
	unsigned i = hb_peer_instance(p);

	if (hb_peer_role(p) == HB_ROLE_DELIVERY && i < q->workers) {
		q->delivery[i].peer = NULL;
		hb_timer_clear(q->delivery[i].claims);
		q_worker_update(q, &q->delivery[i]);
		q_jobs_lost(q, i);
	} else if (p == q->router) {
		q->router = NULL;
		q_sched_router(q->sched, false);
		q_asks_lost(q);
	} else if (hb_peer_role(p) == HB_ROLE_SMTPD &&
	    i < HB_ARRAY_LEN(q->smtpd)) {
		q->smtpd[i] = NULL;
		q_txns_lost(q, p);
		q_drops_lost(q, p);
		q_listings_lost(q, p);
	} else if (hb_peer_role(p) == HB_ROLE_CONTROL) {
		q->control = NULL;
		q_listings_lost(q, p);
		q_exports_lost(q, p);
		q_imports_lost(q, p);
	}
	q_kick(q);
}

void
q_peer_drained(struct q *q, struct hb_peer *p)
{
	unsigned i = hb_peer_instance(p);

	if (hb_peer_role(p) == HB_ROLE_DELIVERY && i < q->workers) {
		hb_peer_pause(p, false);
		q_worker_update(q, &q->delivery[i]);
	}
}

/* --- start, reload, stop --- */

static struct q_sched_conf
sched_conf(const struct hb_conf *c, unsigned workers)
{
	struct q_sched_conf s = {
		.first_ms = c->retry.first_ms,
		.max_ms = c->retry.max_ms,
		.lifetime_ms = c->lifetime,
		.warn_ms = c->delay_warning,
		.host_memory_ms = c->host_memory,
		.max_connections = c->max_connections_per_destination,
		.workers = workers,
		.below = hb_random_below,
	};

	return s;
}

static void
make_scheduler(struct q *q)
{
	struct q_sched_conf c;

	q->workers = hb_worker_count(q->env->conf->workers.delivery);
	c = sched_conf(q->env->conf, q->workers);
	hb_random(c.key, sizeof(c.key));
	q->sched = q_sched_new(&c);
	q->delivery = hb_calloc(q->workers, sizeof(*q->delivery));
	for (unsigned i = 0; i < q->workers; i++) {
		q->delivery[i].q = q;
		q->delivery[i].instance = i;
		q->delivery[i].claims = hb_timer_new(q->loop, claims_over,
		    &q->delivery[i]);
	}
}

static int
open_stores(struct q *q, const char *root, struct hb_buf *err)
{
	static const struct q_spool_ops ops = {
		.on_message = q_replay_message,
		.on_change = q_replay_change,
		.on_corrupt = on_corrupt,
		.on_space = on_space,
	};

	q->flush = q_flush_new(q->loop);
	q->spool = q_spool_open(q->loop, q->flush, root, &ops, q, err);
	if (q->spool == NULL)
		return HB_E_IO;
	q->store = q_store_open(q->loop, q->flush, root, err);
	if (q->store == NULL) /* mail goes on without it */
		HB_LOG(HB_LOG_ERROR, HB_EV_STORE,
		    hb_kv_str(HB_K_STATE, "unusable"),
		    hb_kv_span(HB_K_ERROR, hb_buf_span(err)));
	return 0;
}

struct q *
q_new(struct hb_role_env *env, const char *root, struct hb_buf *err)
{
	struct q *q = HB_NEW(struct q);
	struct q_sched_stats st;

	q->txn_max = Q_TXN_BYTES;
	q->env = env;
	q->loop = env->loop;
	TAILQ_INIT(&q->envelopes);
	TAILQ_INIT(&q->jobs);
	TAILQ_INIT(&q->dirty);
	TAILQ_INIT(&q->listings);
	TAILQ_INIT(&q->exports);
	TAILQ_INIT(&q->imports);
	q->next_id = (uint16_t)hb_random_below(65536);
	q->hook = hb_hook_new(q->loop, run, q);
	q->timer = hb_timer_new(q->loop, run, q);
	q->gate = hb_timer_new(q->loop, on_gate, q);
	q->gated = true;
	q_asks_init(q);
	make_scheduler(q);
	if (open_stores(q, root, err) < 0) {
		q_free(&q);
		return NULL;
	}
	q_time_start(q);
	finish_replayed(q);
	q_sched_stats(q->sched, &st);
	HB_LOG(HB_LOG_INFO, HB_EV_SPOOL, hb_kv_str(HB_K_STATE, "replayed"),
	    hb_kv_int(HB_K_COUNT, st.messages),
	    hb_kv_int(HB_K_NRCPT, st.recipients));
	q_room_start(q);
	q_greylist_start(q);
	hb_timer_set(q->gate, Q_CLAIMS_MS);
	q_kick(q);
	return q;
}

void
q_reload(struct q *q)
{
	struct q_sched_conf c = sched_conf(q->env->conf, q->workers);

	q_sched_set_conf(q->sched, &c);
	q_envelope_reload(q);
	q_greylist_start(q);
	q_kick(q);
}

static void
check_stopped(void *ctx)
{
	struct q *q = ctx;

	q_settle_dirty(q);
	if (TAILQ_EMPTY(&q->jobs) || hb_mono_ms() >= q->stop_at_ms) {
		hb_role_exit(q->env);
		return;
	}
	hb_timer_set(q->stop, 50);
}

void
q_stop(struct q *q)
{
	q->stopping = true;
	update_all(q);
	q->stop = hb_timer_new(q->loop, check_stopped, q);
	q->stop_at_ms = hb_mono_ms() + Q_STOP_MS;
	hb_timer_set(q->stop, 0);
}

/* What is recorded already becomes durable: the spool flushes at its end,
 * which runs callbacks. */
void
q_free(struct q **qp)
{
	struct q *q = *qp;
	struct q_job *j;

	*qp = NULL;
	if (q == NULL)
		return;
	q_settle_dirty(q);
	q_store_close(&q->store);
	q_records_close(q);
	q_spool_close(&q->spool);
	q_flush_free(&q->flush);
	q_txns_free(q);
	q_drop_free(&q->drop);
	q_listings_lost(q, NULL);
	q_exports_lost(q, NULL);
	q_imports_lost(q, NULL);
	q_asks_free(q);
	while ((j = TAILQ_FIRST(&q->jobs)) != NULL)
		q_job_free(j);
	q_records_free(q);
	q_reading_end(q);
	while (!TAILQ_EMPTY(&q->envelopes))
		q_envelope_drop(q, TAILQ_FIRST(&q->envelopes)->msg);
	for (unsigned i = 0; i < q->workers; i++)
		hb_timer_free(&q->delivery[i].claims);
	free(q->delivery);
	q_sched_free(&q->sched);
	hb_timer_free(&q->timer);
	hb_timer_free(&q->gate);
	hb_timer_free(&q->room_timer);
	hb_timer_free(&q->stop);
	hb_hook_free(&q->hook);
	free(q->trace);
	free(q);
}
