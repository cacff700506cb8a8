/* One connection on the control socket.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"

enum {
	QUESTION_MS = 10000,  /* to send the question */
	PATIENCE_MS = 30000,  /* without a sign of life of role or client */
	TELL_MS = 5000,	      /* until who waits is told what for, and again */
	TELL_MOST = 30,
	READ_SIZE = 16384
};

void
ctl_client_free(struct ctl_client **cp)
{
	struct ctl_client *c = *cp;

	*cp = NULL;
	if (c->free_state != NULL)
		c->free_state(c);
	ctl_asks_drop(c);
	TAILQ_REMOVE(&c->ctl->clients, c, link);
	c->ctl->nclients--;
	hb_io_free(&c->io);
	hb_timer_free(&c->timer);
	hb_hook_free(&c->write);
	hb_buf_free(&c->in);
	hb_buf_free(&c->out);
	hb_buf_free(&c->text);
	hb_buf_free(&c->user);
	hb_buf_free(&c->more);
	close(c->fd);
	free(c);
}

/* --- the question --- */

static void
refuse(struct ctl_client *c, const char *why, unsigned code)
{
	ctl_err(c, why);
	ctl_exit(c, code);
}

static void
start(struct ctl_client *c)
{
	int r = hb_ctl_cmd_find(c->q.words, c->q.nwords, &c->cmd_no);

	if (r < 0) {
		refuse(c, r == HB_E_RANGE ? "wrong number of arguments"
					  : "no such command", EX_USAGE);
		return;
	}
	if (!c->owner && !hb_ctl_cmds[c->cmd_no].for_all) {
		HB_LOG(HB_LOG_WARN, HB_EV_CONTROL,
		    hb_kv_str(HB_K_ACTION, hb_ctl_cmds[c->cmd_no].words),
		    hb_kv_int(HB_K_USER, c->uid),
		    hb_kv_str(HB_K_RESULT, "refused"));
		refuse(c, "only root and the account of the server may do that",
		    EX_NOPERM);
		return;
	}
	c->nargs = c->q.nwords - (size_t)r;
	memcpy(c->args, c->q.words + r, c->nargs * sizeof(c->args[0]));
	c->cmd = &ctl_cmds[c->cmd_no];
	HB_LOG(HB_LOG_DEBUG, HB_EV_CONTROL,
	    hb_kv_str(HB_K_ACTION, hb_ctl_cmds[c->cmd_no].words),
	    hb_kv_int(HB_K_USER, c->uid));
	c->cmd->begin(c);
	if (c->cmd->waits_for != NULL)
		hb_timer_set(c->timer, TELL_MS);
}

/* False: the client is gone. */
static bool
read_some(struct ctl_client *c)
{
	struct hb_buf *to = c->input != NULL ? &c->more : &c->in;
	unsigned char *room;
	ssize_t n;

	if (hb_buf_reserve(to, READ_SIZE, &room) < 0)
		return false;
	n = recv(c->fd, room, READ_SIZE, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ||
		    errno == EINTR;
	hb_buf_added(to, (size_t)n);
	if (c->input != NULL)
		c->alive_ms = hb_mono_ms();
	return n > 0;
}

static bool
takes_input(const struct hb_ctl_question *q)
{
	enum hb_ctl_cmd cmd;

	return hb_ctl_cmd_find(q->words, q->nwords, &cmd) > 0 &&
	    hb_ctl_cmds[cmd].takes_file;
}

/* One question; something behind it only where the command reads it. */
static void
on_question(struct ctl_client *c)
{
	int used = hb_ctl_question_parse(hb_buf_span(&c->in), &c->q);

	if (used == 0)
		return;
	if (used < 0 || ((size_t)used != c->in.n && !takes_input(&c->q))) {
		refuse(c, "not a question", EX_PROTOCOL);
		return;
	}
	hb_buf_add(&c->more, hb_span_from(hb_buf_span(&c->in), (size_t)used));
	start(c);
}

static void
on_input(struct ctl_client *c)
{
	if (c->cmd == NULL && !c->leaving)
		on_question(c);
	if (c->input != NULL && !c->leaving)
		c->input(c);
}

/* --- the answer --- */

/* False: the client is gone. */
static bool
write_some(struct ctl_client *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p + c->out.off, c->out.n,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		hb_buf_consume(&c->out, (size_t)n);
		c->alive_ms = hb_mono_ms();
	}
	return true;
}

static void
on_write(void *ctx)
{
	struct ctl_client *c = ctx;
	bool was_full = ctl_client_is_full(c);

	if (!write_some(c) || (c->leaving && c->out.n == 0)) {
		ctl_client_free(&c);
		return;
	}
	ctl_want(c);
	if (!was_full || ctl_client_is_full(c))
		return;
	for (size_t i = 0; i < c->nasks; i++)
		if (c->asks[i]->peer != NULL)
			ctl_balance(c->ctl, c->asks[i]->peer);
}

static void
on_ready(void *ctx, unsigned what)
{
	struct ctl_client *c = ctx;

	if ((what & HB_IO_WRITE) != 0)
		hb_hook_arm(c->write);
	if ((what & HB_IO_READ) == 0)
		return;
	if (read_some(c))
		on_input(c);
	else
		ctl_client_free(&c);
}

/* The line is no answer, so it goes to standard error.  It prolongs the
 * client's life TELL_MOST times at most. */
static void
tell_wait(struct ctl_client *c)
{
	char line[256];

	if (c->cmd == NULL || c->cmd->waits_for == NULL || c->leaving ||
	    c->told == TELL_MOST)
		return;
	snprintf(line, sizeof(line), "still waiting (%u s) for %s",
	    ++c->told * TELL_MS / 1000, c->cmd->waits_for(c));
	ctl_err(c, line);
	hb_hook_arm(c->write);
}

/* Time is over where nothing happened for long. */
static void
on_timer(void *ctx)
{
	struct ctl_client *c = ctx;
	int64_t patience = c->cmd == NULL ? QUESTION_MS
	    : c->cmd->patience_ms > 0	  ? c->cmd->patience_ms
					  : PATIENCE_MS;
	int64_t left = c->alive_ms + patience - hb_mono_ms();

	if (left > 0 && !c->too_slow) {
		tell_wait(c);
		hb_timer_set(c->timer, c->told > 0 && left > TELL_MS
			? TELL_MS : left);
	} else if (c->leaving || c->cmd == NULL || c->out.n > 0 ||
	    c->too_slow) {
		ctl_client_free(&c);
	} else {
		refuse(c, "no answer in time", 1);
		c->alive_ms = hb_mono_ms();
		hb_timer_set(c->timer, PATIENCE_MS);
	}
}

void
ctl_client_new(struct ctl *ctl, int fd)
{
	struct ctl_client *c = HB_NEW(struct ctl_client);
	struct ucred who;
	socklen_t len = sizeof(who);

	c->ctl = ctl;
	c->fd = fd;
	c->uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		c->uid = who.uid;
	c->owner = c->uid == 0 || c->uid == geteuid();
	c->in = HB_BUF_INIT(HB_MAX_CONTROL_LINE + READ_SIZE);
	c->more = HB_BUF_INIT(0);
	c->out = HB_BUF_INIT(0);
	c->text = HB_BUF_INIT(0);
	c->user = HB_BUF_INIT(0);
	c->alive_ms = hb_mono_ms();
	c->io = hb_io_new(ctl->env->loop, fd, on_ready, c);
	c->timer = hb_timer_new(ctl->env->loop, on_timer, c);
	c->write = hb_hook_new(ctl->env->loop, on_write, c);
	hb_io_want(c->io, HB_IO_READ);
	hb_timer_set(c->timer, QUESTION_MS);
	TAILQ_INSERT_TAIL(&ctl->clients, c, link);
	ctl->nclients++;
}
