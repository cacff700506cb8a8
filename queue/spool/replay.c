/*
 * Start-up: reads the segments in the order of their use, finds live messages
 * and hands them to the scheduler.  Floor 3.
 *
 * The newest segment that begins with a valid table of seals says which older
 * ones count and where each ends; bytes after an end were never durable.  A
 * segment that no table seals ends after its last valid record.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"

struct replay {
	struct q_spool *s;
	struct q_seg **segs; /* by generation */
	size_t n;
	struct hb_buf seals;	  /* payload of the newest table */
	uint32_t seals_gen;	  /* its segment; 0: none */
	uint64_t last_seq;
	struct spool_entry **live;
	size_t nlive;
};

/* --- applying records in order --- */

static void
apply_message(struct replay *r, struct q_seg *seg, const struct q_rec_head *h,
    struct q_piece p)
{
	struct q_spool *s = r->s;
	struct spool_entry *m = q_index_find(&s->index, h->id);

	if (m != NULL) {
		/* A later record of an id replaces the earlier ones: a move
		 * does, and a new message can have the id of one whose FINISHED
		 * was copied forward past it. */
		uint32_t old = m->base.gen;

		q_pieces_dead(r->s, m);
		m->base = p;
		if (m->x != NULL)
			m->x->nchain = 0;
		q_entry_add_gen(m, old);
	} else {
		m = q_index_add(&s->index, h->id);
		m->state = SPOOL_LIVE;
		m->base = p;
	}
	q_seg_live(&s->segs, seg, p.total);
}

static void
apply_changes(struct replay *r, struct q_seg *seg, const struct q_rec_head *h,
    struct q_piece p)
{
	struct spool_entry *m = q_index_find(&r->s->index, h->id);

	if (m == NULL)
		return;
	q_entry_add_piece(m, p);
	q_entry_add_gen(m, seg->gen);
	q_seg_live(&r->s->segs, seg, p.total);
}

/* The sequence of a message's base; 0 when it cannot be read. */
static uint64_t
base_seq(struct q_spool *s, const struct spool_entry *m)
{
	struct q_seg *seg = q_seg_find(&s->segs, m->base.gen);
	unsigned char head[Q_REC_HEAD];
	struct q_rec_head h;
	int64_t got;

	if (seg == NULL || q_seg_fd(&s->segs, seg) < 0)
		return 0;
	got = s->io->pread(s->io->ctx, seg->fd, head, sizeof(head),
	    m->base.off);
	if (got < (int64_t)sizeof(head) ||
	    q_rec_head_decode(hb_span(head, sizeof(head)), seg->key, seg->gen,
		&h) < 0)
		return 0;
	return h.seq;
}

static void
apply_finished(struct replay *r, struct q_seg *seg, const struct q_rec_head *h,
    struct hb_span payload)
{
	struct q_spool *s = r->s;
	struct spool_entry *m = q_index_find(&s->index, h->id);
	struct q_finished f;

	if (q_finished_decode(payload, &f) < 0)
		return;
	for (size_t i = 0; i < f.ngens; i++)
		q_seg_depend(seg, q_u32_at(f.gens, i));
	/* copied forward: it speaks of an older message of that id */
	if (m != NULL && f.upto < h->seq && base_seq(s, m) > f.upto)
		return;
	if (m != NULL)
		q_spool_forget(s, m);
}

static void
apply(struct replay *r, struct q_seg *seg, const struct q_rec_head *h,
    uint32_t at, struct hb_span payload)
{
	struct q_piece p = { seg->gen, at, q_rec_total(h->len) };

	if (h->seq > r->last_seq)
		r->last_seq = h->seq;
	switch (h->type) {
	case Q_REC_MESSAGE:
	case Q_REC_MOVE:
		apply_message(r, seg, h, p);
		break;
	case Q_REC_CHANGES:
		apply_changes(r, seg, h, p);
		break;
	case Q_REC_FINISHED:
		apply_finished(r, seg, h, payload);
		break;
	case Q_REC_SEALS:
	case Q_REC_TYPES:
		break;
	}
}

/* --- walking a segment --- */

/* First whole and good record at or after FROM; in.n when none. */
static size_t
resync(const struct q_seg *seg, struct hb_span in, size_t from)
{
	size_t at = from;

	while ((at = q_rec_search(in, at, seg->gen)) < in.n) {
		struct hb_span rest = hb_span_from(in, at), payload;
		struct q_rec_head h;

		if (q_rec_head_decode(rest, seg->key, seg->gen, &h) == 0 &&
		    q_rec_check(rest, seg->key, &h, &payload) == 0)
			return at;
		at += Q_REC_ALIGN;
	}
	return in.n;
}

static void
damaged(struct replay *r, struct q_seg *seg, struct hb_span in, size_t at,
    size_t next)
{
	struct q_piece p = { seg->gen, (uint32_t)at, (uint32_t)(next - at) };
	struct hb_span bytes = hb_span_head(hb_span_from(in, at), next - at);
	char name[Q_CORRUPT_PATH];
	struct q_rec_head h = { .id = 0 };

	if (q_rec_head_decode(bytes, seg->key, seg->gen, &h) < 0)
		h.id = 0;
	r->s->damaged = true;
	q_set_aside(r->s, &p, h.id, bytes, name);
	r->s->cfg.ops->on_corrupt(r->s->cfg.ctx, h.id, name);
}

/* IN: the segment, up to its end when that is sealed. */
static void
walk(struct replay *r, struct q_seg *seg, struct hb_span in, bool sealed)
{
	size_t at = Q_SEG_START;

	while (at < in.n) {
		struct hb_span rest = hb_span_from(in, at), payload;
		struct q_rec_head h;
		size_t next, from = at + Q_REC_ALIGN;

		if (q_rec_head_decode(rest, seg->key, seg->gen, &h) == 0) {
			if (q_rec_check(rest, seg->key, &h, &payload) == 0) {
				apply(r, seg, &h, (uint32_t)at, payload);
				at += q_rec_total(h.len);
				continue;
			}
			if (q_rec_total(h.len) <= rest.n)
				from = at + q_rec_total(h.len);
		}
		next = resync(seg, in, from);
		if (next == in.n && !sealed)
			break; /* torn, or never written: the normal end */
		damaged(r, seg, in, at, next);
		at = next;
	}
	seg->tail = (uint32_t)at;
}

static int
read_segment(struct q_spool *s, struct q_seg *seg, size_t n,
    struct hb_buf *bytes)
{
	unsigned char *room;
	int64_t got;

	hb_buf_clear(bytes);
	if (q_seg_fd(&s->segs, seg) < 0 ||
	    hb_buf_reserve(bytes, n, &room) < 0)
		return HB_E_IO;
	got = s->io->pread(s->io->ctx, seg->fd, room, n, 0);
	if (got < 0)
		return HB_E_IO;
	hb_buf_added(bytes, (size_t)got);
	return 0;
}

static void
now_free(struct q_spool *s, struct q_seg *seg)
{
	seg->state = Q_SEG_FREE;
	seg->tail = Q_SEG_START;
	s->segs.nfree++;
}

static int
replay_segment(struct replay *r, struct q_seg *seg, struct hb_buf *bytes)
{
	struct q_spool *s = r->s;
	uint32_t end = seg->size;
	bool sealed = q_seals_find(hb_buf_span(&r->seals), seg->gen, &end);

	if (!sealed && seg->gen < r->seals_gen) {
		now_free(s, seg);
		return 0;
	}
	if (end > seg->size)
		end = seg->size;
	if (read_segment(s, seg, end, bytes) < 0)
		return HB_E_IO;
	walk(r, seg, hb_buf_span(bytes), sealed);
	if (seg->tail == Q_SEG_START) {
		now_free(s, seg);
		return 0;
	}
	seg->state = Q_SEG_SEALED;
	seg->sealed_ms = hb_mono_ms();
	s->segs.nsealed++;
	s->segs.total += seg->size - Q_SEG_START;
	return 0;
}

/* --- the order of segments --- */

static int
by_gen(const void *a, const void *b)
{
	const struct q_seg *x = *(struct q_seg *const *)a;
	const struct q_seg *y = *(struct q_seg *const *)b;

	return x->gen < y->gen ? -1 : x->gen > y->gen;
}

/* The first record of SEG, when it is a good table of seals. */
static bool
take_seals(struct replay *r, struct q_seg *seg, struct hb_buf *bytes)
{
	size_t n = Q_SEG_START + q_rec_total((uint32_t)(8 * (r->n + 1)));
	struct q_rec_head h;
	struct hb_span payload, in;

	if (read_segment(r->s, seg, n, bytes) < 0)
		return false;
	in = hb_span_from(hb_buf_span(bytes), Q_SEG_START);
	if (q_rec_head_decode(in, seg->key, seg->gen, &h) < 0 ||
	    h.type != Q_REC_SEALS)
		return false;
	n = Q_SEG_START + q_rec_total(h.len);
	if (n > bytes->n && read_segment(r->s, seg, n, bytes) < 0)
		return false;
	in = hb_span_from(hb_buf_span(bytes), Q_SEG_START);
	if (q_rec_check(in, seg->key, &h, &payload) < 0)
		return false;
	r->seals_gen = seg->gen;
	hb_buf_add(&r->seals, payload);
	return true;
}

/* --- handing over --- */

static int
by_place(const void *a, const void *b)
{
	const struct spool_entry *x = *(struct spool_entry *const *)a;
	const struct spool_entry *y = *(struct spool_entry *const *)b;

	if (x->base.gen != y->base.gen)
		return x->base.gen < y->base.gen ? -1 : 1;
	return x->base.off < y->base.off ? -1 : x->base.off > y->base.off;
}

static int
give_changes(struct replay *r, struct spool_entry *m, struct q_list list)
{
	const struct q_spool_cfg *cfg = &r->s->cfg;
	struct q_change_store store;
	struct q_change c;
	struct hb_span item;
	int n;

	while ((n = q_list_next(&list, &item)) > 0) {
		if (q_change_decode(item, &c, &store) < 0)
			return HB_E_CORRUPT;
		m->nrcpt += c.kind == Q_CHANGE_RCPT;
		cfg->ops->on_change(cfg->ctx, m->id, &c);
	}
	return n;
}

static int
give_message(struct replay *r, struct spool_entry *m, struct q_message *msg)
{
	const struct q_spool_cfg *cfg = &r->s->cfg;
	struct hb_rcpt *rcpts = hb_calloc(msg->rcpts.left, sizeof(*rcpts));
	struct q_list list = msg->rcpts;
	struct hb_span item;
	struct hb_env env;
	int n = hb_tlv_decode(&hb_env_record, msg->env, &env);
	size_t i = 0;

	while (n == 0 && q_list_next(&list, &item) > 0)
		n = hb_tlv_decode(&hb_rcpt_record, item, &rcpts[i++]);
	if (n < 0 || env.id != m->id ||
	    (msg->large && !q_large_is_there(r->s, m->id, msg->size))) {
		free(rcpts);
		return HB_E_CORRUPT;
	}
	m->nrcpt = (uint32_t)i;
	m->large = msg->large;
	cfg->ops->on_message(cfg->ctx, &env, rcpts, i);
	free(rcpts);
	return 0;
}

/* An update that cannot be read is lost alone. */
static void
give_chain(struct replay *r, struct spool_entry *m, struct hb_buf *bytes)
{
	struct hb_span payload;
	struct q_list list;

	for (uint32_t i = 0; m->x != NULL && i < m->x->nchain; i++)
		if (q_piece_read(r->s, &m->x->chain[i], m->id, bytes,
			&payload) < 0 ||
		    q_changes_decode(payload, &list) < 0 ||
		    give_changes(r, m, list) < 0)
			HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL,
			    hb_kv_str(HB_K_ACTION, "update"),
			    hb_kv_id(HB_K_MSG, m->id));
}

static void
give(struct replay *r, struct spool_entry *m, struct hb_buf *bytes)
{
	struct q_spool *s = r->s;
	char name[Q_CORRUPT_PATH];
	struct q_message msg;
	uint64_t id = m->id;
	int n = q_base_read(s, m, bytes, &msg);

	if (n == 0)
		n = give_message(r, m, &msg);
	if (n == HB_E_IO) {
		/* perhaps the next start can read it */
		HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL,
		    hb_kv_str(HB_K_ACTION, "read"), hb_kv_id(HB_K_MSG, id));
		return;
	}
	if (n < 0) {
		s->damaged = true;
		q_set_aside_piece(s, &m->base, id, name);
		q_spool_drop(s, m);
		s->cfg.ops->on_corrupt(s->cfg.ctx, id, name);
		return;
	}
	(void)give_changes(r, m, msg.changes);
	give_chain(r, m, bytes);
}

static void
give_all(struct replay *r)
{
	const struct hb_rows *ix = &r->s->index;
	struct hb_buf bytes = HB_BUF_INIT(0);

	r->live = hb_calloc(ix->n, sizeof(*r->live));
	for (struct spool_entry *m = hb_rows_next(ix, NULL); m != NULL;
	     m = hb_rows_next(ix, m))
		r->live[r->nlive++] = m;
	if (r->nlive > 0)
		qsort(r->live, r->nlive, sizeof(*r->live), by_place);
	for (size_t i = 0; i < r->nlive; i++)
		give(r, r->live[i], &bytes);
	hb_buf_free(&bytes);
	free(r->live);
}

static void
no_header(void *ctx, const char *path)
{
	struct q_spool *s = ctx;

	s->damaged = true;
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_str(HB_K_FILE, path),
	    hb_kv_int(HB_K_OFFSET, 0));
}

int
q_replay(struct q_spool *s)
{
	struct replay r = { .s = s };
	struct hb_buf bytes = HB_BUF_INIT(0);
	int err = q_segs_open(&s->segs, no_header);
	struct q_seg *seg, *tmp;

	if (err < 0)
		return err;
	r.segs = hb_calloc(s->segs.nseg, sizeof(*r.segs));
	HASH_ITER(hh, s->segs.by_gen, seg, tmp)
		r.segs[r.n++] = seg;
	if (r.n > 0)
		qsort(r.segs, r.n, sizeof(*r.segs), by_gen);
	for (size_t i = r.n; i-- > 0;)
		if (take_seals(&r, r.segs[i], &bytes))
			break;
	for (size_t i = 0; i < r.n && err == 0; i++)
		err = replay_segment(&r, r.segs[i], &bytes);
	hb_buf_free(&bytes);
	s->next_seq = s->durable_seq = r.last_seq + 1;
	if (err == 0)
		give_all(&r);
	HB_LOG(HB_LOG_INFO, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "replay"),
	    hb_kv_int(HB_K_COUNT, (int64_t)s->index.n),
	    hb_kv_int(HB_K_SEGMENT, (int64_t)r.n));
	hb_buf_free(&r.seals);
	free(r.segs);
	return err;
}
