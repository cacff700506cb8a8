/* The channel decision: STS-22, STS-24 to STS-31, STS-34, operator's word. */
#include "tests/unit/unit.h"

#include "sts/decide.h"

enum { NOW = 1000 };

static struct hb_span patterns[] = { HB_SPAN("mx.example"),
	HB_SPAN("*.wild.example") };

#define POLICY(m, expires)                                                     \
	{                                                                      \
		.mode = (m), .max_age_s = 1, .expires_ms = (expires),          \
		.mx = patterns, .nmx = HB_ARRAY_LEN(patterns)                  \
	}
static const struct sts_policy enforce = POLICY(STS_MODE_ENFORCE, NOW + 1),
			       testing = POLICY(STS_MODE_TESTING, NOW + 1),
			       none = POLICY(STS_MODE_NONE, NOW + 1),
			       expired = POLICY(STS_MODE_ENFORCE, NOW),
			       old_testing = POLICY(STS_MODE_TESTING, NOW);

#define FACTS(st, ch, ok, ver)                                                 \
	{                                                                      \
		.state = HB_TLSF_##st, .chain = HB_CHAIN_##ch,                 \
		.name_ok = (ok), .version = (ver)                              \
	}
static const struct hb_tls_facts good = FACTS(DONE, OK, true, 13),
				 good12 = FACTS(DONE, OK, true, 12),
				 old = FACTS(DONE, OK, true, 11),
				 unknown = FACTS(UNKNOWN, NONE, false, 0),
				 no_offer = FACTS(NOT_OFFERED, NONE, false, 0),
				 refused = FACTS(REFUSED, NONE, false, 0),
				 injected = FACTS(INJECTED, NONE, false, 0),
				 failed = FACTS(FAILED, NONE, false, 0),
				 no_cert = FACTS(DONE, NONE, false, 13),
				 untrusted = FACTS(DONE, UNTRUSTED, true, 13),
				 self_signed =
				     FACTS(DONE, SELF_SIGNED, true, 13),
				 past = FACTS(DONE, EXPIRED, true, 13),
				 wrong_name = FACTS(DONE, OK, false, 13);

struct row {
	const char *name;
	enum hb_tls_level level;
	bool url; /* the route demands verified TLS */
	const struct sts_policy *policy;
	const char *mx;
	const struct hb_tls_facts *facts; /* NULL: before connecting */
	enum sts_action action;
	enum hb_reason reason, report;
	const char *word;
};

#define R(x) HB_REASON_##x
#define SKIPS(x) STS_SKIP, R(x), R(x)
#define DEFERS(x) STS_DEFER, R(x), R(x)
#define GOES(x) STS_PROCEED, R(x), R(NONE)
#define GOES_WITH(x, y) STS_PROCEED, R(x), R(y)

static void
check_row(const struct row *r, const struct sts_channel *ch)
{
	struct hb_tls_facts f;
	struct sts_verdict v;

	print_message("%s\n", r->name);
	if (r->facts == NULL) {
		v = sts_decide_mx(ch, r->mx, NOW);
	} else {
		f = *r->facts;
		if (f.reference[0] == '\0')
			snprintf(f.reference, sizeof(f.reference), "%s", r->mx);
		v = sts_decide_tls(ch, r->mx, &f, NOW);
	}
	assert_int_equal(v.action, r->action);
	assert_string_equal(
	    hb_reason_word(v.reason), hb_reason_word(r->reason));
	assert_string_equal(
	    hb_reason_word(v.report), hb_reason_word(r->report));
	assert_string_equal(v.sts_word, r->word);
}

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct sts_channel ch = {
			.level = rows[i].level,
			.demand_verified = rows[i].url,
			.policy = rows[i].policy,
		};

		check_row(&rows[i], &ch);
	}
}

#define M "mx.example"
#define BAD "mx.evil.example"

/* clang-format off */
static void
sts26_enforce(void **state)
{
	static const struct row rows[] = {
		{ "listed", HB_TLS_MAY, false, &enforce, M, NULL, GOES(STS_OK), "enforce" },
		{ "listed, final dot, case", HB_TLS_MAY, false, &enforce, "MX.Example.", NULL, GOES(STS_OK), "enforce" },
		{ "by wildcard", HB_TLS_MAY, false, &enforce, "a.wild.example", NULL, GOES(STS_OK), "enforce" },
		{ "two labels", HB_TLS_MAY, false, &enforce, "a.b.wild.example", NULL, SKIPS(MX_MISMATCH), "enforce" },
		{ "not listed", HB_TLS_MAY, false, &enforce, BAD, NULL, SKIPS(MX_MISMATCH), "enforce" },
		{ "not listed, good TLS", HB_TLS_MAY, false, &enforce, BAD, &good, SKIPS(MX_MISMATCH), "enforce" },
		{ "good", HB_TLS_MAY, false, &enforce, M, &good, GOES(STS_OK), "enforce" },
		{ "good by wildcard", HB_TLS_MAY, false, &enforce, "a.wild.example", &good, GOES(STS_OK), "enforce" },
		{ "STS-34 TLS 1.2", HB_TLS_MAY, false, &enforce, M, &good12, GOES(STS_OK), "enforce" },
		{ "STS-34 TLS 1.1", HB_TLS_MAY, false, &enforce, M, &old, SKIPS(TLS_VERSION), "enforce" },
		{ "not looked", HB_TLS_MAY, false, &enforce, M, &unknown, SKIPS(NO_STARTTLS), "enforce" },
		{ "stripped", HB_TLS_MAY, false, &enforce, M, &no_offer, SKIPS(NO_STARTTLS), "enforce" },
		{ "STARTTLS refused", HB_TLS_MAY, false, &enforce, M, &refused, SKIPS(STARTTLS_REFUSED), "enforce" },
		{ "injected", HB_TLS_MAY, false, &enforce, M, &injected, SKIPS(TLS_INJECTED), "enforce" },
		{ "handshake", HB_TLS_MAY, false, &enforce, M, &failed, SKIPS(TLS_HANDSHAKE), "enforce" },
		{ "no certificate", HB_TLS_MAY, false, &enforce, M, &no_cert, SKIPS(CERT_UNTRUSTED), "enforce" },
		{ "untrusted", HB_TLS_MAY, false, &enforce, M, &untrusted, SKIPS(CERT_UNTRUSTED), "enforce" },
		{ "self-signed", HB_TLS_MAY, false, &enforce, M, &self_signed, SKIPS(CERT_SELF_SIGNED), "enforce" },
		{ "expired certificate", HB_TLS_MAY, false, &enforce, M, &past, SKIPS(CERT_EXPIRED), "enforce" },
		{ "wrong name", HB_TLS_MAY, false, &enforce, M, &wrong_name, SKIPS(CERT_NAME), "enforce" },
		{ "with url demand the url rules", HB_TLS_MAY, true, &enforce, BAD, &good, GOES(OPERATOR), "off" },
	};

	(void)state;
	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts27_testing_delivers_and_reports(void **state)
{
	static const struct row rows[] = {
		{ "listed", HB_TLS_MAY, false, &testing, M, NULL, GOES(STS_TESTING), "testing" },
		{ "not listed", HB_TLS_MAY, false, &testing, BAD, NULL, GOES_WITH(STS_TESTING, MX_MISMATCH), "testing" },
		{ "not listed, good TLS", HB_TLS_MAY, false, &testing, BAD, &good, GOES_WITH(STS_TESTING, MX_MISMATCH), "testing" },
		{ "good", HB_TLS_MAY, false, &testing, M, &good, GOES(STS_TESTING), "testing" },
		{ "stripped", HB_TLS_MAY, false, &testing, M, &no_offer, GOES_WITH(STS_TESTING, NO_STARTTLS), "testing" },
		{ "refused", HB_TLS_MAY, false, &testing, M, &refused, GOES_WITH(STS_TESTING, STARTTLS_REFUSED), "testing" },
		{ "handshake", HB_TLS_MAY, false, &testing, M, &failed, GOES_WITH(STS_TESTING, TLS_HANDSHAKE), "testing" },
		{ "self-signed", HB_TLS_MAY, false, &testing, M, &self_signed, GOES_WITH(STS_TESTING, CERT_SELF_SIGNED), "testing" },
		{ "expired certificate", HB_TLS_MAY, false, &testing, M, &past, GOES_WITH(STS_TESTING, CERT_EXPIRED), "testing" },
		{ "wrong name", HB_TLS_MAY, false, &testing, M, &wrong_name, GOES_WITH(STS_TESTING, CERT_NAME), "testing" },
		{ "injected", HB_TLS_MAY, false, &testing, M, &injected, SKIPS(TLS_INJECTED), "testing" },
		{ "never lowers encrypt", HB_TLS_ENCRYPT, false, &testing, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
		{ "never lowers verify", HB_TLS_VERIFY, false, &testing, M, &wrong_name, SKIPS(CERT_NAME), "off" },
		{ "never lowers the url", HB_TLS_MAY, true, &testing, M, &self_signed, SKIPS(CERT_SELF_SIGNED), "off" },
		{ "never lowers sts", HB_TLS_STS, false, &testing, M, &good, DEFERS(STS_TESTING), "testing" },
		{ "expired", HB_TLS_MAY, false, &old_testing, BAD, &good, GOES(TLS_OPPORTUNISTIC), "none" },
	};

	(void)state;
	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts28_none_is_no_policy(void **state)
{
	static const struct row rows[] = {
		{ "not listed", HB_TLS_MAY, false, &none, BAD, NULL, GOES(STS_NONE), "none" },
		{ "good", HB_TLS_MAY, false, &none, M, &good, GOES(STS_NONE), "none" },
		{ "stripped", HB_TLS_MAY, false, &none, M, &no_offer, GOES_WITH(STS_NONE, NO_STARTTLS), "none" },
		{ "self-signed", HB_TLS_MAY, false, &none, BAD, &self_signed, GOES(STS_NONE), "none" },
		{ "never lowers sts", HB_TLS_STS, false, &none, M, &good, DEFERS(STS_NONE), "none" },
		{ "never lowers verify", HB_TLS_VERIFY, false, &none, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
	};

	(void)state;
	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
sts18_no_policy_is_opportunistic(void **state)
{
	static const struct row rows[] = {
		{ "before", HB_TLS_MAY, false, NULL, M, NULL, GOES(TLS_OPPORTUNISTIC), "none" },
		{ "good", HB_TLS_MAY, false, NULL, M, &good, GOES(TLS_OPPORTUNISTIC), "none" },
		{ "self-signed", HB_TLS_MAY, false, NULL, M, &self_signed, GOES(TLS_OPPORTUNISTIC), "none" },
		{ "wrong name", HB_TLS_MAY, false, NULL, M, &wrong_name, GOES(TLS_OPPORTUNISTIC), "none" },
		{ "clear", HB_TLS_MAY, false, NULL, M, &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), "none" },
		{ "refused", HB_TLS_MAY, false, NULL, M, &refused, GOES_WITH(NO_TLS, STARTTLS_REFUSED), "none" },
		{ "handshake", HB_TLS_MAY, false, NULL, M, &failed, GOES_WITH(NO_TLS, TLS_HANDSHAKE), "none" },
		{ "injected", HB_TLS_MAY, false, NULL, M, &injected, SKIPS(TLS_INJECTED), "none" },
		{ "STS-13 expired policy", HB_TLS_MAY, false, &expired, BAD, NULL, GOES(TLS_OPPORTUNISTIC), "none" },
		{ "STS-13 expired policy, clear", HB_TLS_MAY, false, &expired, M, &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), "none" },
	};

	(void)state;
	check_rows(rows, HB_ARRAY_LEN(rows));
}

static void
operators_word_comes_first(void **state)
{
	static const struct row rows[] = {
		{ "none, enforce", HB_TLS_NONE, false, &enforce, BAD, &no_offer, GOES_WITH(OPERATOR, NO_STARTTLS), "off" },
		{ "none, good", HB_TLS_NONE, false, NULL, M, &good, GOES(OPERATOR), "off" },
		{ "none, injected", HB_TLS_NONE, false, NULL, M, &injected, SKIPS(TLS_INJECTED), "off" },
		{ "none, but the url demands", HB_TLS_NONE, true, NULL, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
		{ "encrypt, before", HB_TLS_ENCRYPT, false, &enforce, BAD, NULL, GOES(OPERATOR), "off" },
		{ "encrypt, self-signed", HB_TLS_ENCRYPT, false, NULL, M, &self_signed, GOES(OPERATOR), "off" },
		{ "encrypt, clear", HB_TLS_ENCRYPT, false, NULL, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
		{ "encrypt, refused", HB_TLS_ENCRYPT, false, NULL, M, &refused, SKIPS(STARTTLS_REFUSED), "off" },
		{ "encrypt, handshake", HB_TLS_ENCRYPT, false, NULL, M, &failed, SKIPS(TLS_HANDSHAKE), "off" },
		{ "encrypt, but the url demands", HB_TLS_ENCRYPT, true, NULL, M, &self_signed, SKIPS(CERT_SELF_SIGNED), "off" },
		{ "verify, good", HB_TLS_VERIFY, false, NULL, M, &good, GOES(OPERATOR), "off" },
		{ "verify, clear", HB_TLS_VERIFY, false, NULL, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
		{ "verify, untrusted", HB_TLS_VERIFY, false, NULL, M, &untrusted, SKIPS(CERT_UNTRUSTED), "off" },
		{ "verify, name", HB_TLS_VERIFY, false, NULL, M, &wrong_name, SKIPS(CERT_NAME), "off" },
		{ "verify, STS not asked", HB_TLS_VERIFY, false, &enforce, BAD, &good, GOES(OPERATOR), "off" },
		{ "url, good", HB_TLS_MAY, true, NULL, M, &good, GOES(OPERATOR), "off" },
		{ "url, clear", HB_TLS_MAY, true, NULL, M, &no_offer, SKIPS(NO_STARTTLS), "off" },
		{ "url, name", HB_TLS_MAY, true, NULL, M, &wrong_name, SKIPS(CERT_NAME), "off" },
		{ "sts, good", HB_TLS_STS, false, &enforce, M, &good, GOES(STS_OK), "enforce" },
		{ "sts, not listed", HB_TLS_STS, false, &enforce, BAD, &good, SKIPS(MX_MISMATCH), "enforce" },
		{ "sts, clear", HB_TLS_STS, false, &enforce, M, &no_offer, SKIPS(NO_STARTTLS), "enforce" },
		{ "sts, name", HB_TLS_STS, false, &enforce, M, &wrong_name, SKIPS(CERT_NAME), "enforce" },
		{ "sts, no policy", HB_TLS_STS, false, NULL, M, NULL, DEFERS(OPERATOR), "none" },
		{ "sts, expired", HB_TLS_STS, false, &expired, M, &good, DEFERS(OPERATOR), "none" },
		{ "sts and url, name", HB_TLS_STS, true, &enforce, M, &wrong_name, SKIPS(CERT_NAME), "enforce" },
		{ "dane cannot be judged", HB_TLS_DANE, false, NULL, M, &good, DEFERS(OPERATOR), "off" },
	};

	(void)state;
	check_rows(rows, HB_ARRAY_LEN(rows));
}
/* clang-format on */

static void
mta_sts_off_is_said(void **state)
{
	static const struct row go = { "off", HB_TLS_MAY, false, &enforce, BAD,
		&self_signed, GOES(STS_OFF), "off" },
				stop = { "sts demanded", HB_TLS_STS, false,
					&enforce, M, &good, DEFERS(STS_OFF),
					"off" };
	struct sts_channel ch = {
		.level = HB_TLS_MAY, .policy = &enforce, .mta_sts_off = true
	};

	(void)state;
	check_row(&go, &ch);
	ch.level = HB_TLS_STS;
	check_row(&stop, &ch);
}

static void
why_there_is_no_policy(void **state)
{
	static const struct row temp = { "DNS trouble goes on", HB_TLS_MAY,
		false, NULL, M, &good, GOES(TLS_OPPORTUNISTIC), "none" },
				demanded = { "sts demanded", HB_TLS_STS, false,
					NULL, M, &good,
					DEFERS(STS_FETCH_TIMEOUT), "none" },
				store = { "store cannot be read", HB_TLS_MAY,
					false, NULL, M, NULL, DEFERS(STS_STORE),
					"none" },
				nolook = { "nor is it needed", HB_TLS_VERIFY,
					false, NULL, M, &good, GOES(OPERATOR),
					"off" };
	struct sts_channel ch = { .level = HB_TLS_MAY,
		.no_policy = HB_REASON_STS_DNS_TEMP };

	(void)state;
	check_row(&temp, &ch);
	ch = (struct sts_channel){ .level = HB_TLS_STS,
		.no_policy = HB_REASON_STS_FETCH_TIMEOUT };
	check_row(&demanded, &ch);
	ch = (struct sts_channel){ .level = HB_TLS_MAY,
		.no_policy = HB_REASON_STS_STORE };
	check_row(&store, &ch);
	ch.level = HB_TLS_VERIFY;
	check_row(&nolook, &ch);
}

static void
a_clock_that_lies_expires_nothing(void **state)
{
	static const struct row row = { "expired policy holds", HB_TLS_MAY,
		false, &expired, BAD, &good, SKIPS(MX_MISMATCH), "enforce" };
	struct sts_channel ch = { .level = HB_TLS_MAY,
		.policy = &expired,
		.clock_implausible = true };

	(void)state;
	check_row(&row, &ch);
}

/* STS-25: the certificate is checked for the MX name, never for the patterns
 * and never for another listed host. */
static void
sts25_facts_of_another_name_prove_nothing(void **state)
{
	struct hb_tls_facts f = good;
	struct row row = { "other listed host", HB_TLS_MAY, false, &enforce, M,
		&f, SKIPS(CERT_NAME), "enforce" };
	struct sts_channel ch = { .level = HB_TLS_MAY, .policy = &enforce };

	(void)state;
	snprintf(f.reference, sizeof(f.reference), "a.wild.example");
	check_row(&row, &ch);
	snprintf(f.reference, sizeof(f.reference), "MX.example.");
	row = (struct row){ "same name", HB_TLS_MAY, false, &enforce, M, &f,
		GOES(STS_OK), "enforce" };
	check_row(&row, &ch);
}

static void
operators_names_are_reference_names(void **state)
{
	char one[] = "front.example", two[] = "back.example";
	char *v[] = { one, two };
	struct hb_strs names = { v, 2 };
	struct sts_channel ch = { .level = HB_TLS_VERIFY, .names = &names };
	struct hb_tls_facts f = good;
	struct row row = { "second name", HB_TLS_VERIFY, false, NULL, M, &f,
		GOES(OPERATOR), "off" };

	(void)state;
	assert_string_equal(sts_reference_name(&ch, M), one);
	snprintf(f.reference, sizeof(f.reference), "%s", two);
	check_row(&row, &ch);
	snprintf(f.reference, sizeof(f.reference), "other.example");
	row = (struct row){ "other name", HB_TLS_VERIFY, false, NULL, M, &f,
		SKIPS(CERT_NAME), "off" };
	check_row(&row, &ch);
	ch.level = HB_TLS_STS;
	assert_string_equal(sts_reference_name(&ch, M), M);
}

static void
sts22_lookup_only_where_it_counts(void **state)
{
	static const struct {
		struct sts_channel ch;
		bool want;
	} rows[] = {
		{ { .level = HB_TLS_MAY }, true },
		{ { .level = HB_TLS_STS }, true },
		{ { .level = HB_TLS_STS, .demand_verified = true }, true },
		{ { .level = HB_TLS_MAY, .demand_verified = true }, false },
		{ { .level = HB_TLS_MAY, .mta_sts_off = true }, false },
		{ { .level = HB_TLS_NONE }, false },
		{ { .level = HB_TLS_ENCRYPT }, false },
		{ { .level = HB_TLS_VERIFY }, false },
		{ { .level = HB_TLS_DANE }, false },
	};

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(sts_needs_lookup(&rows[i].ch), rows[i].want);
}

static void
an_empty_verdict_lets_nothing_through(void **state)
{
	struct sts_verdict v = { 0 };

	(void)state;
	assert_int_equal(v.action, STS_DEFER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sts26_enforce),
		cmocka_unit_test(sts27_testing_delivers_and_reports),
		cmocka_unit_test(sts28_none_is_no_policy),
		cmocka_unit_test(sts18_no_policy_is_opportunistic),
		cmocka_unit_test(operators_word_comes_first),
		cmocka_unit_test(mta_sts_off_is_said),
		cmocka_unit_test(why_there_is_no_policy),
		cmocka_unit_test(a_clock_that_lies_expires_nothing),
		cmocka_unit_test(sts25_facts_of_another_name_prove_nothing),
		cmocka_unit_test(operators_names_are_reference_names),
		cmocka_unit_test(sts22_lookup_only_where_it_counts),
		cmocka_unit_test(an_empty_verdict_lets_nothing_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
