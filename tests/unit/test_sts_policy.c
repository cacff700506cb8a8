/* Policy text and name patterns: STS-09 to STS-12, STS-24. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "sts/match.h"
#include "sts/policy.h"

#define V "version: STSv1\n"
#define E V "mode: enforce\n"
#define A "max_age: 86400\n"

/* "MODE MAX_AGE MX,MX", or "" for a text that is no policy. */
static void
describe(struct hb_span text, struct hb_buf *out)
{
	struct hb_arena *arena = hb_arena_new();
	struct sts_policy p;
	const char *why;

	hb_buf_clear(out);
	if (sts_policy_parse(at_page_end(text), arena, &p, &why) == 0) {
		assert_string_equal(why, "");
		hb_buf_addf(
		    out, "%s %u", sts_mode_word(p.mode), (unsigned)p.max_age_s);
		for (size_t i = 0; i < p.nmx; i++) {
			hb_buf_adds(out, i == 0 ? " " : ",");
			hb_buf_add(out, p.mx[i]);
		}
	} else {
		assert_string_not_equal(why, "");
	}
	hb_arena_free(&arena);
}

struct row {
	const char *name;
	struct hb_span in;
	const char *want;
};

static void
check_rows(const struct row *rows, size_t n)
{
	struct hb_buf got = HB_BUF_INIT(0), again = HB_BUF_INIT(0);

	for (size_t i = 0; i < n; i++) {
		print_message("%s\n", rows[i].name);
		describe(rows[i].in, &got);
		assert_span(hb_buf_span(&got), rows[i].want);
		for (size_t cut = 0; cut < rows[i].in.n; cut++)
			describe(hb_span_head(rows[i].in, cut), &again);
	}
	hb_buf_free(&got);
	hb_buf_free(&again);
}

static void
sts09_fields_that_are_needed(void **state)
{
	static const struct row rows[] = {
		/* clang-format off */
		{ "all", HB_SPAN(E "mx: a.example\n" A), "enforce 86400 a.example" },
		{ "testing", HB_SPAN(V "mode: testing\nmx: a.example\n" A), "testing 86400 a.example" },
		{ "none without mx", HB_SPAN(V "mode: none\n" A), "none 86400" },
		{ "none with mx", HB_SPAN(V "mode: none\nmx: a.example\n" A), "none 86400 a.example" },
		{ "any order", HB_SPAN(A "mx: a.example\nmode: enforce\nversion: STSv1"), "enforce 86400 a.example" },
		{ "no version", HB_SPAN("mode: enforce\nmx: a.example\n" A), "" },
		{ "other version", HB_SPAN("version: STSv2\nmode: enforce\nmx: a.example\n" A), "" },
		{ "version with case", HB_SPAN("version: stsv1\nmode: enforce\nmx: a.example\n" A), "" },
		{ "no mode", HB_SPAN(V "mx: a.example\n" A), "" },
		{ "mode unknown", HB_SPAN(V "mode: report\nmx: a.example\n" A), "" },
		{ "mode with case", HB_SPAN(V "mode: Enforce\nmx: a.example\n" A), "" },
		{ "no max_age", HB_SPAN(E "mx: a.example\n"), "" },
		{ "enforce without mx", HB_SPAN(E A), "" },
		{ "testing without mx", HB_SPAN(V "mode: testing\n" A), "" },
		{ "name with case", HB_SPAN("Version: STSv1\nmode: none\n" A), "" },
		{ "empty", HB_SPAN(""), "" },
		{ "one byte", HB_SPAN("v"), "" },
		{ "a web page", HB_SPAN("<!DOCTYPE html>\n<html>\n"), "" },
		/* clang-format on */
	};

	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts10_duplicates_lines_and_unknown_fields(void **state)
{
	static const struct row rows[] = {
		/* clang-format off */
		{ "first mode counts", HB_SPAN(E "mode: none\nmx: a.example\n" A), "enforce 86400 a.example" },
		{ "bad second mode is passed over", HB_SPAN(E "mode: x\nmx: a.example\n" A), "enforce 86400 a.example" },
		{ "bad first mode", HB_SPAN(V "mode: x\nmode: enforce\nmx: a.example\n" A), "" },
		{ "first max_age counts", HB_SPAN(E "mx: a.example\n" A "max_age: 1\n"), "enforce 86400 a.example" },
		{ "first version counts", HB_SPAN(E "version: STSv2\nmx: a.example\n" A), "enforce 86400 a.example" },
		{ "each mx counts", HB_SPAN(E "mx: a.example\nmx: b.example\n" A), "enforce 86400 a.example,b.example" },
		{ "CRLF", HB_SPAN("version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 86400\r\n"),
		    "enforce 86400 a.example" },
		{ "CRLF and LF", HB_SPAN("version: STSv1\r\nmode: enforce\nmx: a.example\r\nmax_age: 86400"),
		    "enforce 86400 a.example" },
		{ "bare CR", HB_SPAN("version: STSv1\rmode: enforce\rmx: a.example\rmax_age: 86400\r"), "" },
		{ "two CR", HB_SPAN("version: STSv1\r\r\nmode: none\n" A), "" },
		{ "CR before a value", HB_SPAN(V "mode:\rnone\n" A), "" },
		{ "unknown field", HB_SPAN(E "mx: a.example\nx-y.z_0: b c\n" A), "enforce 86400 a.example" },
		{ "unknown field in UTF-8", HB_SPAN(E "mx: a.example\nnote: \xc3\xa9t\xc3\xa9\n" A), "enforce 86400 a.example" },
		{ "no blank after the colon", HB_SPAN("version:STSv1\nmode:none\nmax_age:5\n"), "none 5" },
		{ "blanks at line ends", HB_SPAN("version: \t STSv1 \nmode: none\t\nmax_age: 5  \n"), "none 5" },
		{ "empty lines", HB_SPAN("\n" V "\r\nmode: none\n\n" A "\n\n"), "none 86400" },
		{ "line without colon", HB_SPAN(V "mode: none\nhello\n" A), "" },
		{ "blank before the colon", HB_SPAN("version : STSv1\nmode: none\n" A), "" },
		{ "blank before a name", HB_SPAN(V " mode: none\n" A), "" },
		{ "empty value", HB_SPAN(V "mode: none\nx:\n" A), "" },
		{ "NUL", HB_SPAN(V "mode: none\0\n" A), "" },
		{ "name of 32", HB_SPAN(V "mode: none\na1234567890123456789012345678901: b\n" A), "none 86400" },
		{ "name of 33", HB_SPAN(V "mode: none\na12345678901234567890123456789012: b\n" A), "" },
		/* clang-format on */
	};

	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts11_max_age(void **state)
{
	static const struct row rows[] = {
		/* clang-format off */
		{ "zero", HB_SPAN(V "mode: none\nmax_age: 0\n"), "none 0" },
		{ "a year", HB_SPAN(V "mode: none\nmax_age: 31557600\n"), "none 31557600" },
		{ "a second more", HB_SPAN(V "mode: none\nmax_age: 31557601\n"), "none 31557600" },
		{ "ten digits", HB_SPAN(V "mode: none\nmax_age: 9999999999\n"), "none 31557600" },
		{ "leading zeros", HB_SPAN(V "mode: none\nmax_age: 0000000600\n"), "none 600" },
		{ "eleven digits", HB_SPAN(V "mode: none\nmax_age: 10000000000\n"), "" },
		{ "sign", HB_SPAN(V "mode: none\nmax_age: -1\n"), "" },
		{ "plus", HB_SPAN(V "mode: none\nmax_age: +1\n"), "" },
		{ "words", HB_SPAN(V "mode: none\nmax_age: 1d\n"), "" },
		{ "blank inside", HB_SPAN(V "mode: none\nmax_age: 1 0\n"), "" },
		/* clang-format on */
	};

	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts12_mx_values(void **state)
{
	static const struct row rows[] = {
		/* clang-format off */
		{ "wildcard", HB_SPAN(E "mx: *.a.example\n" A), "enforce 86400 *.a.example" },
		{ "lower case", HB_SPAN(E "mx: *.A.Example\n" A), "enforce 86400 *.a.example" },
		{ "A-label", HB_SPAN(E "mx: xn--bcher-kva.example\n" A), "enforce 86400 xn--bcher-kva.example" },
		{ "U-label", HB_SPAN(E "mx: b\xc3\xbc" "cher.example\n" A), "" },
		{ "final dot", HB_SPAN(E "mx: a.example.\n" A), "enforce 86400 a.example" },
		{ "star alone", HB_SPAN(E "mx: *\n" A), "" },
		{ "star and dot", HB_SPAN(E "mx: *.\n" A), "" },
		{ "star in a label", HB_SPAN(E "mx: mx*.a.example\n" A), "" },
		{ "star before a label", HB_SPAN(E "mx: *a.example\n" A), "" },
		{ "star in the middle", HB_SPAN(E "mx: a.*.example\n" A), "" },
		{ "two stars", HB_SPAN(E "mx: *.*.example\n" A), "" },
		{ "two names", HB_SPAN(E "mx: a.example b.example\n" A), "" },
		{ "names with comma", HB_SPAN(E "mx: a.example,b.example\n" A), "" },
		{ "empty label", HB_SPAN(E "mx: a..example\n" A), "" },
		{ "dot first", HB_SPAN(E "mx: .example\n" A), "" },
		{ "two final dots", HB_SPAN(E "mx: a.example..\n" A), "" },
		{ "dash first", HB_SPAN(E "mx: -a.example\n" A), "" },
		{ "dash last", HB_SPAN(E "mx: a-.example\n" A), "" },
		{ "address literal", HB_SPAN(E "mx: [192.0.2.1]\n" A), "" },
		{ "label of 64", HB_SPAN(E "mx: a123456789012345678901234567890123456789012345678901234567890123.example\n" A), "" },
		{ "one bad spoils all", HB_SPAN(E "mx: a.example\nmx: *\n" A), "" },
		/* clang-format on */
	};

	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts17_bounds(void **state)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_arena *arena = hb_arena_new();
	struct sts_policy p;
	const char *why;
	char last[32];
	unsigned n = 0;

	hb_buf_adds(&text, E A);
	while (text.n < HB_MAX_STS_BODY - 32)
		hb_buf_addf(&text, "mx: m%u.example\n", ++n);
	assert_int_equal(
	    sts_policy_parse(hb_buf_span(&text), arena, &p, &why), 0);
	assert_int_equal(p.nmx, n);
	snprintf(last, sizeof(last), "m%u.example", n);
	assert_true(sts_match_policy(&p, hb_span_str(last)));
	assert_true(sts_match_policy(&p, HB_SPAN("m1.example")));
	while (text.n < HB_MAX_STS_BODY)
		hb_buf_adds(&text, "\n");
	assert_int_equal(
	    sts_policy_parse(
		at_page_end(hb_span_head(hb_buf_span(&text), HB_MAX_STS_BODY)),
		arena, &p, &why),
	    0);
	hb_buf_adds(&text, "\n");
	assert_int_equal(sts_policy_parse(hb_span_head(hb_buf_span(&text),
					      HB_MAX_STS_BODY + 1),
			     arena, &p, &why),
	    HB_E_LIMIT);
	hb_buf_free(&text);
	hb_arena_free(&arena);
}

static void
sts24_one_label_any_case_final_dot(void **state)
{
	static const struct {
		struct hb_span pattern, host;
		bool want;
	} rows[] = {
		/* clang-format off */
		{ HB_SPAN("mx.example"), HB_SPAN("mx.example"), true },
		{ HB_SPAN("mx.example"), HB_SPAN("MX.Example"), true },
		{ HB_SPAN("MX.EXAMPLE"), HB_SPAN("mx.example"), true },
		{ HB_SPAN("mx.example"), HB_SPAN("mx.example."), true },
		{ HB_SPAN("mx.example."), HB_SPAN("mx.example"), true },
		{ HB_SPAN("mx.example"), HB_SPAN("a.mx.example"), false },
		{ HB_SPAN("mx.example"), HB_SPAN("example"), false },
		{ HB_SPAN("mx.example"), HB_SPAN("amx.example"), false },
		{ HB_SPAN("mx.example"), HB_SPAN("mx.example.org"), false },
		{ HB_SPAN("*.example"), HB_SPAN("a.example"), true },
		{ HB_SPAN("*.example"), HB_SPAN("A.EXAMPLE."), true },
		{ HB_SPAN("*.example"), HB_SPAN("example"), false },
		{ HB_SPAN("*.example"), HB_SPAN(".example"), false },
		{ HB_SPAN("*.example"), HB_SPAN("a.b.example"), false },
		{ HB_SPAN("*.example"), HB_SPAN("aexample"), false },
		{ HB_SPAN("*.example"), HB_SPAN("*.example"), true },
		{ HB_SPAN("*.mx.microsoft"), HB_SPAN("a.mx.microsoft"), true },
		{ HB_SPAN("*.mx.microsoft"), HB_SPAN("a.b.mx.microsoft"), false },
		{ HB_SPAN("*."), HB_SPAN("a."), false },
		{ HB_SPAN("*"), HB_SPAN("a"), false },
		{ HB_SPAN(""), HB_SPAN(""), false },
		{ HB_SPAN("."), HB_SPAN("."), false },
		{ HB_SPAN("mx.example"), HB_SPAN("mx.example\0"), false },
		/* clang-format on */
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		print_message("%.*s %.*s\n", HB_SPAN_ARG(rows[i].pattern),
		    HB_SPAN_ARG(rows[i].host));
		assert_int_equal(sts_match_pattern(at_page_end(rows[i].pattern),
				     at_page_end(rows[i].host)),
		    rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sts09_fields_that_are_needed),
		cmocka_unit_test(sts10_duplicates_lines_and_unknown_fields),
		cmocka_unit_test(sts11_max_age),
		cmocka_unit_test(sts12_mx_values),
		cmocka_unit_test(sts17_bounds),
		cmocka_unit_test(sts24_one_label_any_case_final_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
