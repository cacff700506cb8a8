/* Commands.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local_box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { OUTPUT_MAX = 500 };

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
	local_outcome(out, HB_RESULT_DEFER, 451, "4.3.0", HB_REASON_HELPER_FAILED);
	if (!WIFEXITED(status))
		return;
	for (size_t i = 0; i < HB_ARRAY_LEN(exits); i++)
		if (exits[i].exit == WEXITSTATUS(status))
			local_outcome(out, exits[i].result, exits[i].code,
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
	r = local_write(fd, m, HB_SPAN_NONE, false);
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
	int64_t until = local_clock_us() / 1000 + timeout_ms;

	*late = false;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - local_clock_us() / 1000;
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
		local_trouble(out, text, "command", in < 0 ? -in : errno);
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
		local_trouble(out, text, "command", errno);
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
