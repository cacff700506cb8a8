/*
 * Local deliveries: the parent starts a helper that became the recipient, and
 * the job goes to it over a channel of its own.  Floor 4.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "queue/manager/rules.h"

static void
end_with(struct q_work *w, const struct hb_outcome *like)
{
	for (size_t i = 0; i < w->job->n; i++) {
		struct hb_outcome o = *like;

		if (w->job->rcpts[i] == NULL)
			continue;
		o.idx = w->job->rcpts[i]->idx;
		q_work_result(w, &o);
	}
	q_work_end(w);
}

static void
helper_failed(struct q_work *w, const char *why)
{
	struct hb_outcome o = { .result = HB_RESULT_DEFER,
		.reason = HB_REASON_HELPER_FAILED,
		.status = HB_SPAN("4.3.0"), .text = hb_span_str(why) };

	end_with(w, &o);
}

static const struct hb_rcpt *
first_rcpt(const struct q_work *w, const struct q_hot *h)
{
	for (size_t i = 0; i < w->job->n; i++)
		if (w->job->rcpts[i] != NULL)
			return q_hot_rcpt(h, w->job->rcpts[i]->idx);
	return NULL;
}

/* What is to be done for the job.  The spans live as long as the
 * configuration and the job's destination. */
static bool
work_out(const struct q_work *w, struct q_local *l)
{
	struct hb_route route;

	if (hb_route_parse(q_dest_route(w->job->dest), &route) < 0)
		return false;
	q_rule_local(w->q->env->conf, &route, l);
	return l->account.n <= 64;
}

void
q_local_start(struct q_work *w)
{
	struct q_hot *h = q_hot_get(w->q, w->job->msg);
	struct ipc_helper_start m = { .ticket = w->no };
	struct q_local l;

	if (h == NULL || first_rcpt(w, h) == NULL) {
		helper_failed(w, "the stored envelope cannot be read");
		return;
	}
	if (!work_out(w, &l)) {
		helper_failed(w, "the route is not one that can be used");
		return;
	}
	m.user = l.account;
	m.mbox = l.kind == HB_LOCAL_MBOX;
	hb_peer_post(w->q->env->parent, HB_IPC_HELPER_START, &m, -1);
}

/* The helper's channel. */

static void
on_result(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	const struct ipc_job_result *m = msg;
	struct hb_outcome o;

	(void)fd;
	if (hb_tlv_decode(&hb_outcome_record, m->outcome, &o) < 0 ||
	    o.result == HB_RESULT_NONE) {
		hb_peer_violation(p, "malformed result");
		return;
	}
	q_work_result(ctx, &o);
}

static void
on_done(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q_work *w = ctx;

	(void)p;
	(void)fd;
	w->reason = (enum hb_reason)((const struct ipc_job_done *)msg)->reason;
	if (w->reason == HB_REASON_NONE)
		w->reason = HB_REASON_HELPER_FAILED;
	q_work_end(w);
}

static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct q_work *w = ctx;

	(void)p;
	w->helper = NULL;
	if (w->ended)
		return;
	HB_LOG(HB_LOG_WARN, HB_EV_PEER, hb_kv_str(HB_K_PEER, "local"),
	    hb_kv_str(HB_K_STATE, "lost"), hb_kv_str(HB_K_ERROR, why));
	w->reason = HB_REASON_HELPER_FAILED;
	q_work_end(w);
}

static const hb_peer_handler helper_handlers[HB_IPC_COUNT] = {
	[HB_IPC_JOB_RESULT] = on_result,
	[HB_IPC_JOB_DONE] = on_done,
};
static const struct hb_peer_ops helper_ops = {
	.on = helper_handlers,
	.on_close = on_close,
};

void
q_on_helper(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	struct q *q = q_of(ctx);
	const struct ipc_helper *m = msg;
	struct q_batch *job = q_sched_job(q->sched, m->ticket);
	struct q_work *w = job != NULL ? job->user : NULL;

	(void)p;
	if (w == NULL || !w->local || w->helper != NULL || w->ended) {
		if (fd >= 0)
			close(fd); /* the helper ends with its channel */
		return;
	}
	if (fd < 0) {
		char why[128];

		snprintf(why, sizeof(why), "the process that writes into "
		    "mailboxes cannot be started: %s",
		    strerror((int)m->error));
		helper_failed(w, why);
		return;
	}
	w->helper = hb_peer_new(q->loop, fd, HB_ROLE_QUEUE, HB_ROLE_HELPER, 0,
	    &helper_ops, w);
	if (job->msg == NULL)
		q_work_end(w);
	else
		q_job_load(w);
}

static void
send_local(struct q_work *w, const struct q_hot *h, const struct hb_rcpt *rcpt,
    const struct q_local *l)
{
	struct hb_buf env = HB_BUF_INIT(0), rec = HB_BUF_INIT(0);
	struct hb_env mine = h->env;
	struct ipc_local_job m = { .job = w->no, .kind = l->kind };

	if (rcpt->owner.n > 0)
		mine.sender = rcpt->owner;
	if (hb_tlv_encode(&hb_env_record, &mine, &env) < 0 ||
	    hb_tlv_encode(&hb_rcpt_record, rcpt, &rec) < 0)
		HB_BUG("records that were decoded cannot be encoded");
	m.target = l->target;
	m.user = l->user;
	m.env = hb_buf_span(&env);
	m.rcpt = hb_buf_span(&rec);
	m.hostname = hb_span_str(w->q->env->conf->hostname);
	hb_peer_post(w->helper, HB_IPC_LOCAL_JOB, &m, -1);
	hb_buf_free(&env);
	hb_buf_free(&rec);
}

void
q_local_loaded(struct q_work *w, struct hb_span bytes, int fd)
{
	struct q_hot *h = q_hot_get(w->q, w->job->msg);
	const struct hb_rcpt *rcpt = h != NULL ? first_rcpt(w, h) : NULL;
	struct q_local l;

	if (w->helper == NULL || rcpt == NULL) {
		helper_failed(w, "the helper ended");
		return;
	}
	if (work_out(w, &l)) {
		send_local(w, h, rcpt, &l);
		q_send_body(w->helper, w->no, bytes, fd);
	} else {
		helper_failed(w, "the configuration changed meanwhile");
	}
}
