/*
 * hauberk-local: one local delivery, as the recipient.  Floor 4, libc only,
 * blocking.  Descriptor 3 is the channel to queue: LOCAL_JOB, the message
 * (JOB_BODY, JOB_FILE), JOB_START; it answers JOB_RESULT and JOB_DONE.  Its
 * only argument is HB_HELPER_*.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/proto/address.h"
#include "common/proto/ipc.h"
#include "common/proto/template.h"
#include "delivery/local/box.h"

enum {
	CHANNEL = 3,
	PIECE = 65536,
	COMMAND_MS = 600000,
	WORDS_MAX = HB_TEMPLATE_WORDS + 1,
	/* Ten seconds: mail for others waits for our place. */
	LOCK_TRIES = 100
};

struct local_job {
	const char *as;	/* HB_HELPER_* */
	struct hb_arena *arena;
	struct hb_buf in, body;
	int fd, pending_fd;
	bool started;
	struct ipc_local_job frame; /* spans in the arena */
	struct hb_env env;
	struct hb_rcpt rcpt;
};

/* One read of the channel; a descriptor that comes along is kept. */
static bool
read_channel(struct local_job *j)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = { .iov_len = PIECE };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &ctl, .msg_controllen = sizeof(ctl) };
	unsigned char *room;
	struct cmsghdr *c;
	ssize_t n;

	if (hb_buf_reserve(&j->in, PIECE, &room) < 0)
		return false;
	iov.iov_base = room;
	do
		n = recvmsg(CHANNEL, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	hb_buf_added(&j->in, (size_t)n);
	c = CMSG_FIRSTHDR(&m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&j->pending_fd, CMSG_DATA(c), sizeof(int));
	return true;
}

static bool
take_job(struct local_job *j, const struct ipc_local_job *m)
{
	if (j->arena != NULL)
		return false;
	j->arena = hb_arena_new();
	hb_record_copy(j->arena, &hb_ipc_info(HB_IPC_LOCAL_JOB)->record, m,
	    &j->frame);
	return hb_tlv_decode(&hb_env_record, j->frame.env, &j->env) == 0 &&
	    hb_tlv_decode(&hb_rcpt_record, j->frame.rcpt, &j->rcpt) == 0 &&
	    local_may_be_head(&j->env, &j->rcpt);
}

static bool
take_frame(
    struct local_job *j, enum hb_ipc_type type, const union hb_ipc_any *m)
{
	if (!hb_ipc_may_send(type, HB_ROLE_QUEUE, HB_ROLE_HELPER))
		return false;
	if (type == HB_IPC_LOCAL_JOB)
		return take_job(j, &m->local_job);
	if (type == HB_IPC_JOB_BODY)
		return hb_buf_put(&j->body, m->job_body.bytes) == 0;
	if (type == HB_IPC_JOB_FILE) {
		j->fd = j->pending_fd;
		return j->fd >= 0;
	}
	j->started = type == HB_IPC_JOB_START && j->arena != NULL;
	return j->started;
}

/* Reads until JOB_START.  False: the channel is lost or broken. */
static bool
read_job(struct local_job *j)
{
	while (!j->started) {
		union hb_ipc_any m;
		enum hb_ipc_type type;
		int used = hb_ipc_decode(hb_buf_span(&j->in), &type, &m);

		if (used == 0 && !read_channel(j))
			return false;
		if (used < 0 || (used > 0 && !take_frame(j, type, &m)))
			return false;
		hb_buf_consume(&j->in, (size_t)used);
	}
	return true;
}

static void
refuse(struct hb_outcome *out, struct hb_buf *text, enum hb_result result,
    const char *status, enum hb_reason reason, const char *why)
{
	out->result = (uint32_t)result;
	out->code = result == HB_RESULT_FAIL ? 550 : 451;
	out->status = hb_span_str(status);
	out->reason = (uint32_t)reason;
	hb_buf_adds(text, why);
}

/* A mistake of the operator waits until it is mended. */
static void
blame_configuration(struct hb_outcome *out, struct hb_buf *text,
    const char *why)
{
	refuse(out, text, HB_RESULT_DEFER, "4.3.5", HB_REASON_CONFIG, why);
}

/* The words of a configured command, each expanded by itself: what a sender
 * wrote stays inside one word, and no shell sees it. */
static bool
command_words(struct local_job *j, const struct local_vars *v, char **argv)
{
	struct hb_span rest = j->frame.target, word;
	size_t n = 0;

	while ((word = hb_span_word(&rest)).n > 0 && n + 1 < WORDS_MAX) {
		struct hb_buf b = HB_BUF_INIT(4096);
		int r = local_expand(word, v, false, &b);

		if (r == 0 && memchr(b.p + b.off, 0, b.n) == NULL)
			argv[n++] = hb_arena_cstr(j->arena, hb_buf_span(&b));
		hb_buf_free(&b);
		if (r < 0)
			return false;
	}
	argv[n] = NULL;
	return n > 0 && word.n == 0;
}

/* A route pipe: has the operator's own words: the shell reads them. */
static void
deliver_command(struct local_job *j, const struct local_message *m,
    const struct local_vars *v, bool template, struct hb_outcome *out,
    struct hb_buf *text)
{
	char sh[] = "/bin/sh", c[] = "-c";
	char *argv[WORDS_MAX] = { sh, c, NULL, NULL };

	if (!template)
		argv[2] = hb_arena_cstr(j->arena, j->frame.target);
	else if (!command_words(j, v, argv)) {
		blame_configuration(out, text, "the command cannot be used");
		return;
	}
	local_command(m, argv, COMMAND_MS, out, text);
}

/* A home that is missing, or not mounted, is not made: a mailbox below it
 * would be lost under the real one. */
static bool
is_home_there(const char *home, const char *path, struct hb_outcome *out,
    struct hb_buf *text)
{
	size_t n = strlen(home);
	struct stat st;
	bool below = n > 1 && strncmp(path, home, n) == 0 && path[n] == '/';

	if (!below || stat(home, &st) == 0)
		return true;
	refuse(out, text, HB_RESULT_DEFER, "4.3.0", HB_REASON_MAILBOX_TEMP,
	    "the home folder ");
	hb_buf_addf(text, "%s: %s", home, strerror(errno));
	return false;
}

static void
deliver_path(struct local_job *j, const struct local_message *m,
    const struct local_vars *v, struct hb_outcome *out, struct hb_buf *text)
{
	struct hb_buf path = HB_BUF_INIT(4096);
	bool literal = j->frame.kind == HB_LOCAL_FILE;
	int r = literal ? hb_buf_put(&path, j->frame.target)
			: local_expand(j->frame.target, v, true, &path);
	char name[4096];

	/* A wrong letter is the operator's; a value that is no name, as one
	 * with a slash, came with the address. */
	if (r == HB_E_SYNTAX && hb_template_mistake(j->frame.target).n == 0)
		refuse(out, text, HB_RESULT_FAIL, "5.1.3",
		    HB_REASON_ADDRESS_SYNTAX, "no mailbox has such a name");
	else if (r < 0 || hb_buf_span(&path).n == 0 ||
	    hb_span_copy(hb_buf_span(&path), name, sizeof(name)) < 0 ||
	    name[0] != '/')
		blame_configuration(out, text,
		    "the configured mailbox has no path that can be used");
	else if (!is_home_there(m->home, name, out, text))
		;
	else if (j->frame.kind == HB_LOCAL_MAILDIR)
		local_maildir(m, name, out, text);
	else
		local_mbox(m, name, out, text);
	hb_buf_free(&path);
}

/* Where nobody may write, the operator has to name somebody who may: root's
 * mail without an alias is the usual case. */
static void
explain_nobody(const struct local_job *j, struct hb_outcome *out,
    struct hb_buf *text)
{
	if (strcmp(j->as, HB_HELPER_NOBODY) != 0 || j->frame.user.n == 0 ||
	    hb_span_eq(j->frame.user, HB_SPAN("nobody")) ||
	    out->reason != HB_REASON_MAILBOX_TEMP ||
	    hb_span_eq(out->status, HB_SPAN(LOCAL_FULL)))
		return;
	out->status = HB_SPAN("4.3.5");
	out->reason = HB_REASON_NO_ACCOUNT;
	hb_buf_addf(text, "; mail for %.*s is written as nobody: aliases can "
	    "name somebody (%.*s: you)", HB_SPAN_ARG(j->frame.user),
	    HB_SPAN_ARG(j->frame.user));
}

static void
deliver(struct local_job *j, struct hb_outcome *out, struct hb_buf *text)
{
	const char *home = getenv("HOME");
	struct local_message m = { &j->env, &j->rcpt, hb_buf_span(&j->body),
		j->fd, hb_arena_cstr(j->arena, j->frame.hostname),
		home != NULL ? home : "/", LOCK_TRIES };
	struct local_vars v = { .user = j->frame.user,
		.home = hb_span_str(m.home), .address = j->rcpt.address };
	struct hb_span local;

	if (strcmp(j->as, HB_HELPER_LOST) == 0) {
		refuse(out, text, HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_NO_ACCOUNT, "the account that writes this mail "
		    "cannot be found now");
		return;
	}
	hb_addr_split(j->rcpt.address, &local, &v.domain);
	switch ((enum hb_local_kind)j->frame.kind) {
	case HB_LOCAL_MAILDIR:
	case HB_LOCAL_MBOX:
	case HB_LOCAL_FILE:
		deliver_path(j, &m, &v, out, text);
		explain_nobody(j, out, text);
		return;
	case HB_LOCAL_COMMAND:
		deliver_command(j, &m, &v, true, out, text);
		return;
	case HB_LOCAL_PIPE:
		deliver_command(j, &m, &v, false, out, text);
		return;
	case HB_LOCAL_NONE:
	case HB_LOCAL_COUNT:
		break;
	}
	blame_configuration(out, text, "no such kind of delivery");
}

static int
send_frames(struct hb_span s)
{
	while (s.n > 0) {
		ssize_t n = send(CHANNEL, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return EX_IOERR;
		s = hb_span_from(s, (size_t)n);
	}
	return EX_OK;
}

static int
report(struct local_job *j, struct hb_outcome *out, struct hb_buf *text)
{
	struct hb_buf record = HB_BUF_INIT(0), frames = HB_BUF_INIT(0);
	struct ipc_job_result result = { .job = j->frame.job, .id = j->env.id };
	struct ipc_job_done done = { .job = j->frame.job };
	int r;

	out->idx = j->rcpt.idx;
	out->text = hb_span_head(hb_buf_span(text), HB_MAX_REPLY_TEXT);
	if (hb_tlv_encode(&hb_outcome_record, out, &record) < 0)
		return EX_SOFTWARE;
	result.outcome = hb_buf_span(&record);
	if (hb_ipc_encode(HB_IPC_JOB_RESULT, &result, &frames) < 0 ||
	    hb_ipc_encode(HB_IPC_JOB_DONE, &done, &frames) < 0)
		return EX_SOFTWARE;
	r = send_frames(hb_buf_span(&frames));
	hb_buf_free(&record);
	hb_buf_free(&frames);
	return r;
}

int
main(int argc, char *argv[])
{
	struct local_job j = { .as = argc > 1 ? argv[1] : HB_HELPER_OWN,
		.in = HB_BUF_INIT(HB_MAX_IPC_FRAME + PIECE),
		.body = HB_BUF_INIT(HB_MAX_JOB_BYTES), .fd = -1,
		.pending_fd = -1 };
	struct hb_outcome out = { 0 };
	struct hb_buf text = HB_BUF_INIT(0);
	int r = EX_PROTOCOL;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* write(2) says it too */
	umask(077);
	/* It was made as one that never blocks.  The job may come later than
	 * we, and there is nothing to do but wait for it. */
	if (fcntl(CHANNEL, F_SETFL, 0) != 0)
		return EX_OSERR;
	if (read_job(&j)) {
		deliver(&j, &out, &text);
		r = report(&j, &out, &text);
	}
	hb_buf_free(&text);
	hb_buf_free(&j.in);
	hb_buf_free(&j.body);
	hb_arena_free(&j.arena);
	return r;
}
