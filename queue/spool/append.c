/* Records on their way into the log, and those in it that nothing needs any
 * more.  Floor 3. */
#include "config.h"

#include <stdlib.h>

#include "queue/spool/spool-priv.h"

struct q_rec *
q_rec_new(enum q_rec_type type, uint64_t id, q_durable_fn done, void *ctx)
{
	struct q_rec *r = HB_NEW(struct q_rec);

	r->type = type;
	r->id = id;
	r->done = done;
	r->ctx = ctx;
	return r;
}

void
q_rec_free(struct q_rec *r)
{
	hb_buf_free(&r->payload);
	free(r);
}

void
q_spool_wake(struct q_spool *s, int64_t ms)
{
	s->cfg.wake(s->cfg.wake_ctx, ms);
}

void
q_spool_append(struct q_spool *s, struct q_rec *r)
{
	struct spool_entry *m = q_index_find(&s->index, r->id);

	if (m != NULL && !r->carried)
		m->pending++;
	s->waiting_bytes += r->payload.n;
	STAILQ_INSERT_TAIL(&s->waiting, r, link);
	q_spool_wake(s, 0);
}

void
q_spool_drop(struct q_spool *s, struct spool_entry *m)
{
	m->state = SPOOL_DYING;
	q_spool_append(s, q_rec_new(Q_REC_FINISHED, m->id, NULL, NULL));
}

static void
piece_dead(struct q_spool *s, const struct q_piece *p)
{
	struct q_seg *seg = q_seg_find(&s->segs, p->gen);

	if (seg != NULL)
		q_seg_dead(&s->segs, seg, p->total);
}

void
q_pieces_dead(struct q_spool *s, const struct spool_entry *m)
{
	if (m->base.total != 0)
		piece_dead(s, &m->base);
	for (uint32_t i = 0; m->x != NULL && i < m->x->nchain; i++)
		piece_dead(s, &m->x->chain[i]);
}

void
q_spool_forget(struct q_spool *s, struct spool_entry *m)
{
	q_pieces_dead(s, m);
	q_cache_drop(&s->cache, m);
	q_index_remove(&s->index, m);
}
