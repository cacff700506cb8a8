/* The header field TLS-Required: which messages ask for what. */
#include "tests/unit/unit.h"

#include "common/proto/tlsrequired.h"

#define F "TLS-Required:"

/* clang-format off */
static const struct row {
	const char *header;
	bool no;
} rows[] = {
	{ "", false },
	{ "Subject: No\r\n", false },
	{ F " No\r\n", true },
	{ F "No\r\n", true },
	{ F " nO\r\n", true },
	{ "tls-required: NO\r\n", true },
	{ "TLS-Required : no\r\n", true },
	{ F " No", true },
	{ F "\t No \t\r\n", true },
	{ F "\r\n No\r\n", true },
	{ F " \r\n\t\r\n No\r\n \r\n", true },
	{ F " (why) No (because (of that))\r\n", true },
	{ F "No(x)\r\n", true },
	{ F " (a\r\n b) No\r\n", true },
	{ F " (a\\)b) No\r\n", true },
	{ "A: b\r\n" F " No\r\nC: d\r\n e\r\n", true },
	{ F "\r\n", false },
	{ F " N\r\n", false },
	{ F " None\r\n", false },
	{ F " Nope\r\n", false },
	{ F " Yes\r\n", false },
	{ F " No, really\r\n", false },
	{ F " No No\r\n", false },
	{ F " \"No\"\r\n", false },
	{ F " N o\r\n", false },
	{ F " N(x)o\r\n", false },
	{ F " N\r\n o\r\n", false },
	{ F " No\r\n thing\r\n", false },
	{ F " No (open\r\n", false },
	{ F " (No)\r\n", false },
	{ F " (a\\) No\r\n", false },
	{ F " No)\r\n", false },
	{ F " No\x01\r\n", false },
	{ F " N\xc3\xb3\r\n", false },
	{ "TLS-Require: No\r\n", false },
	{ "X-TLS-Required: No\r\n", false },
	{ " " F " No\r\n", false },
	{ "A: b\r\n " F " No\r\n", false },
	{ F "\r\nNo: x\r\n", false },
	/* s3: at most one; two ask for nothing, whatever they say */
	{ F " No\r\n" F " No\r\n", false },
	{ F " No\r\nA: b\r\n" F " Yes\r\n", false },
	{ F " Yes\r\n" F " No\r\n", false },
	{ F " No\r\n" F "\r\n", false },
	{ F " No\r\n" F " No\r\n" F " No\r\n", false },
	/* no line of the header section is its end */
	{ F " No\r\n\r\n x\r\n", true },
	{ F " No\r\ngarbage\r\n x\r\n", true },
};
/* clang-format on */

/* Gives each line in pieces of STEP bytes; the first holds the name. */
static bool
is_no(struct hb_span header, size_t step)
{
	struct hb_tlsrequired t = { 0 };

	while (header.n > 0) {
		size_t n = hb_span_find(header, '\n') + 1;
		struct hb_span line = hb_span_head(header, n), part;
		size_t first = hb_span_find(line, ':') + step;

		header = hb_span_from(header, n);
		part = at_page_end(hb_span_head(line, first));
		hb_tlsrequired_line(&t, part);
		line = hb_span_from(line, first);
		for (; line.n > 0; line = hb_span_from(line, step))
			hb_tlsrequired_more(&t,
			    at_page_end(hb_span_head(line, step)));
	}
	return hb_tlsrequired_is_no(&t);
}

static void
test_RTLS_07_one_field_with_the_value_no(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step < 100; step += 33)
			if (is_no(hb_span_str(rows[i].header), step) !=
			    rows[i].no)
				fail_msg("%s by %zu", rows[i].header, step);
}

static void
test_RTLS_07_comments_have_a_bound(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);

	hb_buf_adds(&b, F);
	for (int i = 0; i < 99; i++)
		hb_buf_adds(&b, "(");
	for (int i = 0; i < 99; i++)
		hb_buf_adds(&b, ")");
	hb_buf_adds(&b, "No");
	assert_true(is_no(hb_buf_span(&b), 1000));
	hb_buf_clear(&b);
	hb_buf_adds(&b, F "No");
	for (int i = 0; i < 100; i++)
		hb_buf_adds(&b, "(");
	for (int i = 0; i < 100; i++)
		hb_buf_adds(&b, ")");
	assert_false(is_no(hb_buf_span(&b), 1000));
	hb_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_RTLS_07_one_field_with_the_value_no),
		cmocka_unit_test(test_RTLS_07_comments_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
