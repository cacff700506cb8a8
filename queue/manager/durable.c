/*
 * Changes that must become durable, however long that takes.  Floor 4.  The
 * spool reports a lost change (a failed flush, a full disk); a delivery cannot
 * be undone, so it is recorded again until the record is durable.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/base/err.h"

enum { TELL_TURN = 500 /* outcomes; then others have their turn */ };

struct record {
	TAILQ_ENTRY(record) of_all, of_list;
	struct q *q;
	uint64_t number;
	struct hb_arena *arena; /* owns this */
	uint64_t id;
	struct q_change *c;
	size_t n;
	bool gone; /* the message is: nothing is to be written */
	int64_t delay_ms; /* of the message, when it happened */
	void (*done)(void *ctx);
	void *ctx;
};
TAILQ_HEAD(records, record);

struct q_recordlist {
	struct records all; /* by number */
	struct records again;
	struct records durable; /* to be told */
	uint64_t next; /* number */
	struct hb_timer *timer; /* of again */
	struct hb_hook *hook; /* of durable, and for what one turn leaves */
	struct hb_timer *tell_timer;
	bool closing;
};

/* A copy of REC, or NULL where there is none. */
static void *
keep(struct hb_arena *a, const struct hb_record *type, const void *rec)
{
	void *mine = rec != NULL ? hb_arena_alloc(a, type->size) : NULL;

	if (mine != NULL)
		hb_record_copy(a, type, rec, mine);
	return mine;
}

static void
end(struct record *r)
{
	struct hb_arena *a = r->arena;

	TAILQ_REMOVE(&r->q->records->all, r, of_all);
	/* An outcome is told when no crash can undo it: one that is lost before
	 * is found out again, by another attempt. */
	for (size_t i = 0; i < r->n; i++) {
		const struct q_change *c = &r->c[i];

		if (c->kind == Q_CHANGE_FINISHED)
			q_trace_add(r->q, r->id, "finished", 0, HB_SPAN_NONE,
			    NULL);
		else if (c->outcome != NULL && c->rcpt != NULL)
			q_tell_outcome(r->q, r->id, r->delay_ms, c->rcpt,
			    c->outcome);
	}
	if (r->done != NULL)
		r->done(r->ctx);
	hb_arena_free(&a);
}

static void
later(struct record *r, int err)
{
	struct q_recordlist *l = r->q->records;

	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_id(HB_K_MSG, r->id),
	    hb_kv_str(HB_K_STATE, "not-recorded"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	TAILQ_INSERT_TAIL(&l->again, r, of_list);
	if (!hb_timer_is_set(l->timer))
		hb_timer_set(l->timer, Q_RESCUE_MS);
}

/* A flush may end what thousands of changes began. */
static void
tell_some(void *ctx)
{
	struct q_recordlist *l = ctx;
	struct record *r;
	size_t told = 0;

	while ((r = TAILQ_FIRST(&l->durable)) != NULL &&
	    (told < TELL_TURN || l->closing)) {
		TAILQ_REMOVE(&l->durable, r, of_list);
		told += r->n;
		end(r);
	}
	if (r != NULL)
		hb_timer_set(l->tell_timer, 0);
}

static void
on_durable(void *ctx, int err)
{
	struct record *r = ctx;
	struct q_recordlist *l = r->q->records;

	if (err < 0) {
		later(r, err);
	} else if (l->closing) {
		end(r);
	} else {
		TAILQ_INSERT_TAIL(&l->durable, r, of_list);
		hb_hook_arm(l->hook);
	}
}

static void
try_record(struct record *r)
{
	int err = q_spool_change(r->q->spool, r->id, r->c, r->n, on_durable, r);

	if (err == HB_E_NOTFOUND) {
		/* A message that is no longer there needs no record. */
		r->gone = true;
		TAILQ_INSERT_TAIL(&r->q->records->again, r, of_list);
		hb_timer_set(r->q->records->timer, 0);
	} else if (err < 0) {
		later(r, err);
	}
}

static void
on_timer(void *ctx)
{
	struct q_recordlist *l = ctx;
	struct records todo = TAILQ_HEAD_INITIALIZER(todo);
	struct record *r;

	TAILQ_CONCAT(&todo, &l->again, of_list);
	while ((r = TAILQ_FIRST(&todo)) != NULL) {
		TAILQ_REMOVE(&todo, r, of_list);
		if (r->gone)
			end(r);
		else
			try_record(r);
	}
}

static struct q_recordlist *
list_of(struct q *q)
{
	if (q->records == NULL) {
		q->records = HB_NEW(struct q_recordlist);
		TAILQ_INIT(&q->records->all);
		TAILQ_INIT(&q->records->again);
		TAILQ_INIT(&q->records->durable);
		q->records->hook = hb_hook_new(q->loop, tell_some, q->records);
		q->records->tell_timer = hb_timer_new(q->loop, tell_some,
		    q->records);
		q->records->timer = hb_timer_new(q->loop, on_timer,
		    q->records);
	}
	return q->records;
}

void
q_record(struct q *q, uint64_t id, const struct q_change *c, size_t n,
    void (*done)(void *ctx), void *ctx)
{
	struct hb_arena *a = hb_arena_new();
	struct record *r = hb_arena_alloc(a, sizeof(*r));
	const struct sched_msg *m = q_sched_find(q->sched, id);

	r->q = q;
	r->number = list_of(q)->next++;
	TAILQ_INSERT_TAIL(&q->records->all, r, of_all);
	r->arena = a;
	r->id = id;
	r->n = n;
	r->delay_ms = m != NULL ? q_now(q) - m->arrived_ms : 0;
	r->done = done;
	r->ctx = ctx;
	r->c = hb_arena_alloc(a, n * sizeof(*c));
	memcpy(r->c, c, n * sizeof(*c));
	for (size_t i = 0; i < n; i++) {
		if (c[i].kind == Q_CHANGE_TRIED)
			r->c[i].stamp = q_stamp(q);
		r->c[i].route = hb_arena_span(a, c[i].route);
		r->c[i].rcpt = keep(a, &hb_rcpt_record, c[i].rcpt);
		r->c[i].outcome = keep(a, &hb_outcome_record, c[i].outcome);
	}
	try_record(r);
}

uint64_t
q_records_next(struct q *q)
{
	return list_of(q)->next;
}

bool
q_records_are_told(struct q *q, uint64_t before)
{
	const struct record *r = TAILQ_FIRST(&list_of(q)->all);

	return r == NULL || r->number >= before;
}

void
q_records_close(struct q *q)
{
	list_of(q)->closing = true;
	tell_some(q->records);
}

void
q_records_free(struct q *q)
{
	struct record *r;

	if (q->records == NULL)
		return;
	while ((r = TAILQ_FIRST(&q->records->all)) != NULL) {
		struct hb_arena *a = r->arena;

		TAILQ_REMOVE(&q->records->all, r, of_all);
		hb_arena_free(&a);
	}
	hb_hook_free(&q->records->hook);
	hb_timer_free(&q->records->tell_timer);
	hb_timer_free(&q->records->timer);
	free(q->records);
	q->records = NULL;
}
