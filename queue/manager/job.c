/* Jobs at delivery workers: frames out, results in, claims after a restart.
 * Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"

void
q_send_body(struct hb_peer *p, uint32_t no, struct hb_span bytes, int fd)
{
	struct ipc_job_start start = { .job = no };

	if (fd >= 0) {
		struct ipc_job_file m = { .job = no };

		hb_peer_post(p, HB_IPC_JOB_FILE, &m, fd);
	}
	while (bytes.n > 0) {
		struct ipc_job_body m = { .job = no,
			.bytes = hb_span_head(bytes, HB_MAX_IPC_BODY) };

		hb_peer_post(p, HB_IPC_JOB_BODY, &m, -1);
		bytes = hb_span_from(bytes, m.bytes.n);
	}
	hb_peer_post(p, HB_IPC_JOB_START, &start, -1);
}

static void
fail_all(struct q_work *w, enum hb_result result, const char *text)
{
	for (size_t i = 0; i < w->job->n; i++) {
		struct hb_outcome o = { .result = result,
			.reason = HB_REASON_BODY_DAMAGED,
			.status = result == HB_RESULT_FAIL ? HB_SPAN("5.3.0")
							   : HB_SPAN("4.3.0"),
			.text = hb_span_str(text) };

		if (w->job->rcpts[i] == NULL)
			continue;
		o.idx = w->job->rcpts[i]->idx;
		q_work_result(w, &o);
	}
	q_work_end(w);
}

/* An owner's list has that return path.  Recipients of one job agree. */
static struct hb_env
envelope_of(const struct q_work *w, const struct q_hot *h)
{
	struct hb_env env = h->env;

	for (size_t i = 0; i < w->job->n; i++) {
		const struct q_rcpt *r = w->job->rcpts[i];
		const struct hb_rcpt *rcpt =
		    r != NULL ? q_hot_rcpt(h, r->idx) : NULL;

		if (rcpt != NULL && rcpt->owner.n > 0) {
			env.sender = rcpt->owner;
			break;
		}
	}
	return env;
}

static void
send_rcpts(struct q_work *w, const struct q_hot *h, struct hb_peer *p)
{
	struct hb_buf rec = HB_BUF_INIT(0);

	for (size_t i = 0; i < w->job->n; i++) {
		struct q_rcpt *r = w->job->rcpts[i];
		struct hb_rcpt *rcpt = r != NULL ? q_hot_rcpt(h, r->idx) : NULL;
		struct ipc_job_rcpt m = { .job = w->no };

		hb_buf_clear(&rec);
		if (rcpt == NULL ||
		    hb_tlv_encode(&hb_rcpt_record, rcpt, &rec) < 0)
			continue;
		m.rcpt = hb_buf_span(&rec);
		hb_peer_post(p, HB_IPC_JOB_RCPT, &m, -1);
	}
	hb_buf_free(&rec);
}

/* Queue time, which no jump of the wall clock changes. */
static uint64_t
waited_ms(const struct q_work *w, const struct q_hot *h)
{
	int64_t ms = q_now(w->q) - h->msg->arrived_ms;

	return ms > 0 ? (uint64_t)ms : 0;
}

static void
send_job(struct q_work *w, const struct q_hot *h, struct hb_span bytes, int fd)
{
	struct hb_peer *p = w->q->delivery[w->worker].peer;
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_env env = envelope_of(w, h);
	struct ipc_job m = {
		.job = w->no,
		.route = q_dest_route(w->job->dest),
		.domain = q_dest_rcpts_domain(w->job->dest),
		.final = w->job->final,
		.flush = w->job->flush,
		.waited_ms = waited_ms(w, h),
	};

	if (hb_tlv_encode(&hb_env_record, &env, &rec) < 0)
		HB_BUG("envelope that was decoded cannot be encoded");
	m.env = hb_buf_span(&rec);
	hb_peer_post(p, HB_IPC_JOB, &m, -1);
	hb_buf_free(&rec);
	send_rcpts(w, h, p);
	q_send_body(p, w->no, bytes, fd);
}

/* A worker whose output piles up gets no more until it is drained. */
static void
check_full(struct q *q, struct q_delivery *d)
{
	if (d->peer == NULL || hb_peer_pending(d->peer) < Q_PEER_BYTES)
		return;
	d->full = true;
	q_sched_worker(q->sched, d->instance, false);
}

static void
on_body(void *ctx, int err, struct hb_span bytes, int fd)
{
	struct q_work *w = ctx;
	struct q *q = w->q;
	struct q_hot *h = NULL;

	w->loading = false;
	if (w->ended || w->job == NULL) {
		q_work_end(w); /* lost meanwhile */
	} else if (w->job->msg == NULL) {
		q_work_end(w); /* removed meanwhile */
	} else if (err == HB_E_IO ||
	    (h = q_hot_get(q, w->job->msg)) == NULL) {
		fail_all(w, HB_RESULT_DEFER, "the stored message cannot be read");
	} else if (err < 0) {
		fail_all(w, HB_RESULT_FAIL,
		    "the stored message is damaged and was set aside");
	} else if (w->local) {
		q_local_loaded(w, bytes, fd);
	} else {
		send_job(w, h, bytes, fd);
		check_full(q, &q->delivery[w->worker]);
	}
	if (fd >= 0)
		close(fd);
}

void
q_job_load(struct q_work *w)
{
	w->loading = true;
	q_spool_body(w->q->spool, w->job->msg->id, on_body, w);
}

void
q_job_start(struct q *q, struct q_batch *job)
{
	struct q_work *w = q_work_new(q, job);

	if (w->local) {
		q_local_start(w);
		return;
	}
	q_job_load(w);
}

/* Results. */

static struct q_work *
find_work(struct q *q, struct hb_peer *p, uint32_t no)
{
	struct q_batch *job = q_sched_job(q->sched, no);
	struct q_work *w = job != NULL ? job->user : NULL;

	return w != NULL && w->worker == hb_peer_instance(p) && !w->ended
	    ? w : NULL;
}

/* A new job of the number that a former life of this process gave. */
static struct q_work *
claim_job(struct q *q, struct hb_peer *p, uint32_t no, struct q_rcpt *r)
{
	struct q_batch *job = q_sched_claim(q->sched, hb_peer_instance(p), no);

	if (q_sched_claim_rcpt(q->sched, job, r))
		return q_work_new(q, job);
	q_sched_job_end(q->sched, job);
	free(job);
	return NULL;
}

/* Nothing is kept of a claim that finds no recipient which is free. */
static void
claim(struct q *q, struct hb_peer *p, uint32_t no, uint64_t id, uint32_t idx)
{
	struct q_msg *m = q_sched_find(q->sched, id);
	struct q_rcpt *r = m != NULL ? q_sched_find_rcpt(m, idx) : NULL;
	struct q_work *w = find_work(q, p, no);

	if (r == NULL)
		return;
	if (q_sched_job(q->sched, no) == NULL)
		(void)claim_job(q, p, no, r);
	else if (w != NULL && w->job->dest == NULL)
		(void)q_sched_claim_rcpt(q->sched, w->job, r);
}

/* Only until it says that its claims are over may a worker speak of jobs
 * that this process did not give it. */
static bool
is_claiming(struct q *q, struct hb_peer *p)
{
	return q->delivery[hb_peer_instance(p)].claiming;
}

static bool
is_out_of_place(struct q *q, struct hb_peer *p, uint32_t no)
{
	return no == 0 || hb_peer_instance(p) >= q->workers ||
	    (!is_claiming(q, p) && q_sched_job(q->sched, no) == NULL);
}

void
q_on_job_result(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);
	const struct ipc_job_result *m = msg;
	struct hb_outcome o;
	struct q_work *w;

	(void)fd;
	if (hb_tlv_decode(&hb_outcome_record, m->outcome, &o) < 0 ||
	    o.result == HB_RESULT_NONE || is_out_of_place(q, p, m->job)) {
		hb_peer_violation(p, "result that was not asked for");
		return;
	}
	if (is_claiming(q, p))
		claim(q, p, m->job, m->id, o.idx);
	w = find_work(q, p, m->job);
	if (w != NULL && w->job->msg != NULL && w->job->msg->id == m->id)
		q_work_result(w, &o);
}

/* What nobody waits for any more is recorded already. */
static void
acknowledge_old(struct q *q, struct hb_peer *p, uint32_t no)
{
	struct ipc_job_ack m = { .job = no };

	if (q_sched_job(q->sched, no) == NULL)
		hb_peer_post(p, HB_IPC_JOB_ACK, &m, -1);
}

void
q_on_job_done(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);
	const struct ipc_job_done *m = msg;
	struct q_work *w;

	(void)fd;
	if (is_out_of_place(q, p, m->job)) {
		hb_peer_violation(p, "end of a job that was not given");
		return;
	}
	w = find_work(q, p, m->job);
	if (w == NULL) {
		acknowledge_old(q, p, m->job);
		return;
	}
	w->unreachable = m->unreachable != 0;
	w->reason = (enum hb_reason)m->reason;
	q_work_end(w);
}

void
q_on_job_claim(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);
	const struct ipc_job_claim *m = msg;

	(void)fd;
	if (m->job == 0 || hb_peer_instance(p) >= q->workers ||
	    !is_claiming(q, p))
		hb_peer_violation(p, "claim out of its time");
	else
		claim(q, p, m->job, m->id, m->idx);
}

void
q_jobs_lost(struct q *q, unsigned worker)
{
	struct q_work *w;

	TAILQ_FOREACH(w, &q->works, link)
		if (w->worker == worker && !w->ended) {
			w->reason = HB_REASON_ROLE_LOST;
			q_work_end(w);
		}
}
