/* Dovecot's authentication protocol: its lines, and the connection to a server
 * that is slow, gone or hostile. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/socket.h>

#include "common/io/sock.h"
#include "queue/router/judge.h"

#define HELLO "VERSION\t1\t2\nMECH\tLOGIN\tplaintext\n"                        \
	"MECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"

static void
test_AUTH_01_dovecot_lines(void **state)
{
	static const struct {
		const char *text; /* of the server, after HELLO if it has no */
		bool bare, good;
		uint32_t id;
		enum rt_found found;
		const char *user;
	} rows[] = {
		{ "OK\t1\tuser=alice", false, true, 1, RT_FOUND, "alice" },
		{ "OK\t1\tx\tuser=a\tuser=b\ty=z", false, true, 1, RT_FOUND, "b" },
		{ "OK\t4294967295", false, true, UINT32_MAX, RT_FOUND, "" },
		{ "FAIL\t7\tuser=alice", false, true, 7, RT_NOTFOUND, "" },
		{ "FAIL\t7\treason=x y\tuser_disabled", false, true, 7,
		    RT_NOTFOUND, "" },
		{ "FAIL\t7\ttemp", false, true, 7, RT_TEMP, "" },
		{ "FAIL\t7\tuser=x\tcode=temp_fail", false, true, 7, RT_TEMP,
		    "" },
		{ "FAIL\t7\tuser=temp", false, true, 7, RT_NOTFOUND, "" },
		{ "", false, true, 0, RT_TEMP, "" },
		{ "SOMETHING\tnew", false, true, 0, RT_TEMP, "" },
		{ "ok\t1\tuser=a", false, true, 0, RT_TEMP, "" },
		{ "OK", false, false, 0, RT_TEMP, "" },
		{ "OK\t", false, false, 0, RT_TEMP, "" },
		{ "OK\t0", false, false, 0, RT_TEMP, "" },
		{ "OK\t-1", false, false, 0, RT_TEMP, "" },
		{ "OK\t4294967296", false, false, 0, RT_TEMP, "" },
		{ "OK\t1x", false, false, 0, RT_TEMP, "" },
		{ "FAIL\tx", false, false, 0, RT_TEMP, "" },
		{ "CONT\t1\tYQ==", false, false, 0, RT_TEMP, "" },
		/* nobody comes in before the greeting is whole */
		{ "OK\t1\tuser=alice", true, false, 0, RT_TEMP, "" },
		{ "VERSION\t2\t0", true, false, 0, RT_TEMP, "" },
		{ "VERSION\t11\t0", true, false, 0, RT_TEMP, "" },
		{ "VERSION", true, false, 0, RT_TEMP, "" },
		{ "DONE", true, false, 0, RT_TEMP, "" },
		{ "220 mx.example ESMTP", true, true, 0, RT_TEMP, "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span hello = rows[i].bare ? HB_SPAN_NONE
						    : HB_SPAN(HELLO);
		struct rt_dovecot d = { .ready = false };
		struct rt_dovecot_answer a;

		while (hello.n > 0)
			assert_int_equal(rt_dovecot_line(&d,
			    hb_span_cut(&hello, '\n'), &a), 0);
		assert_int_equal(d.ready, !rows[i].bare);
		assert_int_equal(rt_dovecot_line(&d,
		    at_page_end(hb_span_str(rows[i].text)), &a),
		    rows[i].good ? 0 : HB_E_SYNTAX);
		if (!rows[i].good)
			continue;
		assert_int_equal(a.id, rows[i].id);
		if (a.id == 0)
			continue;
		assert_int_equal(a.found, rows[i].found);
		assert_span(a.user, rows[i].user);
	}
}

static void
test_AUTH_01_dovecot_names(void **state)
{
	static const struct {
		const char *text, *user; /* NULL: refused */
	} rows[] = {
		{ "alice@hb.test", "alice@hb.test" },
		{ "a\001", NULL }, { "a\0010", NULL }, { "a\001n", NULL },
		{ "a\001t", NULL }, { "a\0011", NULL }, { "", NULL },
		{ "a\rb", NULL }, { "a\x7f", NULL },
		{ "us\xc3\xa9r x", "us\xc3\xa9r x" },
	};
	struct hb_buf out = HB_BUF_INIT(0);
	char text[258];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		hb_buf_clear(&out);
		assert_int_equal(rt_dovecot_user(
		    at_page_end(hb_span_str(rows[i].text)), &out),
		    rows[i].user != NULL ? 0 : HB_E_SYNTAX);
		if (rows[i].user != NULL)
			assert_span(hb_buf_span(&out), rows[i].user);
	}
	memset(text, 'a', sizeof(text));
	for (size_t n = 256; n <= 257; n++) {
		hb_buf_clear(&out);
		assert_int_equal(rt_dovecot_user(hb_span(text, n), &out),
		    n == 256 ? 0 : HB_E_SYNTAX);
	}
	hb_buf_free(&out);
}

static void
what_is_asked(void **state)
{
	struct ipc_auth m = { .user = HB_SPAN("alice"),
		.password = HB_SPAN("p\tq"), .client = HB_SPAN("192.0.2.1") };
	struct hb_buf out = HB_BUF_INIT(0);

	rt_dovecot_hello(7, &out);
	rt_dovecot_ask(3, &m, &out);
	assert_span(hb_buf_span(&out), "VERSION\t1\t1\nCPID\t7\n"
	    "AUTH\t3\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.1\t"
	    "resp=AGFsaWNlAHAJcQ==\n");
	hb_buf_free(&out);
}

/* --- the connection --- */

struct world {
	struct hb_loop *loop;
	struct rt_judge *j;
	unsigned connects, answers, want;
	uint32_t ref;
	enum rt_found found[8];
	struct hb_buf user[8];
	int server; /* the other end */
};

static void
on_connect(void *ctx, uint32_t ref, const char *path)
{
	struct world *w = ctx;

	assert_string_equal(path, "/run/auth");
	w->connects++;
	w->ref = ref;
}

static void
on_found(void *ctx, enum rt_found found)
{
	struct world *w = ctx;

	w->found[w->answers++] = found;
	if (w->answers == w->want)
		hb_loop_stop(w->loop);
}

static struct world
world_new(void)
{
	return (struct world){ .loop = hb_loop_new(), .server = -1 };
}

static void
world_start(struct world *w)
{
	w->j = rt_judge_new(w->loop, on_connect, w);
	rt_judge_set_path(w->j, "/run/auth");
}

static void
world_end(struct world *w)
{
	rt_judge_free(&w->j);
	if (w->server >= 0)
		close(w->server);
	for (size_t i = 0; i < HB_ARRAY_LEN(w->user); i++)
		hb_buf_free(&w->user[i]);
	hb_loop_free(&w->loop);
}

static void
ask(struct world *w, unsigned n)
{
	struct ipc_auth m = { .user = HB_SPAN("alice"),
		.password = HB_SPAN("secret") };

	w->answers = 0;
	w->want = n;
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(rt_judge_ask(w->j, &m, &w->user[i], on_found,
		    w), RT_LATER);
	assert_int_equal(w->answers, 0);
}

/* The parent's answer: a connection to a server that says TEXT. */
static void
connected(struct world *w, const char *text)
{
	int fd[2];

	if (w->server >= 0)
		close(w->server);
	assert_int_equal(hb_sock_pair(fd), 0);
	w->server = fd[1];
	assert_int_equal(send(fd[1], text, strlen(text), 0), strlen(text));
	rt_judge_endpoint(w->j, w->ref, fd[0]);
}

/* Answers come in any order and in pieces; one connection serves all. */
static void
answers_beside_each_other(void **state)
{
	struct world w = world_new();

	world_start(&w);
	ask(&w, 3);
	assert_int_equal(w.connects, 1);
	connected(&w, HELLO "FAIL\t9\nOK\t3\tuser=alice@hb.test\nFAIL\t1\n"
	    "FAIL\t2\ttemp\n");
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_int_equal(w.found[0], RT_FOUND);
	assert_int_equal(w.found[1], RT_NOTFOUND);
	assert_int_equal(w.found[2], RT_TEMP);
	assert_span(hb_buf_span(&w.user[2]), "alice@hb.test");
	ask(&w, 1);
	assert_int_equal(send(w.server, "OK\t4\n", 5, 0), 5);
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_int_equal(w.found[0], RT_FOUND);
	assert_int_equal(w.connects, 1);
	world_end(&w);
}

/* Nobody is refused for good by a server that is broken, and none comes in. */
static void
test_AUTH_03_broken_dovecot_is_temporary(void **state)
{
	static const char *const texts[] = { "", "220 mx.example\n",
		"VERSION\t1\t2\nDONE\n", "VERSION\t9\t0\n", HELLO,
		"OK\t1\tuser=alice\n", HELLO "CONT\t1\t\n",
		HELLO "OK\t1\tuser=a\001n\n", HELLO "OK\t99\tuser=alice\n",
		HELLO "OK\t1\tuser=alice" };
	struct world w = world_new();
	char *endless = hb_malloc(20001);

	memset(endless, 'x', 20000);
	endless[20000] = '\0';
	for (size_t i = 0; i <= HB_ARRAY_LEN(texts); i++) {
		world_start(&w);
		ask(&w, 1);
		connected(&w, i < HB_ARRAY_LEN(texts) ? texts[i] : endless);
		assert_int_equal(shutdown(w.server, SHUT_WR), 0);
		assert_int_equal(hb_loop_run(w.loop), 0);
		assert_int_equal(w.found[0], RT_TEMP);
		rt_judge_free(&w.j);
	}
	free(endless);
	/* not there; then it is */
	world_start(&w);
	ask(&w, 2);
	rt_judge_endpoint(w.j, w.ref, -ENOENT);
	assert_int_equal(w.answers, 2);
	assert_int_equal(w.found[1], RT_TEMP);
	ask(&w, 1);
	connected(&w, HELLO "OK\t3\tuser=alice\n");
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_int_equal(w.found[0], RT_FOUND);
	/* a reload without it */
	ask(&w, 1);
	rt_judge_set_path(w.j, "/run/auth");
	assert_int_equal(w.answers, 0);
	rt_judge_set_path(w.j, NULL);
	assert_int_equal(w.found[0], RT_TEMP);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_AUTH_01_dovecot_lines),
		cmocka_unit_test(test_AUTH_01_dovecot_names),
		cmocka_unit_test(what_is_asked),
		cmocka_unit_test(answers_beside_each_other),
		cmocka_unit_test(test_AUTH_03_broken_dovecot_is_temporary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
