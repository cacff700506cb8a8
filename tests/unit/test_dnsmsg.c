/* DNS answers from the wire, whole, cut and hostile. */
#include "unit.h"

#include "common/base/err.h"
#include "common/proto/dnsmsg.h"

#define HEAD(flags, an, ns) "\0\1" flags "\0\1\0" an "\0" ns "\0\0"
#define Q(type) "\1x\4test\0\0" type "\0\1"
#define RR(owner, type, ttl, len) owner "\0" type "\0\1\0\0\0" ttl "\0" len
#define OK "\201\200"
#define OK_AD "\201\240"
#define MSG(lit) { (const unsigned char *)lit, sizeof(lit) - 1 }
#define SOA RR("\300\16", "\6", "\60", "\26") "\0\0" "\0\0\0\1\0\0\0\2\0\0\0\3" \
	"\0\0\0\4\0\0\0\24"

struct dns_row {
	const char *name;
	struct hb_span msg;
	enum hb_dns_type type;
	enum hb_dns_status status;
	size_t n;
	uint32_t ttl_s;
	const char *canonical, *first; /* name or data of the first record */
	bool ad;
};

// clang-format off
static const struct dns_row rows[] = {
	{ "MX", MSG(HEAD(OK_AD, "\2", "\0") Q("\17")
	    RR("\300\14", "\17", "\74", "\7") "\0\12\2MX\300\14"
	    RR("\300\14", "\17", "\36", "\3") "\0\0\0"),HB_DNS_MX,
	  HB_DNS_OK, 2, 30, "x.test", "mx.x.test", true },
	{ "TXT joined", MSG(HEAD(OK, "\1", "\0") Q("\20")
	    RR("\300\14", "\20", "\74", "\6") "\2ab\2cd"),HB_DNS_TXT,
	  HB_DNS_OK, 1, 60, "x.test", "abcd", false },
	{ "alias", MSG(HEAD(OK, "\2", "\0") Q("\1")
	    RR("\300\14", "\5", "\74", "\4") "\1y\300\16"
	    RR("\300\44", "\1", "\36", "\4") "abcd"),HB_DNS_A,
	  HB_DNS_OK, 1, 30, "y.test", "abcd", false },
	{ "no such name, SOA's TTL", MSG(HEAD("\201\203", "\0", "\1") Q("\1") SOA),HB_DNS_A,
	  HB_DNS_NXDOMAIN, 0, 20, "x.test", NULL, false },
	{ "no such type", MSG(HEAD(OK, "\0", "\1") Q("\1")
	    SOA),HB_DNS_A, HB_DNS_NODATA, 0, 20, "x.test", NULL, false },
	{ "server failure", MSG(HEAD("\201\202", "\0", "\0") Q("\1")),HB_DNS_A, HB_DNS_TEMP,
	  0, 0, "x.test", NULL, false },
	{ "pointer to itself", MSG(HEAD(OK, "\1", "\0")
	    Q("\1") RR("\300\30", "\1", "\74", "\4") "abcd"),HB_DNS_A,
	  HB_DNS_TEMP, 0, 0, NULL, NULL, false },
	{ "address of three bytes", MSG(HEAD(OK, "\1", "\0") Q("\1") RR("\300\14", "\1", "\74", "\3")
	    "abc"),HB_DNS_A, HB_DNS_TEMP, 0, 0, NULL, NULL, false },
	{ "a question, not an answer", MSG(HEAD("\1\0", "\0", "\0") Q("\1")),HB_DNS_A, HB_DNS_TEMP, 0,
	  0, NULL, NULL, false },
	{ "another question", MSG(HEAD(OK, "\0", "\0")
	    Q("\34")),HB_DNS_A, HB_DNS_TEMP, 0, 0, NULL, NULL, false },
	{ "alias of itself", MSG(HEAD(OK, "\1", "\0")
	    Q("\1") RR("\300\14", "\5", "\74", "\2") "\300\14"),
	  HB_DNS_A, HB_DNS_TEMP, 0, 0, NULL, NULL, false },
	{ "more records said than there is room for", MSG(HEAD(OK, "\377", "\0") Q("\1")),
	  HB_DNS_A, HB_DNS_TEMP, 0, 0, NULL, NULL, false },
};
// clang-format on

static void
check(const struct dns_row *r, const struct hb_dns_answer *a)
{
	assert_int_equal(a->status, r->status);
	assert_int_equal(a->n, r->n);
	assert_int_equal(a->ttl_s, r->ttl_s);
	assert_int_equal(a->ad, r->ad);
	if (r->canonical != NULL)
		assert_span(a->canonical, r->canonical);
	if (r->first != NULL)
		assert_span(r->type == HB_DNS_MX ? a->rr[0].name
						 : a->rr[0].data, r->first);
}

static void
test_answers(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_arena *arena = hb_arena_new();
		struct hb_dns_answer a;
		int err = hb_dnsmsg_parse(at_page_end(rows[i].msg),
		    HB_SPAN("x.test"), rows[i].type, arena, &a);

		print_message("%s: %d\n", rows[i].name, err);
		check(&rows[i], &a);
		hb_arena_free(&arena);
	}
}

/* Cut at each byte: never an answer, never a read beyond the end. */
static void
test_cut(void **state)
{
	struct hb_arena *arena = hb_arena_new();
	struct hb_dns_answer a;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t n = 0; n < rows[i].msg.n; n++) {
			int err = hb_dnsmsg_parse(
			    at_page_end(hb_span_head(rows[i].msg, n)),
			    HB_SPAN("x.test"), rows[i].type, arena, &a);

			assert_true(err < 0 || n >= 12);
			assert_int_equal(a.status, HB_DNS_TEMP);
			assert_int_equal(a.n, 0);
		}
	hb_arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
