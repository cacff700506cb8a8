/* Shared outcomes.  Floor 2. */
#include "queue/sched/last.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

static struct q_last *
insert(struct q_lasts *l, struct hb_span rec, uint64_t hash, uint32_t reason)
{
	struct q_last *x = hb_calloc(1, sizeof(*x) + rec.n);

	x->n = (uint32_t)rec.n;
	x->reason = reason < HB_REASON_COUNT ? reason : HB_REASON_NONE;
	l->of[x->reason]++;
	if (rec.n > 0)
		memcpy(x->record, rec.p, rec.n);
	hb_rows_add(&l->rows, x, hash);
	l->bytes += rec.n;
	return x;
}

struct q_last *
q_last_get(struct q_lasts *l, const struct hb_outcome *o)
{
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_outcome c = *o;
	struct q_last *x;
	uint64_t hash;

	c.idx = 0;
	c.at_ms = 0;
	c.dane = c.remembered = 0; /* of the attempt, for the log */
	if (l->bytes > Q_LAST_BYTES)
		c.text = HB_SPAN_NONE;
	if (hb_tlv_encode(&hb_outcome_record, &c, &rec) < 0)
		hb_buf_clear(&rec);
	hash = hb_siphash(l->key, hb_buf_span(&rec));
	x = hb_rows_find(&l->rows, hash);
	while (x != NULL && !hb_span_eq(hb_buf_span(&rec),
	    hb_span(x->record, x->n)))
		x = hb_rows_same(x);
	if (x == NULL)
		x = insert(l, hb_buf_span(&rec), hash, c.reason);
	hb_buf_free(&rec);
	return q_last_ref(x);
}

struct q_last *
q_last_ref(struct q_last *x)
{
	if (x != NULL)
		x->refs++;
	return x;
}

void
q_last_put(struct q_lasts *l, struct q_last **xp)
{
	struct q_last *x = *xp;

	*xp = NULL;
	if (x == NULL || --x->refs > 0)
		return;
	hb_rows_remove(&l->rows, x);
	l->of[x->reason]--;
	l->bytes -= x->n;
	free(x);
}

void
q_last_outcome(const struct q_last *x, struct hb_outcome *o)
{
	if (x == NULL || hb_tlv_decode(&hb_outcome_record,
	    hb_span(x->record, x->n), o) < 0)
		*o = (struct hb_outcome){ 0 };
}

void
q_lasts_free(struct q_lasts *l)
{
	struct q_last *x = hb_rows_next(&l->rows, NULL), *after;

	for (; x != NULL; x = after) {
		after = hb_rows_next(&l->rows, x);
		free(x);
	}
	hb_rows_free(&l->rows);
	*l = (struct q_lasts){ 0 };
}
