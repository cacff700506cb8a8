/*
 * makemap, newaliases, praliases: one program with three names, and the only
 * command that writes Berkeley DB.  Floor 4.
 */
#include "config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/conf_load.h"
#include "common/io/file.h"
#include "common/io/map.h"
#include "common/proto/idna.h"

enum { TEXT_MAX = 1 << 30 };

static const char *progname;

static int HB_PRINTF(2, 3)
fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s: ", progname);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	return code;
}

/* Builds FILE.db and says how it went: EX_DATAERR also when some lines of it
 * are bad and were left out. */
static int
build(const char *file, struct hb_span text, enum hb_map_syntax syntax,
    unsigned flags, int *entries)
{
	struct hb_buf err = HB_BUF_INIT(0);
	unsigned bad = 0;
	int r = hb_map_build(file, text, syntax, flags, &bad, &err);

	fwrite(err.n > 0 ? (const char *)err.p + err.off : "", 1, err.n,
	    stderr);
	hb_buf_free(&err);
	if (r < 0)
		return fail(r == HB_E_SYNTAX ? EX_DATAERR : EX_CANTCREAT,
		    "%s.db: %s", file, hb_strerror(r));
	*entries = r;
	return bad > 0 ? EX_DATAERR : EX_OK;
}

/* --- makemap --- */

struct makemap {
	bool append, replace, unmake, verbose;
};

static void
print_row(void *ctx, struct hb_span key, struct hb_span value)
{
	const char *between = ctx;

	fwrite(key.p, 1, key.n, stdout);
	fputs(between, stdout);
	fwrite(value.n > 0 ? value.p : key.p, 1, value.n, stdout);
	putchar('\n');
}

static void
keep_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct hb_buf *text = ctx;

	hb_buf_adds(text, "\"");
	hb_buf_add(text, key);
	hb_buf_adds(text, "\"\t");
	hb_buf_add(text, value);
	hb_buf_adds(text, "\n");
}

static int
read_input(struct hb_buf *text)
{
	int r = hb_read_all(STDIN_FILENO, TEXT_MAX, text);

	if (r == -EFBIG)
		return fail(EX_DATAERR, "the input is too long");
	return r < 0 ? fail(EX_IOERR, "standard input: %s", strerror(-r))
		     : EX_OK;
}

/* "FILE" and "FILE.db" both name the map FILE. */
static char *
map_name(const char *arg)
{
	struct hb_span s = hb_span_str(arg);

	if (s.n > 3 && hb_span_eq(hb_span_from(s, s.n - 3), HB_SPAN(".db")))
		s.n -= 3;
	return hb_span_dup(s);
}

static int
make(const struct makemap *m, const char *file)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int n = 0, code;

	if (m->append && hb_map_dump(file, keep_row, &text) < 0)
		code = fail(EX_NOINPUT, "%s.db cannot be read", file);
	else
		code = read_input(&text);
	if (code == EX_OK)
		code = build(file, hb_buf_span(&text), HB_MAPSYN_TABLE,
		    m->replace ? HB_MAP_REPLACE : 0, &n);
	if (code == EX_OK && m->verbose)
		printf("%s: %d entries\n", file, n);
	hb_buf_free(&text);
	return code;
}

static int
makemap_usage(void)
{
	return fail(EX_USAGE, "usage: makemap [-C FILE] [-N] [-c SIZE] [-f] "
		"[-l] [-o] [-r] [-u] [-v] hash FILE");
}

static int
makemap_main(int argc, char **argv)
{
	struct makemap m = { .append = false };
	char *file;
	int c, code;

	while ((c = getopt(argc, argv, "C:Nc:deflorsuv")) != -1) {
		if (c == 'l') {
			printf("hash\n");
			return EX_OK;
		}
		if (c == '?')
			return makemap_usage();
		m.append = m.append || c == 'o';
		m.replace = m.replace || c == 'r';
		m.unmake = m.unmake || c == 'u';
		m.verbose = m.verbose || c == 'v';
	}
	if (argc - optind != 2)
		return makemap_usage();
	if (strcmp(argv[optind], "hash") != 0)
		return fail(EX_USAGE, "type %s is not made here; hash is",
		    argv[optind]);
	file = map_name(argv[optind + 1]);
	if (!m.unmake)
		code = make(&m, file);
	else
		code = hb_map_dump(file, print_row, (void *)(uintptr_t) "\t") < 0
		    ? fail(EX_NOINPUT, "%s.db cannot be read", file) : EX_OK;
	free(file);
	return code;
}

/* --- newaliases, praliases --- */

/* The aliases of configuration FILE; kind NONE: there are none. */
static char *
aliases_of(const char *conf_file)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf *conf = pd_conf_load(conf_file, hb_idna_domain,
	    &report);
	char *path = conf->aliases.kind == HB_MAP_NONE ||
		conf->aliases.kind == HB_MAP_SOCKET
	    ? NULL : hb_strdup(conf->aliases.arg);

	if (path == NULL && report.errors > 0)
		fprintf(stderr, "%.*s", (int)report.text.n,
		    (const char *)report.text.p + report.text.off);
	hb_buf_free(&report.text);
	hb_conf_free(&conf);
	return path;
}

static int
make_aliases(const char *path)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int r = hb_read_file(path, HB_MAX_MAP_FILE, &text), n = -1, code;

	code = r < 0 ? fail(EX_NOINPUT, "%s: %s", path, hb_file_error(r))
		     : build(path, hb_buf_span(&text), HB_MAPSYN_ALIASES,
			   HB_MAP_SKIP, &n);
	if (n >= 0)
		printf("%s: %d aliases\n", path, n);
	hb_buf_free(&text);
	return code;
}

static int
newaliases_main(int argc, char **argv)
{
	const char *conf = HB_CONF_FILE;
	char *path;
	int c, code = EX_OK;

	while ((c = getopt(argc, argv, "C:vob:")) != -1) {
		if (c == '?')
			return fail(EX_USAGE, "usage: newaliases [-C FILE]");
		if (c == 'C')
			conf = optarg;
	}
	path = aliases_of(conf);
	if (path != NULL)
		code = make_aliases(path);
	else
		code = fail(EX_NOINPUT, "%s names no file of aliases that is "
		    "there", conf);
	free(path);
	return code;
}

/* sendmail's own entry, by which it knows that its database is whole, is no
 * alias. */
static void
print_alias(void *ctx, struct hb_span key, struct hb_span value)
{
	if (!hb_span_eq(key, HB_SPAN("@")) ||
	    !hb_span_eq(value, HB_SPAN("@")))
		print_row(ctx, key, value);
}

static int
print_text(const char *path)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_maptext m;
	struct hb_span key, value;
	int r = hb_read_file(path, HB_MAX_MAP_FILE, &text);

	if (r < 0)
		return fail(EX_NOINPUT, "%s: %s", path, hb_file_error(r));
	hb_maptext_init(&m, hb_buf_span(&text), HB_MAPSYN_ALIASES);
	while ((r = hb_maptext_next(&m, &key, &value)) != 0)
		if (r > 0)
			print_row((void *)(uintptr_t) ":", key, value);
	hb_maptext_free(&m);
	hb_buf_free(&text);
	return EX_OK;
}

static int
print_some(const char *path, char **keys, int n)
{
	struct hb_mapspec spec = { .kind = HB_MAP_AUTO };
	struct hb_buf value = HB_BUF_INIT(0);
	struct hb_map *map;
	char *name = hb_strdup(path);

	spec.arg = name;
	map = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	for (int i = 0; i < n; i++) {
		struct hb_span key = hb_span_str(keys[i]);

		if (hb_map_get(map, key, &value) == 0)
			print_row((void *)(uintptr_t) ":", key,
			    hb_buf_span(&value));
		else
			printf("%s: No such key\n", keys[i]);
	}
	hb_map_close(&map);
	hb_buf_free(&value);
	free(name);
	return EX_OK;
}

static int
praliases_main(int argc, char **argv)
{
	const char *conf = HB_CONF_FILE;
	char *path = NULL;
	int c, code;

	while ((c = getopt(argc, argv, "C:f:")) != -1) {
		if (c == '?')
			return fail(EX_USAGE, "usage: praliases [-C FILE] "
				"[-f FILE] [KEY ...]");
		if (c == 'C')
			conf = optarg;
		if (c == 'f') {
			free(path);
			path = map_name(optarg);
		}
	}
	if (path == NULL)
		path = aliases_of(conf);
	if (path == NULL)
		return fail(EX_CONFIG, "%s names no file of aliases", conf);
	if (optind < argc)
		code = print_some(path, argv + optind, argc - optind);
	else if (hb_map_dump(path, print_alias, (void *)(uintptr_t) ":") == 0)
		code = EX_OK;
	else
		code = print_text(path);
	free(path);
	return code;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} names[] = { { "newaliases", newaliases_main },
		{ "praliases", praliases_main }, { "makemap", makemap_main } };
	const char *slash = strrchr(argv[0], '/');

	progname = slash != NULL ? slash + 1 : argv[0];
	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++)
		if (strcmp(progname, names[i].name) == 0)
			return names[i].run(argc, argv);
	progname = "makemap";
	return makemap_main(argc, argv);
}
