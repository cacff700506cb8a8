/* Entries by key, and who waits for them.  Floor 0. */
#include "common/base/memo.h"

#include "common/base/table.h"

enum { STAY_MOST = 64 /* entries that are passed over at a time */ };

void
hb_waits_add(struct hb_wait *list, struct hb_wait *w)
{
	w->next = list;
	w->prev = list->prev;
	w->prev->next = w;
	list->prev = w;
}

void
hb_waits_remove(struct hb_wait *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
	hb_waits_init(w);
}

void
hb_waits_move(struct hb_wait *to, struct hb_wait *from)
{
	if (from->next == from)
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	hb_waits_init(from);
}

void
hb_waits_each(struct hb_wait *list,
    void (*fn)(struct hb_wait *w, const void *arg), const void *arg)
{
	struct hb_wait now, *w;

	hb_waits_init(&now);
	hb_waits_move(&now, list);
	while ((w = hb_waits_first(&now)) != NULL) {
		hb_waits_remove(w);
		fn(w, arg);
	}
}

static void
use(struct hb_memo *m, struct hb_memo_entry *e)
{
	if (m->order.prev == &e->used)
		return;
	hb_waits_remove(&e->used);
	hb_waits_add(&m->order, &e->used);
}

static bool
is_full(const struct hb_memo *m)
{
	return (m->max > 0 && hb_memo_count(m) >= m->max) ||
	    (m->max_size > 0 && m->size >= m->max_size);
}

static bool
must_stay(const struct hb_memo *m, const struct hb_memo_entry *e)
{
	return hb_waits_first(&e->waits) != NULL ||
	    (m->must_stay != NULL && m->must_stay(e));
}

static struct hb_memo_entry *
first(const struct hb_memo *m)
{
	return (struct hb_memo_entry *)(void *)((char *)m->order.next -
	    offsetof(struct hb_memo_entry, used));
}

static void
make_room(struct hb_memo *m)
{
	int stay = 0;

	while (m->rows.n > 0 && is_full(m) && stay < STAY_MOST) {
		struct hb_memo_entry *e = first(m);

		if (must_stay(m, e)) {
			use(m, e);
			stay++;
		} else {
			hb_memo_drop(m, e);
		}
	}
}

struct hb_memo_entry *
hb_memo_find(struct hb_memo *m, struct hb_span key)
{
	struct hb_memo_entry *e =
	    hb_rows_find(&m->rows, hb_table_hash(key.p, key.n));

	while (e != NULL && !hb_span_eq(e->key, key))
		e = hb_rows_same(e);
	if (e != NULL)
		use(m, e);
	return e;
}

void
hb_memo_add(struct hb_memo *m, struct hb_memo_entry *e, struct hb_span key,
    size_t size)
{
	make_room(m);
	if (m->rows.n == 0)
		hb_waits_init(&m->order);
	hb_waits_add(&m->order, &e->used);
	hb_waits_init(&e->waits);
	e->size = size;
	m->size += size;
	e->key = key;
	hb_rows_add(&m->rows, e, hb_table_hash(key.p, key.n));
}

void
hb_memo_resize(struct hb_memo *m, struct hb_memo_entry *e, size_t size)
{
	m->size += size - e->size;
	e->size = size;
}

void
hb_memo_drop(struct hb_memo *m, struct hb_memo_entry *e)
{
	hb_rows_remove(&m->rows, e);
	hb_waits_remove(&e->used);
	m->size -= e->size;
	m->free(e);
}

void
hb_memo_clear(struct hb_memo *m)
{
	while (m->rows.n > 0)
		hb_memo_drop(m, first(m));
	hb_rows_free(&m->rows);
}
