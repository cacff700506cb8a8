/* hauberkctl: commands to a running server.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/proto/ctlcmd.h"
#include "common/io/ctlclient.h"

enum { COULD_NOT = 1 };

/* The commands whose first word is FIRST, or all of them.  False: none is. */
static bool
print_commands(FILE *to, struct hb_span first)
{
	bool any = false;

	for (size_t i = 0; i < HB_CMD_COUNT; i++) {
		const struct hb_ctl_cmd_info *c = &hb_ctl_cmds[i];
		struct hb_span words = hb_span_str(c->words);
		int n;

		if (first.n > 0 && !hb_span_eq(hb_span_word(&words), first))
			continue;
		any = true;
		n = fprintf(to, "  %s %s", c->words, c->args);
		fprintf(to, "%*s %s\n", n < 36 ? 36 - n : 0, "", c->text);
	}
	return any;
}

static void
print_usage(FILE *to)
{
	fprintf(to, "usage: hauberkctl [-f FILE | -s SOCKET] [--json] "
		    "COMMAND\n\n");
	(void)print_commands(to, HB_SPAN_NONE);
}

struct ctl_options {
	const char *file; /* NULL: the usual one */
	char *socket; /* owned, or NULL */
	bool json;
};

/* 0, or the exit code plus 1. */
static int
take_options(int argc, char **argv, struct ctl_options *o)
{
	static const struct option names[] = { { "json", 0, NULL, 'j' },
		{ "help", 0, NULL, 'h' }, { "version", 0, NULL, 'V' },
		{ NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "+f:s:Vh", names, NULL)) != -1) {
		if (c == 'f') {
			o->file = optarg;
		} else if (c == 's') {
			free(o->socket);
			o->socket = hb_strdup(optarg);
		} else if (c == 'j') {
			o->json = true;
		} else if (c == 'V') {
			printf("hauberkctl %s\n", PACKAGE_VERSION);
			return EX_OK + 1;
		} else {
			print_usage(c == 'h' ? stdout : stderr);
			return c == 'h' ? EX_OK + 1 : EX_USAGE + 1;
		}
	}
	return 0;
}

/* The command line as a question; --json may stand anywhere before "--". */
static int
take_words(int argc, char **argv, struct ctl_options *o,
    struct hb_ctl_question *q)
{
	for (int i = optind; i < argc; i++) {
		struct hb_span word = hb_span_str(argv[i]);

		if (hb_span_eq(word, HB_SPAN("--json"))) {
			o->json = true;
			continue;
		}
		if (q->nwords == HB_CTL_WORDS)
			return HB_E_RANGE;
		q->words[q->nwords++] = word;
	}
	q->json = o->json;
	return 0;
}

/* Words that this build has no function for yet. */
static bool
is_unbuilt(struct hb_span word)
{
	static const char *const words[] = { "tls-report" };

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (hb_span_eq(word, hb_span_str(words[i])))
			return true;
	return false;
}

static bool
is_help(struct hb_span word)
{
	return hb_span_eq(word, HB_SPAN("help")) ||
	    hb_span_eq(word, HB_SPAN("-h")) ||
	    hb_span_eq(word, HB_SPAN("--help"));
}

/* `help`, `help WORD`, `WORD -h`.  False: nobody asks for it. */
static bool
help(const struct hb_ctl_question *q)
{
	bool first = q->nwords > 0 && is_help(q->words[0]);
	struct hb_span about = HB_SPAN_NONE;

	if (!first && (q->nwords < 2 || !is_help(q->words[q->nwords - 1])))
		return false;
	if (!first)
		about = q->words[0];
	else if (q->nwords > 1)
		about = q->words[1];
	if (about.n == 0 || !print_commands(stdout, about))
		print_usage(stdout);
	return true;
}

/* A word that looks like an option and is none, or NONE. */
static struct hb_span
unknown_option(const struct hb_ctl_question *q)
{
	static const char *const known[] = { "--live", "--verify", "--mailq",
		"--prometheus" };

	for (size_t i = 0; i < q->nwords; i++) {
		struct hb_span w = q->words[i];
		/* "-5m" is a time that is none, not an option */
		bool good = w.n < 2 || w.p[0] != '-' || hb_is_digit(w.p[1]);

		for (size_t k = 0; k < HB_ARRAY_LEN(known); k++)
			good = good || hb_span_eq(w, hb_span_str(known[k]));
		if (!good)
			return w;
	}
	return HB_SPAN_NONE;
}

static int
unknown(const struct hb_ctl_question *q)
{
	if (q->nwords == 1 && print_commands(stderr, q->words[0]))
		return EX_USAGE;
	if (q->nwords > 0 && is_unbuilt(q->words[0])) {
		fprintf(stderr, "hauberkctl: '%.*s' has no function in this "
		    "build\n", HB_SPAN_ARG(q->words[0]));
		return COULD_NOT;
	}
	if (q->nwords > 0)
		fprintf(stderr, "hauberkctl: no such command:");
	for (size_t i = 0; i < q->nwords; i++)
		fprintf(stderr, " %.*s", HB_SPAN_ARG(q->words[i]));
	if (q->nwords > 0)
		fprintf(stderr, "\n\n");
	print_usage(stderr);
	return EX_USAGE;
}

static int
check(const struct hb_ctl_question *q, enum hb_ctl_cmd *cmd)
{
	int r = hb_ctl_cmd_find(q->words, q->nwords, cmd);
	struct hb_span option = unknown_option(q);

	if (option.n > 0)
		fprintf(stderr, "hauberkctl: option '%.*s' is not known\n",
		    HB_SPAN_ARG(option));
	else if (r > 0)
		return EX_OK;
	if (r <= 0 && r != HB_E_RANGE)
		return option.n > 0 ? EX_USAGE : unknown(q);
	fprintf(stderr, "usage: hauberkctl %s %s\n", hb_ctl_cmds[*cmd].words,
	    hb_ctl_cmds[*cmd].args);
	return EX_USAGE;
}

/* What is sent behind the question.  False: it cannot be opened. */
static bool
open_input(enum hb_ctl_cmd cmd, const struct hb_ctl_question *q, FILE **input)
{
	char path[PATH_MAX];

	*input = NULL;
	if (!hb_ctl_cmds[cmd].takes_file)
		return true;
	if (hb_span_copy(q->words[q->nwords - 1], path, sizeof(path)) < 0)
		errno = ENAMETOOLONG;
	else
		*input = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (*input == NULL)
		perror(path);
	return *input != NULL;
}

/* Where the answer goes.  What is there stays: it may be all that is left of
 * a queue.  False: it cannot be made. */
static bool
open_output(enum hb_ctl_cmd cmd, const struct hb_ctl_question *q,
    char path[PATH_MAX], FILE **output)
{
	int fd;

	*output = stdout;
	path[0] = '\0';
	if (cmd != HB_CMD_EXPORT)
		return true;
	if (q->nwords == 1 || hb_span_eq(q->words[1], HB_SPAN("-"))) {
		if (!isatty(STDOUT_FILENO))
			return true;
		fprintf(stderr, "hauberkctl: the mail would be shown on the "
		    "terminal: name a file\n");
		return false;
	}
	if (hb_span_copy(q->words[1], path, PATH_MAX) < 0) {
		fprintf(stderr, "hauberkctl: the name is too long\n");
		return false;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	*output = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (*output == NULL)
		perror(path);
	return *output != NULL;
}

/* The mail may be removed here once it is safe there. */
static int
close_output(FILE *output, const char *path, int code)
{
	struct stat st;

	if (output == stdout)
		return code;
	if (ferror(output) || fflush(output) != 0 ||
	    fsync(fileno(output)) != 0) {
		perror(path);
		code = code == EX_OK ? COULD_NOT : code;
	}
	if (code != EX_OK && fstat(fileno(output), &st) == 0 &&
	    st.st_size == 0)
		(void)unlink(path);
	(void)fclose(output);
	return code;
}

/* A file that was named and cannot be read must not end at the server of
 * another one.  False after a message. */
static bool
find_socket(struct ctl_options *o)
{
	if (o->file != NULL && access(o->file, R_OK) != 0) {
		perror(o->file);
		return false;
	}
	o->socket = ctl_socket_of(o->file != NULL ? o->file : HB_CONF_FILE);
	return true;
}

/* 0, 1, 64 and 69 are all that is promised. */
static int
of_ours(int code)
{
	return code == EX_OK || code == EX_USAGE || code == EX_UNAVAILABLE
	    ? code : COULD_NOT;
}

int
main(int argc, char **argv)
{
	struct ctl_options o = { .file = NULL };
	struct hb_ctl_question q = { .json = false };
	enum hb_ctl_cmd cmd = HB_CMD_COUNT;
	char path[PATH_MAX];
	FILE *input, *output;
	int code = take_options(argc, argv, &o);

	if (code != 0)
		return code - 1;
	if (take_words(argc, argv, &o, &q) < 0)
		return EX_USAGE;
	if (help(&q))
		return EX_OK;
	code = check(&q, &cmd);
	if (code != EX_OK)
		return code;
	if (!open_input(cmd, &q, &input))
		return COULD_NOT;
	if (o.socket == NULL && !find_socket(&o))
		return EX_UNAVAILABLE;
	if (!open_output(cmd, &q, path, &output))
		return COULD_NOT;
	code = ctl_ask_daemon(o.socket, &q, input, output,
	    cmd == HB_CMD_STOP);
	free(o.socket);
	code = close_output(output, path, code);
	return of_ours(code);
}
