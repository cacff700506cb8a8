/* The spool: adding and changing messages; its start, turns and end.  Floor
 * 3. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "queue/spool/spool-priv.h"

enum {
	WAITING_MAX = 64 << 20, /* bytes not on their way to the disk */
	SPACE_EVERY_MS = 1000
};

void
q_spool_turn(struct q_spool *s)
{
	q_read_wanted(s);
	if (hb_mono_ms() - s->avail_ms >= SPACE_EVERY_MS ||
	    q_space_is_reserved(s) != s->full)
		q_spool_space_look(s);
	q_space_prepare(s, 0);
	q_compact_step(s);
	q_batches_turn(s);
	if (s->full || s->segs.error != 0)
		q_spool_wake(s, SPACE_EVERY_MS);
}

/* --- what the scheduler asks --- */

static int
message_payload(const struct hb_env *env, const struct hb_rcpt *rcpts,
    size_t n, const struct q_body *body, struct hb_buf *out)
{
	struct q_message_info info = { body->large, body->crc,
		body->large ? body->size : body->bytes.n, body->head.n };
	struct hb_buf item = HB_BUF_INIT(0);
	struct q_message_writer w;
	int r = hb_tlv_encode(&hb_env_record, env, &item);

	if (r == 0)
		q_message_begin(&w, out, &info, hb_buf_span(&item));
	for (size_t i = 0; i < n && r == 0; i++) {
		hb_buf_clear(&item);
		r = hb_tlv_encode(&hb_rcpt_record, &rcpts[i], &item);
		q_message_item(&w, hb_buf_span(&item));
	}
	if (r == 0)
		q_message_changes(&w);
	for (size_t i = 0; i < body->nchanges && r == 0; i++) {
		hb_buf_clear(&item);
		r = q_change_encode(&body->changes[i], &item);
		q_message_item(&w, hb_buf_span(&item));
	}
	if (r == 0)
		q_message_end(&w, body->head,
		    body->large ? HB_SPAN_NONE : body->bytes);
	hb_buf_free(&item);
	return r;
}

static struct spool_entry *
new_message(struct q_spool *s, uint64_t id, size_t nrcpt, bool large)
{
	struct spool_entry *m = q_index_add(&s->index, id);

	m->nrcpt = (uint32_t)nrcpt;
	m->large = large;
	return m;
}

static int
open_large(struct q_spool *s, uint64_t id, int *fd)
{
	char path[Q_LARGE_PATH];

	q_large_path(id, path);
	*fd = s->io->open(s->io->ctx, path, O_RDONLY);
	return *fd < 0 ? q_io_error(*fd) : 0;
}

int
q_spool_add(struct q_spool *s, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n, const struct q_body *body,
    q_durable_fn done, void *ctx)
{
	size_t bytes = body->head.n + body->bytes.n;
	struct q_rec *rec;
	int fd = -1, r;

	if (q_index_find(&s->index, env->id) != NULL)
		return HB_E_EXISTS;
	if (bytes >= q_spool_space(s) ||
	    s->waiting_bytes + bytes > WAITING_MAX)
		return HB_E_NOSPACE;
	rec = q_rec_new(Q_REC_MESSAGE, env->id, done, ctx);
	r = message_payload(env, rcpts, n, body, &rec->payload);
	if (r == 0 && rec->payload.n > Q_REC_MAX)
		r = HB_E_RANGE;
	if (r == 0 && body->large)
		r = open_large(s, env->id, &fd);
	if (r < 0) {
		q_rec_free(rec);
		return r;
	}
	new_message(s, env->id, n, body->large);
	if (body->large)
		q_large_commit(s, rec, fd, body->size, body->crc);
	else
		q_spool_append(s, rec);
	return 0;
}

static bool
is_finish(const struct q_change *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (c[i].kind == Q_CHANGE_FINISHED)
			return true;
	return false;
}

static uint32_t
count_rcpts(const struct q_change *c, size_t n)
{
	uint32_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += c[i].kind == Q_CHANGE_RCPT;
	return count;
}

int
q_spool_change(struct q_spool *s, uint64_t id, const struct q_change *c,
    size_t n, q_durable_fn done, void *ctx)
{
	struct spool_entry *m = q_index_find(&s->index, id);
	struct q_rec *rec;
	int r = 0;

	if (m == NULL || m->state == SPOOL_DYING)
		return HB_E_NOTFOUND;
	if (m->state == SPOOL_NEW)
		return HB_E_STATE;
	rec = q_rec_new(Q_REC_CHANGES, id, done, ctx);
	if (is_finish(c, n)) {
		rec->type = Q_REC_FINISHED;
		m->state = SPOOL_DYING;
	} else {
		r = q_changes_encode(c, n, &rec->payload);
	}
	if (r < 0) {
		q_rec_free(rec);
		return HB_E_RANGE;
	}
	m->nrcpt += count_rcpts(c, n);
	q_spool_append(s, rec);
	return 0;
}

size_t
q_spool_count(const struct q_spool *s)
{
	return s->index.n;
}

/* --- life --- */

static int
make_folders(const struct q_io *io)
{
	static const char *const names[] = { "log", "large", "corrupt" };

	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++) {
		int r = io->mkdir(io->ctx, names[i]);

		if (r < 0 && q_io_error(r) != HB_E_EXISTS)
			return q_io_error(r);
	}
	return io->sync_dir(io->ctx, ".") < 0 ? HB_E_IO : 0;
}

static void
free_spool(struct q_spool **sp)
{
	struct q_spool *s = *sp;

	while (!TAILQ_EMPTY(&s->cache.list))
		q_cache_drop(&s->cache, TAILQ_FIRST(&s->cache.list)->m);
	q_index_free(&s->index);
	q_segs_close(&s->segs);
	hb_buf_free(&s->refold);
	q_mover_free(&s->mover);
	free(s);
	*sp = NULL;
}

static struct q_spool *
new_spool(const struct q_spool_cfg *cfg)
{
	struct q_spool *s = HB_NEW(struct q_spool);
	uint64_t total = 0;

	s->cfg = *cfg;
	s->io = cfg->io;
	STAILQ_INIT(&s->waiting);
	STAILQ_INIT(&s->closed);
	STAILQ_INIT(&s->wanted);
	TAILQ_INIT(&s->cache.list);
	hb_random(&s->index.salt, sizeof(s->index.salt));
	s->next_seq = s->durable_seq = 1;
	if (s->io->space(s->io->ctx, &s->avail, &total) < 0)
		s->avail = UINT64_MAX / 2;
	s->segs = (struct q_segs){ .io = s->io, .exec = cfg->exec, .ctx = s,
		.changed = q_space_changed, .size = cfg->segment_size };
	if (s->segs.size == 0)
		s->segs.size = q_seg_size_for(total);
	return s;
}

static void
say_refused(const struct q_spool *s, int r, struct hb_buf *err)
{
	if (r == HB_E_UNSUPPORTED)
		hb_buf_addf(err, "spool: written by another version (format "
		    "%lu, this version's is %d) and left as it is: let that "
		    "version run, save what waits with `hauberkctl export`, "
		    "stop it, move log and large out of the spool folder, "
		    "start this version and `hauberkctl import` the file",
		    (unsigned long)s->segs.format, Q_FORMAT);
	else
		hb_buf_addf(err, "spool: %s", hb_strerror(r));
}

struct q_spool *
q_spool_start(const struct q_spool_cfg *cfg, struct hb_buf *err)
{
	struct q_spool *s = new_spool(cfg);
	int r = make_folders(s->io);

	/* the tables of the CRC are made before two threads use them */
	(void)hb_crc32c(0, HB_SPAN("x"));
	if (r == 0)
		r = q_replay(s);
	if (r < 0) {
		say_refused(s, r, err);
		free_spool(&s);
		return NULL;
	}
	q_large_remove_orphans(s);
	q_segs_collect(&s->segs);
	q_segs_prepare(&s->segs, 0);
	q_spool_space_look(s);
	q_spool_wake(s, 0);
	return s;
}

void
q_spool_finish(struct q_spool **sp)
{
	q_batches_end(*sp);
	free_spool(sp);
}
