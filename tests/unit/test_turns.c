/* Whose file of maildrop/ is next. */
#include "tests/unit/unit.h"

#include "queue/manager/turns.h"

static char name[Q_TURN_NAME];

static void
add(struct q_turns *t, uint32_t user, const char *prefix, unsigned n)
{
	char s[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(s, sizeof(s), "%s%u", prefix, i);
		assert_true(q_turns_add(t, user, s));
	}
}

static void
test_A_2_a_thousand_files_are_one_in_front(void **state)
{
	struct q_turns *t = q_turns_new();

	add(t, 1, "a", Q_TURNS_PER_USER);
	assert_false(q_turns_add(t, 1, "one.more"));
	assert_true(q_turns_add(t, 1, "a0")); /* known */
	add(t, 2, "b", 2);
	add(t, 3, "c", 1);
	assert_int_equal(q_turns_count(t), Q_TURNS_PER_USER + 3);
	for (const char *const *want = (const char *const[]){ "a0", "b0",
		 "c0", "a1", "b1", "a2", "a3", NULL }; *want != NULL; want++) {
		assert_true(q_turns_next(t, 0, name));
		assert_string_equal(name, *want);
	}
	assert_true(q_turns_add(t, 1, "one.more"));
	while (q_turns_next(t, 0, name))
		;
	assert_string_equal(name, "one.more");
	assert_int_equal(q_turns_wait(t, 0), -1);
	q_turns_free(&t);
}

static void
test_A_2_one_user_waits_for_his_rate(void **state)
{
	struct q_turns *t = q_turns_new();
	unsigned n = 0;

	q_turns_rate(t, 3, 1000);
	add(t, 1, "a", 8);
	while (q_turns_next(t, 5000, name))
		n++;
	assert_int_equal(n, 3);
	assert_int_equal(q_turns_wait(t, 5000), 334);
	/* nobody else does */
	add(t, 2, "b", 1);
	assert_int_equal(q_turns_wait(t, 5000), 0);
	assert_true(q_turns_next(t, 5000, name));
	assert_string_equal(name, "b0");
	assert_false(q_turns_next(t, 5333, name));
	assert_true(q_turns_next(t, 5334, name));
	assert_string_equal(name, "a3");
	assert_false(q_turns_next(t, 5334, name));
	for (n = 0; q_turns_next(t, 99999, name); n++)
		;
	assert_int_equal(n, 3);
	q_turns_rate(t, 0, 0);
	assert_true(q_turns_next(t, 99999, name));
	assert_string_equal(name, "a7");
	q_turns_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_A_2_a_thousand_files_are_one_in_front),
		cmocka_unit_test(test_A_2_one_user_waits_for_his_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
