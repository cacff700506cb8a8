/* Shared outcomes.  Floor 2. */
#include "queue/sched/last.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"

static void
rehash(struct q_lasts *l)
{
	uint32_t size = l->size > 0 ? l->size * 2 : 64;
	struct q_last **v = hb_calloc(size, sizeof(struct q_last *));

	for (uint32_t i = 0; i < l->size; i++)
		while (l->v[i] != NULL) {
			struct q_last *x = l->v[i];

			l->v[i] = x->hnext;
			x->hnext = v[x->hash & (size - 1)];
			v[x->hash & (size - 1)] = x;
		}
	free(l->v);
	l->v = v;
	l->size = size;
}

static struct q_last *
insert(struct q_lasts *l, struct hb_span rec, uint64_t hash, uint32_t reason)
{
	struct q_last *x = hb_calloc(1, sizeof(*x) + rec.n);
	struct q_last **at = &l->v[hash & (l->size - 1)];

	x->hash = hash;
	x->n = (uint32_t)rec.n;
	x->reason = reason < HB_REASON_COUNT ? reason : HB_REASON_NONE;
	l->of[x->reason]++;
	if (rec.n > 0)
		memcpy(x->record, rec.p, rec.n);
	x->hnext = *at;
	*at = x;
	l->n++;
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
	if (l->n >= l->size)
		rehash(l);
	for (x = l->v[hash & (l->size - 1)]; x != NULL; x = x->hnext)
		if (x->hash == hash && hb_span_eq(hb_buf_span(&rec),
		    hb_span(x->record, x->n)))
			break;
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
	struct q_last *x = *xp, **at;

	*xp = NULL;
	if (x == NULL || --x->refs > 0)
		return;
	for (at = &l->v[x->hash & (l->size - 1)]; *at != x;)
		at = &(*at)->hnext;
	*at = x->hnext;
	l->n--;
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
	for (uint32_t i = 0; i < l->size; i++)
		while (l->v[i] != NULL) {
			struct q_last *x = l->v[i];

			l->v[i] = x->hnext;
			free(x);
		}
	free(l->v);
	*l = (struct q_lasts){ 0 };
}
