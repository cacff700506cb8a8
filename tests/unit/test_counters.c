/* Session counts shared by several processes. */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/io/penalty.h"

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
	struct hb_counters *parent, *w[2];
};

static struct pair
make_pair(void)
{
	struct pair p = { .parent = hb_counters_create(2, 100) };

	assert_non_null(p.parent);
	for (unsigned i = 0; i < 4; i++) {
		unsigned self = i / 2, part = i % 2 == 0 ? self : 1 - self;

		assert_int_equal(hb_counters_add(&p.w[self],
		    dup(hb_counters_fd(p.parent, part, self)),
		    hb_counters_size(p.parent), part, self), 0);
	}
	return p;
}

static void
free_pair(struct pair *p)
{
	hb_counters_free(&p->w[0]);
	hb_counters_free(&p->w[1]);
	hb_counters_free(&p->parent);
}

static void
total_is_over_all_workers(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(3, 100, 0);
	struct hb_netaddr a = addr("192.0.2.1");
	uint32_t slot, first;

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

	assert_int_equal(hb_counters_enter(p.w[1], &a, &c, 0, &slot), 0);
	assert_int_equal(hb_counters_enter(p.w[1], &b, &c, 0, &slot), 0);
	hb_counters_forget(p.parent, 1, false);
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
	struct hb_counters *parent = hb_counters_create(2, 100), *c = NULL;
	uint64_t size = hb_counters_size(parent);
	int pipes[2], own = hb_counters_fd(parent, 0, 0);

	assert_true(hb_counters_add(&c, dup(own), size - 1, 0, 0) < 0);
	assert_true(hb_counters_add(&c, dup(own), 8, 0, 0) < 0);
	assert_true(hb_counters_add(&c, dup(own), size, 256, 256) < 0);
	/* its own part comes first, and once */
	assert_true(hb_counters_add(&c, dup(own), size, 0, 1) < 0);
	assert_int_equal(hb_counters_add(&c, dup(own), size, 0, 0), 0);
	assert_true(hb_counters_add(&c, dup(own), size, 0, 0) < 0);
	hb_counters_free(&c);
	assert_int_equal(pwrite(own, "xxxx", 4, 0), 4);
	assert_true(hb_counters_add(&c, dup(own), size, 0, 0) < 0);
	assert_int_equal(pipe(pipes), 0);
	close(pipes[1]);
	assert_true(hb_counters_add(&c, pipes[0], size, 0, 0) < 0);
	assert_null(c);
	hb_counters_free(&parent);
	assert_null(hb_counters_create(0, 100));
	assert_null(hb_counters_create(1000, 100));
}

/* A listener that was taken over has the part of another as a file that it
 * can neither write nor map for writing, open again or cut short. */
static void
test_A_6_the_part_of_another_cannot_be_written(void **state)
{
	struct hb_counters *parent = hb_counters_create(2, 100);
	uint64_t size = hb_counters_size(parent);
	int own = hb_counters_fd(parent, 0, 0),
	    other = hb_counters_fd(parent, 1, 0);

	assert_true(pwrite(other, "x", 1, 0) < 0);
	assert_ptr_equal(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    other, 0), MAP_FAILED);
	assert_true(ftruncate(own, 0) < 0);
	assert_true(ftruncate(other, 0) < 0);
	assert_true(pwrite(own, "x", 1, (off_t)size - 1) == 1);
	hb_counters_free(&parent);
}

/* What it writes into its own part closes nobody's sums over. */
static void
test_A_6_a_scribbled_part_is_bounded(void **state)
{
	struct pair p = make_pair();
	struct hb_conf c = limits(1 << 30, 1 << 30, 0);
	struct hb_netaddr a = addr("192.0.2.1");
	unsigned char *bytes = mmap(NULL, hb_counters_size(p.parent),
	    PROT_READ | PROT_WRITE, MAP_SHARED,
	    hb_counters_fd(p.parent, 1, 1), 0);
	struct hb_try t = { HB_TRY_LOGIN, &a, HB_SPAN("u") };
	uint32_t slot;
	int64_t ms;

	assert_ptr_not_equal(bytes, MAP_FAILED);
	memset(bytes, 0xff, hb_counters_size(p.parent));
	assert_int_equal(hb_counters_enter(p.w[0], &a, &c, 0, &slot), 0);
	assert_true(hb_counters_sessions(p.w[0]) > 1);
	ms = hb_penalty_begin(p.w[0], &t, 0);
	assert_true(ms >= 0 && ms <= 45000);
	munmap(bytes, hb_counters_size(p.parent));
	hb_counters_forget(p.parent, 1, true);
	assert_int_equal(hb_counters_sessions(p.w[0]), 1);
	hb_penalty_end(p.w[0], &t, HB_TRY_OPEN, 0);
	assert_int_equal(hb_penalty_begin(p.w[0], &t, 0), 0);
	free_pair(&p);
}

/* --- patience with strangers --- */

/* One login after the other, each at the moment that its turn was; returns
 * when the next could come. */
static int64_t
guess(struct hb_counters *c, struct hb_try *t, unsigned n, int64_t now)
{
	for (unsigned i = 0; i < n; i++) {
		int64_t ms = hb_penalty_begin(c, t, now);

		assert_true(ms >= 0);
		now += ms;
		hb_penalty_end(c, t, HB_TRY_BAD, now);
	}
	return now;
}

static void
test_A_4_guesses_are_slower_and_slower(void **state)
{
	static const int64_t want[] = { 0, 0, 0, 1000, 2000, 4000, 8000,
		16000, 30000, 30000, 30000 };
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1");
	struct hb_try t = { HB_TRY_LOGIN, &a, HB_SPAN("u") };
	int64_t now = 1000000;

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		/* another process has its part in it */
		int64_t next = guess(p.w[i % 2], &t, 1, now);

		assert_int_equal(next - now, want[i]);
		now = next;
	}
	/* it is forgotten with time */
	now += 3600000 + 900000;
	assert_int_equal(hb_penalty_begin(p.w[0], &t, now), 0);
	free_pair(&p);
}

/* BAD recipients were refused and N are not answered: one more is free beside
 * them when it would be free after them, were they refused, too. */
static void
test_A_7_free_beside_others(void **state)
{
	struct hb_netaddr a = addr("192.0.2.1");
	struct hb_try t = { HB_TRY_RCPT, &a, HB_SPAN_NONE };

	for (unsigned bad = 0; bad < 24; bad++)
		for (unsigned n = 1; n < 24; n++) {
			struct pair p = make_pair();
			bool is_free;

			for (unsigned i = 0; i < bad; i++) {
				(void)!hb_penalty_begin(p.w[i % 2], &t, 1000);
				hb_penalty_end(p.w[i % 2], &t, HB_TRY_BAD,
				    1000);
			}
			for (unsigned i = 0; i < n; i++)
				(void)!hb_penalty_begin(p.w[0], &t, 1000);
			is_free = hb_penalty_is_free(p.w[0], &t, n, 1000);
			for (unsigned i = 0; i < n; i++)
				hb_penalty_end(p.w[0], &t, HB_TRY_BAD, 1000);
			assert_int_equal(is_free,
			    hb_penalty_begin(p.w[0], &t, 1000) == 0);
			free_pair(&p);
		}
}

/* Fifty sessions at once over two processes: no faster than one. */
static void
test_A_4_parallel_guesses_wait_for_each_other(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1");
	struct hb_try t = { HB_TRY_LOGIN, &a, HB_SPAN("u") };
	int64_t now = guess(p.w[0], &t, 9, 1000000);
	unsigned begun = 0;

	for (unsigned i = 0; i < 50; i++) {
		int64_t ms = hb_penalty_begin(p.w[i % 2], &t, now);

		if (ms < 0)
			continue;
		assert_true(ms >= 30000 * (int64_t)(begun + 1));
		begun++;
	}
	assert_int_equal(begun, 1); /* a second one would wait too long */
	free_pair(&p);
}

static void
test_A_4_a_fresh_burst_is_bounded(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1");
	struct hb_try t = { HB_TRY_LOGIN, &a, HB_SPAN("u") };
	unsigned at_once = 0;

	for (unsigned i = 0; i < 50; i++)
		if (hb_penalty_begin(p.w[i % 2], &t, 1000000) == 0)
			at_once++;
	assert_true(at_once >= 3 && at_once <= 12);
	free_pair(&p);
}

/* Many networks guess at one login: they have their turn one after the
 * other; who logged in before from his network does not notice. */
static void
test_A_4_a_botnet_does_not_lock_the_owner_out(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr home = addr("198.51.100.7"),
			  moved = addr("198.51.100.99"), bot = addr("10.0.0.1");
	struct hb_try owner = { HB_TRY_LOGIN, &home, HB_SPAN("Alice") },
		      t = { HB_TRY_LOGIN, &bot, HB_SPAN("alice") };
	int64_t now = 1000000;
	unsigned begun = 0;

	assert_int_equal(hb_penalty_begin(p.w[0], &owner, now), 0);
	hb_penalty_end(p.w[0], &owner, HB_TRY_DONE, now);
	for (unsigned i = 0; i < 5000; i++) {
		bot.b[1] = (uint8_t)(i >> 8);
		bot.b[2] = (uint8_t)i;
		if (hb_penalty_begin(p.w[i % 2], &t, now) < 0)
			continue;
		begun++;
		hb_penalty_end(p.w[i % 2], &t, HB_TRY_BAD, now);
	}
	assert_true(begun < 30);
	owner.client = &moved; /* of the same network, at another process */
	assert_int_equal(hb_penalty_begin(p.w[1], &owner, now), 0);
	free_pair(&p);
}

/* A broken device at home slows its own login, nobody else's there. */
static void
test_A_4_a_known_login_has_its_own_count(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("198.51.100.7");
	struct hb_try broken = { HB_TRY_LOGIN, &a, HB_SPAN("printer") },
		      other = { HB_TRY_LOGIN, &a, HB_SPAN("bob") };
	int64_t now = 1000000;

	assert_int_equal(hb_penalty_begin(p.w[0], &broken, now), 0);
	hb_penalty_end(p.w[0], &broken, HB_TRY_DONE, now);
	now = guess(p.w[0], &broken, 12, now);
	assert_true(hb_penalty_begin(p.w[0], &broken, now) != 0);
	assert_int_equal(hb_penalty_begin(p.w[0], &other, now), 0);
	free_pair(&p);
}

/* New IPv6 addresses without end: of one /64, and of one /48. */
static void
test_A_4_a_flood_of_addresses_wins_nothing(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("2001:db8:0:1::1"), bad = a;
	struct hb_try t = { HB_TRY_LOGIN, &a, HB_SPAN("u") },
		      own = { HB_TRY_LOGIN, &bad, HB_SPAN("v") };
	int64_t now = guess(p.w[0], &own, 9, 1000000);
	unsigned begun = 0;

	for (unsigned i = 0; i < 20000; i++) {
		int64_t ms;

		a.b[7] = (uint8_t)i;
		a.b[6] = (uint8_t)(i >> 8);
		a.b[15] = (uint8_t)(i >> 3);
		t.login = hb_span(&i, sizeof(i)); /* never the same */
		ms = hb_penalty_begin(p.w[0], &t, now);
		if (ms < 0)
			continue;
		begun++;
		hb_penalty_end(p.w[0], &t, HB_TRY_BAD, now);
	}
	assert_true(begun < 60);
	assert_true(hb_penalty_begin(p.w[0], &own, now) != 0);
	free_pair(&p);
}

/* One address that has to wait long makes its neighbours, and those who log
 * in by the same name, wait no longer than their own counts say. */
static void
test_A_22_a_long_wait_is_nobody_elses(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr bad = addr("192.0.2.1"), near = addr("192.0.2.9"),
			  far = addr("198.51.100.7");
	struct hb_try guesser = { HB_TRY_LOGIN, &bad, HB_SPAN("bob") },
		      neighbour = { HB_TRY_LOGIN, &near, HB_SPAN("eve") },
		      owner = { HB_TRY_LOGIN, &far, HB_SPAN("bob") };
	int64_t now = guess(p.w[0], &guesser, 60, 1000000);

	assert_int_equal(hb_penalty_begin(p.w[0], &guesser, now), 30000);
	assert_in_range(hb_penalty_begin(p.w[0], &neighbour, now), 0, 10000);
	assert_in_range(hb_penalty_begin(p.w[0], &owner, now), 0, 10000);
	free_pair(&p);
}

static void
test_A_7_dictionaries_are_slow_across_sessions(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
	struct hb_try t = { HB_TRY_RCPT, &a, HB_SPAN_NONE },
		      other = { HB_TRY_RCPT, &b, HB_SPAN_NONE },
		      login = { HB_TRY_LOGIN, &a, HB_SPAN("u") };
	int64_t now = 1000000;

	assert_int_equal(guess(p.w[0], &t, 20, now), now);
	now = guess(p.w[1], &t, 1, now);
	assert_int_equal(now, 1000000 + 500);
	now = guess(p.w[1], &t, 20, now);
	assert_true(hb_penalty_begin(p.w[0], &t, now) == 5000);
	assert_int_equal(hb_penalty_begin(p.w[0], &other, now), 0);
	assert_int_equal(hb_penalty_begin(p.w[0], &login, now), 0);
	free_pair(&p);
}

/* Good recipients never add up. */
static void
test_A_7_a_mail_server_is_not_slow(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1");
	struct hb_try t = { HB_TRY_RCPT, &a, HB_SPAN_NONE };

	for (unsigned i = 0; i < 10000; i++) {
		assert_int_equal(hb_penalty_begin(p.w[0], &t, 1000000), 0);
		hb_penalty_end(p.w[0], &t, i % 1000 == 0 ? HB_TRY_BAD
							  : HB_TRY_DONE,
		    1000000);
	}
	free_pair(&p);
}

/* A customer of a large provider guesses, while others there write mail; who
 * guesses more than he writes gains little. */
static void
test_A_28_mail_pays_for_refused_recipients(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
	struct hb_try many = { HB_TRY_RCPT, &a, HB_SPAN_NONE },
		      few = { HB_TRY_RCPT, &b, HB_SPAN_NONE };
	int64_t now = 1000000;

	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(guess(p.w[i % 2], &many, 1, now), now);
		for (unsigned k = 0; k < 10; k++)
			hb_penalty_end(p.w[k % 2], &many, HB_TRY_MAIL, now);
	}
	for (unsigned i = 0; i < 100; i++) {
		now = guess(p.w[0], &few, 5, now);
		hb_penalty_end(p.w[0], &few, HB_TRY_MAIL, now);
	}
	assert_true(hb_penalty_begin(p.w[0], &few, now) == 5000);
	free_pair(&p);
}

static void
test_A_12_handshakes_of_one_address_have_a_rate(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2");
	struct hb_try t = { HB_TRY_TLS, &a, HB_SPAN_NONE },
		      other = { HB_TRY_TLS, &b, HB_SPAN_NONE };
	int64_t last = 0;

	for (unsigned i = 0; i < 60; i++) {
		int64_t ms = hb_penalty_begin(p.w[i % 2], &t, 1000000);

		assert_true(ms >= last);
		last = ms;
	}
	assert_int_equal(last, 40 * 50);
	assert_int_equal(hb_penalty_begin(p.w[0], &other, 1000000), 0);
	/* and at that rate nobody waits longer and longer */
	assert_int_equal(hb_penalty_begin(p.w[0], &t, 1000000 + 5000), 0);
	free_pair(&p);
}

static bool
is_greeted(struct hb_counters *c, const struct hb_netaddr *a, int64_t now_ms)
{
	struct hb_try t = { HB_TRY_SESSION, a, HB_SPAN_NONE };

	return hb_penalty_is_free(c, &t, 0, now_ms);
}

static void
test_NET_01_errors_of_sessions_keep_an_address_out(void **state)
{
	struct pair p = make_pair();
	struct hb_netaddr a = addr("192.0.2.1"), b = addr("192.0.2.2"),
			  c = addr("198.51.100.1");
	int64_t now = 1000000;

	for (unsigned i = 0; i < 5; i++) {
		assert_true(is_greeted(p.w[0], &a, now));
		hb_penalty_session(p.w[i % 2], &a, now);
	}
	assert_false(is_greeted(p.w[0], &a, now));
	assert_false(is_greeted(p.w[1], &a, now));
	assert_true(is_greeted(p.w[0], &b, now));
	assert_true(is_greeted(p.w[0], &a, now + 60000));
	/* what one address does counts for its network at last */
	for (unsigned i = 0; i < 60; i++)
		hb_penalty_session(p.w[0], &a, now);
	assert_false(is_greeted(p.w[1], &b, now));
	assert_true(is_greeted(p.w[1], &c, now));
	/* and is over in twenty minutes, however much it was */
	assert_true(is_greeted(p.w[1], &a, now + 900000 + 300000));
	free_pair(&p);
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
		cmocka_unit_test(test_A_6_the_part_of_another_cannot_be_written),
		cmocka_unit_test(test_A_6_a_scribbled_part_is_bounded),
		cmocka_unit_test(test_A_4_guesses_are_slower_and_slower),
		cmocka_unit_test(test_A_7_free_beside_others),
		cmocka_unit_test(test_A_4_parallel_guesses_wait_for_each_other),
		cmocka_unit_test(test_A_4_a_fresh_burst_is_bounded),
		cmocka_unit_test(test_A_4_a_botnet_does_not_lock_the_owner_out),
		cmocka_unit_test(test_A_4_a_known_login_has_its_own_count),
		cmocka_unit_test(test_A_4_a_flood_of_addresses_wins_nothing),
		cmocka_unit_test(test_A_22_a_long_wait_is_nobody_elses),
		cmocka_unit_test(test_A_7_dictionaries_are_slow_across_sessions),
		cmocka_unit_test(test_A_7_a_mail_server_is_not_slow),
		cmocka_unit_test(test_A_28_mail_pays_for_refused_recipients),
		cmocka_unit_test(test_NET_01_errors_of_sessions_keep_an_address_out),
		cmocka_unit_test(test_A_12_handshakes_of_one_address_have_a_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
