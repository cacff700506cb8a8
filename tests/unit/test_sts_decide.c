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
	struct sts_host host = { .name = r->mx };
	struct hb_tls_facts f;
	struct sts_verdict v;

	print_message("%s\n", r->name);
	if (r->facts == NULL) {
		v = sts_decide_mx(ch, &host, NOW);
	} else {
		f = *r->facts;
		if (f.reference[0] == '\0')
			snprintf(f.reference, sizeof(f.reference), "%s", r->mx);
		v = sts_decide_tls(ch, &host, &f, NOW);
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
		{ "dane, nothing known", HB_TLS_DANE, false, NULL, M, &good, SKIPS(DANE_REQUIRED), "off" },
	};

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
	struct sts_host host = { .name = M };
	struct sts_channel ch = { .level = HB_TLS_VERIFY, .names = &names };
	struct hb_tls_facts f = good;
	struct row row = { "second name", HB_TLS_VERIFY, false, NULL, M, &f,
		GOES(OPERATOR), "off" };

	assert_string_equal(sts_reference_name(&ch, &host), one);
	snprintf(f.reference, sizeof(f.reference), "%s", two);
	check_row(&row, &ch);
	snprintf(f.reference, sizeof(f.reference), "other.example");
	row = (struct row){ "other name", HB_TLS_VERIFY, false, NULL, M, &f,
		SKIPS(CERT_NAME), "off" };
	check_row(&row, &ch);
	ch.level = HB_TLS_STS;
	assert_string_equal(sts_reference_name(&ch, &host), M);
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

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(sts_needs_lookup(&rows[i].ch), rows[i].want);
}

/* DANE, REQUIRETLS and the ledger: rows that say all there is to say. */
static const struct hb_dane d_insecure = { .state = HB_DANE_INSECURE },
			    d_none = { .state = HB_DANE_NONE },
			    d_unusable = { .state = HB_DANE_UNUSABLE },
			    d_error = { .state = HB_DANE_ERROR },
			    d_unprobed = { .state = HB_DANE_UNPROBED },
			    d_untrusted = { .state = HB_DANE_UNTRUSTED },
			    d_usable = { .state = HB_DANE_USABLE,
				.base = "tlsa.example", .digest = 7 };

#define DANE_FACTS(m, dig)                                                     \
	{                                                                      \
		.state = HB_TLSF_DONE, .version = 13, .dane = HB_DANE_##m,     \
		.dane_digest = (dig), .requiretls = true                       \
	}
static const struct hb_tls_facts ee = DANE_FACTS(EE, 7), ta = DANE_FACTS(TA, 7),
				 other_rr = DANE_FACTS(EE, 8),
				 no_match = DANE_FACTS(NO, 7);
/* With REQUIRETLS behind EHLO. */
static const struct hb_tls_facts good_rt = { .state = HB_TLSF_DONE,
	.chain = HB_CHAIN_OK, .name_ok = true, .version = 13,
	.reference = M, .requiretls = true },
				 self_rt = { .state = HB_TLSF_DONE,
	.chain = HB_CHAIN_SELF_SIGNED, .version = 13, .reference = M,
	.requiretls = true };

struct full_row {
	const char *name;
	struct sts_channel ch;
	struct sts_host host;
	const struct hb_tls_facts *facts;
	enum sts_action action;
	enum hb_reason reason, report;
	bool settled;
};

/* A notice is not asked for it, yet the same channels suit. */
static void
check_suits(const struct full_row *r, const struct hb_tls_facts *f)
{
	struct sts_channel notice = r->ch;

	notice.require_tls = false;
	assert_int_equal(sts_suits_requiretls(&notice, &r->host, f, NOW),
	    r->action == STS_PROCEED);
}

static void
check_full(const struct full_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct full_row *r = &rows[i];
		struct hb_tls_facts f = { 0 };
		struct sts_verdict v;

		print_message("%s\n", r->name);
		if (r->facts != NULL)
			f = *r->facts;
		if (f.reference[0] == '\0')
			snprintf(f.reference, sizeof(f.reference), "%s",
			    r->host.name);
		v = r->facts == NULL
			? sts_decide_mx(&r->ch, &r->host, NOW)
			: sts_decide_tls(&r->ch, &r->host, &f, NOW);
		assert_int_equal(v.action, r->action);
		assert_string_equal(
		    hb_reason_word(v.reason), hb_reason_word(r->reason));
		assert_string_equal(
		    hb_reason_word(v.report), hb_reason_word(r->report));
		assert_int_equal(v.settled, r->settled);
		if (r->facts != NULL && r->ch.require_tls)
			check_suits(r, &f);
	}
}

/* clang-format off */
#define CH(...) { .level = HB_TLS_MAY, __VA_ARGS__ }
#define H(n, d) { .name = (n), .dane = (d) }
#define STOPS(x) STS_SKIP, R(x), R(x), true
#define STOPS_NOW(x) STS_SKIP, R(x), R(x), false

static void
dane_decides_for_each_host(void **state)
{
	static const struct full_row rows[] = {
		{ "DANE-01 error is not absent", CH(.policy = NULL), H(M, &d_error), NULL, STOPS_NOW(DANE_DNS) },
		{ "DANE-01 error, STS fine", CH(.policy = &enforce), H(M, &d_error), &good, STOPS_NOW(DANE_DNS) },
		{ "unprobed", CH(.policy = NULL), H(M, &d_unprobed), NULL, STOPS_NOW(DANE_UNPROBED) },
		{ "untrusted resolver: no DANE", CH(.policy = NULL), H(M, &d_untrusted), &self_signed, GOES(TLS_OPPORTUNISTIC), false },
		{ "DANE-08 usage 3", CH(.policy = NULL), H(M, &d_usable), &ee, GOES(DANE_OK), false },
		{ "DANE-08 usage 2", CH(.policy = NULL), H(M, &d_usable), &ta, GOES(DANE_OK), false },
		{ "DANE-08 no match", CH(.policy = NULL), H(M, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "records compared were others", CH(.policy = NULL), H(M, &d_usable), &other_rr, STOPS(DANE_MISMATCH) },
		{ "facts from before the records", CH(.policy = NULL), H(M, &d_usable), &good, STOPS(DANE_MISMATCH) },
		{ "DANE-08 no TLS", CH(.policy = NULL), H(M, &d_usable), &no_offer, STOPS(NO_STARTTLS) },
		{ "DANE-08 injected", CH(.policy = NULL), H(M, &d_usable), &injected, STOPS(TLS_INJECTED) },
		{ "STS-01 STS fine does not rescue", CH(.policy = &enforce), H(M, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "STS-01 testing does not rescue", CH(.policy = &testing), H(M, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "DANE fine, STS would not be", CH(.policy = &enforce), H(BAD, &d_usable), &ee, GOES(DANE_OK), false },
		{ "both fine", CH(.policy = &enforce), H(M, &d_usable), &ee, GOES(DANE_OK), false },
		{ "both fail", CH(.policy = &enforce), H(BAD, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "DANE-09 TLS without certificate", CH(.policy = NULL), H(M, &d_unusable), &self_signed, GOES(DANE_UNUSABLE), false },
		{ "DANE-09 TLS is needed", CH(.policy = NULL), H(M, &d_unusable), &no_offer, STOPS(NO_STARTTLS) },
		{ "DANE-09 and STS counts", CH(.policy = &enforce), H(M, &d_unusable), &self_signed, STOPS(CERT_SELF_SIGNED) },
		{ "DANE-10 absent", CH(.policy = NULL), H(M, &d_none), &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), false },
		{ "DANE-10 insecure", CH(.policy = NULL), H(M, &d_insecure), &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), false },
		{ "DANE-10 absent, STS decides", CH(.policy = &enforce), H(BAD, &d_none), NULL, STOPS(MX_MISMATCH) },
		{ "DANE-17 demanded, fine", { .level = HB_TLS_DANE }, H(M, &d_usable), &ee, GOES(DANE_OK), false },
		{ "DANE-17 demanded, insecure", { .level = HB_TLS_DANE }, H(M, &d_insecure), NULL, STOPS(DANE_REQUIRED) },
		{ "DANE-17 demanded, unusable", { .level = HB_TLS_DANE }, H(M, &d_unusable), NULL, STOPS(DANE_REQUIRED) },
		{ "DANE-17 demanded, none", { .level = HB_TLS_DANE }, H(M, &d_none), NULL, STOPS(DANE_REQUIRED) },
		{ "DANE-17 demanded, untrusted", { .level = HB_TLS_DANE }, H(M, &d_untrusted), NULL, STOPS(DANE_REQUIRED) },
		{ "DANE-17 demanded, dane off", { .level = HB_TLS_DANE, .dane_off = true }, H(M, &d_usable), &ee, STOPS(DANE_REQUIRED) },
		{ "DANE-17 demanded, error", { .level = HB_TLS_DANE }, H(M, &d_error), NULL, STOPS_NOW(DANE_DNS) },
		{ "DANE-17 demanded, mismatch", { .level = HB_TLS_DANE }, H(M, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "DANE-19 dane off", CH(.dane_off = true), H(M, &d_usable), &self_signed, GOES(TLS_OPPORTUNISTIC), false },
		{ "operator's verify: no DANE", { .level = HB_TLS_VERIFY }, H(M, &d_usable), &good, GOES(OPERATOR), false },
		{ "operator's encrypt: no DANE", { .level = HB_TLS_ENCRYPT }, H(M, &d_error), &self_signed, GOES(OPERATOR), false },
	};

	check_full(rows, HB_ARRAY_LEN(rows));
}

static void
requiretls_raises(void **state)
{
	static const struct full_row rows[] = {
		{ "RTLS-03 nothing vouches", CH(.require_tls = true, .no_policy = R(STS_NO_RECORD)), H(M, NULL), NULL, STOPS(MX_UNPROVEN) },
		{ "RTLS-06 the policy cannot be learnt now", CH(.require_tls = true, .no_policy = R(STS_DNS_TEMP)), H(M, NULL), NULL, STOPS_NOW(MX_UNPROVEN) },
		{ "RTLS-03 signed MX", CH(.require_tls = true, .mx_secure = true), H(M, NULL), &good_rt, GOES(REQUIRETLS_OK), false },
		{ "RTLS-03 policy", CH(.require_tls = true, .policy = &enforce), H(M, NULL), &good_rt, GOES(REQUIRETLS_OK), false },
		{ "RTLS-03 policy in testing", CH(.require_tls = true, .policy = &testing), H(M, NULL), &good_rt, STOPS(MX_UNPROVEN) },
		{ "RTLS-03 not listed", CH(.require_tls = true, .policy = &enforce), H(BAD, NULL), &good_rt, STOPS(MX_MISMATCH) },
		{ "RTLS-06 not listed, a newer policy cannot be had", CH(.require_tls = true, .policy = &enforce, .no_policy = R(STS_FETCH_CONNECT)), H(BAD, NULL), NULL, STOPS_NOW(MX_MISMATCH) },
		{ "RTLS-03 insecure MX, DANE at the host", CH(.require_tls = true), H(M, &d_usable), &ee, STOPS(MX_UNPROVEN) },
		{ "RTLS-03 no MX", CH(.require_tls = true), { .name = M, .implicit = true }, &good_rt, GOES(REQUIRETLS_OK), false },
		{ "RTLS-03 configured hop", CH(.require_tls = true, .configured_hop = true), H(M, NULL), &good_rt, GOES(REQUIRETLS_OK), false },
		{ "RTLS-03 mta-sts off", CH(.require_tls = true, .mta_sts_off = true, .policy = &enforce), H(M, NULL), NULL, STOPS(MX_UNPROVEN) },
		{ "RTLS-03 operator's verify, policy vouches", { .level = HB_TLS_VERIFY, .require_tls = true, .policy = &enforce }, H(M, NULL), &good_rt, GOES(REQUIRETLS_OK), false },
		{ "RTLS-04 certificate", CH(.require_tls = true, .mx_secure = true), H(M, NULL), &self_rt, STOPS(CERT_SELF_SIGNED) },
		{ "RTLS-04 no TLS", CH(.require_tls = true, .mx_secure = true), H(M, NULL), &no_offer, STOPS(NO_STARTTLS) },
		{ "RTLS-04 by DANE", CH(.require_tls = true, .mx_secure = true), H(M, &d_usable), &ee, GOES(REQUIRETLS_OK), false },
		{ "RTLS-04 by DANE, mismatch", CH(.require_tls = true, .mx_secure = true), H(M, &d_usable), &no_match, STOPS(DANE_MISMATCH) },
		{ "RTLS-04 not listed behind EHLO", CH(.require_tls = true, .mx_secure = true), H(M, NULL), &good, STOPS(REQUIRETLS_MISSING) },
		{ "operator's none is raised", { .level = HB_TLS_NONE, .require_tls = true, .mx_secure = true }, H(M, NULL), &no_offer, STOPS(NO_STARTTLS) },
	};

	check_full(rows, HB_ARRAY_LEN(rows));
}

static void
tls_required_no_lowers(void **state)
{
	static const struct full_row rows[] = {
		{ "RTLS-07 policy fails", CH(.tls_optional = true, .policy = &enforce), H(M, NULL), &no_offer, GOES_WITH(TLS_REQUIRED_NO, NO_STARTTLS), false },
		{ "the word for the recipients' domain holds by any way", CH(.at_least = HB_TLS_VERIFY), H(M, NULL), &self_rt, STOPS(CERT_SELF_SIGNED) },
		{ "and takes no demand of the way away", CH(.at_least = HB_TLS_ENCRYPT, .policy = &enforce), H(M, NULL), &self_rt, STOPS(CERT_SELF_SIGNED) },
		{ "nor does the sender take it away", CH(.at_least = HB_TLS_ENCRYPT, .tls_optional = true), H(M, NULL), &no_offer, STOPS(NO_STARTTLS) },
		{ "and is the reason before the host is seen", CH(.at_least = HB_TLS_VERIFY), H(M, NULL), NULL, GOES(OPERATOR), false },
		{ "a word that lets all go is none", CH(.at_least = HB_TLS_MAY), H(M, NULL), NULL, GOES(TLS_OPPORTUNISTIC), false },
		{ "RTLS-07 not listed", CH(.tls_optional = true, .policy = &enforce), H(BAD, NULL), NULL, GOES_WITH(TLS_REQUIRED_NO, MX_MISMATCH), false },
		{ "RTLS-07 policy holds", CH(.tls_optional = true, .policy = &enforce), H(M, NULL), &good, GOES(STS_OK), false },
		{ "RTLS-11 DANE fails", CH(.tls_optional = true), H(M, &d_usable), &no_match, GOES_WITH(TLS_REQUIRED_NO, DANE_MISMATCH), false },
		{ "RTLS-11 DANE cannot be learnt", CH(.tls_optional = true), H(M, &d_error), NULL, GOES_WITH(TLS_REQUIRED_NO, DANE_DNS), false },
		{ "never the operator's verify", { .level = HB_TLS_VERIFY, .tls_optional = true }, H(M, NULL), &no_offer, STOPS(NO_STARTTLS) },
		{ "never the operator's sts", { .level = HB_TLS_STS, .tls_optional = true, .policy = &enforce }, H(BAD, NULL), NULL, STOPS(MX_MISMATCH) },
		{ "never the operator's dane", { .level = HB_TLS_DANE, .tls_optional = true }, H(M, &d_none), NULL, STOPS(DANE_REQUIRED) },
		{ "never the url", CH(.demand_verified = true, .tls_optional = true), H(M, NULL), &no_offer, STOPS(NO_STARTTLS) },
		{ "somebody in the line", CH(.tls_optional = true), H(M, NULL), &injected, STOPS(TLS_INJECTED) },
	};

	check_full(rows, HB_ARRAY_LEN(rows));
}

#define BEST(n, b) { .name = (n), .best = HB_RANK_##b }
#define MEM(m) CH(.memory = HB_DOWNGRADE_##m)

static void
the_ledger_remembers(void **state)
{
	static const struct {
		struct full_row row;
		enum hb_rank rank;
		bool fell;
	} rows[] = {
		{ { "first seen", MEM(DEFER), BEST(M, NONE), &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), false }, HB_RANK_PLAIN, false },
		{ { "as ever", MEM(DEFER), BEST(M, TLS), &self_signed, GOES(TLS_OPPORTUNISTIC), false }, HB_RANK_TLS, false },
		{ { "better", MEM(DEFER), BEST(M, TLS), &good, GOES(TLS_OPPORTUNISTIC), false }, HB_RANK_VERIFIED, false },
		{ { "a fall", MEM(DEFER), BEST(M, VERIFIED), &no_offer, STOPS_NOW(DOWNGRADE) }, HB_RANK_PLAIN, true },
		{ { "a fall that is only said", MEM(WARN), BEST(M, VERIFIED), &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), false }, HB_RANK_PLAIN, true },
		{ { "memory off", MEM(OFF), BEST(M, DANE), &no_offer, GOES_WITH(NO_TLS, NO_STARTTLS), false }, HB_RANK_PLAIN, false },
		{ { "a policy stops it anyway", CH(.memory = HB_DOWNGRADE_WARN, .policy = &enforce), BEST(M, STS), &no_offer, STOPS(NO_STARTTLS) }, HB_RANK_PLAIN, true },
		{ { "policy gone", MEM(DEFER), BEST(M, STS), &good, STOPS_NOW(DOWNGRADE) }, HB_RANK_VERIFIED, true },
		{ { "DANE gone", MEM(DEFER), { .name = M, .best = HB_RANK_DANE, .dane = &d_none }, &good, STOPS_NOW(DOWNGRADE) }, HB_RANK_VERIFIED, true },
		{ { "DANE here", MEM(DEFER), { .name = M, .best = HB_RANK_DANE, .dane = &d_usable }, &ee, GOES(DANE_OK), false }, HB_RANK_DANE, false },
		{ { "dane off", CH(.memory = HB_DOWNGRADE_DEFER, .dane_off = true), BEST(M, DANE), &self_signed, GOES(TLS_OPPORTUNISTIC), false }, HB_RANK_TLS, false },
		{ { "mta-sts off", CH(.memory = HB_DOWNGRADE_DEFER, .mta_sts_off = true), BEST(M, STS), &good, GOES(STS_OFF), false }, HB_RANK_VERIFIED, false },
		{ { "operator's none", { .level = HB_TLS_NONE, .memory = HB_DOWNGRADE_DEFER }, BEST(M, DANE), &no_offer, GOES_WITH(OPERATOR, NO_STARTTLS), false }, HB_RANK_PLAIN, false },
		{ { "the sender's word is no operator's", CH(.tls_optional = true, .memory = HB_DOWNGRADE_DEFER), BEST(M, TLS), &no_offer, STOPS_NOW(DOWNGRADE) }, HB_RANK_PLAIN, true },
		{ { "sts reached", CH(.memory = HB_DOWNGRADE_WARN, .policy = &enforce), BEST(M, STS), &good, GOES(STS_OK), false }, HB_RANK_STS, false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		const struct full_row *r = &rows[i].row;
		struct hb_tls_facts f = *r->facts;
		struct sts_verdict v;

		check_full(r, 1);
		if (f.reference[0] == '\0')
			snprintf(f.reference, sizeof(f.reference), M);
		v = sts_decide_tls(&r->ch, &r->host, &f, NOW);
		assert_string_equal(
		    hb_rank_word(v.rank), hb_rank_word(rows[i].rank));
		assert_int_equal(v.fell, rows[i].fell);
	}
}

static void
a_clock_that_lies_judges_no_dates(void **state)
{
	static const struct full_row rows[] = {
		{ "demanded", CH(.policy = &enforce, .clock_implausible = true), H(M, NULL), &past, STOPS_NOW(CLOCK) },
		{ "REQUIRETLS waits", CH(.require_tls = true, .mx_secure = true, .clock_implausible = true), H(M, NULL), &past, STOPS_NOW(CLOCK) },
		{ "not demanded", CH(.clock_implausible = true), H(M, NULL), &past, GOES(TLS_OPPORTUNISTIC), false },
		{ "DANE-11 has no dates", CH(.clock_implausible = true), H(M, &d_usable), &ee, GOES(DANE_OK), false },
	};

	check_full(rows, HB_ARRAY_LEN(rows));
}
/* clang-format on */

static void
DANE_16_the_base_is_the_reference_name(void **state)
{
	struct sts_channel ch = { .level = HB_TLS_MAY };
	struct sts_host host = H(M, &d_usable);

	assert_string_equal(sts_reference_name(&ch, &host), "tlsa.example");
	host.dane = &d_unusable;
	assert_string_equal(sts_reference_name(&ch, &host), M);
	host.dane = &d_usable;
	ch.dane_off = true;
	assert_string_equal(sts_reference_name(&ch, &host), M);
}

static void
an_empty_verdict_lets_nothing_through(void **state)
{
	struct sts_verdict v = { 0 };

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
		cmocka_unit_test(dane_decides_for_each_host),
		cmocka_unit_test(requiretls_raises),
		cmocka_unit_test(tls_required_no_lowers),
		cmocka_unit_test(the_ledger_remembers),
		cmocka_unit_test(a_clock_that_lies_judges_no_dates),
		cmocka_unit_test(DANE_16_the_base_is_the_reference_name),
		cmocka_unit_test(an_empty_verdict_lets_nothing_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
