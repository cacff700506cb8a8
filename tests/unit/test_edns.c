/* When OPT is left out, and when it is tried again. */
#include "unit.h"

#include "common/proto/edns.h"

/*
 * Each question of a row, in its order: `e' the machine asks with OPT, `p'
 * without, `a' without and because of FORMERR; then what comes: `+' an answer,
 * `-' silence or trouble, `f' FORMERR or NOTIMP.  `!' behind: it is news.
 */
/* clang-format off */
static const struct {
	const char *name, *course;
	bool missing;
} rows[] = {
	{ "all is well", "e+e+e+", false },
	{ "FORMERR", "efa+!p+p+", true },
	{ "FORMERR, and trouble without too", "efa-efa-", false },
	{ "silence from the first", "e-e-e-p+!p+p-p+", true },
	{ "silence to everything", "e-e-e-p-e-p-e-p-", false },
	{ "one loss", "e+e-e+e-e-e+", false },
	{ "slow once: not taken for it", "e+e-e-e-p+e+e+", false },
	{ "it forgot EDNS", "e+e-e-e-p+e-p+!p+", true },
	{ "it forgot EDNS, and says so", "e+efa+!p+", true },
};
/* clang-format on */

static void
step(struct hb_edns *e, const char **at, int64_t now)
{
	char asked = *(*at)++, came = *(*at)++;
	bool news = **at == '!';
	enum hb_edns_answer answer = came == '+' ? HB_EDNS_GOOD
	    : came == 'f'			 ? HB_EDNS_FORMAT
						 : HB_EDNS_TROUBLE;

	if (news)
		(*at)++;
	if (asked != 'a')
		assert_int_equal(hb_edns_next(e, now), asked == 'e');
	assert_int_equal(
	    hb_edns_heard(e, asked == 'e', asked == 'a', answer, now), news);
}

static void
test_F_7_opt_is_left_out_when_it_is_the_trouble(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_edns e = { .misses = 0 };
		const char *at = rows[i].course;

		print_message("%s\n", rows[i].name);
		while (*at != '\0')
			step(&e, &at, 1000);
		assert_int_equal(hb_edns_is_missing(&e), rows[i].missing);
	}
}

static void
test_F_7_opt_is_tried_again(void **state)
{
	struct hb_edns e = { .misses = 0 };
	int64_t now = 1000, rest = HB_EDNS_FIRST_REST_MS;
	const char *at = "efa+!";

	while (*at != '\0')
		step(&e, &at, now);
	for (int i = 0; i < 6; i++) {
		assert_false(hb_edns_next(&e, now + rest - 1));
		now += rest;
		assert_true(hb_edns_next(&e, now)); /* one alone */
		assert_false(hb_edns_next(&e, now));
		assert_false(hb_edns_heard(&e, true, false, HB_EDNS_TROUBLE,
		    now));
		rest = rest * 2 < HB_EDNS_LONGEST_REST_MS
		    ? rest * 2 : HB_EDNS_LONGEST_REST_MS;
	}
	now += rest;
	assert_true(hb_edns_next(&e, now));
	assert_true(hb_edns_heard(&e, true, false, HB_EDNS_GOOD, now));
	assert_false(hb_edns_is_missing(&e));
	assert_true(hb_edns_next(&e, now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_F_7_opt_is_left_out_when_it_is_the_trouble),
		cmocka_unit_test(test_F_7_opt_is_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
