/* The page of `explain`: each kind of answer, word by word (explain/NAME.json
 * and NAME.txt), and hostile ones. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "common/base/prose.h"
#include "common/control/explain_text.h"
#include "common/proto/envelope.h"

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
	(void)state;
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
	(void)state;
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
	(void)state;
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
	(void)state;
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

	(void)state;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_word_by_word),
		cmocka_unit_test(lines_are_short),
		cmocka_unit_test(strangers_forge_nothing),
		cmocka_unit_test(missing_members_are_no_harm),
		cmocka_unit_test(reasons_are_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
