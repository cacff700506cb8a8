/*
 * Routing of a recipient.  Floor 4.
 *
 * Router answers with a list of deliveries.  A list of one with the address
 * unchanged is kept only in memory: asking again gives the same answer.  Any
 * other list is recorded before any of it is sent, so that no crash expands an
 * alias twice: each entry becomes a recipient of its own, and the original
 * recipient is done.  A long list is recorded in pieces; after a crash between
 * two pieces router is asked again, and the recorded entries are found again.
 *
 * What the sender asked for about DSNs goes with an alias of one target, ends
 * at a list, and goes without SUCCESS to several targets: then a DSN says that
 * the address was delivered (a list) or expanded (RFC 3461 s5.2.7).
 *
 * An entry for a place to which another recipient of the message goes is
 * dropped (queue/manager/places.h).
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/proto/address.h"
#include "queue/manager/rules.h"

enum { PIECE = 1000 /* entries recorded at a time */ };

/* A question on its way; or an answer on its way to the disk. */
struct q_ask {
	HB_ROW(key); /* its ref */
	struct q *q;
	uint32_t ref;
	uint64_t id;
	uint32_t idx;
	struct hb_arena *arena; /* owns items */
	struct hb_rcpt *items;	/* malloc */
	size_t n, cap;
	TAILQ_ENTRY(q_ask) link; /* in q->split */
	size_t at;		 /* the next item to record */
	struct q_part piece;	 /* those being recorded */
	bool answered;		 /* not in q->asks any more */
	/* Not all was found: its outcome stays with the asked recipient, which
	 * is asked for again.  result NONE: all was. */
	struct hb_outcome rest;
	/* The asked recipient is done so, which its sender wants to be told;
	 * result NONE: he does not. */
	struct hb_outcome told;
};

static void
set_answered(struct q_ask *a)
{
	if (!a->answered)
		hb_rows_remove(&a->q->asks, a);
	a->answered = true;
}

static void
ask_free(struct q_ask *a)
{
	set_answered(a);
	q_piece_end(a->q, &a->piece);
	hb_arena_free(&a->arena);
	free(a->items);
	free(a);
}

/* Routes that end here have their outcome at once. */
static bool
ends_here(struct q *q, struct sched_rcpt *r, const struct hb_route *route)
{
	struct hb_outcome o = { .idx = r->idx, .at_ms = hb_now_ms() };

	if (q_rule_discards(q->env->conf, route)) {
		o.result = HB_RESULT_OK;
		o.reason = HB_REASON_DISCARDED;
		o.status = HB_SPAN("2.0.0");
	} else if (route->kind == HB_ROUTE_ERROR) {
		o.result = route->status.p[0] == '4' ? HB_RESULT_DEFER
						     : HB_RESULT_FAIL;
		o.reason = HB_REASON_ROUTE_ERROR;
		o.status = route->status;
		o.text = route->rest;
	} else {
		return false;
	}
	q_outcome(q, r, &o);
	return true;
}

static void
send_on(struct q *q, struct sched_rcpt *r, const struct hb_rcpt *rcpt)
{
	struct hb_buf key = HB_BUF_INIT(0);
	struct hb_span local, domain;
	struct hb_route parsed;
	struct q_route to;

	if (hb_route_parse(rcpt->route, &parsed) < 0) {
		struct hb_outcome bad = { .idx = r->idx, .at_ms = hb_now_ms(),
			.result = HB_RESULT_DEFER,
			.reason = HB_REASON_ALIAS_ERROR,
			.status = HB_SPAN("4.3.5"),
			.text = HB_SPAN("the route for this address is "
			    "malformed") };

		q_outcome(q, r, &bad);
		return;
	}
	if (ends_here(q, r, &parsed))
		return;
	hb_addr_split(rcpt->address, &local, &domain);
	q_rule_route(q->env->conf, &parsed, rcpt->route, rcpt->owner, domain,
	    &key, &to);
	q_sched_route(q->sched, r, &to, q_now(q));
	hb_buf_free(&key);
}

static void
defer_unreadable(struct q *q, struct sched_rcpt *r)
{
	struct hb_outcome o = { .idx = r->idx, .at_ms = hb_now_ms(),
		.result = HB_RESULT_DEFER, .reason = HB_REASON_BODY_DAMAGED,
		.status = HB_SPAN("4.3.0"),
		.text = HB_SPAN("the stored envelope cannot be read") };

	q_outcome(q, r, &o);
}

static void
ask_router(struct q *q, struct sched_rcpt *r, const struct q_envelope *h,
    const struct hb_rcpt *rcpt)
{
	struct ipc_expand m = { .ref = ++q->next_ref };
	struct q_ask *a;

	a = HB_NEW(struct q_ask);
	a->q = q;
	a->ref = m.ref;
	a->id = r->msg->id;
	a->idx = r->idx;
	a->piece = (struct q_part){ .id = a->id, .idx = a->idx };
	a->arena = hb_arena_new();
	hb_rows_add(&q->asks, a, a->ref);
	m.address = rcpt->address;
	hb_peer_post(q->router, HB_IPC_EXPAND, &m, -1);
}

bool
q_ask(struct q *q, struct sched_rcpt *r)
{
	struct q_envelope *h;
	struct hb_rcpt *rcpt;

	if (!q_envelope_ready(q, r->msg)) {
		q_sched_unask(q->sched, r);
		return false;
	}
	h = q_envelope_get(q, r->msg);
	rcpt = h != NULL ? q_envelope_rcpt(h, r->idx) : NULL;
	if (rcpt == NULL)
		defer_unreadable(q, r);
	else if ((rcpt->flags & HB_RCPT_EXPANDED) != 0)
		send_on(q, r, rcpt);
	else
		ask_router(q, r, h, rcpt);
	return true;
}

/* The recipient of an answer, unless it was removed meanwhile. */
static struct sched_rcpt *
asked_rcpt(const struct q_ask *a)
{
	struct sched_msg *m = q_sched_find(a->q->sched, a->id);
	struct sched_rcpt *r = m != NULL ? q_sched_find_rcpt(m, a->idx) : NULL;

	return r != NULL && r->state == Q_ASKED ? r : NULL;
}

void
q_on_expand_item(struct q *q, struct hb_peer *p,
    const struct ipc_expand_item *m)
{
	struct q_ask *a = hb_rows_find(&q->asks, m->ref);

	if (a == NULL || a->n == HB_MAX_ALIAS_TARGETS) {
		hb_peer_violation(p, "answer to no question");
		return;
	}
	if (a->n == a->cap) {
		a->cap = a->cap > 0 ? a->cap * 2 : 4;
		a->items = hb_realloc(a->items, a->cap * sizeof(*a->items));
	}
	a->items[a->n++] = (struct hb_rcpt){
		.address = hb_arena_span(a->arena, m->address),
		.route = hb_arena_span(a->arena, m->route),
		.owner = hb_arena_span(a->arena, m->owner),
		.flags = m->flags,
	};
}

/* Is the one item the address itself, changed in nothing? */
static bool
is_plain(const struct q_ask *a, const struct hb_rcpt *rcpt)
{
	return a->n == 1 && a->items[0].owner.n == 0 &&
	    hb_span_eq(a->items[0].address, rcpt->address);
}

static void
later(struct q_ask *a)
{
	TAILQ_INSERT_TAIL(&a->q->split, a, link);
	hb_timer_set(a->q->split_timer, 0);
}

static void on_recorded(void *ctx);

/* All that was found is recorded: the asked recipient goes, or waits. */
static void
end_of_answer(struct q_ask *a, struct sched_rcpt *r)
{
	struct sched_msg *m = r->msg;

	if (a->told.result != HB_RESULT_NONE) {
		q_sched_fail(a->q->sched, r, &a->told, q_now(a->q));
	} else if (a->rest.result == HB_RESULT_NONE) {
		q_sched_done(a->q->sched, r);
		q_finish_if_empty(a->q, m);
	} else {
		q_outcome(a->q, r, &a->rest);
	}
	ask_free(a);
}

/* Each has what the sender said of DSNs but success, and if that is all he
 * wants, nothing. */
static uint32_t
without_success(uint32_t notify)
{
	return notify == HB_NOTIFY_SUCCESS ? HB_NOTIFY_NEVER
	    : notify & ~HB_NOTIFY_SUCCESS;
}

/* Gives IT what it inherits, and its number. */
static void
inherit(struct q_ask *a, struct sched_rcpt *r, const struct hb_rcpt *from,
    struct hb_rcpt *it)
{
	bool alone = a->n == 1 && a->rest.result == HB_RESULT_NONE;

	it->idx = r->msg->next_idx++;
	it->flags |= HB_RCPT_EXPANDED;
	it->original = from->original.n > 0 ? from->original : from->address;
	if (it->owner.n > 0)
		return; /* a list tells its owner, and nobody else */
	it->owner = from->owner;
	it->orcpt = from->orcpt;
	it->notify = alone ? from->notify : without_success(from->notify);
}

/* All was recorded but the end of the asked recipient: the change that is, and
 * told.  A list is one when all of its members are. */
static struct q_change
end_change(struct q_ask *a, struct sched_rcpt *r, const struct q_envelope *h,
    const struct hb_rcpt *from)
{
	static const struct hb_outcome replaced = { .result = HB_RESULT_OK };
	bool list = true;

	for (size_t i = 0; i < a->n && list; i++)
		list = a->items[i].owner.n > 0;
	if ((a->n == 1 && a->piece.count == 1 && !list) ||
	    !q_wants_dsn(r->msg, &h->env, from, HB_NOTIFY_SUCCESS))
		return (struct q_change){ .kind = Q_CHANGE_DONE,
			.idx = a->idx, .outcome = &replaced };
	a->told = (struct hb_outcome){ .idx = a->idx, .result = HB_RESULT_OK,
		.reason = HB_REASON_OK, .status = HB_SPAN("2.0.0"),
		.handed = list ? HB_HANDED_DELIVERED : HB_HANDED_EXPANDED,
		.at_ms = hb_now_ms() };
	return (struct q_change){ .kind = Q_CHANGE_TRIED, .idx = a->idx,
		.attempts = r->attempts, .next_ms = q_now(a->q),
		.outcome = &a->told };
}

/* The next piece of the answer.  With the last one the asked recipient is
 * done, if nothing is wanting. */
static void
record_piece(struct q_ask *a, struct sched_rcpt *r, struct q_envelope *h)
{
	const struct hb_rcpt from = *q_envelope_rcpt(h, a->idx);
	size_t end = a->n - a->at > PIECE ? a->at + PIECE : a->n;
	struct q_change *c = hb_calloc(end - a->at + 1, sizeof(*c));
	size_t n = 0;

	a->piece.first = r->msg->next_idx;
	a->piece.count = 0;
	for (; a->at < end; a->at++) {
		struct hb_rcpt *it = &a->items[a->at];

		if (q_envelope_taken(a->q, h, it, a->idx))
			continue;
		inherit(a, r, &from, it);
		a->piece.count++;
		q_envelope_add(a->q, h, it);
		c[n++] = (struct q_change){ .kind = Q_CHANGE_RCPT,
			.rcpt = it };
	}
	if (a->at == a->n && a->rest.result == HB_RESULT_NONE)
		c[n++] = end_change(a, r, h, &from);
	if (n > 0)
		q_piece_begin(a->q, &a->piece);
	if (n > 0)
		q_record(a->q, a->id, c, n, on_recorded, a);
	else if (a->at < a->n)
		later(a);
	else
		end_of_answer(a, r);
	free(c);
}

static void
split_on(void *ctx)
{
	struct q *q = ctx;
	struct q_ask *a = TAILQ_FIRST(&q->split);
	struct sched_rcpt *r = asked_rcpt(a);
	struct q_envelope *h = r != NULL ? q_envelope_get(q, r->msg) : NULL;

	TAILQ_REMOVE(&q->split, a, link);
	if (!TAILQ_EMPTY(&q->split))
		hb_timer_set(q->split_timer, 0);
	if (h != NULL && q_envelope_rcpt(h, a->idx) != NULL) {
		record_piece(a, r, h);
		return;
	}
	if (r != NULL)
		defer_unreadable(q, r);
	ask_free(a);
}

/* A piece is on the disk: its recipients come in; after the last one the
 * asked one goes. */
static void
on_recorded(void *ctx)
{
	struct q_ask *a = ctx;
	struct q *q = a->q;
	struct sched_msg *m = q_sched_find(q->sched, a->id);
	struct sched_rcpt *r = asked_rcpt(a);
	struct q_envelope *h = m != NULL ? m->user : NULL;

	q_piece_end(q, &a->piece);
	if (r == NULL) {
		/* Once more: this piece was written last, if the disk had
		 * failed it. */
		if (m != NULL) {
			q_piece_take_back(q, &a->piece);
			q_envelope_drop(q, m); /* it is read again */
		}
		ask_free(a);
		return;
	}
	/* read again while this was neither there nor on its way */
	if (h != NULL && a->piece.count > 0 && q_envelope_rcpt(h, a->piece.first) == NULL)
		q_envelope_drop(q, m);
	for (uint32_t i = 0; i < a->piece.count; i++)
		q_sched_rcpt(q->sched, m, a->piece.first + i, q_now(q));
	q_kick(q);
	if (a->at < a->n) {
		later(a);
		return;
	}
	end_of_answer(a, r);
}

/* The recipient as it is, if nobody else of the message goes there. */
static bool
send_plain(struct q_ask *a, struct sched_rcpt *r, struct q_envelope *h,
    struct hb_rcpt *rcpt)
{
	struct hb_rcpt *it = &a->items[0];

	if (!is_plain(a, rcpt) || a->rest.result != HB_RESULT_NONE ||
	    (h->n > 1 && q_envelope_taken(a->q, h, it, a->idx)))
		return false;
	q_envelope_routed(h, rcpt, it->route);
	send_on(a->q, r, rcpt);
	ask_free(a);
	return true;
}

static void
use_items(struct q_ask *a, struct sched_rcpt *r)
{
	struct q *q = a->q;
	struct q_envelope *h = q_envelope_get(q, r->msg);
	struct hb_rcpt *rcpt = h != NULL ? q_envelope_rcpt(h, a->idx) : NULL;

	if (rcpt == NULL) {
		defer_unreadable(q, r);
		ask_free(a);
		return;
	}
	if (send_plain(a, r, h, rcpt))
		return;
	HB_LOG(HB_LOG_INFO, HB_EV_EXPAND, hb_kv_id(HB_K_MSG, a->id),
	    hb_kv_span(HB_K_RCPT, rcpt->address),
	    hb_kv_int(HB_K_COUNT, (int64_t)a->n));
	q_trace_add(q, a->id, "expanded", a->idx, HB_SPAN_NONE, NULL);
	set_answered(a);
	record_piece(a, r, h);
}

void
q_on_expand_end(struct q *q, struct hb_peer *p, const struct ipc_expand_end *m)
{
	struct q_ask *a = hb_rows_find(&q->asks, m->ref);
	struct hb_outcome o;
	struct sched_rcpt *r;

	if (a == NULL || hb_tlv_decode(&hb_outcome_record, m->outcome, &o) < 0) {
		hb_peer_violation(p, "bad end of an answer");
		return;
	}
	q_kick(q);
	r = asked_rcpt(a);
	if (r == NULL) {
		ask_free(a);
		return;
	}
	o.idx = r->idx;
	o.at_ms = hb_now_ms();
	if (o.result == HB_RESULT_DEFER && a->n > 0)
		hb_record_copy(a->arena, &hb_outcome_record, &o, &a->rest);
	if (o.result == HB_RESULT_OK || a->rest.result != HB_RESULT_NONE) {
		use_items(a, r);
		return;
	}
	q_outcome(q, r, &o);
	ask_free(a);
}

void
q_asks_init(struct q *q)
{
	TAILQ_INIT(&q->split);
	q->split_timer = hb_timer_new(q->loop, split_on, q);
}

void
q_asks_lost(struct q *q)
{
	struct q_ask *a;

	while ((a = hb_rows_next(&q->asks, NULL)) != NULL) {
		struct sched_rcpt *r = asked_rcpt(a);

		if (r != NULL)
			q_sched_unask(q->sched, r);
		ask_free(a);
	}
}

void
q_asks_free(struct q *q)
{
	struct q_ask *a;
	struct q_part *p;

	while ((a = hb_rows_next(&q->asks, NULL)) != NULL)
		ask_free(a);
	while ((p = hb_rows_next(&q->pieces, NULL)) != NULL)
		ask_free((struct q_ask *)(void *)((char *)p -
		    offsetof(struct q_ask, piece)));
	while ((a = TAILQ_FIRST(&q->split)) != NULL) {
		TAILQ_REMOVE(&q->split, a, link);
		ask_free(a);
	}
	hb_rows_free(&q->asks);
	hb_rows_free(&q->pieces);
	hb_timer_free(&q->split_timer);
}
