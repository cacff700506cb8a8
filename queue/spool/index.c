/* The spool's index of live messages and the cache of fresh ones.  Floor 3. */
#include "config.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "queue/spool/spool-priv.h"

struct spool_entry *
q_index_add(struct hb_rows *ix, uint64_t id)
{
	struct spool_entry *m = HB_NEW(struct spool_entry);

	hb_rows_add(ix, m, id);
	return m;
}

static void
free_msg(struct spool_entry *m)
{
	if (m->x != NULL) {
		free(m->x->chain);
		free(m->x->gens);
		free(m->x);
	}
	free(m);
}

void
q_index_remove(struct hb_rows *ix, struct spool_entry *m)
{
	hb_rows_remove(ix, m);
	free_msg(m);
}

void
q_index_free(struct hb_rows *ix)
{
	struct spool_entry *m = hb_rows_next(ix, NULL), *after;

	for (; m != NULL; m = after) {
		after = hb_rows_next(ix, m);
		free_msg(m);
	}
	hb_rows_free(ix);
}

static struct q_extra *
extra_of(struct spool_entry *m)
{
	if (m->x == NULL)
		m->x = HB_NEW(struct q_extra);
	return m->x;
}

void
q_entry_add_piece(struct spool_entry *m, struct q_piece p)
{
	struct q_extra *x = extra_of(m);

	x->chain = hb_realloc(x->chain, (x->nchain + 1) * sizeof(*x->chain));
	x->chain[x->nchain++] = p;
}

void
q_entry_add_gen(struct spool_entry *m, uint32_t gen)
{
	struct q_extra *x;

	if (gen == m->base.gen)
		return;
	x = extra_of(m);
	for (uint32_t i = 0; i < x->ngens; i++)
		if (x->gens[i] == gen)
			return;
	x->gens = hb_realloc(x->gens, (x->ngens + 1) * sizeof(*x->gens));
	x->gens[x->ngens++] = gen;
}

struct q_cached *
q_cache_put(struct q_cache *c, struct spool_entry *m, struct hb_buf *payload)
{
	struct q_cached *e = HB_NEW(struct q_cached);

	e->m = m;
	e->payload = *payload;
	*payload = HB_BUF_INIT(0);
	m->cached = e;
	c->bytes += e->payload.cap;
	TAILQ_INSERT_TAIL(&c->list, e, link);
	return e;
}

void
q_cache_trim(struct q_cache *c, size_t most)
{
	while (c->bytes > most)
		q_cache_drop(c, TAILQ_FIRST(&c->list)->m);
}

void
q_cache_drop(struct q_cache *c, struct spool_entry *m)
{
	struct q_cached *e = m->cached;

	if (e == NULL)
		return;
	TAILQ_REMOVE(&c->list, e, link);
	c->bytes -= e->payload.cap;
	hb_buf_free(&e->payload);
	free(e);
	m->cached = NULL;
}
