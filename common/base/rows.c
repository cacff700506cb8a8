/* Rows with their own link.  Floor 0.  Linear hashing: buckets are split one
 * by one, in their order. */
#include "common/base/rows.h"

#include <stdlib.h>

#include "common/base/mem.h"

enum { FIRST_BUCKETS = 64 };

static struct hb_row **
bucket_of(const struct hb_rows *t, uint64_t key)
{
	size_t i;

	key ^= t->salt;
	key ^= key >> 33;
	key *= UINT64_C(0xff51afd7ed558ccd);
	key ^= key >> 33;
	key *= UINT64_C(0xc4ceb9fe1a85ec53);
	key ^= key >> 33;
	i = (size_t)key & (2 * t->mask + 1);
	return &t->v[i < t->size ? i : i & t->mask];
}

static struct hb_row *
with_key(struct hb_row *r, uint64_t key)
{
	while (r != NULL && r->key != key)
		r = r->next;
	return r;
}

void *
hb_rows_find(const struct hb_rows *t, uint64_t key)
{
	return t->n > 0 ? with_key(*bucket_of(t, key), key) : NULL;
}

void *
hb_rows_same(const void *row)
{
	const struct hb_row *r = row;

	return with_key(r->next, r->key);
}

static void
link_in(struct hb_rows *t, struct hb_row *r)
{
	struct hb_row **at = bucket_of(t, r->key);

	r->next = *at;
	*at = r;
}

static void
split(struct hb_rows *t)
{
	size_t from = t->size - (t->mask + 1);
	struct hb_row *r = t->v[from], *next;

	t->v[from] = t->v[t->size++] = NULL;
	for (; r != NULL; r = next) {
		next = r->next;
		link_in(t, r);
	}
	if (t->size == 2 * (t->mask + 1))
		t->mask = t->size - 1;
}

static void
make_room(struct hb_rows *t)
{
	t->room = t->room > 0 ? t->room * 2 : FIRST_BUCKETS;
	t->v = hb_realloc(t->v, t->room * sizeof(struct hb_row *));
	if (t->size > 0)
		return;
	memset(t->v, 0, t->room * sizeof(struct hb_row *));
	t->size = t->room;
	t->mask = t->size - 1;
}

void
hb_rows_add(struct hb_rows *t, void *row, uint64_t key)
{
	struct hb_row *r = row;

	if (t->n >= t->size) {
		if (t->size == t->room)
			make_room(t);
		if (t->n >= t->size)
			split(t);
	}
	r->key = key;
	link_in(t, r);
	t->n++;
}

void
hb_rows_remove(struct hb_rows *t, void *row)
{
	struct hb_row *r = row, **at = bucket_of(t, r->key);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	t->n--;
}

void *
hb_rows_next(const struct hb_rows *t, const void *row)
{
	const struct hb_row *r = row;
	size_t i = 0;

	if (r != NULL && r->next != NULL)
		return r->next;
	if (r != NULL)
		i = (size_t)(bucket_of(t, r->key) - t->v) + 1;
	while (i < t->size && t->v[i] == NULL)
		i++;
	return i < t->size ? t->v[i] : NULL;
}

void
hb_rows_free(struct hb_rows *t)
{
	free(t->v);
	*t = (struct hb_rows){ .salt = t->salt };
}
