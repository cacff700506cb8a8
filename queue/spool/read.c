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

struct load {
	struct hb_arena *a;
	struct hb_rcpt *rcpts;
	size_t n, room;
};

static int
load_rcpt(struct load *l, struct hb_span in)
{
	if (l->n >= l->room)
		return HB_E_CORRUPT;
	in = hb_arena_span(l->a, in);
	return hb_tlv_decode(&hb_rcpt_record, in, &l->rcpts[l->n++]) < 0
		   ? HB_E_CORRUPT
		   : 0;
}

/* Where a recipient that is done has its copy. */
static void
load_place(struct load *l, const struct q_change *c)
{
	const struct hb_rcpt *r = hb_rcpt_find(l->rcpts, l->n, c->idx);

	if (r != NULL && c->route.n > 0)
		l->rcpts[r - l->rcpts].route = hb_arena_span(l->a, c->route);
}

static int
load_changes(struct load *l, struct q_list list)
{
	struct q_change_coded coded;
	struct q_change c;
	struct hb_span item;
	int r;

	while ((r = q_list_next(&list, &item)) > 0) {
		if (q_change_peek(item, &c, &coded) < 0)
			return HB_E_CORRUPT;
		if (c.kind == Q_CHANGE_RCPT && load_rcpt(l, coded.rcpt) < 0)
			return HB_E_CORRUPT;
		if (c.kind == Q_CHANGE_DONE)
			load_place(l, &c);
	}
	return r;
}

static int
load_payload(struct load *l, struct hb_span payload)
{
	struct q_list list;

	return q_changes_decode(payload, &list) < 0 ? HB_E_CORRUPT
						    : load_changes(l, list);
}

static int
load_chain(struct q_spool *s, const struct spool_entry *m, struct load *l)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct hb_span payload;
	int r = 0;

	for (uint32_t i = 0; m->x != NULL && i < m->x->nchain && r == 0; i++) {
		r = q_piece_read(s, &m->x->chain[i], m->id, &bytes, &payload);
		if (r == 0)
			r = load_payload(l, payload);
	}
	hb_buf_free(&bytes);
	return r;
}

static int
load_list(struct q_rec_list *list, uint64_t id, struct load *l)
{
	struct q_rec *rec;
	int r = 0;

	STAILQ_FOREACH(rec, list, link)
		if (rec->id == id && rec->type == Q_REC_CHANGES && r == 0)
			r = load_payload(l, hb_buf_span(&rec->payload));
	return r;
}

/* Updates that are on their way to the disk. */
static int
load_pending(struct q_spool *s, uint64_t id, struct load *l)
{
	struct spool_batch *b;
	int r = 0;

	if (s->flying != NULL)
		r = load_list(&s->flying->recs, id, l);
	STAILQ_FOREACH(b, &s->closed, link)
		if (r == 0)
			r = load_list(&b->recs, id, l);
	if (r == 0 && s->gather != NULL)
		r = load_list(&s->gather->recs, id, l);
	return r == 0 ? load_list(&s->waiting, id, l) : r;
}

static int
load_base(struct q_spool *s, const struct spool_entry *m, struct load *l,
    struct hb_env *env)
{
	struct hb_buf bytes = HB_BUF_INIT(0);
	struct q_message msg;
	struct hb_span item;
	int r = q_base_read(s, m, &bytes, &msg);

	if (r == 0 && hb_tlv_decode(&hb_env_record,
			  hb_arena_span(l->a, msg.env), env) < 0)
		r = HB_E_CORRUPT;
	while (r == 0 && (r = q_list_next(&msg.rcpts, &item)) > 0)
		r = load_rcpt(l, item);
	if (r == 0)
		r = load_changes(l, msg.changes);
	hb_buf_free(&bytes);
	return r;
}

static int
by_idx(const void *a, const void *b)
{
	const struct hb_rcpt *x = a, *y = b;

	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

/* A change that could not be written at first stands behind later ones. */
static void
sort_rcpts(struct load *l)
{
	for (size_t i = 1; i < l->n; i++)
		if (l->rcpts[i].idx < l->rcpts[i - 1].idx) {
			qsort(l->rcpts, l->n, sizeof(*l->rcpts), by_idx);
			return;
		}
}

int
q_spool_load(struct q_spool *s, uint64_t id, struct hb_arena *a,
    struct hb_env *env, struct hb_rcpt **rcpts, size_t *n)
{
	struct spool_entry *m = q_index_find(&s->index, id);
	struct load l = { .a = a };
	int r;

	if (m == NULL || m->state != SPOOL_LIVE)
		return HB_E_NOTFOUND;
	l.room = m->nrcpt;
	l.rcpts = hb_arena_alloc(a, l.room * sizeof(*l.rcpts));
	r = load_base(s, m, &l, env);
	if (r == 0)
		r = load_chain(s, m, &l);
	if (r == 0 && m->pending > 0)
		r = load_pending(s, id, &l);
	sort_rcpts(&l);
	*rcpts = l.rcpts;
	*n = l.n;
	return r;
}
