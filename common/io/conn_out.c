/*
 * Output of a connection: gathered writes, files, the end.  Floor 3.
 *
 * Output waits as pieces (bytes, then perhaps a file) until the end of the
 * loop's turn.  Bytes that are sent unchanged (TLS records, and cleartext
 * queued before TLS was started) are in `raw', before all pieces.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/conn-priv.h"
#include "common/io/tls-priv.h"

enum {
	WRITE_PER_TURN = 1 << 20, /* bytes */
	RECORD = 16 * 1024,       /* plain bytes of one record */
	LINGER_MS = 2000,
	LINGER_MOST = 1 << 20 /* bytes thrown away: a flood is not waited for */
};

enum sent { SENT, BLOCKED, BROKEN };

void
conn_drop_output(struct hb_conn *c)
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

void
conn_send_raw(struct hb_conn *c)
{
	(void)send_bytes(c, &c->raw, 0);
}

/*
 * The next bytes of a piece's file become its bytes.  What was looked at is
 * what goes out: the file is not read again.
 */
static enum sent
read_file(struct piece *p)
{
	size_t most = p->left < CONN_SCRATCH ? (size_t)p->left : CONN_SCRATCH;
	ssize_t n = pread(p->file, conn_scratch, most, p->at);
	struct hb_span s = hb_span(conn_scratch, n > 0 ? (size_t)n : 0);

	if (n <= 0) { /* 0: shorter than it was said to be */
		errno = n == 0 ? EIO : errno;
		return BROKEN;
	}
	p->at += (off_t)s.n;
	p->left -= s.n;
	(void)hb_wire_feed(&p->wire, s);
	if (p->left == 0)
		(void)hb_wire_end(&p->wire);
	if ((p->wire.seen & HB_WIRE_UNSAFE) != 0) {
		errno = EBADMSG;
		return BROKEN;
	}
	hb_buf_add(&p->bytes, s);
	return SENT;
}

void
conn_drop_piece(struct hb_conn *c)
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
		return read_file(p);
	if (r == SENT)
		conn_drop_piece(c);
	return r;
}

/* Makes one record of a piece's next bytes. */
static enum sent
make_record(struct hb_conn *c)
{
	struct piece *p = c->head;
	struct hb_span s;

	if (p->bytes.n == 0 && read_file(p) != SENT)
		return BROKEN;
	s = hb_span_head(hb_buf_span(&p->bytes), RECORD);
	if (hb_tls_session_write(c->tls, s) != HB_TLS_STEP_OK) {
		errno = EPROTO;
		return BROKEN;
	}
	hb_buf_consume(&p->bytes, s.n);
	if (p->bytes.n == 0 && p->left == 0)
		conn_drop_piece(c);
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
	conn_drop_output(c);
	if (e == EBADMSG) {
		conn_close(c, HB_E_CORRUPT, e);
		return;
	}
	conn_read(c);
	if (!c->dead)
		conn_close(c, HB_E_IO, e);
}

static void
on_linger_end(void *ctx)
{
	struct hb_conn *c = ctx;

	conn_enter(c);
	conn_close(c, 0, 0);
	conn_leave(c);
}

void
conn_discard_input(struct hb_conn *c)
{
	ssize_t n = recv(c->fd, conn_scratch, CONN_SCRATCH, 0);

	if (n > 0)
		c->discarded += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    c->discarded > LINGER_MOST)
		conn_close(c, 0, 0);
}

/*
 * All is written.  Closing while input waits would make the kernel reset the
 * connection and the peer lose our last words: then it is read first.  Either
 * way the connection is no longer OPEN.
 */
static void
finish(struct hb_conn *c)
{
	if (c->eof || recv(c->fd, conn_scratch, CONN_SCRATCH, 0) <= 0) {
		conn_close(c, 0, 0);
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
	if (c->tls != NULL) {
		hb_tls_session_end(c->tls);
		/* Best effort: the peer needs no word to see the end, and
		 * what is left would wake us in each turn. */
		(void)send_bytes(c, &c->raw, 0);
		hb_buf_free(&c->raw);
	}
	finish(c);
}

void
conn_flush(struct hb_conn *c)
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
hb_conn_write_body(struct hb_conn *c, int fd, uint64_t offset, uint64_t len)
{
	struct piece *p = len > 0 ? open_piece(c) : NULL;

	if (p == NULL)
		return;
	p->file = fd;
	p->at = (off_t)offset;
	p->left = len;
	hb_wire_init(&p->wire);
}
