/*
 * Moving messages forward, so that a small spool stays small.  Floor 3.
 *
 * A message is moved by writing it again (queue/spool/mover.c), one at a time.
 * A segment is emptied in slices: live messages with any record in it are
 * moved, FINISHED records that others still need are copied; once that is
 * durable the segment is free.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"

enum {
	SLICE_BYTES = 256 << 10, /* looked at in one step */
	MOVED_BYTES = 512 << 10, /* written in one step, or one record */
	BACKLOG = 1 << 20,	 /* bytes waiting above which we do not add */
	LOOKS_PER_WORK = 8,	 /* of the chain of updates */
	SLACK_SEGMENTS = 3,	 /* beyond twice of what is live */
	RETRY_MS = 50
};

/* --- emptying a segment --- */

static int
compare(const struct q_piece *a, const struct q_piece *b)
{
	if (a->gen != b->gen)
		return a->gen < b->gen ? -1 : 1;
	return a->off < b->off ? -1 : a->off > b->off;
}

/* Updates stand in the order of the log; one that a failed write moved may
 * not, so what is not found is looked for once more. */
static bool
is_update(struct q_spool *s, const struct q_extra *x, struct q_piece p)
{
	uint32_t low = 0, high = x->nchain;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int r = compare(&x->chain[mid], &p);

		if (r == 0)
			return true;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	s->work -= x->nchain / LOOKS_PER_WORK;
	for (uint32_t i = 0; i < x->nchain; i++)
		if (compare(&x->chain[i], &p) == 0)
			return true;
	return false;
}

static bool
has_piece(struct q_spool *s, const struct spool_entry *m, struct q_piece p)
{
	return compare(&m->base, &p) == 0 ||
	    (m->x != NULL && is_update(s, m->x, p));
}

static bool
is_needed(struct q_spool *s, uint32_t own_gen, const struct q_finished *f)
{
	for (size_t i = 0; i < f->ngens; i++) {
		uint32_t gen = q_u32_at(f->gens, i);

		if (gen != own_gen && q_seg_find(&s->segs, gen) != NULL)
			return true;
	}
	return false;
}

static void
carry_finished(struct q_spool *s, struct q_seg *seg,
    const struct q_rec_head *h, struct hb_span payload)
{
	struct q_finished f;
	struct q_rec *rec;

	if (q_finished_decode(payload, &f) < 0 ||
	    !is_needed(s, seg->gen, &f))
		return;
	rec = q_rec_new(Q_REC_FINISHED, h->id, NULL, NULL);
	rec->carried = true;
	hb_buf_add(&rec->payload, payload);
	q_spool_append(s, rec);
}

/* The message at hand is moved, or not; 0: that is not over. */
static void
moved(struct q_spool *s, int r)
{
	if (r < 0 && r != HB_E_CORRUPT)
		s->compact.again = true;
}

static void
empty_record(struct q_spool *s, struct q_seg *seg, const struct q_rec_head *h,
    struct hb_span payload)
{
	struct q_piece p = { seg->gen, s->compact.at, q_rec_total(h->len) };
	struct spool_entry *m;

	if (h->type == Q_REC_FINISHED) {
		carry_finished(s, seg, h, payload);
		return;
	}
	m = q_index_find(&s->index, h->id);
	if (h->type == Q_REC_SEALS || m == NULL || !has_piece(s, m, p))
		return;
	moved(s, q_move(s, m));
}

/* Bytes from compact.at that hold at least one whole record. */
static int
read_slice(struct q_spool *s, struct q_seg *seg, size_t n,
    struct hb_buf *bytes)
{
	unsigned char *room;
	int64_t got;

	if (n > seg->tail - s->compact.at)
		n = seg->tail - s->compact.at;
	hb_buf_clear(bytes);
	if (q_seg_fd(&s->segs, seg) < 0 ||
	    hb_buf_reserve(bytes, n, &room) < 0)
		return HB_E_IO;
	got = s->io->pread(s->io->ctx, seg->fd, room, n, s->compact.at);
	if (got < (int64_t)n)
		return HB_E_IO;
	hb_buf_added(bytes, n);
	return 0;
}

/* START: bytes that waited at the beginning of this step. */
static bool
may_go_on(const struct q_spool *s, size_t start)
{
	return s->mover == NULL && s->work > 0 &&
	    s->waiting_bytes - start < MOVED_BYTES;
}

/* Bytes used of IN, 0 when the first record needs *MORE. */
static size_t
empty_slice(struct q_spool *s, struct q_seg *seg, struct hb_span in,
    size_t *more)
{
	size_t at = 0, start = s->waiting_bytes;

	while (at < in.n && may_go_on(s, start)) {
		struct hb_span rest = hb_span_from(in, at), payload;
		struct q_rec_head h;

		if (q_rec_head_decode(rest, seg->key, seg->gen, &h) < 0) {
			at += Q_REC_ALIGN;
			s->compact.at += Q_REC_ALIGN;
			continue;
		}
		*more = q_rec_total(h.len);
		if (*more > rest.n)
			break;
		if (q_rec_check(rest, seg->key, &h, &payload) == 0)
			empty_record(s, seg, &h, payload);
		at += *more;
		s->compact.at += (uint32_t)*more;
	}
	return at;
}

static int
empty_some(struct q_spool *s, struct q_seg *seg)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	size_t more = 0;
	int r = read_slice(s, seg, SLICE_BYTES, &bytes);

	if (r == 0 && empty_slice(s, seg, hb_buf_span(&bytes), &more) == 0 &&
	    more > 0) {
		r = read_slice(s, seg, more, &bytes);
		if (r == 0 && empty_slice(s, seg, hb_buf_span(&bytes),
				  &more) == 0)
			s->compact.at = seg->tail; /* cut off: no record */
	}
	hb_buf_free(&bytes);
	return r;
}

/* --- which segment --- */

static bool
is_too_big(const struct q_spool *s)
{
	uint64_t slack = (uint64_t)SLACK_SEGMENTS * s->segs.size;

	return s->segs.total > 2 * s->segs.live + slack;
}

/* Worth emptying: a failed one, or one that is mostly dead. */
static bool
is_victim(struct q_spool *s, struct q_seg *seg, int64_t now)
{
	if (seg->state != Q_SEG_SEALED || seg->busy > 0)
		return false;
	if (seg->bad)
		return true;
	return is_too_big(s) && seg->live * 2 <= seg->size &&
	    (now - seg->sealed_ms >= s->cfg.settle_ms ||
	    s->segs.error != 0);
}

static struct q_seg *
pick(struct q_spool *s)
{
	struct q_seg *seg, *tmp, *best = NULL;
	int64_t now = hb_mono_ms();

	HASH_ITER(hh, s->segs.by_gen, seg, tmp)
		if (is_victim(s, seg, now) && (best == NULL ||
		    seg->live < best->live ||
		    (seg->live == best->live && seg->gen < best->gen)))
			best = seg;
	return best;
}

/* All of it was looked at: done when what came of it is durable. */
static void
end_pass(struct q_spool *s, struct q_seg *seg)
{
	if (s->compact.fence == 0)
		s->compact.fence = UINT64_MAX;
	if (s->compact.fence == UINT64_MAX && STAILQ_EMPTY(&s->waiting))
		s->compact.fence = s->next_seq;
	if (s->durable_seq < s->compact.fence)
		return;
	if (s->compact.again) {
		s->compact = (struct q_compact){ .gen = seg->gen,
			.at = Q_SEG_START };
		s->cfg.wake(s->cfg.wake_ctx, RETRY_MS);
		return;
	}
	q_seg_undepend(seg);
	s->compact.gen = 0;
	q_segs_collect(&s->segs);
	s->cfg.wake(s->cfg.wake_ctx, 0);
}

void
q_compact_step(struct q_spool *s)
{
	struct q_seg *seg;
	size_t start;

	if (s->waiting_bytes > BACKLOG)
		return;
	q_move_turn(s);
	if (s->mover != NULL)
		moved(s, q_move_some(s));
	start = s->waiting_bytes;
	while (s->refold.n > 0 && may_go_on(s, start)) {
		struct spool_entry *m;
		uint64_t id;

		memcpy(&id, s->refold.p + s->refold.off, sizeof(id));
		hb_buf_consume(&s->refold, sizeof(id));
		m = q_index_find(&s->index, id);
		/* what is not moved now is asked for by its next update */
		if (m != NULL && q_move(s, m) < 0)
			continue;
	}
	if (s->mover != NULL) {
		if (s->work <= 0) /* or it waits for a flush */
			s->cfg.wake(s->cfg.wake_ctx, 1);
		return;
	}
	if (s->compact.gen == 0) {
		seg = pick(s);
		if (seg != NULL)
			s->compact = (struct q_compact){ .gen = seg->gen,
				.at = Q_SEG_START };
	}
	if (s->compact.gen == 0)
		return;
	seg = q_seg_find(&s->segs, s->compact.gen);
	if (seg == NULL || seg->state != Q_SEG_SEALED) {
		s->compact.gen = 0;
		return;
	}
	if (s->compact.at >= seg->tail) {
		end_pass(s, seg);
		return;
	}
	if (empty_some(s, seg) < 0) {
		s->compact = (struct q_compact){ 0 };
		return;
	}
	s->cfg.wake(s->cfg.wake_ctx, 1);
}
