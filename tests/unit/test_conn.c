/* Connections in clear: transfers, back-pressure, ends, and who may free
 * when.  TLS is in test_tls. */
#include "tests/unit/unit.h"

#include "tests/unit/conn_side.h"

#include <errno.h>
#include <malloc.h>

enum { LARGE = 8 << 20, IDLE = 1000 };

static void
bytes_go_both_ways(void **state)
{
	struct side a = { 0 }, b = { 0 };

	connect_sides(&a, &b, 4096);
	hb_conn_write(a.c, HB_SPAN("EHLO "));
	hb_conn_write(a.c, HB_SPAN("there\r\n"));
	assert_int_equal(hb_conn_pending(a.c), 12);
	run_until(b.got.n == 12);
	hb_conn_write(b.c, HB_SPAN("250 ok\r\n"));
	run_until(a.got.n == 8 && b.drained == 1);
	assert_span(hb_buf_span(&b.got), "EHLO there\r\n");
	assert_span(hb_buf_span(&a.got), "250 ok\r\n");
	/* Written in one go, so read in one go. */
	assert_int_equal(b.inputs, 1);
	assert_int_equal(a.drained, 1);
	assert_int_equal(hb_conn_pending(a.c), 0);
	assert_int_equal(a.closed + b.closed, 0);
	side_end(&a);
	run_until(b.closed == 1);
	assert_int_equal(b.err, 0);
	side_end(&b);
}

static void
connects_from_the_given_address(void **state)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct side a = { 0 };
	struct hb_netaddr at, from, got;
	int listener = listen_on(&at), fd;

	assert_int_equal(hb_netaddr_parse(HB_SPAN("127.0.0.9"), &from), 0);
	a.c = hb_conn_connect(loop, &at, &from, 100, &side_ops, &a);
	run_until(a.connected);
	fd = accept(listener, (struct sockaddr *)&ss, &len);
	assert_true(fd >= 0);
	assert_true(hb_sock_to_netaddr(&ss, len, &got));
	from.port = got.port;
	assert_true(hb_netaddr_eq(&got, &from));
	side_end(&a);
	close(fd);
	close(listener);
}

static void
connect_failures_are_told_later(void **state)
{
	struct side a = { 0 }, b = { 0 };
	struct hb_netaddr at, foreign;

	close(listen_on(&at));
	a.c = hb_conn_connect(loop, &at, NULL, 100, &side_ops, &a);
	assert_int_equal(a.closed, 0);
	run_until(a.closed == 1);
	assert_int_equal(a.err, HB_E_IO);
	assert_int_equal(a.syserr, ECONNREFUSED);
	assert_int_equal(a.connected, 0);

	/* TEST-NET-1 is nobody's address here. */
	assert_int_equal(hb_netaddr_parse(HB_SPAN("192.0.2.1"), &foreign), 0);
	b.c = hb_conn_connect(loop, &at, &foreign, 100, &side_ops, &b);
	assert_int_equal(b.closed, 0);
	run_until(b.closed == 1);
	assert_int_equal(b.err, HB_E_IO);
	assert_int_equal(b.syserr, EADDRNOTAVAIL);
	side_end(&a);
	side_end(&b);
}

static void
back_pressure_bounds_both_ends(void **state)
{
	struct side a = { 0 }, b = { .keep = true };
	unsigned char *data = pattern_new(LARGE);
	size_t held;

	connect_sides(&a, &b, 5000);
	hb_conn_write(a.c, hb_span(data, LARGE));
	run_until(hb_conn_input(b.c).n == 5000);
	run_for(20);
	assert_int_equal(hb_conn_input(b.c).n, 5000);
	held = hb_conn_pending(a.c);
	assert_true(held > 0);
	assert_int_equal(a.drained, 0);

	b.keep = false;
	side_take(&b);
	run_until(b.got.n == LARGE);
	assert_memory_equal(b.got.p + b.got.off, data, LARGE);
	assert_true(b.most_held <= 5000);
	assert_int_equal(a.drained, 1);
	side_end(&a);
	side_end(&b);
	free(data);
}

static void
pause_stops_reading(void **state)
{
	struct side a = { 0 };
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
	hb_conn_pause(a.c, true);
	assert_int_equal(write(fd[1], "abc", 3), 3);
	run_for(20);
	assert_int_equal(a.inputs, 0);
	hb_conn_pause(a.c, false);
	run_until(a.got.n == 3);
	side_end(&a);
	close(fd[1]);
}

static void
what_is_not_consumed_stays(void **state)
{
	struct side a = { .keep = true };
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
	assert_int_equal(write(fd[1], "abc", 3), 3);
	run_until(a.inputs == 1);
	assert_int_equal(write(fd[1], "def", 3), 3);
	run_until(a.inputs == 2);
	assert_span(hb_conn_input(a.c), "abcdef");
	hb_conn_consume(a.c, 2);
	assert_span(hb_conn_input(a.c), "cdef");
	run_for(1);
	hb_conn_consume(a.c, 4);
	assert_int_equal(hb_conn_input(a.c).n, 0);
	assert_int_equal(write(fd[1], "g", 1), 1);
	run_until(a.inputs == 3);
	assert_span(hb_conn_input(a.c), "g");
	side_end(&a);
	close(fd[1]);
}

static int
make_file(const unsigned char *data, size_t n)
{
	char name[] = "/tmp/hb-conn-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, data, n), n);
	return fd;
}

static void
files_keep_their_place(void **state)
{
	struct side a = { 0 }, b = { 0 };
	size_t n = 3 << 20;
	unsigned char *data = text_new(n);
	int fd = make_file(data, n);

	connect_sides(&a, &b, 65536);
	hb_conn_write(a.c, HB_SPAN("head"));
	hb_conn_write_body(a.c, fd, 1000, n - 1000);
	hb_conn_write(a.c, HB_SPAN("middle"));
	hb_conn_write_body(a.c, fd, 0, 1000);
	hb_conn_write_body(a.c, fd, 5, 1);
	hb_conn_write(a.c, HB_SPAN("tail"));
	assert_int_equal(hb_conn_pending(a.c), n + 15);
	run_until(b.got.n == n + 15 && a.drained == 1);
	assert_memory_equal(b.got.p, "head", 4);
	assert_memory_equal(b.got.p + 4, data + 1000, n - 1000);
	assert_memory_equal(b.got.p + n - 996, "middle", 6);
	assert_memory_equal(b.got.p + n - 990, data, 1000);
	assert_int_equal(b.got.p[n + 10], data[5]);
	assert_memory_equal(b.got.p + n + 11, "tail", 4);
	side_end(&a);
	side_end(&b);
	close(fd);
	free(data);
}

static void
a_short_file_closes(void **state)
{
	struct side a = { 0 }, b = { 0 };
	int fd = make_file((const unsigned char *)"abc", 3);

	connect_sides(&a, &b, 100);
	hb_conn_write_body(a.c, fd, 0, 4);
	run_until(a.closed == 1);
	assert_int_equal(a.err, HB_E_IO);
	side_end(&a);
	side_end(&b);
	close(fd);
}

/* Bytes that could end the message early stay here, wherever they stand in
 * the file and whoever wrote them there. */
static void
test_A_1_a_body_that_ends_early_closes(void **state)
{
	static const char *const bad[] = { "\r\n.\r\nMAIL FROM:<a@b>\r\n",
		"\n.\r\n", "\r.\r\n", "x\r" };
	static const size_t before[] = { 0, 65535, 65536, 200001 };

	for (size_t i = 0; i < HB_ARRAY_LEN(bad) * HB_ARRAY_LEN(before); i++) {
		size_t n = before[i % HB_ARRAY_LEN(before)];
		struct hb_span end = hb_span_str(bad[i / HB_ARRAY_LEN(before)]);
		struct side a = { 0 }, b = { 0 };
		struct hb_buf data = HB_BUF_INIT(0);
		unsigned char *text = text_new(n + 1);
		int fd;

		hb_buf_add(&data, hb_span(text, n));
		hb_buf_add(&data, end);
		fd = make_file(data.p, data.n);
		connect_sides(&a, &b, 1 << 20);
		hb_conn_write_body(a.c, fd, 0, data.n);
		hb_conn_write(a.c, HB_SPAN(".\r\n"));
		run_until(a.closed == 1);
		assert_int_equal(a.err, HB_E_CORRUPT);
		side_end(&a);
		run_until(b.closed == 1);
		assert_true(b.got.n <= n + 2);
		assert_int_equal(hb_span_find(hb_buf_span(&b.got), '\n'),
		    b.got.n);
		side_end(&b);
		close(fd);
		free(text);
		hb_buf_free(&data);
	}
}

static void
half_close_leaves_output_open(void **state)
{
	struct side a = { 0 };
	struct hb_buf got = HB_BUF_INIT(0);
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
	assert_int_equal(write(fd[1], "QUIT", 4), 4);
	shutdown(fd[1], SHUT_WR);
	run_until(a.closed == 1);
	assert_int_equal(a.err, 0);
	assert_span(hb_buf_span(&a.got), "QUIT");
	hb_conn_write(a.c, HB_SPAN("221 bye"));
	hb_conn_shutdown(a.c);
	run_until(a.closed == 2);
	side_end(&a);
	read_all(fd[1], &got);
	assert_span(hb_buf_span(&got), "221 bye");
	hb_buf_free(&got);
	close(fd[1]);
}

/* Bytes that we never looked at must not make the kernel throw away ours. */
static void
shutdown_sends_all_first(void **state)
{
	struct side a = { .free_when = AT_CLOSE };
	struct hb_netaddr at;
	struct hb_buf got = HB_BUF_INIT(0);
	unsigned char *data = pattern_new(1 << 20);
	int listener = listen_on(&at), peer;

	a.c = hb_conn_connect(loop, &at, NULL, 100, &side_ops, &a);
	run_until(a.connected);
	peer = accept(listener, NULL, NULL);
	hb_conn_pause(a.c, true);
	assert_int_equal(write(peer, data, 20000), 20000);
	hb_conn_write(a.c, hb_span(data, 1000));
	hb_conn_shutdown(a.c);
	run_for(10);
	assert_int_equal(a.closed, 0);
	read_all(peer, &got);
	assert_int_equal(got.n, 1000);
	close(peer);
	run_until(a.closed == 1);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.inputs, 0);
	assert_null(a.c);
	hb_buf_free(&got);
	free(data);
	close(listener);
}

/* A server that says 5xx and closes while we still send. */
static void
last_words_are_read_before_the_end(void **state)
{
	struct side a = { 0 };
	unsigned char *data = pattern_new(LARGE);
	int fd[2];

	make_pair(fd);
	a.c = hb_conn_attach(loop, fd[0], 100, &side_ops, &a);
	hb_conn_pause(a.c, true);
	hb_conn_write(a.c, hb_span(data, LARGE));
	run_for(5);
	assert_int_equal(write(fd[1], "552 too big", 11), 11);
	close(fd[1]);
	hb_conn_pause(a.c, false);
	run_until(a.closed == 1);
	assert_span(hb_buf_span(&a.got), "552 too big");
	run_for(5);
	assert_int_equal(a.closed, 1);
	assert_int_equal(hb_conn_pending(a.c), 0);
	side_end(&a);
	free(data);
}

static void
any_callback_may_free(void **state)
{
	static const enum when at[] = { AT_CONNECTED, AT_INPUT, AT_DRAIN,
		AT_CLOSE };

	for (size_t i = 0; i < HB_ARRAY_LEN(at); i++) {
		struct side a = { .free_when = at[i] };
		struct hb_netaddr addr;
		int listener = listen_on(&addr), peer;

		a.c = hb_conn_connect(loop, &addr, NULL, 100, &side_ops, &a);
		hb_conn_write(a.c, HB_SPAN("early"));
		peer = accept(listener, NULL, NULL);
		assert_int_equal(write(peer, "x", 1), 1);
		shutdown(peer, SHUT_WR);
		run_until(a.c == NULL);
		side_end(&a);
		close(peer);
		close(listener);
	}
}

static void
idle_connections_are_small(void **state)
{
	static struct side sides[IDLE];
	int fd[2];
	size_t before, each;

	before = mallinfo2().uordblks;
	for (size_t i = 0; i < IDLE; i++) {
		make_pair(fd);
		sides[i].c =
		    hb_conn_attach(loop, fd[0], 4096, &side_ops, &sides[i]);
		assert_int_equal(write(fd[1], "NOOP\r\n", 6), 6);
		hb_conn_write(sides[i].c, HB_SPAN("250 ok\r\n"));
		run_until(sides[i].inputs == 1 && sides[i].drained == 1);
		hb_buf_free(&sides[i].got);
		/* The other end would only use up descriptors. */
		hb_conn_pause(sides[i].c, true);
		close(fd[1]);
	}
	each = (mallinfo2().uordblks - before) / IDLE;
	print_message("an idle connection: %zu bytes\n", each);
	assert_true(each <= 1024);
	for (size_t i = 0; i < IDLE; i++)
		side_end(&sides[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways),
		cmocka_unit_test(connects_from_the_given_address),
		cmocka_unit_test(connect_failures_are_told_later),
		cmocka_unit_test(back_pressure_bounds_both_ends),
		cmocka_unit_test(pause_stops_reading),
		cmocka_unit_test(what_is_not_consumed_stays),
		cmocka_unit_test(files_keep_their_place),
		cmocka_unit_test(test_A_1_a_body_that_ends_early_closes),
		cmocka_unit_test(a_short_file_closes),
		cmocka_unit_test(half_close_leaves_output_open),
		cmocka_unit_test(shutdown_sends_all_first),
		cmocka_unit_test(last_words_are_read_before_the_end),
		cmocka_unit_test(any_callback_may_free),
		cmocka_unit_test(idle_connections_are_small),
	};

	return cmocka_run_group_tests(tests, loop_setup, loop_teardown);
}
