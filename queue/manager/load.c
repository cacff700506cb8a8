/* The message of a job: it is read, and sent in frames.  Floor 4. */
#include "config.h"

#include "queue/manager/job.h"

#include <unistd.h>

#include "common/base/err.h"

/* Frames of a job besides the message: JOB, and one for each recipient. */
enum { JOB_COST = 10240, RCPT_COST = 4096 };

void
q_send_content(struct hb_peer *p, uint32_t no, const struct q_content *c)
{
	struct ipc_job_start start = { .job = no };
	struct ipc_job_file file = { .job = no };
	/* they follow each other in memory: most messages are one frame */
	struct hb_span bytes = hb_span(c->head.p, c->head.n + c->body.n);

	while (bytes.n > 0) {
		struct ipc_job_body m = { .job = no,
			.bytes = hb_span_take(&bytes, HB_MAX_IPC_BODY) };

		hb_peer_post(p, HB_IPC_JOB_BODY, &m, -1);
	}
	if (c->fd >= 0)
		hb_peer_post(p, HB_IPC_JOB_FILE, &file, c->fd);
	hb_peer_post(p, HB_IPC_JOB_START, &start, -1);
}

static void
unreadable(struct q_job *j, enum hb_result result, const char *text)
{
	struct hb_outcome o = { .result = result,
		.reason = HB_REASON_BODY_DAMAGED,
		.status = hb_span_str(hb_reason_status(
		    HB_REASON_BODY_DAMAGED, result)),
		.text = hb_span_str(text) };

	q_job_end_with(j, &o);
}

static bool
has_recipient(const struct sched_job *job)
{
	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] != NULL)
			return true;
	return false;
}

/* The most that the frames of the job can be; a large body is in a file. */
static size_t
most_bytes(const struct sched_job *job)
{
	const struct sched_msg *m = job->msg;
	size_t most = (m->flags & Q_MF_LARGE) != 0 ? HB_MAX_HEADER_BYTES
						   : HB_MAX_JOB_BYTES;

	return JOB_COST + job->n * RCPT_COST +
	    (m->size < most ? (size_t)m->size : most);
}

/* A worker gets no more jobs than its channel holds, those with it that are
 * given before one of them was sent. */
static void
count_loading(struct q_job *j, size_t bytes)
{
	struct q_delivery *d;

	if (q_job_is_local(j))
		return;
	d = &j->q->delivery[j->worker];
	d->loading += bytes - j->loading;
	j->loading = bytes;
	q_worker_update(j->q, d);
}

static void
on_content(void *ctx, int err, const struct q_content *c)
{
	struct q_job *j = ctx;
	const struct q_envelope *h = NULL;

	j->pending--;
	if (j->state != Q_JOB_OPEN || j->sched->msg == NULL ||
	    !has_recipient(j->sched))
		q_job_end(j); /* lost or removed meanwhile */
	else if (err == HB_E_IO ||
	    (h = q_envelope_get(j->q, j->sched->msg)) == NULL)
		unreadable(
		    j, HB_RESULT_DEFER, "the stored message cannot be read");
	else if (err < 0)
		unreadable(j, HB_RESULT_FAIL,
		    "the stored message is damaged and was set aside");
	else
		j->send(j, h, c);
	if (c->fd >= 0)
		close(c->fd);
	count_loading(j, 0);
}

void
q_job_load(struct q_job *j, q_job_send_fn send)
{
	j->pending++;
	j->send = send;
	count_loading(j, most_bytes(j->sched));
	q_spool_content(j->q->spool, j->sched->msg->id, on_content, j);
}
