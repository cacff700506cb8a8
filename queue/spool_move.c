/*
 * Moving messages forward, so that a small spool stays small.  Floor 3.
 *
 * A message is moved by writing it again with its changes folded in.  A
 * segment is emptied in slices: live messages with any record in it are
 * moved, FINISHED records that others still need are copied; once that is
 * durable nothing needs the segment.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool-priv.h"

enum {
	SLICE_BYTES = 256 << 10, /* looked at in one step */
	MOVED_BYTES = 512 << 10, /* written in one step, or one record */
	BACKLOG = 1 << 20,	 /* bytes waiting above which we do not add */
	SLACK_SEGMENTS = 3,	 /* beyond twice of what is live */
	RETRY_MS = 50
};

/* folding: of changes that replace each other the last one stays */

struct fold_item {
	uint32_t class, idx;
	size_t order;
	struct hb_span bytes;
};

struct fold {
	struct fold_item *items;
	size_t n, room;
	struct hb_buf added; /* recipients, each with its length before it */
	struct hb_arena *a;
};

static const uint32_t class_of[] = {
	[Q_CHANGE_RCPT] = 0,
	[Q_CHANGE_TRIED] = 1,
	[Q_CHANGE_DONE] = 1,
	[Q_CHANGE_FLAGS] = 2,
	[Q_CHANGE_WARNED] = 3,
	[Q_CHANGE_FINISHED] = 4,
};

static int
fold_one(struct fold *f, struct hb_span item)
{
	struct q_change_store store;
	struct q_change c;

	if (q_change_decode(item, &c, &store) < 0)
		return HB_E_CORRUPT;
	if (f->n == f->room) {
		f->room = f->room * 2 + 16;
		f->items = hb_realloc(f->items, f->room * sizeof(*f->items));
	}
	f->items[f->n] = (struct fold_item){ class_of[c.kind],
		class_of[c.kind] == 1 ? c.idx : 0, f->n,
		hb_arena_span(f->a, item) };
	f->n++;
	return 0;
}

static int
fold_list(struct fold *f, struct q_list list)
{
	struct hb_span item;
	int r;

	while ((r = q_list_next(&list, &item)) > 0)
		if (fold_one(f, item) < 0)
			return HB_E_CORRUPT;
	return r;
}

static int
compare(const struct fold_item *a, const struct fold_item *b, bool group)
{
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	if (a->idx != b->idx)
		return a->idx < b->idx ? -1 : 1;
	if (group)
		return 0;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int
by_class(const void *a, const void *b)
{
	return compare(a, b, false);
}

/* Recipients (class 0) stay all, in order. */
static void
fold_write(struct fold *f, struct q_message_writer *w)
{
	if (f->n > 0)
		qsort(f->items, f->n, sizeof(*f->items), by_class);
	for (size_t i = 0; i < f->n; i++) {
		bool last = i + 1 == f->n ||
		    compare(&f->items[i], &f->items[i + 1], true) != 0;

		if (f->items[i].class == 0 || last)
			q_message_item(w, f->items[i].bytes);
	}
}

static int
fold_chain(struct q_spool *s, struct q_msg *m, struct fold *f)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct hb_span payload;
	struct q_list list;
	int r = 0;

	for (uint32_t i = 0; m->x != NULL && i < m->x->nchain && r == 0; i++) {
		r = q_piece_read(s, &m->x->chain[i], m->id, &bytes, &payload);
		if (r == 0)
			r = q_changes_decode(payload, &list);
		if (r == 0)
			r = fold_list(f, list);
	}
	hb_buf_free(&bytes);
	return r;
}

static int
move_payload(struct q_spool *s, struct q_msg *m, struct hb_buf *out)
{
	struct fold f = { .a = hb_arena_new() };
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct q_message_writer w;
	struct q_message msg;
	struct hb_span item;
	int r = q_base_read(s, m, &bytes, &msg);

	if (r == 0)
		r = fold_list(&f, msg.changes);
	if (r == 0)
		r = fold_chain(s, m, &f);
	if (r == 0) {
		struct q_message_info info = { msg.large, msg.crc, msg.size };

		q_message_begin(&w, out, &info, msg.env);
		while (q_list_next(&msg.rcpts, &item) > 0)
			q_message_item(&w, item);
		q_message_changes(&w);
		fold_write(&f, &w);
		q_message_end(&w, msg.body);
	}
	hb_buf_free(&bytes);
	free(f.items);
	hb_arena_free(&f.a);
	return r;
}

/* A message that cannot be read is set aside: it would keep its segment for
 * ever, and nobody can have it. */
static void
lost(struct q_spool *s, struct q_msg *m)
{
	char name[Q_CORRUPT_PATH];
	uint64_t id = m->id;

	q_set_aside_piece(s, &m->base, id, name);
	q_spool_drop(s, m);
	s->cfg.ops->on_corrupt(s->cfg.ctx, id, name);
}

int
q_move(struct q_spool *s, struct q_msg *m)
{
	struct q_rec *rec;
	int r;

	if (m->state != Q_MSG_LIVE || m->pending > 0)
		return HB_E_STATE;
	rec = q_rec_new(Q_REC_MOVE, m->id, NULL, NULL);
	r = move_payload(s, m, &rec->payload);
	if (r == 0) {
		q_spool_append(s, rec);
		return 0;
	}
	hb_buf_free(&rec->payload);
	free(rec);
	if (r == HB_E_CORRUPT)
		lost(s, m);
	return r;
}

/* emptying a segment */

static bool
has_piece(const struct q_msg *m, struct q_piece p)
{
	if (m->base.gen == p.gen && m->base.off == p.off)
		return true;
	for (uint32_t i = 0; m->x != NULL && i < m->x->nchain; i++)
		if (m->x->chain[i].gen == p.gen &&
		    m->x->chain[i].off == p.off)
			return true;
	return false;
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

static void
empty_record(struct q_spool *s, struct q_seg *seg, const struct q_rec_head *h,
    struct hb_span payload)
{
	struct q_piece p = { seg->gen, s->compact.at, q_rec_total(h->len) };
	struct q_msg *m;
	int r;

	if (h->type == Q_REC_FINISHED) {
		carry_finished(s, seg, h, payload);
		return;
	}
	m = q_index_find(&s->index, h->id);
	if (h->type == Q_REC_SEALS || m == NULL || !has_piece(m, p))
		return;
	r = q_move(s, m);
	if (r < 0 && r != HB_E_CORRUPT)
		s->compact.again = true;
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

/* Bytes used of IN, 0 when the first record needs *MORE. */
static size_t
empty_slice(struct q_spool *s, struct q_seg *seg, struct hb_span in,
    size_t *more)
{
	size_t at = 0, start = s->waiting_bytes;

	while (at < in.n && s->waiting_bytes - start < MOVED_BYTES) {
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

/* which segment */

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

static void
refold_some(struct q_spool *s)
{
	size_t start = s->waiting_bytes;

	while (s->refold.n > 0 && s->waiting_bytes - start < MOVED_BYTES) {
		struct q_msg *m;
		uint64_t id;

		memcpy(&id, s->refold.p + s->refold.off, sizeof(id));
		hb_buf_consume(&s->refold, sizeof(id));
		m = q_index_find(&s->index, id);
		/* what is not moved now is asked for by its next update */
		if (m != NULL && q_move(s, m) < 0)
			continue;
	}
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

static void
begin_pass(struct q_spool *s)
{
	struct q_seg *seg = pick(s);

	if (seg != NULL)
		s->compact = (struct q_compact){ .gen = seg->gen,
			.at = Q_SEG_START };
}

void
q_compact_step(struct q_spool *s)
{
	struct q_seg *seg;

	if (s->waiting_bytes > BACKLOG)
		return;
	refold_some(s);
	if (s->compact.gen == 0)
		begin_pass(s);
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
