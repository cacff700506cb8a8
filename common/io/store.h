/*
 * The durable store of queue, as seen by roles that access its rows over their
 * channel to queue.  Floor 3.  Keys are domain names.
 *
 * STORE is one table of it.  Every callback runs exactly once (ROW once for
 * each row), never before the call returns.  When the channel to queue is
 * down or lost: HB_E_TEMP.  None runs after the store was freed.
 */
#ifndef HB_IO_STORE_H
#define HB_IO_STORE_H

#include "common/base/span.h"

/* ERR: 0 (VALUE lives for the call), HB_E_NOTFOUND, HB_E_TEMP, HB_E_IO. */
typedef void (*hb_store_got_fn)(void *ctx, int err, struct hb_span value);
/* ERR: 0 if durable (or accepted, if lazy); HB_E_TEMP, HB_E_IO. */
typedef void (*hb_store_done_fn)(void *ctx, int err);
/* KEY and VALUE live for the call. */
typedef void (*hb_store_row_fn)(
    void *ctx, struct hb_span key, struct hb_span value);

struct hb_store_ops {
	void (*get)(
	    void *store, struct hb_span key, hb_store_got_fn cb, void *ctx);
	/* An empty VALUE deletes the row.  LAZY: does not wait for a flush. */
	void (*put)(void *store, struct hb_span key, struct hb_span value,
	    bool lazy, hb_store_done_fn cb, void *ctx);
	/* At most COUNT rows with keys after AFTER, then DONE.  HB_E_LIMIT: the
	 * rows are long and more of them follow the last one. */
	void (*list)(void *store, struct hb_span after, size_t count,
	    hb_store_row_fn row, hb_store_done_fn done, void *ctx);
	/* Does this worker own DOMAIN?  Only the owner refreshes, lists and
	 * changes it.  NULL: it owns all. */
	bool (*owns)(void *store, struct hb_span domain);
};

static inline bool
hb_store_owns(
    const struct hb_store_ops *ops, void *store, struct hb_span domain)
{
	return ops->owns == NULL || ops->owns(store, domain);
}

#endif
