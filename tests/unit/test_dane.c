/*
 * DANE discovery: DANE-01, 04 to 07, 13, 14, 16.
 *
 * A row is a host, what is known before, and the answers in order:
 *	ADDRESS  S signed, i insecure; then "=NAME" when aliases led there
 *	ANSWERS  one word for each question that is asked, in order:
 *		"NAME TYPE ANSWER;", ANSWER: rrs 3 1 1 (signed records, their
 *		kind), ins (insecure records), none, insnone, err
 */
#include "unit.h"

#include "delivery/smtp/dane.h"

struct dane_row {
	const char *name;
	const char *address, *domain, *expanded;
	const char *answers;
	enum hb_dane_state state;
	const char *names; /* base and further reference names */
};

#define H "mx.test"
#define END "end.test"

// clang-format off
static const struct dane_row rows[] = {
	{ "DANE-07 records at the host", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA 311;", HB_DANE_USABLE, "mx.test dom.test" },
	{ "DANE-05 insecure address, no alias: not asked", "i", "dom.test", NULL,
	  "", HB_DANE_INSECURE, "" },
	{ "no word of DNS on the address", "?", NULL, NULL,
	  "", HB_DANE_INSECURE, "" },
	{ "DANE-07 signed: nothing there", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA none;", HB_DANE_NONE, "" },
	{ "records that are not signed are none", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA ins;", HB_DANE_INSECURE, "" },
	{ "nothing there, not signed", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA insnone;", HB_DANE_INSECURE, "" },
	{ "DANE-01 error is never absent", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA err;", HB_DANE_ERROR, "" },
	{ "DANE-13 usages 0 and 1 alone: unusable", "S", "dom.test", NULL,
	  "_25._tcp.mx.test TLSA 111;", HB_DANE_UNUSABLE, "mx.test dom.test" },
	{ "DANE-06 alias signed to the end: the end first", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA 311;", HB_DANE_USABLE, "end.test dom.test" },
	{ "DANE-06 then the original name", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA none;_25._tcp.mx.test TLSA 211;", HB_DANE_USABLE, "mx.test dom.test" },
	{ "DANE-06 insecure records at the end do not count", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA ins;_25._tcp.mx.test TLSA 311;", HB_DANE_USABLE, "mx.test dom.test" },
	{ "DANE-07 unusable ones at the end are the base still", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA 011;", HB_DANE_UNUSABLE, "end.test dom.test" },
	{ "DANE-06 neither has any", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA none;_25._tcp.mx.test TLSA none;", HB_DANE_NONE, "" },
	{ "DANE-06 neither, one of them without proof", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA insnone;_25._tcp.mx.test TLSA none;", HB_DANE_INSECURE, "" },
	{ "DANE-01 error at the end: the other is not asked", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA err;", HB_DANE_ERROR, "" },
	{ "DANE-01 error at the original", "S=end.test", "dom.test", NULL,
	  "_25._tcp.end.test TLSA none;_25._tcp.mx.test TLSA err;", HB_DANE_ERROR, "" },
	{ "DANE-06 end insecure, first link signed: original only", "i=end.test", "dom.test", NULL,
	  "mx.test CNAME alias;_25._tcp.mx.test TLSA 311;", HB_DANE_USABLE, "mx.test dom.test" },
	{ "DANE-06 first link insecure: no DANE", "i=end.test", "dom.test", NULL,
	  "mx.test CNAME insalias;", HB_DANE_INSECURE, "" },
	{ "DANE-06 error at the first link", "i=end.test", "dom.test", NULL,
	  "mx.test CNAME err;", HB_DANE_ERROR, "" },
	{ "DANE-06 first link signed, nothing there", "i=end.test", "dom.test", NULL,
	  "mx.test CNAME alias;_25._tcp.mx.test TLSA none;", HB_DANE_NONE, "" },
	{ "DANE-14 the domain was an alias: its expanded form", "S", "dom.test", "real.test",
	  "_25._tcp.mx.test TLSA 211;", HB_DANE_USABLE, "mx.test dom.test real.test" },
	{ "DANE-14 the same name once", "S", "mx.test", "MX.test",
	  "_25._tcp.mx.test TLSA 211;", HB_DANE_USABLE, "mx.test" },
	{ "DANE-14 no MX records: base alone", "S", NULL, NULL,
	  "_25._tcp.mx.test TLSA 211;", HB_DANE_USABLE, "mx.test" },
	{ "DANE-14 no MX, expanded: also the original", "S=end.test", NULL, NULL,
	  "_25._tcp.end.test TLSA 211;", HB_DANE_USABLE, "end.test mx.test" },
};
// clang-format on

static unsigned char digest[32] = { 1 };

/* The answer that WORD stands for. */
static struct hb_dns_answer
answer_of(struct hb_span word, struct hb_dns_rr *rr)
{
	struct hb_dns_answer a = { .status = HB_DNS_OK, .ad = true, .rr = rr,
		.n = 1 };

	*rr = (struct hb_dns_rr){ .type = HB_DNS_TLSA, .tlsa_usage = 3,
		.tlsa_selector = 1, .tlsa_match = 1,
		.data = { digest, sizeof(digest) } };
	if (hb_span_has_prefix_nocase(word, HB_SPAN("ins")))
		a.ad = false;
	if (hb_span_eq(word, HB_SPAN("none")) ||
	    hb_span_eq(word, HB_SPAN("insnone"))) {
		a.status = HB_DNS_NXDOMAIN;
		a.n = 0;
	} else if (hb_span_eq(word, HB_SPAN("err"))) {
		a = (struct hb_dns_answer){ .status = HB_DNS_TEMP };
	} else if (word.n == 3 && hb_is_digit(word.p[0])) {
		rr->tlsa_usage = (uint8_t)(word.p[0] - '0');
		rr->tlsa_selector = (uint8_t)(word.p[1] - '0');
		rr->tlsa_match = (uint8_t)(word.p[2] - '0');
	}
	return a;
}

static struct dlv_signed
address_of(const char *text)
{
	struct hb_dns_answer a = { .status = HB_DNS_OK, .ad = text[0] == 'S',
		.canonical = HB_SPAN(H) };
	struct dlv_signed s = { .known = false };

	if (text[1] == '=') {
		a.aliased = true;
		a.canonical = hb_span_str(text + 2);
	}
	if (text[0] != '?')
		dlv_signed_add(&s, &a);
	return s;
}

static void
check_names(const struct hb_dane *d, const char *want)
{
	struct hb_buf got = HB_BUF_INIT(0);

	for (size_t i = 0; i < d->nnames; i++)
		hb_buf_addf(&got, "%s%s", i > 0 ? " " : "", d->names[i]);
	assert_span(hb_buf_span(&got), want);
	if (d->nnames > 0)
		assert_string_equal(d->base, d->names[0]);
	else
		assert_null(d->base);
	hb_buf_free(&got);
}

static void
run_row(const struct dane_row *r)
{
	struct hb_arena *arena = hb_arena_new();
	struct dlv_dane_host host = { .name = H, .port = 25,
		.address = address_of(r->address), .domain = r->domain,
		.expanded = r->expanded };
	struct hb_span rest = hb_span_str(r->answers), one;
	struct dlv_dane d;

	print_message("%s\n", r->name);
	dlv_dane_begin(&d, &host, arena);
	while (rest.n > 0) {
		struct hb_dns_rr rr;
		struct hb_dns_answer a;

		one = hb_span_cut(&rest, ';');
		assert_true(hb_span_eq(d.question, hb_span_word(&one)));
		assert_true(hb_span_eq(hb_span_word(&one),
		    dlv_dane_type(&d) == HB_DNS_CNAME ? HB_SPAN("CNAME")
						      : HB_SPAN("TLSA")));
		a = answer_of(hb_span_word(&one), &rr);
		dlv_dane_answer(&d, &a);
	}
	assert_int_equal(d.question.n, 0);
	assert_string_equal(hb_dane_word(d.found.state),
	    hb_dane_word(r->state));
	check_names(&d.found, r->names);
	hb_arena_free(&arena);
}

static void
test_rows(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		run_row(&rows[i]);
}

/* What is found outlives the answer. */
static void
test_DANE_07_records_are_kept_and_the_real_port_asked(void **state)
{
	struct hb_arena *arena = hb_arena_new();
	struct dlv_dane_host host = { .name = H, .port = 465,
		.address = address_of("S") };
	unsigned char data[32] = { 7 };
	struct hb_dns_rr rr = { .type = HB_DNS_TLSA, .tlsa_usage = 3,
		.tlsa_selector = 1, .tlsa_match = 1,
		.data = { data, sizeof(data) } };
	struct hb_dns_answer a = { .status = HB_DNS_OK, .ad = true,
		.aliased = true, .canonical = HB_SPAN("elsewhere.test"),
		.rr = &rr, .n = 1 };
	struct dlv_dane d;

	dlv_dane_begin(&d, &host, arena);
	assert_span(d.question, "_465._tcp.mx.test");
	dlv_dane_answer(&d, &a);
	memset(data, 0, sizeof(data));
	assert_int_equal(d.found.state, HB_DANE_USABLE);
	assert_int_equal(d.found.n, 1);
	assert_int_equal(d.found.rr[0].data.p[0], 7);
	/* a CNAME at the TLSA name does not change the base */
	assert_string_equal(d.found.base, H);
	hb_arena_free(&arena);
}

/* A base of BASE bytes; its TLSA name is 9 longer. */
static void
check_long(size_t base, bool asked)
{
	struct hb_arena *arena = hb_arena_new();
	char name[HB_MAX_DOMAIN + 1] = "";
	struct dlv_dane_host host = { .name = name, .port = 25,
		.address = address_of("S") };
	struct dlv_dane d;

	memset(name, 'a', base);
	for (size_t i = 50; i < base; i += 50)
		name[i] = '.';
	dlv_dane_begin(&d, &host, arena);
	assert_int_equal(d.question.n, asked ? base + 9 : 0);
	if (!asked)
		assert_int_equal(d.found.state, HB_DANE_NONE);
	hb_arena_free(&arena);
}

static void
test_name_too_long_to_exist(void **state)
{
	check_long(244, true);
	check_long(245, false);
	check_long(HB_MAX_DOMAIN, false);
}

struct pair_row {
	const char *name, *first, *second; /* as ADDRESS; e: an error */
	bool known, ad;
	const char *canonical;
};

// clang-format off
static const struct pair_row pairs[] = {
	{ "both signed", "S", "S", true, true, H },
	{ "neither", "i", "i", true, false, H },
	{ "the first only", "S", "i", true, true, H },
	{ "the second only", "i", "S", true, true, H },
	{ "one error", "e", "S", true, true, H },
	{ "one error, the other insecure", "i", "e", true, false, H },
	{ "two errors", "e", "e", false, false, "" },
	{ "an alias is not forgotten", "i=end.test", "i", true, false, END },
	{ "nor found too late", "i", "i=end.test", true, false, END },
	{ "signed goes before", "i=end.test", "S", true, true, H },
};
// clang-format on

static void
test_DANE_05_A_and_AAAA_together(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(pairs); i++) {
		const struct pair_row *r = &pairs[i];
		const char *text[2] = { r->first, r->second };
		struct dlv_signed s = { .known = false };

		print_message("%s\n", r->name);
		for (size_t k = 0; k < 2; k++) {
			struct hb_dns_answer a = { .status = HB_DNS_OK,
				.ad = text[k][0] == 'S',
				.aliased = text[k][1] == '=',
				.canonical = HB_SPAN(H) };

			if (a.aliased)
				a.canonical = hb_span_str(text[k] + 2);
			if (text[k][0] == 'e')
				a.status = HB_DNS_TEMP;
			dlv_signed_add(&s, &a);
		}
		assert_int_equal(s.known, r->known);
		assert_int_equal(s.ad, r->ad);
		assert_string_equal(s.canonical, r->canonical);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(
		    test_DANE_07_records_are_kept_and_the_real_port_asked),
		cmocka_unit_test(test_name_too_long_to_exist),
		cmocka_unit_test(test_DANE_05_A_and_AAAA_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
