/* Routes: text to value and back. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "common/proto/route.h"

static void
good_routes_round_trip(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "mx://Example.ORG", "mx://example.org" },
		{ "smtp://mail.example", "smtp://mail.example" },
		{ "smtp://mail.example:25", "smtp://mail.example" },
		{ "smtp://127.0.0.1:2525", "smtp://127.0.0.1:2525" },
		{ "smtp+tls://[2001:db8::1]:26", "smtp+tls://[2001:db8::1]:26" },
		{ "SMTPS://a.b:465", "smtps://a.b" },
		{ "lmtp://127.0.0.1:24", "lmtp://127.0.0.1" },
		{ "lmtp:/run/lmtp", "lmtp:/run/lmtp" },
		{ "local:Bob", "local:Bob" },
		{ "file:/a@b/c@joe", "file:/a@b/c@joe" },
		{ "pipe:joe:/bin/x -y \"z\"", "pipe:joe:/bin/x -y \"z\"" },
		{ "error:5.1.1 no such user", "error:5.1.1 no such user" },
		{ "discard:", "discard:" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf b = HB_BUF_INIT(0);
		struct hb_route r;

		print_message("%s\n", rows[i].in);
		assert_int_equal(hb_route_parse(at_page_end(hb_span_str(
		    rows[i].in)), &r), 0);
		assert_int_equal(hb_route_format(&r, &b), 0);
		assert_span(hb_buf_span(&b), rows[i].out);
		hb_buf_free(&b);
	}
}

static void
bad_routes_are_refused(void **state)
{
	static const char *const rows[] = { "", "x", "mx:", "mx://", "mx://a:25",
		"mx://1.2.3.4", "smtp://a:0", "smtp://a:65536", "smtp://a:x",
		"smtp://[::1", "smtp://[1]", "smtp://::1", "smtp://a b",
		"smtp://a..b", "smtp://.a", "smtp://a/b", "lmtp:", "local:",
		"file:a@b", "file:/a", "file:/a@", "pipe:x", "pipe::x",
		"pipe:x:", "error:", "error:2.0.0 x", "error:5.1 x",
		"error:a.b.c", "error:5...1 x", "error:5.1.1.1 x",
		"error:5.1000.1 x", "discard:x" };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_route r;

		print_message("%s\n", rows[i]);
		assert_true(hb_route_parse(at_page_end(hb_span_str(rows[i])),
		    &r) < 0);
	}
}

static void
parts_are_found(void **state)
{
	struct hb_route r;

	assert_int_equal(hb_route_parse(HB_SPAN("smtp://[::1]:26"), &r), 0);
	assert_true(r.literal);
	assert_span(r.host, "::1");
	assert_int_equal(r.port, 26);
	assert_int_equal(hb_route_parse(HB_SPAN("pipe:joe:a:b"), &r), 0);
	assert_span(r.user, "joe");
	assert_span(r.rest, "a:b");
	assert_int_equal(hb_route_parse(HB_SPAN("error:4.7.1 wait a bit"), &r),
	    0);
	assert_span(r.status, "4.7.1");
	assert_span(r.rest, "wait a bit");
	assert_true(hb_route_is_remote(HB_ROUTE_LMTP_UNIX));
	assert_false(hb_route_is_remote(HB_ROUTE_LOCAL));
}

static void
a_route_has_a_bound(void **state)
{
	static char text[HB_MAX_ROUTE + 2];
	struct hb_route r;

	memset(text, 'a', sizeof(text));
	memcpy(text, "local:", 6);
	assert_int_equal(hb_route_parse(hb_span(text, HB_MAX_ROUTE), &r), 0);
	assert_int_equal(hb_route_parse(hb_span(text, HB_MAX_ROUTE + 1), &r),
	    HB_E_RANGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_routes_round_trip),
		cmocka_unit_test(bad_routes_are_refused),
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(a_route_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
