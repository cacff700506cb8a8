/* Delivery to a command.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local/box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum {
	OUTPUT_MAX = 500,
	/* As shells tell of commands that they could not run, or that a signal
	 * ended. */
	EXIT_NOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	SHELL_SIGNAL = 128
};

/* What exit codes mean, as sendmail has them, but that a mistake of the
 * operator's waits: a program, an option or a file of its that is wrong, not
 * there, or cannot be used.  Final is what is said of the message or of the
 * recipient. */
static const struct {
	int exit;
	enum hb_result result;
	unsigned code;
	const char *status, *what;
} exits[] = {
	{ EX_OK, HB_RESULT_OK, 250, "2.0.0", "" },
	{ EX_USAGE, HB_RESULT_DEFER, 451, "4.3.5", "wrong usage" },
	{ EX_DATAERR, HB_RESULT_FAIL, 550, "5.6.0", "wrong data" },
	{ EX_NOINPUT, HB_RESULT_DEFER, 451, "4.3.5", "no input" },
	{ EX_NOUSER, HB_RESULT_FAIL, 550, "5.1.1", "no such user" },
	{ EX_NOHOST, HB_RESULT_FAIL, 550, "5.1.2", "no such host" },
	{ EX_UNAVAILABLE, HB_RESULT_FAIL, 550, "5.3.0", "unavailable" },
	{ EX_SOFTWARE, HB_RESULT_DEFER, 451, "4.3.0", "internal error" },
	{ EX_OSERR, HB_RESULT_DEFER, 451, "4.3.0", "system error" },
	{ EX_OSFILE, HB_RESULT_DEFER, 451, "4.3.5", "system file missing" },
	{ EX_CANTCREAT, HB_RESULT_DEFER, 451, "4.3.5", "cannot create" },
	{ EX_IOERR, HB_RESULT_DEFER, 451, "4.3.0", "input or output error" },
	{ EX_TEMPFAIL, HB_RESULT_DEFER, 451, "4.3.0", "try later" },
	{ EX_PROTOCOL, HB_RESULT_FAIL, 550, "5.5.0", "protocol error" },
	{ EX_NOPERM, HB_RESULT_FAIL, 550, "5.7.1", "not permitted" },
	{ EX_CONFIG, HB_RESULT_DEFER, 451, "4.3.5", "configuration error" },
	{ EXIT_NOT_RUN, HB_RESULT_DEFER, 451, "4.3.5", "cannot be run" },
	{ EXIT_NOT_FOUND, HB_RESULT_DEFER, 451, "4.3.5", "not found" },
};

/* The program's verdict on the message, or the program's own trouble? */
static enum hb_reason
reason_of(enum hb_result r)
{
	return r == HB_RESULT_OK ? HB_REASON_OK
	    : r == HB_RESULT_FAIL ? HB_REASON_MAILBOX_FAIL
				  : HB_REASON_COMMAND_FAILED;
}

static void
judge_signal(int signo, struct hb_outcome *out, struct hb_buf *text)
{
	local_outcome(out, HB_RESULT_DEFER, 451, "4.3.0",
	    HB_REASON_COMMAND_FAILED);
	hb_buf_addf(text, "the command was ended by signal %d (%s)", signo,
	    strsignal(signo));
}

/* A code that nobody knows is final, with what the program said: it is how
 * scripts refuse a message. */
static void
judge_code(int code, struct hb_outcome *out, struct hb_buf *text)
{
	const char *what = "";

	local_outcome(out, HB_RESULT_FAIL, 554, "5.3.0",
	    reason_of(HB_RESULT_FAIL));
	for (size_t i = 0; i < HB_ARRAY_LEN(exits); i++) {
		if (exits[i].exit != code)
			continue;
		local_outcome(out, exits[i].result, exits[i].code,
		    exits[i].status, reason_of(exits[i].result));
		what = exits[i].what;
	}
	if (code == EX_OK)
		return;
	hb_buf_addf(text, "the command ended with exit code %d", code);
	if (*what != '\0')
		hb_buf_addf(text, " (%s)", what);
}

/* TEXT: empty for a success.  A shell tells of a signal by a code. */
static void
judge_exit(int status, struct hb_outcome *out, struct hb_buf *text)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

	if (!WIFEXITED(status))
		judge_signal(WTERMSIG(status), out, text);
	else if (code > SHELL_SIGNAL && code <= SHELL_SIGNAL + SIGRTMAX)
		judge_signal(code - SHELL_SIGNAL, out, text);
	else
		judge_code(code, out, text);
}

static void
run_command(const struct local_message *m, char *const argv[], int in, int out)
{
	static const char *const keep[] = { "PATH", "HOME", "USER", "LOGNAME",
		"SHELL", "TZ" };
	struct hb_buf sender = HB_BUF_INIT(0), rcpt = HB_BUF_INIT(0);
	const char *env[16] = { 0 };
	size_t n = 0;
	int r;

	for (size_t i = 0; i < HB_ARRAY_LEN(keep); i++) {
		const char *v = getenv(keep[i]);

		if (v != NULL)
			env[n++] = v - strlen(keep[i]) - 1;
	}
	hb_buf_addf(&sender, "SENDER=%.*s", HB_SPAN_ARG(m->env->sender));
	hb_buf_addf(&rcpt, "RECIPIENT=%.*s", HB_SPAN_ARG(m->rcpt->address));
	env[n++] = hb_buf_cstr(&sender);
	env[n++] = hb_buf_cstr(&rcpt);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EX_TEMPFAIL);
	close_range(3, ~0U, 0);
	execve(argv[0], argv, (char *const *)(uintptr_t)env);
	r = errno;
	dprintf(2, "%s: %s", argv[0], strerror(r));
	_exit(r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN);
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

/* Reads some of what the command says.  False: it says no more. */
static bool
hear(int fd, struct hb_buf *said)
{
	unsigned char buf[512];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0 && said->n < OUTPUT_MAX)
		hb_buf_add(said, hb_span_head(hb_span(buf, (size_t)n),
		    OUTPUT_MAX - said->n));
	return n > 0 || (n < 0 && errno == EINTR);
}

/*
 * Collects what the command says until it ends.  False: the time is over.
 * It has ended when the process has, whoever may hold its output open still,
 * and not before, though it may have closed that.
 */
static bool
collect(int fd, int process, int64_t timeout_ms, struct hb_buf *said)
{
	int64_t until = local_clock_us() / 1000 + timeout_ms;
	bool ended = false;

	while (fd >= 0 || process >= 0) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN },
			{ .fd = process, .events = POLLIN } };
		int64_t left = until - local_clock_us() / 1000;

		if (left <= 0 || poll(p, 2, (int)left) == 0)
			return ended;
		ended |= p[1].revents != 0;
		if (p[0].revents != 0 && !hear(fd, said))
			fd = -1;
		if (ended && (p[0].revents == 0 || said->n >= OUTPUT_MAX))
			break;
	}
	return true;
}

/* What was said, as words of one line. */
static void
put_said(struct hb_buf *text, struct hb_span said)
{
	struct hb_span word;

	for (bool first = true; (word = hb_span_word(&said)).n > 0;
	     first = false) {
		if (!first)
			hb_buf_adds(text, " ");
		for (size_t i = 0; i < word.n; i++)
			hb_buf_addf(text, "%c", word.p[i] < '!' ||
			    word.p[i] > '~' ? '?' : word.p[i]);
	}
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

static void
run_to_end(pid_t pid, int fd, int64_t timeout_ms, struct hb_outcome *out,
    struct hb_buf *text)
{
	struct hb_buf said = HB_BUF_INIT(0);
	int process = pidfd_open(pid, 0);
	bool late = !collect(fd, process, timeout_ms, &said);

	if (process >= 0)
		close(process);
	judge_exit(end_command(pid, late), out, text);
	if (late) {
		hb_buf_clear(text);
		hb_buf_addf(text, "the command took too long and was ended "
		    "after %lld seconds", (long long)(timeout_ms / 1000));
	}
	if (hb_span_trim(hb_buf_span(&said)).n > 0) {
		hb_buf_adds(text, text->n > 0 ? ": " : "");
		put_said(text, hb_buf_span(&said));
	} else if (text->n == 0) {
		hb_buf_adds(text, "delivered to command");
	}
	hb_buf_free(&said);
}

void
local_command(const struct local_message *m, char *const argv[],
    int64_t timeout_ms, struct hb_outcome *out, struct hb_buf *text)
{
	int in = message_file(m), fds[2] = { -1, -1 };
	pid_t pid;

	hb_buf_clear(text);
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
	if (pid < 0)
		local_trouble(out, text, "command", errno);
	else
		run_to_end(pid, fds[0], timeout_ms, out, text);
	close(fds[0]);
}
