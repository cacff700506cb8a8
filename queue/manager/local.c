/*
 * Local deliveries: the parent starts a helper that became the recipient, and
 * the job goes to it over its own channel.  Floor 4.
 */
#include "config.h"

#include "queue/manager/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue/manager/rules.h"

static void
helper_failed(struct q_job *j, const char *why)
{
	struct hb_outcome o = { .result = HB_RESULT_DEFER,
		.reason = HB_REASON_HELPER_FAILED,
		.status = HB_SPAN("4.3.0"), .text = hb_span_str(why) };

	q_job_end_with(j, &o);
}

static const struct hb_rcpt *
first_rcpt(const struct q_job *j, const struct q_envelope *h)
{
	for (size_t i = 0; i < j->sched->n; i++)
		if (j->sched->rcpts[i] != NULL)
			return q_envelope_rcpt(h, j->sched->rcpts[i]->idx);
	return NULL;
}

/* What is to be done for the job.  The spans live as long as the
 * configuration and the job's destination. */
static bool
work_out(const struct q_job *j, struct q_local *l)
{
	struct hb_route route;

	if (hb_route_parse(sched_dest_route(j->sched->dest), &route) < 0)
		return false;
	q_rule_local(j->q->env->conf, &route, l);
	return l->account.n <= 64;
}

void
q_local_start(struct q_job *j)
{
	struct q_envelope *h = q_envelope_get(j->q, j->sched->msg);
	struct ipc_helper_start m = { .ticket = j->no };
	struct q_local l;

	if (h == NULL || first_rcpt(j, h) == NULL) {
		helper_failed(j, "the stored envelope cannot be read");
		return;
	}
	if (!work_out(j, &l)) {
		helper_failed(j, "the route is not one that can be used");
		return;
	}
	m.user = l.account;
	m.mbox = l.kind == HB_LOCAL_MBOX;
	hb_peer_post(j->q->env->parent, HB_IPC_HELPER_START, &m, -1);
}

/* --- the helper's channel --- */

static void
on_result(
    struct q_job *j, struct hb_peer *p, const struct ipc_job_result *m)
{
	struct hb_outcome o;

	if (hb_tlv_decode(&hb_outcome_record, m->outcome, &o) < 0 ||
	    o.result == HB_RESULT_NONE) {
		hb_peer_violation(p, "malformed result");
		return;
	}
	q_job_result(j, &o);
}

static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct q_job *j = ctx;

	j->helper = NULL;
	if (j->state != Q_JOB_OPEN)
		return;
	HB_LOG(HB_LOG_WARN, HB_EV_PEER, hb_kv_str(HB_K_PEER, "local"),
	    hb_kv_str(HB_K_STATE, "lost"), hb_kv_str(HB_K_ERROR, why));
	j->reason = HB_REASON_HELPER_FAILED;
	q_job_end(j);
}

static bool
on_frame(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	struct q_job *j = ctx;

	if (type == HB_IPC_JOB_RESULT) {
		on_result(j, p, &m->job_result);
		return true;
	}
	if (type != HB_IPC_JOB_DONE)
		return false;
	j->reason = (enum hb_reason)m->job_done.reason;
	if (j->reason == HB_REASON_NONE)
		j->reason = HB_REASON_HELPER_FAILED;
	q_job_end(j);
	return true;
}

static const struct hb_peer_ops helper_ops = {
	.on = on_frame,
	.on_close = on_close,
};

static void
send_local(struct q_job *j, const struct q_envelope *h,
    const struct hb_rcpt *rcpt, const struct q_local *l)
{
	struct hb_buf env = HB_BUF_INIT(0), rec = HB_BUF_INIT(0);
	struct hb_env mine = h->env;
	struct ipc_local_job m = { .job = j->no, .kind = l->kind };

	if (rcpt->owner.n > 0)
		q_env_of_list(&mine, rcpt->owner);
	if (hb_tlv_encode(&hb_env_record, &mine, &env) < 0 ||
	    hb_tlv_encode(&hb_rcpt_record, rcpt, &rec) < 0)
		HB_BUG("records that were decoded cannot be encoded");
	m.target = l->target;
	m.user = l->user;
	m.env = hb_buf_span(&env);
	m.rcpt = hb_buf_span(&rec);
	m.hostname = hb_span_str(j->q->env->conf->hostname);
	hb_peer_post(j->helper, HB_IPC_LOCAL_JOB, &m, -1);
	hb_buf_free(&env);
	hb_buf_free(&rec);
}

static void
send_loaded(struct q_job *j, const struct q_envelope *h,
    const struct q_content *c)
{
	const struct hb_rcpt *rcpt = first_rcpt(j, h);
	struct q_local l;

	if (j->helper == NULL || rcpt == NULL) {
		helper_failed(j, "the helper ended");
		return;
	}
	if (work_out(j, &l)) {
		send_local(j, h, rcpt, &l);
		q_send_content(j->helper, j->no, c);
	} else {
		helper_failed(j, "the configuration changed meanwhile");
	}
}

void
q_on_helper(struct q *q, struct hb_peer *p, const struct ipc_helper *m, int fd)
{
	struct sched_job *job = q_sched_job(q->sched, m->ticket);
	struct q_job *j = job != NULL ? job->user : NULL;

	if (j == NULL || !q_job_is_local(j) || j->helper != NULL ||
	    j->state != Q_JOB_OPEN) {
		if (fd >= 0)
			close(fd); /* the helper ends with its channel */
		return;
	}
	if (fd < 0) {
		char why[128];

		snprintf(why, sizeof(why), "the process that writes into "
		    "mailboxes cannot be started: %s",
		    strerror((int)m->error));
		helper_failed(j, why);
		return;
	}
	j->helper = hb_peer_new(q->loop, fd, HB_ROLE_QUEUE, HB_ROLE_HELPER, 0,
	    &helper_ops, j);
	if (job->msg == NULL)
		q_job_end(j);
	else
		q_job_load(j, send_loaded);
}
