/* A durable store that takes everything and keeps nothing.  STORE is the loop
 * at the end of whose turn it answers. */
#ifndef TESTS_UNIT_NOSTORE_H
#define TESTS_UNIT_NOSTORE_H

#include "common/base/err.h"
#include "common/io/store.h"
#include "tests/unit/later.h"

struct nostore_question {
	hb_store_got_fn got;
	hb_store_done_fn done;
	void *ctx;
};

static inline void
nostore_answer(void *arg)
{
	struct nostore_question q = *(struct nostore_question *)arg;

	free(arg);
	if (q.got != NULL)
		q.got(q.ctx, HB_E_NOTFOUND, HB_SPAN_NONE);
	else
		q.done(q.ctx, 0);
}

static inline void
nostore_later(void *store, hb_store_got_fn got, hb_store_done_fn done,
    void *ctx)
{
	struct nostore_question *q = HB_NEW(struct nostore_question);

	*q = (struct nostore_question){ got, done, ctx };
	later(store, nostore_answer, q);
}

static inline void
nostore_get(void *store, struct hb_span key, hb_store_got_fn cb, void *ctx)
{
	nostore_later(store, cb, NULL, ctx);
}

static inline void
nostore_put(void *store, struct hb_span key, struct hb_span value, bool lazy,
    hb_store_done_fn cb, void *ctx)
{
	nostore_later(store, NULL, cb, ctx);
}

static inline void
nostore_list(void *store, struct hb_span after, size_t count,
    hb_store_row_fn row, hb_store_done_fn done, void *ctx)
{
	nostore_later(store, NULL, done, ctx);
}

#endif
