/* mbox.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local_box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TRIES = 300, LOCK_WAIT_MS = 100 };

static void
wait_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* A lock file besides fcntl's, for readers that know only that; where the
 * folder lets us make none, fcntl has to do.  0 or -errno. */
static int
dot_lock(const char *lock, bool *held)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    0444);

		*held = fd >= 0;
		if (fd >= 0) {
			close(fd);
			return 0;
		}
		if (errno != EEXIST)
			return errno == EACCES || errno == EPERM ? 0 : -errno;
		wait_ms(LOCK_WAIT_MS);
	}
	return -EAGAIN;
}

static int
fcntl_lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (fcntl(fd, F_SETLK, &l) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		wait_ms(LOCK_WAIT_MS);
	}
	return -EAGAIN;
}

/* A mailbox is a plain file of one name: what else stands there was put
 * there by somebody. */
static int
open_mbox(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW |
	    O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

/* Appends under the lock; what was written in vain is cut off again. */
static int
append_mbox(const struct local_message *m, int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	int r = end < 0 ? -errno : local_write(fd, m, true);

	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (r < 0 && end >= 0 && ftruncate(fd, end) != 0)
		return -EIO;
	return r;
}

static int
deliver_mbox(const struct local_message *m, const char *path)
{
	struct hb_buf lock = HB_BUF_INIT(0);
	bool held = false;
	int r, fd;

	hb_buf_addf(&lock, "%s.lock%c", path, '\0');
	r = dot_lock((char *)lock.p, &held);
	fd = r < 0 ? r : open_mbox(path);
	if (fd >= 0) {
		r = fcntl_lock(fd);
		if (r == 0)
			r = append_mbox(m, fd);
		if (close(fd) != 0 && r == 0)
			r = -errno;
	} else {
		r = fd;
	}
	if (held)
		unlink((char *)lock.p);
	hb_buf_free(&lock);
	return r;
}

void
local_mbox(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text)
{
	int r = deliver_mbox(m, path);

	if (r < 0)
		local_trouble(out, text, path, -r);
	else
		local_delivered(out, text, "mbox");
}
