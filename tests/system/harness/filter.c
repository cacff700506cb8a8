/*
 * A filter made with libmilter: it does what a script says, and notes what it
 * was told.
 *
 *	filter SOCKET SCRIPT NOTES
 *
 * A line of the script is `STAGE[=WORD] ACTION [ARGUMENT ...]', with tabs in
 * between; it counts where an argument of the stage contains WORD.  In an
 * argument \r, \n, \t and \\ are what they are in C.  A line of the notes is
 * `STAGE ARGUMENT ...' or `macro STAGE NAME VALUE', written in the same way.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libmilter/mfapi.h>

#define MOST_ROWS 64
#define MOST_WORDS 6

/* A line of the script. */
struct row {
	char *stage, *match, *action;
	char *args[MOST_WORDS];
};

static struct row rows[MOST_ROWS];
static size_t row_count;
static FILE *notes;

static const char *const macros[] = { "i", "j", "_", "{daemon_name}",
	"{daemon_addr}", "{daemon_port}", "{if_name}", "{if_addr}",
	"{client_addr}", "{client_name}", "{client_port}", "{client_ptr}",
	"{tls_version}", "{cipher}", "{cipher_bits}", "{auth_type}",
	"{auth_authen}", "{auth_author}", "{mail_addr}", "{mail_host}",
	"{mail_mailer}", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}" };

/* --- the script --- */

static void
unescape(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == '\\' && s[1] != '\0') {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 'r' ? '\r' :
			    *s == 't' ? '\t' : *s;
		} else
			*to++ = *s;
	}
	*to = '\0';
}

static void
read_row(char *line, struct row *row)
{
	char *words[MOST_WORDS + 2] = { 0 }, *save = NULL;
	size_t n = 0;

	for (char *w = strtok_r(line, "\t\n", &save);
	    w != NULL && n < MOST_WORDS + 2; w = strtok_r(NULL, "\t\n", &save)) {
		unescape(w);
		words[n++] = w;
	}
	if (n < 2)
		abort();
	row->stage = words[0];
	row->match = strchr(words[0], '=');
	if (row->match != NULL)
		*row->match++ = '\0';
	row->action = words[1];
	memcpy(row->args, words + 2, sizeof(row->args));
}

static void
read_script(const char *path)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;

	if (f == NULL)
		abort();
	while (getline(&line, &size, f) > 0) {
		if (row_count == MOST_ROWS)
			abort();
		read_row(line, &rows[row_count++]);
		line = NULL;
	}
	free(line);
	fclose(f);
}

/* --- the notes --- */

static void
put_word(const char *s)
{
	putc('\t', notes);
	for (; s != NULL && *s != '\0'; s++) {
		if (*s == '\r')
			fputs("\\r", notes);
		else if (*s == '\n')
			fputs("\\n", notes);
		else if (*s == '\t')
			fputs("\\t", notes);
		else if (*s == '\\')
			fputs("\\\\", notes);
		else
			putc(*s, notes);
	}
}

/* The macros first: who sees the stage has seen them. */
static void
note(SMFICTX *ctx, const char *stage, char *const *args)
{
	flockfile(notes);
	for (size_t i = 0; i < sizeof(macros) / sizeof(*macros); i++) {
		const char *value = ctx == NULL ? NULL :
		    smfi_getsymval(ctx, (char *)(uintptr_t)macros[i]);

		if (value == NULL)
			continue;
		fprintf(notes, "macro\t%s", stage);
		put_word(macros[i]);
		put_word(value);
		putc('\n', notes);
	}
	fputs(stage, notes);
	for (; args != NULL && *args != NULL; args++)
		put_word(*args);
	putc('\n', notes);
	fflush(notes);
	funlockfile(notes);
}

/* --- actions --- */

static int
index_of(const char *word)
{
	return (int)strtol(word, NULL, 10);
}

static int
do_addheader(SMFICTX *ctx, char **a)
{
	return smfi_addheader(ctx, a[0], a[1]);
}

static int
do_insheader(SMFICTX *ctx, char **a)
{
	return smfi_insheader(ctx, index_of(a[0]), a[1], a[2]);
}

/* Without a value it is taken out. */
static int
do_chgheader(SMFICTX *ctx, char **a)
{
	return smfi_chgheader(ctx, a[1], index_of(a[0]), a[2]);
}

static int
do_chgfrom(SMFICTX *ctx, char **a)
{
	return smfi_chgfrom(ctx, a[0], a[1]);
}

static int
do_addrcpt(SMFICTX *ctx, char **a)
{
	return a[1] == NULL ? smfi_addrcpt(ctx, a[0]) :
	    smfi_addrcpt_par(ctx, a[0], a[1]);
}

static int
do_delrcpt(SMFICTX *ctx, char **a)
{
	return smfi_delrcpt(ctx, a[0]);
}

/* With the bytes of a file, in pieces. */
static int
do_body(SMFICTX *ctx, char **a)
{
	unsigned char part[30000];
	FILE *f = fopen(a[0], "r");
	size_t n;
	int rc = MI_SUCCESS;

	if (f == NULL)
		abort();
	while (rc == MI_SUCCESS && (n = fread(part, 1, sizeof(part), f)) > 0)
		rc = smfi_replacebody(ctx, part, (int)n);
	fclose(f);
	return rc;
}

static int
do_quarantine(SMFICTX *ctx, char **a)
{
	return smfi_quarantine(ctx, a[0]);
}

static int
do_progress(SMFICTX *ctx, char **a)
{
	(void)a;
	return smfi_progress(ctx);
}

/* CODE XCODE and up to three lines; what it returns decides further on. */
static int
do_reply(SMFICTX *ctx, char **a)
{
	return a[3] == NULL ? smfi_setreply(ctx, a[0], a[1], a[2]) :
	    smfi_setmlreply(ctx, a[0], a[1], a[2], a[3], a[4], NULL);
}

static int
do_sleep(SMFICTX *ctx, char **a)
{
	(void)ctx;
	sleep((unsigned)index_of(a[0]));
	return MI_SUCCESS;
}

static int
do_die(SMFICTX *ctx, char **a)
{
	(void)ctx, (void)a;
	_exit(1);
}

static const struct {
	const char *name;
	int (*run)(SMFICTX *ctx, char **args);
} actions[] = {
	{ "addheader", do_addheader },
	{ "insheader", do_insheader },
	{ "chgheader", do_chgheader },
	{ "chgfrom", do_chgfrom },
	{ "addrcpt", do_addrcpt },
	{ "delrcpt", do_delrcpt },
	{ "body", do_body },
	{ "quarantine", do_quarantine },
	{ "progress", do_progress },
	{ "reply", do_reply },
	{ "sleep", do_sleep },
	{ "die", do_die },
};

static const struct {
	const char *name;
	sfsistat status;
} verdicts[] = {
	{ "accept", SMFIS_ACCEPT },
	{ "reject", SMFIS_REJECT },
	{ "tempfail", SMFIS_TEMPFAIL },
	{ "discard", SMFIS_DISCARD },
	{ "skip", SMFIS_SKIP },
};

static void
act(SMFICTX *ctx, struct row *row)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(actions[i].name, row->action) == 0) {
			if (actions[i].run(ctx, row->args) != MI_SUCCESS)
				note(NULL, "failed", (char *[]){ row->action,
				    row->args[0], NULL });
			return;
		}
	abort();
}

static int
meets(const struct row *row, const char *stage, char *const *args)
{
	if (strcmp(row->stage, stage) != 0)
		return 0;
	if (row->match == NULL)
		return 1;
	for (; *args != NULL; args++)
		if (strstr(*args, row->match) != NULL)
			return 1;
	return 0;
}

/* All actions of a stage, until a verdict. */
static sfsistat
play(SMFICTX *ctx, const char *stage, char *const *args)
{
	note(ctx, stage, args);
	for (size_t i = 0; i < row_count; i++) {
		size_t v = 0, n = sizeof(verdicts) / sizeof(*verdicts);

		if (!meets(&rows[i], stage, args))
			continue;
		while (v < n && strcmp(verdicts[v].name, rows[i].action) != 0)
			v++;
		if (v < n)
			return verdicts[v].status;
		act(ctx, &rows[i]);
	}
	return SMFIS_CONTINUE;
}

/* --- stages --- */

static sfsistat
on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
	(void)address;
	return play(ctx, "connect", (char *[]){ host, NULL });
}

static sfsistat
on_helo(SMFICTX *ctx, char *name)
{
	return play(ctx, "helo", (char *[]){ name, NULL });
}

static sfsistat
on_mail(SMFICTX *ctx, char **args)
{
	return play(ctx, "mail", args);
}

static sfsistat
on_rcpt(SMFICTX *ctx, char **args)
{
	return play(ctx, "rcpt", args);
}

static sfsistat
on_data(SMFICTX *ctx)
{
	return play(ctx, "data", (char *[]){ NULL });
}

static sfsistat
on_unknown(SMFICTX *ctx, const char *line)
{
	return play(ctx, "unknown", (char *[]){ (char *)(uintptr_t)line, NULL });
}

static sfsistat
on_header(SMFICTX *ctx, char *name, char *value)
{
	return play(ctx, "header", (char *[]){ name, value, NULL });
}

static sfsistat
on_eoh(SMFICTX *ctx)
{
	return play(ctx, "eoh", (char *[]){ NULL });
}

static sfsistat
on_body(SMFICTX *ctx, unsigned char *part, size_t n)
{
	char *text = strndup((char *)part, n);
	sfsistat status = play(ctx, "body", (char *[]){ text, NULL });

	free(text);
	return status;
}

static sfsistat
on_eom(SMFICTX *ctx)
{
	return play(ctx, "eom", (char *[]){ NULL });
}

static sfsistat
on_abort(SMFICTX *ctx)
{
	return play(ctx, "abort", (char *[]){ NULL });
}

static sfsistat
on_close(SMFICTX *ctx)
{
	return play(ctx, "close", (char *[]){ NULL });
}

/* What the script says of it: `actions HEX', `steps HEX' (of SMFIP_*), and
 * `macros STAGE NAMES'. */
static sfsistat
on_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1,
    unsigned long f2, unsigned long f3, unsigned long *p0, unsigned long *p1,
    unsigned long *p2, unsigned long *p3)
{
	char actions_word[20], steps_word[20];

	(void)f2, (void)f3;
	snprintf(actions_word, sizeof(actions_word), "%lx", f0);
	snprintf(steps_word, sizeof(steps_word), "%lx", f1);
	note(ctx, "negotiate", (char *[]){ actions_word, steps_word, NULL });
	*p0 = f0;
	*p1 = f1 & SMFIP_SKIP;
	*p2 = *p3 = 0;
	for (size_t i = 0; i < row_count; i++) {
		struct row *row = &rows[i];

		if (strcmp(row->stage, "negotiate") != 0)
			continue;
		if (strcmp(row->action, "steps") == 0)
			*p1 = strtoul(row->args[0], NULL, 16);
		else if (strcmp(row->action, "actions") == 0)
			*p0 = strtoul(row->args[0], NULL, 16);
		else if (smfi_setsymlist(ctx, index_of(row->args[0]),
		    row->args[1]) != MI_SUCCESS)
			abort();
	}
	return SMFIS_CONTINUE;
}

static struct smfiDesc description = {
	.xxfi_name = (char[]){ "tests" },
	.xxfi_version = SMFI_VERSION,
	.xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY |
	    SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR | SMFIF_DELRCPT |
	    SMFIF_QUARANTINE | SMFIF_CHGFROM | SMFIF_SETSYMLIST,
	.xxfi_connect = on_connect,
	.xxfi_helo = on_helo,
	.xxfi_envfrom = on_mail,
	.xxfi_envrcpt = on_rcpt,
	.xxfi_header = on_header,
	.xxfi_eoh = on_eoh,
	.xxfi_body = on_body,
	.xxfi_eom = on_eom,
	.xxfi_abort = on_abort,
	.xxfi_close = on_close,
	.xxfi_unknown = on_unknown,
	.xxfi_data = on_data,
	.xxfi_negotiate = on_negotiate,
};

int
main(int argc, char **argv)
{
	if (argc != 4 || (notes = fopen(argv[3], "a")) == NULL)
		return 64;
	read_script(argv[2]);
	if (smfi_setconn(argv[1]) != MI_SUCCESS ||
	    smfi_register(description) != MI_SUCCESS)
		return 1;
	return smfi_main() == MI_SUCCESS ? 0 : 1;
}
