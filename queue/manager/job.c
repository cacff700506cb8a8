/* Jobs at delivery workers: frames out, results in, claims after a restart.
 * Floor 4. */
#include "config.h"

#include "queue/manager/job.h"

#include <stdlib.h>

/* An owner's list has that return path.  Recipients of one job agree. */
static struct hb_env
envelope_of(const struct q_job *j, const struct q_envelope *h)
{
	struct hb_env env = h->env;

	for (size_t i = 0; i < j->sched->n; i++) {
		const struct sched_rcpt *r = j->sched->rcpts[i];
		const struct hb_rcpt *rcpt =
		    r != NULL ? q_envelope_rcpt(h, r->idx) : NULL;

		if (rcpt != NULL && rcpt->owner.n > 0) {
			q_env_of_list(&env, rcpt->owner);
			break;
		}
	}
	return env;
}

static void
send_rcpts(struct q_job *j, const struct q_envelope *h, struct hb_peer *p)
{
	struct hb_buf rec = HB_BUF_INIT(0);

	for (size_t i = 0; i < j->sched->n; i++) {
		struct sched_rcpt *r = j->sched->rcpts[i];
		struct hb_rcpt *rcpt =
		    r != NULL ? q_envelope_rcpt(h, r->idx) : NULL;
		struct ipc_job_rcpt m = { .job = j->no };

		hb_buf_clear(&rec);
		if (rcpt == NULL ||
		    hb_tlv_encode(&hb_rcpt_record, rcpt, &rec) < 0)
			continue;
		m.rcpt = hb_buf_span(&rec);
		hb_peer_post(p, HB_IPC_JOB_RCPT, &m, -1);
	}
	hb_buf_free(&rec);
}

static void
send_job(struct q_job *j, const struct q_envelope *h,
    const struct q_content *c)
{
	struct hb_peer *p = j->q->delivery[j->worker].peer;
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_env env = envelope_of(j, h);
	struct ipc_job m = {
		.job = j->no,
		.route = sched_dest_route(j->sched->dest),
		.domain = sched_dest_rcpts_domain(j->sched->dest),
		.final = j->sched->final,
		.flush = j->sched->flush,
	};

	if (hb_tlv_encode(&hb_env_record, &env, &rec) < 0)
		HB_BUG("envelope that was decoded cannot be encoded");
	m.env = hb_buf_span(&rec);
	hb_peer_post(p, HB_IPC_JOB, &m, -1);
	hb_buf_free(&rec);
	send_rcpts(j, h, p);
	q_send_content(p, j->no, c);
}

void
q_job_start(struct q *q, struct sched_job *job)
{
	struct q_job *j = q_job_new(q, job);

	if (q_job_is_local(j))
		q_local_start(j);
	else
		q_job_load(j, send_job);
}

/* --- results --- */

static struct q_job *
find_work(struct q *q, struct hb_peer *p, uint32_t no)
{
	struct sched_job *job = q_sched_job(q->sched, no);
	struct q_job *j = job != NULL ? job->user : NULL;

	return j != NULL && j->worker == hb_peer_instance(p) &&
	    j->state == Q_JOB_OPEN ? j : NULL;
}

/* A new job of the number that a former life of this process gave. */
static struct q_job *
claim_job(struct q *q, struct hb_peer *p, uint32_t no, struct sched_rcpt *r)
{
	struct sched_job *job =
	    q_sched_claim(q->sched, hb_peer_instance(p), no);

	if (q_sched_claim_rcpt(q->sched, job, r))
		return q_job_new(q, job);
	q_sched_job_end(q->sched, job);
	free(job);
	return NULL;
}

/* Nothing is kept of a claim that finds no recipient which is free. */
static void
claim(struct q *q, struct hb_peer *p, uint32_t no, uint64_t id, uint32_t idx)
{
	struct sched_msg *m = q_sched_find(q->sched, id);
	struct sched_rcpt *r = m != NULL ? q_sched_find_rcpt(m, idx) : NULL;
	struct q_job *j = find_work(q, p, no);

	if (r == NULL)
		return;
	if (q_sched_job(q->sched, no) == NULL)
		(void)claim_job(q, p, no, r);
	else if (j != NULL && j->sched->dest == NULL)
		(void)q_sched_claim_rcpt(q->sched, j->sched, r);
}

/* Only until it says that its claims are over may a worker speak of jobs
 * that this process did not give it. */
static bool
is_claiming(const struct hb_peer *p)
{
	return hb_peer_state(p) == HB_CHANNEL_CLAIMING;
}

static bool
is_out_of_place(struct q *q, struct hb_peer *p, uint32_t no)
{
	return no == 0 || hb_peer_instance(p) >= q->workers ||
	    (!is_claiming(p) && q_sched_job(q->sched, no) == NULL);
}

void
q_on_job_result(struct q *q, struct hb_peer *p, const struct ipc_job_result *m)
{
	struct hb_outcome o;
	struct q_job *j;

	if (hb_tlv_decode(&hb_outcome_record, m->outcome, &o) < 0 ||
	    o.result == HB_RESULT_NONE || is_out_of_place(q, p, m->job)) {
		hb_peer_violation(p, "result that was not asked for");
		return;
	}
	if (is_claiming(p))
		claim(q, p, m->job, m->id, o.idx);
	j = find_work(q, p, m->job);
	if (j != NULL && j->id == m->id)
		q_job_result(j, &o);
}

void
q_on_job_done(struct q *q, struct hb_peer *p, const struct ipc_job_done *m)
{
	struct q_job *j;

	if (is_out_of_place(q, p, m->job)) {
		hb_peer_violation(p, "end of a job that was not given");
		return;
	}
	j = find_work(q, p, m->job);
	if (j == NULL) {
		/* What nobody waits for any more is recorded already. */
		struct ipc_job_ack ack = { .job = m->job };

		if (q_sched_job(q->sched, m->job) == NULL)
			hb_peer_post(p, HB_IPC_JOB_ACK, &ack, -1);
		return;
	}
	j->unreachable = m->unreachable != 0;
	j->reason = (enum hb_reason)m->reason;
	q_job_end(j);
}

void
q_on_job_claim(struct q *q, struct hb_peer *p, const struct ipc_job_claim *m)
{
	if (m->job == 0)
		hb_peer_violation(p, "claim of no job");
	else
		claim(q, p, m->job, m->id, m->idx);
}

void
q_jobs_lost(struct q *q, unsigned worker)
{
	struct q_job *j;

	TAILQ_FOREACH(j, &q->jobs, link)
		if (j->worker == worker && j->state == Q_JOB_OPEN) {
			j->reason = HB_REASON_ROLE_LOST;
			q_job_end(j);
		}
}
