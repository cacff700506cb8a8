/* Packets of mail filters. */
#include "tests/unit/unit.h"

#include "common/proto/milter.h"

#define BYTES(lit) HB_SPAN_INIT(lit)

/* A packet of LETTER and DATA. */
static struct hb_buf
packet(char letter, struct hb_span data)
{
	struct hb_buf b = HB_BUF_INIT(0);
	size_t begun = hb_milter_begin(&b, letter);

	hb_buf_add(&b, data);
	hb_milter_end(&b, begun);
	return b;
}

static int
says(char letter, struct hb_span data, struct hb_milter_says *out)
{
	struct hb_buf b = packet(letter, data);
	struct hb_milter_packet p;

	assert_int_equal(hb_milter_packet(at_page_end(hb_buf_span(&b)), &p),
	    b.n);
	hb_buf_free(&b);
	return hb_milter_says(&p, out);
}

static void
test_T_8_frames(void **state)
{
	struct hb_buf b = packet('c', HB_SPAN("xy"));
	struct hb_buf big = HB_BUF_INIT(0), most = HB_BUF_INIT(0);
	struct hb_milter_packet p;

	for (size_t i = 0; i < b.n; i++)
		assert_int_equal(hb_milter_packet(at_page_end(
		    hb_span_head(hb_buf_span(&b), i)), &p), 0);
	hb_buf_adds(&b, "more");
	assert_int_equal(hb_milter_packet(hb_buf_span(&b), &p), 7);
	assert_int_equal(p.letter, 'c');
	assert_span(p.data, "xy");
	assert_int_equal(hb_milter_packet(HB_SPAN("\0\0\0\0c"), &p),
	    HB_E_SYNTAX);
	for (size_t i = 1; i < HB_MAX_MILTER_PACKET; i++)
		hb_buf_adds(&most, "a");
	big = packet('b', hb_buf_span(&most));
	assert_int_equal(hb_milter_packet(hb_buf_span(&big), &p), big.n);
	hb_buf_free(&big);
	hb_buf_adds(&most, "a");
	big = packet('b', hb_buf_span(&most));
	assert_int_equal(hb_milter_packet(hb_span_head(hb_buf_span(&big), 5),
	    &p), HB_E_RANGE);
	hb_buf_free(&b);
	hb_buf_free(&big);
	hb_buf_free(&most);
}

/* clang-format off */
static const struct {
	char letter;
	struct hb_span data;
	int want;
	const char *name, *value, *args;
	uint32_t index;
} sayings[] = {
	{ 'c', BYTES(""), 0, "", "", "", 0 },
	{ 'a', BYTES("\0"), 0, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\0"), 0, "X-A", "one", "", 0 },
	{ 'h', BYTES("X-A\0one\n\ttwo\0"), 0, "X-A", "one\n\ttwo", "", 0 },
	{ 'h', BYTES("X-A\0one\r\n two\0"), 0, "X-A", "one\r\n two", "", 0 },
	{ 'h', BYTES("X-A\0\n\ttwo\0"), 0, "X-A", "\n\ttwo", "", 0 },
	{ 'h', BYTES("X-A\0\xc3\xa4\0"), 0, "X-A", "\xc3\xa4", "", 0 },
	{ 'h', BYTES("X-A\0\0"), 0, "X-A", "", "", 0 },
	{ 'i', BYTES("\0\0\1\2X\0y\0"), 0, "X", "y", "", 258 },
	{ 'm', BYTES("\xff\xff\xff\xffX\0\0"), 0, "X", "", "", UINT32_MAX },
	{ 'e', BYTES("<a@b>\0"), 0, "", "<a@b>", "", 0 },
	{ 'e', BYTES("<a@b>\0RET=HDRS\0"), 0, "", "<a@b>", "RET=HDRS", 0 },
	{ '2', BYTES("a\0NOTIFY=NEVER\0"), 0, "", "a", "NOTIFY=NEVER", 0 },
	{ '+', BYTES("<a@b>\0"), 0, "", "<a@b>", "", 0 },
	{ '-', BYTES("<a@b>\0"), 0, "", "<a@b>", "", 0 },
	{ 'b', BYTES("a\0b\r\n"), 0, "", "", "", 0 },
	{ 'q', BYTES("spam\0"), 0, "", "spam", "", 0 },
	{ 'y', BYTES("550 no\0"), 0, "", "550 no", "", 0 },
	/* no NUL, too many, bytes behind */
	{ 'h', BYTES("X-A\0one"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\0two\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'i', BYTES("\0\0\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'y', BYTES("550 no"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'y', BYTES("550 no\0x"), HB_E_SYNTAX, "", "", "", 0 },
	{ '+', BYTES("<a@b>"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'e', BYTES("<a@b>\0x\0y\0"), HB_E_SYNTAX, "", "", "", 0 },
	/* what would be a field or a body of its own */
	{ 'h', BYTES("X-A\0one\r\nBcc: x\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\nBcc: x\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\r\n\r\nbody\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\n\t\n two\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\rtwo\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X-A\0one\r\r\n two\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X A\0one\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X:A\0one\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("X\r\nA\0one\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'h', BYTES("\0one\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'e', BYTES("<a@b>\r\nRCPT\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ '+', BYTES("a\tb\0"), HB_E_SYNTAX, "", "", "", 0 },
	{ 'z', BYTES(""), HB_E_UNSUPPORTED, "", "", "", 0 },
	{ 'O', BYTES(""), HB_E_UNSUPPORTED, "", "", "", 0 },
};
/* clang-format on */

static void
test_T_8_what_a_filter_says(void **state)
{
	struct hb_milter_says out;

	for (size_t i = 0; i < HB_ARRAY_LEN(sayings); i++) {
		int r = says(sayings[i].letter, sayings[i].data, &out);

		if (r != sayings[i].want)
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_span(out.name, sayings[i].name);
		assert_int_equal(out.index, sayings[i].index);
		if (out.what == HB_MILTER_SAYS_REPLACE_BODY) {
			assert_true(hb_span_eq(out.value, sayings[i].data));
			continue;
		}
		assert_span(out.value, sayings[i].value);
		assert_span(out.args, sayings[i].args);
	}
}

/* clang-format off */
static const struct {
	struct hb_span in;
	unsigned code; /* 0: refused */
	const char *status, *text;
} words[] = {
	{ BYTES("550 5.7.1 no spam here"), 550, "5.7.1", "no spam here" },
	{ BYTES("451 later"), 451, "", "later" },
	{ BYTES("421 4.7.0 bye"), 421, "4.7.0", "bye" },
	{ BYTES("550"), 550, "", "" },
	{ BYTES("550 "), 550, "", "" },
	{ BYTES("550 100%% sure"), 550, "", "100% sure" },
	{ BYTES("550 50% sure"), 550, "", "50% sure" },
	{ BYTES("550 5.7"), 550, "", "5.7" },
	{ BYTES("550 1.2.3.4 is listed"), 550, "", "1.2.3.4 is listed" },
	{ BYTES("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three"), 550, "5.7.1", "one\ntwo\nthree" },
	{ BYTES("450-one\r\n450 two"), 450, "", "one\ntwo" },
	{ BYTES(""), 0, "", "" },
	{ BYTES("250 ok"), 0, "", "" },
	{ BYTES("354 go"), 0, "", "" },
	{ BYTES("600 no"), 0, "", "" },
	{ BYTES("55"), 0, "", "" },
	{ BYTES("5 50"), 0, "", "" },
	{ BYTES("550no"), 0, "", "" },
	{ BYTES("550 4.7.1 class"), 0, "", "" },
	{ BYTES("450 5.7.1 class"), 0, "", "" },
	{ BYTES("550-one"), 0, "", "" },
	{ BYTES("550-one\r\n"), 0, "", "" },
	{ BYTES("550-one\r\n551 two"), 0, "", "" },
	{ BYTES("550 one\r\n550 two"), 0, "", "" },
	{ BYTES("550 one\r\n250 two"), 0, "", "" },
	{ BYTES("550 one\n550 two"), 0, "", "" },
	{ BYTES("550 one\rtwo"), 0, "", "" },
	{ BYTES("550 one\ttwo"), 550, "", "one\ttwo" },
};
/* clang-format on */

static void
test_T_8_reply_codes(void **state)
{
	struct hb_buf text = HB_BUF_INIT(0), many = HB_BUF_INIT(0);
	struct hb_milter_words out;

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++) {
		int r;

		hb_buf_clear(&text);
		r = hb_milter_words(at_page_end(words[i].in), &out, &text);
		if ((r == 0) != (words[i].code != 0))
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_int_equal(out.code, words[i].code);
		assert_span(out.status, words[i].status);
		assert_span(hb_buf_span(&text), words[i].text);
	}
	for (unsigned i = 0; i < HB_MILTER_LINES - 1; i++)
		hb_buf_adds(&many, "550-x\r\n");
	hb_buf_adds(&many, "550 x");
	assert_int_equal(hb_milter_words(hb_buf_span(&many), &out, &text), 0);
	hb_buf_truncate(&many, many.n - 5);
	hb_buf_adds(&many, "550-x\r\n550 x");
	assert_int_equal(hb_milter_words(hb_buf_span(&many), &out, &text),
	    HB_E_SYNTAX);
	hb_buf_free(&many);
	hb_buf_free(&text);
}

/* clang-format off */
static const struct {
	struct hb_span data;
	int want;
	uint32_t version, may, steps;
} terms[] = {
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0\2"), 0, 6, 1, 2 },
	{ BYTES("\0\0\0\2\0\0\0\x3f\0\0\0\x7f"), 0, 2, 0x3f, 0x7f },
	{ BYTES("\0\0\0\1\0\0\0\1\0\0\0\2"), HB_E_UNSUPPORTED, 0, 0, 0 },
	{ BYTES("\0\0\0\7\0\0\0\1\0\0\0\2"), HB_E_UNSUPPORTED, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\2\1\0\0\0\2"), HB_E_UNSUPPORTED, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\0\1\x10\0\0\2"), HB_E_UNSUPPORTED, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0"), HB_E_SYNTAX, 0, 0, 0 },
	{ BYTES(""), HB_E_SYNTAX, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0\2\0\0\0\5i\0"), 0, 6, 1, 2 },
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0\2\0\0\0\5i"), HB_E_SYNTAX, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0\2\0\0\0\7i\0"), HB_E_SYNTAX, 0, 0, 0 },
	{ BYTES("\0\0\0\6\0\0\0\1\0\0\0\2\0\0\0"), HB_E_SYNTAX, 0, 0, 0 },
};
/* clang-format on */

static void
test_T_8_terms(void **state)
{
	struct hb_milter_terms offer = { .version = HB_MILTER_VERSION,
		.may = HB_MILTER_MAY_ALL, .steps = hb_milter_all_steps() }, out;
	struct hb_milter_packet p = { .letter = 'O' };

	assert_int_equal(offer.steps, 0x1fffff);
	for (size_t i = 0; i < HB_ARRAY_LEN(terms); i++) {
		int r;

		p.data = at_page_end(terms[i].data);
		r = hb_milter_terms(&p, &offer, &out);
		if (r != terms[i].want)
			fail_msg("row %zu: %d", i, r);
		if (r < 0)
			continue;
		assert_int_equal(out.version, terms[i].version);
		assert_int_equal(out.may, terms[i].may);
		assert_int_equal(out.steps, terms[i].steps);
		if (p.data.n > 12)
			assert_span(out.symbols[HB_MILTER_AT_END], "i");
	}
	p.letter = 'o';
	assert_int_equal(hb_milter_terms(&p, &offer, &out), HB_E_SYNTAX);
}

/* What is offered is read back, packet by packet. */
static void
test_T_8_written_packets(void **state)
{
	struct hb_milter_terms offer = { .version = 6, .may = 0x1ff,
		.steps = 0x1fffff }, got;
	struct hb_milter_client c = { HB_SPAN("[::1]"), HB_SPAN("::1"), true,
		0x1234 };
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_milter_packet p;
	struct hb_span rest;
	int r;

	hb_milter_put_offer(&offer, &b);
	hb_milter_put_client(&b, &c);
	hb_milter_put_field(&b, HB_SPAN("A"), HB_SPAN(" b\r\n\tc"), false);
	hb_milter_put_field(&b, HB_SPAN("A"), HB_SPAN(" b"), true);
	hb_milter_put(&b, 'E');
	rest = hb_buf_span(&b);
	assert_true((r = hb_milter_packet(rest, &p)) > 0);
	assert_int_equal(hb_milter_terms(&p, &offer, &got), 0);
	assert_int_equal(got.steps, offer.steps);
	rest = hb_span_from(rest, (size_t)r);
	assert_true((r = hb_milter_packet(rest, &p)) > 0);
	assert_true(hb_span_eq(p.data, HB_SPAN("[::1]\0" "6\x12\x34::1\0")));
	rest = hb_span_from(rest, (size_t)r);
	assert_true((r = hb_milter_packet(rest, &p)) > 0);
	assert_true(hb_span_eq(p.data, HB_SPAN("A\0b\n\tc\0")));
	rest = hb_span_from(rest, (size_t)r);
	assert_true((r = hb_milter_packet(rest, &p)) > 0);
	assert_true(hb_span_eq(p.data, HB_SPAN("A\0 b\0")));
	rest = hb_span_from(rest, (size_t)r);
	assert_true((r = hb_milter_packet(rest, &p)) > 0);
	assert_int_equal(p.letter, 'E');
	assert_int_equal(rest.n, (size_t)r);
	hb_buf_free(&b);
}

/* A field of any length fits into what filters take. */
static void
test_T_8_a_long_field_is_cut(void **state)
{
	struct hb_buf long_one = HB_BUF_INIT(0), b = HB_BUF_INIT(0);
	struct hb_milter_packet p;

	while (long_one.n < 200000)
		hb_buf_adds(&long_one, "0123456789\r\n\t");
	hb_milter_put_field(&b, HB_SPAN("X"), hb_buf_span(&long_one), true);
	assert_true(b.n <= HB_MILTER_FRAME + 1 + HB_MILTER_CHUNK);
	assert_int_equal(hb_milter_packet(hb_buf_span(&b), &p), b.n);
	assert_int_equal(p.data.p[p.data.n - 1], '\0');
	hb_buf_free(&b);
	hb_buf_free(&long_one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_T_8_frames),
		cmocka_unit_test(test_T_8_what_a_filter_says),
		cmocka_unit_test(test_T_8_reply_codes),
		cmocka_unit_test(test_T_8_terms),
		cmocka_unit_test(test_T_8_written_packets),
		cmocka_unit_test(test_T_8_a_long_field_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
