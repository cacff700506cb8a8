/* The counters: their list, and what counts where. */
#include "tests/unit/unit.h"

#include "common/proto/stats.h"

/* One family: rows together, one label, one help, values that differ. */
static void
rows_of_a_family_agree(void **state)
{
	for (unsigned i = 1; i < HB_STAT_COUNT; i++) {
		struct hb_stat_info a = hb_stat_info((enum hb_stat)(i - 1)),
				    b = hb_stat_info((enum hb_stat)i);

		assert_true(b.help[0] != '\0');
		assert_int_equal(b.label[0] == '\0', i < HB_STAT_NAMED &&
		    b.value[0] == '\0');
		if (hb_stat_is_first((enum hb_stat)i))
			continue;
		assert_string_equal(a.label, b.label);
		assert_string_equal(a.help, b.help);
	}
}

static void
no_two_have_one_key(void **state)
{
	char a[64], b[64];

	for (unsigned i = 0; i < HB_STAT_COUNT; i++)
		for (unsigned j = 0; j < i; j++) {
			hb_stat_key((enum hb_stat)i, a);
			hb_stat_key((enum hb_stat)j, b);
			assert_string_not_equal(a, b);
			assert_true(strlen(a) < sizeof(a) - 1);
		}
}

static void
a_delivery_counts_by_its_channel(void **state)
{
	static const struct {
		const char *tls;
		enum hb_stat want;
	} rows[] = {
		{ "", HB_STAT_DELIVERED_LOCAL },
		{ "none", HB_STAT_DELIVERED_NONE },
		{ "TLSv1.3/unverified", HB_STAT_DELIVERED_UNVERIFIED },
		{ "TLSv1.2/verified", HB_STAT_DELIVERED_VERIFIED },
		{ "TLSv1.3/dane", HB_STAT_DELIVERED_DANE },
		{ "TLSv1.3/", HB_STAT_DELIVERED_NONE },
		{ "TLSv1.3/better", HB_STAT_DELIVERED_NONE },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		memset(hb_stats, 0, sizeof(hb_stats));
		hb_stat_delivered(hb_span_str(rows[i].tls));
		assert_int_equal(hb_stats[rows[i].want], 1);
		assert_int_equal(hb_stat_sum(HB_STAT_DELIVERED_DANE), 1);
	}
}

static void
a_refused_host_counts_by_its_reason(void **state)
{
	struct hb_stat_info info;

	memset(hb_stats, 0, sizeof(hb_stats));
	hb_stat_refused_host(HB_REASON_NO_STARTTLS);
	info = hb_stat_info((enum hb_stat)(
	    HB_STAT_REFUSED_HOST + HB_REASON_NO_STARTTLS));
	assert_string_equal(info.value, "no-starttls");
	assert_int_equal(hb_stat_sum(HB_STAT_REFUSED_HOST), 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_a_family_agree),
		cmocka_unit_test(no_two_have_one_key),
		cmocka_unit_test(a_delivery_counts_by_its_channel),
		cmocka_unit_test(a_refused_host_counts_by_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
