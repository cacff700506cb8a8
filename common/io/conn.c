/*
 * Connections: reading, gathered writing, files, STARTTLS.  Floor 3.
 *
 * Output waits as pieces (bytes, then perhaps a file) until the end of the
 * loop's turn.  Bytes that go out as they are (TLS records, and what was
 * queued in clear when TLS was started) stand in `raw', before all pieces.
 *
 * Input is received into one buffer that all connections share; what the
 * owner leaves there at the end of its callback is copied to the connection.
 * So an idle connection holds no buffer at all.
 */
#include "config.h"

#include "common/io/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/sock.h"
#include "common/io/tls-priv.h"

enum {
	READS_PER_TURN = 4,       /* of SCRATCH bytes: others wait too */
	WRITE_PER_TURN = 1 << 20, /* bytes */
	RAW_MOST = 64 * 1024,     /* records made ahead of the socket */
	RECORD = 16 * 1024,       /* plain bytes of one record */
	LINGER_MS = 2000
};

static unsigned char scratch[64 * 1024];

enum state {
	CONNECTING,
	OPEN,
	HANDSHAKE,
	LINGER, /* all is written; input is thrown away until the peer ends */
	CLOSED
};

/* Output: BYTES, then LEFT bytes of FILE from AT. */
struct piece {
	struct piece *next;
	struct hb_buf bytes;
	int file;
	off_t at;
	uint64_t left;
};

struct hb_conn {
	struct hb_loop *loop;
	const struct hb_conn_ops *ops;
	void *ctx;
	struct hb_io *io;
	struct hb_hook *hook;
	struct hb_timer *linger;
	int fd;
	enum state state;
	unsigned busy;  /* our functions on the stack: freed by the last */
	int fail_errno; /* connect failed at once: told by the hook */
	bool dead;      /* hb_conn_free was called */
	bool paused;
	bool eof;         /* nothing more will be read */
	bool told;        /* on_close was called */
	bool blocked;     /* the socket took less than it was given */
	bool drain_due;   /* output was queued since the last on_drain */
	bool shutting;    /* close when all is written */
	bool ended;       /* close_notify is queued */
	bool more_inside; /* TLS holds bytes that no event will announce */
	bool lent;        /* the owner is looking at VIEW */
	size_t max_input;
	struct hb_span view; /* in scratch */
	struct hb_buf in;
	struct piece *head, *tail;
	struct hb_buf raw;
	struct hb_tls_session *tls;
	struct hb_tls_facts *facts;
};

static const struct hb_tls_facts no_facts;

static void on_io(void *ctx, unsigned what);
static void on_turn_end(void *ctx);

/* Life */

static void
drop_output(struct hb_conn *c)
{
	while (c->head != NULL) {
		struct piece *p = c->head;

		c->head = p->next;
		hb_buf_free(&p->bytes);
		free(p);
	}
	c->tail = NULL;
	hb_buf_free(&c->raw);
}

/* Gives back all but the struct and the facts. */
static void
release(struct hb_conn *c)
{
	hb_tls_session_free(&c->tls);
	hb_io_free(&c->io);
	hb_hook_free(&c->hook);
	hb_timer_free(&c->linger);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	drop_output(c);
	hb_buf_free(&c->in);
}

static void
enter(struct hb_conn *c)
{
	c->busy++;
}

static size_t
input_held(const struct hb_conn *c)
{
	return c->lent ? c->view.n : c->in.n;
}

/* A peer that asks for answers of TLS itself and takes none is not read. */
static bool
may_read(const struct hb_conn *c)
{
	return c->raw.n < 2 * RAW_MOST && !c->dead && c->state == OPEN &&
	       !c->paused && !c->eof && !c->shutting &&
	       input_held(c) < c->max_input;
}

static unsigned
wanted(const struct hb_conn *c)
{
	unsigned want = c->blocked ? HB_IO_WRITE : 0;

	switch (c->state) {
	case CONNECTING:
		return HB_IO_WRITE;
	case OPEN:
		return want | (may_read(c) ? HB_IO_READ : 0);
	case HANDSHAKE:
	case LINGER:
		return want | HB_IO_READ;
	case CLOSED:
		return 0;
	}
	return 0;
}

/* Settles what the loop is to watch, unless a function of ours that will do
 * so is on the stack. */
static void
settle(struct hb_conn *c)
{
	bool inside = c->more_inside && (may_read(c) || c->state == HANDSHAKE);
	bool raw = c->raw.n > 0 && !c->blocked && c->state != CLOSED;

	if (c->busy > 0 || c->io == NULL)
		return;
	if (inside || raw)
		hb_hook_arm(c->hook);
	hb_io_want(c->io, wanted(c));
}

static void
leave(struct hb_conn *c)
{
	if (--c->busy > 0)
		return;
	if (c->dead) {
		free(c->facts);
		free(c);
		return;
	}
	if (c->in.n == 0 && c->in.p != NULL)
		hb_buf_free(&c->in);
	settle(c);
}

void
hb_conn_free(struct hb_conn **cp)
{
	struct hb_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	enter(c);
	c->dead = true;
	release(c);
	leave(c);
}

static void
tell_close(struct hb_conn *c, int err, int syserr)
{
	if (c->told || c->dead)
		return;
	c->told = true;
	c->ops->on_close(c->ctx, err, syserr);
}

static void
close_now(struct hb_conn *c, int err, int syserr)
{
	c->state = CLOSED;
	c->blocked = false;
	drop_output(c);
	tell_close(c, err, syserr);
}

static struct hb_conn *
conn_new(struct hb_loop *l, int fd, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx)
{
	struct hb_conn *c = HB_NEW(struct hb_conn);
	int on = 1;

	c->loop = l;
	c->fd = fd;
	c->max_input = max_input;
	c->ops = ops;
	c->ctx = ctx;
	c->hook = hb_hook_new(l, on_turn_end, c);
	if (fd < 0)
		return c;
	(void)ioctl(fd, FIONBIO, &on);
	c->io = hb_io_new(l, fd, on_io, c);
	return c;
}

struct hb_conn *
hb_conn_attach(struct hb_loop *l, int fd, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx)
{
	struct hb_conn *c = conn_new(l, fd, max_input, ops, ctx);

	c->state = OPEN;
	hb_io_want(c->io, HB_IO_READ);
	return c;
}

struct hb_conn *
hb_conn_accept(struct hb_loop *l, int fd, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx)
{
	hb_sock_set_nodelay(fd);
	return hb_conn_attach(l, fd, max_input, ops, ctx);
}

static int
bind_source(int fd, const struct hb_netaddr *from)
{
	struct sockaddr_storage sa;
	socklen_t len = hb_sock_from_netaddr(from, &sa);

	if (from->port == 0) {
		int on = 1;

		/* The port is chosen at connect: more of them fit. */
		(void)setsockopt(
		    fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	}
	return bind(fd, (struct sockaddr *)&sa, len) == 0 ? 0 : errno;
}

/* 0, EINPROGRESS, or what went wrong. */
static int
start_connect(
    int fd, const struct hb_netaddr *to, const struct hb_netaddr *from)
{
	struct sockaddr_storage sa;
	socklen_t len = hb_sock_from_netaddr(to, &sa);
	int e;

	if (fd < 0)
		return errno;
	if (from != NULL && (e = bind_source(fd, from)) != 0)
		return e;
	return connect(fd, (struct sockaddr *)&sa, len) == 0 ? 0 : errno;
}

struct hb_conn *
hb_conn_connect(struct hb_loop *l, const struct hb_netaddr *to,
    const struct hb_netaddr *from, size_t max_input,
    const struct hb_conn_ops *ops, void *ctx)
{
	int fd = socket(to->family == 6 ? AF_INET6 : AF_INET,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int e = start_connect(fd, to, from);
	struct hb_conn *c = conn_new(l, fd, max_input, ops, ctx);

	c->state = CONNECTING;
	if (e != 0 && e != EINPROGRESS) {
		c->fail_errno = e;
		hb_hook_arm(c->hook);
		return c;
	}
	hb_sock_set_nodelay(fd);
	hb_io_want(c->io, HB_IO_WRITE);
	return c;
}

static void
finish_connect(struct hb_conn *c)
{
	int e = 0;
	socklen_t len = sizeof(e);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0)
		e = errno;
	if (e != 0) {
		close_now(c, HB_E_IO, e);
		return;
	}
	c->state = OPEN;
	if (c->head != NULL)
		hb_hook_arm(c->hook);
	c->ops->on_connected(c->ctx);
}

/* Input */

struct hb_span
hb_conn_input(const struct hb_conn *c)
{
	return c->lent ? c->view : hb_buf_span(&c->in);
}

void
hb_conn_consume(struct hb_conn *c, size_t n)
{
	HB_ASSERT(n <= input_held(c));
	if (c->lent) {
		c->view = hb_span_from(c->view, n);
	} else {
		hb_buf_consume(&c->in, n);
		/* The owner may still look at what it consumed: the memory
		 * goes at the end of the turn. */
		if (c->in.n == 0)
			hb_hook_arm(c->hook);
	}
	settle(c);
}

void
hb_conn_pause(struct hb_conn *c, bool pause)
{
	c->paused = pause;
	settle(c);
}

/* N bytes stand in scratch. */
static void
deliver(struct hb_conn *c, size_t n)
{
	if (c->in.n > 0) {
		hb_buf_add(&c->in, hb_span(scratch, n));
		c->ops->on_input(c->ctx);
		return;
	}
	c->view = hb_span(scratch, n);
	c->lent = true;
	c->ops->on_input(c->ctx);
	if (c->dead)
		return;
	c->lent = false;
	if (c->view.n > 0)
		hb_buf_add(&c->in, c->view);
}

static void
end_of_input(struct hb_conn *c)
{
	c->eof = true;
	c->more_inside = false;
	tell_close(c, 0, 0);
}

/* True: there may be more to read at once. */
static bool
read_plain(struct hb_conn *c, size_t ask)
{
	ssize_t n = recv(c->fd, scratch, ask, 0);

	if (n > 0) {
		deliver(c, (size_t)n);
		return (size_t)n == ask;
	}
	if (n == 0)
		end_of_input(c);
	else if (errno != EAGAIN && errno != EINTR)
		close_now(c, HB_E_IO, errno);
	return false;
}

static bool
read_tls(struct hb_conn *c, size_t ask)
{
	size_t got = 0;
	enum hb_tls_step r = hb_tls_session_read(c->tls, scratch, ask, &got);
	int e = hb_tls_session_syserr(c->tls);

	c->more_inside = hb_tls_session_pending(c->tls);
	switch (r) {
	case HB_TLS_STEP_OK:
		deliver(c, got);
		return !c->dead && c->more_inside;
	case HB_TLS_STEP_WANT:
		break;
	case HB_TLS_STEP_CLOSED:
		end_of_input(c);
		break;
	case HB_TLS_STEP_FAILED:
		c->more_inside = false;
		close_now(c, e != 0 ? HB_E_IO : HB_E_TLS, e);
		break;
	}
	return false;
}

static void
read_some(struct hb_conn *c)
{
	bool more = true;

	for (int i = 0; i < READS_PER_TURN && more && may_read(c); i++) {
		size_t ask = c->max_input - input_held(c);

		if (ask > sizeof(scratch))
			ask = sizeof(scratch);
		more = c->tls != NULL ? read_tls(c, ask) : read_plain(c, ask);
	}
}

/* Output */

enum sent { SENT, BLOCKED, BROKEN };

static enum sent
not_sent(int e)
{
	return e == EAGAIN || e == EINTR ? BLOCKED : BROKEN;
}

static enum sent
send_bytes(struct hb_conn *c, struct hb_buf *b, int flags)
{
	ssize_t n;

	if (b->n == 0)
		return SENT;
	n = send(c->fd, b->p + b->off, b->n, MSG_NOSIGNAL | flags);
	if (n < 0)
		return not_sent(errno);
	hb_buf_consume(b, (size_t)n);
	if (b->n > 0)
		return BLOCKED;
	hb_buf_free(b);
	return SENT;
}

static enum sent
send_file(struct hb_conn *c, struct piece *p)
{
	size_t most =
	    p->left < WRITE_PER_TURN ? (size_t)p->left : WRITE_PER_TURN;
	ssize_t n = sendfile(c->fd, p->file, &p->at, most);

	if (n < 0)
		return not_sent(errno);
	if (n == 0) { /* shorter than it was said to be */
		errno = EIO;
		return BROKEN;
	}
	p->left -= (uint64_t)n;
	return p->left > 0 ? BLOCKED : SENT;
}

static void
drop_piece(struct hb_conn *c)
{
	struct piece *p = c->head;

	c->head = p->next;
	if (c->head == NULL)
		c->tail = NULL;
	hb_buf_free(&p->bytes);
	free(p);
}

static enum sent
send_piece(struct hb_conn *c)
{
	struct piece *p = c->head;
	bool more = p->left > 0 || p->next != NULL;
	enum sent r = send_bytes(c, &p->bytes, more ? MSG_MORE : 0);

	if (r == SENT && p->left > 0)
		r = send_file(c, p);
	if (r == SENT)
		drop_piece(c);
	return r;
}

/* Makes one record of a piece's next bytes. */
static enum sent
make_record(struct hb_conn *c)
{
	struct piece *p = c->head;
	struct hb_span s = hb_span_head(hb_buf_span(&p->bytes), RECORD);

	if (s.n == 0) {
		size_t most = p->left < RECORD ? (size_t)p->left : RECORD;
		ssize_t n = pread(p->file, scratch, most, p->at);

		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return BROKEN;
		}
		s = hb_span(scratch, (size_t)n);
	}
	if (hb_tls_session_write(c->tls, s) != HB_TLS_STEP_OK) {
		errno = EPROTO;
		return BROKEN;
	}
	if (p->bytes.n > 0) {
		hb_buf_consume(&p->bytes, s.n);
	} else {
		p->at += (off_t)s.n;
		p->left -= s.n;
	}
	if (p->bytes.n == 0 && p->left == 0)
		drop_piece(c);
	return SENT;
}

static enum sent
send_records(struct hb_conn *c)
{
	while (c->head != NULL && c->raw.n < RAW_MOST) {
		enum sent r = make_record(c);

		if (r != SENT)
			return r;
	}
	return send_bytes(c, &c->raw, 0);
}

static enum sent
send_all(struct hb_conn *c)
{
	enum sent r = send_bytes(c, &c->raw, 0);

	if (c->state == HANDSHAKE)
		return r;
	for (int i = 0; r == SENT && c->head != NULL; i++) {
		if (i == WRITE_PER_TURN / RAW_MOST)
			return BLOCKED;
		r = c->tls != NULL ? send_records(c) : send_piece(c);
	}
	return r;
}

/* Writing failed.  The peer may have said why before it closed. */
static void
write_broken(struct hb_conn *c, int e)
{
	drop_output(c);
	read_some(c);
	if (!c->dead)
		close_now(c, HB_E_IO, e);
}

static void
on_linger_end(void *ctx)
{
	struct hb_conn *c = ctx;

	enter(c);
	close_now(c, 0, 0);
	leave(c);
}

static void
discard_input(struct hb_conn *c)
{
	ssize_t n = recv(c->fd, scratch, sizeof(scratch), 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_now(c, 0, 0);
}

/*
 * All is written.  Closing while input waits would make the kernel reset the
 * connection and the peer lose our last words: then it is read first.
 */
static void
finish(struct hb_conn *c)
{
	if (c->eof || recv(c->fd, scratch, sizeof(scratch), 0) <= 0) {
		close_now(c, 0, 0);
		return;
	}
	(void)shutdown(c->fd, SHUT_WR);
	c->state = LINGER;
	c->linger = hb_timer_new(c->loop, on_linger_end, c);
	hb_timer_set(c->linger, LINGER_MS);
}

static void
all_written(struct hb_conn *c)
{
	bool tell = c->drain_due;

	c->drain_due = false;
	if (tell)
		c->ops->on_drain(c->ctx);
	if (c->dead || !c->shutting || c->head != NULL)
		return;
	if (c->tls != NULL && !c->ended) {
		c->ended = true;
		hb_tls_session_end(c->tls);
		/* Best effort: the peer needs no word to see the end. */
		(void)send_bytes(c, &c->raw, 0);
	}
	finish(c);
}

static void
flush(struct hb_conn *c)
{
	enum sent r;

	if (c->state != OPEN && c->state != HANDSHAKE)
		return;
	r = send_all(c);
	c->blocked = r == BLOCKED;
	if (r == BROKEN)
		write_broken(c, errno);
	else if (r == SENT && c->state == OPEN)
		all_written(c);
}

size_t
hb_conn_pending(const struct hb_conn *c)
{
	uint64_t n = c->raw.n;

	for (const struct piece *p = c->head; p != NULL; p = p->next)
		n += p->bytes.n + p->left;
	return n < SIZE_MAX ? (size_t)n : SIZE_MAX;
}

/* The piece that takes more output, or NULL when none is taken any more. */
static struct piece *
open_piece(struct hb_conn *c)
{
	struct piece *p = c->tail;

	if (c->state == CLOSED || c->state == LINGER)
		return NULL;
	if (p == NULL || p->left > 0) {
		p = HB_NEW(struct piece);
		if (c->tail != NULL)
			c->tail->next = p;
		else
			c->head = p;
		c->tail = p;
	}
	c->drain_due = true;
	if (!c->blocked)
		hb_hook_arm(c->hook);
	return p;
}

void
hb_conn_write(struct hb_conn *c, struct hb_span s)
{
	struct piece *p = s.n > 0 ? open_piece(c) : NULL;

	if (p != NULL)
		hb_buf_add(&p->bytes, s);
}

void
hb_conn_write_file(struct hb_conn *c, int fd, uint64_t offset, uint64_t len)
{
	struct piece *p = len > 0 ? open_piece(c) : NULL;

	if (p == NULL)
		return;
	p->file = fd;
	p->at = (off_t)offset;
	p->left = len;
}

void
hb_conn_shutdown(struct hb_conn *c)
{
	c->shutting = true;
	c->told = c->state == CLOSED;
	if (!c->blocked)
		hb_hook_arm(c->hook);
	settle(c);
}

/* TLS */

/*
 * SILENT: the peer had nothing to say yet, so that whatever the socket holds
 * was put there in clear, by it or by somebody between us.
 */
static int
may_start_tls(const struct hb_conn *c, bool silent)
{
	unsigned char one;

	if (c->state != OPEN || c->tls != NULL || c->eof || c->shutting ||
	    input_held(c) > 0)
		return HB_E_STATE;
	for (const struct piece *p = c->head; p != NULL; p = p->next)
		if (p->left > 0)
			return HB_E_STATE;
	if (silent && recv(c->fd, &one, 1, MSG_PEEK) > 0)
		return HB_E_STATE;
	return 0;
}

static void
start_tls(struct hb_conn *c)
{
	/* What was queued in clear goes out in clear. */
	while (c->head != NULL) {
		hb_buf_add(&c->raw, hb_buf_span(&c->head->bytes));
		drop_piece(c);
	}
	c->drain_due = false;
	c->facts = HB_NEW(struct hb_tls_facts);
	c->state = HANDSHAKE;
}

int
hb_conn_tls_server(struct hb_conn *c, struct hb_tls *t)
{
	/* With implicit TLS the peer speaks first. */
	int r = may_start_tls(c, c->head != NULL);

	if (r < 0)
		return r;
	start_tls(c);
	c->tls = hb_tls_session_server(t, c->fd, &c->raw, c->facts);
	settle(c);
	return 0;
}

int
hb_conn_tls_client(struct hb_conn *c, struct hb_tls *t, const char *name)
{
	int r = may_start_tls(c, true);

	if (r < 0)
		return r;
	start_tls(c);
	c->tls = hb_tls_session_client(t, c->fd, &c->raw, c->facts, name);
	/* The hook begins the handshake. */
	c->more_inside = true;
	hb_hook_arm(c->hook);
	settle(c);
	return 0;
}

bool
hb_conn_tls_named(const struct hb_conn *c, const char *name)
{
	return c->tls != NULL && hb_tls_session_named(c->tls, name);
}

static void
shake_hands(struct hb_conn *c)
{
	enum hb_tls_step r = hb_tls_session_handshake(c->tls);

	c->more_inside = false;
	if (r == HB_TLS_STEP_WANT)
		return;
	if (r == HB_TLS_STEP_OK) {
		/* The peer's first words may have come along. */
		c->more_inside = hb_tls_session_pending(c->tls);
		c->state = OPEN;
		if (c->head != NULL)
			hb_hook_arm(c->hook);
		c->ops->on_tls(c->ctx, c->facts);
		return;
	}
	/* The alert, best effort: it tells the peer why. */
	(void)send_bytes(c, &c->raw, 0);
	c->ops->on_tls(c->ctx, c->facts);
	if (!c->dead)
		close_now(c, HB_E_TLS, 0);
}

/* What the loop calls */

static void
read_ready(struct hb_conn *c)
{
	switch (c->state) {
	case OPEN:
		read_some(c);
		break;
	case HANDSHAKE:
		shake_hands(c);
		break;
	case LINGER:
		discard_input(c);
		break;
	case CONNECTING:
	case CLOSED:
		break;
	}
}

static void
on_io(void *ctx, unsigned what)
{
	struct hb_conn *c = ctx;

	enter(c);
	if (c->state == CONNECTING) {
		finish_connect(c);
	} else {
		if (what & HB_IO_READ)
			read_ready(c);
		if (!c->dead && (what & HB_IO_WRITE) != 0)
			flush(c);
	}
	leave(c);
}

static void
on_turn_end(void *ctx)
{
	struct hb_conn *c = ctx;

	enter(c);
	if (c->fail_errno != 0) {
		close_now(c, HB_E_IO, c->fail_errno);
	} else if (c->shutting &&
		   (c->state == CONNECTING || c->state == HANDSHAKE)) {
		close_now(c, 0, 0); /* nothing can be written */
	} else {
		if (c->more_inside)
			read_ready(c);
		if (!c->dead && !c->blocked)
			flush(c);
	}
	leave(c);
}

/* What is known */

const struct hb_tls_facts *
hb_conn_facts(const struct hb_conn *c)
{
	return c->facts != NULL ? c->facts : &no_facts;
}

bool
hb_conn_remote(const struct hb_conn *c, struct hb_netaddr *out)
{
	return hb_sock_remote(c->fd, out);
}

bool
hb_conn_local(const struct hb_conn *c, struct hb_netaddr *out)
{
	return hb_sock_local(c->fd, out);
}
