/* Names that DNS has for addresses, and what zones that list them answer. */
#include "tests/unit/unit.h"

#include "common/proto/dnsbl.h"

static struct hb_netaddr
addr(const char *text)
{
	struct hb_netaddr a;

	assert_int_equal(hb_netaddr_parse(hb_span_str(text), &a), 0);
	return a;
}

static void
reverse_names(void **state)
{
	static const struct {
		const char *addr, *zone, *name;
	} rows[] = {
		{ "192.0.2.99", "", "99.2.0.192.in-addr.arpa" },
		{ "192.0.2.99", "bl.example", "99.2.0.192.bl.example" },
		{ "2001:db8:1:2:3:4:567:89ab", "bl.example",
		    "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d."
		    "0.1.0.0.2.bl.example" },
		{ "::1", "", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
		    "0.0.0.0.0.0.0.0.0.ip6.arpa" },
	};
	char name[HB_REVERSE_NAME];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_netaddr a = addr(rows[i].addr);

		assert_int_equal(hb_reverse_name(&a,
		    hb_span_str(rows[i].zone), name), 0);
		assert_string_equal(name, rows[i].name);
	}
}

static void
a_name_is_bounded(void **state)
{
	char zone[HB_MAX_DOMAIN], name[HB_REVERSE_NAME];
	struct hb_netaddr a = addr("1.2.3.4");

	memset(zone, 'a', sizeof(zone));
	assert_int_equal(hb_reverse_name(&a, hb_span(zone,
	    HB_MAX_DOMAIN - 8), name), 0);
	assert_int_equal(hb_reverse_name(&a, hb_span(zone,
	    HB_MAX_DOMAIN - 7), name), HB_E_LIMIT);
}

static void
codes(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "127.0.0.2", "127.0.0.2" },
		{ "127.0.0.2-11", "127.0.0.2-127.0.0.11" },
		{ "127.0.0.0-127.255.255.255", "127.0.0.0-127.255.255.255" },
		{ "127.0.0.2-2", "127.0.0.2" },
	};
	static const char *const bad[] = { "", "-", "127.0.0.2-", "-127.0.0.2",
		"127.0.0.2-1", "127.0.0.2-256", "127.0.0.2-128.0.0.1",
		"126.0.0.1", "::1", "127.0.0.2-3-4", "127.0.0.2 ", "2" };

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		struct hb_dnsbl_range r, again;
		struct hb_buf out = HB_BUF_INIT(0);

		assert_int_equal(hb_dnsbl_codes(at_page_end(hb_span_str(
		    good[i].in)), &r), 0);
		hb_dnsbl_put_codes(&r, &out);
		assert_span(hb_buf_span(&out), good[i].out);
		assert_int_equal(hb_dnsbl_codes(hb_buf_span(&out), &again), 0);
		assert_memory_equal(&r, &again, sizeof(r));
		hb_buf_free(&out);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		struct hb_dnsbl_range r;

		print_message("%s\n", bad[i]);
		assert_true(hb_dnsbl_codes(at_page_end(hb_span_str(bad[i])),
		    &r) < 0);
	}
}

/* ANSWERS: addresses with blanks between. */
static enum hb_dnsbl_says
ask(const struct hb_dnsbl *zone, const char *answers)
{
	struct hb_dns_rr rr[4];
	unsigned char bytes[4][4];
	struct hb_dns_answer a = { .rr = rr };
	struct hb_span rest = hb_span_str(answers), word;

	while ((word = hb_span_word(&rest)).n > 0) {
		struct hb_netaddr one;

		assert_true(a.n < 4 && hb_netaddr_parse(word, &one) == 0);
		memcpy(bytes[a.n], one.b, 4);
		rr[a.n] = (struct hb_dns_rr){ .type = HB_DNS_A,
			.data = hb_span(bytes[a.n], 4) };
		a.n++;
	}
	a.status = a.n > 0 ? HB_DNS_OK : HB_DNS_NXDOMAIN;
	return hb_dnsbl_read(zone, &a);
}

static void
answers(void **state)
{
	struct hb_dnsbl_range ranges[] = { { 0x7f000002, 0x7f00000b },
		{ 0x7f000001, 0x7f000001 } };
	struct hb_dnsbl all = { .zone = NULL }, some = { .codes = ranges,
		.n = 2 };
	static const struct {
		const char *answers;
		enum hb_dnsbl_says all, some;
	} rows[] = {
		{ "", HB_DNSBL_CLEAN, HB_DNSBL_CLEAN },
		{ "127.0.0.1", HB_DNSBL_CLEAN, HB_DNSBL_LISTED },
		{ "127.0.0.2", HB_DNSBL_LISTED, HB_DNSBL_LISTED },
		{ "127.0.0.11", HB_DNSBL_LISTED, HB_DNSBL_LISTED },
		{ "127.0.0.12", HB_DNSBL_LISTED, HB_DNSBL_CLEAN },
		{ "127.0.0.12 127.0.0.4", HB_DNSBL_LISTED, HB_DNSBL_LISTED },
		{ "127.255.254.255", HB_DNSBL_LISTED, HB_DNSBL_CLEAN },
		{ "127.255.255.0", HB_DNSBL_REFUSES, HB_DNSBL_REFUSES },
		{ "127.255.255.254", HB_DNSBL_REFUSES, HB_DNSBL_REFUSES },
		{ "127.0.0.2 127.255.255.254", HB_DNSBL_REFUSES,
		    HB_DNSBL_REFUSES },
		{ "126.255.255.255", HB_DNSBL_STRANGE, HB_DNSBL_STRANGE },
		{ "128.0.0.0", HB_DNSBL_STRANGE, HB_DNSBL_STRANGE },
		{ "127.0.0.2 192.0.2.1", HB_DNSBL_STRANGE, HB_DNSBL_STRANGE },
	};
	struct hb_dns_answer none = { .status = HB_DNS_TEMP };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		print_message("%s\n", rows[i].answers);
		assert_int_equal(ask(&all, rows[i].answers), rows[i].all);
		assert_int_equal(ask(&some, rows[i].answers), rows[i].some);
	}
	assert_int_equal(hb_dnsbl_read(&all, &none), HB_DNSBL_SILENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reverse_names),
		cmocka_unit_test(a_name_is_bounded),
		cmocka_unit_test(codes),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
