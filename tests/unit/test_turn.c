/* The clocks of a loop, on a machine that sleeps: the kernel's are played. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <time.h>

#include "common/io/loop.h"

#define HOUR (INT64_C(60) * 60 * 1000)
#define DAY (24 * HOUR)

static struct {
	int64_t awake_ms, asleep_ms;
	bool has_boottime;
} machine;

/* In place of libc's. */
int clock_gettime(clockid_t id, struct timespec *ts);

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ms = machine.awake_ms;

	if (id == CLOCK_BOOTTIME && !machine.has_boottime) {
		errno = EINVAL;
		return -1;
	}
	if (id == CLOCK_BOOTTIME || id == CLOCK_REALTIME)
		ms += machine.asleep_ms;
	*ts = (struct timespec){ .tv_sec = (time_t)(ms / 1000),
		.tv_nsec = ms % 1000 * 1000000 };
	return 0;
}

static int
start(bool has_boottime)
{
	machine.awake_ms += HOUR;
	machine.has_boottime = has_boottime;
	hb_clock_refresh();
	return 0;
}

static int
setup(void **state)
{
	return start(true);
}

static int
setup_without(void **state)
{
	return start(false);
}

static void
go_on(int64_t awake_ms, int64_t asleep_ms)
{
	machine.awake_ms += awake_ms;
	machine.asleep_ms += asleep_ms;
	hb_clock_refresh();
}

/* What the three clocks made of it. */
static void
expect(int64_t awake_ms, int64_t asleep_ms, int64_t mono, int64_t boot,
    int64_t age)
{
	int64_t mono_was = hb_mono_ms(), boot_was = hb_boot_ms();
	int64_t age_was = hb_age_ms();

	go_on(awake_ms, asleep_ms);
	assert_int_equal(hb_mono_ms() - mono_was, mono);
	assert_int_equal(hb_boot_ms() - boot_was, boot);
	assert_int_equal(hb_age_ms() - age_was, age);
}

static void
what_sleeps_grows_older(void **state)
{
	expect(7, 0, 7, 7, 7);
	expect(1, 3 * HOUR, 1, 3 * HOUR + 1, 3 * HOUR + 1);
	expect(0, DAY, 0, DAY, DAY);
	/* several sleeps, each of them counts */
	expect(5, DAY, 5, DAY + 5, DAY + 5);
}

/* Nothing could be tried meanwhile. */
static void
a_long_sleep_counts_for_a_day(void **state)
{
	expect(0, DAY + 1, 0, DAY + 1, DAY);
	expect(9, 300 * DAY, 9, 300 * DAY + 9, DAY + 9);
	expect(9, HOUR, 9, HOUR + 9, HOUR + 9);
}

static void
a_lab_adds_to_ages(void **state)
{
	hb_clock_set_ahead(9 * DAY);
	expect(7, HOUR, 7, HOUR + 7, HOUR + 7);
	assert_int_equal(hb_age_ms() >= 9 * DAY, true);
	hb_clock_set_ahead(0);
}

static void
without_boottime_the_monotonic_clock_does(void **state)
{
	expect(7, 0, 7, 7, 7);
	expect(7, HOUR, 7, 7, 7);
	assert_int_equal(hb_boot_ms(), hb_mono_ms());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		/* first: no clock was read before */
		cmocka_unit_test_setup(
		    without_boottime_the_monotonic_clock_does, setup_without),
		cmocka_unit_test_setup(what_sleeps_grows_older, setup),
		cmocka_unit_test_setup(a_long_sleep_counts_for_a_day, setup),
		cmocka_unit_test_setup(a_lab_adds_to_ages, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
