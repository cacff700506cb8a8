/* The page of `explain`: each kind of answer, word by word (explain/NAME.json
 * and NAME.txt), and hostile ones. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "common/base/prose.h"
#include "common/control/explain_text.h"
#include "common/proto/envelope.h"
#include "common/proto/status.h"

static const char *const names[] = { "alias", "certificate", "dane",
	"dane-error", "dane-insecure", "dane-mismatch", "enforce",
	"enforce-live", "local", "mismatch", "no-address",
	"no-domain", "no-record", "none", "null-mx", "operator", "refused",
	"smarthost", "stripped", "testing", "unknown", "unreachable" };

static struct hb_buf
read_file(const char *name, const char *ending)
{
	struct hb_buf b = HB_BUF_INIT(0);
	char path[1024], bytes[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/unit/explain/%s.%s",
	    getenv("HB_SRCDIR"), name, ending);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s", path);
	while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		hb_buf_add(&b, hb_span(bytes, n));
	fclose(f);
	return b;
}

static json_t *
read_answer(const char *name)
{
	struct hb_buf b = read_file(name, "json");
	json_t *e = json_loadb((const char *)b.p, b.n, 0, NULL), *host;
	size_t i;

	hb_buf_free(&b);
	assert_non_null(e);
	ctl_explain_why(e, true);
	json_array_foreach(json_object_get(e, "mx"), i, host)
		ctl_explain_why(host, false);
	return e;
}

static char *
page_of(const json_t *e)
{
	struct hb_buf out = HB_BUF_INIT(0);

	ctl_explain_page(&out, e);
	hb_buf_add(&out, hb_span("", 1));
	return (char *)out.p;
}

static void
pages_word_by_word(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++) {
		json_t *e = read_answer(names[i]);
		struct hb_buf want = read_file(names[i], "txt");
		char *got = page_of(e);

		if (!hb_span_eq(hb_buf_span(&want), hb_span_str(got)))
			fail_msg("%s is now:\n%s", names[i], got);
		free(got);
		hb_buf_free(&want);
		json_decref(e);
	}
}

static void
lines_are_short(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++) {
		json_t *e = read_answer(names[i]);
		char *got = page_of(e);
		struct hb_span rest = hb_span_str(got);

		while (rest.n > 0) {
			struct hb_span line = hb_span_trim(
			    hb_span_cut(&rest, '\n'));

			if (line.n > HB_PROSE_WIDTH &&
			    hb_span_find(line, ' ') < line.n)
				fail_msg("%s: %.*s", names[i], (int)line.n,
				    (const char *)line.p);
		}
		free(got);
		json_decref(e);
	}
}

/* Every string becomes an attacker's. */
static void
poison(json_t *v)
{
	static const char evil[] = "\x1b[2J\r\nThe outcome\n\xe2\x80\xae"
				   "\xc2\x9b" "1m\x7f";
	const char *key;
	json_t *m;
	size_t i;

	json_array_foreach(v, i, m)
	{
		if (json_is_string(m))
			json_array_set_new(v, i, json_string(evil));
		else
			poison(m);
	}
	json_object_foreach(v, key, m)
	{
		if (json_is_string(m))
			json_string_set(m, evil);
		else
			poison(m);
	}
}

static size_t
count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

/* No stranger's byte acts on a terminal, begins a line, or turns the text
 * around. */
static void
strangers_forge_nothing(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++) {
		json_t *e = read_answer(names[i]);
		char *got;

		poison(e);
		got = page_of(e);
		for (const char *c = got; *c != '\0'; c++)
			assert_true((unsigned char)*c >= ' ' || *c == '\n');
		assert_null(strchr(got, 0x7f));
		assert_null(strstr(got, "\xc2\x9b"));
		assert_null(strstr(got, "\xe2\x80\xae"));
		assert_int_equal(count(got, "\nThe outcome"), 1);
		free(got);
		json_decref(e);
	}
}

/* What a role did not send, or sent as something else, is no harm. */
static void
missing_members_are_no_harm(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++) {
		json_t *e = read_answer(names[i]), *m;
		const char *key;
		void *next;

		json_object_foreach_safe(e, next, key, m)
		{
			char *got;

			(void)json_object_set_new(e, key, json_integer(7));
			got = page_of(e);
			assert_non_null(strstr(got, "The outcome"));
			free(got);
			json_object_del(e, key);
		}
		json_decref(e);
	}
}

static bool
is_sentence(const char *s)
{
	size_t n = strlen(s);

	return n > 2 && s[0] >= 'A' && s[0] <= 'Z' && s[n - 1] == '.';
}

/* For people who never read an RFC: an abbreviation stands beside what it
 * means, or not at all. */
static void
reasons_are_for_people(void **state)
{
	static const struct {
		const char *word, *meaning;
	} abbreviations[] = { { "MTA-STS", "polic" }, { "DANE", "signed" },
		{ "TLS", "ncryption" }, { "DNSSEC", "sign" },
		{ "SMTP", "mail" }, { "MX", "mail host" },
		{ "TLSA", "" }, { "RFC", "" }, { "PKIX", "" } };

	for (unsigned r = HB_REASON_OK; r < HB_REASON_COUNT; r++) {
		const char *text = hb_reason_text((enum hb_reason)r),
			   *advice = hb_reason_advice((enum hb_reason)r);

		assert_false(is_sentence(text));
		if (advice[0] != '\0' && !is_sentence(advice))
			fail_msg("%s", advice);
		for (size_t i = 0; i < HB_ARRAY_LEN(abbreviations); i++) {
			const char *at = strstr(text, abbreviations[i].word);

			/* "(TLS)" is explained by what it stands behind */
			if (at == NULL || at[-1] == '-' ||
			    strstr(text, "TLS-Required") != NULL ||
			    strstr(text, "REQUIRETLS") != NULL ||
			    strstr(text, "STARTTLS") != NULL)
				continue;
			if (abbreviations[i].meaning[0] == '\0' ||
			    strstr(text, abbreviations[i].meaning) == NULL)
				fail_msg("%s", text);
		}
	}
	assert_string_equal(hb_reason_advice(HB_REASON_COUNT), "");
}

/* What is refused for good is of class 5, and nobody's mail is for a mistake
 * of the operator's; what only states something has no codes. */
static void
codes_of_reasons_fit_their_results(void **state)
{
	for (unsigned i = 0; i < HB_REASON_COUNT; i++) {
		enum hb_reason r = (enum hb_reason)i;
		enum hb_result usual = hb_reason_result(r);
		char class = usual == HB_RESULT_FAIL ? '5' : '4';
		const char *word = hb_reason_word(r),
			   *status = hb_reason_status(r, usual);

		if (usual == HB_RESULT_NONE) {
			assert_int_equal(hb_reason_code(r, HB_RESULT_DEFER), 0);
			assert_string_equal(status, "");
			continue;
		}
		if (usual == HB_RESULT_FAIL && !hb_reason_is_final(r))
			fail_msg("%s is final", word);
		if (!hb_status_is_valid(hb_span_str(status)) ||
		    status[0] != class ||
		    hb_reason_code(r, usual) / 100 != (unsigned)class - '0')
			fail_msg("%s: %u %s", word, hb_reason_code(r, usual),
			    status);
		assert_int_equal(hb_reason_status(r, HB_RESULT_DEFER)[0], '4');
		assert_int_equal(hb_reason_code(r, HB_RESULT_DEFER) / 100, 4);
		assert_int_equal(hb_reason_status(r, HB_RESULT_FAIL)[0], '5');
		assert_int_equal(hb_reason_code(r, HB_RESULT_FAIL) / 100, 5);
	}
	assert_string_equal(hb_reason_status(HB_REASON_NULL_MX,
	    HB_RESULT_FAIL), "5.1.10");
	assert_string_equal(hb_reason_status(HB_REASON_DNS_NO_ADDRESS,
	    HB_RESULT_DEFER), "4.4.4");
}

/* Once more apart from the rows: whoever gives a meaning decides how mail for
 * that reason is treated, and has to mean it. */
static void
meanings_of_reasons_are_meant(void **state)
{
	static const struct {
		unsigned what;
		const char *words;
	} rows[] = {
		{ HB_WHY_NO_TLS, " no-starttls starttls-refused tls-handshake "
		    "tls-version " },
		{ HB_WHY_DNSSEC, " cert-untrusted cert-self-signed "
		    "cert-expired cert-name mx-unproven " },
		{ HB_WHY_PASSES, " dane-dns dane-unprobed clock downgrade " },
		{ HB_WHY_UNREACHED, " connect-refused connect-timeout "
		    "connect-failed connection-lost reply-timeout host-down "
		    "backend-down " },
		{ HB_WHY_OPEN, " sts-ok dane-ok dane-unusable operator "
		    "requiretls-ok " },
		{ HB_WHY_NO_HOST, " dns-no-domain dns-no-address null-mx " },
		{ HB_WHY_NO_ADDRESS, " dns-no-address dns-temporary " },
		{ HB_WHY_NO_USER, " user-unknown " },
	};
	char word[64];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (unsigned r = HB_REASON_OK; r < HB_REASON_COUNT; r++) {
			snprintf(word, sizeof(word), " %s ",
			    hb_reason_word((enum hb_reason)r));
			if (hb_reason_means((enum hb_reason)r, rows[i].what) !=
			    (strstr(rows[i].words, word) != NULL))
				fail_msg("%s%u", word, rows[i].what);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_word_by_word),
		cmocka_unit_test(lines_are_short),
		cmocka_unit_test(strangers_forge_nothing),
		cmocka_unit_test(missing_members_are_no_harm),
		cmocka_unit_test(reasons_are_for_people),
		cmocka_unit_test(codes_of_reasons_fit_their_results),
		cmocka_unit_test(meanings_of_reasons_are_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
