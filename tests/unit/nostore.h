/* A durable store that takes everything and keeps nothing. */
#ifndef TESTS_UNIT_NOSTORE_H
#define TESTS_UNIT_NOSTORE_H

#include "common/base/err.h"
#include "common/io/store.h"

static inline void
nostore_get(void *store, struct hb_span key, hb_store_got_fn cb, void *ctx)
{
	(void)store;
	(void)key;
	cb(ctx, HB_E_NOTFOUND, HB_SPAN_NONE);
}

static inline void
nostore_put(void *store, struct hb_span key, struct hb_span value, bool lazy,
    hb_store_done_fn cb, void *ctx)
{
	(void)store;
	(void)key;
	(void)value;
	(void)lazy;
	cb(ctx, 0);
}

static inline void
nostore_list(void *store, struct hb_span after, size_t count,
    hb_store_row_fn row, hb_store_done_fn done, void *ctx)
{
	(void)store;
	(void)after;
	(void)count;
	(void)row;
	done(ctx, 0);
}

#endif
