/* Rules of the queue manager, and the maildrop's format. */
#include "tests/unit/unit.h"

#include "common/proto/maildrop.h"
#include "queue/manager/places.h"
#include "queue/manager/rules.h"

static void
recipients_travel_together_by_route_and_owner(void **state)
{
	static const struct {
		const char *route, *owner, *key, *domain;
		enum hb_deliver_kind deliver;
		bool local, spread;
	} rows[] = {
		{ "mx://x.example", "", "mx://x.example", "x.example",
		    HB_DELIVER_MAILDIR, false, false },
		{ "mx://x.example", "o@h", "mx://x.example\no@h", "x.example",
		    HB_DELIVER_MAILDIR, false, false },
		{ "smtp://relay:2525", "", "smtp://relay:2525", "relay",
		    HB_DELIVER_MAILDIR, false, true },
		{ "smtp://192.0.2.1", "", "smtp://192.0.2.1", "",
		    HB_DELIVER_MAILDIR, false, true },
		{ "local:bob", "", "local:bob", "", HB_DELIVER_MAILDIR, true,
		    true },
		{ "local:bob", "", "lmtp:/run/lmtp", "", HB_DELIVER_LMTP,
		    false, true },
		{ "pipe:bob:cat", "", "pipe:bob:cat", "", HB_DELIVER_LMTP,
		    true, true },
	};
	char endpoint[] = "lmtp:/run/lmtp";

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf conf = { .deliver = { rows[i].deliver,
						endpoint } };
		struct hb_span route = hb_span_str(rows[i].route);
		struct hb_buf key = HB_BUF_INIT(0);
		struct hb_route parsed;
		struct q_route to;

		assert_int_equal(hb_route_parse(route, &parsed), 0);
		q_rule_route(&conf, &parsed, route, hb_span_str(rows[i].owner),
		    HB_SPAN("x.test"), &key, &to);
		assert_span(to.key, rows[i].key);
		assert_span(to.domain, rows[i].domain);
		assert_int_equal(to.local, rows[i].local);
		assert_int_equal(to.spread, rows[i].spread);
		hb_buf_free(&key);
	}
}

/* Behind one smarthost, recipients with different words of the operator. */
static void
recipients_with_a_word_travel_alone(void **state)
{
	static const struct {
		const char *domain, *key, *rcpts;
	} rows[] = {
		{ "strict.test", "smtp://m\nstrict.test", "strict.test" },
		{ "sub.all.test", "smtp://m\nsub.all.test", "sub.all.test" },
		{ "loose.test", "smtp://m", "" },
		{ "m", "smtp://m", "" },
	};
	char strict[] = "strict.test", all[] = ".all.test", hop[] = "m";
	struct hb_tls_policy words[] = {
		{ .pattern = strict, .level = HB_TLS_VERIFY },
		{ .pattern = all, .level = HB_TLS_ENCRYPT, .until_ms = 1 },
		{ .pattern = hop, .level = HB_TLS_ENCRYPT },
	};
	struct hb_conf conf = { .tls_policies = { words,
					HB_ARRAY_LEN(words) } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span route = HB_SPAN("smtp://m");
		struct hb_buf key = HB_BUF_INIT(0);
		struct hb_route parsed;
		struct q_route to;

		assert_int_equal(hb_route_parse(route, &parsed), 0);
		q_rule_route(&conf, &parsed, route, HB_SPAN_NONE,
		    hb_span_str(rows[i].domain), &key, &to);
		assert_span(to.key, rows[i].key);
		assert_span(hb_span_from(to.key, to.key.n - to.rcpts_n),
		    rows[i].rcpts);
		assert_span(to.domain, "m");
		hb_buf_free(&key);
	}
}

static void
local_routes_say_who_does_what(void **state)
{
	static const struct {
		const char *route;
		bool passwd;
		enum hb_local_kind kind;
		const char *account, *target, *user;
	} rows[] = {
		{ "local:bob", true, HB_LOCAL_MBOX, "bob", "/m/%u", "bob" },
		{ "local:bob", false, HB_LOCAL_MBOX, HB_LOCAL_ACCOUNT, "/m/%u",
		    "bob" },
		{ "file:/var/f@bob", true, HB_LOCAL_FILE, "bob", "/var/f", "" },
		{ "pipe:bob:cat >x", true, HB_LOCAL_PIPE, "bob", "cat >x", "" },
	};
	char template[] = "/m/%u";

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf conf = { .deliver = { HB_DELIVER_MBOX,
						template },
			.local_users = { .passwd = rows[i].passwd } };
		struct hb_route route;
		struct q_local l;

		assert_int_equal(hb_route_parse(hb_span_str(rows[i].route),
		    &route), 0);
		q_rule_local(&conf, &route, &l);
		assert_int_equal(l.kind, rows[i].kind);
		assert_span(l.account, rows[i].account);
		assert_span(l.target, rows[i].target);
		if (rows[i].user[0] != 0)
			assert_span(l.user, rows[i].user);
	}
}

static void
test_F_9_dev_null_throws_away(void **state)
{
	static const struct {
		const char *route;
		enum hb_deliver_kind kind;
		const char *arg;
		bool discards;
	} rows[] = {
		{ "discard:", HB_DELIVER_MBOX, "/m/%u", true },
		{ "file:/dev/null@-", HB_DELIVER_MBOX, "/m/%u", true },
		{ "file:/dev/nul@-", HB_DELIVER_MBOX, "/m/%u", false },
		{ "file:/dev/null/x@-", HB_DELIVER_MBOX, "/m/%u", false },
		{ "local:bob", HB_DELIVER_MBOX, "/m/%u", false },
		{ "local:bob", HB_DELIVER_MBOX, "/dev/null", true },
		{ "local:bob", HB_DELIVER_MAILDIR, "/dev/null", false },
		{ "pipe:bob:/dev/null", HB_DELIVER_MBOX, "/dev/null", false },
		{ "mx://h.test", HB_DELIVER_MBOX, "/dev/null", false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char *arg = hb_strdup(rows[i].arg);
		struct hb_conf conf = { .deliver = { rows[i].kind, arg } };
		struct hb_route route;

		print_message("%s %s\n", rows[i].route, arg);
		assert_int_equal(hb_route_parse(hb_span_str(rows[i].route),
		    &route), 0);
		assert_int_equal(q_rule_discards(&conf, &route),
		    rows[i].discards);
		free(arg);
	}
}

static void
repeated_recipients_are_dropped(void **state)
{
	struct hb_rcpt items[] = {
		{ .address = HB_SPAN("a@h") },
		{ .address = HB_SPAN("b@h") },
		{ .address = HB_SPAN("A@h") }, /* the host's to say */
		{ .address = HB_SPAN("b@H") },
		{ .address = HB_SPAN("c@h") },
		{ .address = HB_SPAN("a@h") },
	};
	size_t n = q_rcpts_unique(items, HB_ARRAY_LEN(items));

	assert_int_equal(n, 4);
	assert_span(items[2].address, "A@h");
	assert_span(items[3].address, "c@h");
	assert_int_equal(items[3].idx, 3);
}

static void
test_F_14_M_15_what_is_one_place(void **state)
{
	static const struct {
		const char *template;
		const char *a, *route_a, *b, *route_b;
		bool one;
	} rows[] = {
		{ "/m/%u", "al@h", "local:al", "AL@H", "local:al", true },
		{ "/m/%u", "al@h", "local:al", "al@other", "local:al", true },
		{ "/m/%u", "al+x@h", "local:al", "al@h", "local:al", true },
		{ "/m/%u", "al@h", "local:al", "bo@h", "local:bo", false },
		{ "/m/%d/%u", "al@h", "local:al", "Al@H", "local:al", true },
		{ "/m/%d/%u", "al@h", "local:al", "al@o", "local:al", false },
		{ "/m/%%d/%u", "al@h", "local:al", "al@o", "local:al", true },
		{ "/m/%a", "al+x@h", "local:al", "al@h", "local:al", false },
		{ "/m/%a", "Al@h", "local:al", "al@h", "local:al", true },
		{ "/m/%u", "al@h", "lmtp:///s", "Al@H", "lmtp:///s", true },
		{ "/m/%u", "al@h", "lmtp:///s", "al@o", "lmtp:///s", false },
		{ "/m/%u", "al@h", "mx://h", "Al@h", "mx://h", false },
		{ "/m/%u", "al@h", "mx://h", "al@H", "mx://h", true },
		{ "/m/%u", "al@h", "mx://h", "al@h", "smtp://i", false },
		{ "/m/%u", "l@h", "file:/f@x", "m@h", "file:/f@x", true },
		{ "/m/%u", "l@h", "pipe:x:c", "m@h", "pipe:x:c", false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char template[16];
		struct hb_deliver d = { HB_DELIVER_MAILDIR, template };
		struct hb_rcpt r[] = {
			{ .idx = 3, .address = hb_span_str(rows[i].a),
			    .route = hb_span_str(rows[i].route_a) },
			{ .idx = 4, .address = hb_span_str(rows[i].b),
			    .route = hb_span_str(rows[i].route_b) },
		};
		struct q_places *p;

		snprintf(template, sizeof(template), "%s", rows[i].template);
		p = q_places_new(&d);
		q_places_add(p, &r[0]);
		q_places_add(p, &r[0]);
		assert_int_equal(q_places_taken(p, r, 2, &r[1], 4),
		    rows[i].one);
		/* its own place is nobody else's */
		assert_false(q_places_taken(p, r, 2, &r[0], 3));
		/* where it was before is nobody's */
		r[0].route = HB_SPAN("local:elsewhere");
		assert_false(q_places_taken(p, r, 2, &r[1], 4));
		q_places_free(&p);
	}
}

static void
drop_head_round_trips_and_detects_damage(void **state)
{
	struct hb_drop_head h = { 10, 20, 0xdeadbeef, UINT64_C(1) << 40 };
	struct hb_drop_head back;
	struct hb_buf b = HB_BUF_INIT(0);

	hb_drop_head_put(&h, &b);
	assert_int_equal(b.n, HB_DROP_HEAD);
	assert_int_equal(hb_drop_head_parse(at_page_end(hb_buf_span(&b)),
	    &back), 0);
	assert_int_equal(back.env_n, h.env_n);
	assert_int_equal(back.rcpts_n, h.rcpts_n);
	assert_int_equal(back.crc, h.crc);
	assert_true(back.body_n == h.body_n);
	for (size_t i = 0; i < b.n; i++) {
		assert_true(hb_drop_head_parse(hb_span_head(hb_buf_span(&b),
		    i), &back) == HB_E_MORE);
		b.p[i] ^= 4;
		assert_true(hb_drop_head_parse(hb_buf_span(&b), &back) < 0);
		b.p[i] ^= 4;
	}
	hb_buf_clear(&b);
	h.env_n = HB_DROP_ENV_MAX + 1;
	hb_drop_head_put(&h, &b);
	assert_int_equal(hb_drop_head_parse(hb_buf_span(&b), &back),
	    HB_E_LIMIT);
	hb_buf_free(&b);
}

static void
dropped_recipients_are_read_to_their_end(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_rcpt r = { .address = HB_SPAN("a@h") }, got;
	struct hb_span rest;

	assert_int_equal(hb_drop_rcpt_put(&r, &b), 0);
	assert_int_equal(hb_drop_rcpt_put(&r, &b), 0);
	rest = at_page_end(hb_buf_span(&b));
	assert_int_equal(hb_drop_rcpt(&rest, &got), 1);
	assert_int_equal(hb_drop_rcpt(&rest, &got), 1);
	assert_span(got.address, "a@h");
	assert_int_equal(hb_drop_rcpt(&rest, &got), 0);
	for (size_t i = 1; i < b.n / 2; i++) {
		rest = at_page_end(hb_span_head(hb_buf_span(&b), i));
		assert_true(hb_drop_rcpt(&rest, &got) < 0);
	}
	hb_buf_free(&b);
}

static void
drop_names_are_plain(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{ "1", true }, { "a.b.C9", true }, { "", false },
		{ ".x", false }, { "a/b", false }, { "a b", false },
		{ "0123456789012345678901234567890123456789012345678901234567890123",
		    true },
		{ "01234567890123456789012345678901234567890123456789012345678901234",
		    false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(hb_drop_is_name(hb_span_str(rows[i].name)),
		    rows[i].good);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_travel_together_by_route_and_owner),
		cmocka_unit_test(recipients_with_a_word_travel_alone),
		cmocka_unit_test(local_routes_say_who_does_what),
		cmocka_unit_test(test_F_9_dev_null_throws_away),
		cmocka_unit_test(repeated_recipients_are_dropped),
		cmocka_unit_test(test_F_14_M_15_what_is_one_place),
		cmocka_unit_test(drop_head_round_trips_and_detects_damage),
		cmocka_unit_test(dropped_recipients_are_read_to_their_end),
		cmocka_unit_test(drop_names_are_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
