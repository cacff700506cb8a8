/* One end of a connection under test: what came, what was told, and what to
 * do in which callback. */
#ifndef HB_TESTS_CONN_SIDE_H
#define HB_TESTS_CONN_SIDE_H

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "common/io/conn.h"
#include "common/io/sock.h"

enum when { NEVER, AT_CONNECTED, AT_INPUT, AT_TLS, AT_DRAIN, AT_CLOSE };

struct side {
	struct hb_conn *c;
	struct hb_buf got;
	size_t most_held;    /* of input, ever */
	bool keep;           /* does not consume */
	enum when free_when; /* frees the connection in that callback */
	int connected, inputs, drained, closed, tls;
	int err, syserr;
	struct hb_tls_facts facts;
};

static inline void
side_at(struct side *s, enum when now)
{
	if (s->free_when == now)
		hb_conn_free(&s->c);
}

static void
side_connected(void *ctx)
{
	struct side *s = ctx;

	s->connected++;
	side_at(s, AT_CONNECTED);
}

static void
side_take(struct side *s)
{
	struct hb_span in = hb_conn_input(s->c);

	hb_buf_add(&s->got, in);
	hb_conn_consume(s->c, in.n);
}

static void
side_input(void *ctx)
{
	struct side *s = ctx;
	size_t held = hb_conn_input(s->c).n;

	s->inputs++;
	if (held > s->most_held)
		s->most_held = held;
	if (!s->keep)
		side_take(s);
	side_at(s, AT_INPUT);
}

static void
side_tls(void *ctx, const struct hb_tls_facts *facts)
{
	struct side *s = ctx;

	s->tls++;
	s->facts = *facts;
	side_at(s, AT_TLS);
}

static void
side_drain(void *ctx)
{
	struct side *s = ctx;

	s->drained++;
	side_at(s, AT_DRAIN);
}

static void
side_close(void *ctx, int err, int syserr)
{
	struct side *s = ctx;

	s->closed++;
	s->err = err;
	s->syserr = syserr;
	side_at(s, AT_CLOSE);
}

static const struct hb_conn_ops side_ops = { side_connected, side_input,
	side_tls, side_drain, side_close };

/* No DANE. */
#define WANT(host) ((const struct hb_tls_want){ .name = (host) })

static inline void
side_end(struct side *s)
{
	hb_conn_free(&s->c);
	hb_buf_free(&s->got);
}

/* --- running the loop --- */

static struct hb_loop *loop;

static void
stop_loop(void *ctx)
{
	hb_loop_stop(ctx);
}

/* Runs the loop for MS. */
static inline void
run_for(int64_t ms)
{
	struct hb_timer *t = hb_timer_new(loop, stop_loop, loop);

	hb_timer_set(t, ms);
	assert_int_equal(hb_loop_run(loop), 0);
	hb_timer_free(&t);
}

/* Runs the loop until COND is true; fails after five seconds of turns, which
 * are more by the clock where others have the processor. */
#define run_until(cond)                                                        \
	do {                                                                   \
		unsigned turns_ = 5000;                                        \
		while (!(cond)) {                                              \
			assert_true(turns_-- > 0);                             \
			run_for(1);                                            \
		}                                                              \
	} while (0)

static inline void
make_pair(int fd[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

static inline int
listen_on(struct hb_netaddr *at)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(hb_netaddr_parse(HB_SPAN("127.0.0.1"), at), 0);
	len = hb_sock_from_netaddr(at, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	len = sizeof(sa);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	assert_true(hb_sock_to_netaddr(&sa, len, at));
	return fd;
}

/* Both ends of a TCP connection as connections. */
static inline void
connect_sides(struct side *client, struct side *server, size_t max_input)
{
	struct hb_netaddr at;
	int listener = listen_on(&at), fd;

	client->c =
	    hb_conn_connect(loop, &at, NULL, max_input, &side_ops, client);
	run_until(client->connected);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	server->c = hb_conn_accept(loop, fd, max_input, &side_ops, server);
	close(listener);
}

/* Reads FD, blocking, until its end. */
static inline void
read_all(int fd, struct hb_buf *out)
{
	char part[4096];
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) > 0)
		hb_buf_add(out, hb_span(part, (size_t)n));
	assert_int_equal(n, 0);
}

static inline unsigned char
pattern(size_t i)
{
	return (unsigned char)(i * 7 + i / 251 + i / 65536);
}

static inline unsigned char *
pattern_new(size_t n)
{
	unsigned char *p = hb_malloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = pattern(i);
	return p;
}

/* The same of printable bytes: a body, as far as a connection minds. */
static inline unsigned char *
text_new(size_t n)
{
	unsigned char *p = pattern_new(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)('!' + p[i] % 90);
	return p;
}

static int
loop_setup(void **state)
{
	loop = hb_loop_new();
	return 0;
}

static int
loop_teardown(void **state)
{
	run_for(0); /* hooks that were freed while armed go now */
	hb_loop_free(&loop);
	return 0;
}

#endif
