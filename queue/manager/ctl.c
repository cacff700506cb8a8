/*
 * Questions of control.  Floor 4.  What walks the whole queue does so in
 * slices, so that a million messages hold up nobody.
 */
#include "config.h"

#include "queue/manager/job.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/ctlreply.h"
#include "common/proto/address.h"
#include "common/proto/conf.h"
#include "common/proto/domain.h"
#include "common/proto/header.h"

enum {
	SLICE = 200,		 /* messages at a time, or recipients */
	PENDING_MAX = 512 << 10, /* output that waits for control */
	SHOW_RCPTS = 1000,	 /* of one message in `show` */
	BUSY_MS = 5
};

struct listing;
struct verb {
	enum hb_ctl_verb verb;
	bool needs_arg;
	/* Messages that match.  One with many recipients may be left open:
	 * MORE goes on with it, from open_rcpt. */
	bool (*visit)(struct listing *w, struct sched_msg *m);
	void (*more)(struct listing *w, struct sched_msg *m);
};

/* Changes of a listing that are not durable yet.  It outlives the listing when
 * control is lost meanwhile. */
struct tally {
	struct listing *listing; /* NULL: nobody waits any more */
	size_t open;
};

/* One question under way. */
struct listing {
	TAILQ_ENTRY(listing) link;
	struct q *q;
	struct hb_ctl c;
	const struct verb *verb;
	struct hb_timer *timer;
	bool all, by_id;
	uint64_t id;
	char name[HB_MAX_PATH + 1]; /* domain or address */
	char user[32]; /* not empty: mail that this user submitted here */
	uint32_t cursor;
	int64_t matched;
	/* The message that is not visited wholly because control has enough
	 * for now, or others have their turn; and its next recipient. */
	uint64_t open_id;
	uint32_t open_rcpt;
	uint64_t loaded_id; /* not visited yet: to read it was enough */
	struct tally *tally;
	bool answered; /* answered when all is durable */
};
TAILQ_HEAD(listing_list, listing);
struct q_listings {
	struct listing_list head;
};

/* Matching. */

/* A listing is asked for by more than what is acted on: the part of the
 * address before the @, or a pattern of domains as a route has it. */
static bool
is_listed(const struct listing *w, struct hb_span local, struct hb_span domain)
{
	return w->verb->verb == HB_CTL_QUEUE &&
	    (hb_span_eq_nocase(hb_span_str(w->name), local) ||
		hb_pattern_match(w->name, domain));
}

static bool
address_matches(const struct listing *w, struct hb_span address)
{
	struct hb_span name = hb_span_str(w->name), local, domain;

	if (w->all || w->by_id)
		return true;
	if (hb_span_find(name, '@') < name.n)
		return hb_span_eq_nocase(name, address);
	hb_addr_split(address, &local, &domain);
	return hb_domain_eq(domain, name) || is_listed(w, local, domain);
}

/* Does the question mean R?  H: NULL when its envelope cannot be read. */
static bool
rcpt_matches(const struct listing *w, const struct q_envelope *h,
    const struct sched_rcpt *r)
{
	const struct hb_rcpt *rcpt =
	    h != NULL ? q_envelope_rcpt(h, r->idx) : NULL;

	if (w->all || w->by_id)
		return true;
	return rcpt != NULL && (address_matches(w, rcpt->address) ||
	    (rcpt->original.n > 0 && address_matches(w, rcpt->original)));
}

static bool
is_of_user(struct listing *w, struct sched_msg *m)
{
	struct q_envelope *h = q_envelope_get(w->q, m);

	return h != NULL && (h->env.flags & HB_ENV_LOCAL) != 0 &&
	    hb_span_eq(h->env.user, hb_span_str(w->user));
}

static bool
msg_matches(struct listing *w, struct sched_msg *m)
{
	struct q_envelope *h;

	if (w->user[0] != '\0' && !is_of_user(w, m))
		return false;
	if (w->all || w->by_id)
		return w->all || m->id == w->id;
	h = q_envelope_get(w->q, m);
	if (h != NULL && w->verb->verb == HB_CTL_QUEUE &&
	    hb_message_id_eq(h->env.message_id, hb_span_str(w->name)))
		return true;
	for (struct sched_rcpt *r = m->rcpts; r != NULL && h != NULL;
	     r = r->mnext)
		if (rcpt_matches(w, h, r))
			return true;
	return false;
}

/* The listing. */

static const char *
state_word(const struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) != 0)
		return "held";
	for (const struct sched_rcpt *r = m->rcpts; r != NULL; r = r->mnext)
		if (r->state != Q_NEW && q_rcpt_next_ms(r) == 0)
			return "active";
	return "deferred";
}

static void
put_reply(const struct hb_ctl *c, const struct hb_outcome *o)
{
	struct hb_buf reply = HB_BUF_INIT(0);

	hb_buf_addf(&reply, "%u ", hb_outcome_code(o));
	hb_buf_add(&reply, o->text);
	hb_ctl_str(c, "reply", hb_span_trim(hb_buf_span(&reply)));
	hb_buf_free(&reply);
}

static void
put_last(const struct hb_ctl *c, const struct q_last *last)
{
	static const char *const members[] = { "reply", "status", "reason",
		"why", "fault", "mx", "tls", "sts", "policy_id" };
	struct hb_outcome o;

	hb_ctl_object(c, "last");
	for (size_t i = 0; i < HB_ARRAY_LEN(members) && last == NULL; i++)
		hb_ctl_null(c, members[i]);
	if (last == NULL) {
		hb_ctl_close(c);
		return;
	}
	q_last_outcome(last, &o);
	put_reply(c, &o);
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

static void
put_rcpt(const struct q *q, const struct hb_ctl *c, const struct q_envelope *h,
    const struct sched_rcpt *r)
{
	const struct hb_rcpt *rcpt = q_envelope_rcpt(h, r->idx);
	int64_t next = q_rcpt_next_ms(r);

	hb_ctl_object(c, NULL);
	if (rcpt != NULL)
		hb_ctl_str(c, "address", rcpt->address);
	if (rcpt != NULL && rcpt->original.n > 0)
		hb_ctl_str(c, "original", rcpt->original);
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

/* The fields of a message, into an open object; its array of recipients is
 * left open. */
static void
put_msg(const struct hb_ctl *c, const struct q_envelope *h,
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

static bool
is_full(const struct listing *w)
{
	return hb_peer_pending(w->c.peer) > PENDING_MAX;
}

/* Recipients of the open message from the next one on, as many as control may
 * have now.  Without M it ended meanwhile. */
static void
list_rcpts(struct listing *w, struct sched_msg *m)
{
	struct q_envelope *h = m != NULL ? q_envelope_get(w->q, m) : NULL;
	struct sched_rcpt *r;

	for (int i = 0; h != NULL; i++) {
		r = q_sched_next_rcpt(m, w->open_rcpt);
		if (r == NULL)
			break;
		if (i == SLICE || is_full(w))
			return;
		put_rcpt(w->q, &w->c, h, r);
		w->open_rcpt = r->idx + 1;
	}
	hb_ctl_close(&w->c);
	hb_ctl_close(&w->c);
	w->open_id = 0;
}

static bool
open_msg(struct listing *w, struct sched_msg *m)
{
	w->open_id = m->id;
	w->open_rcpt = 0;
	w->verb->more(w, m);
	return true;
}

static bool
visit_list(struct listing *w, struct sched_msg *m)
{
	struct q_envelope *h = q_envelope_get(w->q, m);

	if (h == NULL)
		return false;
	hb_ctl_object(&w->c, NULL);
	put_msg(&w->c, h, m);
	return open_msg(w, m);
}

/* Actions. */

static void answer_actions(struct listing *w);

static void
on_recorded(void *ctx)
{
	struct tally *t = ctx;

	t->open--;
	if (t->listing == NULL && t->open == 0)
		free(t);
	else if (t->listing != NULL && t->listing->answered)
		answer_actions(t->listing);
}

/* Records a change that the answer waits for: what was removed stays so. */
static void
record(struct listing *w, uint64_t id, const struct q_change *c)
{
	w->tally->open++;
	q_record(w->q, id, c, 1, on_recorded, w->tally);
}

/* Recipients one by one.  Each act may change the list, or end the message. */
static void
act_on_rcpts(struct listing *w, struct sched_msg *m,
    void (*act)(struct listing *w, struct sched_rcpt *r, bool matches))
{
	uint64_t id = w->open_id;

	for (int i = 0; m != NULL && i < SLICE; i++) {
		struct q_envelope *h = q_envelope_get(w->q, m);
		struct sched_rcpt *r = q_sched_next_rcpt(m, w->open_rcpt);

		if (r == NULL) {
			q_finish_if_empty(w->q, m);
			m = NULL;
			break;
		}
		w->open_rcpt = r->idx + 1;
		act(w, r, rcpt_matches(w, h, r));
		m = q_sched_find(w->q->sched, id);
	}
	if (m == NULL)
		w->open_id = 0;
}

static void
flush_rcpt(struct listing *w, struct sched_rcpt *r, bool matches)
{
	(void)matches; /* all of a message that does */
	q_sched_flush(w->q->sched, r, q_now(w->q));
}

static void
more_flush(struct listing *w, struct sched_msg *m)
{
	act_on_rcpts(w, m, flush_rcpt);
}

static void
record_held(struct listing *w, struct sched_msg *m)
{
	struct q_change c = { .kind = Q_CHANGE_FLAGS,
		.flags = (m->flags & Q_MF_HELD) != 0 ? HB_ENV_HELD : 0 };

	q_trace_add(w->q, m->id, c.flags != 0 ? "held" : "released", 0,
	    HB_SPAN_NONE, NULL);
	record(w, m->id, &c);
}

static void
follow_rcpt(struct listing *w, struct sched_rcpt *r, bool matches)
{
	(void)matches;
	q_sched_follow(w->q->sched, r, q_now(w->q));
}

static void
more_follow(struct listing *w, struct sched_msg *m)
{
	act_on_rcpts(w, m, follow_rcpt);
}

/* What is so already is done. */
static bool
visit_hold(struct listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) != 0)
		return true;
	m->flags |= Q_MF_HELD;
	record_held(w, m);
	return open_msg(w, m);
}

static bool
visit_release(struct listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) == 0)
		return true;
	m->flags &= ~Q_MF_HELD;
	record_held(w, m);
	return open_msg(w, m);
}

static void
remove_rcpt(struct listing *w, struct sched_rcpt *r, bool matches)
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
	q_sched_done(w->q->sched, r);
	record(w, id, &c);
}

static void
bounce_rcpt(struct listing *w, struct sched_rcpt *r, bool matches)
{
	struct hb_outcome o = { .idx = r->idx, .result = HB_RESULT_FAIL,
		.reason = HB_REASON_BOUNCED, .status = HB_SPAN("5.0.0"),
		.at_ms = hb_now_ms(),
		.text = HB_SPAN("returned by the operator") };

	q_sched_follow(w->q->sched, r, q_now(w->q));
	if (matches && r->state != Q_FAILED && r->state != Q_DSN)
		q_outcome(w->q, r, &o);
}

static void
more_remove(struct listing *w, struct sched_msg *m)
{
	act_on_rcpts(w, m, remove_rcpt);
}

static void
more_bounce(struct listing *w, struct sched_msg *m)
{
	act_on_rcpts(w, m, bounce_rcpt);
}

static bool
visit_bounce(struct listing *w, struct sched_msg *m)
{
	if ((m->flags & Q_MF_HELD) != 0) {
		m->flags &= ~Q_MF_HELD;
		record_held(w, m);
	}
	return open_msg(w, m);
}

static const struct verb verbs[] = {
	{ HB_CTL_QUEUE, false, visit_list, list_rcpts },
	{ HB_CTL_FLUSH, false, open_msg, more_flush },
	{ HB_CTL_HOLD, true, visit_hold, more_follow },
	{ HB_CTL_RELEASE, true, visit_release, more_follow },
	{ HB_CTL_REMOVE, true, open_msg, more_remove },
	{ HB_CTL_BOUNCE, true, visit_bounce, more_bounce },
};

/* The listing itself. */

static void
listing_free(struct listing *w)
{
	TAILQ_REMOVE(&w->q->listings->head, w, link);
	hb_timer_free(&w->timer);
	w->tally->listing = NULL;
	if (w->tally->open == 0)
		free(w->tally);
	free(w);
}

/* How many messages it was, once that is durable. */
static void
answer_actions(struct listing *w)
{
	bool done = w->matched > 0 || w->all;

	w->answered = true;
	if (w->tally->open > 0)
		return;
	hb_ctl_object(&w->c, NULL);
	hb_ctl_int(&w->c, "messages", w->matched);
	hb_ctl_close(&w->c);
	hb_ctl_end(&w->c, done ? 0 : 1,
	    done ? NULL : "nothing in the queue matches");
	listing_free(w);
}

static void
listing_end(struct listing *w)
{
	if (w->verb->verb != HB_CTL_QUEUE) {
		answer_actions(w);
		return;
	}
	hb_ctl_close(&w->c);
	hb_ctl_end(&w->c, 0, NULL);
	listing_free(w);
}

static void
visit(struct listing *w, struct sched_msg *m)
{
	if (msg_matches(w, m) && w->verb->visit(w, m))
		w->matched++;
}

/* The next message to look at, NULL when it is gone.  False: the end. */
static bool
next_msg(struct listing *w, struct sched_msg **m)
{
	struct q_sched *sched = w->q->sched;

	if (w->loaded_id != 0) {
		*m = q_sched_find(sched, w->loaded_id);
		if (*m == NULL)
			w->loaded_id = 0;
		return true;
	}
	if (!w->by_id)
		*m = q_sched_walk(sched, &w->cursor);
	else
		*m = w->cursor++ == 0 ? q_sched_find(sched, w->id) : NULL;
	return *m != NULL;
}

/* The envelope of a message with many recipients is read in a turn of its
 * own. */
static bool
load_first(struct listing *w, struct sched_msg *m)
{
	if (m->user != NULL || m->live <= SLICE || w->loaded_id == m->id)
		return false;
	w->loaded_id = m->id;
	(void)q_envelope_get(w->q, m);
	return true;
}

/* Looks at one message.  False: that was all for now. */
static bool
look_at(struct listing *w, struct sched_msg *m)
{
	if (load_first(w, m))
		return false;
	w->loaded_id = 0;
	visit(w, m);
	return true;
}

static void
step(void *ctx)
{
	struct listing *w = ctx;

	q_kick(w->q);
	for (size_t work = 0; work < SLICE && !is_full(w); work++) {
		struct sched_msg *m;

		if (w->open_id != 0) {
			w->verb->more(w,
			    q_sched_find(w->q->sched, w->open_id));
			work += SLICE;
			continue;
		}
		if (!next_msg(w, &m)) {
			listing_end(w);
			return;
		}
		work += m != NULL ? m->live : 0;
		if (m != NULL && !look_at(w, m))
			break;
	}
	hb_timer_set(w->timer, is_full(w) ? BUSY_MS : 0);
}

/* ID, DOMAIN, ADDRESS or all.  False: too long to be any. */
static bool
parse_pattern(struct listing *w, struct hb_span arg)
{
	w->all = arg.n == 0 || hb_span_eq(arg, HB_SPAN("all"));
	w->by_id = !w->all && arg.n == 16 && hb_span_hex64(arg, &w->id) == 0;
	return hb_span_copy(arg, w->name, sizeof(w->name)) == 0;
}

static void
listing_start(struct q *q, const struct hb_ctl *c, const struct verb *verb,
    const struct ipc_ctl *question)
{
	struct listing *w = HB_NEW(struct listing);

	if (q->listings == NULL) {
		q->listings = HB_NEW(struct q_listings);
		TAILQ_INIT(&q->listings->head);
	}
	w->q = q;
	w->c = *c;
	w->verb = verb;
	w->tally = HB_NEW(struct tally);
	w->tally->listing = w;
	w->timer = hb_timer_new(q->loop, step, w);
	TAILQ_INSERT_TAIL(&q->listings->head, w, link);
	if (!parse_pattern(w, question->arg) ||
	    hb_span_copy(question->arg2, w->user, sizeof(w->user)) < 0) {
		hb_ctl_end(c, 64, "neither an id nor a domain");
		listing_free(w);
		return;
	}
	if (verb->verb == HB_CTL_QUEUE)
		hb_ctl_array(c, NULL);
	step(w);
}

void
q_listings_lost(struct q *q, struct hb_peer *control)
{
	struct listing *w, *next;

	if (q->listings == NULL)
		return;
	for (w = TAILQ_FIRST(&q->listings->head); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (control == NULL || w->c.peer == control)
			listing_free(w);
	}
}

void
q_listings_free(struct q *q)
{
	q_listings_lost(q, NULL);
	free(q->listings);
	q->listings = NULL;
}

/* One message. */

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

	if (s->q->control == c->peer) { /* who asked is still there */
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

static void
put_envelope(const struct hb_ctl *c, const struct hb_env *e)
{
	hb_ctl_str(c, "client", e->client);
	hb_ctl_str(c, "helo", e->helo);
	hb_ctl_str(c, "user", e->user);
	hb_ctl_str(c, "with", e->with);
	hb_ctl_str(c, "tls", e->tls);
	hb_ctl_bool(c, "notice", (e->flags & HB_ENV_DSN) != 0);
}

static void
show(struct q *q, const struct hb_ctl *c, struct hb_span arg)
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
	put_msg(c, h, m);
	for (r = q_sched_next_rcpt(m, 0); r != NULL && n++ < SHOW_RCPTS;
	     r = q_sched_next_rcpt(m, r->idx + 1))
		put_rcpt(q, c, h, r);
	hb_ctl_close(c);
	put_envelope(c, &h->env);
	kept = HB_NEW(struct shown);
	*kept = (struct shown){ q, *c };
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

static void
trace(struct q *q, const struct hb_ctl *c, struct hb_span arg)
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

/* Into the object that is open. */
static void
status(struct q *q, const struct hb_ctl *c)
{
	struct q_sched_stats s;
	uint32_t active;

	q_sched_stats(q->sched, &s);
	active = s.state[Q_DUE] + s.state[Q_ASKED] + s.state[Q_READY] +
	    s.state[Q_ACTIVE];
	hb_ctl_int(c, "messages", s.messages);
	hb_ctl_int(c, "recipients", s.recipients);
	hb_ctl_int(c, "active", active);
	hb_ctl_int(c, "deferred", s.state[Q_NEW]);
	hb_ctl_int(c, "held", s.state[Q_HELD]);
	hb_ctl_int(c, "destinations", s.destinations);
	hb_ctl_int(c, "unreachable", s.unreachable);
	hb_ctl_int(c, "jobs", s.jobs);
	hb_ctl_int(c, "clock_off_s", q_stamp(q).off_ms / 1000);
	hb_ctl_int(c, "spool_free", (int64_t)q_spool_space(q->spool));
	if (q->drop != NULL)
		q_drop_status(q->drop, c);
	hb_ctl_int(c, "accepted_total", (int64_t)q->accepted);
	hb_ctl_int(c, "delivered_total", (int64_t)hb_stat_sum(HB_STAT_DELIVERED_LOCAL));
	hb_ctl_int(c, "deferred_total", (int64_t)hb_stats[HB_STAT_DEFERRED]);
	hb_ctl_int(c, "failed_total", (int64_t)hb_stats[HB_STAT_FAILED]);
	hb_ctl_int(c, "notices_total", (int64_t)hb_stat_sum(HB_STAT_NOTICE_FAILURE));
}

void
q_ctl(struct q *q, struct hb_peer *control, const struct ipc_ctl *question)
{
	struct hb_ctl c = { .peer = control, .ref = question->ref };

	if (question->verb == HB_CTL_STATUS) {
		status(q, &c);
		return;
	}
	if (question->verb == HB_CTL_SHOW) {
		show(q, &c, question->arg);
		return;
	}
	if (question->verb == HB_CTL_TRACE) {
		trace(q, &c, question->arg);
		return;
	}
	if (question->verb == HB_CTL_EXPORT) {
		q_export(q, &c);
		return;
	}
	if (question->verb == HB_CTL_IMPORT) {
		q_import(q, &c);
		return;
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(verbs); i++)
		if (verbs[i].verb == question->verb) {
			if (verbs[i].needs_arg && question->arg.n == 0)
				hb_ctl_end(&c, 64, "an id, a domain or all");
			else
				listing_start(q, &c, &verbs[i], question);
			return;
		}
	hb_ctl_end(&c, 1, "not a question for this role");
}
