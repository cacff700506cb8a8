/* The lock file of an mbox.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"

/* A name without blanks; "-" when nobody knows it. */
static void
one_word(char *s)
{
	for (char *p = s; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~')
			*p = *p == '\n' ? '\0' : '_';
	if (*s == '\0')
		memcpy(s, "-", 2);
}

/* This host and this life of it. */
static void
find_self(struct local_lock *l)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, l->boot, sizeof(l->boot) - 1) : 0;

	l->boot[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	if (gethostname(l->host, sizeof(l->host) - 1) != 0)
		l->host[0] = '\0';
	one_word(l->boot);
	one_word(l->host);
}

/* Writes all of the lock file anew.  0 or -errno. */
static int
write_holder(struct local_lock *l, const struct local_holder *h)
{
	struct hb_buf b = HB_BUF_INIT(0);
	ssize_t n;
	int r = 0;

	local_holder_put(h, &b);
	n = pwrite(l->fd, b.p + b.off, b.n, 0);
	if (n < 0)
		r = -errno;
	else if ((size_t)n != b.n)
		r = -ENOSPC;
	else if (ftruncate(l->fd, n) != 0)
		r = -errno;
	hb_buf_free(&b);
	return r;
}

/* Makes H say that the lock is ours. */
static void
sign_holder(const struct local_lock *l, struct local_holder *h)
{
	h->pid = (uint64_t)getpid();
	h->host = hb_span_str(l->host);
	h->boot = hb_span_str(l->boot);
}

/* 0; -EEXIST; or another -errno.  What a dead helper left goes on being told
 * until it is cut off. */
static int
make_lock(struct local_lock *l)
{
	struct local_holder h = l->left;
	int r;

	l->fd = open(l->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (l->fd < 0)
		return errno == EACCES || errno == EPERM ? 0 : -errno;
	sign_holder(l, &h);
	r = write_holder(l, &h);
	if (r < 0) {
		unlink(l->path);
		close(l->fd);
		l->fd = -1;
	}
	return r;
}

/* On a file system that other hosts share, a number alone names no process. */
static bool
is_shared(int fd)
{
	/* statfs(2): NFS, SMB, CIFS, SMB2, CODA, AFS, Ceph, FUSE */
	static const uint32_t kinds[] = { 0x6969, 0x517b, 0xff534d42,
		0xfe534d42, 0x73757245, 0x5346414f, 0x00c36400, 0x65735546 };
	struct statfs s;

	if (fstatfs(fd, &s) != 0)
		return true;
	for (size_t i = 0; i < HB_ARRAY_LEN(kinds); i++)
		if ((uint32_t)s.f_type == kinds[i])
			return true;
	return false;
}

/* The clock may have been put back or forward since. */
static int64_t
age_s(const struct stat *st)
{
	int64_t age = (int64_t)time(NULL) - (int64_t)st->st_mtime;

	return age < 0 ? -age : age;
}

static bool
is_stale(const struct local_lock *l, int fd, const struct stat *st,
    const struct local_holder *h)
{
	bool here = h->host.n > 0 ? hb_span_eq(h->host, hb_span_str(l->host))
				  : !is_shared(fd);
	pid_t pid = (pid_t)h->pid;

	if (h->pid == 0)
		return age_s(st) >= LOCAL_LOCK_AGE_S;
	if (here && h->ours && !hb_span_eq(h->boot, hb_span_str(l->boot)))
		return true;
	if (here && (pid == getpid() || (kill(pid, 0) != 0 && errno == ESRCH)))
		return true;
	return age_s(st) >= (here || h->ours ? LOCAL_LOCK_LIVE_S
					     : LOCAL_LOCK_AGE_S);
}

/* What the lock that is broken now says of an unfinished message.  It leads to
 * the mailbox being cut: a file that another put there is not believed. */
static void
inherit(struct local_lock *l, const struct stat *st,
    const struct local_holder *h, struct hb_span text)
{
	if (!h->writing || st->st_uid != geteuid())
		return;
	hb_buf_clear(&l->left_text);
	hb_buf_add(&l->left_text, text);
	local_holder_parse(hb_buf_span(&l->left_text), &l->left);
}

static bool
is_still(const struct local_lock *l, const struct stat *st)
{
	struct stat now;

	return lstat(l->path, &now) == 0 && now.st_dev == st->st_dev &&
	    now.st_ino == st->st_ino;
}

static void
say_held(const struct local_lock *l, const struct stat *st,
    const struct local_holder *h, struct hb_buf *text)
{
	hb_buf_clear(text);
	hb_buf_addf(text, "the mailbox is locked: %s is there", l->path);
	if (h->pid != 0)
		hb_buf_addf(text, ", made by process %llu",
		    (unsigned long long)h->pid);
	if (h->host.n > 0)
		hb_buf_addf(text, " of %.*s", HB_SPAN_ARG(h->host));
	hb_buf_addf(text, ", untouched for %lld seconds",
	    (long long)age_s(st));
}

/* 1: the lock is gone; 0: it is held; or -errno.  FD is the lock file's, and
 * nobody else of us looks at it. */
static int
judge_lock(struct local_lock *l, int fd, struct hb_buf *text)
{
	unsigned char content[LOCAL_HOLDER_MAX];
	struct local_holder h;
	struct stat st;
	ssize_t n = 0;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!is_still(l, &st))
		return 1;
	if (S_ISREG(st.st_mode))
		n = pread(fd, content, sizeof(content), 0);
	local_holder_parse(hb_span(content, n > 0 ? (size_t)n : 0), &h);
	say_held(l, &st, &h, text);
	if (!S_ISREG(st.st_mode) || !is_stale(l, fd, &st, &h))
		return 0;
	if (unlink(l->path) != 0) {
		if (errno == ENOENT) /* its holder was done, and left nothing */
			return 1;
		hb_buf_addf(text, ", and cannot be removed: %s",
		    strerror(errno));
		return -EAGAIN;
	}
	inherit(l, &st, &h, hb_span(content, n > 0 ? (size_t)n : 0));
	return 1;
}

/* Looks at the lock that is there.  As judge_lock. */
static int
look_at_lock(struct local_lock *l, struct hb_buf *text)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, r = 0;
	int fd = open(l->path, O_RDWR | flags);

	if (fd < 0 && errno != ENOENT)
		fd = open(l->path, O_RDONLY | flags);
	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0) {
		hb_buf_clear(text);
		hb_buf_addf(text, "the mailbox is locked: %s is there, and "
		    "cannot be read: %s", l->path, strerror(errno));
		return 0;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		r = judge_lock(l, fd, text);
	close(fd);
	return r;
}

bool
local_lock_wait(struct local_lock *l)
{
	if (l->tries-- <= 0)
		return false;
	poll(NULL, 0, LOCAL_LOCK_WAIT_MS);
	return true;
}

int
local_lock_take(struct local_lock *l, const char *mbox, int tries,
    struct hb_buf *text)
{
	struct hb_buf path = HB_BUF_INIT(0);
	int r;

	*l = (struct local_lock){ .fd = -1, .tries = tries,
		.left_text = HB_BUF_INIT(0) };
	hb_buf_addf(&path, "%s.lock", mbox);
	l->path = hb_span_dup(hb_buf_span(&path));
	hb_buf_free(&path);
	find_self(l);
	hb_buf_addf(text, "the mailbox is locked: %s is there", l->path);
	while ((r = make_lock(l)) == -EEXIST) {
		r = look_at_lock(l, text);
		if (r < 0)
			return r;
		if (!local_lock_wait(l))
			return -EAGAIN;
	}
	hb_buf_clear(text);
	if (r < 0)
		hb_buf_addf(text, "%s: %s", l->path, strerror(-r));
	return r;
}

int
local_lock_writing(struct local_lock *l, uint64_t device, uint64_t inode,
    uint64_t size, struct hb_span first)
{
	struct local_holder h = { .writing = true, .device = device,
		.inode = inode, .size = size, .first = first };

	sign_holder(l, &h);
	return l->fd < 0 ? 0 : write_holder(l, &h);
}

void
local_lock_release(struct local_lock *l)
{
	struct stat st;

	/* Who judges it now must not find us gone in between: he would remove
	 * the next one's in its place, and cut off what we wrote. */
	if (l->fd >= 0)
		(void)flock(l->fd, LOCK_EX);
	/* Not the lock of another helper that took us for dead. */
	if (l->fd >= 0 && fstat(l->fd, &st) == 0 && is_still(l, &st))
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	free(l->path);
	l->path = NULL;
	hb_buf_free(&l->left_text);
}
