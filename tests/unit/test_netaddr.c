/* Addresses and networks as text and values. */
#include "tests/unit/unit.h"

#include "common/proto/domain.h"
#include "common/proto/here.h"

static void
addresses(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
		{ "2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1" },
		{ "1:0:2:0:3:0:4:5", "1:0:2:0:3:0:4:5" },
		{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "256.1.1.1",
		"01.2.3.4", "1.2.3.4 ", "1.2.3.-4", ":", ":::", "1:2", "1::2::3",
		"12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:", "::g",
		"1:2:3:4:5:6:7:8::", "1.2.3.4::", "::1.2.3", "fe80::1%eth0",
		"[::1]" };
	struct hb_netaddr a;
	char text[HB_NETADDR_TEXT];

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		assert_int_equal(hb_netaddr_parse(at_page_end(hb_span_str(
		    good[i].in)), &a), 0);
		hb_netaddr_format(&a, text);
		assert_string_equal(text, good[i].out);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_true(hb_netaddr_parse(at_page_end(hb_span_str(bad[i])),
		    &a) < 0);
	}
}

static void
ports(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "192.0.2.1:25", "192.0.2.1:25" },
		{ "192.0.2.1", "192.0.2.1" },
		{ "[::1]:465", "[::1]:465" },
		{ "::1", "::1" },
		{ "[2001:db8::1]", "2001:db8::1" },
		{ "*:25", "*:25" },
	};
	static const char *const bad[] = { "1.2.3.4:0", "1.2.3.4:65536",
		"1.2.3.4:", "[::1]25", "[::1", "[1.2.3.4]:25", "*25" };
	struct hb_netaddr a;
	char text[HB_NETADDR_TEXT];

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		assert_int_equal(hb_netaddr_parse_port(at_page_end(hb_span_str(
		    good[i].in)), &a), 0);
		hb_netaddr_format_port(&a, text);
		assert_string_equal(text, good[i].out);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_true(hb_netaddr_parse_port(at_page_end(hb_span_str(
		    bad[i])), &a) < 0);
	}
}

static void
networks(void **state)
{
	static const struct {
		const char *net, *addr;
		bool in;
	} rows[] = {
		{ "127.0.0.0/8", "127.255.0.1", true },
		{ "127.0.0.0/8", "128.0.0.1", false },
		{ "10.1.2.0/23", "10.1.3.255", true },
		{ "10.1.2.0/23", "10.1.4.0", false },
		{ "0.0.0.0/0", "8.8.8.8", true },
		{ "0.0.0.0/0", "::1", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", true },
		{ "::1", "::1", true },
	};
	static const char *const bad[] = { "1.2.3.4/33", "::/129", "1.2.3.4/",
		"1.2.3.4/a", "/8", "1.2.3/8" };
	struct hb_cidr c;
	struct hb_netaddr a;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		assert_int_equal(hb_cidr_parse(at_page_end(hb_span_str(
		    rows[i].net)), &c), 0);
		assert_int_equal(hb_netaddr_parse(hb_span_str(rows[i].addr),
		    &a), 0);
		assert_int_equal(hb_cidr_has(&c, &a), rows[i].in);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		print_message("%s\n", bad[i]);
		assert_true(hb_cidr_parse(at_page_end(hb_span_str(bad[i])),
		    &c) < 0);
	}
}

/* What this host is.  IS: d a domain of it, n its name, a one of its
 * addresses, e reached on port 25. */
struct here_row {
	const char *conf, *what, *is;
};

// clang-format off
static const struct here_row here_rows[] = {
	{ "127.0.0.1:25", "mx.site.test", "dn" },
	{ "127.0.0.1:25", "MX.Site.Test", "dn" },
	{ "127.0.0.1:25", "site.test", "d" },
	{ "127.0.0.1:25", "localhost", "dn" },
	{ "127.0.0.1:25", "LocalHost.localdomain", "dn" },
	{ "127.0.0.1:25", "x.localhost", "" },
	{ "127.0.0.1:25", "far.test", "" },
	{ "127.0.0.1:25", "", "d" },
	{ "127.0.0.1:25", "[127.0.0.1]", "dae" },
	{ "127.0.0.1:25", "[127.0.0.2]", "" },
	{ "127.0.0.1:2525", "[127.0.0.1]", "da" },
	{ "127.0.0.1:25", "[IPv6:::1]", "da" },
	{ "127.0.0.1:25", "[IPv6:::ffff:127.0.0.1]", "dae" },
	{ "127.0.0.1:25", "[0.0.0.0]", "dae" },
	{ "127.0.0.1:25", "[IPv6:::]", "dae" },
	{ "127.0.0.1:25", "[192.0.2.7]", "da" }, /* of an interface */
	{ "127.0.0.1:25", "[IPv6:2001:db8::7]", "da" },
	{ "127.0.0.1:25", "[192.0.2.8]", "" },
	{ "192.0.2.8:25", "[192.0.2.8]", "dae" },
	{ "*:25", "[192.0.2.7]", "dae" },
	{ "*:25", "[IPv6:::ffff:192.0.2.7]", "dae" },
	{ "*:25", "[IPv6:2001:db8::7]", "dae" },
	{ "*:25", "[127.9.9.9]", "dae" },
	{ "*:25", "[IPv6:::1]", "dae" },
	{ "*:25", "[192.0.2.8]", "" },
	{ "*:587", "[192.0.2.7]", "da" },
	{ "0.0.0.0:25", "[192.0.2.7]", "dae" },
};
// clang-format on

static void
test_F_1_F_2_what_is_here(void **state)
{
	char host[] = "mx.site.test", domain[] = "site.test", *domains[] = {
		domain };

	for (size_t i = 0; i < HB_ARRAY_LEN(here_rows); i++) {
		const struct here_row *r = &here_rows[i];
		struct hb_listen l = { .any = r->conf[0] == '*' };
		struct hb_conf c = { .arena = hb_arena_new(),
			.hostname = host, .domains = { domains, 1 },
			.listens = { &l, 1 } };
		struct hb_span what = hb_span_str(r->what);
		struct hb_netaddr a = { 0 };
		char got[8] = "", *p = got;

		print_message("%s %s\n", r->conf, r->what);
		assert_int_equal(hb_netaddr_parse_port(hb_span_str(r->conf),
		    &l.addr), 0);
		hb_here_set_interfaces(&c, HB_SPAN("192.0.2.7\n\nnonsense\n"
		    "2001:db8::7"));
		(void)hb_domain_literal(what, &a);
		a.port = 25;
		if (hb_here_is_domain(&c, what))
			*p++ = 'd';
		if (hb_here_is_name(&c, what))
			*p++ = 'n';
		if (a.family != 0 && hb_here_is_address(&c, &a))
			*p++ = 'a';
		if (a.family != 0 && hb_here_is_endpoint(&c, &a))
			*p++ = 'e';
		assert_string_equal(got, r->is);
		hb_arena_free(&c.arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(ports),
		cmocka_unit_test(networks),
		cmocka_unit_test(test_F_1_F_2_what_is_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
