/* Message bytes: what belongs to the message, however it is cut in pieces. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "common/proto/envelope.h"
#include "common/proto/datascan.h"

struct row {
	const char *in, *body;
	unsigned seen, hops;
	bool tls_optional;
};

#define NO "TLS-Required: No\r\n"

#define CR HB_WIRE_CR
#define LF HB_WIRE_LF
#define DOTTED HB_WIRE_DOTTED
#define HIGH HB_WIRE_8BIT

/* clang-format off */
static const struct row rows[] = {
	{ ".\r\nQUIT\r\n", "", 0, 0, false },
	{ "\r\n.\r\nQUIT", "\r\n", 0, 0, false },
	{ "a: b\r\n\r\nx\r\n.\r\n.\r\n", "a: b\r\n\r\nx\r\n", 0, 0, false },
	{ "x\r\n..\r\n.\r\n", "x\r\n..\r\n", DOTTED, 0, false },
	{ ".x\r\n.\r\n", ".x\r\n", DOTTED, 0, false },
	{ "x\xff\r\n.\r\n", "x\xff\r\n", HIGH, 0, false },
	{ "a\n.\n\r\n.\r\n", "a\n.\n\r\n", LF, 0, false },
	{ "a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", LF, 0, false },
	{ "a\r.\r\nb\r\n.\r\n", "a\r.\r\nb\r\n", CR, 0, false },
	{ "a\r\n.\nb\r\n.\r\n", "a\r\n.\nb\r\n", LF | DOTTED, 0, false },
	{ "a\r\n.\rb\r\n.\r\n", "a\r\n.\rb\r\n", CR | DOTTED, 0, false },
	{ "a\r\r\n.\r\n", "a\r\r\n", CR, 0, false },
	{ "a\r\n\r.\r\n.\r\n", "a\r\n\r.\r\n", CR, 0, false },
	{ "Received: a\r\n b\r\nRECEIVED:\r\n\r\nReceived: c\r\n.\r\n", "Received: a\r\n b\r\nRECEIVED:\r\n\r\nReceived: c\r\n", 0, 2, false },
	{ "From me\r\nReceived: a\r\n\r\n.\r\n", "From me\r\nReceived: a\r\n\r\n", 0, 1, false },
	{ "no header\r\nReceived: a\r\n.\r\n", "no header\r\nReceived: a\r\n", 0, 0, false },
	{ NO "\r\n.\r\n", NO "\r\n", 0, 0, true },
	{ "a: b\r\nTLS-Required:\r\n No\r\n\r\nx\r\n.\r\n", "a: b\r\nTLS-Required:\r\n No\r\n\r\nx\r\n", 0, 0, true },
	{ NO ".\r\n", NO, 0, 0, true },
	{ NO NO "\r\n.\r\n", NO NO "\r\n", 0, 0, false },
	{ NO "\r\n" NO ".\r\n", NO "\r\n" NO, 0, 0, true },
	{ "\r\n" NO ".\r\n", "\r\n" NO, 0, 0, false },
	{ "no header\r\n" NO ".\r\n", "no header\r\n" NO, 0, 0, false },
};
/* clang-format on */

/* Gives IN in pieces of STEP bytes; what is left is given again. */
static void
scan_on(struct hb_span in, size_t step, struct hb_datascan *d,
    struct hb_buf *body, size_t *used)
{
	size_t have = 0;
	struct hb_data_piece p = { 0 };

	*used = 0;
	while (!p.end && have < in.n) {
		have = have + step < in.n ? have + step : in.n;
		do {
			struct hb_span s = at_page_end(
			    hb_span(in.p + *used, have - *used));

			p = hb_datascan(d, s);
			hb_datascan_put(&p, hb_span_head(s, p.body), body);
			*used += p.used;
		} while (!p.end && (p.used > 0 || p.headers_end));
	}
	assert_true(p.end);
}

static void
scan(struct hb_span in, size_t step, struct hb_datascan *d,
    struct hb_buf *body, size_t *used)
{
	hb_datascan_init(d);
	scan_on(in, step, d, body, used);
}

/* With bare LFs made good: the end stays CRLF.CRLF, and no other line of one
 * dot is left that somebody could take for one. */
static void
test_S_13_bare_lf_is_made_crlf(void **state)
{
	/* clang-format off */
	static const struct row lf_rows[] = {
		{ "a: b\n\nx\ny\n\r\n.\r\n", "a: b\r\n\r\nx\r\ny\r\n\r\n", 0, 0, false },
		{ "a: b\r\n\r\nx\n.\ny\r\n.\r\n", "a: b\r\n\r\nx\r\n..\r\ny\r\n", DOTTED, 0, false },
		{ "\r\nx\n.\r\ny\r\n.\r\n", "\r\nx\r\n..\r\ny\r\n", DOTTED, 0, false },
		{ "\r\nx\r\n.\ny\r\n.\r\n", "\r\nx\r\n..\r\ny\r\n", DOTTED, 0, false },
		{ "\r\n.\n.\n.\r\n.\n\r\n.\r\n", "\r\n..\r\n..\r\n..\r\n..\r\n\r\n", DOTTED, 0, false },
		{ ".\n\r\n.\r\n", "..\r\n\r\n", DOTTED, 0, false },
		{ "\n.a\r\n.\r\n", "\r\n..a\r\n", DOTTED, 0, false },
		{ "\r\n..a\n.b\r\n..c\r\n.\r\n", "\r\n..a\r\n..b\r\n..c\r\n", DOTTED, 0, false },
		{ "\r\n..\n\r\n.\r\n", "\r\n..\r\n\r\n", DOTTED, 0, false },
		{ "Received: a\nReceived: b\n\nReceived: c\n\r\n.\r\n", "Received: a\r\nReceived: b\r\n\r\nReceived: c\r\n\r\n", 0, 2, false },
		{ "a: b\nTLS-Required: No\n\nx\r\n.\r\n", "a: b\r\nTLS-Required: No\r\n\r\nx\r\n", 0, 0, true },
		{ "a: b\r\nReceived: c\nTLS-Required: No\n\nx\r\n.\r\n", "a: b\r\nReceived: c\r\nTLS-Required: No\r\n\r\nx\r\n", 0, 1, true },
		{ "a: b\r\n" NO "c: d\nReceived: e\r\nReceived: f\n\r\n.\r\n", "a: b\r\n" NO "c: d\r\nReceived: e\r\nReceived: f\r\n\r\n", 0, 2, true },
		{ "\nx\r.\r\n\r\n.\r\n", "\r\nx\r.\r\n\r\n", HB_WIRE_CR, 0, false },
		{ "\nx\r\r\n.\r\n", "\r\nx\r\r\n", HB_WIRE_CR, 0, false },
		{ "\n\xff\n\r\n.\r\n", "\r\n\xff\r\n\r\n", HIGH, 0, false },
		{ ".\r\n", "", 0, 0, false },
	};
	/* clang-format on */

	for (size_t i = 0; i < HB_ARRAY_LEN(lf_rows); i++) {
		struct hb_span in = hb_span_str(lf_rows[i].in);

		for (size_t step = 1; step <= in.n; step++) {
			struct hb_buf body = HB_BUF_INIT(0);
			struct hb_datascan d;
			size_t used;

			hb_datascan_init(&d);
			d.lf_ends = true;
			scan_on(in, step, &d, &body, &used);
			assert_span(hb_buf_span(&body), lf_rows[i].body);
			assert_int_equal(used, in.n);
			assert_int_equal(d.bytes, body.n);
			assert_int_equal(d.wire.seen, lf_rows[i].seen);
			assert_int_equal(d.hops, lf_rows[i].hops);
			assert_int_equal(
			    hb_tlsrequired_is_no(&d.tls_required),
			    lf_rows[i].tls_optional);
			hb_buf_free(&body);
		}
	}
}

static void
smtp_01_rtls_07_the_end_is_found_in_pieces(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = hb_span_str(rows[i].in);

		for (size_t step = 1; step <= in.n; step++) {
			struct hb_buf body = HB_BUF_INIT(0);
			struct hb_datascan d;
			size_t used;

			scan(in, step, &d, &body, &used);
			assert_span(hb_buf_span(&body), rows[i].body);
			assert_int_equal(used, body.n + 3);
			assert_int_equal(d.bytes, body.n);
			assert_int_equal(d.wire.seen, rows[i].seen);
			assert_int_equal(d.hops, rows[i].hops);
			assert_int_equal(
			    hb_tlsrequired_is_no(&d.tls_required),
			    rows[i].tls_optional);
			hb_buf_free(&body);
		}
	}
}

static unsigned
seen_of_line(size_t n)
{
	struct hb_buf in = HB_BUF_INIT(0), body = HB_BUF_INIT(0);
	struct hb_datascan d;
	size_t used;

	hb_buf_adds(&in, "\r\n");
	for (size_t i = 0; i + 2 < n; i++)
		hb_buf_adds(&in, "x");
	hb_buf_adds(&in, "\r\n.\r\n");
	scan(hb_buf_span(&in), 4000, &d, &body, &used);
	hb_buf_free(&in);
	hb_buf_free(&body);
	return d.wire.seen;
}

static void
smtp_05_long_lines(void **state)
{
	assert_int_equal(seen_of_line(1000), 0);
	assert_int_equal(seen_of_line(HB_MAX_TEXT_LINE), 0);
	assert_int_equal(seen_of_line(HB_MAX_TEXT_LINE + 1), HB_WIRE_LONG);
}

/* A field as long as no honest one is, which comes in parts. */
static void
test_RTLS_07_long_field(void **state)
{
	for (int bad = 0; bad < 2; bad++) {
		struct hb_buf in = HB_BUF_INIT(0), body = HB_BUF_INIT(0);
		struct hb_datascan d;
		size_t used;

		hb_buf_adds(&in, "TLS-Required: No");
		for (int i = 0; i < 10000; i++)
			hb_buf_adds(&in, " ");
		hb_buf_adds(&in, bad ? "x\r\n\r\n.\r\n" : "\r\n\r\n.\r\n");
		scan(hb_buf_span(&in), 3000, &d, &body, &used);
		assert_int_equal(hb_tlsrequired_is_no(&d.tls_required), !bad);
		hb_buf_free(&in);
		hb_buf_free(&body);
	}
}

static const struct reply {
	const char *symbol, *text, *status;
	unsigned code;
	enum hb_reason reason;
} replies[] = {
#define SMTPD_REPLY(sym, code, status, reason, text)                           \
	{ #sym, text, status, code, HB_REASON_##reason },
#include "smtpd/reply.def"
};

/* No reply of class 5 is for what the operator or this server does wrong. */
static void
test_S_30_refusals_are_the_clients_fault(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(replies); i++)
		if (replies[i].code >= 500 &&
		    !hb_reason_is_final(replies[i].reason))
			fail_msg("%u %s", replies[i].code, replies[i].text);
}

/* Does TEXT say whose move it is? */
static bool
says_what_to_do(const char *text)
{
	static const char *const words[] = { "later", "closing", "another",
		"only for" };

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (strstr(text, words[i]) != NULL)
			return true;
	return false;
}

/* Each refusal has a reason, and only a refusal; the status is of its class;
 * the text is a line, and of a temporary one it says what to do. */
static void
each_refusal_has_a_reason(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(replies); i++) {
		const struct reply *r = &replies[i];
		size_t n = strlen(r->text);

		print_message("%s\n", r->symbol);
		assert_int_equal(r->code >= 400, r->reason != HB_REASON_NONE);
		if (r->status[0] != '\0')
			assert_int_equal(r->status[0], '0' + (int)r->code / 100);
		if (r->code >= 400)
			assert_in_range(n, 10, 400);
		for (size_t k = 0; k < n; k++)
			assert_in_range(r->text[k], ' ', '~');
		if (r->code / 100 == 4 && !says_what_to_do(r->text))
			fail_msg("%s: %s", r->symbol, r->text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_01_rtls_07_the_end_is_found_in_pieces),
		cmocka_unit_test(test_S_13_bare_lf_is_made_crlf),
		cmocka_unit_test(smtp_05_long_lines),
		cmocka_unit_test(test_RTLS_07_long_field),
		cmocka_unit_test(test_S_30_refusals_are_the_clients_fault),
		cmocka_unit_test(each_refusal_has_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
