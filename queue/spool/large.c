/*
 * Messages with a file of their own, large/ID.  Floor 3.  A file is checked in
 * slices, so that small messages are flushed in between.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/proto/wire.h"
#include "queue/spool/spool-priv.h"

enum { SLICE = 1 << 20 };

struct large_job {
	struct flush_task job;
	struct q_spool *s;
	uint64_t id, size, at;
	uint32_t crc, want;
	struct hb_wire wire;
	int fd, err; /* HB_E_* */
	struct q_rec *rec; /* to be appended; NULL: to be sent */
	struct hb_buf head; /* of one that is to be sent */
	q_content_fn cb;
	void *ctx;
};

void
q_large_path(uint64_t id, char dst[Q_LARGE_PATH])
{
	snprintf(dst, Q_LARGE_PATH, "large/%016llx", (unsigned long long)id);
}

static void
check_run(struct flush_task *j)
{
	struct large_job *l = (struct large_job *)(void *)j;
	const struct q_io *io = l->s->io;

	if (l->at == 0 &&
	    io->size(io->ctx, l->fd) != (int64_t)l->size) {
		l->err = HB_E_CORRUPT;
		return;
	}
	if (l->at < l->size) {
		uint64_t left = l->size - l->at;
		size_t n = left < SLICE ? (size_t)left : SLICE;
		unsigned char *bytes = hb_malloc(n);
		int64_t got = io->pread(io->ctx, l->fd, bytes, n, l->at);

		if (got < (int64_t)n) {
			l->err = got < 0 ? HB_E_IO : HB_E_CORRUPT;
		} else {
			l->crc = hb_crc32c(l->crc, hb_span(bytes, n));
			hb_wire_feed(&l->wire, hb_span(bytes, n));
		}
		l->at += n;
		free(bytes);
	}
	if (l->err == 0 && l->at >= l->size) {
		/* The writer may be a role that was broken into: the checksum
		 * is its own word. */
		if (l->crc != l->want ||
		    (hb_wire_end(&l->wire) & HB_WIRE_FAULTS) != 0)
			l->err = HB_E_CORRUPT;
		else if (l->rec != NULL && (io->sync(io->ctx, l->fd) < 0 ||
		    io->sync_dir(io->ctx, "large") < 0))
			l->err = HB_E_IO;
	}
}

static void
add_failed(struct large_job *l)
{
	struct spool_entry *m = q_index_find(&l->s->index, l->id);

	q_large_remove(l->s, l->id);
	if (m != NULL)
		q_index_remove(&l->s->index, m);
	if (l->rec->done != NULL)
		l->rec->done(l->rec->ctx, l->err);
	q_rec_free(l->rec);
}

static void
set_aside_large(struct q_spool *s, uint64_t id)
{
	char path[Q_LARGE_PATH], name[Q_CORRUPT_PATH];

	q_large_path(id, path);
	snprintf(name, sizeof(name), "corrupt/%016llx",
	    (unsigned long long)id);
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_id(HB_K_MSG, id),
	    hb_kv_str(HB_K_FILE, name));
	(void)s->io->rename(s->io->ctx, path, name);
}

static void
fetch_done(struct large_job *l)
{
	const struct q_io *io = l->s->io;
	struct spool_entry *m = q_index_find(&l->s->index, l->id);
	struct q_content c = { .fd = -1 };

	if (l->err == HB_E_CORRUPT)
		set_aside_large(l->s, l->id);
	if (m == NULL || m->state != SPOOL_LIVE)
		l->err = HB_E_NOTFOUND;
	if (l->err < 0)
		io->close(io->ctx, l->fd);
	else
		c = (struct q_content){ .head = hb_buf_span(&l->head),
			.fd = l->fd };
	l->cb(l->ctx, l->err, &c);
	hb_buf_free(&l->head);
}

static void
check_done(struct flush_task *j)
{
	struct large_job *l = (struct large_job *)(void *)j;
	struct q_spool *s = l->s;
	const char *fault = NULL;

	if (l->err == 0 && l->at < l->size) {
		s->cfg.exec->submit(s->cfg.exec->ctx, &l->job);
		return;
	}
	s->jobs--;
	if ((l->wire.seen & HB_WIRE_FAULTS) != 0)
		fault = hb_wire_fault(l->wire.seen);
	else if (l->err == HB_E_CORRUPT && l->rec != NULL)
		fault = "its size or checksum is not as announced";
	if (fault != NULL)
		HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_id(HB_K_MSG, l->id),
		    hb_kv_str(HB_K_ERROR, fault));
	if (l->rec == NULL) {
		fetch_done(l);
	} else {
		s->io->close(s->io->ctx, l->fd);
		if (l->err == 0)
			q_spool_append(s, l->rec);
		else
			add_failed(l);
	}
	free(l);
}

static void
start(struct q_spool *s, const struct large_job *from)
{
	struct large_job *l = HB_NEW(struct large_job);

	*l = *from;
	l->s = s;
	hb_wire_init(&l->wire);
	l->job.run = check_run;
	l->job.done = check_done;
	s->jobs++;
	s->cfg.exec->submit(s->cfg.exec->ctx, &l->job);
}

void
q_large_commit(struct q_spool *s, struct q_rec *r, int fd, uint64_t size,
    uint32_t crc)
{
	start(s, &(struct large_job){ .id = r->id, .size = size, .want = crc,
	    .fd = fd, .rec = r });
}

void
q_large_fetch(struct q_spool *s, struct spool_entry *m,
    const struct q_message *msg, q_content_fn cb, void *ctx)
{
	struct q_content none = { .fd = -1 };
	struct large_job l = { .id = m->id, .size = msg->size,
		.want = msg->crc, .head = HB_BUF_INIT(0), .cb = cb,
		.ctx = ctx };
	char path[Q_LARGE_PATH];

	q_large_path(m->id, path);
	l.fd = s->io->open(s->io->ctx, path, O_RDONLY);
	if (l.fd < 0) {
		cb(ctx, q_io_error(l.fd), &none);
		return;
	}
	hb_buf_add(&l.head, msg->head);
	start(s, &l);
}

/* --- creating and removing --- */

int
q_spool_large_create(struct q_spool *s, uint64_t id, int *fd)
{
	char path[Q_LARGE_PATH];

	if (q_index_find(&s->index, id) != NULL)
		return HB_E_EXISTS;
	if (q_spool_space(s) == 0)
		return HB_E_NOSPACE;
	q_large_path(id, path);
	*fd = s->io->open(s->io->ctx, path, O_WRONLY | O_CREAT | O_EXCL);
	return *fd < 0 ? q_io_error(*fd) : 0;
}

int
q_spool_kept_create(struct q_spool *s, uint64_t id, int *fd)
{
	char path[Q_LARGE_PATH];

	if (q_index_find(&s->index, id) != NULL)
		return HB_E_EXISTS;
	if (q_spool_space(s) == 0)
		return HB_E_NOSPACE;
	q_large_path(id, path);
	*fd = s->io->open(s->io->ctx, path, O_RDWR | O_CREAT | O_EXCL);
	if (*fd >= 0)
		(void)s->io->unlink(s->io->ctx, path);
	return *fd < 0 ? q_io_error(*fd) : 0;
}

struct unlink_job {
	struct flush_task job;
	struct q_spool *s;
	uint64_t id;
};

static void
unlink_run(struct flush_task *j)
{
	struct unlink_job *u = (struct unlink_job *)(void *)j;
	char path[Q_LARGE_PATH];

	q_large_path(u->id, path);
	u->s->io->unlink(u->s->io->ctx, path);
}

static void
unlink_done(struct flush_task *j)
{
	struct unlink_job *u = (struct unlink_job *)(void *)j;

	u->s->jobs--;
	free(u);
}

void
q_large_remove(struct q_spool *s, uint64_t id)
{
	struct unlink_job *u = HB_NEW(struct unlink_job);

	*u = (struct unlink_job){ { .run = unlink_run, .done = unlink_done },
		s, id };
	s->jobs++;
	s->cfg.exec->submit(s->cfg.exec->ctx, &u->job);
}

void
q_spool_large_discard(struct q_spool *s, uint64_t id)
{
	if (q_index_find(&s->index, id) == NULL)
		q_large_remove(s, id);
}

static void
remove_if_orphan(void *arg, const char *name)
{
	struct q_spool *s = arg;
	char path[Q_LARGE_PATH];
	struct spool_entry *m;
	uint64_t id;

	if (strlen(name) != 16 || hb_span_hex64(hb_span_str(name), &id) < 0)
		return;
	m = q_index_find(&s->index, id);
	if (m != NULL && m->large)
		return;
	/* its envelope may be what was damaged */
	if (s->damaged) {
		set_aside_large(s, id);
		return;
	}
	q_large_path(id, path);
	s->io->unlink(s->io->ctx, path);
}

void
q_large_remove_orphans(struct q_spool *s)
{
	(void)s->io->list(s->io->ctx, "large", remove_if_orphan, s);
}

bool
q_large_is_there(struct q_spool *s, uint64_t id, uint64_t size)
{
	char path[Q_LARGE_PATH];
	int64_t have;
	int fd;

	q_large_path(id, path);
	fd = s->io->open(s->io->ctx, path, O_RDONLY);
	if (fd < 0)
		return false;
	have = s->io->size(s->io->ctx, fd);
	s->io->close(s->io->ctx, fd);
	return have == (int64_t)size;
}
