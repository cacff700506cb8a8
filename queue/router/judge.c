/* The connection to Dovecot.  Floor 3. */
#include "config.h"

#include "queue/router/judge.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/sock.h"
#include "common/io/trouble.h"

enum {
	ANSWER_MS = 10000, /* of a question, with the connecting */
	SWEEP_MS = 500,
	WAITING_MAX = 1000,
	OUTPUT_MAX = 4 << 20
};

struct judged {
	TAILQ_ENTRY(judged) link;
	uint32_t id;
	struct hb_buf line; /* has a password; empty: it was sent */
	struct hb_buf *user;
	rt_found_fn cb;
	void *ctx;
	int64_t asked_ms;
};

struct rt_judge {
	struct hb_loop *loop;
	void (*connect)(void *ctx, uint32_t ref, const char *path);
	void *ctx;
	const char *path;
	int fd; /* -1: none */
	struct hb_io *io;
	struct hb_timer *sweep;
	struct rt_dovecot state;
	struct hb_buf in, out;
	TAILQ_HEAD(, judged) asked; /* oldest first */
	unsigned n;
	uint32_t ids, ref; /* ref: of the connection that is waited for, or 0 */
	uint32_t refs;
};

static void
finish(struct rt_judge *j, struct judged *q, enum rt_found found)
{
	rt_found_fn cb = q->cb;
	void *ctx = q->ctx;

	TAILQ_REMOVE(&j->asked, q, link);
	j->n--;
	hb_buf_wipe(&q->line);
	free(q);
	cb(ctx, found);
}

static void
hang_up(struct rt_judge *j)
{
	hb_io_free(&j->io);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	hb_buf_clear(&j->in);
	hb_buf_wipe(&j->out);
	j->state = (struct rt_dovecot){ .ready = false };
}

/* Nobody's password is wrong for that. */
static void
broken(struct rt_judge *j, const char *why)
{
	unsigned n = j->n;
	bool asked = n > 0;

	hang_up(j);
	j->ref = 0;
	if (asked)
		hb_trouble_begin(HB_EV_MAP, hb_span_str(j->path),
		    hb_span_str(why));
	/* What a callback asks anew waits for a new connection. */
	while (n-- > 0)
		finish(j, TAILQ_FIRST(&j->asked), RT_TEMP);
}

static void
flush(struct rt_judge *j)
{
	while (j->out.n > 0) {
		ssize_t n = send(j->fd, j->out.p + j->out.off, j->out.n,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) /* what is broken shows when it is read */
			break;
		hb_buf_consume(&j->out, (size_t)n);
	}
	hb_io_want(j->io, HB_IO_READ | (j->out.n > 0 ? HB_IO_WRITE : 0));
	if (j->out.n == 0)
		hb_buf_wipe(&j->out);
}

/* All that could not be sent before. */
static void
send_asked(struct rt_judge *j)
{
	struct judged *q;

	TAILQ_FOREACH (q, &j->asked, link) {
		hb_buf_add(&j->out, hb_buf_span(&q->line));
		hb_buf_wipe(&q->line);
	}
	flush(j);
}

static struct judged *
find(struct rt_judge *j, uint32_t id)
{
	struct judged *q;

	TAILQ_FOREACH (q, &j->asked, link)
		if (q->id == id)
			return q;
	return NULL;
}

/* A name that cannot be used is no login; an answer to nothing comes late. */
static void
answered(struct rt_judge *j, const struct rt_dovecot_answer *a)
{
	struct judged *q = find(j, a->id);
	struct hb_buf user = HB_BUF_INIT(0);
	enum rt_found found = a->found;

	if (q == NULL || q->line.n > 0)
		return;
	if (found == RT_FOUND && a->user.n > 0) {
		if (rt_dovecot_user(a->user, &user) < 0)
			found = RT_TEMP;
		hb_buf_clear(q->user);
		hb_buf_add(q->user, hb_buf_span(&user));
	}
	hb_buf_free(&user);
	hb_trouble_end(HB_EV_MAP, hb_span_str(j->path));
	finish(j, q, found);
}

/* The whole lines that are there. */
static const char *
take_lines(struct rt_judge *j)
{
	struct rt_dovecot_answer a;
	size_t n;

	while (j->fd >= 0 &&
	    (n = hb_span_find(hb_buf_span(&j->in), '\n')) < j->in.n) {
		bool was_ready = j->state.ready;
		int r = rt_dovecot_line(&j->state,
		    hb_span_head(hb_buf_span(&j->in), n), &a);

		if (r < 0)
			return "it does not speak Dovecot's authentication "
			       "protocol, or has no mechanism PLAIN";
		if (!was_ready && j->state.ready)
			send_asked(j);
		if (a.id != 0)
			answered(j, &a); /* spans of A are in the buffer */
		if (j->fd >= 0)
			hb_buf_consume(&j->in, n + 1);
	}
	return j->in.n >= RT_DOVECOT_LINE ? "its line is too long" : NULL;
}

static void
on_ready(void *ctx, unsigned what)
{
	struct rt_judge *j = ctx;
	unsigned char buf[RT_DOVECOT_LINE];
	const char *why;
	ssize_t n;

	if ((what & HB_IO_WRITE) != 0)
		flush(j);
	n = recv(j->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		broken(j, "it closed the connection");
		return;
	}
	hb_buf_add(&j->in, hb_span(buf, (size_t)n));
	why = take_lines(j);
	if (why != NULL)
		broken(j, why);
}

/* What waited too long is answered; a server that is silent is left. */
static void
on_sweep(void *ctx)
{
	struct rt_judge *j = ctx;
	struct judged *q = TAILQ_FIRST(&j->asked);

	if (q != NULL && hb_mono_ms() - q->asked_ms >= ANSWER_MS)
		broken(j, "no answer in time");
	if (!TAILQ_EMPTY(&j->asked))
		hb_timer_set(j->sweep, SWEEP_MS);
}

struct rt_judge *
rt_judge_new(struct hb_loop *l,
    void (*connect)(void *ctx, uint32_t ref, const char *path), void *ctx)
{
	struct rt_judge *j = HB_NEW(struct rt_judge);

	j->loop = l;
	j->connect = connect;
	j->ctx = ctx;
	j->fd = -1;
	j->sweep = hb_timer_new(l, on_sweep, j);
	TAILQ_INIT(&j->asked);
	return j;
}

void
rt_judge_set_path(struct rt_judge *j, const char *path)
{
	if (j->path != NULL && path != NULL && strcmp(j->path, path) == 0) {
		j->path = path;
		return;
	}
	broken(j, "another configuration");
	if (j->path != NULL)
		hb_trouble_end(HB_EV_MAP, hb_span_str(j->path));
	j->path = path;
}

void
rt_judge_free(struct rt_judge **j)
{
	if (*j == NULL)
		return;
	rt_judge_set_path(*j, NULL);
	hb_timer_free(&(*j)->sweep);
	hb_buf_free(&(*j)->in);
	free(*j);
	*j = NULL;
}

enum rt_found
rt_judge_ask(struct rt_judge *j, const struct ipc_auth *m,
    struct hb_buf *user, rt_found_fn cb, void *ctx)
{
	struct judged *q;

	if (j->path == NULL || j->n >= WAITING_MAX || j->out.n >= OUTPUT_MAX)
		return RT_TEMP;
	q = HB_NEW(struct judged);
	*q = (struct judged){ .id = ++j->ids != 0 ? j->ids : ++j->ids,
		.user = user, .cb = cb, .ctx = ctx, .asked_ms = hb_mono_ms() };
	rt_dovecot_ask(q->id, m, &q->line);
	TAILQ_INSERT_TAIL(&j->asked, q, link);
	j->n++;
	if (!hb_timer_is_set(j->sweep))
		hb_timer_set(j->sweep, SWEEP_MS);
	if (j->state.ready) {
		hb_buf_add(&j->out, hb_buf_span(&q->line));
		hb_buf_wipe(&q->line);
		flush(j);
	} else if (j->fd < 0 && j->ref == 0) {
		j->ref = ++j->refs != 0 ? j->refs : ++j->refs;
		j->connect(j->ctx, j->ref, j->path);
	}
	return RT_LATER;
}

void
rt_judge_endpoint(struct rt_judge *j, uint32_t ref, int fd)
{
	struct hb_buf why = HB_BUF_INIT(0);
	uint32_t pid;

	if (ref != j->ref || (fd >= 0 && hb_sock_set_nonblock(fd) < 0)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	j->ref = 0;
	if (fd < 0) {
		hb_buf_addf(&why, "cannot be reached: %s", strerror(-fd));
		broken(j, hb_buf_cstr(&why));
		hb_buf_free(&why);
		return;
	}
	j->fd = fd;
	j->io = hb_io_new(j->loop, fd, on_ready, j);
	hb_random(&pid, sizeof(pid)); /* a connection of its own, not a process */
	rt_dovecot_hello(pid >> 1, &j->out);
	flush(j);
}
