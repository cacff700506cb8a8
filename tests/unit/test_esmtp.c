/* Command lines, parameters, and the small grammars they are made of. */
#include "tests/unit/unit.h"

#include "common/proto/base64.h"
#include "common/proto/esmtp.h"
#include "common/proto/header.h"
#include "common/proto/status.h"
#include "common/proto/xtext.h"

#define S10 "aaaaaaaaaa"
#define S100 S10 S10 S10 S10 S10 S10 S10 S10 S10 S10
#define S500 S100 S100 S100 S100 S100

static void
command_lines(void **state)
{
	static const struct {
		const char *line, *verb, *args; /* verb NULL: refused */
	} rows[] = {
		{ "QUIT", "QUIT", "" },
		{ "quit  ", "quit", "" },
		{ "EHLO a.example", "EHLO", "a.example" },
		{ "NOOP\tx y ", "NOOP", "x y" },
		{ "", NULL, NULL },
		{ " QUIT", NULL, NULL },
		{ "QUIT1", NULL, NULL },
		{ "MAIL:x", NULL, NULL },
		{ "NOOP a\rb", NULL, NULL },
		{ "NOOP a\nb", NULL, NULL },
		{ "NOOP a\x7f", NULL, NULL },
		{ "abcdefghijklmnopqrstuvwxyzabcdef",
		    "abcdefghijklmnopqrstuvwxyzabcdef", "" },
		{ "abcdefghijklmnopqrstuvwxyzabcdefg", NULL, NULL },
	};
	struct hb_span verb, args;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		int r = hb_command_split(
		    at_page_end(hb_span_str(rows[i].line)), &verb, &args);

		assert_int_equal(r, rows[i].verb != NULL ? 0 : HB_E_SYNTAX);
		if (r == 0) {
			assert_span(verb, rows[i].verb);
			assert_span(args, rows[i].args);
		}
	}
	assert_int_equal(hb_command_split(hb_span("NOOP \0", 6), &verb,
			     &args),
	    HB_E_SYNTAX);
}

static void
paths_in_commands(void **state)
{
	static const struct {
		const char *args;
		int want;
		const char *params;
	} rows[] = {
		{ "FROM:<a@b>", 0, "" },
		{ "from: <a@b> SIZE=1", 0, " SIZE=1" },
		{ "FROM:<>", 0, "" },
		{ "FROM:<a@b>SIZE=1", HB_E_SYNTAX, NULL },
		{ "FROM <a@b>", HB_E_SYNTAX, NULL },
		{ "FROM:", HB_E_SYNTAX, NULL },
		{ "", HB_E_SYNTAX, NULL },
		{ "TO:<a@b>", HB_E_SYNTAX, NULL },
		{ "FROM:a@b", HB_E_SYNTAX, NULL },
	};
	struct hb_addr a;
	struct hb_span params;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(hb_span_str(rows[i].args));
		int r = hb_command_path(in, HB_SPAN("FROM:"), HB_ADDR_NULL,
		    &a, &params);

		assert_int_equal(r, rows[i].want);
		if (r == 0)
			assert_span(params, rows[i].params);
	}
}

static void
test_F_17_paths_without_brackets(void **state)
{
	static const struct {
		const char *args;
		int want;
		const char *local, *params;
	} rows[] = {
		{ "TO:a@b", 0, "a", "" },
		{ "TO: a@b SIZE=1", 0, "a", " SIZE=1" },
		{ "TO:root", 0, "root", "" },
		{ "TO:<a@b>", 0, "a", "" },
		{ "TO:<a@b", HB_E_SYNTAX, NULL, NULL },
		{ "TO:a@b>", HB_E_SYNTAX, NULL, NULL },
		{ "TO:a@", HB_E_SYNTAX, NULL, NULL },
		{ "TO:", HB_E_SYNTAX, NULL, NULL },
		{ "TO:>", HB_E_SYNTAX, NULL, NULL },
		{ "TO:\"\"@b x", 0, "\"\"", " x" },
	};
	struct hb_addr a;
	struct hb_span params;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(hb_span_str(rows[i].args));
		int r = hb_command_path(in, HB_SPAN("TO:"), HB_ADDR_LOCAL |
			HB_COMMAND_NO_BRACKETS, &a, &params);

		if (r != rows[i].want)
			fail_msg("%s: %d", rows[i].args, r);
		if (r == 0) {
			assert_span(a.local, rows[i].local);
			assert_span(params, rows[i].params);
		}
	}
}

struct param_row {
	enum hb_param_command command;
	const char *text;
	int want;
	struct hb_params got; /* numbers only */
};

#define MAIL HB_PARAM_FOR_MAIL
#define RCPT HB_PARAM_FOR_RCPT
#define BAD HB_E_SYNTAX, { 0 }
#define UNKNOWN HB_E_UNSUPPORTED, { 0 }

/* clang-format off */
static const struct param_row param_rows[] = {
	{ MAIL, "", 0, { 0 } },
	{ MAIL, " SIZE=0", 0, { .seen = HB_PARAM_SIZE } },
	{ MAIL, " size=12 body=8bitmime", 0, { .seen = HB_PARAM_SIZE | HB_PARAM_BODY, .size = 12, .body = HB_BODY_8BITMIME } },
	{ MAIL, " SIZE=18446744073709551615", 0, { .seen = HB_PARAM_SIZE, .size = UINT64_MAX } },
	{ MAIL, " SIZE=99999999999999999999", 0, { .seen = HB_PARAM_SIZE, .size = UINT64_MAX } },
	{ MAIL, " RET=HDRS ENVID=a+20b", 0, { .seen = HB_PARAM_RET | HB_PARAM_ENVID, .ret = HB_RET_HDRS } },
	{ MAIL, " ENVID=" S100, 0, { .seen = HB_PARAM_ENVID } },
	{ MAIL, " AUTH=<>", 0, { .seen = HB_PARAM_AUTH } },
	{ RCPT, " NOTIFY=NEVER", 0, { .seen = HB_PARAM_NOTIFY, .notify = HB_NOTIFY_NEVER } },
	{ RCPT, " notify=success,Delay", 0, { .seen = HB_PARAM_NOTIFY, .notify = HB_NOTIFY_SUCCESS | HB_NOTIFY_DELAY } },
	{ RCPT, " ORCPT=rfc822;a+2Bb@c", 0, { .seen = HB_PARAM_ORCPT } },
	{ MAIL, " REQUIRETLS", 0, { .seen = HB_PARAM_REQUIRETLS } },
	{ MAIL, " requireTLS SIZE=1", 0, { .seen = HB_PARAM_SIZE | HB_PARAM_REQUIRETLS, .size = 1 } },
	{ MAIL, " smtputf8 SIZE=1", 0, { .seen = HB_PARAM_SIZE | HB_PARAM_SMTPUTF8, .size = 1 } },
	{ RCPT, " ORCPT=utf-8;k\\x{E4}@c", 0, { .seen = HB_PARAM_ORCPT } },
	{ RCPT, " ORCPT=UTF-8;k\xc3\xa4@c", 0, { .seen = HB_PARAM_ORCPT } },
	{ MAIL, " REQUIRETLS=", BAD },
	{ MAIL, " REQUIRETLS=yes", BAD },
	{ MAIL, " REQUIRETLS REQUIRETLS", BAD },
	{ MAIL, " REQUIRETLSX", UNKNOWN },
	{ RCPT, " REQUIRETLS", UNKNOWN },
	{ MAIL, " SIZE", BAD },
	{ MAIL, " SIZE=", BAD },
	{ MAIL, " SIZE=-1", BAD },
	{ MAIL, " SIZE=1x", BAD },
	{ MAIL, " SIZE=4294967297 SIZE=1", BAD },
	{ MAIL, " BODY=BINARYMIME", BAD },
	{ MAIL, " RET=NONE", BAD },
	{ MAIL, " RET=FULL RET=FULL", BAD },
	{ MAIL, " ENVID=a+2", BAD },
	{ MAIL, " ENVID=a+2b", BAD },
	{ MAIL, " ENVID=" S100 "a", BAD },
	{ MAIL, " ENVID=\xc3\xa9", BAD },
	{ MAIL, " AUTH=a=b", BAD },
	{ RCPT, " NOTIFY=", BAD },
	{ RCPT, " NOTIFY=NEVER,SUCCESS", BAD },
	{ RCPT, " NOTIFY=SUCCESS,", BAD },
	{ RCPT, " NOTIFY=,SUCCESS", BAD },
	{ RCPT, " NOTIFY=SOMETIMES", BAD },
	{ RCPT, " ORCPT=rfc822", BAD },
	{ RCPT, " ORCPT=;a@b", BAD },
	{ RCPT, " ORCPT=rfc822;", BAD },
	{ RCPT, " ORCPT=rf c;x", BAD },
	{ RCPT, " ORCPT=rfc822;" S500, BAD },
	{ MAIL, " NOTIFY=NEVER", UNKNOWN },
	{ MAIL, " X", UNKNOWN },
	{ MAIL, " =1", UNKNOWN },
	{ RCPT, " SMTPUTF8", UNKNOWN },
	{ MAIL, " SMTPUTF8=", BAD },
	{ MAIL, " SMTPUTF8 SMTPUTF8", BAD },
	{ RCPT, " ORCPT=rfc822;\xc3\xa4@c", BAD },
	{ RCPT, " ORCPT=utf-8;\xc3@c", BAD },
	{ RCPT, " ORCPT=utf-8;\xe2\x80\xae@c", BAD },
	{ RCPT, " SIZE=1", UNKNOWN },
};
/* clang-format on */

static void
dsn_01_size_02_rtls_01_parameters(void **state)
{
	struct hb_params p;

	for (size_t i = 0; i < HB_ARRAY_LEN(param_rows); i++) {
		const struct param_row *r = &param_rows[i];
		int got = hb_params_parse(at_page_end(hb_span_str(r->text)),
		    r->command, ~0u, &p);

		if (got != r->want)
			fail_msg("%s: %d", r->text, got);
		if (got < 0)
			continue;
		assert_int_equal(p.seen, r->got.seen);
		assert_true(p.size == r->got.size);
		assert_int_equal(p.body, r->got.body);
		assert_int_equal(p.ret, r->got.ret);
		assert_int_equal(p.notify, r->got.notify);
	}
}

/* Every set of words that NOTIFY= may have comes back. */
static void
test_DSN_01_notify_is_written_as_it_is_read(void **state)
{
	for (uint32_t bits = 1; bits < 16; bits++) {
		struct hb_buf s = HB_BUF_INIT(0);
		struct hb_params p;

		hb_buf_adds(&s, "NOTIFY=");
		hb_notify_format(bits, &s);
		assert_int_equal(hb_params_parse(hb_buf_span(&s),
		    HB_PARAM_FOR_RCPT, HB_PARAM_NOTIFY, &p),
		    bits > 1 && (bits & HB_NOTIFY_NEVER) != 0 ? HB_E_SYNTAX
							      : 0);
		assert_int_equal(p.notify, bits);
		hb_buf_free(&s);
	}
}

static void
parameters_that_are_not_offered(void **state)
{
	struct hb_params p;

	assert_int_equal(hb_params_parse(HB_SPAN("RET=FULL"), MAIL,
			     HB_PARAM_SIZE, &p),
	    HB_E_UNSUPPORTED);
	assert_int_equal(hb_params_parse(HB_SPAN("ENVID=x+3D AUTH=y"), MAIL,
			     ~0u, &p),
	    0);
	assert_span(p.envid, "x+3D");
	assert_span(p.auth, "y");
	assert_int_equal(hb_params_parse(HB_SPAN("ORCPT=rfc822;a@b"), RCPT,
			     ~0u, &p),
	    0);
	assert_span(p.orcpt, "rfc822;a@b");
}

struct text_row {
	const char *in, *want; /* NULL: malformed */
};

static void
check_decoder(const struct text_row *r,
    int (*decode)(struct hb_span, struct hb_buf *))
{
	struct hb_buf out = HB_BUF_INIT(0);
	int got = decode(at_page_end(hb_span_str(r->in)), &out);

	if (got != (r->want != NULL ? 0 : HB_E_SYNTAX))
		fail_msg("%s: %d", r->in, got);
	assert_span(hb_buf_span(&out), r->want != NULL ? r->want : "");
	hb_buf_free(&out);
}

static void
auth_01_base64(void **state)
{
	static const struct text_row rows[] = { { "", "" }, { "Zg==", "f" },
		{ "Zm8=", "fo" }, { "Zm9v", "foo" }, { "Zm9vYg==", "foob" },
		{ "+/+/", "\xfb\xff\xbf" }, { "Z", NULL }, { "Zg", NULL },
		{ "Zg=", NULL }, { "=", NULL }, { "====", NULL },
		{ "Zh==", NULL }, { "Zm9=", NULL }, { "Z===", NULL },
		{ "Zg==Zg==", NULL }, { "Zm 9", NULL }, { "Zm9\n", NULL },
		{ "Zm9v\r\n\r\n", NULL }, { "\xc3\xa9zz", NULL } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		check_decoder(&rows[i], hb_base64_decode);
		if (rows[i].want == NULL)
			continue;
		assert_int_equal(hb_base64_encode(hb_span_str(rows[i].want),
				     &out),
		    0);
		assert_span(hb_buf_span(&out), rows[i].in);
		hb_buf_free(&out);
	}
}

static void
dsn_04_xtext(void **state)
{
	static const struct text_row rows[] = { { "", "" }, { "abc", "abc" },
		{ "a+20b+2B+3D", "a b+=" }, { "a+", NULL }, { "a+2", NULL },
		{ "a+2b", NULL }, { "a=b", NULL }, { "a b", NULL },
		{ "a\n", NULL }, { "\x80", NULL } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		check_decoder(&rows[i], hb_xtext_decode);
		assert_int_equal(hb_xtext_is_valid(hb_span_str(rows[i].in)),
		    rows[i].want != NULL);
		if (rows[i].want == NULL)
			continue;
		assert_int_equal(hb_xtext_encode(hb_span_str(rows[i].want),
				     &out),
		    0);
		assert_span(hb_buf_span(&out), rows[i].in);
		hb_buf_free(&out);
	}
}

static void
dsn_06_status_codes(void **state)
{
	static const struct {
		const char *text;
		unsigned code;
		size_t want;
	} rows[] = {
		{ "5.1.1 no such user", 550, 5 },
		{ "2.0.0", 250, 5 },
		{ "5.7.100 x", 550, 7 },
		{ "4.1.1 x", 550, 0 },
		{ "5.1.1x", 550, 0 },
		{ "5.1", 550, 0 },
		{ "5.1.", 550, 0 },
		{ "5..1", 550, 0 },
		{ "3.1.1", 350, 0 },
		{ "5.1.1000", 550, 0 },
		{ "", 550, 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(
		    hb_status_at_front(at_page_end(hb_span_str(rows[i].text)),
			rows[i].code),
		    rows[i].want);
	assert_true(hb_status_is_valid(HB_SPAN("4.7.100")));
	assert_false(hb_status_is_valid(HB_SPAN("4.7.1 x")));
	assert_false(hb_status_is_valid(HB_SPAN("4.7.1.1")));
	assert_false(hb_status_is_valid(HB_SPAN_NONE));
}

static void
header_lines(void **state)
{
	static const struct {
		const char *line;
		enum hb_header_line want;
		const char *name, *value;
	} rows[] = {
		{ "Subject: x y \r\n", HB_HEADER_FIELD, "Subject", "x y" },
		{ "To:\r\n", HB_HEADER_FIELD, "To", "" },
		{ "To \t: a", HB_HEADER_FIELD, "To", "a" },
		{ " folded\r\n", HB_HEADER_FOLDED, "", "" },
		{ "\tfolded: x\r\n", HB_HEADER_FOLDED, "", "" },
		{ "\r\n", HB_HEADER_END, "", "" },
		{ "", HB_HEADER_END, "", "" },
		{ ": x\r\n", HB_HEADER_GARBAGE, "", "" },
		{ "From me Mon\r\n", HB_HEADER_GARBAGE, "", "" },
		{ "Sub\xc3\xa9: x\r\n", HB_HEADER_GARBAGE, "", "" },
		{ "no colon", HB_HEADER_GARBAGE, "", "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(hb_span_str(rows[i].line));

		assert_int_equal(hb_header_classify(in), rows[i].want);
		if (rows[i].want == HB_HEADER_FIELD) {
			assert_span(hb_header_name(in), rows[i].name);
			assert_span(hb_header_value(in), rows[i].value);
		}
	}
	assert_true(hb_header_is(HB_SPAN("rEcEived: x"), "Received"));
	assert_false(hb_header_is(HB_SPAN("Received-SPF: x"), "Received"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines),
		cmocka_unit_test(paths_in_commands),
		cmocka_unit_test(test_F_17_paths_without_brackets),
		cmocka_unit_test(dsn_01_size_02_rtls_01_parameters),
		cmocka_unit_test(test_DSN_01_notify_is_written_as_it_is_read),
		cmocka_unit_test(parameters_that_are_not_offered),
		cmocka_unit_test(auth_01_base64),
		cmocka_unit_test(dsn_04_xtext),
		cmocka_unit_test(dsn_06_status_codes),
		cmocka_unit_test(header_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
