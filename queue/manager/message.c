/* Messages that come and go; and those that the spool hands over.  What all
 * files of the manager use.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include "common/proto/header.h"

#define YEAR_2020_MS INT64_C(1577836800000)

void
q_kick(struct q *q)
{
	hb_hook_arm(q->hook);
}

/* Its output piles up, with what comes to it when messages are read.  When the
 * output is long by itself, q_peer_drained follows. */
static bool
is_full(const struct q_delivery *d)
{
	return hb_peer_pending(d->peer) + d->loading >= Q_PEER_BYTES;
}

void
q_worker_update(struct q *q, const struct q_delivery *d)
{
	q_sched_worker(q->sched, d->instance, !q->gated && !q->stopping &&
	    !q->paused && d->peer != NULL && d->ready && !is_full(d));
	q_kick(q);
}

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
q_env_head(struct hb_env *env, struct hb_span head, struct hb_arena *a)
{
	unsigned char room[HB_MAX_MESSAGE_ID];

	env->head = (uint32_t)head.n;
	env->message_id = hb_arena_span(a, hb_message_id(head, room));
}

/* RFC 3461 s5.2.7.1: a list is the end of what the sender asked for. */
void
q_env_of_list(struct hb_env *env, struct hb_span owner)
{
	env->sender = owner;
	env->ret = HB_RET_NONE;
	env->envid = HB_SPAN_NONE;
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

void
q_replay_message(void *ctx, const struct hb_env *env,
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

void
q_replay_change(void *ctx, uint64_t id, const struct q_change *c)
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
		if (r != NULL) {
			const struct hb_outcome *o = c->outcome;

			q_sched_tried(q->sched, r, c->attempts, c->next_ms, o);
			/* its DSN is missing */
			if (o != NULL && (o->result == HB_RESULT_FAIL ||
			    o->result == HB_RESULT_OK))
				q_sched_fail(q->sched, r, o,
				    r->msg->arrived_ms);
		}
		break;
	case Q_CHANGE_DONE:
		if (r != NULL)
			q_sched_done(q->sched, r);
		break;
	case Q_CHANGE_FLAGS:
		if ((c->flags & HB_ENV_HELD) != 0)
			q_sched_hold(q->sched, m);
		else
			q_sched_release(q->sched, m, m->arrived_ms);
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
		q_replay_change(q, env->id, &c[i]);
}
