/*
 * Last outcomes, kept once for all recipients with the same one.  Floor 2,
 * pure.
 */
#ifndef QUEUE_SCHED_LAST_H
#define QUEUE_SCHED_LAST_H

#include "common/base/rows.h"
#include "common/proto/envelope.h"

struct q_last {
	HB_ROW(hash);
	uint32_t refs;
	uint32_t n;		/* bytes of the record */
	uint32_t reason;
	unsigned char record[]; /* hb_outcome without idx and at_ms */
};
struct q_lasts {
	struct hb_rows rows;
	size_t bytes;	   /* of all records */
	uint32_t of[HB_REASON_COUNT]; /* records with that reason */
	unsigned char key[16]; /* secret: texts are remote */
};

/*
 * Returns a counted reference.  Above Q_LAST_BYTES in all, texts are left out:
 * a server whose text differs each time must not fill the memory.
 */
enum { Q_LAST_BYTES = 64 << 20 };
struct q_last *q_last_get(struct q_lasts *l, const struct hb_outcome *o);
struct q_last *q_last_ref(struct q_last *x); /* accepts NULL */
void q_last_put(struct q_lasts *l, struct q_last **x);
/* Spans point into X.  NULL gives an empty outcome. */
void q_last_outcome(const struct q_last *x, struct hb_outcome *o);
void q_lasts_free(struct q_lasts *l);

#endif
