/*
 * The channel decision over all its facts: what must hold for every one of
 * them, said without looking at how the decision is made.  STS-01, STS-24 to
 * STS-28, DANE-08 to DANE-10, DANE-17, RTLS-03, RTLS-04, RTLS-07, RTLS-11.
 */
#include "tests/unit/unit.h"

#include "sts/decide.h"

enum { NOW = 1000, LEVELS = HB_TLS_DANE + 1 };

static struct hb_span listed[] = { HB_SPAN("mx.example") };
static const struct sts_policy policies[] = {
	{ .mode = STS_MODE_ENFORCE, .expires_ms = NOW + 1, .mx = listed,
	    .nmx = 1 },
	{ .mode = STS_MODE_TESTING, .expires_ms = NOW + 1, .mx = listed,
	    .nmx = 1 },
	{ .mode = STS_MODE_NONE, .expires_ms = NOW + 1, .mx = listed,
	    .nmx = 1 },
	{ .mode = STS_MODE_ENFORCE, .expires_ms = NOW, .mx = listed,
	    .nmx = 1 },
};
enum { POLICIES = HB_ARRAY_LEN(policies) + 1 /* none */ };
static const char *const names[] = { "mx.example", "mx.evil.example" };

#define CERT(c, ok)                                                            \
	{                                                                      \
		.state = HB_TLSF_DONE, .version = 13, .chain = HB_CHAIN_##c,   \
		.name_ok = (ok)                                                \
	}
#define TLSA(m, dig)                                                           \
	{                                                                      \
		.state = HB_TLSF_DONE, .version = 13, .dane = HB_DANE_##m,     \
		.dane_digest = (dig)                                           \
	}
static const struct hb_tls_facts sessions[] = {
	{ .state = HB_TLSF_UNKNOWN },
	{ .state = HB_TLSF_NOT_OFFERED },
	{ .state = HB_TLSF_REFUSED },
	{ .state = HB_TLSF_INJECTED },
	{ .state = HB_TLSF_FAILED },
	{ .state = HB_TLSF_DONE, .version = 11, .chain = HB_CHAIN_OK,
	    .name_ok = true },
	CERT(OK, true),
	CERT(OK, false),
	CERT(SELF_SIGNED, true),
	CERT(UNTRUSTED, true),
	CERT(EXPIRED, true),
	CERT(NONE, false),
	TLSA(EE, 7),
	TLSA(TA, 7),
	TLSA(NO, 7),
	TLSA(EE, 8),
};

/* One case of all. */
struct all {
	struct sts_channel ch;
	struct sts_host host;
	struct hb_dane dane;
	struct hb_tls_facts facts;
};

/* The next digit of a number whose digits count the choices. */
static unsigned
digit(unsigned *n, unsigned base)
{
	unsigned d = *n % base;

	*n /= base;
	return d;
}

/* False when I is past the last case. */
static bool
make(unsigned i, struct all *a)
{
	unsigned policy;

	*a = (struct all){ 0 };
	a->facts = sessions[digit(&i, HB_ARRAY_LEN(sessions))];
	a->facts.requiretls = digit(&i, 2);
	a->dane.state = (enum hb_dane_state)digit(&i, HB_DANE_STATE_COUNT);
	a->dane.base = "mx.example";
	a->dane.digest = 7;
	a->ch.level = (enum hb_tls_level)digit(&i, LEVELS);
	policy = digit(&i, POLICIES);
	if (policy > 0)
		a->ch.policy = &policies[policy - 1];
	a->host.name = names[digit(&i, HB_ARRAY_LEN(names))];
	(void)snprintf(a->facts.reference, sizeof(a->facts.reference), "%s",
	    a->host.name);
	a->ch.demand_verified = digit(&i, 2);
	a->ch.require_tls = digit(&i, 2);
	a->ch.tls_optional = digit(&i, 2) && !a->ch.require_tls;
	a->ch.mx_secure = digit(&i, 2);
	a->ch.mta_sts_off = digit(&i, 2);
	a->ch.dane_off = digit(&i, 2);
	a->ch.memory = digit(&i, 2) ? HB_DOWNGRADE_DEFER : HB_DOWNGRADE_OFF;
	a->host.best = digit(&i, 2) ? HB_RANK_TLS : HB_RANK_NONE;
	return i == 0;
}

static struct sts_verdict
judge(struct all *a)
{
	a->host.dane = &a->dane;
	return sts_decide_tls(&a->ch, &a->host, &a->facts, NOW);
}

static bool
is_encrypted(const struct all *a)
{
	return a->facts.state == HB_TLSF_DONE && a->facts.version >= 12;
}

static bool
is_dane(const struct all *a)
{
	return is_encrypted(a) && a->dane.state == HB_DANE_USABLE &&
	       (a->facts.dane == HB_DANE_EE || a->facts.dane == HB_DANE_TA) &&
	       a->facts.dane_digest == a->dane.digest;
}

static bool
is_verified(const struct all *a)
{
	return is_encrypted(a) && a->facts.chain == HB_CHAIN_OK &&
	       a->facts.name_ok;
}

static bool
is_listed(const struct all *a)
{
	return strcmp(a->host.name, "mx.example") == 0;
}

static bool
is_enforced(const struct all *a)
{
	return a->ch.policy == &policies[0] && !a->ch.mta_sts_off;
}

static bool
is_automatic(const struct all *a)
{
	return a->ch.level == HB_TLS_MAY && !a->ch.demand_verified;
}

/* What must be true of a channel that a message may go over. */
static void
check_published(const struct all *a)
{
	bool dane = !a->ch.dane_off && a->dane.state == HB_DANE_USABLE;

	if (!is_automatic(a) || a->ch.tls_optional)
		return;
	if (dane)
		assert_true(is_dane(a));
	else if (is_enforced(a))
		assert_true(is_verified(a) && is_listed(a));
	if (!a->ch.dane_off && a->dane.state == HB_DANE_UNUSABLE)
		assert_true(is_encrypted(a));
	if (!a->ch.dane_off)
		assert_true(a->dane.state != HB_DANE_ERROR &&
			    a->dane.state != HB_DANE_UNPROBED);
}

static void
check_operator(const struct all *a)
{
	if (a->ch.demand_verified || a->ch.level == HB_TLS_VERIFY)
		assert_true(is_verified(a) || is_dane(a));
	if (a->ch.level == HB_TLS_VERIFY)
		assert_true(is_verified(a));
	if (a->ch.level == HB_TLS_ENCRYPT)
		assert_true(is_encrypted(a));
	if (a->ch.level == HB_TLS_STS)
		assert_true(is_verified(a) && is_enforced(a) && is_listed(a));
	if (a->ch.level == HB_TLS_DANE)
		assert_true(is_dane(a) && !a->ch.dane_off);
	if (a->ch.memory == HB_DOWNGRADE_DEFER && is_automatic(a) &&
	    a->host.best == HB_RANK_TLS)
		assert_true(is_encrypted(a));
}

static void
check_requiretls(const struct all *a)
{
	if (!a->ch.require_tls)
		return;
	assert_true(a->facts.requiretls);
	assert_true(is_verified(a) || is_dane(a));
	assert_true(a->ch.mx_secure || (is_enforced(a) && is_listed(a)));
}

static void
what_goes_out_is_as_secure_as_all_demand(void **state)
{
	struct all a;
	unsigned i = 0, went = 0;

	for (; make(i, &a); i++) {
		if (judge(&a).action != STS_PROCEED)
			continue;
		went++;
		assert_int_not_equal(a.facts.state, HB_TLSF_INJECTED);
		check_published(&a);
		check_operator(&a);
		check_requiretls(&a);
	}
	print_message("%u of %u cases go out\n", went, i);
	assert_true(went > 0 && went < i);
}

/* The name alone is never judged harder than name and session. */
static void
no_host_is_connected_to_in_vain(void **state)
{
	struct all a;

	for (unsigned i = 0; make(i, &a); i++) {
		bool went = judge(&a).action == STS_PROCEED;

		if (went)
			assert_int_equal(
			    sts_decide_mx(&a.ch, &a.host, NOW).action,
			    STS_PROCEED);
	}
}

/* RTLS-07, RTLS-11: one only lowers, the other only raises. */
static void
senders_words_go_one_way(void **state)
{
	struct all a;

	for (unsigned i = 0; make(i, &a); i++) {
		bool went = judge(&a).action == STS_PROCEED;

		if (a.ch.tls_optional) {
			bool by_operator = !is_automatic(&a);

			a.ch.tls_optional = false;
			if (judge(&a).action == STS_PROCEED)
				assert_true(went);
			else if (by_operator)
				assert_false(went);
		} else if (a.ch.require_tls && went) {
			a.ch.require_tls = false;
			assert_int_equal(judge(&a).action, STS_PROCEED);
		}
	}
}

/* STS-27, STS-28: testing and none never let out what none at all stops, and
 * stop nothing that it lets out. */
static void
testing_changes_nothing(void **state)
{
	struct all a;

	for (unsigned i = 0; make(i, &a); i++) {
		bool went;

		if ((a.ch.policy != &policies[1] &&
			a.ch.policy != &policies[2]) ||
		    a.ch.level == HB_TLS_STS)
			continue;
		went = judge(&a).action == STS_PROCEED;
		a.ch.policy = NULL;
		assert_int_equal(went, judge(&a).action == STS_PROCEED);
	}
}

/* Every verdict says why, and one that stops is for now: none is final. */
static void
every_verdict_has_a_reason(void **state)
{
	struct all a;

	for (unsigned i = 0; make(i, &a); i++) {
		struct sts_verdict v = judge(&a);

		assert_int_not_equal(v.reason, HB_REASON_NONE);
		assert_non_null(v.sts_word);
		if (v.action == STS_SKIP)
			assert_int_equal(v.report, v.reason);
		else
			assert_false(v.settled);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_out_is_as_secure_as_all_demand),
		cmocka_unit_test(no_host_is_connected_to_in_vain),
		cmocka_unit_test(senders_words_go_one_way),
		cmocka_unit_test(testing_changes_nothing),
		cmocka_unit_test(every_verdict_has_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
