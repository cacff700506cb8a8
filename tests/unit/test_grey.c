/* Greylisting as rules: who waits, how long, and what is remembered. */
#include "tests/unit/unit.h"

#include "queue/manager/grey.h"

#define MINUTE ((int64_t)60000)
#define DAY (24 * 60 * MINUTE)

static void
who_waits(void **state)
{
	static const int64_t now = 1000 * DAY;
	static const struct {
		const char *what;
		int64_t network_age, contact_age; /* -1: not seen */
		int64_t wait_ms;
		enum q_grey_note note;
	} rows[] = {
		{ "a first contact", -1, -1, MINUTE, Q_GREY_CONTACT },
		{ "at once again", -1, 0, MINUTE, Q_GREY_NOTHING },
		{ "too early", -1, MINUTE - 1, 1, Q_GREY_NOTHING },
		{ "in time", -1, MINUTE, 0, Q_GREY_NETWORK },
		{ "two days less 1", -1, 2 * DAY - 1, 0, Q_GREY_NETWORK },
		{ "forgotten", -1, 2 * DAY, MINUTE, Q_GREY_CONTACT },
		{ "known", 0, -1, 0, Q_GREY_NOTHING },
		{ "known, and another contact", DAY - 1, 0, 0,
		    Q_GREY_NOTHING },
		{ "known since a day", DAY, -1, 0, Q_GREY_NETWORK },
		{ "known for long", 365 * DAY - 1, -1, 0, Q_GREY_NETWORK },
		{ "long not seen", 365 * DAY, -1, MINUTE, Q_GREY_CONTACT },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct q_grey_seen seen = {
			rows[i].network_age < 0 ? 0 : now - rows[i].network_age,
			rows[i].contact_age < 0 ? 0 : now - rows[i].contact_age,
		};
		struct q_grey_verdict v = q_grey_judge(&seen, MINUTE, now);

		print_message("%s\n", rows[i].what);
		assert_int_equal(v.wait_ms, rows[i].wait_ms);
		assert_int_equal(v.note, rows[i].note);
	}
}

static void
contact(const char *addr, const char *sender, const char *rcpt,
    struct hb_buf *key)
{
	struct hb_netaddr a;

	assert_int_equal(hb_netaddr_parse(hb_span_str(addr), &a), 0);
	q_grey_contact(&a, hb_span_str(sender), hb_span_str(rcpt), key);
}

static void
which_contact(void **state)
{
	static const struct {
		const char *addr, *sender, *rcpt;
		bool same;
	} rows[] = {
		{ "192.0.2.250", "A@example.org", "B@example.com", true },
		{ "192.0.3.1", "a@example.org", "b@example.com", false },
		{ "192.0.2.1", "", "b@example.com", false },
		{ "192.0.2.1", "a@example.org", "c@example.com", false },
		{ "192.0.2.1", "a@example.orgb", "@example.com", false },
		{ "c000:200::", "a@example.org", "b@example.com", false },
	};
	struct hb_buf key = HB_BUF_INIT(0), other = HB_BUF_INIT(0);

	contact("192.0.2.1", "a@example.org", "b@example.com", &key);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		contact(rows[i].addr, rows[i].sender, rows[i].rcpt, &other);
		assert_int_equal(hb_span_eq(hb_buf_span(&key),
		    hb_buf_span(&other)), rows[i].same);
	}
	contact("2001:db8:1:2::1", "a@b", "c@d", &key);
	contact("2001:db8:1:2:ffff::2", "a@b", "c@d", &other);
	assert_true(hb_span_eq(hb_buf_span(&key), hb_buf_span(&other)));
	contact("2001:db8:1:3::1", "a@b", "c@d", &other);
	assert_false(hb_span_eq(hb_buf_span(&key), hb_buf_span(&other)));
	hb_buf_free(&key);
	hb_buf_free(&other);
}

static void
rows_of_the_store(void **state)
{
	static const int64_t times[] = { 1, 1795313700000, INT64_MAX };
	struct hb_buf value = HB_BUF_INIT(0), key = HB_BUF_INIT(0);
	struct hb_netaddr a = { .family = 4 };

	for (size_t i = 0; i < HB_ARRAY_LEN(times); i++) {
		q_grey_put(times[i], &value);
		assert_int_equal(q_grey_get(hb_buf_span(&value)), times[i]);
	}
	assert_int_equal(q_grey_get(hb_span_head(hb_buf_span(&value), 7)), 0);
	assert_int_equal(q_grey_get(HB_SPAN_NONE), 0);
	q_grey_contact(&a, HB_SPAN("a"), HB_SPAN("b"), &key);
	assert_false(q_grey_is_network(hb_buf_span(&key)));
	assert_false(q_grey_is_old(hb_buf_span(&key), 1, 2 * DAY));
	assert_true(q_grey_is_old(hb_buf_span(&key), 1, 2 * DAY + 1));
	q_grey_network(&a, &key);
	assert_true(q_grey_is_network(hb_buf_span(&key)));
	assert_false(q_grey_is_old(hb_buf_span(&key), 1, 365 * DAY));
	assert_true(q_grey_is_old(hb_buf_span(&key), 1, 365 * DAY + 1));
	assert_true(q_grey_is_old(hb_buf_span(&key), 0, 0));
	hb_buf_free(&value);
	hb_buf_free(&key);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits),
		cmocka_unit_test(which_contact),
		cmocka_unit_test(rows_of_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
