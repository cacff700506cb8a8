/*
 * Records become durable, or fail.  Floor 3.
 *
 * Records wait in s->waiting until the end of the turn; then they are put
 * into a batch for the current segment and, when no flush is under way,
 * written and flushed by the helper thread.  What is true of a message
 * (spool_entry.base, chain, counts of segments) changes only when a record is
 * durable.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"

enum {
	GATHER_MAX_MS = 6,
	REFOLD_AT = 16 /* updates of a message before a move */
};

/* --- what is true once a record is durable --- */

static void
cache_fresh(struct q_spool *s, struct spool_entry *m, struct q_rec *r)
{
	if (r->payload.cap > s->cfg.cache_bytes / 4)
		return;
	(void)q_cache_put(&s->cache, m, &r->payload);
	q_cache_trim(&s->cache, s->cfg.cache_bytes);
}

static void
record_durable(struct q_spool *s, struct q_seg *seg, struct q_rec *r)
{
	struct spool_entry *m = q_index_find(&s->index, r->id);
	struct q_piece p = { seg->gen, r->off, r->total };
	uint32_t old;

	if (m == NULL || r->type == Q_REC_SEALS || r->carried)
		return;
	m->pending--;
	if (r->type == Q_REC_FINISHED) {
		if (m->large)
			q_large_remove(s, m->id);
		q_spool_forget(s, m);
		return;
	}
	q_seg_live(&s->segs, seg, r->total);
	if (r->type == Q_REC_CHANGES) {
		q_entry_add_piece(m, p);
		if (m->state == SPOOL_LIVE &&
		    m->x->nchain > REFOLD_AT + m->nrcpt / 2)
			hb_buf_add(&s->refold, hb_span(&m->id, sizeof(m->id)));
		return;
	}
	q_cache_drop(&s->cache, m);
	old = m->base.gen;
	q_pieces_dead(s, m);
	m->base = p;
	if (m->x != NULL)
		m->x->nchain = 0;
	if (old != p.gen)
		q_entry_add_gen(m, old);
	if (r->type == Q_REC_MESSAGE) {
		m->state = SPOOL_LIVE;
		cache_fresh(s, m, r);
	}
}

/* --- failures --- */

/* Only a message that was never durable goes; an update that cannot be
 * written leaves the message as the disk has it. */
static void
record_failed(struct q_spool *s, struct q_rec *r)
{
	struct spool_entry *m = q_index_find(&s->index, r->id);

	if (m == NULL || r->carried)
		return;
	m->pending--;
	if (r->type == Q_REC_MESSAGE) {
		if (m->large)
			q_large_remove(s, m->id);
		q_spool_forget(s, m);
	} else if (r->type == Q_REC_FINISHED) {
		m->state = SPOOL_LIVE;
	}
}

static void
run_done(struct q_rec_list *list)
{
	struct q_rec *r;

	while ((r = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		if (r->done != NULL)
			r->done(r->ctx, r->err);
		q_rec_free(r);
	}
}

static void
fail_to(struct q_spool *s, struct q_rec *r, int err, struct q_rec_list *failed)
{
	r->err = err;
	record_failed(s, r);
	STAILQ_INSERT_TAIL(failed, r, link);
}

/* New mail cannot wait for a disk that takes nothing; results can. */
static void
fail_waiting_mail(struct q_spool *s, int err)
{
	struct q_rec_list keep = STAILQ_HEAD_INITIALIZER(keep);
	struct q_rec_list failed = STAILQ_HEAD_INITIALIZER(failed);
	struct q_rec *r;

	while ((r = STAILQ_FIRST(&s->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->waiting, link);
		if (r->type == Q_REC_MESSAGE) {
			s->waiting_bytes -= r->payload.n;
			fail_to(s, r, err, &failed);
		} else {
			STAILQ_INSERT_TAIL(&keep, r, link);
		}
	}
	STAILQ_CONCAT(&s->waiting, &keep);
	run_done(&failed);
}

/* --- batches --- */

static struct spool_batch *
new_batch(struct q_spool *s)
{
	struct spool_batch *b = HB_NEW(struct spool_batch);

	b->s = s;
	b->seg = s->segs.current;
	b->seg->busy++;
	b->at = b->seg->tail;
	STAILQ_INIT(&b->recs);
	return b;
}

static void
free_batch(struct spool_batch *b)
{
	b->seg->busy--;
	hb_buf_free(&b->bytes);
	free(b);
}

/* The payload of FINISHED names all generations where the message still
 * has records, so that it is kept as long as one of them could be read. */
static void
finish_payload(struct q_spool *s, struct q_rec *r, struct q_seg *seg)
{
	struct spool_entry *m = q_index_find(&s->index, r->id);
	uint32_t ngens = m != NULL && m->x != NULL ? m->x->ngens : 0;

	hb_buf_clear(&r->payload);
	q_finished_begin(r->seq, &r->payload);
	if (m != NULL && m->base.gen != seg->gen)
		q_finished_gen(m->base.gen, &r->payload);
	for (uint32_t i = 0; i < ngens; i++)
		if (m->x->gens[i] != seg->gen &&
		    q_seg_find(&s->segs, m->x->gens[i]) != NULL)
			q_finished_gen(m->x->gens[i], &r->payload);
}

static void
depend_on_finished(struct q_seg *seg, struct hb_span payload)
{
	struct q_finished f;

	if (q_finished_decode(payload, &f) < 0)
		return;
	for (size_t i = 0; i < f.ngens; i++)
		q_seg_depend(seg, q_u32_at(f.gens, i));
}

static void
put_record(struct q_spool *s, struct q_rec *r)
{
	struct q_seg *seg = s->segs.current;
	struct spool_entry *m = q_index_find(&s->index, r->id);
	struct q_rec_head h;

	if (s->gather == NULL)
		s->gather = new_batch(s);
	r->seq = s->next_seq++;
	s->gather->nmail += r->type == Q_REC_MESSAGE;
	if (r->type == Q_REC_FINISHED) {
		if (!r->carried)
			finish_payload(s, r, seg);
		depend_on_finished(seg, hb_buf_span(&r->payload));
	} else if (m != NULL && r->type == Q_REC_MESSAGE) {
		m->base.gen = seg->gen;
	} else if (m != NULL && r->type != Q_REC_SEALS) {
		q_entry_add_gen(m, seg->gen);
	}
	h = (struct q_rec_head){ (uint32_t)r->payload.n, seg->gen, r->type,
		r->seq, r->id };
	r->off = seg->tail;
	r->total = q_rec_total(h.len);
	q_rec_append(&h, seg->key, hb_buf_span(&r->payload),
	    &s->gather->bytes);
	seg->tail += r->total;
	STAILQ_INSERT_TAIL(&s->gather->recs, r, link);
}

/* An upper bound: FINISHED gets its payload when it is put. */
static uint32_t
total_of(struct q_spool *s, const struct q_rec *r)
{
	struct spool_entry *m;
	size_t n = r->payload.n;

	if (r->type == Q_REC_FINISHED && !r->carried) {
		m = q_index_find(&s->index, r->id);
		n = 12;
		if (m != NULL && m->x != NULL)
			n += 4 * (size_t)m->x->ngens;
	}
	return q_rec_total((uint32_t)n);
}

static void
seals_payload(struct q_spool *s, struct hb_buf *out)
{
	struct q_seg *seg, *tmp;

	HASH_ITER(hh, s->segs.by_gen, seg, tmp)
		if (seg->state == Q_SEG_SEALED)
			q_seals_add(out, seg->gen, seg->tail);
}

static void
close_gather(struct q_spool *s)
{
	if (s->gather == NULL)
		return;
	STAILQ_INSERT_TAIL(&s->closed, s->gather, link);
	s->gather = NULL;
}

static bool
has_room(const struct q_spool *s, uint32_t total)
{
	const struct q_seg *seg = s->segs.current;

	return seg != NULL && seg->size - seg->tail >= total;
}

static uint32_t
seals_total(const struct q_spool *s)
{
	return q_rec_total((uint32_t)(8 * (s->segs.nseg + 1)));
}

/* A ready segment that takes TOTAL bytes becomes the current one.  False: it
 * is being made, or cannot be made (segs.error). */
static bool
get_segment(struct q_spool *s, uint32_t total)
{
	struct q_seg *ready = s->segs.ready;
	uint32_t need = total + seals_total(s);
	struct q_rec *r;

	if (ready == NULL || ready->size - Q_SEG_START < need) {
		q_space_prepare(s, need);
		return s->segs.making == NULL && s->segs.error != 0 &&
		    q_segs_go_back(&s->segs, total);
	}
	/* Each segment begins with the table of all that came before it. */
	r = q_rec_new(Q_REC_SEALS, 0, NULL, NULL);
	close_gather(s);
	q_segs_switch(&s->segs, hb_mono_ms());
	seals_payload(s, &r->payload);
	put_record(s, r);
	q_segs_prepare(&s->segs, 0);
	return true;
}

static void
pump(struct q_spool *s)
{
	struct q_rec *r;

	while ((r = STAILQ_FIRST(&s->waiting)) != NULL) {
		uint32_t total = total_of(s, r);

		if (r->type == Q_REC_MESSAGE && q_space_is_reserved(s)) {
			fail_waiting_mail(s, HB_E_NOSPACE);
			continue;
		}
		if (!has_room(s, total)) {
			if (get_segment(s, total))
				continue;
			if (s->segs.making == NULL)
				fail_waiting_mail(s, s->segs.error);
			break;
		}
		STAILQ_REMOVE_HEAD(&s->waiting, link);
		s->waiting_bytes -= r->payload.n;
		put_record(s, r);
	}
}

/* --- flushes --- */

static void
batch_run(struct flush_task *j)
{
	struct spool_batch *b = (struct spool_batch *)(void *)j;
	const struct q_io *io = b->s->io;

	b->r = io->pwrite(io->ctx, b->fd, hb_buf_span(&b->bytes), b->at);
	if (b->r == 0)
		b->r = io->sync(io->ctx, b->fd);
}

/*
 * The records of a batch that was not written: mail of the failed write is
 * refused; all else goes once more, into another segment, in its order.
 */
static void
take_back(struct q_spool *s, struct spool_batch *b, int err,
    struct q_rec_list *failed, struct q_rec_list *again)
{
	struct q_rec *r;

	while ((r = STAILQ_FIRST(&b->recs)) != NULL) {
		STAILQ_REMOVE_HEAD(&b->recs, link);
		if (r->type == Q_REC_SEALS) {
			q_rec_free(r);
		} else if (err < 0 && (r->type == Q_REC_MESSAGE ||
		    r->retried)) {
			fail_to(s, r, err, failed);
		} else {
			r->retried = r->retried || err < 0;
			s->waiting_bytes += r->payload.n;
			STAILQ_INSERT_TAIL(again, r, link);
		}
	}
}

/* Nothing is written to this segment again: it ends where it was durable. */
static void
segment_failed(struct q_spool *s, struct q_seg *seg, uint32_t end)
{
	seg->bad = true;
	seg->tail = end;
	if (s->segs.current == seg)
		q_segs_seal(&s->segs, hb_mono_ms());
}

static void
batch_failed(
    struct q_spool *s, struct spool_batch *b, struct q_rec_list *failed)
{
	struct q_rec_list again = STAILQ_HEAD_INITIALIZER(again);
	struct spool_batch *other;
	int err = q_io_error(b->r);

	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "write"),
	    hb_kv_int(HB_K_SEGMENT, b->seg->number),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
	segment_failed(s, b->seg, b->at);
	s->compact.gen = 0;
	take_back(s, b, err, failed, &again);
	close_gather(s);
	/* later segments begin with a table that has this end wrong: they
	 * are begun again */
	while ((other = STAILQ_FIRST(&s->closed)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->closed, link);
		take_back(s, other, 0, failed, &again);
		if (!other->seg->bad)
			segment_failed(s, other->seg, other->at);
		free_batch(other);
	}
	STAILQ_CONCAT(&again, &s->waiting);
	STAILQ_CONCAT(&s->waiting, &again);
}

/*
 * The clients whose messages this flush made durable send their next ones at
 * once.  A flush that was begun before those are here would hold them up for
 * all of its time, so the next one waits until as many have come, for a
 * part of what a flush takes: nothing where the disk is fast.
 */
static void
gather_more(struct q_spool *s, const struct spool_batch *b)
{
	int64_t now = hb_mono_ms(), wait;

	if (s->cfg.gather_part == 0)
		return;
	wait = (now - s->flying_ms) / s->cfg.gather_part;
	s->gather_until_ms = now + (wait < GATHER_MAX_MS ? wait : GATHER_MAX_MS);
	s->gather_mail = b->nmail;
}

static void
batch_done(struct flush_task *j)
{
	struct spool_batch *b = (struct spool_batch *)(void *)j;
	struct q_spool *s = b->s;
	struct q_rec_list done = STAILQ_HEAD_INITIALIZER(done);

	s->flying = NULL;
	gather_more(s, b);
	if (b->r == 0) {
		struct q_rec *r;

		STAILQ_FOREACH(r, &b->recs, link) {
			s->durable_seq = r->seq + 1;
			record_durable(s, b->seg, r);
		}
		STAILQ_CONCAT(&done, &b->recs);
	} else {
		batch_failed(s, b, &done);
	}
	free_batch(b);
	q_segs_collect(&s->segs);
	q_spool_wake(s, 0);
	run_done(&done);
}

static void
start_flush(struct q_spool *s)
{
	struct spool_batch *b;

	if (s->flying != NULL)
		return;
	if (STAILQ_EMPTY(&s->closed))
		close_gather(s);
	b = STAILQ_FIRST(&s->closed);
	if (b == NULL)
		return;
	STAILQ_REMOVE_HEAD(&s->closed, link);
	b->fd = q_seg_fd(&s->segs, b->seg);
	b->job.run = batch_run;
	b->job.done = batch_done;
	s->flying = b;
	s->flying_ms = hb_mono_ms();
	s->cfg.exec->submit(s->cfg.exec->ctx, &b->job);
}

void
q_batches_turn(struct q_spool *s)
{
	int64_t left;

	pump(s);
	left = s->gather_until_ms - hb_mono_ms();
	if (s->gather == NULL || left <= 0 || !STAILQ_EMPTY(&s->closed) ||
	    s->gather->nmail >= s->gather_mail)
		start_flush(s);
	else if (s->flying == NULL)
		q_spool_wake(s, left);
}

/* --- the end --- */

static bool
is_busy(const struct q_spool *s)
{
	return s->flying != NULL || s->gather != NULL || s->jobs > 0 ||
	    s->segs.jobs > 0 || !STAILQ_EMPTY(&s->closed);
}

/* After a clean end the last records have a good one behind them: damage
 * there is no torn tail. */
static void
seal_current(struct q_spool *s)
{
	struct q_rec *r;

	if (s->segs.current == NULL || !has_room(s, seals_total(s)))
		return;
	r = q_rec_new(Q_REC_SEALS, 0, NULL, NULL);
	seals_payload(s, &r->payload);
	q_seals_add(&r->payload, s->segs.current->gen, s->segs.current->tail);
	put_record(s, r);
}

static void
settle(struct q_spool *s)
{
	s->compact.gen = 0;
	do {
		q_read_wanted(s);
		pump(s);
		start_flush(s);
		s->cfg.exec->drain(s->cfg.exec->ctx);
	} while (is_busy(s) || !STAILQ_EMPTY(&s->wanted));
}

void
q_batches_end(struct q_spool *s)
{
	settle(s);
	fail_waiting_mail(s, HB_E_IO);
	while (!STAILQ_EMPTY(&s->waiting)) {
		struct q_rec_list lost = STAILQ_HEAD_INITIALIZER(lost);
		struct q_rec *r = STAILQ_FIRST(&s->waiting);

		STAILQ_REMOVE_HEAD(&s->waiting, link);
		fail_to(s, r, HB_E_IO, &lost);
		run_done(&lost);
	}
	seal_current(s);
	settle(s);
}
