/* The wire form of a body, however it is cut in pieces. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "common/proto/wire.h"

#define DOTTED HB_WIRE_DOTTED
#define UNENDED HB_WIRE_UNENDED

/* A body with NULs in it: the bytes of a literal. */
#define BODY(lit) HB_SPAN_INIT(lit)

/* clang-format off */
static const struct {
	struct hb_span body;
	unsigned seen;
} rows[] = {
	{ BODY(""), 0 },
	{ BODY("\r\n"), 0 },
	{ BODY("a: b\r\n\r\nhi\r\n"), 0 },
	{ BODY("x\r\n..\r\n...\r\n.x\r\n"), DOTTED },
	{ BODY("\xc3\xa4\r\n"), HB_WIRE_8BIT },
	{ BODY("x"), UNENDED },
	{ BODY("x\r\n."), DOTTED | UNENDED },
	{ BODY(".\r\n"), DOTTED | HB_WIRE_DOT },
	{ BODY("x\r\n.\r\nQUIT\r\n"), DOTTED | HB_WIRE_DOT },
	{ BODY("x\r\n.\r\n.\r\n"), DOTTED | HB_WIRE_DOT },
	{ BODY("x.\r\n"), 0 },
	{ BODY("\n"), HB_WIRE_LF | UNENDED },
	{ BODY("x\n.\r\n"), HB_WIRE_LF },
	{ BODY("x\r\n.\n"), HB_WIRE_LF | DOTTED | UNENDED },
	{ BODY("x\n.\n\r\n"), HB_WIRE_LF },
	{ BODY("x\r\n\n.\r\n"), HB_WIRE_LF },
	{ BODY("\r"), HB_WIRE_CR | UNENDED },
	{ BODY("x\r.\r\n"), HB_WIRE_CR },
	{ BODY("x\r\r\n"), HB_WIRE_CR },
	{ BODY("x\r\n.\r\r\n"), HB_WIRE_CR | DOTTED },
	{ BODY("x\r\n\r.\r\n"), HB_WIRE_CR },
	{ BODY("x\r\n\0.\r\n"), HB_WIRE_NUL },
	{ BODY("x\r\n.\0\r\n"), HB_WIRE_NUL | DOTTED },
	{ BODY("x\r\0\n.\r\n"), HB_WIRE_NUL | HB_WIRE_CR | HB_WIRE_LF },
};
/* clang-format on */

static unsigned
look(struct hb_span body, size_t step)
{
	struct hb_wire w;

	hb_wire_init(&w);
	for (size_t at = 0; at < body.n; at += step)
		hb_wire_feed(&w, at_page_end(hb_span_head(
		    hb_span_from(body, at), step)));
	return hb_wire_end(&w);
}

static void
test_A_1_what_ends_early_is_seen_in_pieces(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= rows[i].body.n + 1; step++)
			assert_int_equal(look(rows[i].body, step),
			    rows[i].seen);
}

static void
test_A_1_lines_have_a_bound(void **state)
{
	static unsigned char line[HB_MAX_TEXT_LINE + 1];

	for (size_t more = 0; more < 2; more++) {
		size_t n = HB_MAX_TEXT_LINE + more;

		memset(line, 'x', sizeof(line));
		line[n - 2] = '\r';
		line[n - 1] = '\n';
		for (size_t step = 1000; step < 2 * n; step += 997)
			assert_int_equal(look(hb_span(line, n), step),
			    more > 0 ? HB_WIRE_LONG : 0);
	}
}

static void
faults_have_words_and_facts_have_none(void **state)
{
	assert_string_equal(hb_wire_fault(0), "");
	assert_string_equal(hb_wire_fault(HB_WIRE_8BIT | HB_WIRE_DOTTED), "");
	for (unsigned bit = 1; bit <= HB_WIRE_FAULTS; bit <<= 1)
		if ((bit & HB_WIRE_FAULTS) != 0)
			assert_true(hb_wire_fault(bit)[0] != '\0');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A_1_what_ends_early_is_seen_in_pieces),
		cmocka_unit_test(test_A_1_lines_have_a_bound),
		cmocka_unit_test(faults_have_words_and_facts_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
