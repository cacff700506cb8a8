/* Log records to a file, standard error or syslog.  Floor 3. */
#include "config.h"

#include "common/io/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/io/sock.h"

enum {
	WAITING_MAX = 512 * 1024, /* bytes kept while the log takes none */
	RETRY_MS = 100
};

static const int severity[] = {
	[HB_LOG_ERROR] = LOG_ERR,
	[HB_LOG_WARN] = LOG_WARNING,
	[HB_LOG_INFO] = LOG_INFO,
	[HB_LOG_DEBUG] = LOG_DEBUG,
};

static struct {
	struct hb_hook *hook;
	struct hb_timer *retry;
	int fd;
	enum hb_logfd_kind kind;
	bool is_fifo, is_sock, told_lost;
	struct hb_buf waiting;
	uint64_t dropped, untold;
	int pid;
	void (*lost)(void *ctx);
	void *lost_ctx;
} ls = { .fd = STDERR_FILENO };

/* What programs write to /dev/log, as syslog(3): local time, tag, process.
 * *RECORD is left with what stands behind "TIME ROLE[PID] LEVEL"; a JSON
 * record stays whole. */
static int
put_syslog_head(enum hb_level level, struct hb_span *record)
{
	time_t now = (time_t)(hb_now_ms() / 1000);
	struct hb_span tag = HB_SPAN_NONE;
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL)
		(void)strftime(when, sizeof(when), "%b %e %H:%M:%S", &tm);
	if (record->n > 0 && record->p[0] != '{') {
		(void)hb_span_word(record);
		tag = hb_span_word(record);
		(void)hb_span_word(record);
		*record = hb_span_from(*record,
		    record->n > 0 && record->p[0] == ' ');
	}
	if (tag.n > 0)
		return hb_buf_printf(&ls.waiting, "<%d>%s hauberk-%.*s: ",
		    LOG_MAIL | severity[level], when, HB_SPAN_ARG(tag));
	return hb_buf_printf(&ls.waiting, "<%d>%s hauberk[%d]: ",
	    LOG_MAIL | severity[level], when, ls.pid);
}

static int
append(enum hb_level level, struct hb_span record)
{
	size_t before = ls.waiting.n;
	int r = 0;

	if (ls.kind == HB_LOGFD_SYSLOG)
		r = put_syslog_head(level, &record);
	if (r == 0)
		r = hb_buf_put(&ls.waiting, record);
	if (r != 0)
		hb_buf_truncate(&ls.waiting, before);
	return r;
}

static void
sink(void *ctx, enum hb_level level, struct hb_span record)
{
	if (append(level, record) != 0) {
		ls.dropped++;
		ls.untold++;
		return;
	}
	hb_hook_arm(ls.hook);
}

/* One datagram for each record; whole lines of at most PIPE_BUF to a pipe,
 * which then does not mix them with another process's. */
static size_t
next_piece(struct hb_span w)
{
	size_t n = w.n;

	if (ls.kind == HB_LOGFD_SYSLOG)
		return hb_span_find(w, '\n') + 1 < n
		    ? hb_span_find(w, '\n') + 1 : n;
	if (!ls.is_fifo || n <= PIPE_BUF)
		return n;
	for (n = PIPE_BUF; n > 0 && w.p[n - 1] != '\n'; n--)
		continue;
	return n > 0 ? n : PIPE_BUF;
}

static ssize_t
write_piece(struct hb_span w, size_t n)
{
	ssize_t r;

	if (!ls.is_sock)
		return write(ls.fd, w.p, n);
	if (ls.kind != HB_LOGFD_SYSLOG)
		return send(ls.fd, w.p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* without the newline */
	r = send(ls.fd, w.p, w.p[n - 1] == '\n' ? n - 1 : n,
	    MSG_DONTWAIT | MSG_NOSIGNAL);
	return r >= 0 ? (ssize_t)n : r;
}

static void
could_not_write(int error)
{
	bool busy = error == EAGAIN || error == EINTR || error == ENOBUFS;

	hb_timer_set(ls.retry, RETRY_MS);
	if (busy || ls.kind != HB_LOGFD_SYSLOG || ls.told_lost)
		return;
	ls.told_lost = true;
	if (ls.lost != NULL)
		ls.lost(ls.lost_ctx);
}

/* True when all that waited is written. */
static bool
write_waiting(void)
{
	while (ls.waiting.n > 0) {
		struct hb_span w = hb_buf_span(&ls.waiting);
		ssize_t r = write_piece(w, next_piece(w));

		if (r < 0 && errno == EMSGSIZE)
			r = (ssize_t)next_piece(w); /* longer than syslog takes */
		if (r < 0) {
			could_not_write(errno);
			return false;
		}
		hb_buf_consume(&ls.waiting, (size_t)r);
	}
	return true;
}

static void
run(void *ctx)
{
	uint64_t n = ls.untold;

	if (!write_waiting() || n == 0)
		return;
	ls.untold = 0;
	HB_LOG(HB_LOG_WARN, HB_EV_LOG, hb_kv_str(HB_K_STATE, "dropped"),
	    hb_kv_int(HB_K_COUNT, (int64_t)n));
}

void
hb_logsink_start(struct hb_loop *l, void (*lost)(void *ctx), void *ctx)
{
	ls.waiting = HB_BUF_INIT(WAITING_MAX);
	ls.pid = (int)getpid();
	ls.hook = hb_hook_new(l, run, NULL);
	ls.retry = hb_timer_new(l, run, NULL);
	ls.lost = lost;
	ls.lost_ctx = ctx;
	hb_log_set_clock(hb_now_ms);
	hb_log_set_sink(sink, NULL);
}

void
hb_logsink_set(int fd, enum hb_logfd_kind kind, enum hb_log_format format,
    enum hb_level level)
{
	struct stat st;

	if (ls.fd != STDERR_FILENO)
		close(ls.fd);
	ls.fd = fd;
	ls.kind = kind;
	ls.is_fifo = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
	ls.is_sock = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	ls.told_lost = false;
	hb_log_set_format(format);
	hb_log_set_level(level);
	hb_hook_arm(ls.hook);
}

void
hb_logsink_flush(void)
{
	if (ls.hook != NULL)
		run(NULL);
}

uint64_t
hb_logsink_dropped(void)
{
	return ls.dropped;
}

/*
 * A pipe or terminal is opened once more: a log must not block, and what
 * others share must not be made non-blocking for them.
 */
static int
open_stderr(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDERR_FILENO, &st) == 0 &&
	    (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		fd = open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	return fd >= 0 ? fd : -errno;
}

/* Without syslog: a socket that leads nowhere, so that records wait. */
static int
open_syslog(bool *up)
{
	int fd = hb_sock_unix_connect("/dev/log", SOCK_DGRAM);

	*up = fd >= 0;
	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	return fd >= 0 ? fd : -errno;
}

static int
open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
		O_NOCTTY | O_NONBLOCK, 0640);

	return fd >= 0 ? fd : -errno;
}

int
hb_logdest_open(const struct hb_logspec *spec, struct hb_logdest *out)
{
	*out = (struct hb_logdest){ .fd = -EINVAL, .up = true };
	switch (spec->kind) {
	case HB_LOGTO_SYSLOG:
		out->kind = HB_LOGFD_SYSLOG;
		out->fd = open_syslog(&out->up);
		break;
	case HB_LOGTO_STDERR:
		out->fd = open_stderr();
		break;
	case HB_LOGTO_FILE:
		out->fd = open_file(spec->file);
		break;
	}
	return out->fd >= 0 ? 0 : out->fd;
}
