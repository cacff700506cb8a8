/*
 * The pool against a peer that reads nothing and answers early.  The peer is
 * the other end of a socket pair, so that the target is a unix endpoint.
 */
#include "unit.h"

#include <sys/socket.h>

#include "delivery/smtp/pool.h"

enum { BODY = 8 << 20 };

struct world {
	struct hb_loop *loop;
	struct hb_timer *timer;
	uint32_t asked; /* an endpoint; 0: none */
	struct dlv_connection *link;
	struct dlv_txn txn;
	struct dlv_body body;
	int peer;
	enum dlv_connection_event last;
	bool over;
};

static void
stop(void *ctx)
{
	struct world *w = ctx;

	hb_loop_stop(w->loop);
}

static void
pump(struct world *w, int64_t ms)
{
	hb_timer_set(w->timer, ms);
	assert_int_equal(hb_loop_run(w->loop), 0);
}

static void
say(struct world *w, const char *text)
{
	struct hb_span s = hb_span_str(text);

	assert_int_equal(write(w->peer, s.p, s.n), (ssize_t)s.n);
	pump(w, 50);
}

static void
ask(void *ctx, uint32_t ref, struct hb_span path)
{
	struct world *w = ctx;

	w->asked = ref;
}

/* A file of BODY times C; its descriptor. */
static int
file_of(char c)
{
	char path[] = "/tmp/hauberk-pool-XXXXXX", *block = malloc(BODY);
	int fd = mkstemp(path);

	assert_true(fd >= 0 && block != NULL);
	memset(block, c, BODY);
	assert_int_equal(write(fd, block, BODY), BODY);
	free(block);
	unlink(path);
	return fd;
}

/* The owner's file is closed with the message, and its number is taken by
 * another's at once. */
static void
end_message(struct world *w)
{
	int fd = w->body.fd, other;

	dlv_connection_release(&w->link, w->last == DLV_LINK_DONE);
	close(fd);
	other = file_of('B');
	assert_int_equal(other, fd);
	w->over = true;
}

static void
on_report(void *ctx, const struct dlv_connection_report *r)
{
	static const struct sts_verdict proceed = { .action = STS_PROCEED };
	struct world *w = ctx;

	w->last = r->event;
	if (r->event == DLV_LINK_READY)
		dlv_connection_mail(w->link, &w->txn, &proceed, &w->body);
	else
		end_message(w);
}

/* What comes until the end must be of the first file. */
static void
expect_no_other(struct world *w)
{
	static char block[65536];
	ssize_t n;

	for (int idle = 0; idle < 3;) {
		n = recv(w->peer, block, sizeof(block), MSG_DONTWAIT);
		if (n == 0)
			return;
		if (n < 0) {
			idle++;
			pump(w, 20);
			continue;
		}
		assert_null(memchr(block, 'B', (size_t)n));
	}
}

static void
run(const char *last_words, int64_t reply_timeout)
{
	char hostname[] = "me.test";
	struct hb_conf conf = { .hostname = hostname,
		.reply_timeout = reply_timeout, .connect_timeout = 5000,
		.max_messages_per_connection = 100 };
	struct hb_env env = { .id = 1, .size = BODY };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_target target = { .path = HB_SPAN("/x"),
		.policy_domain = "", .mx = "", .lmtp = true };
	struct world w = { .loop = hb_loop_new(), .txn = { .env = &env, .rcpt = &rcpt, .nrcpt = 1 } };
	struct dlv_pool_env pe = { .loop = w.loop, .conf = &conf,
		.ask_endpoint = ask, .ctx = &w };
	struct dlv_pool *pool = dlv_pool_new(&pe);
	int pair[2];

	w.timer = hb_timer_new(w.loop, stop, &w);
	w.body = (struct dlv_body){ .fd = file_of('A'), .len = BODY };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	w.peer = pair[1];
	w.link = dlv_pool_open(pool, &target, on_report, &w);
	dlv_pool_endpoint(pool, w.asked, pair[0], 0);
	say(&w, "220 x\r\n");
	say(&w, "250-x\r\n250 PIPELINING\r\n");
	say(&w, "250 x\r\n250 x\r\n354 x\r\n");
	say(&w, last_words);
	for (int i = 0; i < 100 && !w.over; i++)
		pump(&w, 50);
	assert_true(w.over);
	expect_no_other(&w);
	close(w.peer);
	close(w.body.fd);
	dlv_pool_free(&pool);
	hb_timer_free(&w.timer);
	hb_loop_free(&w.loop);
}

static void
test_refused_before_the_body_is_out(void **state)
{
	run("552 too much\r\n", 5000);
}

static void
test_no_reply_before_the_body_is_out(void **state)
{
	run("", 200);
}

/* --- what a connection may be used for again --- */

static void
on_ready(void *ctx, const struct dlv_connection_report *r)
{
	struct world *w = ctx;

	w->last = r->event;
	w->over = true;
}

/* The peer says what a connection needs to be ready. */
static void
get_ready(struct world *w)
{
	w->over = false;
	say(w, "220 x\r\n");
	say(w, "250 x\r\n");
	for (int i = 0; i < 100 && !w->over; i++)
		pump(w, 50);
}

/* Opens T and lets it become ready; true: it was there before.  The link is
 * given back for the next message. */
static bool
use(struct world *w, struct dlv_pool *pool, const struct dlv_target *t)
{
	int pair[2];
	bool reused;

	w->asked = 0;
	w->link = dlv_pool_open(pool, t, on_ready, w);
	reused = w->asked == 0;
	if (reused) {
		w->over = false;
		pump(w, 0);
		assert_true(w->over);
	} else {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		dlv_pool_endpoint(pool, w->asked, pair[0], 0);
		w->peer = pair[1];
		get_ready(w);
	}
	assert_int_equal(w->last, DLV_LINK_READY);
	dlv_connection_release(&w->link, true);
	return reused;
}

/* Each row is another requirement on the way to one place. */
static void
test_RTLS_12_pool_keeps_requirements_apart(void **state)
{
	static const struct hb_dane first = { .state = HB_DANE_USABLE,
		.digest = 1 }, second = { .state = HB_DANE_USABLE,
		.digest = 2 };
	static const struct dlv_target rows[] = {
		{ .policy_domain = "a.test", .mx = "mx.test" },
		{ .policy_domain = "b.test", .mx = "mx.test" },
		{ .policy_domain = "a.test", .mx = "mx2.test" },
		{ .policy_domain = "a.test", .mx = "mx.test",
		    .require_tls = true },
		{ .policy_domain = "a.test", .mx = "mx.test",
		    .demanded = true },
		{ .policy_domain = "a.test", .mx = "mx.test",
		    .dane = &first },
		{ .policy_domain = "a.test", .mx = "mx.test",
		    .dane = &second },
	};
	char hostname[] = "me.test";
	struct hb_conf conf = { .hostname = hostname, .reply_timeout = 5000,
		.connect_timeout = 5000, .max_messages_per_connection = 100,
		.max_connections_per_destination = 100 };
	struct world w = { .loop = hb_loop_new() };
	struct dlv_pool_env pe = { .loop = w.loop, .conf = &conf,
		.ask_endpoint = ask, .ctx = &w };
	struct dlv_pool *pool = dlv_pool_new(&pe);

	w.timer = hb_timer_new(w.loop, stop, &w);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_false(use(&w, pool, &rows[i]));
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_true(use(&w, pool, &rows[i]));
	assert_int_equal(dlv_pool_idle(pool), HB_ARRAY_LEN(rows));
	dlv_pool_free(&pool);
	hb_timer_free(&w.timer);
	hb_loop_free(&w.loop);
}

/* A connection that was in use during a reload was verified with what the old
 * configuration trusts: it serves its message and no other. */
static void
not_used_again_after_a_reload(void **state)
{
	static const struct dlv_target t = { .policy_domain = "a.test",
		.mx = "mx.test" };
	char hostname[] = "me.test";
	struct hb_conf conf = { .hostname = hostname, .reply_timeout = 5000,
		.connect_timeout = 5000, .max_messages_per_connection = 100,
		.max_connections_per_destination = 100 };
	struct world w = { .loop = hb_loop_new() };
	struct dlv_pool_env pe = { .loop = w.loop, .conf = &conf,
		.ask_endpoint = ask, .ctx = &w };
	struct dlv_pool *pool = dlv_pool_new(&pe);
	int pair[2];

	w.timer = hb_timer_new(w.loop, stop, &w);
	w.link = dlv_pool_open(pool, &t, on_ready, &w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	dlv_pool_endpoint(pool, w.asked, pair[0], 0);
	w.peer = pair[1];
	get_ready(&w);
	assert_int_equal(w.last, DLV_LINK_READY);
	dlv_pool_reconf(pool, &conf, NULL);
	dlv_connection_release(&w.link, true);
	assert_int_equal(dlv_pool_idle(pool), 0);
	assert_false(use(&w, pool, &t));
	assert_true(use(&w, pool, &t));
	dlv_pool_free(&pool);
	hb_timer_free(&w.timer);
	hb_loop_free(&w.loop);
}

/* --- bodies that would end early --- */

static void
on_outcome(void *ctx, const struct dlv_connection_report *r)
{
	struct world *w = ctx;

	w->last = r->event;
	w->over = true;
	if (r->event != DLV_LINK_READY)
		dlv_connection_release(&w->link, r->event == DLV_LINK_DONE);
}

/* All that the peer gets until it is silent, or the end. */
static void
hear(struct world *w, struct hb_buf *out)
{
	static char block[65536];

	for (int idle = 0; idle < 3;) {
		ssize_t n = recv(w->peer, block, sizeof(block), MSG_DONTWAIT);

		if (n == 0)
			return;
		if (n > 0)
			hb_buf_add(out, hb_span(block, (size_t)n));
		else
			idle++;
		pump(w, 10);
	}
}

/* The mail of BODY is given to a server that takes all: HEARD is what it
 * hears of it. */
static void
send_damaged(const struct dlv_body *body, struct hb_buf *heard)
{
	static const struct sts_verdict proceed = { .action = STS_PROCEED };
	static const struct dlv_target t = { .policy_domain = "a.test",
		.mx = "mx.test" };
	char hostname[] = "me.test";
	struct hb_conf conf = { .hostname = hostname, .reply_timeout = 5000,
		.connect_timeout = 5000, .max_messages_per_connection = 100,
		.max_connections_per_destination = 100 };
	struct hb_env env = { .id = 1, .size = body->len };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct world w = { .loop = hb_loop_new(), .txn = { .env = &env,
		.rcpt = &rcpt, .nrcpt = 1 } };
	struct dlv_pool_env pe = { .loop = w.loop, .conf = &conf,
		.ask_endpoint = ask, .ctx = &w };
	struct dlv_pool *pool = dlv_pool_new(&pe);
	int pair[2];

	w.timer = hb_timer_new(w.loop, stop, &w);
	w.link = dlv_pool_open(pool, &t, on_outcome, &w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	dlv_pool_endpoint(pool, w.asked, pair[0], 0);
	w.peer = pair[1];
	get_ready(&w);
	w.over = false;
	dlv_connection_mail(w.link, &w.txn, &proceed, body);
	assert_false(w.over); /* never inside of the question */
	pump(&w, 10);
	if (!w.over) {
		say(&w, "250 ok\r\n");
		say(&w, "250 ok\r\n");
		say(&w, "354 go\r\n");
		hear(&w, heard);
	}
	assert_true(w.over);
	assert_int_equal(rcpt.outcome.result, HB_RESULT_DEFER);
	assert_int_equal(rcpt.outcome.reason, HB_REASON_BODY_DAMAGED);
	hear(&w, heard);
	close(w.peer);
	dlv_pool_free(&pool);
	hb_timer_free(&w.timer);
	hb_loop_free(&w.loop);
}

static const char early[] = "a: b\r\n\r\nx\r\n.\r\nMAIL FROM:<x@y.test>\r\n";

/* A body in memory: nothing of its message is said. */
static void
test_A_1_a_body_that_ends_early_is_not_sent(void **state)
{
	struct dlv_body body = { .bytes = hb_span_str(early), .fd = -1 };
	struct hb_buf heard = HB_BUF_INIT(0);

	send_damaged(&body, &heard);
	assert_int_equal(heard.n, strlen("EHLO me.test\r\n"));
	hb_buf_free(&heard);
}

/* A file that changed after all checks: the connection ends before it. */
static void
test_A_1_a_file_that_ends_early_is_cut_off(void **state)
{
	int fd = file_of('A');
	struct dlv_body body = { .fd = fd, .len = BODY };
	struct hb_buf heard = HB_BUF_INIT(0);

	assert_int_equal(pwrite(fd, early, strlen(early), BODY / 2),
	    strlen(early));
	send_damaged(&body, &heard);
	assert_in_range(heard.n, 1, BODY / 2 + 1000);
	assert_null(memmem(heard.p, heard.n, ".\r\n", 3));
	hb_buf_free(&heard);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_before_the_body_is_out),
		cmocka_unit_test(test_no_reply_before_the_body_is_out),
		cmocka_unit_test(test_A_1_a_body_that_ends_early_is_not_sent),
		cmocka_unit_test(test_A_1_a_file_that_ends_early_is_cut_off),
		cmocka_unit_test(test_RTLS_12_pool_keeps_requirements_apart),
		cmocka_unit_test(not_used_again_after_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
