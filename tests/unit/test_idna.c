/* U-labels to A-labels: what is looked up, and what is no domain. */
#include "tests/unit/unit.h"

#include "common/proto/address.h"
#include "common/proto/domain.h"
#include "common/proto/idna.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

/* clang-format off */
static const struct {
	const char *in;
	int want;
	const char *labels;
} domains[] = {
	{ "b\xc3\xbc" "cher.test", 0, "xn--bcher-kva.test" },
	{ "B\xc3\x9c" "CHER.TEST", 0, "xn--bcher-kva.test" },
	{ "bu\xcc\x88" "cher.test", 0, "xn--bcher-kva.test" },
	{ "b\xc3\xbc" "cher.test.", 0, "xn--bcher-kva.test" },
	{ "XN--BCHER-KVA.b\xc3\xbc" "cher.test", 0, "xn--bcher-kva.xn--bcher-kva.test" },
	/* nontransitional: sharp s, final sigma and the joiner are themselves */
	{ "fa\xc3\x9f.test", 0, "xn--fa-hia.test" },
	{ "\xcf\x82.test", 0, "xn--3xa.test" },
	{ "\xe4\xbe\x8b\xe3\x80\x82test", 0, "xn--fsq.test" },
	{ "\xef\xbd\x81\xef\xbd\x82.test", 0, "ab.test" },
	{ "_dmarc.b\xc3\xbc" "cher.test", 0, "_dmarc.xn--bcher-kva.test" },
	{ "example.test", 0, "example.test" },

	{ "", HB_E_SYNTAX, NULL },
	{ ".", HB_E_SYNTAX, NULL },
	{ "\xc3\xbc..test", HB_E_SYNTAX, NULL },
	{ ".\xc3\xbc", HB_E_SYNTAX, NULL },
	{ "\xc3", HB_E_SYNTAX, NULL },
	{ "\xc0\xaf.test", HB_E_SYNTAX, NULL },
	{ "\xed\xa0\x80.test", HB_E_SYNTAX, NULL },
	{ "-\xc3\xbc.test", HB_E_SYNTAX, NULL },
	{ "\xc3\xbc\x01.test", HB_E_SYNTAX, NULL },
	{ "\xc3\xbc .test", HB_E_SYNTAX, NULL },
	{ "\xc3\xbc@x.test", HB_E_SYNTAX, NULL },
	{ "\xc3\xbc/x.test", HB_E_SYNTAX, NULL },
	/* wide forms of what separates things */
	{ "a\xef\xbc\xa0" "b.test", HB_E_SYNTAX, NULL },
	{ "a\xef\xbc\x8f" "b.test", HB_E_SYNTAX, NULL },
	{ "\xe2\x80\xae" "a.test", HB_E_SYNTAX, NULL },
	{ "xn--\xc3\xbc.test", HB_E_SYNTAX, NULL },
	{ L63 "\xc3\xbc.test", HB_E_SYNTAX, NULL },
	{ L63 "." L63 "." L63 "." L63 ".\xc3\xbc", HB_E_RANGE, NULL },
	{ L63 "." L63 "." L63 "." L63 "." L63 ".\xc3\xbc", HB_E_RANGE, NULL },
};
/* clang-format on */

/* T-15 too */
static void
test_EAI_01_domains(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(domains); i++) {
		struct hb_buf out = HB_BUF_INIT(HB_MAX_DOMAIN);
		int got = hb_idna_domain(
		    at_page_end(hb_span_str(domains[i].in)), &out);

		if (got != domains[i].want)
			fail_msg("%s: %d", domains[i].in, got);
		if (got == 0) {
			assert_span(hb_buf_span(&out), domains[i].labels);
			assert_true(hb_domain_is_dns_name(hb_buf_span(&out)));
		}
		hb_buf_free(&out);
	}
}

static void
test_EAI_01_no_nul_ends_a_domain(void **state)
{
	struct hb_buf out = HB_BUF_INIT(0);

	assert_int_equal(hb_idna_domain(HB_SPAN("\xc3\xbc\0x"), &out),
	    HB_E_SYNTAX);
	assert_int_equal(out.n, 0);
}

static void
test_EAI_01_addresses(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ "Postmaster", "Postmaster" },
		{ "k\xc3\xa4the", "k\xc3\xa4the" },
		{ "a@b.test", "a@b.test" },
		{ "a@[192.0.2.1]", "a@[192.0.2.1]" },
		/* the local part is nobody's to change, nor its normal form */
		{ "Ka\xcc\x88@b\xc3\xbc" "cher.test",
		    "Ka\xcc\x88@xn--bcher-kva.test" },
		{ "\"a@\xc3\xa4\"@b\xc3\xbc" "cher.test",
		    "\"a@\xc3\xa4\"@xn--bcher-kva.test" },
		{ "a@\xe2\x80\xae.test", NULL },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf b = HB_BUF_INIT(0);

		hb_buf_adds(&b, rows[i].in);
		assert_int_equal(hb_idna_address(&b),
		    rows[i].want != NULL ? 0 : HB_E_SYNTAX);
		assert_span(hb_buf_span(&b),
		    rows[i].want != NULL ? rows[i].want : rows[i].in);
		hb_buf_free(&b);
	}
}

/* A-labels may be longer: an address that was short enough need not be. */
static void
test_EAI_01_an_address_that_grows_too_long(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);

	while (b.n < HB_MAX_PATH - 14)
		hb_buf_adds(&b, "a");
	hb_buf_adds(&b, "@\xc3\xbc.test");
	assert_int_equal(hb_idna_address(&b), HB_E_RANGE);
	hb_buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_EAI_01_domains),
		cmocka_unit_test(test_EAI_01_no_nul_ends_a_domain),
		cmocka_unit_test(test_EAI_01_addresses),
		cmocka_unit_test(test_EAI_01_an_address_that_grows_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
