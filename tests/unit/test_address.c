/* Addresses and domain names: what is taken, what it means, and that no
 * input is read past its end. */
#include "tests/unit/unit.h"

#include "common/proto/address.h"
#include "common/proto/domain.h"
#include "common/proto/netaddr.h"

#define L64 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg"
#define D63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define D253 D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffg"

struct row {
	const char *path;
	unsigned flags;
	int want;	  /* 0: all of it is used */
	const char *text; /* canonical */
};

/* clang-format off */
static const struct row paths[] = {
	{ "<a@b.example>", 0, 0, "a@b.example" },
	{ "<A.b+c@B.Example>", 0, 0, "A.b+c@b.example" },
	{ "<a@b.example.>", 0, 0, "a@b.example" },
	{ "<a@localhost>", 0, 0, "a@localhost" },
	{ "<!#$%&'*+-/=?^_`{|}~@b>", 0, 0, "!#$%&'*+-/=?^_`{|}~@b" },
	{ "<\"a b\"@b>", 0, 0, "\"a b\"@b" },
	{ "<\"ab\"@b>", 0, 0, "ab@b" },
	{ "<\"a\\\"b\"@b>", 0, 0, "\"a\\\"b\"@b" },
	{ "<\"a@x\"@b>", 0, 0, "\"a@x\"@b" },
	{ "<\"\"@b>", 0, 0, "\"\"@b" },
	{ "<@x.example,@y.example:a@b>", 0, 0, "a@b" },
	{ "<a@[192.0.2.1]>", 0, 0, "a@[192.0.2.1]" },
	{ "<a@[IPv6:2001:db8::1]>", 0, 0, "a@[ipv6:2001:db8::1]" },
	{ "<>", HB_ADDR_NULL, 0, "" },
	{ "<Postmaster>", HB_ADDR_LOCAL, 0, "Postmaster" },
	{ "<" L64 "@b>", 0, 0, L64 "@b" },
	{ "<" L64 "h@b>", 0, 0, L64 "h@b" },
	{ "<" L64 L64 L64 L64 "@b.example>", 0, 0,
	  L64 L64 L64 L64 "@b.example" },
	{ "<\"" L64 " h\"@b>", 0, 0, "\"" L64 " h\"@b" },
	{ "<root@app_web_1.app_Default>", 0, 0, "root@app_web_1.app_default" },
	{ "<a@_b>", 0, 0, "a@_b" },
	{ "<a@[IPv6:::ffff:192.0.2.1]>", 0, 0, "a@[ipv6:::ffff:192.0.2.1]" },
	{ "<a@" D253 ">", 0, 0, "a@" D253 },
	{ "<\xc3\xa9@b>", HB_ADDR_UTF8, 0, "\xc3\xa9@b" },
	{ "<\"\xc3\xa9 x\"@b>", HB_ADDR_UTF8, 0, "\"\xc3\xa9 x\"@b" },
	/* RFC 6531 s3.3 */
	{ "<a@B\xc3\xbc" "cher.Test>", HB_ADDR_IDN, 0, "a@b\xc3\xbc" "cher.test" },
	{ "<\xe6\xb5\x8b@\xe6\xb5\x8b>", HB_ADDR_UTF8 | HB_ADDR_IDN, 0, "\xe6\xb5\x8b@\xe6\xb5\x8b" },
	{ "<@\xc3\xbc.test:a@b>", HB_ADDR_IDN, 0, "a@b" },
	{ "<\xf0\x9f\x93\xa7@b>", HB_ADDR_UTF8, 0, "\xf0\x9f\x93\xa7@b" },

	{ "", 0, HB_E_SYNTAX, NULL },
	{ "<", 0, HB_E_SYNTAX, NULL },
	{ ">", 0, HB_E_SYNTAX, NULL },
	{ "<>", 0, HB_E_SYNTAX, NULL },
	{ "a@b", 0, HB_E_SYNTAX, NULL },
	{ "<a>", 0, HB_E_SYNTAX, NULL },
	{ "<a@>", 0, HB_E_SYNTAX, NULL },
	{ "<@b>", 0, HB_E_SYNTAX, NULL },
	{ "<a@b", 0, HB_E_SYNTAX, NULL },
	{ "<a@b c>", 0, HB_E_SYNTAX, NULL },
	{ "<.a@b>", 0, HB_E_SYNTAX, NULL },
	{ "<a.@b>", 0, HB_E_SYNTAX, NULL },
	{ "<a..b@c>", 0, HB_E_SYNTAX, NULL },
	{ "<a b@c>", 0, HB_E_SYNTAX, NULL },
	{ "<a\r@c>", 0, HB_E_SYNTAX, NULL },
	{ "<a\n@c>", 0, HB_E_SYNTAX, NULL },
	{ "<\"a\r\n\"@c>", 0, HB_E_SYNTAX, NULL },
	{ "<\"a\\\n\"@c>", 0, HB_E_SYNTAX, NULL },
	{ "<\"a@c>", 0, HB_E_SYNTAX, NULL },
	{ "<a@-b>", 0, HB_E_SYNTAX, NULL },
	{ "<a@b-.c>", 0, HB_E_SYNTAX, NULL },
	{ "<a@b..c>", 0, HB_E_SYNTAX, NULL },
	{ "<a@.b>", 0, HB_E_SYNTAX, NULL },
	{ "<a@b c>", 0, HB_E_SYNTAX, NULL },
	{ "<a@[192.0.2.256]>", 0, HB_E_SYNTAX, NULL },
	{ "<a@[2001:db8::1]>", 0, HB_E_SYNTAX, NULL },
	{ "<a@[192.0.2.1>", 0, HB_E_SYNTAX, NULL },
	{ "<a@[]>", 0, HB_E_SYNTAX, NULL },
	{ "<@x.example a@b>", 0, HB_E_SYNTAX, NULL },
	{ "<@x.example,a@b>", 0, HB_E_SYNTAX, NULL },
	{ "<@x.example,:a@b>", 0, HB_E_SYNTAX, NULL },
	/* the path: 512 with its brackets */
	{ "<" L64 L64 L64 L64 L64 L64 L64 L64 "@b>", 0, HB_E_RANGE, NULL },
	{ "<" L64 L64 L64 L64 "h@" D253 ">", 0, HB_E_RANGE, NULL },
	{ "<a@" D253 ".c>", 0, HB_E_SYNTAX, NULL },
	{ "<a@" D253 "." D63 ">", 0, HB_E_RANGE, NULL },
	{ "<a@" D63 "h.c>", 0, HB_E_SYNTAX, NULL },
	{ "<@" D253 ",@" D253 ":a@b>", 0, HB_E_RANGE, NULL },
	{ "<\xc3\xa9@b>", 0, HB_E_UNSUPPORTED, NULL },
	{ "<a@\xc3\xa9>", HB_ADDR_UTF8, HB_E_UNSUPPORTED, NULL },
	{ "<\xc3\xa9@\xc3\xa9>", HB_ADDR_IDN, HB_E_UNSUPPORTED, NULL },
	{ "<@\xc3\xa9:a@b>", 0, HB_E_UNSUPPORTED, NULL },
	{ "<a@\xc3>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	{ "<a@\xc0\xaf>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	{ "<a@\xc3\xbc..>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	{ "<a@.\xc3\xbc>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	{ "<a@[\xc3\xa9]>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	/* nobody sees them, and a terminal obeys some */
	{ "<a\xc2\x85@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a\xe2\x80\xae@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a\xe2\x81\xa6@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a\xe2\x80\xa8@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a\xef\xbb\xbf@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a\xef\xbf\xbf@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<a@b\xe2\x80\xae.test>", HB_ADDR_IDN, HB_E_SYNTAX, NULL },
	{ "<\xc3@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<\xc0\xaf@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<\xed\xa0\x80@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
	{ "<\xff@b>", HB_ADDR_UTF8, HB_E_SYNTAX, NULL },
};
/* clang-format on */

static void
check_text(const struct hb_addr *a, const char *want)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_addr again;

	assert_int_equal(hb_addr_format(a, &out), 0);
	assert_span(hb_buf_span(&out), want);
	assert_int_equal(hb_addr_parse(hb_buf_span(&out),
			     HB_ADDR_NULL | HB_ADDR_LOCAL |
				 HB_ADDR_UTF8 | HB_ADDR_IDN,
			     &again),
	    0);
	hb_buf_clear(&out);
	assert_int_equal(hb_addr_format(&again, &out), 0);
	assert_span(hb_buf_span(&out), want);
	hb_buf_free(&out);
}

/* F-10, F-16, F-20, EAI-01 too */
static void
smtp_03_paths(void **state)
{
	struct hb_addr a;

	for (size_t i = 0; i < HB_ARRAY_LEN(paths); i++) {
		const struct row *r = &paths[i];
		struct hb_span in = at_page_end(hb_span_str(r->path));
		int got = hb_addr_parse_path(in, r->flags, &a);

		if (got == HB_E_SYNTAX || got == HB_E_RANGE)
			assert_int_not_equal(a.fault, HB_ADDR_FAULT_NONE);
		if (got != (r->want == 0 ? (int)in.n : r->want))
			fail_msg("%s: %d", r->path, got);
		if (r->want == 0)
			check_text(&a, r->text);
	}
}

/* No beginning of a path is a path: it lacks the closing bracket. */
static void
no_prefix_is_a_path(void **state)
{
	struct hb_addr a;

	for (size_t i = 0; i < HB_ARRAY_LEN(paths); i++) {
		struct hb_span in = hb_span_str(paths[i].path);

		for (size_t n = 0; n < in.n && paths[i].want == 0; n++)
			assert_true(hb_addr_parse_path(
					at_page_end(hb_span_head(in, n)),
					paths[i].flags, &a) < 0);
	}
}

static void
nul_is_no_address_byte(void **state)
{
	struct hb_addr a;

	assert_int_equal(hb_addr_parse_path(hb_span("<a\0b@c>", 7), 0, &a),
	    HB_E_SYNTAX);
	assert_int_equal(hb_addr_parse_path(hb_span("<\"a\0b\"@c>", 9), 0, &a),
	    HB_E_SYNTAX);
	assert_int_equal(hb_addr_parse(hb_span("a@b\0c", 5), 0, &a),
	    HB_E_SYNTAX);
}

static void
what_follows_a_path_is_left(void **state)
{
	struct hb_addr a;

	assert_int_equal(hb_addr_parse_path(HB_SPAN("<a@b> SIZE=1"), 0, &a),
	    5);
	assert_span(a.local, "a");
	assert_span(a.domain, "b");
}

static void
meaning_of_local_parts(void **state)
{
	static const char *const rows[][2] = {
		{ "a.b", "a.b" },
		{ "\"a b\"", "a b" },
		{ "\"a\\\"b\\\\\"", "a\"b\\" },
		{ "\"\"", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		assert_int_equal(hb_addr_unquote(hb_span_str(rows[i][0]),
				     &out),
		    0);
		assert_span(hb_buf_span(&out), rows[i][1]);
		hb_buf_free(&out);
	}
}

static void
split_at_the_last_at(void **state)
{
	struct hb_span local, domain;

	hb_addr_split(HB_SPAN("\"a@x\"@b"), &local, &domain);
	assert_span(local, "\"a@x\"");
	assert_span(domain, "b");
	hb_addr_split(HB_SPAN("Postmaster"), &local, &domain);
	assert_span(local, "Postmaster");
	assert_int_equal(domain.n, 0);
	hb_addr_split(HB_SPAN_NONE, &local, &domain);
	assert_int_equal(local.n + domain.n, 0);
}

static void
smtp_04_postmaster(void **state)
{
	assert_true(hb_addr_is_postmaster(HB_SPAN("PostMaster")));
	assert_false(hb_addr_is_postmaster(HB_SPAN("postmasters")));
}

static void
domain_names(void **state)
{
	static const struct {
		const char *name;
		bool dns, host;
	} rows[] = {
		{ "B.Example", true, true },
		{ "b.example.", true, true },
		{ "_mta-sts.b.example", true, false },
		{ "_25._tcp.a", true, false },
		{ "xn--bcher-kva.example", true, true },
		{ D253, true, true },
		{ D253 ".", true, true },
		{ D253 "h", false, false },
		{ "", false, false },
		{ ".", false, false },
		{ "a..", false, false },
		{ "a..b", false, false },
		{ "a b", false, false },
		{ "a\r", false, false },
		{ "a/b", false, false },
		{ "b\xc3\xbc"
		  "cher.example",
		    false, false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(hb_span_str(rows[i].name));

		print_message("%s\n", rows[i].name);
		assert_int_equal(hb_domain_is_dns_name(in), rows[i].dns);
		assert_int_equal(hb_domain_is_name(in), rows[i].host);
	}
	assert_false(hb_domain_is_dns_name(hb_span("a\0b", 3)));
}

/* All the forms of RFC 5321 s4.1.3. */
static void
test_F_20_literals(void **state)
{
	static const struct {
		const char *in, *addr; /* NULL: none */
	} rows[] = {
		{ "[192.0.2.1]", "192.0.2.1" },
		{ "[IPv6:2001:db8:0:0:0:0:0:1]", "2001:db8::1" },
		{ "[ipv6:2001:db8::1]", "2001:db8::1" },
		{ "[IPv6:::]", "::" },
		{ "[IPv6:::1]", "::1" },
		{ "[IPv6:1::]", "1::" },
		{ "[IPv6:0:0:0:0:0:ffff:192.0.2.1]", "192.0.2.1" },
		{ "[IPv6:::ffff:192.0.2.1]", "192.0.2.1" },
		{ "[IPv6:::FFFF:c000:0201]", "192.0.2.1" },
		{ "[IPv6:64:ff9b::192.0.2.33]", "64:ff9b::c000:221" },
		{ "[IPv6:192.0.2.1]", NULL },
		{ "[::ffff:192.0.2.1]", NULL },
		{ "[2001:db8::1]", NULL },
		{ "[IPv6:::ffff:192.0.2]", NULL },
		{ "[IPv6:::ffff:192.0.2.1", NULL },
		{ "[IPv6:fe80::1%eth0]", NULL },
		{ "[IPv6:]", NULL },
		{ "[]", NULL },
		{ "192.0.2.1", NULL },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(hb_span_str(rows[i].in));
		char text[HB_NETADDR_TEXT];
		struct hb_netaddr a;

		print_message("%s\n", rows[i].in);
		assert_int_equal(hb_domain_is_literal(in),
		    rows[i].addr != NULL);
		if (!hb_domain_literal(in, &a))
			continue;
		hb_netaddr_format(&a, text);
		assert_string_equal(text, rows[i].addr);
	}
}

static void
domains_compared(void **state)
{
	assert_true(hb_domain_eq(HB_SPAN("A.b."), HB_SPAN("a.B")));
	assert_false(hb_domain_eq(HB_SPAN("a.b"), HB_SPAN("a.c")));
	assert_true(hb_domain_is_below(HB_SPAN("x.A.b."), HB_SPAN("a.b")));
	assert_false(hb_domain_is_below(HB_SPAN("a.b"), HB_SPAN("a.b")));
	assert_false(hb_domain_is_below(HB_SPAN("xa.b"), HB_SPAN("a.b")));
	assert_false(hb_domain_is_below(HB_SPAN(".a.b"), HB_SPAN("a.b")));
	assert_false(hb_domain_is_below(HB_SPAN("a.b"), HB_SPAN_NONE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(smtp_03_paths),
		cmocka_unit_test(no_prefix_is_a_path),
		cmocka_unit_test(nul_is_no_address_byte),
		cmocka_unit_test(what_follows_a_path_is_left),
		cmocka_unit_test(meaning_of_local_parts),
		cmocka_unit_test(split_at_the_last_at),
		cmocka_unit_test(smtp_04_postmaster),
		cmocka_unit_test(domain_names),
		cmocka_unit_test(test_F_20_literals),
		cmocka_unit_test(domains_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
