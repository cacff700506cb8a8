/* sendmail, mailq, newaliases.  Floor 4. */
#include "config.h"

#include "common/tools/sendmail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/io/conf_load.h"
#include "common/io/ctlclient.h"
#include "common/proto/idna.h"

/* A caller may not be able to read all that the file names: what was read
 * counts, and the parts that matter are checked again by others. */
static void
load_conf(struct sm *s)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };

	s->conf = pd_conf_load(s->conf_file != NULL ? s->conf_file
						    : HB_CONF_FILE,
	    hb_idna_domain, &report);
	hb_buf_free(&report.text);
	if (hb_span_copy(hb_span_str(hb_conf_origin(s->conf)), s->origin,
		sizeof(s->origin)) < 0)
		s->origin[0] = '\0';
}

/* ARG and OPTION may be empty. */
static int
ask(const struct sm *s, const char *command, struct hb_span arg,
    struct hb_span option, FILE *to)
{
	struct hb_ctl_question q = { .nwords = 1,
		.words = { hb_span_str(command), arg, option } };
	char *socket = ctl_socket_of(s->conf_file != NULL ? s->conf_file
							  : HB_CONF_FILE);
	int code;

	if (arg.n > 0)
		q.nwords = option.n > 0 ? 3 : 2;
	code = ctl_ask_daemon(socket, &q, NULL, to, false);
	free(socket);
	return code;
}

/* The number behind "Total requests: " in the last line of LIST. */
static uint64_t
total_of(FILE *list)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	uint64_t total = 0;

	rewind(list);
	while ((n = getline(&line, &cap, list)) >= 0) {
		struct hb_span s = hb_span_trim(hb_span(line, (size_t)n));

		if (hb_span_has_prefix_nocase(s, HB_SPAN("Total requests: ")) &&
		    hb_span_u64(hb_span_from(s, 16), UINT64_MAX, &total) < 0)
			total = 0;
	}
	free(line);
	return total;
}

/*
 * As sendmail prints it, since monitoring reads its first and last lines.
 * The first has the number that is known at the end alone.
 */
static int
list_queue(struct sm *s)
{
	FILE *list = tmpfile();
	char part[4096];
	uint64_t total;
	size_t n;
	int code;

	if (list == NULL)
		return sm_fail(EX_OSERR, "%s", strerror(errno));
	code = ask(s, "queue", HB_SPAN("--mailq"), HB_SPAN_NONE, list);
	total = total_of(list);
	if (code == EX_OK && total == 0)
		printf("/var/spool/mqueue is empty\n");
	else if (code == EX_OK)
		printf("\t\t/var/spool/mqueue (%llu request%s)\n"
		    "-----Q-ID------- --Size-- -----Q-Time----- "
		    "------------Sender/Recipient-----------\n",
		    (unsigned long long)total, total == 1 ? "" : "s");
	rewind(list);
	while ((n = fread(part, 1, sizeof(part), list)) > 0)
		if (fwrite(part, 1, n, stdout) != n)
			code = EX_IOERR;
	fclose(list);
	return fflush(stdout) == 0 ? code : EX_IOERR;
}

static int
flush_queue(struct sm *s)
{
	int code = ask(s, "flush", hb_span_str(s->o.flush), HB_SPAN_NONE,
	    stdout);

	/* a run of the queue that found nothing is one */
	return code == 1 ? EX_OK : code;
}

/* A name without domain is a mailbox or an alias here, as in all that this
 * command takes. */
static int
explain(const struct sm *s, struct hb_span address, struct hb_span option)
{
	struct hb_buf full = HB_BUF_INIT(0);
	int code;

	hb_buf_add(&full, address);
	if (hb_span_find(address, '@') == address.n)
		hb_buf_addf(&full, "@%s", s->origin);
	code = ask(s, "explain", hb_buf_span(&full), option, stdout);
	hb_buf_free(&full);
	return code;
}

static int
verify(struct sm *s)
{
	int code = EX_OK;

	if (s->o.nrcpts == 0)
		return sm_fail(EX_USAGE, "no address to verify");
	for (int i = 0; i < s->o.nrcpts; i++) {
		int r = explain(s, hb_span_str(s->o.rcpts[i]),
		    HB_SPAN("--verify"));

		code = r != EX_OK ? r : code;
	}
	return code;
}

/* Addresses line by line. */
static int
test(struct sm *s)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int code = EX_OK;

	while (code != EX_UNAVAILABLE &&
	    (n = getline(&line, &cap, stdin)) >= 0) {
		struct hb_span address = hb_span_trim(hb_span(line,
		    (size_t)n));

		if (address.n > 0)
			code = explain(s, address, HB_SPAN_NONE);
	}
	free(line);
	return code;
}

/* Berkeley DB is makemap's; it has the name newaliases too. */
static int
make_aliases(struct sm *s)
{
	static const char program[] = HB_SBINDIR "/makemap";
	const char *argv[] = { "newaliases",
		s->conf_file != NULL ? "-C" : NULL, s->conf_file, NULL };

	execv(program, (char *const *)(uintptr_t)argv);
	return sm_fail(EX_OSFILE, "%s: %s", program, strerror(errno));
}

static int (*const modes[])(struct sm *s) = {
	[SM_DELIVER] = sm_deliver,
	[SM_SMTP] = sm_smtp,
	[SM_LIST] = list_queue,
	[SM_ALIASES] = make_aliases,
	[SM_VERIFY] = verify,
	[SM_TEST] = test,
	[SM_FLUSH] = flush_queue,
};

int
main(int argc, char **argv)
{
	static struct sm s;
	const char *why = "";
	char *path = NULL;
	int code;

	if (sm_opts_parse(argc, argv, &s.o, &why) != 0)
		return sm_fail(EX_USAGE, "-%c: %s", s.o.wrong, why);
	s.submit.verbose = s.o.verbose;
	if (s.o.conf != NULL) {
		path = realpath(s.o.conf, NULL);
		if (path == NULL)
			return sm_fail(EX_CONFIG, "%s: %s", s.o.conf,
			    strerror(errno));
		s.conf_file = path;
	}
	s.submit.conf = s.conf_file;
	s.sender = s.submit.rcpts = HB_BUF_INIT(0);
	load_conf(&s);
	s.submit.limits = s.conf;
	code = modes[s.o.mode](&s);
	hb_buf_free(&s.sender);
	hb_buf_free(&s.submit.rcpts);
	hb_conf_free(&s.conf);
	free(path);
	return code;
}
