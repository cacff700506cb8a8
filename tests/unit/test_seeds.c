/* Dead spots of the fuzz targets: what stands in no seed is hardly ever
 * reached. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <strings.h>

#include "common/base/buf.h"

/* All seeds of a target, in one. */
static void
read_seeds(const char *target, struct hb_buf *all)
{
	const char *src = getenv("HB_SRCDIR");
	char folder[512], path[1024], block[4096];
	struct dirent *e;
	size_t n;
	DIR *d;
	FILE *f;

	snprintf(folder, sizeof(folder), "%s/tests/fuzz/seeds/%s",
	    src != NULL ? src : ".", target);
	d = opendir(folder);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (f != NULL && (n = fread(block, 1, sizeof(block), f)) > 0)
			hb_buf_add(all, hb_span(block, n));
		if (f != NULL)
			fclose(f);
		hb_buf_adds(all, "\n");
	}
	closedir(d);
}

/* Does a line begin with WORD? */
static bool
has_line(struct hb_span all, const char *word)
{
	size_t n = strlen(word);

	while (all.n > n) {
		if (strncasecmp((const char *)all.p, word, n) == 0 &&
		    (all.p[n] <= ' '))
			return true;
		all = hb_span_from(all, hb_span_find(all, '\n'));
		all = hb_span_from(all, 1);
	}
	return false;
}

static void
have_lines(const char *target, const char *const *words, size_t n)
{
	struct hb_buf all = HB_BUF_INIT(0);
	unsigned missing = 0;

	read_seeds(target, &all);
	for (size_t i = 0; i < n; i++)
		if (!has_line(hb_buf_span(&all), words[i])) {
			print_message("no seed of %s has %s\n", target,
			    words[i]);
			missing++;
		}
	hb_buf_free(&all);
	assert_int_equal(missing, 0);
}

static void
test_A_17_each_word_of_the_configuration_has_a_seed(void **state)
{
	static const char *const words[] = {
#define CONF_WORD(word, ...) word,
#include "common/proto/conf.def"
		"include",
	};

	have_lines("conf", words, HB_ARRAY_LEN(words));
}

static void
test_A_17_each_command_has_a_seed(void **state)
{
	static const char *const verbs[] = {
#define SMTPD_VERB(verb, ...) verb,
#include "smtpd/verb.def"
	};

	have_lines("session", verbs, HB_ARRAY_LEN(verbs));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_A_17_each_word_of_the_configuration_has_a_seed),
		cmocka_unit_test(test_A_17_each_command_has_a_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
