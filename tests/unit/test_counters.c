/* Session counts shared by several processes. */
#include "unit.h"

#include "common/io/counters.h"

static struct hb_conf limits(unsigned total, unsigned client, unsigned rate)
{
	struct hb_conf c = { .max_sessions = total,
		.max_sessions_per_client = client };

	c.max_rate_per_client = (struct hb_rate){ rate, 60000 };
	return c;
}

static struct hb_netaddr
addr(const char *s)
{
	struct hb_netaddr a;

	assert_int_equal(hb_netaddr_parse(hb_span_str(s), &a), 0);
	return a;
}

/* Two workers over one table, as after COUNTERS. */
struct pair {
	struct hb_counters *w[2];
};

static struct pair
make_pair(void)
{
	struct pair p;
	uint64_t size = 0;
	int fd = hb_counters_create(2, 100, &size);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < 2; i++) {
		p.w[i] = hb_counters_map(dup(fd), size, i);
		assert_non_null(p.w[i]);
	}
	close(fd);
	return p;
}

static void
free_pair(struct pair *p)
{
	hb_counters_unmap(&p->w[0]);
	hb_counters_unmap(&p->w[1]);
}

static void
total_is_over_all_workers(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(3, 100, 0);
	struct hb_netaddr a = addr("192.0.2.1");
	uint32_t slot, first;

	(void)state;
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &first), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &a, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &a, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &slot),
	    HB_ADMIT_TOTAL);
	assert_int_equal(hb_counters_sessions(p.w[0]), 3);
	hb_counters_leave(p.w[0], first);
	assert_int_equal(hb_counters_enter(p.w[1], &a, &c, 0, &slot), 0);
	free_pair(&p);
}

static void
client_is_an_address_or_a_v6_network(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(100, 1, 0);
	struct hb_netaddr a = addr("2001:db8:0:1::1"),
			  same = addr("2001:db8:0:1:ffff::9"),
			  other = addr("2001:db8:0:2::1"),
			  none = { .family = 0 };
	uint32_t slot, held;

	(void)state;
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &held), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &same, &c, 0, &slot),
	    HB_ADMIT_CLIENT);
	assert_int_equal(hb_counters_enter(p.w[1], &other, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &none, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &none, &c, 0, &slot), 0);
	hb_counters_leave(p.w[0], held);
	assert_int_equal(hb_counters_enter(p.w[1], &same, &c, 0, &slot), 0);
	free_pair(&p);
}

static void
rate_counts_in_its_window(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(100, 100, 2);
	struct hb_netaddr a = addr("192.0.2.1");
	uint32_t slot;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hb_counters_enter(p.w[i], &a, &c, 60000,
				     &slot), 0);
		hb_counters_leave(p.w[i], slot);
	}
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 119999, &slot),
	    HB_ADMIT_RATE);
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 120000, &slot), 0);
	free_pair(&p);
}

/* A minute that begins by the clock would let twice as many in. */
static void
a_burst_is_not_cut_in_two(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(100, 100, 2);
	struct hb_netaddr a = addr("192.0.2.1");
	uint32_t slot;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(hb_counters_enter(p.w[i], &a, &c, 119990 + i,
				     &slot), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(hb_counters_enter(p.w[i], &a, &c, 120010,
				     &slot), HB_ADMIT_RATE);
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 179995, &slot), 0);
	free_pair(&p);
}

static void
a_dead_worker_is_forgotten(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(2, 1, 0);
	struct hb_netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
	uint32_t slot;

	(void)state;
	assert_int_equal(hb_counters_enter(p.w[1], &a, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &b, &c, 0, &slot), 0);
	hb_counters_forget(p.w[0], 1);
	assert_int_equal(hb_counters_sessions(p.w[0]), 0);
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &slot), 0);
	free_pair(&p);
}

static void
many_clients_fit(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(100000, 1, 0);
	struct hb_netaddr a = addr("10.0.0.0");
	uint32_t slot;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		a.b[2] = (uint8_t)(i >> 8);
		a.b[3] = (uint8_t)i;
		assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &slot),
		    0);
	}
	assert_int_equal(hb_counters_sessions(p.w[1]), 5000);
	free_pair(&p);
}

static void
a_strange_table_is_refused(void **state)
{
	uint64_t size = 0;
	int fd = hb_counters_create(2, 100, &size), pipes[2];

	(void)state;
	assert_null(hb_counters_map(dup(fd), size - 1, 0));
	assert_null(hb_counters_map(dup(fd), 8, 0));
	assert_null(hb_counters_map(dup(fd), size, 2));
	assert_int_equal(pwrite(fd, "xxxx", 4, 0), 4);
	assert_null(hb_counters_map(fd, size, 0));
	assert_int_equal(pipe(pipes), 0);
	close(pipes[1]);
	assert_null(hb_counters_map(pipes[0], size, 0));
	assert_true(hb_counters_create(0, 100, &size) < 0);
	assert_true(hb_counters_create(1000, 100, &size) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(total_is_over_all_workers),
		cmocka_unit_test(client_is_an_address_or_a_v6_network),
		cmocka_unit_test(rate_counts_in_its_window),
		cmocka_unit_test(a_burst_is_not_cut_in_two),
		cmocka_unit_test(a_dead_worker_is_forgotten),
		cmocka_unit_test(many_clients_fit),
		cmocka_unit_test(a_strange_table_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
