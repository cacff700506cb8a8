/* Trust in the resolver: words, rounds of probes, waits.  DANE-02. */
#include "unit.h"

#include "delivery/smtp/trust.h"

/*
 * A round as it is seen: for each question its server, `p' for the probe or
 * `b' for the bad name, and what is answered: `+' signed, `-' not signed, `?'
 * nothing, `!' SERVFAIL, `n' NXDOMAIN and signed, `x' NXDOMAIN and not, `m'
 * without EDNS and not signed, `s' without EDNS and signed.
 */
/* clang-format off */
static const struct row {
	const char *name;
	enum hb_trust_ad said;
	const char *probe, *bad, *servers; /* a space between */
	const char *round;
	enum dlv_trust trust;
	enum dlv_trust_reason why;
	int64_t rest_ms;
} rows[] = {
	/* the configuration's word */
	{ "no", HB_TRUST_NO, NULL, NULL, "127.0.0.1", "", DLV_TRUST_NO,
	    DLV_TRUST_BY_SAID_NO, -1 },
	{ "no, though there is a probe", HB_TRUST_NO, "a.test", "b.test",
	    "127.0.0.1", "", DLV_TRUST_NO, DLV_TRUST_BY_SAID_NO, -1 },
	{ "yes", HB_TRUST_YES, NULL, NULL, "192.0.2.1", "", DLV_TRUST_YES,
	    DLV_TRUST_BY_SAID_YES, -1 },
	{ "yes, with a probe", HB_TRUST_YES, "a.test", NULL, "192.0.2.1",
	    "0p+", DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "yes, with a probe that fails", HB_TRUST_YES, "a.test", NULL,
	    "192.0.2.1", "0p-", DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED, 60000 },
	{ "yes, with a probe, silence", HB_TRUST_YES, "a.test", NULL,
	    "192.0.2.1", "0p?", DLV_TRUST_UNKNOWN, DLV_TRUST_BY_UNANSWERED,
	    1000 },
	/* who counts as local */
	{ "none", HB_TRUST_AUTO, NULL, NULL, "", "", DLV_TRUST_NO,
	    DLV_TRUST_BY_NO_RESOLVER, -1 },
	{ "far", HB_TRUST_AUTO, NULL, NULL, "192.0.2.1", "", DLV_TRUST_NO,
	    DLV_TRUST_BY_NOT_LOCAL, -1 },
	{ "far, with a probe", HB_TRUST_AUTO, "a.test", NULL, "192.0.2.1", "",
	    DLV_TRUST_NO, DLV_TRUST_BY_NOT_LOCAL, -1 },
	{ "one of two is far", HB_TRUST_AUTO, NULL, NULL,
	    "127.0.0.1 192.0.2.1", "", DLV_TRUST_NO, DLV_TRUST_BY_NOT_LOCAL,
	    -1 },
	{ "the first of two is far", HB_TRUST_AUTO, NULL, NULL,
	    "10.127.0.1 127.0.0.1", "", DLV_TRUST_NO, DLV_TRUST_BY_NOT_LOCAL,
	    -1 },
	{ "far by IPv6", HB_TRUST_AUTO, NULL, NULL, "2001:db8::1", "",
	    DLV_TRUST_NO, DLV_TRUST_BY_NOT_LOCAL, -1 },
	{ "near", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1", "0p+",
	    DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "near, another of the net", HB_TRUST_AUTO, NULL, NULL,
	    "127.0.0.53", "0p+", DLV_TRUST_YES, DLV_TRUST_BY_PASSED,
	    3600000 },
	{ "near by IPv6", HB_TRUST_AUTO, NULL, NULL, "::1", "0p+",
	    DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	/* what the probe comes to */
	{ "not signed", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1", "0p-",
	    DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED, 60000 },
	{ "silence", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1", "0p?",
	    DLV_TRUST_UNKNOWN, DLV_TRUST_BY_UNANSWERED, 1000 },
	{ "F-7 no EDNS", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1", "0pm",
	    DLV_TRUST_UNKNOWN, DLV_TRUST_BY_NO_EDNS, 1000 },
	{ "F-7 no EDNS, but signed", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1",
	    "0ps", DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "F-7 one without EDNS, one that passed", HB_TRUST_AUTO, NULL, NULL,
	    "127.0.0.1 ::1", "0pm 1p+", DLV_TRUST_YES, DLV_TRUST_BY_PASSED,
	    1000 },
	{ "trouble", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1", "0p!",
	    DLV_TRUST_UNKNOWN, DLV_TRUST_BY_UNANSWERED, 1000 },
	{ "signed absence", HB_TRUST_AUTO, "a.test", NULL, "127.0.0.1", "0pn",
	    DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "absence", HB_TRUST_AUTO, "a.test", NULL, "127.0.0.1", "0px",
	    DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED, 60000 },
	{ "a bad name fails", HB_TRUST_AUTO, "a.test", "b.test", "127.0.0.1",
	    "0p+ 0b!", DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "a bad name is answered", HB_TRUST_AUTO, "a.test", "b.test",
	    "127.0.0.1", "0p+ 0b-", DLV_TRUST_NO, DLV_TRUST_BY_BAD_ANSWERED,
	    60000 },
	{ "a bad name is even signed", HB_TRUST_AUTO, "a.test", "b.test",
	    "127.0.0.1", "0p+ 0b+", DLV_TRUST_NO, DLV_TRUST_BY_BAD_ANSWERED,
	    60000 },
	{ "a bad name is not there", HB_TRUST_AUTO, "a.test", "b.test",
	    "127.0.0.1", "0p+ 0bx", DLV_TRUST_NO, DLV_TRUST_BY_BAD_ANSWERED,
	    60000 },
	{ "silence is no failure of the bad name", HB_TRUST_AUTO, "a.test",
	    "b.test", "127.0.0.1", "0p+ 0b?", DLV_TRUST_UNKNOWN,
	    DLV_TRUST_BY_UNANSWERED, 1000 },
	{ "a bad name is not asked for in vain", HB_TRUST_AUTO, "a.test",
	    "b.test", "127.0.0.1", "0p-", DLV_TRUST_NO,
	    DLV_TRUST_BY_UNSIGNED, 60000 },
	/* several servers */
	{ "both", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1 ::1", "0p+ 1p+",
	    DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 3600000 },
	{ "the first alone", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1 ::1",
	    "0p+ 1p-", DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED, 60000 },
	{ "the second alone", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1 ::1",
	    "0p- 1p+", DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED, 60000 },
	{ "one is silent", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1 ::1",
	    "0p? 1p+", DLV_TRUST_YES, DLV_TRUST_BY_PASSED, 1000 },
	{ "one is silent, one fails", HB_TRUST_AUTO, NULL, NULL,
	    "127.0.0.1 ::1", "0p- 1p?", DLV_TRUST_NO, DLV_TRUST_BY_UNSIGNED,
	    1000 },
	{ "both with a bad name", HB_TRUST_AUTO, "a.test", "b.test",
	    "127.0.0.1 ::1", "0p+ 0b! 1p+ 1b!", DLV_TRUST_YES,
	    DLV_TRUST_BY_PASSED, 3600000 },
	{ "the second answers the bad name", HB_TRUST_AUTO, "a.test",
	    "b.test", "127.0.0.1 ::1", "0p+ 0b! 1p+ 1b-", DLV_TRUST_NO,
	    DLV_TRUST_BY_BAD_ANSWERED, 60000 },
};
/* clang-format on */

static struct hb_dns_answer
answer_of(char c)
{
	switch (c) {
	case '+':
		return (struct hb_dns_answer){ .status = HB_DNS_OK,
			.ad = true };
	case '-':
		return (struct hb_dns_answer){ .status = HB_DNS_NODATA };
	case 'm':
	case 's':
		return (struct hb_dns_answer){ .status = HB_DNS_OK,
			.plain = true, .ad = c == 's' };
	case 'n':
		return (struct hb_dns_answer){ .status = HB_DNS_NXDOMAIN,
			.ad = true };
	case 'x':
		return (struct hb_dns_answer){ .status = HB_DNS_NXDOMAIN };
	default:
		return (struct hb_dns_answer){ .status = HB_DNS_TEMP,
			.servfail = c == '!' };
	}
}

static struct dlv_trust_words
words_of(const struct row *row)
{
	struct dlv_trust_words w = { .said = row->said, .probe = row->probe,
		.bad = row->bad };
	struct hb_span rest = hb_span_str(row->servers);

	while (rest.n > 0)
		assert_int_equal(hb_netaddr_parse(hb_span_cut(&rest, ' '),
				     &w.servers[w.nservers++]),
		    0);
	return w;
}

/* The questions must be those of ROUND, no more and no less. */
static void
play(struct dlv_truster *t, const char *round)
{
	struct dlv_trust_question q;

	for (; *round != '\0'; round += round[3] == ' ' ? 4 : 3) {
		struct hb_dns_answer a = answer_of(round[2]);
		const char *name = round[1] == 'b' ? t->words.bad
		    : t->words.probe != NULL	   ? t->words.probe
						   : ".";

		assert_true(dlv_trust_ask(t, &q));
		assert_int_equal(q.server, round[0] - '0');
		assert_string_equal(q.name, name);
		assert_int_equal(
		    q.type, strcmp(name, ".") == 0 ? HB_DNS_NS : HB_DNS_A);
		dlv_trust_answer(t, &a);
	}
	assert_false(dlv_trust_ask(t, &q));
}

static void
test_DANE_02_rounds(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct dlv_trust_words w = words_of(&rows[i]);
		struct dlv_truster t = { 0 };
		bool probed = rows[i].rest_ms > 0;

		print_message("%s\n", rows[i].name);
		dlv_trust_begin(&t, &w);
		assert_int_equal(dlv_trust_now(&t),
		    probed ? DLV_TRUST_UNKNOWN : rows[i].trust);
		assert_int_equal(dlv_trust_is_due(&t), probed);
		play(&t, rows[i].round);
		assert_int_equal(dlv_trust_now(&t), rows[i].trust);
		assert_int_equal(t.why, rows[i].why);
		assert_false(dlv_trust_is_due(&t));
		assert_int_equal(dlv_trust_rest_ms(&t), rows[i].rest_ms);
	}
}

static const struct row near = { "", HB_TRUST_AUTO, NULL, NULL, "127.0.0.1",
	"", DLV_TRUST_UNKNOWN, DLV_TRUST_BY_UNANSWERED, 0 };

static void
silence_is_asked_again_ever_more_slowly(void **state)
{
	static const int64_t rest_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct dlv_trust_words w = words_of(&near);
	struct dlv_truster t = { 0 };

	dlv_trust_begin(&t, &w);
	for (size_t i = 0; i < HB_ARRAY_LEN(rest_s); i++) {
		play(&t, "0p?");
		assert_int_equal(dlv_trust_rest_ms(&t), rest_s[i] * 1000);
		dlv_trust_again(&t);
	}
	for (int i = 0; i < 100; i++) {
		play(&t, "0p?");
		dlv_trust_again(&t);
	}
	assert_int_equal(dlv_trust_rest_ms(&t), 60000);
	assert_int_equal(dlv_trust_now(&t), DLV_TRUST_UNKNOWN);
	play(&t, "0p+");
	assert_int_equal(dlv_trust_now(&t), DLV_TRUST_YES);
	assert_int_equal(dlv_trust_rest_ms(&t), 3600000);
	dlv_trust_again(&t);
	play(&t, "0p?");
	assert_int_equal(dlv_trust_rest_ms(&t), 1000);
}

/* Only an answer without AD turns DANE off. */
static void
test_DANE_02_silence_changes_nothing(void **state)
{
	static const struct {
		const char *round;
		enum dlv_trust now;
	} steps[] = {
		{ "0p+", DLV_TRUST_YES }, { "0p?", DLV_TRUST_YES },
		{ "0pm", DLV_TRUST_YES }, /* F-7 */
		{ "0p!", DLV_TRUST_YES }, { "0p-", DLV_TRUST_NO },
		{ "0p?", DLV_TRUST_NO }, { "0p+", DLV_TRUST_YES },
	};
	struct dlv_trust_words w = words_of(&near);
	struct dlv_truster t = { 0 };

	dlv_trust_begin(&t, &w);
	for (size_t i = 0; i < HB_ARRAY_LEN(steps); i++) {
		play(&t, steps[i].round);
		assert_int_equal(dlv_trust_now(&t), steps[i].now);
		dlv_trust_again(&t);
		assert_int_equal(dlv_trust_now(&t), steps[i].now);
	}
}

/* At reload: what is known holds until the next round, if it is about the
 * same. */
static void
reload_forgets_what_is_changed(void **state)
{
	char probe[] = "a.test", bad[] = "b.test";
	struct dlv_trust_words w = words_of(&near), same, other[5];
	struct dlv_truster t;

	w.probe = "a.test";
	w.bad = "b.test";
	same = w;
	same.probe = probe;
	same.bad = bad;
	for (size_t i = 0; i < HB_ARRAY_LEN(other); i++)
		other[i] = w;
	other[0].said = HB_TRUST_YES;
	other[1].probe = NULL;
	other[2].bad = "c.test";
	other[3].servers[0].port = 5353;
	other[4].servers[other[4].nservers++] = w.servers[0];
	for (size_t i = 0; i < HB_ARRAY_LEN(other); i++) {
		t = (struct dlv_truster){ 0 };
		dlv_trust_begin(&t, &w);
		play(&t, "0p+ 0b!");
		dlv_trust_begin(&t, &same);
		assert_int_equal(dlv_trust_now(&t), DLV_TRUST_YES);
		dlv_trust_begin(&t, &other[i]);
		assert_int_equal(dlv_trust_now(&t), DLV_TRUST_UNKNOWN);
	}
	/* in the middle of a round */
	dlv_trust_begin(&t, &same);
	play(&t, "0p+ 0b!");
	dlv_trust_begin(&t, &same);
	dlv_trust_answer(&t, &(struct hb_dns_answer){ .ad = true });
	dlv_trust_begin(&t, &same);
	play(&t, "0p+ 0b!");
	assert_int_equal(dlv_trust_now(&t), DLV_TRUST_YES);
}

static void
everything_has_its_words(void **state)
{
	for (int r = 0; r < DLV_TRUST_REASON_COUNT; r++)
		assert_true(
		    strlen(dlv_trust_text((enum dlv_trust_reason)r)) > 10);
	assert_string_equal(dlv_trust_word(DLV_TRUST_UNKNOWN), "unknown");
	assert_string_equal(dlv_trust_word(DLV_TRUST_YES), "yes");
	assert_string_equal(dlv_trust_word(DLV_TRUST_NO), "no");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_DANE_02_rounds),
		cmocka_unit_test(silence_is_asked_again_ever_more_slowly),
		cmocka_unit_test(test_DANE_02_silence_changes_nothing),
		cmocka_unit_test(reload_forgets_what_is_changed),
		cmocka_unit_test(everything_has_its_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
