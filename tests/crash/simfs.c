/* A file system in memory that can lose what was not flushed. */
#include "config.h"

#include "tests/crash/simfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"

enum { MAX_FILES = 512, MAX_FDS = 1024, NAME = 48, SECTOR = 512 };

struct write {
	struct write *next;
	size_t at, n;
	unsigned char bytes[];
};

struct file {
	char now[NAME], disk[NAME]; /* names; "": none */
	struct hb_buf live, durable;
	struct write *first, **last; /* not flushed */
};

struct sim {
	struct q_io io;
	struct file *files[MAX_FILES];
	size_t nfiles;
	struct file *fds[MAX_FDS];
	unsigned ops, crash_at, fail_at;
	int fail_err;
	bool crashed, full;
	uint64_t avail;
};

/* 0: go on; else what the call returns. */
static int
count_op(struct sim *s)
{
	if (s->crashed)
		return -EIO;
	s->ops++;
	if (s->ops == s->crash_at)
		s->crashed = true;
	return s->ops == s->fail_at ? s->fail_err : 0;
}

static struct file *
find(struct sim *s, const char *path)
{
	for (size_t i = 0; i < s->nfiles; i++)
		if (strcmp(s->files[i]->now, path) == 0)
			return s->files[i];
	return NULL;
}

static struct file *
new_file(struct sim *s)
{
	struct file *f = HB_NEW(struct file);

	HB_ASSERT(s->nfiles < MAX_FILES);
	f->last = &f->first;
	s->files[s->nfiles++] = f;
	return f;
}

static void
drop_writes(struct file *f)
{
	while (f->first != NULL) {
		struct write *w = f->first;

		f->first = w->next;
		free(w);
	}
	f->last = &f->first;
}

static int
sim_open(void *ctx, const char *path, int flags)
{
	struct sim *s = ctx;
	struct file *f = find(s, path);
	int r, fd = 3;

	if (s->crashed)
		return -EIO;
	if (f == NULL && (flags & O_CREAT) == 0)
		return -ENOENT;
	if (f != NULL && (flags & O_EXCL) != 0)
		return -EEXIST;
	if (f == NULL) {
		r = s->full ? -ENOSPC : count_op(s);
		if (r < 0)
			return r;
		f = new_file(s);
		snprintf(f->now, NAME, "%s", path);
	}
	while (s->fds[fd] != NULL)
		fd++;
	HB_ASSERT(fd < MAX_FDS);
	s->fds[fd] = f;
	return fd;
}

static int
sim_close(void *ctx, int fd)
{
	struct sim *s = ctx;

	HB_ASSERT(s->fds[fd] != NULL);
	s->fds[fd] = NULL;
	return 0;
}

static int64_t
sim_pread(void *ctx, int fd, void *dst, size_t n, uint64_t at)
{
	struct sim *s = ctx;
	struct hb_span in = hb_span_from(hb_buf_span(&s->fds[fd]->live), at);

	if (s->crashed)
		return -EIO;
	in = hb_span_head(in, n);
	if (in.n > 0)
		memcpy(dst, in.p, in.n);
	return (int64_t)in.n;
}

static void
put(struct hb_buf *b, struct hb_span bytes, size_t at)
{
	static const unsigned char zero[4096];

	while (b->n < at + bytes.n)
		hb_buf_add(b, hb_span_head(hb_span(zero, sizeof(zero)),
		    at + bytes.n - b->n));
	if (bytes.n > 0)
		memcpy(b->p + b->off + at, bytes.p, bytes.n);
}

static int
sim_pwrite(void *ctx, int fd, struct hb_span bytes, uint64_t at)
{
	struct sim *s = ctx;
	struct file *f = s->fds[fd];
	struct write *w;
	int r = count_op(s);

	if (r == 0 && s->full && at + bytes.n > f->live.n)
		r = -ENOSPC;
	if (r < 0)
		return r;
	w = hb_malloc(sizeof(*w) + bytes.n);
	*w = (struct write){ NULL, at, bytes.n };
	memcpy(w->bytes, bytes.p, bytes.n);
	*f->last = w;
	f->last = &w->next;
	put(&f->live, bytes, at);
	return s->crashed ? -EIO : 0;
}

static int
sim_sync(void *ctx, int fd)
{
	struct sim *s = ctx;
	struct file *f = s->fds[fd];
	int r = count_op(s);

	if (r < 0 || s->crashed)
		return r < 0 ? r : -EIO;
	for (struct write *w = f->first; w != NULL; w = w->next)
		put(&f->durable, hb_span(w->bytes, w->n), w->at);
	drop_writes(f);
	return 0;
}

static bool
is_in(const char *name, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(name, folder, n) == 0 && name[n] == '/';
}

static int
sim_sync_dir(void *ctx, const char *path)
{
	struct sim *s = ctx;
	int r = count_op(s);

	if (r < 0 || s->crashed)
		return r < 0 ? r : -EIO;
	for (size_t i = 0; i < s->nfiles; i++)
		if (is_in(s->files[i]->now, path) ||
		    is_in(s->files[i]->disk, path))
			memcpy(s->files[i]->disk, s->files[i]->now, NAME);
	return 0;
}

static int
sim_rename(void *ctx, const char *from, const char *to)
{
	struct sim *s = ctx;
	struct file *f = find(s, from);
	int r = count_op(s);

	if (r < 0)
		return r;
	if (f == NULL)
		return -ENOENT;
	snprintf(f->now, NAME, "%s", to);
	return 0;
}

static int
sim_unlink(void *ctx, const char *path)
{
	struct sim *s = ctx;
	struct file *f = find(s, path);
	int r = count_op(s);

	if (r < 0)
		return r;
	if (f == NULL)
		return -ENOENT;
	memset(f->now, 0, NAME);
	return 0;
}

static int
sim_mkdir(void *ctx, const char *path)
{
	return 0;
}

static int
sim_list(void *ctx, const char *path,
    void (*name)(void *arg, const char *name), void *arg)
{
	struct sim *s = ctx;

	for (size_t i = 0; i < s->nfiles; i++)
		if (is_in(s->files[i]->now, path))
			name(arg, s->files[i]->now + strlen(path) + 1);
	return 0;
}

static int64_t
sim_size(void *ctx, int fd)
{
	struct sim *s = ctx;

	return (int64_t)s->fds[fd]->live.n;
}

static int
sim_space(void *ctx, uint64_t *avail, uint64_t *total)
{
	struct sim *s = ctx;

	*avail = s->avail;
	*total = UINT64_C(1) << 30;
	return 0;
}

struct sim *
sim_new(void)
{
	struct sim *s = HB_NEW(struct sim);

	s->avail = UINT64_C(1) << 29;
	s->io = (struct q_io){ s, sim_open, sim_close, sim_pread, sim_pwrite,
		sim_sync, sim_sync_dir, sim_rename, sim_unlink, sim_mkdir,
		sim_list, sim_size, sim_space };
	return s;
}

void
sim_free(struct sim **sp)
{
	struct sim *s = *sp;

	for (size_t i = 0; i < s->nfiles; i++) {
		drop_writes(s->files[i]);
		hb_buf_free(&s->files[i]->live);
		hb_buf_free(&s->files[i]->durable);
		free(s->files[i]);
	}
	free(s);
	*sp = NULL;
}

/* --- what is left --- */

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void
keep_sectors(struct hb_buf *out, const struct write *w, uint32_t *seed)
{
	for (size_t i = 0; i < w->n;) {
		size_t n = SECTOR - (w->at + i) % SECTOR;

		if (n > w->n - i)
			n = w->n - i;
		if (next_random(seed) % 2 != 0)
			put(out, hb_span(w->bytes + i, n), w->at + i);
		i += n;
	}
}

static void
keep_write(struct hb_buf *out, const struct write *w, enum sim_loss loss,
    uint32_t *seed)
{
	size_t n = w->n;

	if (loss == SIM_SECTORS) {
		keep_sectors(out, w, seed);
		return;
	}
	if (loss == SIM_TEAR_LAST && w->next == NULL && n > 0)
		n = next_random(seed) % n;
	put(out, hb_span(w->bytes, n), w->at);
}

static void
keep_file(struct sim *to, const struct file *f, enum sim_loss loss,
    uint32_t *seed)
{
	bool renamed = loss == SIM_KEEP_ALL ||
	    (loss != SIM_LOSE_ALL && next_random(seed) % 2 != 0);
	const char *name = renamed ? f->now : f->disk;
	struct file *copy;

	if (name[0] == '\0')
		return;
	copy = new_file(to);
	memcpy(copy->now, name, NAME);
	memcpy(copy->disk, name, NAME);
	hb_buf_add(&copy->durable, hb_buf_span(&f->durable));
	for (const struct write *w = f->first;
	     w != NULL && loss != SIM_LOSE_ALL; w = w->next)
		keep_write(&copy->durable, w, loss, seed);
	hb_buf_add(&copy->live, hb_buf_span(&copy->durable));
}

struct sim *
sim_after_crash(const struct sim *s, enum sim_loss loss, uint32_t seed)
{
	struct sim *to = sim_new();

	for (size_t i = 0; i < s->nfiles; i++)
		keep_file(to, s->files[i], loss, &seed);
	return to;
}

struct q_io *
sim_io(struct sim *s)
{
	return &s->io;
}

void
sim_crash_at(struct sim *s, unsigned op)
{
	s->crash_at = op;
}

void
sim_fail_at(struct sim *s, unsigned op, int err)
{
	s->fail_at = op;
	s->fail_err = err;
}

unsigned
sim_ops(const struct sim *s)
{
	return s->ops;
}

bool
sim_has_crashed(const struct sim *s)
{
	return s->crashed;
}

void
sim_set_avail(struct sim *s, uint64_t avail)
{
	s->avail = avail;
}

void
sim_set_full(struct sim *s, bool full)
{
	s->full = full;
}

size_t
sim_count(const struct sim *s, const char *folder)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nfiles; i++)
		n += is_in(s->files[i]->now, folder);
	return n;
}

struct hb_buf *
sim_bytes(struct sim *s, const char *path)
{
	struct file *f = find(s, path);

	return f != NULL ? &f->live : NULL;
}
