/* TLSA records: which can be used, what is kept of them, and how they come
 * from the wire.  DANE-13, DANE-15. */
#include "unit.h"

#include "common/proto/dane.h"

static const unsigned char bytes[65] = "0123456789abcdef0123456789abcdef"
				       "0123456789abcdef0123456789abcdef";

/* clang-format off */
static const struct {
	uint8_t usage, selector, match;
	size_t len;
	bool usable;
} usable_rows[] = {
	{ 3, 0, 0, 1, true }, { 3, 0, 0, 64, true }, { 3, 0, 0, 0, false },
	{ 3, 1, 0, 33, true }, { 3, 1, 0, 0, false },
	{ 3, 0, 1, 32, true }, { 3, 0, 1, 31, false }, { 3, 0, 1, 33, false },
	{ 3, 1, 1, 32, true }, { 3, 1, 1, 0, false }, { 3, 1, 1, 64, false },
	{ 3, 0, 2, 64, true }, { 3, 1, 2, 64, true }, { 3, 1, 2, 63, false },
	{ 3, 1, 2, 65, false }, { 3, 1, 2, 32, false },
	{ 2, 0, 0, 40, true }, { 2, 1, 0, 40, true }, { 2, 0, 1, 32, true },
	{ 2, 1, 1, 32, true }, { 2, 0, 2, 64, true }, { 2, 1, 2, 64, true },
	{ 2, 0, 1, 20, false }, { 2, 1, 2, 48, false },
	/* RFC 7672 s3.1.3 */
	{ 0, 0, 1, 32, false }, { 0, 1, 1, 32, false }, { 1, 0, 1, 32, false },
	{ 1, 1, 1, 32, false }, { 1, 1, 0, 40, false },
	/* not assigned, private */
	{ 4, 1, 1, 32, false }, { 255, 1, 1, 32, false },
	{ 3, 2, 1, 32, false }, { 3, 255, 1, 32, false },
	{ 3, 1, 3, 32, false }, { 3, 1, 3, 64, false }, { 3, 1, 255, 32, false },
};
/* clang-format on */

static struct hb_arena *arena;

static int
setup(void **state)
{
	arena = hb_arena_new();
	return 0;
}

static int
teardown(void **state)
{
	hb_arena_free(&arena);
	return 0;
}

static struct hb_dns_rr
rr_of(int usage, int selector, int match, struct hb_span data)
{
	return (struct hb_dns_rr){ .type = HB_DNS_TLSA,
		.data = data,
		.tlsa_usage = (uint8_t)usage,
		.tlsa_selector = (uint8_t)selector,
		.tlsa_match = (uint8_t)match };
}

static void
test_DANE_13_15_usable(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(usable_rows); i++) {
		struct hb_span data = hb_span(bytes, usable_rows[i].len);
		struct hb_tlsa t = { usable_rows[i].usage,
			usable_rows[i].selector, usable_rows[i].match, data };
		struct hb_dns_rr rr = rr_of(t.usage, t.selector, t.match, data);
		struct hb_dane d = { .base = "mx.example" };
		bool yes = usable_rows[i].usable;

		print_message("%u %u %u, %zu bytes\n", t.usage, t.selector,
		    t.match, data.n);
		assert_int_equal(hb_tlsa_usable(&t), yes);
		hb_dane_take(&d, &rr, 1, arena);
		assert_int_equal(d.n, yes ? 1 : 0);
		assert_int_equal(
		    d.state, yes ? HB_DANE_USABLE : HB_DANE_UNUSABLE);
		assert_int_equal(d.digest != 0, yes);
	}
}

static void
test_DANE_15_malformed_ones_are_left_out(void **state)
{
	struct hb_dns_rr rr[] = {
		rr_of(3, 1, 2, hb_span(bytes, 63)),
		rr_of(3, 1, 1, hb_span(bytes, 32)),
		rr_of(1, 1, 1, hb_span(bytes + 1, 32)),
		rr_of(2, 0, 0, hb_span(bytes, 10)),
	};
	struct hb_dane d = { .base = "mx.example" };

	hb_dane_take(&d, rr, HB_ARRAY_LEN(rr), arena);
	assert_int_equal(d.state, HB_DANE_USABLE);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.rr[0].usage, 2);
	assert_int_equal(d.rr[0].data.n, 10);
	assert_int_equal(d.rr[1].usage, 3);
	assert_int_equal(d.rr[1].match, 1);
	assert_ptr_equal(d.rr[1].data.p, bytes);
	/* taken again: what was there is gone */
	hb_dane_take(&d, rr, 1, arena);
	assert_int_equal(d.state, HB_DANE_UNUSABLE);
	assert_int_equal(d.n, 0);
	assert_true(d.digest == 0);
	hb_dane_take(&d, NULL, 0, arena);
	assert_int_equal(d.state, HB_DANE_UNUSABLE);
}

/* As many as an answer holds: a part of them, in the order that DNS hands
 * them out, would be another demand each time. */
static void
test_DANE_08_all_records_count(void **state)
{
	static unsigned char data[4000][32];
	static struct hb_dns_rr rr[HB_ARRAY_LEN(data)];
	struct hb_dane d = { .base = "mx.example" };
	uint64_t digest;

	for (size_t i = 0; i < HB_ARRAY_LEN(rr); i++) {
		memcpy(data[i], &i, sizeof(i));
		rr[i] = rr_of(3, 1, 1, hb_span(data[i], sizeof(data[i])));
	}
	hb_dane_take(&d, rr, HB_ARRAY_LEN(rr), arena);
	assert_int_equal(d.n, HB_ARRAY_LEN(rr));
	assert_int_equal(hb_dane_keep(&d, arena)->n, HB_ARRAY_LEN(rr));
	digest = d.digest;
	rr[0].data.p = data[1];
	rr[1].data.p = data[0];
	hb_dane_take(&d, rr, HB_ARRAY_LEN(rr), arena);
	assert_true(d.digest == digest);
	/* the last one is part of it */
	data[HB_ARRAY_LEN(rr) - 1][31] = 1;
	hb_dane_take(&d, rr, HB_ARRAY_LEN(rr), arena);
	assert_true(d.digest != digest);
}

static uint64_t
digest_of(struct hb_dane d, const struct hb_dns_rr *rr, size_t n)
{
	hb_dane_take(&d, rr, n, arena);
	return d.digest;
}

/* DNS hands out records in any order: that is no change. */
static void
digest_knows_no_order(void **state)
{
	struct hb_dns_rr rr[] = {
		rr_of(3, 1, 1, hb_span(bytes, 32)),
		rr_of(3, 1, 1, hb_span(bytes + 1, 32)),
		rr_of(2, 0, 0, hb_span(bytes, 10)),
		rr_of(2, 0, 0, hb_span(bytes, 11)),
	};
	struct hb_dane d = {
		.base = "mx.example", .names = { "mx.example" }, .nnames = 1
	};
	uint64_t digest = digest_of(d, rr, 4);

	for (unsigned turn = 0; turn < 24; turn++) {
		struct hb_dns_rr first = rr[turn % 3];

		rr[turn % 3] = rr[turn % 3 + 1];
		rr[turn % 3 + 1] = first;
		assert_true(digest_of(d, rr, 4) == digest);
	}
	/* what cannot be used is no part of it */
	rr[0].tlsa_usage = 1;
	assert_true(digest_of(d, rr, 4) == digest_of(d, rr + 1, 3));
}

static void
digest_knows_each_byte(void **state)
{
	const struct hb_dns_rr rr = rr_of(3, 1, 0, hb_span(bytes, 10));
	struct hb_dns_rr other[] = {
		rr_of(2, 1, 0, hb_span(bytes, 10)),
		rr_of(3, 0, 0, hb_span(bytes, 10)),
		rr_of(3, 1, 0, hb_span(bytes + 1, 10)),
		rr_of(3, 1, 0, hb_span(bytes, 11)),
		rr_of(3, 1, 1, hb_span(bytes, 32)),
	};
	struct hb_dns_rr twice[] = { rr, rr };
	struct hb_dane d = {
		.base = "mx.example", .names = { "mx.example" }, .nnames = 1
	};
	struct hb_dane names = d, base = d;
	uint64_t digest = digest_of(d, &rr, 1);

	for (size_t i = 0; i < HB_ARRAY_LEN(other); i++)
		assert_true(digest_of(d, &other[i], 1) != digest);
	assert_true(digest_of(d, twice, 2) != digest);
	names.names[names.nnames++] = "example";
	assert_true(digest_of(names, &rr, 1) != digest);
	base.base = base.names[0] = "mx2.example";
	assert_true(digest_of(base, &rr, 1) != digest);
}

static void
a_copy_stands_alone(void **state)
{
	unsigned char data[32];
	char base[] = "mx.example", also[] = "example";
	struct hb_dns_rr rr = rr_of(3, 1, 1, hb_span(data, 32));
	struct hb_dane d = {
		.base = base, .names = { base, also }, .nnames = 2
	};
	const struct hb_dane *kept;

	memcpy(data, bytes, 32);
	hb_dane_take(&d, &rr, 1, arena);
	kept = hb_dane_keep(&d, arena);
	memset(data, 0, sizeof(data));
	memset(base, 'x', 3);
	memset(also, 'x', 3);
	assert_int_equal(kept->state, HB_DANE_USABLE);
	assert_string_equal(kept->base, "mx.example");
	assert_string_equal(kept->names[0], "mx.example");
	assert_string_equal(kept->names[1], "example");
	assert_memory_equal(kept->rr[0].data.p, bytes, 32);
	assert_true(kept->digest == d.digest);
	d = (struct hb_dane){ .state = HB_DANE_INSECURE };
	kept = hb_dane_keep(&d, arena);
	assert_int_equal(kept->state, HB_DANE_INSECURE);
	assert_null(kept->base);
}

static void
every_state_has_its_words(void **state)
{
	for (int s = 0; s < HB_DANE_STATE_COUNT; s++) {
		enum hb_dane_state v = (enum hb_dane_state)s;

		assert_true(strlen(hb_dane_word(v)) > 2);
		assert_true(strlen(hb_dane_text(v)) > 10);
		for (int t = 0; t < s; t++)
			assert_string_not_equal(hb_dane_word(v),
			    hb_dane_word((enum hb_dane_state)t));
	}
	assert_string_equal(hb_dane_word(HB_DANE_STATE_COUNT), "");
	assert_string_equal(hb_dane_text(HB_DANE_STATE_COUNT), "");
}

/* --- from the wire --- */

#define HEAD "\0\1\201\240\0\1\0\2\0\0\0\0\1x\4test\0\0\64\0\1"
#define RR(len) "\300\14\0\64\0\1\0\0\0\74\0" len
#define MSG(lit)                                                               \
	{                                                                      \
		(const unsigned char *)(lit), sizeof(lit) - 1                  \
	}

static const struct {
	const char *name;
	struct hb_span msg;
	enum hb_dns_status status;
	size_t n;
} wire_rows[] = {
	{ "two", MSG(HEAD RR("\5") "\3\1\1ab" RR("\4") "\2\0\0c"), HB_DNS_OK,
	    2 },
	{ "one without data", MSG(HEAD RR("\5") "\3\1\1ab" RR("\3") "\2\0\0"),
	    HB_DNS_OK, 2 },
	{ "one of two bytes", MSG(HEAD RR("\5") "\3\1\1ab" RR("\2") "\2\0"),
	    HB_DNS_TEMP, 0 },
	{ "one that is empty", MSG(HEAD RR("\5") "\3\1\1ab" RR("\0")),
	    HB_DNS_TEMP, 0 },
	{ "length beyond the end",
	    MSG(HEAD RR("\5") "\3\1\1ab" RR("\6") "\2\0\0c"), HB_DNS_TEMP, 0 },
};

static void
records_from_the_wire(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(wire_rows); i++) {
		struct hb_dns_answer a;
		int err = hb_dnsmsg_parse(at_page_end(wire_rows[i].msg),
		    HB_SPAN("x.test"), HB_DNS_TLSA, arena, &a);

		print_message("%s: %d\n", wire_rows[i].name, err);
		assert_int_equal(a.status, wire_rows[i].status);
		assert_int_equal(a.n, wire_rows[i].n);
		if (a.n == 2) {
			assert_int_equal(a.rr[0].tlsa_usage, 3);
			assert_int_equal(a.rr[0].tlsa_selector, 1);
			assert_int_equal(a.rr[0].tlsa_match, 1);
			assert_span(a.rr[0].data, "ab");
			assert_int_equal(a.rr[1].tlsa_usage, 2);
			assert_span(a.rr[1].data, i == 0 ? "c" : "");
			assert_true(a.ad);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_DANE_13_15_usable),
		cmocka_unit_test(test_DANE_15_malformed_ones_are_left_out),
		cmocka_unit_test(test_DANE_08_all_records_count),
		cmocka_unit_test(digest_knows_no_order),
		cmocka_unit_test(digest_knows_each_byte),
		cmocka_unit_test(a_copy_stands_alone),
		cmocka_unit_test(every_state_has_its_words),
		cmocka_unit_test(records_from_the_wire),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
