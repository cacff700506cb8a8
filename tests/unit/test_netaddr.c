/* Addresses and networks as text and values. */
#include "tests/unit/unit.h"

#include "common/proto/netaddr.h"

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

	(void)state;
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

	(void)state;
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

	(void)state;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(ports),
		cmocka_unit_test(networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
