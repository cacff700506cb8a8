/* The spool's index of live messages and the cache of fresh ones.  Floor 3. */
#include "config.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "queue/spool/spool-priv.h"

enum { FIRST_BUCKETS = 1024 };

void
q_index_init(struct q_index *ix)
{
	hb_random(&ix->mix, sizeof(ix->mix));
	ix->mix |= 1;
	ix->n = 0;
	ix->nbucket = FIRST_BUCKETS;
	ix->bucket = hb_calloc(ix->nbucket, sizeof(*ix->bucket));
}

static struct spool_entry **
bucket_of(const struct q_index *ix, uint64_t id)
{
	uint64_t h = (id ^ id >> 32) * ix->mix;

	return &ix->bucket[(h >> 32) & (ix->nbucket - 1)];
}

struct spool_entry *
q_index_find(const struct q_index *ix, uint64_t id)
{
	struct spool_entry *m = *bucket_of(ix, id);

	while (m != NULL && m->id != id)
		m = m->next;
	return m;
}

static void
insert(struct q_index *ix, struct spool_entry *m)
{
	struct spool_entry **b = bucket_of(ix, m->id);

	m->next = *b;
	*b = m;
}

static void
grow(struct q_index *ix)
{
	struct spool_entry **old = ix->bucket;
	size_t n = ix->nbucket;

	ix->nbucket *= 2;
	ix->bucket = hb_calloc(ix->nbucket, sizeof(*ix->bucket));
	for (size_t i = 0; i < n; i++)
		while (old[i] != NULL) {
			struct spool_entry *m = old[i];

			old[i] = m->next;
			insert(ix, m);
		}
	free(old);
}

struct spool_entry *
q_index_add(struct q_index *ix, uint64_t id)
{
	struct spool_entry *m = HB_NEW(struct spool_entry);

	if (ix->n >= ix->nbucket)
		grow(ix);
	m->id = id;
	insert(ix, m);
	ix->n++;
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
q_index_remove(struct q_index *ix, struct spool_entry *m)
{
	struct spool_entry **at = bucket_of(ix, m->id);

	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	ix->n--;
	free_msg(m);
}

void
q_index_each(struct q_index *ix, void (*fn)(void *arg, struct spool_entry *m),
    void *arg)
{
	for (size_t i = 0; i < ix->nbucket; i++)
		for (struct spool_entry *m = ix->bucket[i], *next; m != NULL;
		     m = next) {
			next = m->next;
			fn(arg, m);
		}
}

void
q_index_free(struct q_index *ix)
{
	for (size_t i = 0; i < ix->nbucket; i++)
		while (ix->bucket[i] != NULL) {
			struct spool_entry *m = ix->bucket[i];

			ix->bucket[i] = m->next;
			free_msg(m);
		}
	free(ix->bucket);
	ix->bucket = NULL;
	ix->nbucket = 0;
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
