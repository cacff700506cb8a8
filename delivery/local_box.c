/* Maildir, mbox, commands.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local_box.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum { PIECE = 65536, LOCK_TRIES = 300, LOCK_WAIT_MS = 100, OUTPUT_MAX = 500 };

static void
set_outcome(struct hb_outcome *out, enum hb_result result, unsigned code,
    const char *status, enum hb_reason reason)
{
	out->result = (uint32_t)result;
	out->code = code;
	out->status = hb_span_str(status);
	out->reason = (uint32_t)reason;
}

static void
delivered(struct hb_outcome *out, struct hb_buf *text, const char *what)
{
	set_outcome(out, HB_RESULT_OK, 250, "2.0.0", HB_REASON_OK);
	hb_buf_addf(text, "delivered to %s", what);
}

/* Trouble with a mailbox is the site's, not the sender's: mail waits. */
static void
trouble(struct hb_outcome *out, struct hb_buf *text, const char *what, int err)
{
	bool full = err == ENOSPC || err == EDQUOT || err == EFBIG;

	set_outcome(out, HB_RESULT_DEFER, full ? 452 : 451,
	    full ? "4.2.2" : "4.3.0", HB_REASON_MAILBOX_TEMP);
	hb_buf_addf(text, "%s: %s", what, strerror(err));
}

static int64_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* 0 or -errno */
static int
write_all(int fd, struct hb_span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		s = hb_span_from(s, (size_t)n);
	}
	return 0;
}

static int
write_filtered(int fd, struct local_filter *f, struct hb_span in)
{
	struct hb_buf out = HB_BUF_INIT(0);
	int r = 0;

	while (in.n > 0 && r == 0) {
		hb_buf_clear(&out);
		local_filter_feed(f, hb_span_head(in, PIECE), &out);
		r = write_all(fd, hb_buf_span(&out));
		in = hb_span_from(in, PIECE);
	}
	hb_buf_free(&out);
	return r;
}

static int
write_large(int fd, struct local_filter *f, int from)
{
	unsigned char *piece = hb_malloc(PIECE);
	off_t at = 0;
	ssize_t n;
	int r = 0;

	while ((n = pread(from, piece, PIECE, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		else
			r = write_filtered(fd, f, hb_span(piece, (size_t)n));
		if (r < 0)
			break;
		at += n;
	}
	free(piece);
	return r;
}

/* Head lines and message.  0 or -errno. */
static int
write_message(int fd, const struct local_message *m, bool mbox)
{
	struct local_filter f;
	struct hb_buf text = HB_BUF_INIT(0);
	int r;

	local_filter_init(&f, mbox);
	if (mbox)
		local_from_line(m->env, clock_us() / 1000, &text);
	local_head(m->env, m->rcpt, &text);
	r = write_all(fd, hb_buf_span(&text));
	if (r == 0)
		r = m->fd >= 0 ? write_large(fd, &f, m->fd)
			       : write_filtered(fd, &f, m->body);
	hb_buf_clear(&text);
	local_filter_end(&f, &text);
	if (mbox)
		hb_buf_adds(&text, "\n");
	if (r == 0)
		r = write_all(fd, hb_buf_span(&text));
	hb_buf_free(&text);
	return r;
}

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
make_maildir(const char *path)
{
	static const char *const subs[] = { "tmp", "new", "cur" };
	struct hb_buf b = HB_BUF_INIT(0);
	int r = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(subs) && r == 0; i++) {
		hb_buf_clear(&b);
		hb_buf_addf(&b, "%s/%s%c", path, subs[i], '\0');
		if (mkdir((char *)b.p, 0700) == 0 || errno == EEXIST)
			continue;
		r = make_folders((char *)b.p);
	}
	hb_buf_free(&b);
	return r;
}

static int
flush_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		r = -errno;
	close(fd);
	return r;
}

/* Writes and flushes tmp/NAME.  0 or -errno, nothing left behind. */
static int
write_tmp(const struct local_message *m, const char *tmp)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = write_message(fd, m, false);
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (close(fd) != 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlink(tmp);
	return r;
}

static int
deliver_maildir(const struct local_message *m, const char *path)
{
	struct hb_buf name = HB_BUF_INIT(0), tmp = HB_BUF_INIT(0),
		      new = HB_BUF_INIT(0);
	uint64_t random;
	int r = make_maildir(path);

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		r = -EIO;
	local_unique(clock_us(), (int)getpid(), random, m->hostname, &name);
	hb_buf_addf(&tmp, "%s/tmp/%.*s%c", path, HB_SPAN_ARG(hb_buf_span(&name)),
	    '\0');
	hb_buf_addf(&new, "%s/new/%.*s%c", path, HB_SPAN_ARG(hb_buf_span(&name)),
	    '\0');
	if (r == 0)
		r = write_tmp(m, (char *)tmp.p);
	if (r == 0 && rename((char *)tmp.p, (char *)new.p) != 0) {
		r = -errno;
		unlink((char *)tmp.p);
	}
	if (r == 0) {
		hb_buf_clear(&new);
		hb_buf_addf(&new, "%s/new%c", path, '\0');
		r = flush_folder((char *)new.p);
	}
	hb_buf_free(&name);
	hb_buf_free(&tmp);
	hb_buf_free(&new);
	return r;
}

void
local_maildir(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text)
{
	int r = deliver_maildir(m, path);

	if (r < 0)
		trouble(out, text, path, -r);
	else
		delivered(out, text, "maildir");
}

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
	int r = end < 0 ? -errno : write_message(fd, m, true);

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
		trouble(out, text, path, -r);
	else
		delivered(out, text, "mbox");
}

/* commands */

static const struct {
	int exit;
	enum hb_result result;
	unsigned code;
	const char *status;
} exits[] = {
	{ EX_OK, HB_RESULT_OK, 250, "2.0.0" },
	{ EX_USAGE, HB_RESULT_FAIL, 550, "5.3.5" },
	{ EX_DATAERR, HB_RESULT_FAIL, 550, "5.6.0" },
	{ EX_NOUSER, HB_RESULT_FAIL, 550, "5.1.1" },
	{ EX_NOHOST, HB_RESULT_FAIL, 550, "5.1.2" },
	{ EX_UNAVAILABLE, HB_RESULT_FAIL, 550, "5.3.0" },
	{ EX_CANTCREAT, HB_RESULT_FAIL, 550, "5.2.0" },
	{ EX_PROTOCOL, HB_RESULT_FAIL, 550, "5.5.0" },
	{ EX_NOPERM, HB_RESULT_FAIL, 550, "5.7.1" },
};

/* An exit that is no verdict on the message (a crash, a missing program, a
 * bug) delays it. */
static void
judge_exit(int status, struct hb_outcome *out)
{
	set_outcome(out, HB_RESULT_DEFER, 451, "4.3.0", HB_REASON_HELPER_FAILED);
	if (!WIFEXITED(status))
		return;
	for (size_t i = 0; i < HB_ARRAY_LEN(exits); i++)
		if (exits[i].exit == WEXITSTATUS(status))
			set_outcome(out, exits[i].result, exits[i].code,
			    exits[i].status,
			    exits[i].result == HB_RESULT_OK
				? HB_REASON_OK : HB_REASON_MAILBOX_FAIL);
}

static void
run_command(const struct local_message *m, char *const argv[], int in, int out)
{
	static const char *const keep[] = { "PATH", "HOME", "USER", "LOGNAME",
		"SHELL", "TZ" };
	struct hb_buf sender = HB_BUF_INIT(0), rcpt = HB_BUF_INIT(0);
	const char *env[16] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(keep); i++) {
		const char *v = getenv(keep[i]);

		if (v != NULL)
			env[n++] = v - strlen(keep[i]) - 1;
	}
	hb_buf_addf(&sender, "SENDER=%.*s%c", HB_SPAN_ARG(m->env->sender), '\0');
	hb_buf_addf(&rcpt, "RECIPIENT=%.*s%c", HB_SPAN_ARG(m->rcpt->address),
	    '\0');
	env[n++] = (char *)sender.p;
	env[n++] = (char *)rcpt.p;
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EX_TEMPFAIL);
	close_range(3, ~0U, 0);
	execve(argv[0], argv, (char *const *)(uintptr_t)env);
	_exit(EX_TEMPFAIL);
}

/* The message goes through an unnamed file: a command that does not read
 * cannot hold the writer up. */
static int
message_file(const struct local_message *m)
{
	int fd = memfd_create("message", MFD_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write_message(fd, m, false);
	if (r == 0 && lseek(fd, 0, SEEK_SET) != 0)
		r = -errno;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* Collects what the command says until it ends or the time is over. */
static void
collect(int fd, int64_t timeout_ms, struct hb_buf *said, bool *late)
{
	int64_t until = clock_us() / 1000 + timeout_ms;

	*late = false;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - clock_us() / 1000;
		unsigned char buf[512];
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0) {
			*late = true;
			return;
		}
		n = read(fd, buf, sizeof(buf));
		if (n == 0 || (n < 0 && errno != EINTR))
			return;
		if (n > 0 && said->n < OUTPUT_MAX)
			hb_buf_add(said, hb_span_head(hb_span(buf, (size_t)n),
			    OUTPUT_MAX - said->n));
	}
}

static void
put_said(struct hb_buf *text, struct hb_span said)
{
	said = hb_span_trim(said);
	for (size_t i = 0; i < said.n; i++)
		hb_buf_addf(text, "%c", said.p[i] < ' ' || said.p[i] > '~'
			? ' ' : said.p[i]);
}

/* Waits for the command; kills it when it is LATE. */
static int
end_command(pid_t pid, bool late)
{
	int status = 0;

	if (late)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

void
local_command(const struct local_message *m, char *const argv[],
    int64_t timeout_ms, struct hb_outcome *out, struct hb_buf *text)
{
	struct hb_buf said = HB_BUF_INIT(0);
	int in = message_file(m), fds[2] = { -1, -1 };
	bool late;
	pid_t pid;

	if (in < 0 || pipe2(fds, O_CLOEXEC) != 0) {
		trouble(out, text, "command", in < 0 ? -in : errno);
		if (in >= 0)
			close(in);
		return;
	}
	pid = fork();
	if (pid == 0)
		run_command(m, argv, in, fds[1]);
	close(in);
	close(fds[1]);
	if (pid < 0) {
		trouble(out, text, "command", errno);
	} else {
		collect(fds[0], timeout_ms, &said, &late);
		judge_exit(end_command(pid, late), out);
		if (late)
			hb_buf_adds(text, "the command took too long");
		else if (said.n > 0)
			put_said(text, hb_buf_span(&said));
		else
			hb_buf_adds(text, out->result == HB_RESULT_OK
				? "delivered to command" : "command failed");
	}
	close(fds[0]);
	hb_buf_free(&said);
}
