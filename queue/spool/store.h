/*
 * Durable values other than mail: a Berkeley DB transactional environment,
 * private to queue, with recovery at start.  Floor 3.
 */
#ifndef QUEUE_SPOOL_STORE_H
#define QUEUE_SPOOL_STORE_H

#include "common/io/loop.h"
#include "common/proto/ipc.h"
#include "queue/spool/flush.h"

struct q_store;

/* Opens DIR/store.  A broken environment is recovered; if that fails it is set
 * aside, with a log record, and an empty one made.  NULL only if all of this
 * fails. */
struct q_store *q_store_open(struct hb_loop *l, struct q_flush *f,
    const char *dir, struct hb_buf *err);
void q_store_close(struct q_store **s);

/* Fills VALUE; 0, HB_E_NOTFOUND, HB_E_IO. */
int q_store_get(struct q_store *s, enum hb_table table, struct hb_span key,
    struct hb_buf *value) HB_MUSTCHECK;
/* An empty VALUE deletes the row.  DONE runs when it is durable (in the loop,
 * after the helper thread's flush); LAZY: with the next batch, within ten
 * seconds. */
void q_store_put(struct q_store *s, enum hb_table table, struct hb_span key,
    struct hb_span value, bool lazy, void (*done)(void *ctx, int err),
    void *ctx);
/* Calls ROW for at most COUNT rows with keys after AFTER, in key order.
 * Returns their number, HB_E_LIMIT if long rows made it stop earlier (after at
 * least one), or HB_E_IO. */
int q_store_list(struct q_store *s, enum hb_table table, struct hb_span after,
    size_t count, void (*row)(void *ctx, struct hb_span key,
    struct hb_span value), void *ctx) HB_MUSTCHECK;

#endif
