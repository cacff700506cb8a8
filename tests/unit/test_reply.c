/* Replies of servers, good and hostile: SMTP-12. */
#include "unit.h"

#include "common/base/err.h"
#include "common/proto/reply.h"

/* Feeds IN as far as it goes; the last return value. */
static int
feed(struct hb_reply *r, struct hb_span in)
{
	size_t used = 0;
	int n = 0;

	hb_reply_reset(r);
	while (!r->done && (n = hb_reply_feed(r, hb_span_from(in, used))) > 0)
		used += (size_t)n;
	return n;
}

// clang-format off
static const struct {
	const char *in;
	int want; /* 1: done */
	unsigned code;
	const char *status, *text;
} rows[] = {
	{ "250 ok\r\n", 1, 250, "", "ok" },
	{ "250\r\n", 1, 250, "", "" },
	{ "250 \r\n", 1, 250, "", "" },
	{ "250 ok\n", 1, 250, "", "ok" },
	{ "250-a\r\n250-b\r\n250 c\r\n", 1, 250, "", "a b c" },
	{ "550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", 1, 550, "5.1.1", "5.1.1 no such user" }, /* S-19 */
	{ "550-5.1.1 no\r\n550-5.1.1\r\n550 5.2.0 user\r\n", 1, 550, "5.1.1", "5.1.1 no user" },
	{ "550-no\r\n550 4.1.1 user\r\n", 1, 550, "", "no 4.1.1 user" },
	{ "550 5.1.1 no such user\r\n", 1, 550, "5.1.1", "5.1.1 no such user" },
	{ "550 4.1.1 class differs\r\n", 1, 550, "", "4.1.1 class differs" },
	{ "550 5.1 short\r\n", 1, 550, "", "5.1 short" },
	{ "550 5.1111.1 long\r\n", 1, 550, "", "5.1111.1 long" },
	{ "354 3.0.0 no class\r\n", 1, 354, "", "3.0.0 no class" },
	{ "299 unknown code\r\n", 1, 299, "", "unknown code" },
	{ "250 a\001b\377c\r\n", 1, 250, "", "a?b?c" },
	{ "250-a\r\n", 0, 250, "", "a" },
	{ "250-a\r\n251 b\r\n", HB_E_SYNTAX, 250, "", "a" },
	{ "", 0, 0, "", "" },
	{ "2", 0, 0, "", "" },
	{ "250 ok\r", 0, 0, "", "" },
	{ "25\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "150 no\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "650 no\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "2500 no\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "HTTP/1.1 400\r\n", HB_E_SYNTAX, 0, "", "" },
	{ "\377\376\375\r\n", HB_E_SYNTAX, 0, "", "" },
};
// clang-format on

static void
test_SMTP_12_replies(void **state)
{
	struct hb_reply r;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		int n = feed(&r, at_page_end(hb_span_str(rows[i].in)));

		if (rows[i].want == 1)
			assert_true(n > 0 && r.done);
		else
			assert_int_equal(n, rows[i].want);
		assert_int_equal(r.code, rows[i].code);
		assert_string_equal(r.status, rows[i].status);
		assert_span(hb_reply_text(&r), rows[i].text);
	}
}

static void
test_line_bound(void **state)
{
	static char line[HB_MAX_REPLY_LINE + 2];
	struct hb_reply r;

	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);
	hb_reply_reset(&r);
	assert_int_equal(hb_reply_feed(&r, hb_span(line,
		HB_MAX_REPLY_LINE - 1)), 0);
	line[HB_MAX_REPLY_LINE - 1] = '\n';
	assert_int_equal(hb_reply_feed(&r, hb_span(line,
		HB_MAX_REPLY_LINE)), HB_MAX_REPLY_LINE);
	assert_true(r.done && r.ntext == HB_MAX_REPLY_TEXT);
}

static void
test_S_19_code_of_each_line_is_not_text(void **state)
{
	struct hb_reply r;

	assert_true(feed(&r, HB_SPAN("250-2.1.5 a\r\n250 2.1.5 b\r\n")) > 0);
	assert_span(hb_reply_text(&r), "2.1.5 a b");
	assert_span(r.line, "2.1.5 b"); /* EHLO's lines stay as they are */
}

/* Nothing is copied from where nothing is. */
static void
test_A_14_code_alone(void **state)
{
	static const char *const in[] = { "354 \r\n", "354\r\n", "354-\r\n354\r\n" };
	struct hb_reply r;

	for (size_t i = 0; i < HB_ARRAY_LEN(in); i++) {
		assert_true(feed(&r, hb_span_str(in[i])) > 0);
		assert_true(r.done && r.code == 354 && r.ntext == 0);
		assert_string_equal(r.status, "");
	}
}

/* RFC 5321 s4.5.3.1.5 bounds what is sent; the code counts all the same. */
static void
test_SMTP_12_long_line(void **state)
{
	static char line[3 * HB_MAX_REPLY_LINE];
	struct hb_reply r;

	memset(line, 'x', sizeof(line));
	memcpy(line, "550 5.1.1 ", 10);
	hb_reply_reset(&r);
	assert_int_equal(hb_reply_feed(&r, hb_span(line, sizeof(line))),
	    HB_MAX_REPLY_LINE);
	assert_false(r.done);
	/* what looks like a reply inside of the line is none */
	memcpy(line, "250 ok\r\n", 8);
	assert_int_equal(hb_reply_feed(&r, hb_span(line, sizeof(line))), 8);
	assert_true(r.done && r.code == 550 && r.line.n == 0);
	assert_string_equal(r.status, "5.1.1");
	assert_int_equal(r.ntext, HB_MAX_REPLY_TEXT);
}

static void
test_endless_line(void **state)
{
	static char line[HB_MAX_REPLY_LINE];
	struct hb_reply r;

	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);
	hb_reply_reset(&r);
	for (unsigned i = 0; i < HB_MAX_REPLY_LINES; i++)
		assert_int_equal(hb_reply_feed(&r, hb_span(line,
			sizeof(line))), sizeof(line));
	assert_int_equal(hb_reply_feed(&r, hb_span(line, sizeof(line))),
	    HB_E_LIMIT);
}

static void
test_line_count_bound(void **state)
{
	struct hb_reply r;

	hb_reply_reset(&r);
	for (unsigned i = 0; i < HB_MAX_REPLY_LINES; i++)
		assert_true(hb_reply_feed(&r, HB_SPAN("250-a\r\n")) > 0);
	assert_int_equal(hb_reply_feed(&r, HB_SPAN("250 a\r\n")), HB_E_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_SMTP_12_replies),
		cmocka_unit_test(test_S_19_code_of_each_line_is_not_text),
		cmocka_unit_test(test_A_14_code_alone),
		cmocka_unit_test(test_line_bound),
		cmocka_unit_test(test_SMTP_12_long_line),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_line_count_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
