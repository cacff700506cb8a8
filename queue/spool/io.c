/* The system calls of the spool.  Floor 3. */
#include "config.h"

#include "queue/spool/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/file.h"

enum { FILE_MODE = 0600, DIR_MODE = 0700 };

struct real {
	int dirfd;
};

static int
root_of(void *ctx)
{
	return ((struct real *)ctx)->dirfd;
}

static int
result(int r)
{
	return r < 0 ? -errno : r;
}

static int
real_open(void *ctx, const char *path, int flags)
{
	return result(openat(root_of(ctx), path,
	    flags | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
}

static int
real_close(void *ctx, int fd)
{
	return result(close(fd));
}

static int64_t
real_pread(void *ctx, int fd, void *dst, size_t n, uint64_t at)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(fd, (unsigned char *)dst + got, n - got,
		    (off_t)(at + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (int64_t)got;
}

static int
real_pwrite(void *ctx, int fd, struct hb_span s, uint64_t at)
{
	while (s.n > 0) {
		ssize_t r = pwrite(fd, s.p, s.n, (off_t)at);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		s = hb_span_from(s, (size_t)r);
		at += (size_t)r;
	}
	return 0;
}

static int
real_sync(void *ctx, int fd)
{
	return result(fdatasync(fd));
}

static int
real_sync_dir(void *ctx, const char *path)
{
	int fd = openat(root_of(ctx), path,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = result(fsync(fd));
	close(fd);
	return r;
}

static int
real_rename(void *ctx, const char *from, const char *to)
{
	return result(renameat(root_of(ctx), from, root_of(ctx), to));
}

static int
real_unlink(void *ctx, const char *path)
{
	return result(unlinkat(root_of(ctx), path, 0));
}

static int
real_mkdir(void *ctx, const char *path)
{
	return result(mkdirat(root_of(ctx), path, DIR_MODE));
}

static int
real_list(void *ctx, const char *path,
    void (*name)(void *arg, const char *name), void *arg)
{
	int fd = openat(root_of(ctx), path,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return -ENOMEM;
	}
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			name(arg, e->d_name);
	closedir(d);
	return 0;
}

static int64_t
real_size(void *ctx, int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int
real_space(void *ctx, uint64_t *avail, uint64_t *total)
{
	struct statvfs v;

	if (fstatvfs(root_of(ctx), &v) < 0)
		return -errno;
	*avail = (uint64_t)v.f_bavail * v.f_frsize;
	*total = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}

int
q_io_open(struct q_io *io, const char *dir)
{
	struct real *real;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	real = HB_NEW(struct real);
	real->dirfd = fd;
	*io = (struct q_io){ real, real_open, real_close, real_pread,
		real_pwrite, real_sync, real_sync_dir, real_rename,
		real_unlink, real_mkdir, real_list, real_size, real_space };
	return 0;
}

void
q_io_close(struct q_io *io)
{
	close(root_of(io->ctx));
	free(io->ctx);
	io->ctx = NULL;
}

int
q_io_error(int64_t r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		return HB_E_NOSPACE;
	case -ENOENT:
		return HB_E_NOTFOUND;
	case -EEXIST:
		return HB_E_EXISTS;
	default:
		return HB_E_IO;
	}
}

int
q_write_all(int fd, struct hb_span s)
{
	int r = hb_write_all(fd, s);

	if (r == 0)
		return 0;
	HB_LOG(HB_LOG_ERROR, HB_EV_SPOOL, hb_kv_str(HB_K_ACTION, "write"),
	    hb_kv_str(HB_K_ERROR, strerror(-r)));
	return q_io_error(r);
}
