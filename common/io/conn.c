/*
 * Connections: life, reading, STARTTLS.  Floor 3.  Output: conn_out.c.
 *
 * All connections receive into one shared buffer; input that the owner leaves
 * there at the end of its callback is copied to the connection.  An idle
 * connection therefore holds no buffer.
 */
#include "config.h"

#include "common/io/conn-priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/sock.h"
#include "common/io/tls-priv.h"

enum { READS_PER_TURN = 4 }; /* of CONN_SCRATCH bytes: others wait too */

unsigned char conn_scratch[CONN_SCRATCH];

static void on_io(void *ctx, unsigned what);
static void on_turn_end(void *ctx);

/* --- life --- */

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
	conn_drop_output(c);
	hb_buf_free(&c->in);
}

void
conn_enter(struct hb_conn *c)
{
	c->busy++;
}

static size_t
input_held(const struct hb_conn *c)
{
	return c->lent ? c->view.n : c->in.n;
}

/* Stop reading from a peer that provokes TLS-level replies but does not read
 * them. */
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

void
conn_leave(struct hb_conn *c)
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
	conn_enter(c);
	c->dead = true;
	release(c);
	conn_leave(c);
}

static void
tell_close(struct hb_conn *c, int err, int syserr)
{
	if (c->told || c->dead)
		return;
	c->told = true;
	c->ops->on_close(c->ctx, err, syserr);
}

void
conn_close(struct hb_conn *c, int err, int syserr)
{
	c->state = CLOSED;
	c->blocked = false;
	conn_drop_output(c);
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
		conn_close(c, HB_E_IO, e);
		return;
	}
	c->state = OPEN;
	if (c->head != NULL)
		hb_hook_arm(c->hook);
	c->ops->on_connected(c->ctx);
}

/* --- input --- */

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

bool
hb_conn_is_quiet(const struct hb_conn *c)
{
	unsigned char one;

	return c->state == OPEN && !c->eof && !c->more_inside &&
	    input_held(c) == 0 &&
	    recv(c->fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EINTR);
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
		hb_buf_add(&c->in, hb_span(conn_scratch, n));
		c->ops->on_input(c->ctx);
		return;
	}
	c->view = hb_span(conn_scratch, n);
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
	ssize_t n = recv(c->fd, conn_scratch, ask, 0);

	if (n > 0) {
		deliver(c, (size_t)n);
		return (size_t)n == ask;
	}
	if (n == 0)
		end_of_input(c);
	else if (errno != EAGAIN && errno != EINTR)
		conn_close(c, HB_E_IO, errno);
	return false;
}

static bool
read_tls(struct hb_conn *c, size_t ask)
{
	size_t got = 0;
	enum hb_tls_step r =
	    hb_tls_session_read(c->tls, conn_scratch, ask, &got);
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
		conn_close(c, e != 0 ? HB_E_IO : HB_E_TLS, e);
		break;
	}
	return false;
}

void
conn_read(struct hb_conn *c)
{
	bool more = true;

	for (int i = 0; i < READS_PER_TURN && more && may_read(c); i++) {
		size_t ask = c->max_input - input_held(c);

		if (ask > CONN_SCRATCH)
			ask = CONN_SCRATCH;
		more = c->tls != NULL ? read_tls(c, ask) : read_plain(c, ask);
	}
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

/* --- TLS --- */

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
		conn_drop_piece(c);
	}
	c->drain_due = false;
	c->facts = HB_NEW(struct hb_tls_facts);
	c->state = HANDSHAKE;
}

int
hb_conn_tls_server(struct hb_conn *c, struct hb_tls *t,
    const struct hb_tls_listener *l)
{
	/* With implicit TLS the peer speaks first. */
	int r = may_start_tls(c, c->head != NULL);

	if (r < 0)
		return r;
	start_tls(c);
	c->tls = hb_tls_session_server(t, c->fd, &c->raw, c->facts, l);
	settle(c);
	return 0;
}

int
hb_conn_tls_client(
    struct hb_conn *c, struct hb_tls *t, const struct hb_tls_want *want)
{
	int r = may_start_tls(c, true);

	if (r < 0)
		return r;
	start_tls(c);
	c->tls = hb_tls_session_client(t, c->fd, &c->raw, c->facts, want);
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

const char *
hb_conn_tls_error(const struct hb_conn *c)
{
	return c->tls != NULL ? hb_tls_session_error(c->tls) : "";
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
	conn_send_raw(c);
	c->ops->on_tls(c->ctx, c->facts);
	if (!c->dead)
		conn_close(c, HB_E_TLS, 0);
}

/* --- what the loop calls --- */

static void
read_ready(struct hb_conn *c)
{
	switch (c->state) {
	case OPEN:
		conn_read(c);
		break;
	case HANDSHAKE:
		shake_hands(c);
		break;
	case LINGER:
		conn_discard_input(c);
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

	conn_enter(c);
	if (c->state == CONNECTING) {
		finish_connect(c);
	} else {
		if (what & HB_IO_READ)
			read_ready(c);
		if (!c->dead && (what & HB_IO_WRITE) != 0)
			conn_flush(c);
	}
	conn_leave(c);
}

static void
on_turn_end(void *ctx)
{
	struct hb_conn *c = ctx;

	conn_enter(c);
	if (c->fail_errno != 0) {
		conn_close(c, HB_E_IO, c->fail_errno);
	} else if (c->shutting &&
		   (c->state == CONNECTING || c->state == HANDSHAKE)) {
		conn_close(c, 0, 0); /* nothing can be written */
	} else {
		if (c->more_inside)
			read_ready(c);
		if (!c->dead && !c->blocked)
			conn_flush(c);
	}
	conn_leave(c);
}
