/* Passing a message to hauberk-submit.  Floor 3. */
#include "config.h"

#include "common/tools/smsubmit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/io/file.h"
#include "common/proto/incoming.h"
#include "common/proto/longlines.h"
#include "common/proto/maildrop.h"

enum { ANSWER_MAX = 256 };

/* An uninstalled build says itself where its programs are. */
static const char *
program(char *space, size_t size)
{
	const char *other = getenv("HAUBERK_LIBEXEC");
	bool use = other != NULL && other[0] == '/' && geteuid() != 0;

	snprintf(space, size, "%s/hauberk-submit", use ? other : HB_LIBEXECDIR);
	return space;
}

static void HB_NORETURN
run(const char *conf, int in, int out)
{
	char path[4096];
	const char *argv[] = { "hauberk-submit", conf != NULL ? "-C" : NULL,
		conf, NULL };

	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(EX_OSERR);
	execv(program(path, sizeof(path)), (char *const *)(uintptr_t)argv);
	fprintf(stderr, "sendmail: %s: %s\n", path, strerror(errno));
	_exit(EX_OSFILE);
}

/* Envelope and recipients, and the head before them. */
static int
make_record(const struct sm_submit *s, struct hb_buf *out)
{
	struct hb_buf env = HB_BUF_INIT(0);
	struct hb_drop_head head = { .rcpts_n = (uint32_t)s->rcpts.n,
		.body_n = s->body.n };
	int r = hb_tlv_encode(&hb_env_record, &s->env, &env);

	if (r == 0) {
		head.env_n = (uint32_t)env.n;
		head.crc = hb_crc32c(0, hb_buf_span(&env));
		head.crc = hb_crc32c(head.crc, hb_buf_span(&s->rcpts));
		head.crc = hb_crc32c(head.crc, s->body);
		hb_drop_head_put(&head, out);
		hb_buf_add(out, hb_buf_span(&env));
		hb_buf_add(out, hb_buf_span(&s->rcpts));
	}
	hb_buf_free(&env);
	return r;
}

/* Did it say that the message is durable?  Its name goes to ANSWER. */
static bool
says_ok(int fd, char *answer)
{
	ssize_t n = hb_read_some(fd, answer, ANSWER_MAX);

	answer[n > 0 ? n : 0] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	return n > 3 && memcmp(answer, "ok ", 3) == 0;
}

static int
end_code(pid_t pid, bool ok)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EX_OSERR;
	if (!WIFEXITED(status))
		return EX_TEMPFAIL;
	if (WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	return ok ? EX_OK : EX_TEMPFAIL;
}

/* What queue would set aside, when the caller hears of nothing any more, is
 * told here. */
static int
check(const struct sm_submit *s)
{
	struct hb_incoming_rules rules = hb_incoming_dropped(s->limits);
	struct hb_incoming m = { .size = 0 };
	struct hb_incoming_piece p;
	struct hb_span rest = s->body;
	int code = EX_OK;

	hb_incoming_start(&m, &rules);
	do {
		p = hb_incoming_take(&m, rest);
		rest = hb_span_from(rest, p.used);
	} while (p.used > 0 || p.body.n > 0);
	hb_incoming_end(&m, rest);
	if (hb_incoming_fault(&m) != HB_INCOMING_GOOD) {
		fprintf(stderr, "sendmail: the message cannot be sent: %s\n",
		    hb_incoming_fault_text(&m));
		code = EX_UNAVAILABLE;
	}
	hb_incoming_free(&m);
	return code;
}

static int
hand_over(const struct sm_submit *s)
{
	struct hb_buf record = HB_BUF_INIT(0);
	char answer[ANSWER_MAX + 1];
	int in[2], out[2], code = check(s);
	bool ok;
	pid_t pid;

	if (code != EX_OK)
		return code;
	if (make_record(s, &record) < 0) {
		fprintf(stderr, "sendmail: an address or value is too long\n");
		return EX_DATAERR;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
	    (pid = fork()) < 0) {
		fprintf(stderr, "sendmail: %s\n", strerror(errno));
		return EX_OSERR;
	}
	if (pid == 0)
		run(s->conf, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	if (hb_write_all(in[1], hb_buf_span(&record)) == 0)
		(void)!hb_write_all(in[1], s->body);
	close(in[1]);
	hb_buf_free(&record);
	ok = says_ok(out[0], answer);
	close(out[0]);
	code = end_code(pid, ok);
	if (code == EX_OK && s->verbose) {
		/* -v: each recipient, and under which name the message is kept
		 * until the queue gives it an id (its record ev=accept in the
		 * log has both). */
		struct hb_span rest = hb_buf_span(&s->rcpts);
		struct hb_rcpt r;

		while (hb_drop_rcpt(&rest, &r) > 0)
			printf("%.*s... queued (%llu bytes from <%.*s>, %s)\n",
			    HB_SPAN_ARG(r.address),
			    (unsigned long long)s->env.size,
			    HB_SPAN_ARG(s->env.sender), answer + 3);
	}
	return code;
}

int
sm_submit(const struct sm_submit *s)
{
	struct sm_submit short_lined = *s;
	struct hb_buf body = HB_BUF_INIT(0);
	int code;

	if (hb_longest_line(s->body) <= HB_MAX_MAIL_LINE)
		return hand_over(s);
	hb_shorten_lines(s->body, &body);
	short_lined.body = hb_buf_span(&body);
	short_lined.env.size = body.n;
	if (!hb_span_eq(short_lined.body, s->body)) /* but signed */
		short_lined.env.flags |= HB_ENV_SHORTENED;
	if (hb_longest_line(short_lined.body) + 2 <= HB_MAX_TEXT_LINE) {
		code = hand_over(&short_lined);
	} else {
		fprintf(stderr, "sendmail: a line of the message is longer "
		    "than %d bytes and cannot be encoded\n",
		    HB_MAX_TEXT_LINE - 2);
		code = EX_DATAERR;
	}
	hb_buf_free(&body);
	return code;
}
