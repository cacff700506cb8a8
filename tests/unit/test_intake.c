/* What an envelope has to be wherever one comes in. */
#include "tests/unit/unit.h"

#include "common/proto/intake.h"

#define BYTES(lit) HB_SPAN_INIT(lit)

/* clang-format off */
static const struct {
	struct hb_span in;
	const char *want; /* NULL: refused */
	bool rcpt, utf8;
} paths[] = {
	{ BYTES(""), "", false, false },
	{ BYTES(""), NULL, true, false },
	{ BYTES("Ann@Site.TEST"), "Ann@site.test", true, false },
	{ BYTES("\"ann\"@site.test"), "ann@site.test", true, false },
	{ BYTES("\"a b\"@site.test"), "\"a b\"@site.test", true, false },
	{ BYTES("ann@[192.0.2.1]"), "ann@[192.0.2.1]", true, false },
	{ BYTES("Postmaster"), "Postmaster", true, false },
	{ BYTES("ann"), NULL, true, false },
	{ BYTES("postmaster"), NULL, false, false },
	{ BYTES("\xc3\xa4@site.test"), "\xc3\xa4@site.test", true, true },
	{ BYTES("\xc3@site.test"), NULL, true, false },
	{ BYTES("a@b.test\nTo: x"), NULL, true, false },
	{ BYTES("a@b.test\r\nSubject: x"), NULL, true, false },
	{ BYTES("a\n@b.test"), NULL, true, false },
	{ BYTES("a\0@b.test"), NULL, true, false },
	{ BYTES("a@b.test\0"), NULL, true, false },
	{ BYTES("\"a\nb\"@b.test"), NULL, true, false },
	{ BYTES("\"a\\\nb\"@b.test"), NULL, true, false },
	{ BYTES("a@b.test> NOTIFY=NEVER"), NULL, true, false },
	{ BYTES("a@b.test> AUTH=<"), NULL, true, false },
	{ BYTES("<a@b.test>"), NULL, true, false },
	{ BYTES("@x.test:a@b.test"), NULL, true, false },
	{ BYTES("a@b.test a@c.test"), NULL, true, false },
	{ BYTES("a@b.test\x7f"), NULL, true, false },
};

static const struct {
	struct hb_span in;
	bool good;
} orcpts[] = {
	{ BYTES(""), true },
	{ BYTES("rfc822;a+2Bb@c.test"), true },
	{ BYTES("rfc822"), false },
	{ BYTES(";x"), false },
	{ BYTES("rfc822;"), false },
	{ BYTES("rfc822;a b"), false },
	{ BYTES("rfc822;a\r\nRSET"), false },
	{ BYTES("rfc822;a=b"), false },
	{ BYTES("rfc 822;a"), false },
	{ BYTES("rfc822;a\0"), false },
};
/* clang-format on */

static void
test_A_3_paths_are_kept_in_canonical_form(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(paths); i++) {
		struct hb_arena *a = hb_arena_new();
		struct hb_env e = { .sender = at_page_end(paths[i].in) };
		struct hb_rcpt r = { .address = e.sender }, out;
		uint32_t flags = 0;
		bool good = paths[i].rcpt
		    ? hb_intake_rcpt(&r, a, &out, &flags) == 0
		    : hb_intake_env(&e, a) == 0;

		assert_int_equal(good, paths[i].want != NULL);
		if (good) {
			assert_span(paths[i].rcpt ? out.address : e.sender,
			    paths[i].want);
			assert_int_equal(flags,
			    paths[i].utf8 ? HB_ENV_SMTPUTF8 : 0);
			assert_true(hb_intake_is_path(paths[i].rcpt
				? out.address : e.sender));
		}
		hb_arena_free(&a);
	}
}

static void
test_A_3_other_texts_hold_no_control_characters(void **state)
{
	struct hb_arena *a = hb_arena_new();
	struct hb_env e;
	struct hb_span *texts[] = { &e.envid, &e.client, &e.helo, &e.user,
		&e.with, &e.tls, &e.mail_auth, &e.message_id, &e.held_for };

	for (size_t i = 0; i < HB_ARRAY_LEN(texts); i++)
		for (unsigned c = 0; c < 256; c++) {
			unsigned char text[3] = { 'a', (unsigned char)c, 'b' };
			bool control = c < ' ' || c == 0x7f;

			memset(&e, 0, sizeof(e));
			*texts[i] = hb_span(text, 3);
			if (i > 0)
				assert_int_equal(hb_intake_env(&e, a) == 0,
				    !control);
			else if (control || c == ' ' || c > 126)
				assert_true(hb_intake_env(&e, a) < 0);
		}
	hb_arena_free(&a);
}

static void
test_A_3_what_else_a_recipient_says(void **state)
{
	struct hb_arena *a = hb_arena_new();
	struct hb_rcpt r = { .address = HB_SPAN("a@b.test"), .idx = 9,
		.original = HB_SPAN("x\ny"), .route = HB_SPAN("pipe:/bin/sh"),
		.owner = HB_SPAN("x\ny"), .flags = 3 }, out;
	uint32_t flags = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(orcpts); i++) {
		r.orcpt = orcpts[i].in;
		assert_int_equal(hb_intake_is_orcpt(r.orcpt), orcpts[i].good);
		assert_int_equal(hb_intake_rcpt(&r, a, &out, &flags) == 0,
		    orcpts[i].good);
	}
	r.orcpt = HB_SPAN_NONE;
	r.notify = HB_NOTIFY_NEVER | HB_NOTIFY_DELAY;
	assert_int_equal(hb_intake_rcpt(&r, a, &out, &flags), 0);
	assert_int_equal(out.notify, HB_NOTIFY_NEVER);
	assert_int_equal(out.original.n + out.route.n + out.owner.n, 0);
	assert_int_equal(out.flags | out.idx, 0);
	hb_arena_free(&a);
}

/* Sorted, and some may be missing at any place. */
static void
test_A_2_recipients_are_found_by_number(void **state)
{
	struct hb_rcpt v[12] = { { 0 } };

	assert_null(hb_rcpt_find(v, 0, 0));
	for (unsigned have = 1; have < 1u << 12; have++) {
		size_t n = 0;

		for (uint32_t idx = 0; idx < 12; idx++)
			if ((have >> idx & 1) != 0)
				v[n++].idx = 5 + idx;
		for (uint32_t idx = 0; idx < 25; idx++) {
			const struct hb_rcpt *r = hb_rcpt_find(v, n, idx);
			bool there = idx >= 5 && idx < 17 &&
			    (have >> (idx - 5) & 1) != 0;

			assert_int_equal(r != NULL, there);
			assert_true(r == NULL || r->idx == idx);
		}
	}
}

/* clang-format off */
static const struct {
	struct hb_rcpt in;
	int want;
	const char *route;
	uint32_t flags;
} moved[] = {
	{ { .flags = HB_RCPT_EXPANDED | HB_RCPT_LIST | 64u,
	    .route = HB_SPAN_INIT("local:ann") },
	  0, "local:ann", HB_RCPT_EXPANDED | HB_RCPT_LIST },
	{ { .flags = HB_RCPT_EXPANDED, .route = HB_SPAN_INIT("mx://b.test") },
	  0, "", 0 },
	{ { .flags = HB_RCPT_EXPANDED,
	    .route = HB_SPAN_INIT("pipe:root:/bin/sh") }, 0, "", 0 },
	{ { .flags = HB_RCPT_EXPANDED,
	    .route = HB_SPAN_INIT("file:/etc/passwd@root") }, 0, "", 0 },
	{ { .flags = HB_RCPT_EXPANDED,
	    .route = HB_SPAN_INIT("lmtp:/run/x") }, 0, "", 0 },
	{ { .flags = HB_RCPT_EXPANDED,
	    .route = HB_SPAN_INIT("local:../x") }, 0, "", 0 },
	{ { .flags = HB_RCPT_EXPANDED,
	    .route = HB_SPAN_INIT("local:a\nb") }, 0, "", 0 },
	{ { .route = HB_SPAN_INIT("local:ann") }, 0, "", 0 },
	{ { .original = HB_SPAN_INIT("x\ny") }, HB_E_SYNTAX, NULL, 0 },
	{ { .owner = HB_SPAN_INIT("x y@b.test") }, HB_E_SYNTAX, NULL, 0 },
	{ { .orcpt = HB_SPAN_INIT("x") }, HB_E_SYNTAX, NULL, 0 },
};
/* clang-format on */

static void
test_S_17_what_a_file_may_say_of_a_recipient(void **state)
{
	struct hb_arena *a = hb_arena_new();
	struct hb_rcpt out, r;
	uint32_t flags = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(moved); i++) {
		r = moved[i].in;
		r.address = HB_SPAN("a@b.test");
		assert_int_equal(hb_intake_moved_rcpt(&r, a, &out, &flags),
		    moved[i].want);
		if (moved[i].want < 0)
			continue;
		assert_span(out.route, moved[i].route);
		assert_int_equal(out.flags, moved[i].flags);
	}
	r = (struct hb_rcpt){ .address = HB_SPAN("a@b.test"),
		.original = HB_SPAN("Team@B.test"),
		.owner = HB_SPAN("owner-team@b.TEST") };
	assert_int_equal(hb_intake_moved_rcpt(&r, a, &out, &flags), 0);
	assert_span(out.original, "Team@b.test");
	assert_span(out.owner, "owner-team@b.test");
	hb_arena_free(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A_2_recipients_are_found_by_number),
		cmocka_unit_test(test_A_3_paths_are_kept_in_canonical_form),
		cmocka_unit_test(
		    test_A_3_other_texts_hold_no_control_characters),
		cmocka_unit_test(test_A_3_what_else_a_recipient_says),
		cmocka_unit_test(test_S_17_what_a_file_may_say_of_a_recipient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
