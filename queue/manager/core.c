/* The queue manager: state, replay, and the scheduler's actions.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/timefmt.h"
#include "common/proto/header.h"
#include "common/io/workers.h"

enum {
	ACTIONS_TURN = 1000,	/* then others have their turn */
	STOP_PART = 4, /* of the lifetime: the longest stop that counts */
	NAP_MS = 10 * 1000, /* the machine may sleep: timers stand still */
	CLOCK_STEP_MS = 60 * 60 * 1000 /* of the wall clock: worth a word */
};
#define YEAR_2020_MS INT64_C(1577836800000)

struct q *
q_of(void *ctx)
{
	return ((struct hb_role_env *)ctx)->ctx;
}

void
q_kick(struct q *q)
{
	hb_hook_arm(q->hook);
}

/* Time. */

static struct q_clocks
clocks(void)
{
	int64_t ahead = hb_clock_ahead();

	return (struct q_clocks){ .wall_ms = hb_now_ms() - ahead,
		.mono_ms = hb_age_ms() - ahead, .ahead_ms = ahead };
}

int64_t
q_now(const struct q *q)
{
	return q->clock.base_ms + hb_age_ms();
}

int64_t
q_date(const struct q *q, int64_t queue_ms)
{
	return hb_now_ms() + queue_ms - q_now(q);
}

struct q_stamp
q_stamp(const struct q *q)
{
	struct q_clocks now = clocks();

	return q_clock_stamp(&q->clock, &now);
}

void
q_stamp_env(const struct q *q, struct hb_env *env)
{
	struct q_stamp s = q_stamp(q);

	env->queue_ms = s.at_ms;
	env->queue_off_ms = s.off_ms;
	env->queue_ahead_ms = s.ahead_ms;
}

void
q_env_head(struct hb_env *env, struct hb_span head, struct hb_arena *a)
{
	unsigned char room[HB_MAX_MESSAGE_ID];

	env->head = (uint32_t)head.n;
	env->message_id = hb_arena_span(a, hb_message_id(head, room));
}

/* Queue time shields mail from the jump; the operator should still hear about
 * it. */
static void
watch_clock(struct q *q)
{
	int64_t step = q_stamp(q).off_ms - q->off_ms;
	char from[HB_TIME_RFC3339_SIZE];

	if (step > -CLOCK_STEP_MS && step < CLOCK_STEP_MS)
		return;
	q->off_ms += step;
	hb_time_rfc3339(hb_now_ms() - step, from);
	HB_LOG(HB_LOG_WARN, HB_EV_CLOCK, hb_kv_str(HB_K_STATE, "set"),
	    hb_kv_str(HB_K_FROM, from),
	    hb_kv_str(HB_K_TEXT,
		"the clock was set, or this host slept for days: "
		"what waits does not age by it"));
}

/* Messages. */

/* Without a stamp: its clock is all there is. */
static int64_t
arrival(const struct hb_env *env)
{
	return env->queue_ms > 0 ? env->queue_ms : env->arrived_ms;
}

static uint32_t
flags_of(const struct hb_env *env)
{
	bool silent = env->sender.n == 0 || (env->flags & HB_ENV_DSN) != 0;

	return ((env->flags & HB_ENV_HELD) != 0 ? Q_MF_HELD : 0) |
	    ((env->flags & HB_ENV_LARGE) != 0 ? Q_MF_LARGE : 0) |
	    ((env->flags & HB_ENV_DSN) != 0 ? Q_MF_DSN : 0) |
	    (silent ? Q_MF_NOWARN : 0);
}

void
q_accept(struct q *q, struct hb_arena *arena, const struct hb_env *env,
    struct hb_rcpt *rcpts, size_t n)
{
	struct sched_msg *m = q_sched_add(q->sched, env->id, arrival(env),
	    env->size, flags_of(env));

	for (size_t i = 0; i < n; i++)
		q_sched_rcpt(q->sched, m, rcpts[i].idx, q_now(q));
	q_envelope_put(q, m, arena, env, rcpts, n);
	q_trace_accept(q, env);
	q->accepted++;
	q_kick(q);
}

void
q_forget(struct q *q, struct sched_msg *m)
{
	q_envelope_drop(q, m);
	q_sched_forget(q->sched, m);
}

void
q_finish_if_empty(struct q *q, struct sched_msg *m)
{
	struct q_change c = { .kind = Q_CHANGE_FINISHED };

	if (m->live > 0)
		return;
	HB_LOG(HB_LOG_DEBUG, HB_EV_DONE, hb_kv_id(HB_K_MSG, m->id));
	q_record(q, m->id, &c, 1, NULL, NULL);
	q_forget(q, m);
}

/* As smtpd makes them: 40 bits of milliseconds since 2020, 8 bits of
 * instance, 16 bits that count. */
uint64_t
q_new_id(struct q *q, unsigned instance)
{
	uint64_t ms = (uint64_t)(q_now(q) - YEAR_2020_MS) &
	    UINT64_C(0xFFFFFFFFFF);

	return ms << 24 | (uint64_t)(instance & 255) << 16 | q->next_id++;
}

/* Replay: in queue time, of which no more is known than the records say. */

static void
replay_message(void *ctx, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n)
{
	struct q *q = ctx;
	struct q_stamp stamp = { env->queue_ms, env->queue_off_ms,
		env->queue_ahead_ms };
	struct sched_msg *m = q_sched_add(q->sched, env->id,
	    arrival(env), env->size, flags_of(env));

	q_clock_note(&q->clock, &stamp);
	for (size_t i = 0; i < n; i++)
		q_sched_rcpt(q->sched, m, rcpts[i].idx, m->arrived_ms);
}

static void
replay_tried(struct q *q, struct sched_rcpt *r, const struct q_change *c)
{
	const struct hb_outcome *o = c->outcome;

	q_sched_tried(q->sched, r, c->attempts, c->next_ms, o);
	if (o != NULL && o->result == HB_RESULT_FAIL)
		q_sched_fail(q->sched, r, o, r->msg->arrived_ms);
}

static void
replay_flags(struct q *q, struct sched_msg *m, uint32_t flags)
{
	if ((flags & HB_ENV_HELD) != 0)
		q_sched_hold(q->sched, m);
	else
		q_sched_release(q->sched, m, m->arrived_ms);
}

static void
replay_change(void *ctx, uint64_t id, const struct q_change *c)
{
	struct q *q = ctx;
	struct sched_msg *m = q_sched_find(q->sched, id);
	struct sched_rcpt *r = m != NULL ? q_sched_find_rcpt(m, c->idx) : NULL;

	q_clock_note(&q->clock, &c->stamp);
	if (m == NULL)
		return;
	switch (c->kind) {
	case Q_CHANGE_RCPT:
		if (q_sched_find_rcpt(m, c->rcpt->idx) == NULL)
			q_sched_rcpt(q->sched, m, c->rcpt->idx,
			    m->arrived_ms);
		break;
	case Q_CHANGE_TRIED:
		if (r != NULL)
			replay_tried(q, r, c);
		break;
	case Q_CHANGE_DONE:
		if (r != NULL)
			q_sched_done(q->sched, r);
		break;
	case Q_CHANGE_FLAGS:
		replay_flags(q, m, c->flags);
		break;
	case Q_CHANGE_WARNED:
		m->flags |= Q_MF_NOWARN;
		break;
	case Q_CHANGE_FINISHED:
		q_sched_forget(q->sched, m);
		break;
	}
}

void
q_accept_moved(struct q *q, struct hb_arena *arena, const struct hb_env *env,
    struct hb_rcpt *rcpts, size_t n, const struct q_change *c, size_t nc)
{
	q_accept(q, arena, env, rcpts, n);
	for (size_t i = 0; i < nc; i++)
		replay_change(q, env->id, &c[i]);
}

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

/* Queue time goes on where it was. */
static void
start_clock(struct q *q)
{
	struct q_clocks now = clocks();
	bool is_known = q_clock_start(&q->clock, &now,
	    q->env->conf->lifetime / STOP_PART);

	q->off_ms = q->clock.last.off_ms;
	watch_clock(q);
	q_sched_start(q->sched, q_now(q), !is_known);
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

/* The scheduler. */

static void
perform(struct q *q, const struct q_act *act)
{
	switch (act->kind) {
	case Q_ACT_NONE:
		break;
	case Q_ACT_ASK:
		q_ask(q, act->rcpt);
		break;
	case Q_ACT_JOB:
		q_job_start(q, act->job);
		break;
	case Q_ACT_WARN:
		q_dsn_delayed(q, act->msg);
		break;
	case Q_ACT_DSN:
		q_dsn_failed(q, act->msg);
		break;
	}
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
	watch_clock(q);
	for (int i = 0; i < ACTIONS_TURN; i++) {
		q_sched_next(q->sched, q_now(q), &act);
		if (act.kind == Q_ACT_NONE) {
			set_timer(q);
			return;
		}
		perform(q, &act);
	}
	hb_timer_set(q->timer, 0);
}

/* Workers and peers. */

static void
update_worker(struct q *q, const struct q_delivery *d)
{
	q_sched_worker(q->sched, d->instance, !q->gated && !q->stopping &&
	    !q->paused && d->peer != NULL && d->ready && !d->full);
	q_kick(q);
}

/* And local deliveries, which have a worker's number too. */
static void
update_all(struct q *q)
{
	q_sched_worker(q->sched, q->workers, !q->gated && !q->paused);
	for (unsigned i = 0; i < q->workers; i++)
		update_worker(q, &q->delivery[i]);
}

void
q_on_pause(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);

	(void)p;
	(void)fd;
	q->paused = ((const struct ipc_pause *)msg)->on != 0;
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
	update_worker(d->q, d);
}

void
q_on_claims_end(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);
	unsigned i = hb_peer_instance(p);

	(void)msg;
	(void)fd;
	if (i >= q->workers || !q->delivery[i].claiming) {
		hb_peer_violation(p, "claims ended twice");
		return;
	}
	q->delivery[i].claiming = false;
	claims_over(&q->delivery[i]);
}

static void
delivery_up(struct q *q, struct hb_peer *p)
{
	struct q_delivery *d;

	if (hb_peer_instance(p) >= q->workers)
		return;
	d = &q->delivery[hb_peer_instance(p)];
	d->peer = p;
	d->ready = d->full = false;
	d->claiming = true;
	d->life++;
	hb_timer_set(d->claims, Q_CLAIMS_MS);
	update_worker(q, d);
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
		update_worker(q, &q->delivery[i]);
		q_jobs_lost(q, i);
	} else if (p == q->router) {
		q->router = NULL;
		q_sched_router(q->sched, false);
		q_asks_lost(q);
	} else if (hb_peer_role(p) == HB_ROLE_SMTPD &&
	    i < HB_ARRAY_LEN(q->smtpd)) {
		q->smtpd[i] = NULL;
		q_txns_lost(q, p);
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
		q->delivery[i].full = false;
		hb_peer_pause(p, false);
		update_worker(q, &q->delivery[i]);
	}
}

/* Start, reload, stop. */

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

static void
on_timer(void *ctx)
{
	run(ctx);
}

static int
open_stores(struct q *q, const char *root, struct hb_buf *err)
{
	static const struct q_spool_ops ops = {
		.on_message = replay_message,
		.on_change = replay_change,
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

static void
log_replay(struct q *q)
{
	struct q_sched_stats st;

	q_sched_stats(q->sched, &st);
	HB_LOG(HB_LOG_INFO, HB_EV_SPOOL, hb_kv_str(HB_K_STATE, "replayed"),
	    hb_kv_int(HB_K_COUNT, st.messages),
	    hb_kv_int(HB_K_NRCPT, st.recipients));
}

struct q *
q_new(struct hb_role_env *env, const char *root, struct hb_buf *err)
{
	struct q *q = HB_NEW(struct q);

	q->txn_max = Q_TXN_BYTES;
	q->env = env;
	q->loop = env->loop;
	TAILQ_INIT(&q->envelopes);
	TAILQ_INIT(&q->jobs);
	TAILQ_INIT(&q->dirty);
	TAILQ_INIT(&q->exports);
	TAILQ_INIT(&q->imports);
	q->next_id = (uint16_t)hb_random_below(65536);
	q->hook = hb_hook_new(q->loop, run, q);
	q->timer = hb_timer_new(q->loop, on_timer, q);
	q->gate = hb_timer_new(q->loop, on_gate, q);
	q->gated = true;
	q_asks_init(q);
	make_scheduler(q);
	if (open_stores(q, root, err) < 0) {
		q_free(&q);
		return NULL;
	}
	start_clock(q);
	finish_replayed(q);
	log_replay(q);
	q_room_start(q);
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

static void
free_jobs(struct q *q)
{
	struct q_job *j;

	while ((j = TAILQ_FIRST(&q->jobs)) != NULL)
		q_job_free(j);
}

/* What is recorded already becomes durable: the spool flushes at its end,
 * which runs callbacks. */
void
q_free(struct q **qp)
{
	struct q *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	q_settle_dirty(q);
	q_store_close(&q->store);
	q_spool_close(&q->spool);
	q_flush_free(&q->flush);
	q_drop_free(&q->drop);
	q_listings_free(q);
	q_exports_lost(q, NULL);
	q_imports_lost(q, NULL);
	q_txns_free(q);
	q_asks_free(q);
	free_jobs(q);
	q_records_free(q);
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
