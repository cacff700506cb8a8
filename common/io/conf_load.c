/* Reading the configuration.  Floor 3. */
#include "config.h"

#include "common/io/conf_load.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/file.h"

static int
read_for_parser(void *ctx, const char *path, struct hb_buf *content)
{
	return hb_read_file(path, HB_MAX_LOADED_FILE, content);
}

/* Absolute path of PATH's folder.  Returns owned. */
static char *
folder_of(const char *path)
{
	char *full = realpath(path, NULL), *slash;

	if (full == NULL)
		return hb_strdup("/");
	slash = strrchr(full, '/');
	slash[slash == full ? 1 : 0] = '\0';
	return full;
}

struct hb_conf *
pd_conf_peek(const char *file, struct hb_span text)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	char *dir = folder_of(file);
	struct hb_conf_source src = { .file = file, .dir = dir, .text = text,
		.read = read_for_parser, .default_hostname = "localhost" };
	struct hb_conf *conf = hb_conf_parse(&src, &report);

	hb_buf_free(&report.text);
	free(dir);
	return conf;
}

/* The name without asking anyone; DST holds at least one byte. */
static void
short_name(char *dst, size_t size)
{
	if (gethostname(dst, size) != 0)
		dst[0] = '\0';
	dst[size - 1] = '\0';
}

/* As `hostname -f`: the canonical name that the resolver gives for ours. */
static char *
full_name(const char *name)
{
	struct addrinfo hints = { .ai_flags = AI_CANONNAME,
		.ai_socktype = SOCK_STREAM }, *ai = NULL;
	char *full = NULL;

	if (getaddrinfo(name, NULL, &hints, &ai) == 0 && ai != NULL &&
	    ai->ai_canonname != NULL && strchr(ai->ai_canonname, '.') != NULL)
		full = hb_strdup(ai->ai_canonname);
	if (ai != NULL)
		freeaddrinfo(ai);
	return full;
}

/* Where sendmail has them, if there is anything, even in a database alone. */
static const char *
usual_aliases(void)
{
	static const char path[] = HB_ALIASES_FILE, db[] = HB_ALIASES_FILE ".db";

	return access(path, F_OK) == 0 || access(db, F_OK) == 0 ? path : NULL;
}

struct place {
	const char *file, *dir;
	hb_conf_alabels_fn alabels;
};

static struct hb_conf *
parse(const struct place *at, struct hb_span text, const char *hostname,
    struct hb_conf_report *report)
{
	struct hb_conf_source src = { .file = at->file, .dir = at->dir,
		.text = text,
		.read = read_for_parser, .alabels = at->alabels,
		.default_hostname = hostname[0] != '\0' ? hostname : NULL,
		.default_aliases = usual_aliases() };

	return hb_conf_parse(&src, report);
}

/* Only when our own name is needed and has no domain is the resolver asked;
 * then everything is read again with the answer. */
static struct hb_conf *
parse_with_name(const struct place *at, struct hb_span text,
    struct hb_conf_report *report)
{
	char name[HB_MAX_DOMAIN + 1];
	struct hb_conf *conf;
	char *full;

	short_name(name, sizeof(name));
	conf = parse(at, text, name, report);
	if (conf->hostname == NULL || strcmp(conf->hostname, name) != 0 ||
	    strchr(name, '.') != NULL)
		return conf;
	full = full_name(name);
	if (full == NULL)
		return conf;
	hb_conf_free(&conf);
	hb_buf_clear(&report->text);
	report->errors = report->warnings = 0;
	conf = parse(at, text, full, report);
	free(full);
	return conf;
}

struct hb_conf *
pd_conf_load(const char *file, hb_conf_alabels_fn alabels,
    struct hb_conf_report *report)
{
	struct hb_buf text = HB_BUF_INIT(0);
	char *dir = folder_of(file);
	int r = hb_read_file(file, HB_MAX_LOADED_FILE, &text);
	struct hb_conf *conf;

	if (r < 0)
		hb_buf_clear(&text);
	conf = parse_with_name(&(struct place){ file, dir, alabels },
	    hb_buf_span(&text), report);
	/* An empty file is what a full disk leaves, not the wish for defaults
	 * alone. */
	if (r < 0 || text.n == 0) {
		hb_buf_clear(&report->text);
		hb_buf_addf(&report->text, "%s:1: cannot read it: %s\n", file,
		    r < 0 ? hb_file_error(r) : "It is empty");
		report->errors = 1;
		report->warnings = 0;
	}
	hb_buf_free(&text);
	free(dir);
	return conf;
}

static bool
may_reload(struct hb_span word)
{
	static const struct {
		const char *word;
		unsigned flags;
	} words[] = {
#define CONF_WORD(word, type, field, def, min, max, flags, text)               \
	{ (word), (flags) },
#include "common/proto/conf.def"
#undef CONF_WORD
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (hb_span_eq(word, hb_span_str(words[i].word)))
			return (words[i].flags & HB_CW_RELOAD) != 0;
	return true;
}

/* The lines of TEXT (of hb_conf_dump) whose word may, or may not, change. */
static void
take_lines(struct hb_span text, bool reloadable, struct hb_buf *out)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n'), rest = line;

		if (may_reload(hb_span_word(&rest)) != reloadable)
			continue;
		hb_buf_add(out, line);
		hb_buf_adds(out, "\n");
	}
}

/* Names of the words whose lines in A are not in B. */
static void
name_differences(struct hb_span a, struct hb_span b, struct hb_buf *out)
{
	while (a.n > 0) {
		struct hb_span line = hb_span_cut(&a, '\n'), rest = b,
		    word = line;
		bool found = false;

		while (rest.n > 0 && !found)
			found = hb_span_eq(hb_span_cut(&rest, '\n'), line);
		word = hb_span_word(&word);
		for (rest = hb_buf_span(out); rest.n > 0 && !found;)
			found = hb_span_eq(hb_span_word(&rest), word);
		if (found)
			continue;
		hb_buf_adds(out, out->n > 0 ? " " : "");
		hb_buf_add(out, word);
	}
}

/* CONF's reloadable words and OLD's other ones, read as one text. */
static struct hb_conf *
merge(const struct hb_conf *conf, struct hb_span fixed, struct hb_span after)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_conf_source src = { .file = "(reload)", .dir = "/" };
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf *kept;

	hb_buf_add(&text, fixed);
	take_lines(after, true, &text);
	src.text = hb_buf_span(&text);
	kept = hb_conf_parse(&src, &report);
	HB_ASSERT(report.errors == 0);
	kept->log.given = conf->log.given;
	kept->unbuilt.n = conf->unbuilt.n;
	kept->unbuilt.v = hb_arena_alloc(kept->arena,
	    (conf->unbuilt.n + 1) * sizeof(char *));
	for (size_t i = 0; i < conf->unbuilt.n; i++)
		kept->unbuilt.v[i] = hb_arena_cstr(kept->arena,
		    hb_span_str(conf->unbuilt.v[i]));
	hb_buf_free(&text);
	hb_buf_free(&report.text);
	return kept;
}

struct hb_conf *
pd_conf_keep_fixed(const struct hb_conf *old, struct hb_conf *conf,
    struct hb_buf *changed)
{
	struct hb_buf before = HB_BUF_INIT(0), after = HB_BUF_INIT(0),
	    fixed = HB_BUF_INIT(0), wanted = HB_BUF_INIT(0);
	struct hb_conf *kept = conf;

	hb_conf_dump(old, &before);
	hb_conf_dump(conf, &after);
	take_lines(hb_buf_span(&before), false, &fixed);
	take_lines(hb_buf_span(&after), false, &wanted);
	name_differences(hb_buf_span(&wanted), hb_buf_span(&fixed), changed);
	/* a line that is no longer there is a change too */
	name_differences(hb_buf_span(&fixed), hb_buf_span(&wanted), changed);
	if (changed->n > 0)
		kept = merge(conf, hb_buf_span(&fixed), hb_buf_span(&after));
	hb_buf_free(&before);
	hb_buf_free(&after);
	hb_buf_free(&fixed);
	hb_buf_free(&wanted);
	return kept;
}
