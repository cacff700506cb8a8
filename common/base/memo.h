/*
 * What was asked and is kept: entries by key in bounded memory, the least
 * recently used go first, and those who wait for the answer of an entry.
 * Floor 0.  When an entry is too old is its owner's matter.
 *
 * hb_memo_entry and hb_wait are the first member of a struct of their owner,
 * who casts back.  An entry that must stay is passed over when room is made,
 * so that a memo may hold more than its bounds for a while.
 */
#ifndef HB_BASE_MEMO_H
#define HB_BASE_MEMO_H

#include "common/base/span.h"
#include "common/base/rows.h"

/* Who waits, in a ring: the list has a head that waits for nothing. */
struct hb_wait {
	struct hb_wait *next, *prev;
};

static inline void
hb_waits_init(struct hb_wait *list)
{
	list->next = list->prev = list;
}

/* The one that waits longest, or NULL. */
static inline struct hb_wait *
hb_waits_first(const struct hb_wait *list)
{
	return list->next != list ? list->next : NULL;
}

/* As the last one. */
void hb_waits_add(struct hb_wait *list, struct hb_wait *w);
/* W waits no more, whatever list it is in, or none. */
void hb_waits_remove(struct hb_wait *w);
/* All of FROM go behind those of TO. */
void hb_waits_move(struct hb_wait *to, struct hb_wait *from);
/* FN gets each that is in the list now and is not removed before its turn, out
 * of it; who is added meanwhile waits on. */
void hb_waits_each(struct hb_wait *list,
    void (*fn)(struct hb_wait *w, const void *arg), const void *arg);

struct hb_memo_entry {
	HB_ROW(hash);
	struct hb_wait used; /* in the order of use */
	struct hb_span key;
	struct hb_wait waits;
	size_t size;
};

struct hb_memo {
	size_t max, max_size; /* entries, and octets of all; 0: no bound */
	/* NULL: every entry that nobody waits for may go. */
	bool (*must_stay)(const struct hb_memo_entry *e);
	void (*free)(struct hb_memo_entry *e); /* it is out of the table */
	struct hb_rows rows;
	struct hb_wait order;	     /* of use, the oldest first */
	size_t size;
};

/* Marks it as used.  NULL: there is none. */
struct hb_memo_entry *hb_memo_find(struct hb_memo *m, struct hb_span key);
/* KEY, which is not there yet, stays where it is as long as E.  Makes room
 * for it first.  SIZE: its octets. */
void hb_memo_add(struct hb_memo *m, struct hb_memo_entry *e,
    struct hb_span key, size_t size);
void hb_memo_resize(struct hb_memo *m, struct hb_memo_entry *e, size_t size);
/* Frees it. */
void hb_memo_drop(struct hb_memo *m, struct hb_memo_entry *e);
void hb_memo_clear(struct hb_memo *m);

static inline size_t
hb_memo_count(const struct hb_memo *m)
{
	return m->rows.n;
}

/* The entry behind E, NULL for the first, in no order; NULL: none is left. */
static inline struct hb_memo_entry *
hb_memo_next(const struct hb_memo *m, const struct hb_memo_entry *e)
{
	return hb_rows_next(&m->rows, e);
}

#endif
