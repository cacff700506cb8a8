/* What control does with messages of the queue: it lists, flushes, holds,
 * releases, removes and bounces them.  Floor 4. */
#include "config.h"

#include "common/proto/domain.h"
#include "queue/manager/job.h"
#include "queue/manager/listing.h"

/* Recipients of the open message from the next one on, as many as control may
 * have now.  Without M it ended meanwhile. */
static void
list_rcpts(struct q_listing *w, struct sched_msg *m)
{
	struct q_envelope *h = m != NULL ? q_envelope_get(w->q, m) : NULL;
	struct sched_rcpt *r;

	for (int i = 0; h != NULL; i++) {
		r = q_sched_next_rcpt(m, w->open_rcpt);
		if (r == NULL)
			break;
		if (i == Q_LISTING_SLICE || q_listing_is_full(w))
			return;
		q_show_rcpt(w->q, &w->c, h, r);
		w->open_rcpt = r->idx + 1;
	}
	hb_ctl_close(&w->c);
	hb_ctl_close(&w->c);
	w->open_id = 0;
}

static bool
open_msg(struct q_listing *w, struct sched_msg *m)
{
	w->open_id = m->id;
	w->open_rcpt = 0;
	w->verb->more(w, m);
	return true;
}

static bool
visit_list(struct q_listing *w, struct sched_msg *m)
{
	struct q_envelope *h = q_envelope_get(w->q, m);

	if (h == NULL)
		return false;
	hb_ctl_object(&w->c, NULL);
	q_show_msg(&w->c, h, m);
	return open_msg(w, m);
}

/* --- actions --- */

/* Recipients one by one.  Each act may change the list, or end the message. */
static void
act_on_rcpts(struct q_listing *w, struct sched_msg *m)
{
	uint64_t id = w->open_id;

	for (int i = 0; m != NULL && i < Q_LISTING_SLICE; i++) {
		struct q_envelope *h = q_envelope_get(w->q, m);
		struct sched_rcpt *r = q_sched_next_rcpt(m, w->open_rcpt);

		if (r == NULL) {
			q_finish_if_empty(w->q, m);
			m = NULL;
			break;
		}
		w->open_rcpt = r->idx + 1;
		w->verb->act(w, r, q_listing_means(w, h, r));
		m = q_sched_find(w->q->sched, id);
	}
	if (m == NULL)
		w->open_id = 0;
}

static void
flush_rcpt(struct q_listing *w, struct sched_rcpt *r, bool matches)
{
	(void)matches; /* all of a message that does */
	q_sched_flush(w->q->sched, r, q_now(w->q));
}

static void
record_held(struct q_listing *w, struct sched_msg *m)
{
	struct q_change c = { .kind = Q_CHANGE_FLAGS,
		.flags = (m->flags & Q_MF_HELD) != 0 ? HB_ENV_HELD : 0 };

	q_trace_add(w->q, m->id, c.flags != 0 ? "held" : "released", 0,
	    HB_SPAN_NONE, NULL);
	q_listing_record(w, m->id, &c);
}

static void
follow_rcpt(struct q_listing *w, struct sched_rcpt *r, bool matches)
{
	q_sched_follow(w->q->sched, r, q_now(w->q));
}

/* What is so already is done. */
static bool
visit_hold(struct q_listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) != 0)
		return true;
	m->flags |= Q_MF_HELD;
	record_held(w, m);
	return open_msg(w, m);
}

static bool
visit_release(struct q_listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) == 0)
		return true;
	m->flags &= ~Q_MF_HELD;
	record_held(w, m);
	return open_msg(w, m);
}

static void
remove_rcpt(struct q_listing *w, struct sched_rcpt *r, bool matches)
{
	struct hb_outcome o = { .idx = r->idx, .result = HB_RESULT_FAIL,
		.reason = HB_REASON_REMOVED, .at_ms = hb_now_ms() };
	struct q_change c = { .kind = Q_CHANGE_DONE, .idx = r->idx,
		.outcome = &o };
	uint64_t id = r->msg->id;

	if (!matches)
		return;
	HB_LOG(HB_LOG_INFO, HB_EV_REMOVE, hb_kv_id(HB_K_MSG, id));
	q_trace_add(w->q, id, "removed", r->idx, HB_SPAN_NONE, &o);
	q_job_leave(r);
	q_pieces_leave(w->q, r);
	q_sched_done(w->q->sched, r);
	q_listing_record(w, id, &c);
}

static void
bounce_rcpt(struct q_listing *w, struct sched_rcpt *r, bool matches)
{
	struct hb_outcome o = { .idx = r->idx, .result = HB_RESULT_FAIL,
		.reason = HB_REASON_BOUNCED, .status = HB_SPAN("5.0.0"),
		.at_ms = hb_now_ms(),
		.text = HB_SPAN("returned by the operator") };

	q_sched_follow(w->q->sched, r, q_now(w->q));
	if (matches && r->state != Q_FAILED && r->state != Q_DSN)
		q_outcome(w->q, r, &o);
}

static bool
visit_bounce(struct q_listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) != 0) {
		m->flags &= ~Q_MF_HELD;
		record_held(w, m);
	}
	return open_msg(w, m);
}

static const struct q_verb verbs[] = {
	{ HB_CTL_QUEUE, false, visit_list, list_rcpts, NULL },
	{ HB_CTL_FLUSH, false, open_msg, act_on_rcpts, flush_rcpt },
	{ HB_CTL_HOLD, true, visit_hold, act_on_rcpts, follow_rcpt },
	{ HB_CTL_RELEASE, true, visit_release, act_on_rcpts, follow_rcpt },
	{ HB_CTL_REMOVE, true, open_msg, act_on_rcpts, remove_rcpt },
	{ HB_CTL_BOUNCE, true, visit_bounce, act_on_rcpts, bounce_rcpt },
};

static const struct q_verb *
find(uint32_t verb)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(verbs); i++)
		if (verbs[i].verb == verb)
			return &verbs[i];
	return NULL;
}

static size_t
etrn_walks(const struct q *q)
{
	const struct q_listing *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &q->listings, link)
		n += w->etrn != 0;
	return n;
}

void
q_on_etrn(struct q *q, struct hb_peer *p, const struct ipc_etrn *m)
{
	struct ipc_etrn_result busy = { .ref = m->ref, .busy = 1 };

	if (m->ref == 0 || !hb_domain_is_dns_name(m->domain))
		hb_peer_violation(p, "ETRN of no domain");
	else if (etrn_walks(q) >= HB_MAX_ETRN_WALKS)
		hb_peer_post(p, HB_IPC_ETRN_RESULT, &busy, -1);
	else
		q_listing_etrn(q, p, find(HB_CTL_FLUSH), m);
}

bool
q_walk(struct q *q, const struct hb_ctl *c, const struct ipc_ctl *question)
{
	const struct q_verb *verb = find(question->verb);

	if (verb == NULL)
		return false;
	if (verb->needs_arg && question->arg.n == 0)
		hb_ctl_end(c, 64, "an id, a domain or all");
	else
		q_listing_start(q, c, verb, question);
	return true;
}
