/* Segment files.  Floor 3. */
#include "config.h"

#include "queue/spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum {
	SLICE = 1 << 20,	     /* zero-written in one job */
	MIN_SIZE = 1 << 20,
	MAX_SIZE = 16 << 20,
	FS_SHARE = 64,		     /* a segment is at most 1/64 of it */
	MAX_OPEN = 64,
	SPARE_FREE = 2		     /* free segments that are always kept */
};

void
q_seg_path(uint32_t number, char dst[Q_SEG_PATH])
{
	snprintf(dst, Q_SEG_PATH, "log/%08lx", (unsigned long)number);
}

uint32_t
q_seg_size_for(uint64_t total)
{
	uint32_t size = MAX_SIZE;

	while (size > MIN_SIZE && size > total / FS_SHARE)
		size /= 2;
	return size;
}

static uint64_t
capacity(const struct q_seg *seg)
{
	return seg->size - Q_SEG_START;
}

struct q_seg *
q_seg_find(const struct q_segs *s, uint32_t gen)
{
	struct q_seg *seg;

	HASH_FIND(hh, s->by_gen, &gen, sizeof(gen), seg);
	return seg;
}

static void
hash_add(struct q_segs *s, struct q_seg *seg)
{
	HASH_ADD(hh, s->by_gen, gen, sizeof(seg->gen), seg);
}

/* --- descriptors: a bounded number is open --- */

static void
close_fd(struct q_segs *s, struct q_seg *seg)
{
	if (seg->fd < 0)
		return;
	s->io->close(s->io->ctx, seg->fd);
	seg->fd = -1;
	s->nopen--;
}

int
q_seg_fd(struct q_segs *s, struct q_seg *seg)
{
	char path[Q_SEG_PATH];

	if (seg->fd >= 0)
		return seg->fd;
	if (s->nopen >= MAX_OPEN) {
		struct q_seg *other, *tmp;

		HASH_ITER(hh, s->by_gen, other, tmp)
			if (other->busy == 0 &&
			    (other->state == Q_SEG_SEALED ||
				other->state == Q_SEG_FREE))
				close_fd(s, other);
	}
	q_seg_path(seg->number, path);
	seg->fd = s->io->open(s->io->ctx, path, O_RDWR);
	if (seg->fd >= 0)
		s->nopen++;
	return seg->fd;
}

static void
free_seg(struct q_segs *s, struct q_seg *seg)
{
	close_fd(s, seg);
	hb_wipe(seg->key, sizeof(seg->key));
	free(seg->deps);
	free(seg);
}

/* --- opening --- */

struct open_ctx {
	struct q_segs *s;
	void (*odd)(void *ctx, const char *path);
	int err;
};

/* A file whose making was cut off holds no record: its header was durable
 * before the first.  All of it is read, for a disk may also lose the
 * beginning of one that holds mail. */
static bool
is_unused(struct q_segs *s, const struct q_seg *seg)
{
	static unsigned char part[65536];
	int64_t got, at = Q_SEG_START;

	do {
		got = s->io->pread(s->io->ctx, seg->fd, part, sizeof(part), at);
		for (int64_t i = 0; i < got; i++)
			if (part[i] != 0)
				return false;
		at += got;
	} while (got > 0);
	return got == 0;
}

static int
read_header(struct q_segs *s, struct q_seg *seg, struct q_header *h)
{
	unsigned char *head;
	int64_t size, got;
	int r;

	if (q_seg_fd(s, seg) < 0)
		return HB_E_IO;
	size = s->io->size(s->io->ctx, seg->fd);
	head = hb_malloc(Q_SEG_START);
	got = s->io->pread(s->io->ctx, seg->fd, head, Q_SEG_START, 0);
	r = got < 0 ? HB_E_IO
		    : q_header_decode(hb_span(head, (size_t)got), h);
	free(head);
	/* cut short: what is left is read, but it is not used again */
	seg->bad = r == 0 && size < (int64_t)h->size;
	if ((r == HB_E_CORRUPT || seg->bad) && is_unused(s, seg))
		return HB_E_NOTFOUND;
	if (r == 0 && (h->size < Q_SEG_START ||
	    q_seg_find(s, h->gen) != NULL))
		return HB_E_CORRUPT;
	return r;
}

static void
open_one(void *arg, const char *name)
{
	struct open_ctx *c = arg;
	struct q_segs *s = c->s;
	struct q_header h = { 0 };
	uint64_t number;
	struct q_seg *seg;
	char path[Q_SEG_PATH];
	int r;

	if (strlen(name) != 8 ||
	    hb_span_hex64(hb_span_str(name), &number) < 0)
		return;
	seg = HB_NEW(struct q_seg);
	seg->number = (uint32_t)number;
	seg->fd = -1;
	if (seg->number > s->last_number)
		s->last_number = seg->number;
	r = read_header(s, seg, &h);
	if (r < 0) {
		q_seg_path(seg->number, path);
		free_seg(s, seg);
		if (r == HB_E_CORRUPT)
			c->odd(s->ctx, path);
		else if (r == HB_E_NOTFOUND)
			s->io->unlink(s->io->ctx, path);
		else
			c->err = r;
		if (r == HB_E_UNSUPPORTED)
			s->format = h.format;
		return;
	}
	seg->gen = h.gen;
	seg->size = h.size;
	memcpy(seg->key, h.key, Q_KEY_SIZE);
	seg->state = Q_SEG_SEALED;
	seg->tail = Q_SEG_START;
	hash_add(s, seg);
	s->nseg++;
	if (seg->gen > s->last_gen)
		s->last_gen = seg->gen;
}

int
q_segs_open(struct q_segs *s, void (*odd)(void *ctx, const char *path))
{
	struct open_ctx c = { s, odd, 0 };
	int r = s->io->list(s->io->ctx, "log", open_one, &c);

	return r < 0 ? q_io_error(r) : c.err;
}

void
q_segs_close(struct q_segs *s)
{
	struct q_seg *seg, *tmp;

	HASH_ITER(hh, s->by_gen, seg, tmp) {
		HASH_DELETE(hh, s->by_gen, seg);
		free_seg(s, seg);
	}
}

/* making one ready: zeroes in slices, header, flush; all in the thread */

struct make_job {
	struct flush_task job;
	struct q_segs *s;
	struct q_seg *seg;
	struct q_header header;
	uint64_t zeroed; /* bytes; from size on: the header is next */
	bool fresh;
	int fd, r;
	char path[Q_SEG_PATH];
};

static int
write_zeroes(struct make_job *m)
{
	const struct q_io *io = m->s->io;
	uint64_t left = m->header.size - m->zeroed;
	size_t n = left < SLICE ? (size_t)left : SLICE;
	unsigned char *zero = hb_calloc(n, 1);
	int r;

	m->zeroed += n;
	r = io->pwrite(io->ctx, m->fd, hb_span(zero, n), m->zeroed - n);
	free(zero);
	return r;
}

static int
write_header(struct make_job *m)
{
	const struct q_io *io = m->s->io;
	unsigned char *head = hb_malloc(Q_SEG_START);
	int r;

	q_header_encode(&m->header, head);
	r = io->pwrite(io->ctx, m->fd, hb_span(head, Q_SEG_START), 0);
	hb_wipe(head, Q_SEG_START);
	free(head);
	if (r == 0)
		r = io->sync(io->ctx, m->fd);
	if (r == 0 && m->fresh)
		r = io->sync_dir(io->ctx, "log");
	return r;
}

static void
make_run(struct flush_task *j)
{
	struct make_job *m = (struct make_job *)(void *)j;

	if (m->zeroed < m->header.size) {
		m->r = write_zeroes(m);
		return;
	}
	m->zeroed++;
	m->r = write_header(m);
}

/* A new file that could not be made goes; an old one stays as it was but is
 * not trusted with new records again. */
static void
make_failed(struct make_job *m)
{
	struct q_segs *s = m->s;
	struct q_seg *seg = m->seg;

	s->error = q_io_error(m->r);
	if (m->fresh) {
		s->io->unlink(s->io->ctx, m->path);
		free_seg(s, seg);
		s->nseg--;
		return;
	}
	seg->state = Q_SEG_SEALED;
	seg->bad = true;
	s->nsealed++;
	s->total += capacity(seg);
}

static void
make_ready(struct make_job *m)
{
	struct q_segs *s = m->s;
	struct q_seg *seg = m->seg;

	if (!m->fresh)
		HASH_DELETE(hh, s->by_gen, seg);
	seg->gen = m->header.gen;
	memcpy(seg->key, m->header.key, Q_KEY_SIZE);
	seg->size = m->header.size;
	seg->tail = Q_SEG_START;
	seg->nlive = 0;
	seg->live = 0;
	q_seg_undepend(seg);
	hash_add(s, seg);
	seg->state = Q_SEG_READY;
	s->ready = seg;
	s->error = 0;
}

static void
make_done(struct flush_task *j)
{
	struct make_job *m = (struct make_job *)(void *)j;
	struct q_segs *s = m->s;

	if (m->r == 0 && m->zeroed <= m->header.size) {
		s->exec->submit(s->exec->ctx, &m->job);
		return;
	}
	s->making = NULL;
	s->jobs--;
	if (m->r < 0)
		make_failed(m);
	else
		make_ready(m);
	hb_wipe(&m->header, sizeof(m->header));
	free(m);
	s->changed(s->ctx);
}

static struct q_seg *
take_free(struct q_segs *s, uint32_t len)
{
	struct q_seg *seg, *tmp;

	HASH_ITER(hh, s->by_gen, seg, tmp)
		if (seg->state == Q_SEG_FREE && capacity(seg) >= len &&
		    q_seg_fd(s, seg) >= 0) {
			s->nfree--;
			return seg;
		}
	return NULL;
}

/* NULL when the file cannot be made: s->error says why. */
static struct q_seg *
new_seg(struct q_segs *s, uint32_t len, char path[Q_SEG_PATH])
{
	struct q_seg *seg = HB_NEW(struct q_seg);
	int r;

	seg->number = ++s->last_number;
	seg->size = s->size;
	if (capacity(seg) < len)
		seg->size = ((len + Q_SEG_START) / MIN_SIZE + 1) * MIN_SIZE;
	q_seg_path(seg->number, path);
	r = s->io->open(s->io->ctx, path, O_RDWR | O_CREAT | O_EXCL);
	if (r < 0) {
		s->error = q_io_error(r);
		free(seg);
		return NULL;
	}
	seg->fd = r;
	s->nopen++;
	s->nseg++;
	return seg;
}

void
q_segs_prepare(struct q_segs *s, uint32_t len)
{
	struct make_job *m;

	if (s->making != NULL ||
	    (s->ready != NULL && capacity(s->ready) >= len))
		return;
	if (s->ready != NULL) {
		/* too small for a giant record: it waits its turn */
		s->ready->state = Q_SEG_FREE;
		s->nfree++;
		s->ready = NULL;
	}
	m = HB_NEW(struct make_job);
	m->s = s;
	m->seg = take_free(s, len);
	m->fresh = m->seg == NULL;
	if (m->fresh)
		m->seg = new_seg(s, len, m->path);
	if (m->seg == NULL) {
		free(m);
		return;
	}
	m->seg->state = Q_SEG_MAKING;
	m->fd = m->seg->fd;
	m->header.gen = ++s->last_gen;
	m->header.size = m->seg->size;
	m->zeroed = m->fresh ? 0 : m->seg->size;
	hb_random(m->header.key, Q_KEY_SIZE);
	m->job.run = make_run;
	m->job.done = make_done;
	s->making = m->seg;
	s->jobs++;
	s->exec->submit(s->exec->ctx, &m->job);
}

void
q_segs_seal(struct q_segs *s, int64_t mono_ms)
{
	struct q_seg *seg = s->current;

	if (seg == NULL)
		return;
	seg->state = Q_SEG_SEALED;
	seg->sealed_ms = mono_ms;
	s->current = NULL;
	s->nsealed++;
	s->total += capacity(seg);
}

/* What the newest segment holds behind its end was never a good record, and
 * no table says where it ends. */
bool
q_segs_go_back(struct q_segs *s, uint32_t len)
{
	struct q_seg *last = NULL, *seg, *tmp;

	HASH_ITER(hh, s->by_gen, seg, tmp)
		if (last == NULL || seg->gen > last->gen)
			last = seg;
	if (s->current != NULL || s->ready != NULL || s->making != NULL ||
	    last == NULL || last->state != Q_SEG_SEALED || last->bad ||
	    last->size - last->tail < len)
		return false;
	last->state = Q_SEG_CURRENT;
	s->current = last;
	s->nsealed--;
	s->total -= capacity(last);
	return true;
}

void
q_segs_switch(struct q_segs *s, int64_t mono_ms)
{
	q_segs_seal(s, mono_ms);
	s->current = s->ready;
	s->ready = NULL;
	s->current->state = Q_SEG_CURRENT;
}

/* --- what is alive --- */

void
q_seg_live(struct q_segs *s, struct q_seg *seg, uint32_t total)
{
	seg->nlive++;
	seg->live += total;
	s->live += total;
}

void
q_seg_dead(struct q_segs *s, struct q_seg *seg, uint32_t total)
{
	HB_ASSERT(seg->nlive > 0 && seg->live >= total);
	seg->nlive--;
	seg->live -= total;
	s->live -= total;
}

void
q_seg_depend(struct q_seg *seg, uint32_t gen)
{
	if (gen == seg->gen)
		return;
	for (size_t i = 0; i < seg->ndeps; i++)
		if (seg->deps[i] == gen)
			return;
	seg->deps = hb_realloc(seg->deps,
	    (seg->ndeps + 1) * sizeof(*seg->deps));
	seg->deps[seg->ndeps++] = gen;
}

void
q_seg_undepend(struct q_seg *seg)
{
	free(seg->deps);
	seg->deps = NULL;
	seg->ndeps = 0;
}

bool
q_seg_is_pinned(const struct q_segs *s, struct q_seg *seg)
{
	size_t keep = 0;

	for (size_t i = 0; i < seg->ndeps; i++)
		if (q_seg_find(s, seg->deps[i]) != NULL)
			seg->deps[keep++] = seg->deps[i];
	seg->ndeps = keep;
	return keep > 0;
}

/* --- removal --- */

struct remove_job {
	struct flush_task job;
	struct q_segs *s;
	struct q_seg *seg;
	int r;
};

static void
remove_run(struct flush_task *j)
{
	struct remove_job *m = (struct remove_job *)(void *)j;
	const struct q_io *io = m->s->io;
	char path[Q_SEG_PATH];

	q_seg_path(m->seg->number, path);
	m->r = io->unlink(io->ctx, path);
	if (m->r == 0 || m->r == -ENOENT)
		m->r = io->sync_dir(io->ctx, "log");
}

/* A segment that cannot be removed for sure stays known, so that nothing
 * that keeps its records dead is given up. */
static void
remove_done(struct flush_task *j)
{
	struct remove_job *m = (struct remove_job *)(void *)j;
	struct q_segs *s = m->s;

	s->jobs--;
	if (m->r == 0) {
		HASH_DELETE(hh, s->by_gen, m->seg);
		free_seg(s, m->seg);
		s->nseg--;
	}
	free(m);
	s->changed(s->ctx);
}

static bool
is_odd(const struct q_segs *s, const struct q_seg *seg)
{
	return seg->bad || seg->size != s->size;
}

void
q_segs_collect(struct q_segs *s)
{
	size_t keep = SPARE_FREE + s->nsealed / 4;
	struct q_seg *seg, *tmp;

	HASH_ITER(hh, s->by_gen, seg, tmp) {
		if (seg->state == Q_SEG_SEALED && seg->nlive == 0 &&
		    seg->busy == 0 && !q_seg_is_pinned(s, seg)) {
			s->nsealed--;
			s->total -= capacity(seg);
			seg->state = Q_SEG_FREE;
			s->nfree++;
		}
		if (seg->state == Q_SEG_FREE &&
		    (is_odd(s, seg) || s->nfree > keep)) {
			s->nfree--;
			struct remove_job *m = HB_NEW(struct remove_job);

			seg->state = Q_SEG_GOING;
			*m = (struct remove_job){ { .run = remove_run,
				.done = remove_done }, s, seg, 0 };
			s->jobs++;
			s->exec->submit(s->exec->ctx, &m->job);
		}
	}
}

uint64_t
q_segs_room(const struct q_segs *s)
{
	uint64_t room = (uint64_t)s->nfree * (s->size - Q_SEG_START);

	if (s->current != NULL)
		room += s->current->size - s->current->tail;
	if (s->ready != NULL)
		room += capacity(s->ready);
	if (s->making != NULL)
		room += capacity(s->making);
	return room;
}
