/* Reading the spool back: bodies, envelopes, and damaged records.  Floor 3. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"

enum { HEAVY = 64 << 10 /* bytes before a header section */ };

/* P's bytes as they are on the disk. */
static int
read_raw(struct q_spool *s, const struct q_piece *p, struct hb_buf *bytes,
    struct q_seg **seg)
{
	unsigned char *room;
	int64_t got;

	*seg = q_seg_find(&s->segs, p->gen);
	if (*seg == NULL)
		return HB_E_NOTFOUND;
	if (q_seg_fd(&s->segs, *seg) < 0)
		return HB_E_IO;
	hb_buf_clear(bytes);
	if (hb_buf_reserve(bytes, p->total, &room) < 0)
		return HB_E_LIMIT;
	got = s->io->pread(s->io->ctx, (*seg)->fd, room, p->total, p->off);
	if (got < 0)
		return HB_E_IO;
	hb_buf_added(bytes, (size_t)got);
	return 0;
}

int
q_piece_read(struct q_spool *s, const struct q_piece *p, uint64_t id,
    struct hb_buf *bytes, struct hb_span *payload)
{
	struct q_rec_head h;
	struct q_seg *seg;
	int r = read_raw(s, p, bytes, &seg);

	if (r < 0)
		return r;
	if (q_rec_head_decode(hb_buf_span(bytes), seg->key, p->gen, &h) < 0 ||
	    h.id != id || q_rec_total(h.len) != p->total ||
	    q_rec_check(hb_buf_span(bytes), seg->key, &h, payload) < 0)
		return HB_E_CORRUPT;
	return 0;
}

int
q_base_read(struct q_spool *s, const struct spool_entry *m,
    struct hb_buf *bytes, struct q_message *out)
{
	struct hb_span payload;
	int r;

	if (m->cached != NULL && !m->cached->content)
		return q_message_decode(hb_buf_span(&m->cached->payload), out);
	r = q_piece_read(s, &m->base, m->id, bytes, &payload);
	return r < 0 ? r : q_message_decode(payload, out);
}

int
q_base_own(struct q_spool *s, const struct spool_entry *m,
    struct hb_buf *bytes, struct q_message *out)
{
	if (m->cached == NULL || m->cached->content)
		return q_base_read(s, m, bytes, out);
	hb_buf_clear(bytes);
	hb_buf_add(bytes, hb_buf_span(&m->cached->payload));
	return q_message_decode(hb_buf_span(bytes), out);
}

/* --- damage --- */

void
q_set_aside(struct q_spool *s, const struct q_piece *p, uint64_t id,
    struct hb_span bytes, char name[Q_CORRUPT_PATH])
{
	struct q_seg *seg = q_seg_find(&s->segs, p->gen);
	int fd;

	snprintf(name, Q_CORRUPT_PATH, "corrupt/%08lx-%08lx",
	    (unsigned long)p->gen, (unsigned long)p->off);
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_if(id != 0,
	    hb_kv_id(HB_K_MSG, id)), hb_kv_str(HB_K_FILE, name),
	    hb_kv_int(HB_K_SEGMENT, seg != NULL ? seg->number : 0),
	    hb_kv_int(HB_K_OFFSET, p->off),
	    hb_kv_int(HB_K_SIZE, (int64_t)bytes.n));
	fd = s->io->open(s->io->ctx, name, O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return; /* there from an earlier start, or no room */
	(void)s->io->pwrite(s->io->ctx, fd, bytes, 0);
	(void)s->io->sync(s->io->ctx, fd);
	s->io->close(s->io->ctx, fd);
}

void
q_set_aside_piece(struct q_spool *s, const struct q_piece *p, uint64_t id,
    char name[Q_CORRUPT_PATH])
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct q_seg *seg;

	if (read_raw(s, p, &bytes, &seg) < 0)
		hb_buf_clear(&bytes);
	q_set_aside(s, p, id, hb_buf_span(&bytes), name);
	hb_buf_free(&bytes);
}

/* --- header sections and bodies --- */

/* One job of many asks for a message with many recipients: it is kept without
 * them. */
static void
keep_content(
    struct q_spool *s, struct spool_entry *m, const struct q_message *msg)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct q_cached *c;

	if (msg->head.n + msg->body.n > s->cfg.cache_bytes / 4)
		return;
	hb_buf_add(&bytes, msg->head);
	hb_buf_add(&bytes, msg->body);
	q_cache_drop(&s->cache, m);
	c = q_cache_put(&s->cache, m, &bytes);
	c->content = true;
	c->info = (struct q_message_info){ msg->large, msg->crc, msg->size,
		msg->head.n };
	q_cache_trim(&s->cache, s->cfg.cache_bytes);
}

static bool
take_kept(const struct spool_entry *m, struct q_message *msg)
{
	const struct q_cached *c = m->cached;
	struct hb_span bytes;

	if (c == NULL || !c->content)
		return false;
	bytes = hb_buf_span(&c->payload);
	*msg = (struct q_message){ .large = c->info.large,
		.crc = c->info.crc, .size = c->info.size,
		.head = hb_span_head(bytes, c->info.head),
		.body = hb_span_from(bytes, c->info.head) };
	return true;
}

static void
read_content(struct q_spool *s, uint64_t id, q_content_fn cb, void *ctx)
{
	struct spool_entry *m = q_index_find(&s->index, id);
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct q_content c = { .fd = -1 };
	char name[Q_CORRUPT_PATH];
	struct q_message msg;
	int r;

	if (m == NULL || m->state != SPOOL_LIVE) {
		cb(ctx, HB_E_NOTFOUND, &c);
		return;
	}
	r = take_kept(m, &msg) ? 0 : q_base_read(s, m, &bytes, &msg);
	if (r == 0 && msg.head_at > HEAVY) {
		keep_content(s, m, &msg);
		(void)take_kept(m, &msg);
	}
	if (r == HB_E_CORRUPT)
		q_set_aside_piece(s, &m->base, id, name);
	if (r == 0 && msg.large) {
		q_large_fetch(s, m, &msg, cb, ctx);
	} else {
		if (r == 0)
			c = (struct q_content){ msg.head, msg.body, -1 };
		cb(ctx, r, &c);
	}
	hb_buf_free(&bytes);
}

void
q_spool_content(struct q_spool *s, uint64_t id, q_content_fn cb, void *ctx)
{
	struct spool_wanted *w = HB_NEW(struct spool_wanted);

	*w = (struct spool_wanted){ .id = id, .cb = cb, .ctx = ctx };
	STAILQ_INSERT_TAIL(&s->wanted, w, link);
	s->cfg.wake(s->cfg.wake_ctx, 0);
}

void
q_read_wanted(struct q_spool *s)
{
	struct spool_wanted_list now = STAILQ_HEAD_INITIALIZER(now);
	struct spool_wanted *w;

	STAILQ_CONCAT(&now, &s->wanted);
	while ((w = STAILQ_FIRST(&now)) != NULL) {
		STAILQ_REMOVE_HEAD(&now, link);
		read_content(s, w->id, w->cb, w->ctx);
		free(w);
	}
}

/* --- envelopes --- */

struct q_load {
	struct q_spool *s;
	uint64_t id;
	struct hb_arena *a;
	bool begun;
	struct q_piece base;
	uint32_t nchain;      /* updates that were read */
	struct hb_buf bytes;  /* of the base, then of an update */
	struct q_list list;   /* what is left in BYTES */
	bool at_base;	      /* LIST has recipients, CHANGES is next */
	struct q_list changes;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t n, room;
	bool mixed; /* the numbers are not in order: a change that could not
		       be written at first stands behind later ones */
};

static int
load_rcpt(struct q_load *l, struct hb_span in)
{
	struct hb_rcpt *r = &l->rcpts[l->n];

	if (l->n >= l->room ||
	    hb_tlv_decode(&hb_rcpt_record, hb_arena_span(l->a, in), r) < 0)
		return HB_E_CORRUPT;
	l->mixed |= l->n > 0 && r->idx < r[-1].idx;
	l->n++;
	return 0;
}

/* Where a recipient that is done, or waits for its DSN, has its copy. */
static void
load_place(struct q_load *l, const struct q_change *c)
{
	const struct hb_rcpt *r = hb_rcpt_find(l->rcpts, l->n, c->idx);

	if (r != NULL && c->route.n > 0)
		l->rcpts[r - l->rcpts].route = hb_arena_span(l->a, c->route);
}

static int
load_change(struct q_load *l, struct hb_span item)
{
	struct q_change_coded coded;
	struct q_change c;

	if (q_change_peek(item, &c, &coded) < 0)
		return HB_E_CORRUPT;
	load_place(l, &c);
	return c.kind == Q_CHANGE_RCPT ? load_rcpt(l, coded.rcpt) : 0;
}

static int
load_list(struct q_rec_list *list, struct q_load *l)
{
	struct hb_span item;
	struct q_rec *rec;
	int r = 0;

	STAILQ_FOREACH(rec, list, link) {
		if (rec->id != l->id || rec->type != Q_REC_CHANGES || r < 0)
			continue;
		r = q_changes_decode(hb_buf_span(&rec->payload), &l->list);
		while (r == 0 && (r = q_list_next(&l->list, &item)) > 0)
			r = load_change(l, item);
	}
	return r;
}

/* Updates that are on their way to the disk. */
static int
load_pending(struct q_load *l)
{
	struct q_spool *s = l->s;
	struct spool_batch *b;
	int r = 0;

	if (s->flying != NULL)
		r = load_list(&s->flying->recs, l);
	STAILQ_FOREACH(b, &s->closed, link)
		if (r == 0)
			r = load_list(&b->recs, l);
	if (r == 0 && s->gather != NULL)
		r = load_list(&s->gather->recs, l);
	return r == 0 ? load_list(&s->waiting, l) : r;
}

static int
load_base(struct q_load *l, const struct spool_entry *m)
{
	struct q_message msg;
	int r = q_base_own(l->s, m, &l->bytes, &msg);

	l->begun = l->at_base = true;
	l->base = m->base;
	l->room = m->nrcpt;
	l->rcpts = hb_arena_alloc(l->a, l->room * sizeof(*l->rcpts));
	if (r < 0)
		return r;
	l->list = msg.rcpts;
	l->changes = msg.changes;
	return hb_tlv_decode(&hb_env_record, hb_arena_span(l->a, msg.env),
	    &l->env) < 0 ? HB_E_CORRUPT : 0;
}

/* 1: the next list can be read; 0: there is none. */
static int
next_list(struct q_load *l, const struct spool_entry *m)
{
	struct hb_span payload;
	int r;

	if (l->at_base) {
		l->at_base = false;
		l->list = l->changes;
		return 1;
	}
	if (m->x == NULL || l->nchain == m->x->nchain)
		return 0;
	r = q_piece_read(l->s, &m->x->chain[l->nchain++], l->id, &l->bytes,
	    &payload);
	if (r == 0)
		r = q_changes_decode(payload, &l->list);
	return r < 0 ? r : 1;
}

/* 1: that was one more; 0: there is none. */
static int
load_item(struct q_load *l, const struct spool_entry *m)
{
	struct hb_span item;
	int r = q_list_next(&l->list, &item);

	if (r == 0)
		return next_list(l, m);
	if (r > 0)
		r = l->at_base ? load_rcpt(l, item) : load_change(l, item);
	return r < 0 ? r : 1;
}

static int
by_idx(const void *a, const void *b)
{
	const struct hb_rcpt *x = a, *y = b;

	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

static int
load_end(struct q_load *l, const struct spool_entry *m)
{
	int r = m->pending > 0 ? load_pending(l) : 0;

	if (l->mixed)
		qsort(l->rcpts, l->n, sizeof(*l->rcpts), by_idx);
	return r < 0 ? r : 1;
}

struct q_load *
q_load_new(struct q_spool *s, uint64_t id, struct hb_arena *a)
{
	struct q_load *l = HB_NEW(struct q_load);

	*l = (struct q_load){ .s = s, .id = id, .a = a,
		.bytes = HB_BUF_INIT(0) };
	return l;
}

void
q_load_free(struct q_load **lp)
{
	if (*lp == NULL)
		return;
	hb_buf_free(&(*lp)->bytes);
	free(*lp);
	*lp = NULL;
}

int
q_load_some(struct q_load *l, size_t most)
{
	struct spool_entry *m = q_index_find(&l->s->index, l->id);
	int r = 1;

	if (m == NULL || m->state != SPOOL_LIVE)
		return HB_E_NOTFOUND;
	if (!l->begun)
		return load_base(l, m);
	if (m->base.gen != l->base.gen || m->base.off != l->base.off ||
	    m->nrcpt != l->room)
		return HB_E_STATE;
	for (; r > 0 && most > 0; most--)
		r = load_item(l, m);
	if (r == 0)
		return load_end(l, m);
	return r < 0 ? r : 0;
}

void
q_load_result(const struct q_load *l, struct hb_env *env,
    struct hb_rcpt **rcpts, size_t *n)
{
	*env = l->env;
	*rcpts = l->rcpts;
	*n = l->n;
}

int
q_spool_load(struct q_spool *s, uint64_t id, struct hb_arena *a,
    struct hb_env *env, struct hb_rcpt **rcpts, size_t *n)
{
	struct q_load *l = q_load_new(s, id, a);
	int r;

	while ((r = q_load_some(l, SIZE_MAX)) == 0)
		continue;
	q_load_result(l, env, rcpts, n);
	q_load_free(&l);
	return r < 0 ? r : 0;
}
