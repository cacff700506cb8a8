/* Envelopes in memory: those in use, and as many as the cache holds; others are
 * read again from the spool.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/base/err.h"

enum {
	FEW = 200,    /* recipients of an envelope that is read at once */
	SLICE = 20000 /* those read in a turn of another one */
};

/* An envelope that is read in slices. */
struct q_reading {
	uint64_t id;
	struct hb_arena *arena; /* owns what was read */
	struct q_load *load;
};

void
q_reading_end(struct q *q)
{
	struct q_reading *l = q->reading;

	q->reading = NULL;
	if (l == NULL)
		return;
	q_load_free(&l->load);
	hb_arena_free(&l->arena);
	free(l);
}

void
q_envelope_drop(struct q *q, struct sched_msg *m)
{
	struct q_envelope *h = m->user;
	struct hb_arena *a;

	if (q->reading != NULL && q->reading->id == m->id)
		q_reading_end(q);
	if (h == NULL)
		return;
	m->user = NULL;
	TAILQ_REMOVE(&q->envelopes, h, link);
	q->nenvelopes--;
	q->envelope_rcpts -= h->n;
	q_places_free(&h->places);
	a = h->arena;
	hb_arena_free(&a);
}

/* Is there no room for one of N recipients?  A few stay, so that those in use
 * are not dropped for each other. */
static bool
is_full(const struct q *q, size_t n)
{
	return q->nenvelopes >= Q_ENVELOPES_MAX ||
	    (q->nenvelopes >= Q_ENVELOPES_MIN &&
		q->envelope_rcpts + n > Q_ENVELOPE_RCPTS);
}

void
q_envelope_put(struct q *q, struct sched_msg *m, struct hb_arena *arena,
    const struct hb_env *env, struct hb_rcpt *rcpts, size_t n)
{
	struct q_envelope *h = hb_arena_alloc(arena, sizeof(*h));

	while (is_full(q, n))
		q_envelope_drop(q, TAILQ_FIRST(&q->envelopes)->msg);
	*h = (struct q_envelope){ .msg = m, .arena = arena, .env = *env,
		.rcpts = rcpts, .n = n, .room = n };
	m->user = h;
	TAILQ_INSERT_TAIL(&q->envelopes, h, link);
	q->nenvelopes++;
	q->envelope_rcpts += n;
}

/* Recipients under way know where they go; the spool does not. */
static void
add_routes(struct q_envelope *h)
{
	struct sched_rcpt *r;

	TAILQ_FOREACH(r, &h->msg->rcpts, of_msg) {
		struct hb_rcpt *rcpt =
		    r->dest != NULL ? q_envelope_rcpt(h, r->idx) : NULL;

		if (rcpt != NULL && rcpt->route.n == 0)
			rcpt->route = hb_arena_span(h->arena,
			    sched_dest_route(r->dest));
	}
}

/* What is used stays longest. */
static struct q_envelope *
used(struct q *q, struct q_envelope *h)
{
	TAILQ_REMOVE(&q->envelopes, h, link);
	TAILQ_INSERT_TAIL(&q->envelopes, h, link);
	return h;
}

struct q_envelope *
q_envelope_get(struct q *q, struct sched_msg *m)
{
	struct hb_arena *a;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t n;
	int err;

	if (m->user != NULL)
		return used(q, m->user);
	a = hb_arena_new();
	err = q_spool_load(q->spool, m->id, a, &env, &rcpts, &n);
	if (err == 0) {
		q_envelope_put(q, m, a, &env, rcpts, n);
		add_routes(m->user);
		return m->user;
	}
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_id(HB_K_MSG, m->id),
	    hb_kv_str(HB_K_STATE, "not-readable"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	hb_arena_free(&a);
	return NULL;
}

static void
begin_reading(struct q *q, const struct sched_msg *m)
{
	struct q_reading *l = HB_NEW(struct q_reading);

	l->id = m->id;
	l->arena = hb_arena_new();
	l->load = q_load_new(q->spool, m->id, l->arena);
	q->reading = l;
}

/* A slice.  What is over, or was read meanwhile by who could not wait, or
 * cannot be read, ends it. */
static void
read_some(struct q *q)
{
	struct q_reading *l = q->reading;
	struct sched_msg *m = q_sched_find(q->sched, l->id);
	struct hb_rcpt *rcpts;
	struct hb_env env;
	size_t n;
	int r = HB_E_NOTFOUND;

	if (m != NULL && m->user == NULL)
		r = q_load_some(l->load, SLICE);
	if (r == 0)
		return;
	if (r > 0) {
		q_load_result(l->load, &env, &rcpts, &n);
		q_envelope_put(q, m, l->arena, &env, rcpts, n);
		l->arena = NULL;
		add_routes(m->user);
	}
	q_reading_end(q);
}

bool
q_envelope_ready(struct q *q, struct sched_msg *m)
{
	bool mine;

	if (m->user != NULL || m->next_idx <= FEW)
		return true;
	if (q->reading == NULL)
		begin_reading(q, m);
	mine = q->reading->id == m->id;
	read_some(q);
	return m->user != NULL || (mine && q->reading == NULL);
}

struct hb_rcpt *
q_envelope_rcpt(const struct q_envelope *h, uint32_t idx)
{
	const struct hb_rcpt *r = hb_rcpt_find(h->rcpts, h->n, idx);

	return r != NULL ? &h->rcpts[r - h->rcpts] : NULL;
}

static void
grow(struct q_envelope *h)
{
	struct hb_rcpt *v;

	h->room = h->room * 2 + 4;
	v = hb_arena_alloc(h->arena, h->room * sizeof(*v));
	if (h->n > 0)
		memcpy(v, h->rcpts, h->n * sizeof(*v));
	h->rcpts = v;
}

void
q_envelope_add(struct q *q, struct q_envelope *h, const struct hb_rcpt *r)
{
	struct hb_rcpt *mine;

	if (h->n == h->room)
		grow(h);
	mine = &h->rcpts[h->n++];
	q->envelope_rcpts++;
	hb_record_copy(h->arena, &hb_rcpt_record, r, mine);
	q_envelope_routed(h, mine, mine->route);
}

void
q_envelope_routed(struct q_envelope *h, struct hb_rcpt *r, struct hb_span route)
{
	if (!hb_span_eq(r->route, route))
		r->route = hb_arena_span(h->arena, route);
	if (h->places != NULL)
		q_places_add(h->places, r);
}

/* Most messages have one recipient, and need none of this. */
static void
make_places(struct q *q, struct q_envelope *h)
{
	h->places = q_places_new(&q->env->conf->deliver);
	for (size_t i = 0; i < h->n; i++)
		if (h->rcpts[i].route.n > 0)
			q_places_add(h->places, &h->rcpts[i]);
}

bool
q_envelope_taken(struct q *q, struct q_envelope *h, const struct hb_rcpt *r,
    uint32_t self)
{
	if (h->places == NULL)
		make_places(q, h);
	return q_places_taken(h->places, h->rcpts, h->n, r, self);
}

void
q_envelope_reload(struct q *q)
{
	struct q_envelope *h;

	TAILQ_FOREACH(h, &q->envelopes, link)
		q_places_free(&h->places);
}
