/*
 * Outcomes of attempts: recorded, logged, and reported to the scheduler.  Floor
 * 4.
 *
 * A failure or a success that needs a DSN is first recorded as an attempt with
 * that outcome, so that no crash tries it again; the recipient is done when its
 * DSN is durable.
 */
#include "config.h"

#include "queue/manager/job.h"

#include <stdlib.h>

bool
q_wants_dsn(const struct sched_msg *m, const struct hb_env *env,
    const struct hb_rcpt *rcpt, uint32_t of)
{
	struct hb_span to = rcpt->owner.n > 0 ? rcpt->owner : env->sender;

	if (to.n == 0 || (m->flags & Q_MF_DSN) != 0)
		return false; /* RFC 5321 s6.1 */
	return rcpt->notify == 0 ? of == HB_NOTIFY_FAILURE
				 : (rcpt->notify & of) != 0;
}

/* A word of our own on the channel: the same of class 5, for what waited for
 * a channel comes back for want of it, not of time (RFC 3463 s3.8, RFC 8689
 * s4.2.1).  NULL: it is another word. */
static const char *
channel_status(const struct hb_outcome *o)
{
	static const char *const words[] = { "5.7.0", "5.7.5", "5.7.10",
		"5.7.30" };

	for (size_t i = 0; i < HB_ARRAY_LEN(words) && o->from_remote == 0 &&
	     o->status.n > 0 && o->status.p[0] == '4'; i++)
		if (hb_span_eq(hb_span_from(o->status, 1),
		    hb_span_from(hb_span_str(words[i]), 1)))
			return words[i];
	return NULL;
}

/* Nobody's mail comes back for a mistake of the operator's, or for trouble of
 * this server's, before its lifetime is over. */
static void
spare(struct hb_outcome *o)
{
	if (o->result != HB_RESULT_FAIL ||
	    hb_reason_is_final((enum hb_reason)o->reason))
		return;
	o->result = HB_RESULT_DEFER;
	o->code = 451;
	o->status = HB_SPAN("4.3.5");
}

/* Turns the deferral of a final attempt into a failure for the same reason.
 * An attempt that was begun before the end of the lifetime is
 * not final: another follows, which looks at the policy once more (RFC 8461
 * s5.1). */
static void
expire(struct hb_outcome *o, bool final)
{
	const char *status = channel_status(o);

	if (o->result != HB_RESULT_DEFER || !final)
		return;
	o->result = HB_RESULT_FAIL;
	o->expired = 1;
	o->remembered = 0; /* it fails for what was found */
	if (o->reason == HB_REASON_NONE)
		o->reason = HB_REASON_EXPIRED;
	/* RFC 3463 s3.5: delivery time expired */
	o->status = status != NULL ? hb_span_str(status) : HB_SPAN("5.4.7");
}

/* How a deferred recipient waits. */
enum wait { WAIT_BACKOFF, WAIT_NOW, WAIT_IN_LINE };
struct when {
	enum wait how;
	int64_t line_ms; /* WAIT_IN_LINE: the next probe */
	uint8_t jitter;
};

/* R needs no other attempt: it is done, or waits for its DSN. */
static void
apply_end(struct q *q, struct sched_rcpt *r, bool told,
    const struct hb_outcome *o, struct q_change *c)
{
	if (!told) {
		c->kind = Q_CHANGE_DONE;
		q_sched_done(q->sched, r);
		return;
	}
	q_sched_fail(q->sched, r, o, q_now(q));
	c->kind = Q_CHANGE_TRIED;
	c->attempts = r->attempts;
	c->next_ms = q_now(q);
}

struct hb_span
q_delivered_place(const struct sched_msg *m, const struct hb_rcpt *rcpt)
{
	return m->next_idx > 1 && (rcpt->flags & HB_RCPT_EXPANDED) == 0
	    ? rcpt->route : HB_SPAN_NONE;
}

/* RFC 3461 s5.2.2: who took a message with its parameters tells of success. */
static void
apply_ok(struct q *q, struct sched_rcpt *r, const struct hb_rcpt *rcpt,
    const struct hb_outcome *o, struct q_change *c)
{
	struct q_envelope *h = q_envelope_get(q, r->msg);

	if (rcpt != NULL)
		c->route = q_delivered_place(r->msg, rcpt);
	hb_stat_delivered(o->tls);
	apply_end(q, r, h != NULL && rcpt != NULL && o->dsn_capable == 0 &&
	    q_wants_dsn(r->msg, &h->env, rcpt, HB_NOTIFY_SUCCESS), o, c);
}

static void
apply_fail(struct q *q, struct sched_rcpt *r, const struct hb_rcpt *rcpt,
    const struct hb_outcome *o, struct q_change *c)
{
	struct q_envelope *h = q_envelope_get(q, r->msg);

	hb_stat(HB_STAT_FAILED);
	apply_end(q, r, h != NULL && rcpt != NULL &&
	    q_wants_dsn(r->msg, &h->env, rcpt, HB_NOTIFY_FAILURE), o, c);
}

static void
apply_defer(struct q *q, struct sched_rcpt *r, const struct hb_outcome *o,
    const struct when *w, struct q_change *c)
{
	int64_t at = q_now(q);

	hb_stat(HB_STAT_DEFERRED);
	if (w->how == WAIT_IN_LINE)
		at = w->line_ms;
	else if (w->how == WAIT_BACKOFF)
		at += q_sched_backoff(q->sched, r->attempts + 1u, w->jitter);
	c->kind = Q_CHANGE_TRIED;
	c->attempts = r->attempts + 1u;
	c->next_ms = at;
	if (w->how == WAIT_IN_LINE && r->dest != NULL)
		q_sched_wait(q->sched, r, o);
	else
		q_sched_defer(q->sched, r, o, at);
}

/* Fills C.  R may be gone afterwards, its message is not. */
static void
apply(struct q *q, struct sched_rcpt *r, const struct hb_outcome *o,
    const struct when *w, struct q_change *c)
{
	struct sched_msg *m = r->msg;
	struct q_envelope *h = q_envelope_get(q, m);
	struct hb_rcpt *rcpt = h != NULL ? q_envelope_rcpt(h, r->idx) : NULL;
	static const struct hb_rcpt unreadable;

	*c = (struct q_change){ .idx = r->idx, .outcome = o,
		.rcpt = rcpt != NULL ? rcpt : &unreadable };
	if (o->result == HB_RESULT_OK)
		apply_ok(q, r, rcpt, o, c);
	else if (o->result == HB_RESULT_FAIL)
		apply_fail(q, r, rcpt, o, c);
	else
		apply_defer(q, r, o, w, c);
	if (o->result == HB_RESULT_DEFER)
		q_blame(q, rcpt, o);
}

void
q_outcome(struct q *q, struct sched_rcpt *r, const struct hb_outcome *o)
{
	struct sched_msg *m = r->msg;
	struct hb_outcome mine = *o;
	struct when w = { .how = WAIT_BACKOFF,
		.jitter = (uint8_t)hb_random_below(256) };
	struct q_change c;

	q_job_leave(r);
	q_pieces_leave(q, r);
	spare(&mine);
	expire(&mine, q_now(q) >= q_sched_expires(q->sched, m));
	apply(q, r, &mine, &w, &c);
	q_record(q, m->id, &c, 1, NULL, NULL);
	q_finish_if_empty(q, m);
	q_kick(q);
}

/* --- jobs --- */

struct q_job *
q_job_new(struct q *q, struct sched_job *job)
{
	struct q_job *j = HB_NEW(struct q_job);

	j->q = q;
	j->sched = job;
	j->no = job->no;
	j->id = job->msg->id;
	j->arrived_ms = job->msg->arrived_ms;
	j->worker = job->worker;
	j->arena = hb_arena_new();
	job->user = j;
	TAILQ_INSERT_TAIL(&q->jobs, j, link);
	return j;
}

/* The scheduler, and the helper of a local job, are done with it. */
static void
let_go(struct q_job *j)
{
	q_sched_job_end(j->q->sched, j->sched);
	free(j->sched);
	j->sched = NULL;
	if (j->helper != NULL)
		hb_peer_free(&j->helper);
	j->state = Q_JOB_SETTLED;
}

void
q_job_free(struct q_job *j)
{
	TAILQ_REMOVE(&j->q->jobs, j, link);
	if (j->is_dirty)
		TAILQ_REMOVE(&j->q->dirty, j, dirty);
	if (j->state != Q_JOB_SETTLED)
		let_go(j);
	hb_arena_free(&j->arena);
	free(j);
}

static void
make_dirty(struct q_job *j)
{
	if (j->is_dirty)
		return;
	j->is_dirty = true;
	TAILQ_INSERT_TAIL(&j->q->dirty, j, dirty);
	q_kick(j->q);
}

void
q_job_leave(const struct sched_rcpt *r)
{
	const struct sched_job *job = q_rcpt_job(r);
	struct q_job *j = job != NULL ? job->user : NULL;
	struct q_envelope *h = j != NULL ? q_envelope_get(j->q, r->msg) : NULL;
	const struct hb_rcpt *rcpt =
	    h != NULL ? q_envelope_rcpt(h, r->idx) : NULL;
	struct q_left *l;

	if (rcpt == NULL)
		return;
	l = hb_arena_alloc(j->arena, sizeof(*l));
	hb_record_copy(j->arena, &hb_rcpt_record, rcpt, &l->rcpt);
	SLIST_INSERT_HEAD(&j->left, l, link);
}

/* Nothing of it is recorded any more. */
static void
tell_of_left(struct q_job *j, const struct hb_outcome *o)
{
	struct q_left *l;

	SLIST_FOREACH(l, &j->left, link)
		if (l->rcpt.idx == o->idx)
			break;
	if (l == NULL)
		return;
	SLIST_REMOVE(&j->left, l, q_left, link);
	q_tell_outcome(j->q, j->id, q_now(j->q) - j->arrived_ms, &l->rcpt, o);
}

void
q_job_result(struct q_job *j, const struct hb_outcome *o)
{
	struct hb_outcome *mine;

	if (j->n == Q_JOB_RCPTS || j->state != Q_JOB_OPEN)
		return;
	tell_of_left(j, o);
	mine = &j->results[j->n++];
	hb_record_copy(j->arena, &hb_outcome_record, o, mine);
	mine->at_ms = hb_now_ms();
	make_dirty(j);
}

void
q_job_end(struct q_job *j)
{
	if (j->state == Q_JOB_OPEN)
		j->state = Q_JOB_ENDED;
	make_dirty(j);
}

void
q_job_end_with(struct q_job *j, const struct hb_outcome *like)
{
	for (size_t i = 0; i < j->sched->n; i++) {
		struct hb_outcome o = *like;

		if (j->sched->rcpts[i] == NULL)
			continue;
		o.idx = j->sched->rcpts[i]->idx;
		q_job_result(j, &o);
	}
	q_job_end(j);
}

static struct sched_rcpt *
take_rcpt(struct sched_job *job, uint32_t idx)
{
	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] != NULL && job->rcpts[i]->idx == idx)
			return job->rcpts[i];
	return NULL;
}

/* Those that got no outcome: their worker ended, or forgot them. */
static void
fill_missing(struct q_job *j)
{
	for (size_t i = 0; i < j->sched->n && j->n < Q_JOB_RCPTS; i++) {
		struct sched_rcpt *r = j->sched->rcpts[i];
		bool known = r == NULL;

		for (size_t k = 0; k < j->n && !known; k++)
			known = j->results[k].idx == r->idx;
		if (known)
			continue;
		j->results[j->n++] = (struct hb_outcome){
			.idx = r->idx,
			.result = HB_RESULT_DEFER,
			.status = HB_SPAN("4.3.0"),
			.reason = j->reason,
			.at_ms = hb_now_ms(),
			.text = hb_span_str(hb_reason_text(j->reason)),
		};
	}
}

/* Tells the scheduler how the destination does; says how recipients wait. */
static struct when
judge_destination(struct q_job *j)
{
	struct when when = { .how = WAIT_BACKOFF, .jitter = j->sched->jitter };
	const struct hb_outcome *last = j->n > 0 ? &j->results[j->n - 1] : NULL;

	if (j->unreachable && last != NULL)
		when.line_ms = q_sched_unreachable(j->q->sched, j->sched, last,
		    q_now(j->q));
	if (when.line_ms > 0) {
		when.how = WAIT_IN_LINE;
	} else if (j->reason != HB_REASON_ROLE_LOST) {
		q_sched_reached(j->q->sched, j->sched,
		    last != NULL && hb_reason_means(last->reason,
			HB_WHY_UNREACHED));
	}
	return when;
}

/* A lost role is no fault of the message, the first time. */
static bool
goes_at_once(const struct sched_rcpt *r, const struct hb_outcome *o)
{
	struct hb_outcome before;

	q_last_outcome(r->last, &before);
	return o->reason == HB_REASON_ROLE_LOST &&
	    before.reason != HB_REASON_ROLE_LOST;
}

static void
on_recorded(void *ctx)
{
	struct q_job *j = ctx;

	j->pending--;
	make_dirty(j);
}

/* Turns results into changes; deferrals wait for the end of the job. */
static size_t
apply_results(struct q_job *j, struct q_change *c)
{
	struct when when = { 0 };
	size_t n = 0;

	if (j->state == Q_JOB_ENDED) {
		fill_missing(j);
		when = judge_destination(j);
		j->settled = 0;
	}
	for (size_t i = j->settled; i < j->n; i++) {
		struct hb_outcome *o = &j->results[i];
		struct sched_rcpt *r = take_rcpt(j->sched, o->idx);
		struct when mine = when;

		if (r == NULL || (o->result != HB_RESULT_OK &&
		    j->state == Q_JOB_OPEN))
			continue;
		spare(o);
		expire(o, j->sched->final);
		if (goes_at_once(r, o))
			mine.how = WAIT_NOW;
		apply(j->q, r, o, &mine, &c[n++]);
	}
	j->settled = j->n;
	return n;
}

static void
settle(struct q_job *j)
{
	struct q_change c[Q_JOB_RCPTS + 1];
	struct sched_msg *m = j->sched->msg;
	uint64_t id = m != NULL ? m->id : 0;
	size_t n = apply_results(j, c);
	bool over = m != NULL && m->live == 0;

	if (over)
		c[n++] = (struct q_change){ .kind = Q_CHANGE_FINISHED };
	if (n > 0) {
		j->pending++;
		q_record(j->q, id, c, n, on_recorded, j);
	}
	if (j->state == Q_JOB_ENDED)
		let_go(j);
	if (over)
		q_forget(j->q, m);
	q_kick(j->q);
}

void
q_settle_dirty(struct q *q)
{
	struct q_job *j;

	while ((j = TAILQ_FIRST(&q->dirty)) != NULL) {
		TAILQ_REMOVE(&q->dirty, j, dirty);
		j->is_dirty = false;
		if (j->state != Q_JOB_SETTLED)
			settle(j);
		if (j->state == Q_JOB_SETTLED && j->pending == 0) {
			struct ipc_job_ack m = { .job = j->no };
			struct hb_peer *p = q_job_is_local(j)
			    ? NULL : j->q->delivery[j->worker].peer;

			if (p != NULL && j->reason != HB_REASON_ROLE_LOST)
				hb_peer_post(p, HB_IPC_JOB_ACK, &m, -1);
			q_job_free(j);
		}
	}
}
