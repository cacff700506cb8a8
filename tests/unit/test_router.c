/* The router's rules, its walk through aliases, its children. */
#include "tests/unit/unit.h"

#include <sys/resource.h>
#include <unistd.h>

#include "common/proto/conf.h"
#include "queue/router_lookup.h"
#include "queue/router_walk.h"

static struct hb_conf *
conf_of(const char *text)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source src = { .file = "c", .dir = "/",
		.text = hb_span_str(text), .default_hostname = "mx.site.test" };
	struct hb_conf *c;

	src.read = (hb_conf_read_fn)(void (*)(void))abort; /* never called */
	c = hb_conf_parse(&src, &report);
	assert_int_equal(report.errors, 0);
	hb_buf_free(&report.text);
	return c;
}

static const struct hb_conf *conf_now;

static struct hb_conf *
walk_conf(const char *text)
{
	struct hb_conf *c = conf_of(text);

	conf_now = c;
	return c;
}

/* A world of aliases and users for the walk. */
struct pair {
	const char *key, *value;
};
struct world {
	const struct pair *aliases;
	const char *const *users;
	bool users_down;
	struct hb_buf got; /* "address>route;" ... then "=result reason" */
	bool async;
	rt_found_fn cb;
	void *cb_ctx;
	enum rt_found found;
	unsigned many; /* members of /many */
	unsigned asked, turns, most; /* most: asked in one turn */
	void (*go)(void *arg);
	void *arg;
	size_t parts, items;
};

static int
op_alias(void *ctx, struct hb_span key, struct hb_buf *value)
{
	struct world *w = ctx;

	for (const struct pair *p = w->aliases; p->key != NULL; p++)
		if (hb_span_eq_nocase(key, hb_span_str(p->key))) {
			if (p->value == NULL)
				return HB_E_TEMP;
			hb_buf_adds(value, p->value);
			return 0;
		}
	return HB_E_NOTFOUND;
}

static void
op_user(void *ctx, struct hb_span local, struct hb_span domain, rt_found_fn cb,
    void *cb_ctx)
{
	struct world *w = ctx;
	enum rt_found found = w->users_down ? RT_TEMP : RT_NOTFOUND;

	(void)domain;
	w->asked++;
	if (w->many > 0)
		found = RT_FOUND;
	for (size_t i = 0; w->users[i] != NULL; i++)
		if (hb_span_eq(local, hb_span_str(w->users[i])))
			found = RT_FOUND;
	if (!w->async) {
		cb(cb_ctx, found);
		return;
	}
	w->cb = cb;
	w->cb_ctx = cb_ctx;
	w->found = found;
}

static int
op_include(void *ctx, struct hb_span path, struct hb_buf *content)
{
	struct world *w = ctx;

	for (unsigned i = 0; i < w->many; i++)
		hb_buf_addf(content, "u%u%c", i, i % 2 > 0 ? ',' : '\n');
	if (hb_span_eq(path, HB_SPAN("/broken")))
		hb_buf_adds(content, "bad line@@\n\"ann\n|/bin/x\nbob\n");
	if (w->many > 0 || hb_span_eq(path, HB_SPAN("/broken")))
		return 0;
	if (!hb_span_eq(path, HB_SPAN("/list")))
		return HB_E_TEMP;
	hb_buf_adds(content, "# members\nann\n\n|/bin/evil\nbob, far@away.test\n");
	return 0;
}

static void
on_done(void *ctx, const struct rt_item *items, size_t n,
    const struct hb_outcome *o)
{
	struct world *w = ctx;

	for (size_t i = 0; i < n; i++)
		hb_buf_addf(&w->got, "%.*s>%.*s%s%.*s;",
		    HB_SPAN_ARG(items[i].address), HB_SPAN_ARG(items[i].route),
		    items[i].owner.n > 0 ? "^" : "",
		    HB_SPAN_ARG(items[i].owner));
	hb_buf_addf(&w->got, "=%s %.*s", hb_result_word(o->result),
	    HB_SPAN_ARG(o->status));
}

static void
op_later(void *ctx, void (*go)(void *arg), void *arg)
{
	struct world *w = ctx;

	w->go = go;
	w->arg = arg;
}

static bool
op_part(void *ctx, const struct rt_item *items, size_t n)
{
	struct world *w = ctx;

	(void)items;
	if (w->turns % 3 == 0)
		return false; /* the one who asked is slow */
	w->parts++;
	w->items += n;
	return true;
}

static const struct rt_walk_ops ops = { op_alias, op_user, op_include,
	on_done, op_later, NULL };
static const struct rt_walk_ops part_ops = { op_alias, op_user, op_include,
	on_done, op_later, op_part };

static const struct pair aliases[] = {
	{ "root", "ann" },
	{ "team", "ann, bob" },
	{ "chain", "team, root" },
	{ "ping", "pong" },
	{ "pong", "ping" },
	{ "bob", "bob, archive@away.test" },
	{ "list", ":include:/list" },
	{ "owner-list", "ann" },
	{ "lost", ":include:/nothing" },
	{ "file", "/var/archive" },
	{ "prog", "\"|/bin/x -y, z\"" },
	{ "mixed", "ann, nosuch, bad@@x" },
	{ "gone", "error:5.1.6 has moved" },
	{ "many", ":include:/many" },
	{ "broken", "\\ann, :include:/broken, x@@y, \"z" },
	{ "owner-broken", "ann" },
	{ "esc", "\\team" },
	{ "open", "\"ann" },
	{ "temp", NULL },
	{ "full@site.test", "ann" },
	{ "@two.test", "ann" },
	{ NULL, NULL },
};
static const char *const users[] = { "ann", "bob", "team", NULL };

static void
walks(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "ann@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "ann+x@site.test", "ann+x@site.test>local:ann;=ok 2.1.5" },
		{ "nosuch@site.test", "=fail 5.1.1" },
		{ "Postmaster", "Postmaster@site.test>local:postmaster;=ok 2.1.5" },
		{ "root@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "FULL@site.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "full@two.test", "ann@site.test>local:ann;=ok 2.1.5" },
		{ "team+d@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;archive@away.test>mx://away.test;"
		    "=ok 2.1.5" },
		{ "chain@site.test", "ann@site.test>local:ann;"
		    "bob@site.test>local:bob;archive@away.test>mx://away.test;"
		    "=ok 2.1.5" },
		{ "ping@site.test", "=fail 5.4.6" },
		{ "esc@site.test", "team@site.test>local:team;=ok 2.1.5" },
		{ "list@site.test", "list@site.test>error:5.3.5 An alias holds a "
		    "target that cannot be used^owner-list@site.test;"
		    "ann@site.test>local:ann^owner-list@site.test;"
		    "far@away.test>mx://away.test^owner-list@site.test;"
		    "bob@site.test>local:bob^owner-list@site.test;"
		    "archive@away.test>mx://away.test^owner-list@site.test;"
		    "=ok 2.1.5" },
		{ "lost@site.test", "=defer 4.3.0" },
		{ "temp@site.test", "=defer 4.3.0" },
		{ "file@site.test", "file@site.test>file:/var/archive@-;=ok 2.1.5" },
		{ "prog@site.test", "prog@site.test>pipe:-:/bin/x -y, z;=ok 2.1.5" },
		{ "gone@site.test", "gone@site.test>error:5.1.6 has moved;=ok 2.1.5" },
		{ "mixed@site.test", "bad@@x>error:5.1.3 Malformed address in an "
		    "alias;ann@site.test>local:ann;nosuch@site.test>error:5.1.1 "
		    "User unknown;=ok 2.1.5" },
		{ "open@site.test", "=fail 5.3.5" },
		{ "x@away.test", "x@away.test>mx://away.test;=ok 2.1.5" },
		{ "x@sub.gw.test", "x@sub.gw.test>smtp://gw;=ok 2.1.5" },
		{ "x@[192.0.2.1]", "x@[192.0.2.1]>smtp://192.0.2.1;=ok 2.1.5" },
		{ "x@[IPv6:::1]", "x@[IPv6:::1]>smtp://[::1];=ok 2.1.5" },
		{ "x@[nonsense]", "=fail 5.1.2" },
		{ "ann@here.test", "ann@here.test>local:ann;=ok 2.1.5" },
		{ "ANN@site.test", "ANN@site.test>local:ann;=ok 2.1.5" },
	};
	struct hb_conf *c = walk_conf("domain site.test two.test\n"
	    "route .gw.test smtp://gw\nroute here.test local\n");

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

		rt_walk(&conf_now, hb_span_str(rows[i].in), &ops, &w);
		hb_buf_add(&w.got, hb_span("", 1));
		if (strncmp((char *)w.got.p, rows[i].want,
			strlen(rows[i].want)) != 0)
			fail_msg("%s: %s", rows[i].in, w.got.p);
		hb_buf_free(&w.got);
	}
	hb_conf_free(&c);
}

/* smtp-port is where a literal is served too. */
static void
port_of_a_literal(void **state)
{
	struct hb_conf *c = walk_conf("domain site.test\nlab on\n"
	    "smtp-port 2525\n");
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

	(void)state;
	rt_walk(&conf_now, HB_SPAN("x@[192.0.2.1]"), &ops, &w);
	assert_true(hb_span_eq(hb_buf_span(&w.got), HB_SPAN(
	    "x@[192.0.2.1]>smtp://192.0.2.1:2525;=ok 2.1.5")));
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static void
a_walk_waits_for_an_answer(void **state)
{
	struct hb_conf *c = walk_conf("domain site.test\n");
	struct world w = { aliases, users, .got = HB_BUF_INIT(0),
		.async = true };

	(void)state;
	rt_walk(&conf_now, HB_SPAN("root@site.test"), &ops, &w);
	assert_int_equal(w.got.n, 0);
	w.cb(w.cb_ctx, w.found);
	assert_span(hb_buf_span(&w.got),
	    "ann@site.test>local:ann;=ok 2.1.5");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static void
run_turns(struct world *w)
{
	while (w->go != NULL) {
		void (*go)(void *arg) = w->go;
		unsigned asked = w->asked;

		w->go = NULL;
		w->turns++;
		go(w->arg);
		if (w->asked - asked > w->most)
			w->most = w->asked - asked;
	}
}

static void
test_A_2_a_long_walk_gives_way(void **state)
{
	struct hb_conf *c = walk_conf("domain site.test\n");
	struct world w = { aliases, users, .got = HB_BUF_INIT(0),
		.many = HB_MAX_ALIAS_TARGETS };

	(void)state;
	rt_walk(&conf_now, HB_SPAN("many@site.test"), &part_ops, &w);
	run_turns(&w);
	assert_span(hb_buf_span(&w.got), "=ok 2.1.5");
	assert_int_equal(w.items, HB_MAX_ALIAS_TARGETS);
	assert_in_range(w.most, 1, 500);
	assert_true(w.turns > HB_MAX_ALIAS_TARGETS / 500);
	assert_true(w.parts > HB_MAX_ALIAS_TARGETS / 1000);
	hb_buf_clear(&w.got);
	w.many++;
	rt_walk(&conf_now, HB_SPAN("many@site.test"), &part_ops, &w);
	run_turns(&w);
	assert_span(hb_buf_span(&w.got), "=fail 5.4.6");
	hb_buf_free(&w.got);
	hb_conf_free(&c);
}

static size_t owned;

static void
count_owned(void *ctx, const struct rt_item *items, size_t n,
    const struct hb_outcome *o)
{
	(void)ctx;
	assert_int_equal(o->result, HB_RESULT_OK);
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++)
		owned += hb_span_eq(items[i].owner,
		    HB_SPAN("owner-broken@site.test"));
}

/* The owner is told of a broken line of his list, nobody else. */
static void
test_S_22_broken_lines_are_the_owners(void **state)
{
	static const struct rt_walk_ops count_ops = { op_alias, op_user,
		op_include, count_owned, op_later, NULL };
	struct hb_conf *c = walk_conf("domain site.test\n");
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };

	(void)state;
	rt_walk(&conf_now, HB_SPAN("broken@site.test"), &count_ops, &w);
	run_turns(&w);
	assert_int_equal(owned, 8);
	hb_conf_free(&c);
}

static void
keep_found(void *ctx, enum rt_found found)
{
	*(int *)ctx = (int)found;
}

static void
existence_does_not_follow_targets(void **state)
{
	static const struct {
		const char *in;
		int want;
	} rows[] = {
		{ "ann@site.test", RT_FOUND },
		{ "lost@site.test", RT_FOUND },
		{ "ping@site.test", RT_FOUND },
		{ "anyone@two.test", RT_FOUND },
		{ "PostMaster", RT_FOUND },
		{ "temp@site.test", RT_TEMP },
		{ "nosuch@site.test", RT_NOTFOUND },
		{ "a/b@site.test", RT_NOTFOUND },
	};
	struct hb_conf *c = walk_conf("domain site.test two.test\n");
	struct world w = { aliases, users, .got = HB_BUF_INIT(0) };
	int got;

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		got = -1;
		rt_exists(&conf_now, hb_span_str(rows[i].in), &ops, &w, keep_found,
		    &got);
		assert_int_equal(got, rows[i].want);
	}
	w.users_down = true;
	rt_exists(&conf_now, HB_SPAN("nosuch@site.test"), &ops, &w, keep_found, &got);
	assert_int_equal(got, RT_TEMP);
	hb_conf_free(&c);
}

static void
relaying_and_senders(void **state)
{
	static const struct {
		const char *client, *user, *sender, *rcpt;
		unsigned listen;
		unsigned rcpt_code, mail_code;
	} rows[] = {
		{ "127.0.0.1", "", "a@x", "b@far.test", 0, 250, 250 },
		{ "192.0.2.1", "", "a@x", "b@far.test", 0, 550, 250 },
		{ "192.0.2.1", "", "a@x", "b@partner.test", 0, 250, 250 },
		{ "192.0.2.1", "ann", "ann@site.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "ann+x@site.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "bob@site.test", "b@far.test", 1, 250, 550 },
		{ "192.0.2.1", "ann", "ann@else.test", "b@far.test", 1, 250, 550 },
		{ "192.0.2.1", "ann@else.test", "Ann@else.test", "b@far.test", 1, 250, 250 },
		{ "192.0.2.1", "ann", "", "b@far.test", 1, 250, 250 },
		{ "garbage", "", "a@x", "b@far.test", 0, 550, 250 },
	};
	struct hb_conf *c = conf_of("domain site.test\n"
	    "relay-domain partner.test\nlisten 127.0.0.1:25 smtp\n"
	    "listen 127.0.0.1:587 submission\n");

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ipc_check q = { .client = hb_span_str(rows[i].client),
			.user = hb_span_str(rows[i].user),
			.sender = hb_span_str(rows[i].sender),
			.rcpt = hb_span_str(rows[i].rcpt),
			.listen = rows[i].listen };

		assert_int_equal(rt_check_relay(c, &q).code, rows[i].rcpt_code);
		assert_int_equal(rt_check_sender(c, &q).code,
		    rows[i].mail_code);
	}
	hb_conf_free(&c);
}

/* children */

struct answers {
	struct hb_loop *loop;
	int want, n;
	enum rt_found last;
};

static void
on_found(void *ctx, enum rt_found found)
{
	struct answers *a = ctx;

	a->last = found;
	if (++a->n == a->want)
		hb_loop_stop(a->loop);
}

static void
children_answer(void **state)
{
	/* of `openssl passwd -6 -salt saltsalt secret` */
	struct hb_span hash = HB_SPAN("$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRst"
	    "iNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1");
	struct answers a = { .loop = hb_loop_new(), .want = 1 };
	struct rt_pool *p = rt_pool_new(a.loop, 2, 5000);

	(void)state;
	rt_pool_user(p, HB_SPAN("root"), on_found, &a);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.last, RT_FOUND);
	a.n = 0;
	rt_pool_user(p, HB_SPAN("no-such-user"), on_found, &a);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.last, RT_NOTFOUND);
	a.n = 0;
	rt_pool_password(p, HB_SPAN("wrong"), hash, on_found, &a);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.last, RT_NOTFOUND);
	a.n = 0;
	rt_pool_password(p, HB_SPAN("secret"), hash, on_found, &a);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.last, RT_FOUND);
	a.n = 0;
	rt_pool_password(p, HB_SPAN(""), HB_SPAN_NONE, on_found, &a);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.last, RT_NOTFOUND);
	rt_pool_free(&p);
	hb_loop_free(&a.loop);
}

static void
stop_loop(void *ctx)
{
	hb_loop_stop(ctx);
}

/* No child could be started for a moment: who waits is not forgotten. */
static void
children_start_when_they_can(void **state)
{
	struct answers a = { .loop = hb_loop_new(), .want = 3 };
	struct rt_pool *p = rt_pool_new(a.loop, 2, 5000);
	struct hb_timer *t = hb_timer_new(a.loop, stop_loop, a.loop);
	struct rlimit was, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < a.want; i++)
		rt_pool_user(p, HB_SPAN("root"), on_found, &a);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	hb_timer_set(t, 3000);
	assert_int_equal(hb_loop_run(a.loop), 0);
	assert_int_equal(a.n, 3);
	assert_int_equal(a.last, RT_FOUND);
	rt_pool_free(&p);
	hb_timer_free(&t);
	hb_loop_free(&a.loop);
}

/* The line that counts, for a person. */
static void
rules_that_decide(void **state)
{
	static const struct {
		const char *conf, *domain, *want;
	} rows[] = {
		{ "domain a.test", "a.test", "domain a.test" },
		{ "domain a.test", "b.test", "" },
		{ "domain a.test", "", "" },
		{ "smarthost smtp://hub.test", "b.test",
		    "smarthost smtp://hub.test" },
		{ "smarthost smtp://hub.test\nroute .b.test mx://c.test",
		    "x.b.test", "route .b.test mx://c.test" },
		{ "domain a.test\nroute a.test smtp://hub.test", "a.test",
		    "domain a.test" },
		{ "route * local", "b.test", "route * local" },
		{ "route * local", "", "" },
	};

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf *c = conf_of(rows[i].conf);
		struct hb_buf rule = HB_BUF_INIT(0);

		rt_rule(c, hb_span_str(rows[i].domain), &rule);
		assert_span(hb_buf_span(&rule), rows[i].want);
		hb_buf_free(&rule);
		hb_conf_free(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks),
		cmocka_unit_test(port_of_a_literal),
		cmocka_unit_test(a_walk_waits_for_an_answer),
		cmocka_unit_test(test_A_2_a_long_walk_gives_way),
		cmocka_unit_test(test_S_22_broken_lines_are_the_owners),
		cmocka_unit_test(existence_does_not_follow_targets),
		cmocka_unit_test(rules_that_decide),
		cmocka_unit_test(relaying_and_senders),
		cmocka_unit_test(children_answer),
		cmocka_unit_test(children_start_when_they_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
