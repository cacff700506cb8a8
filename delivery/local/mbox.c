/* mbox.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local/box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/file.h"
#include "delivery/local/lock.h"

enum { PIECE = 65536 };

static int
fcntl_lock(struct local_lock *lock, int fd, const char *path,
    struct hb_buf *text)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET }, held;

	while (fcntl(fd, F_SETLK, &l) != 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		held = l;
		if (local_lock_wait(lock))
			continue;
		hb_buf_addf(text, "the mailbox is locked: %s", path);
		if (fcntl(fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK)
			hb_buf_addf(text, ", by process %d", (int)held.l_pid);
		return -EAGAIN;
	}
	return 0;
}

static const char *
kind_of(mode_t mode)
{
	if (S_ISLNK(mode))
		return "a symbolic link";
	if (S_ISDIR(mode))
		return "a folder";
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return "a device";
	if (S_ISFIFO(mode))
		return "a named pipe";
	return S_ISSOCK(mode) ? "a socket" : NULL;
}

/* A mailbox is a plain file of one name and of its owner: what else stands
 * there was put there by somebody, or is the operator's mistake. */
static int
check_mbox(const char *path, const struct stat *st, struct hb_buf *text)
{
	const char *kind = kind_of(st->st_mode);

	if (kind != NULL)
		hb_buf_addf(text, "%s is %s, no file that mail could be added "
		    "to", path, kind);
	else if (st->st_nlink != 1)
		hb_buf_addf(text, "%s has %lu names (hard links): one of them "
		    "may be somebody's trap", path,
		    (unsigned long)st->st_nlink);
	else if (!local_is_ours(st))
		hb_buf_addf(text, "%s belongs to uid %u, and mail is written "
		    "as uid %u", path, (unsigned)st->st_uid,
		    (unsigned)geteuid());
	else
		return 0;
	return -EINVAL;
}

static int
open_mbox(const char *path, struct hb_buf *text)
{
	struct stat st;
	int r, fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK |
	    O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) != 0 ? -errno : check_mbox(path, &st, text);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* Is all behind the old end a dead helper's? */
static bool
is_half(int fd, const struct local_holder *left)
{
	struct local_scan scan = { .first = left->first };
	unsigned char *piece = hb_malloc(PIECE);
	off_t at = (off_t)left->size;
	ssize_t n;

	while ((n = pread(fd, piece, PIECE, at)) > 0 && !scan.foreign) {
		local_scan_feed(&scan, hb_span(piece, (size_t)n));
		at += n;
	}
	free(piece);
	return n == 0 && !scan.foreign;
}

/* Cuts off what a killed helper left.  Its message is still queued. */
static int
cut_half(int fd, const struct local_holder *left)
{
	struct stat st;

	if (!left->writing)
		return 0;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (st.st_dev != left->device || st.st_ino != left->inode ||
	    st.st_size <= (off_t)left->size || !is_half(fd, left))
		return 0;
	return ftruncate(fd, (off_t)left->size) == 0 ? 0 : -errno;
}

/* Ends the mailbox with an empty line, in front of the next message. */
static int
end_last(int fd, off_t end)
{
	char last[2] = { '\n', '\n' };
	size_t n = end < 2 ? (size_t)end : 2;
	ssize_t r = pread(fd, last + 2 - n, n, end - (off_t)n);

	if (r < 0)
		return -errno;
	return hb_write_all(fd, hb_span("\n\n", last[1] != '\n' ? 2
	    : last[0] != '\n' ? 1 : 0));
}

static int
write_mbox(struct local_lock *lock, const struct local_message *m, int fd,
    off_t end)
{
	struct hb_buf first = HB_BUF_INIT(0);
	struct stat st;
	int r = end_last(fd, end);

	local_from_line(m->env, local_clock_us() / 1000, &first);
	if (r == 0 && fstat(fd, &st) != 0)
		r = -errno;
	if (r == 0)
		r = local_lock_writing(lock, st.st_dev, st.st_ino,
		    (uint64_t)st.st_size, hb_buf_span(&first));
	if (r == 0)
		r = local_write(fd, m, hb_buf_span(&first), true);
	hb_buf_free(&first);
	return r;
}

/* Appends under the lock; what was written in vain is cut off again. */
static int
append_mbox(struct local_lock *lock, const struct local_message *m, int fd)
{
	int r = cut_half(fd, &lock->left);
	off_t end = r == 0 ? lseek(fd, 0, SEEK_END) : -1;

	if (r < 0 || end < 0)
		return r < 0 ? r : -errno;
	r = write_mbox(lock, m, fd, end);
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (r < 0 && ftruncate(fd, end) != 0)
		return -EIO;
	return r;
}

static int
deliver_mbox(struct local_lock *lock, const struct local_message *m,
    const char *path, struct hb_buf *text)
{
	struct stat st;
	int r, fd;

	/* Before anything is made beside it, and before opening: to open a
	 * device may do something already. */
	if (lstat(path, &st) == 0 && check_mbox(path, &st, text) < 0)
		return -EINVAL;
	r = local_lock_take(lock, path, m->lock_tries, text);
	if (r < 0)
		return r;
	fd = open_mbox(path, text);
	if (fd < 0)
		return fd;
	r = fcntl_lock(lock, fd, path, text);
	if (r == 0)
		r = append_mbox(lock, m, fd);
	if (close(fd) != 0 && r == 0)
		r = -errno;
	return r;
}

void
local_mbox(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text)
{
	struct local_lock lock = { .fd = -1 };
	int r;

	hb_buf_clear(text);
	r = deliver_mbox(&lock, m, path, text);
	local_lock_release(&lock);
	if (r == -EAGAIN)
		local_outcome(out, HB_RESULT_DEFER, 451, "4.2.0",
		    HB_REASON_MAILBOX_LOCKED);
	else if (r < 0)
		local_trouble(out, text, path, -r);
	else
		local_delivered(out, text, "mbox");
}
