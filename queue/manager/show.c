/* One message, as control shows it; and its trace.  Floor 4. */
#include "config.h"

#include "queue/manager/listing.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/proto/esmtp.h"

enum { SHOW_RCPTS = 1000 /* of one message */ };

static const char *
state_word(const struct sched_msg *m)
{
	const struct sched_rcpt *r;

	if ((m->flags & Q_MF_HELD) != 0)
		return "held";
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		if (r->state != Q_NEW && q_rcpt_next_ms(r) == 0)
			return "active";
	return "deferred";
}

static void
put_last(const struct hb_ctl *c, const struct q_last *last)
{
	static const char *const members[] = { "reply", "status", "reason",
		"why", "fault", "mx", "tls", "sts", "policy_id" };
	struct hb_outcome o;
	struct hb_buf reply = HB_BUF_INIT(0);

	hb_ctl_object(c, "last");
	for (size_t i = 0; i < HB_ARRAY_LEN(members) && last == NULL; i++)
		hb_ctl_null(c, members[i]);
	if (last == NULL) {
		hb_ctl_close(c);
		return;
	}
	q_last_outcome(last, &o);
	hb_buf_addf(&reply, "%u ", hb_outcome_code(&o));
	hb_buf_add(&reply, o.text);
	hb_ctl_str(c, "reply", hb_span_trim(hb_buf_span(&reply)));
	hb_buf_free(&reply);
	hb_ctl_str(c, "status", hb_outcome_status(&o));
	hb_ctl_text(c, "reason", hb_reason_word(o.reason));
	hb_ctl_text(c, "why", hb_reason_text(o.reason));
	hb_ctl_text(c, "fault", hb_fault_word(hb_reason_fault(o.reason)));
	hb_ctl_str(c, "mx", o.mx);
	hb_ctl_str(c, "tls", o.tls.n > 0 ? o.tls : HB_SPAN("none"));
	hb_ctl_str(c, "sts", o.sts.n > 0 ? o.sts : HB_SPAN("none"));
	hb_ctl_str(c, "policy_id", o.policy_id);
	hb_ctl_close(c);
}

/* What the sender said of DSNs, where he did. */
static void
put_asked(const struct hb_ctl *c, const struct hb_rcpt *rcpt)
{
	struct hb_buf notify = HB_BUF_INIT(0);

	hb_notify_format(rcpt->notify, &notify);
	if (notify.n > 0)
		hb_ctl_str(c, "notify", hb_buf_span(&notify));
	if (rcpt->orcpt.n > 0)
		hb_ctl_str(c, "orcpt", rcpt->orcpt);
	hb_buf_free(&notify);
}

void
q_show_rcpt(const struct q *q, const struct hb_ctl *c,
    const struct q_envelope *h, const struct sched_rcpt *r)
{
	const struct hb_rcpt *rcpt = q_envelope_rcpt(h, r->idx);
	int64_t next = q_rcpt_next_ms(r);

	hb_ctl_object(c, NULL);
	if (rcpt != NULL)
		hb_ctl_str(c, "address", rcpt->address);
	if (rcpt != NULL && rcpt->original.n > 0)
		hb_ctl_str(c, "original", rcpt->original);
	if (rcpt != NULL)
		put_asked(c, rcpt);
	hb_ctl_int(c, "attempts", r->attempts);
	if (next > 0)
		hb_ctl_time(c, "next_attempt", q_date(q, next));
	else
		hb_ctl_null(c, "next_attempt");
	if (r->dest != NULL)
		hb_ctl_str(c, "route", sched_dest_route(r->dest));
	put_last(c, q_rcpt_last(r));
	hb_ctl_close(c);
}

void
q_show_msg(const struct hb_ctl *c, const struct q_envelope *h,
    const struct sched_msg *m)
{
	const char *demand = hb_env_tls_demand(h->env.flags);
	char id[17];

	hb_msgid_format(m->id, id);
	hb_ctl_text(c, "id", id);
	hb_ctl_str(c, "sender", h->env.sender);
	hb_ctl_int(c, "size", (int64_t)m->size);
	hb_ctl_time(c, "arrived", h->env.arrived_ms);
	hb_ctl_text(c, "state", state_word(m));
	if (demand[0] != '\0')
		hb_ctl_text(c, "tls_demand", demand);
	else
		hb_ctl_null(c, "tls_demand");
	hb_ctl_str(c, "message_id", h->env.message_id);
	hb_ctl_array(c, "recipients");
}

static struct sched_msg *
find_msg(struct q *q, const struct hb_ctl *c, struct hb_span arg)
{
	struct sched_msg *m = NULL;
	uint64_t id;

	if (hb_span_hex64(arg, &id) == 0)
		m = q_sched_find(q->sched, id);
	if (m == NULL)
		hb_ctl_end(c, 1, "no such message in the queue");
	return m;
}

struct shown {
	struct q *q;
	struct hb_ctl c;
	uint64_t channel; /* of control */
};

/* Header section and body, as much as one frame holds, into ROOM. */
static struct hb_span
beginning(const struct q_content *content, unsigned char room[HB_MAX_IPC_BODY])
{
	struct hb_span head = hb_span_head(content->head, HB_MAX_IPC_BODY),
		       body = hb_span_head(content->body,
			   HB_MAX_IPC_BODY - head.n);
	size_t n = head.n + body.n;
	ssize_t got = 0;

	if (head.n > 0)
		memcpy(room, head.p, head.n);
	if (body.n > 0)
		memcpy(room + head.n, body.p, body.n);
	if (content->fd >= 0)
		got = pread(content->fd, room + n, HB_MAX_IPC_BODY - n, 0);
	return hb_span(room, n + (got > 0 ? (size_t)got : 0));
}

static void
show_content(void *ctx, int err, const struct q_content *content)
{
	static unsigned char room[HB_MAX_IPC_BODY];
	struct shown *s = ctx;
	const struct hb_ctl *c = &s->c;

	if (hb_peer_is(s->q->control, s->channel)) {
		if (err < 0)
			hb_ctl_null(c, "message");
		else
			hb_ctl_str(c, "message", beginning(content, room));
		hb_ctl_close(c);
		hb_ctl_end(c, 0, NULL);
	}
	if (content->fd >= 0)
		close(content->fd);
	free(s);
}

void
q_show(struct q *q, const struct hb_ctl *c, struct hb_span arg)
{
	struct sched_msg *m = find_msg(q, c, arg);
	struct q_envelope *h = m != NULL ? q_envelope_get(q, m) : NULL;
	struct shown *kept;
	struct sched_rcpt *r;
	unsigned n = 0;

	if (m == NULL)
		return;
	if (h == NULL) {
		hb_ctl_end(c, 1, "the stored envelope cannot be read");
		return;
	}
	hb_ctl_object(c, NULL);
	q_show_msg(c, h, m);
	for (r = q_sched_next_rcpt(m, 0); r != NULL && n++ < SHOW_RCPTS;
	     r = q_sched_next_rcpt(m, r->idx + 1))
		q_show_rcpt(q, c, h, r);
	hb_ctl_close(c);
	hb_ctl_str(c, "client", h->env.client);
	hb_ctl_str(c, "helo", h->env.helo);
	hb_ctl_str(c, "user", h->env.user);
	hb_ctl_str(c, "with", h->env.with);
	hb_ctl_str(c, "tls", h->env.tls);
	if (h->env.ret != HB_RET_NONE)
		hb_ctl_text(c, "ret", h->env.ret == HB_RET_FULL ? "full"
								: "hdrs");
	if (h->env.envid.n > 0)
		hb_ctl_str(c, "envid", h->env.envid);
	if (h->env.held_for.n > 0)
		hb_ctl_str(c, "held_for", h->env.held_for);
	hb_ctl_bool(c, "notice", (h->env.flags & HB_ENV_DSN) != 0);
	kept = HB_NEW(struct shown);
	*kept = (struct shown){ q, *c, hb_peer_number(c->peer) };
	q_spool_content(q->spool, m->id, show_content, kept);
}

static void
put_known(const struct hb_ctl *c, const char *key, const char *text)
{
	if (text[0] != '\0')
		hb_ctl_text(c, key, text);
}

static void
put_event(const struct hb_ctl *c, const struct q_event *e)
{
	char id[17];

	hb_msgid_format(e->id, id);
	hb_ctl_object(c, NULL);
	hb_ctl_time(c, "time", e->at_ms);
	hb_ctl_text(c, "event", e->what);
	hb_ctl_text(c, "msg", id);
	hb_ctl_int(c, "recipient", e->idx);
	put_known(c, "rcpt", e->rcpt);
	if (e->result != HB_RESULT_NONE) {
		hb_ctl_text(c, "result", hb_result_word(e->result));
		hb_ctl_text(c, "reason", hb_reason_word(e->reason));
		hb_ctl_text(c, "text", e->text);
		put_known(c, "mx", e->mx);
		put_known(c, "addr", e->addr);
		if (e->code > 0)
			hb_ctl_int(c, "code", e->code);
		put_known(c, "status", e->status);
		put_known(c, "tls", e->tls);
		put_known(c, "sts", e->sts);
		put_known(c, "dane", e->dane);
	} else {
		put_known(c, "message_id", e->text);
	}
	hb_ctl_close(c);
}

void
q_show_trace(struct q *q, const struct hb_ctl *c, struct hb_span arg)
{
	const struct q_event *e;
	size_t cursor = 0;
	uint64_t id;

	if (hb_span_hex64(arg, &id) < 0)
		id = q_trace_find(q, arg);
	hb_ctl_array(c, NULL);
	while (id != 0 && (e = q_trace_next(q, id, &cursor)) != NULL)
		put_event(c, e);
	hb_ctl_close(c);
	hb_ctl_end(c, 0, NULL);
}
