/* Envelopes in memory: those in use, and as many as the cache holds; others
 * are read from the spool again.  Floor 4. */
#include "config.h"

#include "queue/role.h"

#include <stdlib.h>

#include "common/base/err.h"

void
q_hot_drop(struct q *q, struct q_msg *m)
{
	struct q_hot *h = m->user;
	struct hb_arena *a;

	if (h == NULL)
		return;
	m->user = NULL;
	TAILQ_REMOVE(&q->hots, h, link);
	q->nhots--;
	a = h->arena;
	hb_arena_free(&a);
}

void
q_hot_put(struct q *q, struct q_msg *m, struct hb_arena *arena,
    const struct hb_env *env, struct hb_rcpt *rcpts, size_t n)
{
	struct q_hot *h = hb_arena_alloc(arena, sizeof(*h));

	if (q->nhots >= Q_HOT_MAX)
		q_hot_drop(q, TAILQ_FIRST(&q->hots)->msg);
	*h = (struct q_hot){ .msg = m, .arena = arena, .env = *env,
		.rcpts = rcpts, .n = n };
	m->user = h;
	TAILQ_INSERT_TAIL(&q->hots, h, link);
	q->nhots++;
}

struct q_hot *
q_hot_get(struct q *q, struct q_msg *m)
{
	struct hb_arena *a;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t n;
	int err;

	if (m->user != NULL)
		return m->user;
	a = hb_arena_new();
	err = q_spool_load(q->spool, m->id, a, &env, &rcpts, &n);
	if (err == 0) {
		q_hot_put(q, m, a, &env, rcpts, n);
		return m->user;
	}
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_id(HB_K_MSG, m->id),
	    hb_kv_str(HB_K_STATE, "not-readable"),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	hb_arena_free(&a);
	return NULL;
}

struct hb_rcpt *
q_hot_rcpt(const struct q_hot *h, uint32_t idx)
{
	size_t lo = 0, hi = h->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (h->rcpts[mid].idx < idx)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < h->n && h->rcpts[lo].idx == idx ? &h->rcpts[lo] : NULL;
}
