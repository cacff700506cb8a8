/* Maildir.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local/box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/mem.h"

/* Makes PATH and the folders above it; those that are there stay as they
 * are.  0 or -errno. */
static int
make_folders(const char *path)
{
	char *copy = hb_strdup(path);
	int r = 0;

	for (char *p = copy + 1; r == 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			r = -errno;
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	return r;
}

static int
not_ours(const struct stat *st, const char *path, const char *sub,
    struct hb_buf *text)
{
	hb_buf_addf(text, "%s%s belongs to uid %u, and mail is written as uid "
	    "%u", path, sub, (unsigned)st->st_uid, (unsigned)geteuid());
	return -EPERM;
}

/* Opens the Maildir.  It may be a link of its owner's, but not of others who
 * may write where it lies.  A descriptor or -errno. */
static int
open_top(const char *path, struct hb_buf *text)
{
	struct stat st;
	int fd, r = 0;

	if (mkdir(path, 0700) != 0 && errno == ENOENT)
		r = make_folders(path);
	if (r < 0)
		return r;
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) &&
	    !local_is_ours(&st))
		return not_ours(&st, path, " (a symbolic link)", text);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		r = -errno;
	else if (!local_is_ours(&st))
		r = not_ours(&st, path, "", text);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* Opens PATH/SUB, made if need be: a folder, no link, and ours. */
static int
open_sub(int top, const char *path, const char *sub, struct hb_buf *text)
{
	struct stat st;
	int fd, r = 0;

	if (mkdirat(top, sub + 1, 0700) != 0 && errno != EEXIST)
		r = -errno;
	fd = r < 0 ? r : openat(top, sub + 1, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		r = r < 0 ? r : -errno;
	else if (fstat(fd, &st) != 0)
		r = -errno;
	else if (!local_is_ours(&st))
		r = not_ours(&st, path, sub, text);
	if (r < 0 && text->n == 0)
		hb_buf_addf(text, "%s%s: %s", path, sub, strerror(-r));
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

enum { TOP, TMP, NEW, CUR, FOLDERS };

static int
open_folders(const char *path, int fds[FOLDERS], struct hb_buf *text)
{
	static const char *const subs[FOLDERS] = { [TMP] = "/tmp",
		[NEW] = "/new", [CUR] = "/cur" };

	fds[TOP] = open_top(path, text);
	for (int i = TOP; i < FOLDERS; i++) {
		if (i != TOP)
			fds[i] = open_sub(fds[TOP], path, subs[i], text);
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

/* Writes and flushes NAME in TMP.  0 or -errno, nothing left behind. */
static int
write_tmp(const struct local_message *m, int tmp, const char *name)
{
	int fd = openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600), r;

	if (fd < 0)
		return -errno;
	r = local_write(fd, m, HB_SPAN_NONE, false);
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (close(fd) != 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlinkat(tmp, name, 0);
	return r;
}

static int
write_new(const struct local_message *m, const int fds[FOLDERS])
{
	struct hb_buf name = HB_BUF_INIT(0);
	uint64_t random;
	const char *file;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	local_unique(local_clock_us(), (int)getpid(), random, m->hostname,
	    &name);
	file = hb_buf_cstr(&name);
	r = write_tmp(m, fds[TMP], file);
	if (r == 0 && renameat(fds[TMP], file, fds[NEW], file) != 0) {
		r = -errno;
		unlinkat(fds[TMP], file, 0);
	}
	if (r == 0 && fsync(fds[NEW]) != 0)
		r = -errno;
	hb_buf_free(&name);
	return r;
}

void
local_maildir(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text)
{
	int fds[FOLDERS] = { -1, -1, -1, -1 }, r;

	hb_buf_clear(text);
	r = open_folders(path, fds, text);
	if (r == 0)
		r = write_new(m, fds);
	for (int i = TOP; i < FOLDERS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (r < 0)
		local_trouble(out, text, path, -r);
	else
		local_delivered(out, text, "maildir");
}
