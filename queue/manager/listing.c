/* A question of control that walks the queue.  Floor 4. */
#include "config.h"

#include "queue/manager/listing.h"

#include <stdlib.h>

#include "common/proto/address.h"
#include "common/proto/conf.h"
#include "common/proto/domain.h"
#include "common/proto/header.h"

enum {
	PENDING_MAX = 512 << 10, /* output that waits for control */
	BUSY_MS = 5,
	TELL_MS = 2000 /* a disk that hangs does not hide the queue */
};

/* Changes of a listing that are not durable yet.  It outlives the listing when
 * control is lost meanwhile. */
struct q_tally {
	struct q_listing *listing; /* NULL: nobody waits any more */
	size_t open;
};

/* --- matching --- */

/* A listing is asked for by more than what is acted on: the part of the
 * address before the @, or a pattern of domains as a route has it. */
static bool
is_listed(
    const struct q_listing *w, struct hb_span local, struct hb_span domain)
{
	return w->verb->verb == HB_CTL_QUEUE &&
	    (hb_span_eq_nocase(hb_span_str(w->name), local) ||
		hb_pattern_match(w->name, domain));
}

static bool
address_matches(const struct q_listing *w, struct hb_span address)
{
	struct hb_span name = hb_span_str(w->name), local, domain;

	if (w->all || w->by_id)
		return true;
	if (hb_span_find(name, '@') < name.n)
		return hb_span_eq_nocase(name, address);
	hb_addr_split(address, &local, &domain);
	return hb_domain_eq(domain, name) || is_listed(w, local, domain) ||
	    (w->below && hb_domain_is_below(domain, name));
}

bool
q_listing_means(const struct q_listing *w, const struct q_envelope *h,
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
is_of_user(struct q_listing *w, struct sched_msg *m)
{
	struct q_envelope *h = q_envelope_get(w->q, m);

	return h != NULL && (h->env.flags & HB_ENV_LOCAL) != 0 &&
	    hb_span_eq(h->env.user, hb_span_str(w->user));
}

static bool
msg_matches(struct q_listing *w, struct sched_msg *m)
{
	struct q_envelope *h;
	struct sched_rcpt *r;

	if (w->user[0] != '\0' && !is_of_user(w, m))
		return false;
	if (w->all || w->by_id)
		return w->all || m->id == w->id;
	h = q_envelope_get(w->q, m);
	if (h == NULL)
		return false;
	if (w->verb->verb == HB_CTL_QUEUE &&
	    hb_message_id_eq(h->env.message_id, hb_span_str(w->name)))
		return true;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		if (q_listing_means(w, h, r))
			return true;
	return false;
}

/* --- its end --- */

static void
listing_free(struct q_listing *w)
{
	TAILQ_REMOVE(&w->q->listings, w, link);
	hb_timer_free(&w->timer);
	w->tally->listing = NULL;
	if (w->tally->open == 0)
		free(w->tally);
	free(w);
}

static void
answer_control(struct q_listing *w)
{
	bool done = w->matched > 0 || w->all;

	hb_ctl_object(&w->c, NULL);
	hb_ctl_int(&w->c, "messages", w->matched);
	hb_ctl_close(&w->c);
	hb_ctl_end(&w->c, done ? 0 : 1,
	    done ? NULL : "nothing in the queue matches");
}

static void
answer_etrn(struct q_listing *w)
{
	struct ipc_etrn_result m = { .ref = w->etrn,
		.messages = (uint32_t)w->matched };

	hb_peer_post(w->c.peer, HB_IPC_ETRN_RESULT, &m, -1);
}

/* How many messages it was, once that is durable. */
static void
answer_actions(struct q_listing *w)
{
	w->answered = true;
	if (w->tally->open > 0)
		return;
	if (w->etrn != 0)
		answer_etrn(w);
	else
		answer_control(w);
	listing_free(w);
}

static void
on_recorded(void *ctx)
{
	struct q_tally *t = ctx;

	t->open--;
	if (t->listing == NULL && t->open == 0)
		free(t);
	else if (t->listing != NULL && t->listing->answered)
		answer_actions(t->listing);
}

void
q_listing_record(struct q_listing *w, uint64_t id, const struct q_change *c)
{
	w->tally->open++;
	q_record(w->q, id, c, 1, on_recorded, w->tally);
}

/* --- the walk --- */

bool
q_listing_is_full(const struct q_listing *w)
{
	return hb_peer_pending(w->c.peer) > PENDING_MAX;
}

/* Whoever sees that mail has left looks for its outcome in the log. */
static void
end_list(struct q_listing *w)
{
	if (!w->complete) {
		w->complete = true;
		w->records = q_records_next(w->q);
		w->until_ms = hb_mono_ms() + TELL_MS;
	}
	if (!q_records_are_told(w->q, w->records) &&
	    hb_mono_ms() < w->until_ms) {
		hb_timer_set(w->timer, BUSY_MS);
		return;
	}
	hb_ctl_close(&w->c);
	hb_ctl_end(&w->c, 0, NULL);
	listing_free(w);
}

static void
listing_end(struct q_listing *w)
{
	if (w->verb->verb == HB_CTL_QUEUE)
		end_list(w);
	else
		answer_actions(w);
}

static void
visit(struct q_listing *w, struct sched_msg *m)
{
	if (msg_matches(w, m) && w->verb->visit(w, m))
		w->matched++;
}

/* The next message to look at, NULL when it is gone.  False: the end. */
static bool
next_msg(struct q_listing *w, struct sched_msg **m)
{
	struct q_sched *sched = w->q->sched;

	if (w->loading_id != 0) {
		*m = q_sched_find(sched, w->loading_id);
		if (*m == NULL)
			w->loading_id = 0;
		return true;
	}
	if (!w->by_id)
		*m = q_sched_walk(sched, &w->cursor);
	else
		*m = w->cursor++ == 0 ? q_sched_find(sched, w->id) : NULL;
	return *m != NULL;
}

/* M is looked at again in the next turn, until its envelope is read. */
static bool
is_loading(struct q_listing *w, struct sched_msg *m)
{
	w->loading_id = q_envelope_ready(w->q, m) ? 0 : m->id;
	return w->loading_id != 0;
}

/* Looks at one message.  False: that was all for now. */
static bool
look_at(struct q_listing *w, struct sched_msg *m)
{
	if (is_loading(w, m))
		return false;
	visit(w, m);
	return true;
}

static void
step(void *ctx)
{
	struct q_listing *w = ctx;

	if (w->complete) {
		end_list(w);
		return;
	}
	q_kick(w->q);
	for (size_t work = 0;
	     work < Q_LISTING_SLICE && !q_listing_is_full(w); work++) {
		struct sched_msg *m;

		if (w->open_id != 0) {
			w->verb->more(w,
			    q_sched_find(w->q->sched, w->open_id));
			work += Q_LISTING_SLICE;
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
	hb_timer_set(w->timer, q_listing_is_full(w) ? BUSY_MS : 0);
}

/* ID, DOMAIN, ADDRESS or all.  False: too long to be any. */
static bool
parse_pattern(struct q_listing *w, struct hb_span arg)
{
	w->all = arg.n == 0 || hb_span_eq(arg, HB_SPAN("all"));
	w->by_id = !w->all && arg.n == 16 && hb_span_hex64(arg, &w->id) == 0;
	return hb_span_copy(arg, w->name, sizeof(w->name)) == 0;
}

static struct q_listing *
listing_new(struct q *q, const struct hb_ctl *c, const struct q_verb *verb)
{
	struct q_listing *w = HB_NEW(struct q_listing);

	w->q = q;
	w->c = *c;
	w->verb = verb;
	w->tally = HB_NEW(struct q_tally);
	w->tally->listing = w;
	w->timer = hb_timer_new(q->loop, step, w);
	TAILQ_INSERT_TAIL(&q->listings, w, link);
	return w;
}

void
q_listing_etrn(struct q *q, struct hb_peer *p, const struct q_verb *verb,
    const struct ipc_etrn *m)
{
	struct hb_ctl c = { .peer = p };
	struct q_listing *w = listing_new(q, &c, verb);

	w->etrn = m->ref;
	w->below = m->below != 0;
	HB_ASSERT(hb_span_copy(m->domain, w->name, sizeof(w->name)) == 0);
	step(w);
}

void
q_listing_start(struct q *q, const struct hb_ctl *c,
    const struct q_verb *verb, const struct ipc_ctl *question)
{
	struct q_listing *w = listing_new(q, c, verb);

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
q_listings_lost(struct q *q, struct hb_peer *asker)
{
	struct q_listing *w, *next;

	for (w = TAILQ_FIRST(&q->listings); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (asker == NULL || w->c.peer == asker)
			listing_free(w);
	}
}
