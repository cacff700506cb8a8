/*
 * A hash table whose rows bring their own link: a pointer and a key, where
 * uthash (common/base/table.h) takes 56 bytes.  Floor 0.  For what there may
 * be a million of.  It grows by one bucket a row and never moves all rows at
 * once, so no turn of the loop pays for the others.
 *
 * The key is a number.  Of a name that strangers chose it is the SipHash, with
 * a secret; the owner compares the names.  Out of memory aborts.
 */
#ifndef HB_BASE_ROWS_H
#define HB_BASE_ROWS_H

#include "common/base/span.h"

struct hb_row {
	struct hb_row *next; /* of its chain */
	uint64_t key;
};
/* What stands first in a struct that is a row; KEY: its name for the key. */
#define HB_ROW(key_name)                                                       \
	union {                                                                \
		struct hb_row row;                                             \
		struct {                                                       \
			struct hb_row *row_next;                               \
			uint64_t key_name;                                     \
		};                                                             \
	}

/* All zero is an empty table. */
struct hb_rows {
	struct hb_row **v; /* owned */
	size_t n;	   /* rows */
	size_t size, room; /* buckets, memory for them */
	size_t mask;	   /* of the buckets that are split already */
	uint64_t salt;	   /* secret, where strangers choose the keys */
};

/* A row with KEY, or NULL; and the next one with the same key. */
void *hb_rows_find(const struct hb_rows *t, uint64_t key);
void *hb_rows_same(const void *row);
/* ROW, borrowed until it is removed, begins with HB_ROW. */
void hb_rows_add(struct hb_rows *t, void *row, uint64_t key);
/* ROW is in the table. */
void hb_rows_remove(struct hb_rows *t, void *row);
/* The row after ROW in no order, NULL for the first: NULL when none is left.
 * Rows may be removed during a walk, none may be added; who removes ROW asks
 * for the next one before. */
void *hb_rows_next(const struct hb_rows *t, const void *row);
/* The rows are their owner's. */
void hb_rows_free(struct hb_rows *t);

#endif
