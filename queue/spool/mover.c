/*
 * Writing a message again, with its changes merged.  Floor 3.
 *
 * A message with many recipients is written in parts, one per turn, so that
 * nothing waits for all of it.  Of changes that replace each other only the
 * last one is written; new ones in the meantime are written after them,
 * unmerged.  The record replaces all earlier records of its message, so it is
 * written only while no change is on its way to the disk.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "queue/spool/spool-priv.h"

/* What is done in a turn, in units of about 10 ns. */
enum {
	TURN_WORK = 512 << 10,
	MESSAGE_WORK = 500,
	CHANGE_WORK = 200, /* to decode it */
	ITEM_WORK = 8,	   /* to copy it; and each byte a quarter of a unit */
	BYTES_PER_WORK = 4,
	KINDS = Q_CHANGE_FINISHED + 1
};

struct item {
	STAILQ_ENTRY(item) link;
	struct hb_span bytes;
};
STAILQ_HEAD(items, item);

enum phase { READ, FOLD, RCPTS, ADDED, CHANGES, LATER, DONE };

struct q_mover {
	uint64_t id;
	struct q_piece base;
	enum phase phase;
	uint32_t nchain; /* updates that were read */
	struct hb_buf bytes, piece;
	struct q_message msg;	/* in BYTES */
	struct q_list list;	/* in BYTES or PIECE: changes to be read */
	struct items added;	/* recipients */
	struct items changes;	/* of all else the last of each */
	struct item **last;	/* by recipient, then by kind */
	uint32_t nlast;		/* recipients that have a place in it */
	struct q_message_writer w;
	struct hb_buf out;
	struct hb_arena *a;
};

void
q_mover_free(struct q_mover **mvp)
{
	struct q_mover *mv = *mvp;

	*mvp = NULL;
	if (mv == NULL)
		return;
	hb_buf_free(&mv->bytes);
	hb_buf_free(&mv->piece);
	hb_buf_free(&mv->out);
	hb_arena_free(&mv->a);
	free(mv->last);
	free(mv);
}

void
q_move_turn(struct q_spool *s)
{
	s->work = s->cfg.move_work != 0 ? s->cfg.move_work : TURN_WORK;
	s->is_fresh = true;
}

static void
work(struct q_spool *s, size_t units, size_t bytes)
{
	s->work -= (int64_t)(units + bytes / BYTES_PER_WORK);
	s->is_fresh = false;
}

/* The phases return 1 at their end, 0 when they are to go on, or an error. */

static int
read_base(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	int r;

	/* a long one has a turn for itself */
	if (!s->is_fresh && m->base.total / BYTES_PER_WORK > s->work) {
		s->work = 0;
		return 0;
	}
	work(s, MESSAGE_WORK, m->base.total);
	r = q_base_own(s, m, &mv->bytes, &mv->msg);
	mv->list = mv->msg.changes;
	mv->nlast = m->nrcpt;
	mv->last = hb_calloc((size_t)mv->nlast + KINDS, sizeof(struct item *));
	return r < 0 ? r : 1;
}

static struct item **
place_of(struct q_mover *mv, const struct q_change *c)
{
	if (c->kind != Q_CHANGE_TRIED && c->kind != Q_CHANGE_DONE)
		return &mv->last[mv->nlast + c->kind];
	return c->idx < mv->nlast ? &mv->last[c->idx] : NULL;
}

static int
fold_one(struct q_mover *mv, struct hb_span bytes)
{
	struct q_change_store store;
	struct item *it, **place;
	struct q_change c;

	if (q_change_decode(bytes, &c, &store) < 0)
		return HB_E_CORRUPT;
	bytes = hb_arena_span(mv->a, bytes);
	place = c.kind == Q_CHANGE_RCPT ? NULL : place_of(mv, &c);
	if (place != NULL && *place != NULL) {
		(*place)->bytes = bytes;
		return 0;
	}
	it = hb_arena_alloc(mv->a, sizeof(*it));
	it->bytes = bytes;
	if (place != NULL)
		*place = it;
	if (c.kind == Q_CHANGE_RCPT)
		STAILQ_INSERT_TAIL(&mv->added, it, link);
	else
		STAILQ_INSERT_TAIL(&mv->changes, it, link);
	return 0;
}

/* 1: the list of the next update can be read; 0: there is none. */
static int
next_piece(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	struct hb_span payload;
	int r;

	if (m->x == NULL || mv->nchain == m->x->nchain)
		return 0;
	r = q_piece_read(s, &m->x->chain[mv->nchain], m->id, &mv->piece,
	    &payload);
	if (r == 0)
		r = q_changes_decode(payload, &mv->list);
	work(s, MESSAGE_WORK, r == 0 ? payload.n : 0);
	mv->nchain++;
	return r < 0 ? r : 1;
}

/* 1: ITEM is the next change; 0: there is none. */
static int
next_change(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv,
    struct hb_span *item)
{
	int r;

	while ((r = q_list_next(&mv->list, item)) == 0)
		if ((r = next_piece(s, m, mv)) <= 0)
			return r;
	return r;
}

static int
fold(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	struct q_message_info info = { mv->msg.large, mv->msg.crc,
		mv->msg.size, mv->msg.head.n };
	struct hb_span item;
	int r;

	while (s->work > 0) {
		r = next_change(s, m, mv, &item);
		if (r == 0) {
			q_message_begin(&mv->w, &mv->out, &info, mv->msg.env);
			return 1;
		}
		if (r < 0 || fold_one(mv, item) < 0)
			return r < 0 ? r : HB_E_CORRUPT;
		work(s, CHANGE_WORK, item.n);
	}
	return 0;
}

static int
write_rcpts(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	struct hb_span item;
	int r;

	while (s->work > 0) {
		r = q_list_next(&mv->msg.rcpts, &item);
		if (r == 0)
			q_message_changes(&mv->w);
		if (r <= 0)
			return r < 0 ? r : 1;
		q_message_item(&mv->w, item);
		work(s, ITEM_WORK, item.n);
	}
	return 0;
}

static int
write_items(struct q_spool *s, struct q_mover *mv, struct items *items)
{
	struct item *it;

	while (s->work > 0) {
		it = STAILQ_FIRST(items);
		if (it == NULL)
			return 1;
		STAILQ_REMOVE_HEAD(items, link);
		q_message_item(&mv->w, it->bytes);
		work(s, ITEM_WORK, it->bytes.n);
	}
	return 0;
}

static int
write_added(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	return write_items(s, mv, &mv->added);
}

static int
write_changes(
    struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	return write_items(s, mv, &mv->changes);
}

/* What came while all of this was done. */
static int
write_later(struct q_spool *s, const struct spool_entry *m, struct q_mover *mv)
{
	struct hb_span item;
	int r;

	while (s->work > 0) {
		r = next_change(s, m, mv, &item);
		if (r == 0)
			return m->pending == 0 ? 1 : 0;
		if (r < 0)
			return r;
		q_message_item(&mv->w, item);
		work(s, ITEM_WORK, item.n);
	}
	return 0;
}

static int (*const phases[DONE])(struct q_spool *s, const struct spool_entry *m,
    struct q_mover *mv) = {
	[READ] = read_base,
	[FOLD] = fold,
	[RCPTS] = write_rcpts,
	[ADDED] = write_added,
	[CHANGES] = write_changes,
	[LATER] = write_later,
};

static bool
is_as_it_was(const struct q_mover *mv, const struct spool_entry *m)
{
	return m != NULL && m->state == SPOOL_LIVE &&
	    m->base.gen == mv->base.gen && m->base.off == mv->base.off;
}

int
q_move_some(struct q_spool *s)
{
	struct q_mover *mv = s->mover;
	struct spool_entry *m = q_index_find(&s->index, mv->id);
	int r = is_as_it_was(mv, m) ? 1 : HB_E_STATE;

	while (r > 0 && mv->phase < DONE) {
		r = phases[mv->phase](s, m, mv);
		if (r > 0)
			mv->phase++;
	}
	if (r == 0)
		return 0;
	if (r > 0) {
		struct q_rec *rec = q_rec_new(Q_REC_MOVE, mv->id, NULL, NULL);

		q_message_end(&mv->w, mv->msg.head, mv->msg.body);
		rec->payload = mv->out;
		mv->out = HB_BUF_INIT(0);
		q_spool_append(s, rec);
	}
	q_mover_free(&s->mover);
	if (r == HB_E_CORRUPT) {
		/* A message that cannot be read is set aside: it would keep its
		 * segment for ever, and nobody can have it. */
		char name[Q_CORRUPT_PATH];
		uint64_t id = m->id;

		q_set_aside_piece(s, &m->base, id, name);
		q_spool_drop(s, m);
		s->cfg.ops->on_corrupt(s->cfg.ctx, id, name);
	}
	return r;
}

int
q_move(struct q_spool *s, struct spool_entry *m)
{
	struct q_mover *mv;

	if (m->state != SPOOL_LIVE || m->pending > 0)
		return HB_E_STATE;
	mv = HB_NEW(struct q_mover);
	mv->id = m->id;
	mv->base = m->base;
	mv->bytes = mv->piece = mv->out = HB_BUF_INIT(0);
	mv->a = hb_arena_new();
	STAILQ_INIT(&mv->added);
	STAILQ_INIT(&mv->changes);
	s->mover = mv;
	return q_move_some(s);
}
