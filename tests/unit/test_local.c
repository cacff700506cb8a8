/* Local delivery: templates, names, mailbox forms, real boxes and commands. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/proto/template.h"
#include "delivery/local/box.h"
#include "delivery/local/lock.h"

static const struct local_vars vars = { HB_SPAN_INIT("ann"),
	HB_SPAN_INIT("site.test"), HB_SPAN_INIT("/home/ann"),
	HB_SPAN_INIT("ann+x@site.test") };

static void
templates(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "/var/mail/%u", "/var/mail/ann" },
		{ "~/Maildir", "/home/ann/Maildir" },
		{ "%h/%d/%%", "/home/ann/site.test/%" },
		{ "/m/%a", "/m/ann+x@site.test" },
		{ "~ann", "~ann" },
		{ "%", NULL },
		{ "%x", NULL },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf b = HB_BUF_INIT(4096);
		int r = local_expand(at_page_end(hb_span_str(rows[i].in)),
		    &vars, true, &b);

		if (rows[i].want == NULL) {
			assert_int_equal(r, HB_E_UNSUPPORTED);
		} else {
			assert_int_equal(r, 0);
			assert_span(hb_buf_span(&b), rows[i].want);
		}
		hb_buf_free(&b);
	}
}

/* What the configuration lets pass can be expanded, and nothing else. */
static void
test_S_1_letters_are_those_that_the_configuration_knows(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		char t[] = { '/', '%', (char)c };
		struct hb_buf b = HB_BUF_INIT(4096);
		struct hb_span s = hb_span(t, sizeof(t));

		assert_int_equal(local_expand(s, &vars, true, &b) == 0,
		    hb_template_mistake(s).n == 0);
		hb_buf_free(&b);
	}
}

static void
no_value_leaves_its_folder(void **state)
{
	static const char *const bad[] = { "../x", "a/b", ".", "", "a\nb" };

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		struct hb_buf b = HB_BUF_INIT(4096);
		struct local_vars v = vars;

		v.user = hb_span_str(bad[i]);
		assert_int_equal(local_expand(HB_SPAN("/m/%u"), &v, true, &b),
		    HB_E_SYNTAX);
		hb_buf_free(&b);
	}
}

static void
filter_rows(bool mbox, const char *in, const char *want)
{
	size_t n = strlen(in);

	/* cut in two at each place */
	for (size_t cut = 0; cut <= n; cut++) {
		struct hb_buf out = HB_BUF_INIT(0);
		struct local_filter f;

		local_filter_init(&f, mbox);
		local_filter_feed(&f, hb_span(in, cut), &out);
		local_filter_feed(&f, hb_span(in + cut, n - cut), &out);
		local_filter_end(&f, &out);
		assert_span(hb_buf_span(&out), want);
		hb_buf_free(&out);
	}
}

static void
messages_take_mailbox_form(void **state)
{
	filter_rows(false, "a: b\r\n\r\n..dot\r\n.\r\nFrom x\r\n>From\r\n",
	    "a: b\n\n.dot\n\nFrom x\n>From\n");
	filter_rows(true, "a\r\nFrom x\r\n>From y\r\n>>From z\r\nFromage\r\n"
	    ">Fro\r\n..From q\r\nFrom ", "a\n>From x\n>>From y\n>>>From z\n"
	    "Fromage\n>Fro\n.From q\n>From \n");
	filter_rows(true, "no end", "no end\n");
	/* the line that it is without its dot; a bare LF */
	filter_rows(true, ".From x\r\n.>From y\r\n.\r\n.",
	    ">From x\n>>From y\n\n\n");
	filter_rows(true, "x\nFrom y\n\nFrom z\r\n",
	    "x\n>From y\n\n>From z\n");
	filter_rows(true, ">", ">\n");
	filter_rows(false, "bare\rcr\r\n", "bare\rcr\n");
	filter_rows(false, "", "");
}

static void
test_F_25_one_return_path(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "Return-Path: <x@y>\r\na: b\r\n\r\nt\r\n", "a: b\n\nt\n" },
		{ "a: b\r\nRETURN-path \t:\r\n <x@y>\r\n\tz\r\nc: d\r\n e\r\n\r\n",
		    "a: b\nc: d\n e\n\n" },
		{ "Return-Path: a\r\nreturn-path:b\r\n\r\n"
		  "Return-Path: c\r\n d\r\n",
		    "\nReturn-Path: c\n d\n" },
		/* a dot that the sender stuffed hides nothing */
		{ ".Return-Path: a\r\n. folded\r\nb: c\r\n\r\n", "b: c\n\n" },
		/* bare LFs end lines, and so fields */
		{ "Return-Path: a\nb: c\n.Return-Path: d\r\nreturn-path: e\n"
		  " f\n.x: y\r\n\nReturn-Path: g\n..\r\n",
		    "b: c\nx: y\n\nReturn-Path: g\n.\n" },
		/* others of its kind stay */
		{ "Return-Paths: a\r\nReturn-Pat\r\n", "Return-Paths: a\nReturn-Pat\n" },
		{ "Return-Path a\r\nx: y\r\n", "Return-Path a\nx: y\n" },
		{ "X-Return-Path: a\r\nDelivered-To: b\r\n",
		    "X-Return-Path: a\nDelivered-To: b\n" },
		{ " Return-Path: a\r\n", " Return-Path: a\n" },
		/* no header at all: a body */
		{ "hello\r\nReturn-Path: a\r\n", "hello\nReturn-Path: a\n" },
		{ "Return-Path: \ra\r\r\n\rb: c\r\nd: e\r\n",
		    "\rb: c\nd: e\n" },
		{ "a: b\r\nReturn-Path: no end", "a: b\n" },
		{ "a: b\r\nReturn-Path", "a: b\nReturn-Path\n" },
		{ "Return-Path                         : x\r\n",
		    "Return-Path                         : x\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		filter_rows(false, rows[i].in, rows[i].want);
		filter_rows(true, rows[i].in, rows[i].want);
	}
	/* A line that some programs write in front, and what they quote. */
	filter_rows(true, "From a@b Mon 10:00:00\r\n>Return-Path: <x>\r\n"
	    "Return-Path: <x>\r\nFrom: y\r\n",
	    ">From a@b Mon 10:00:00\n>Return-Path: <x>\nFrom: y\n");
}

/* A stuffed dot in front of "From " makes no other message of the rest. */
static void
a_stuffed_dot_hides_no_from_line(void **state)
{
	filter_rows(true, "a\r\n.From x\r\n.>From y\r\n..From z\r\n.",
	    "a\n>From x\n>>From y\n.From z\n\n");
	filter_rows(false, ".From x\r\n", "From x\n");
	filter_rows(true, "Fro\rm\r\n\r>\r\n", "Fro\rm\n\r>\n");
}

static void
lines_in_front(void **state)
{
	struct hb_env env = { .sender = HB_SPAN("a@b.test") };
	struct hb_rcpt rcpt = { .address = HB_SPAN("ann@site.test") };
	struct hb_buf b = HB_BUF_INIT(0);

	local_from_line(&env, INT64_C(1709210096789), &b);
	local_head(&env, &rcpt, &b);
	assert_span(hb_buf_span(&b),
	    "From a@b.test Thu Feb 29 12:34:56 2024\n"
	    "Return-Path: <a@b.test>\nDelivered-To: ann@site.test\n");
	hb_buf_clear(&b);
	env.sender = HB_SPAN_NONE;
	local_from_line(&env, 0, &b);
	assert_span(hb_buf_span(&b),
	    "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
	hb_buf_clear(&b);
	local_unique(INT64_C(1709210096000789), 42, 0xabc, "a/b:c", &b);
	assert_span(hb_buf_span(&b),
	    "1709210096.M000789P42R0000000000000abc.a\\057b\\072c");
	hb_buf_free(&b);
}

/* A line end would begin a line of the sender's own. */
static void
test_A_3_line_ends_are_no_head(void **state)
{
	static const struct hb_span bad[] = { HB_SPAN_INIT("a@b.test>\nX: y"),
		HB_SPAN_INIT("a\r@b.test"), HB_SPAN_INIT("a@b.test\0") };
	struct hb_env env = { .sender = HB_SPAN("a@b.test") };
	struct hb_rcpt rcpt = { .address = HB_SPAN("ann@site.test") };

	assert_true(local_may_be_head(&env, &rcpt));
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		struct hb_env e = { .sender = bad[i] };
		struct hb_rcpt r = { .address = bad[i] };

		assert_false(local_may_be_head(&e, &rcpt));
		assert_false(local_may_be_head(&env, &r));
	}
}

/* --- real boxes --- */

static char dir[] = "/tmp/hblocalXXXXXX";
static const struct hb_env test_env = { .sender = HB_SPAN_INIT("s@x.test") };
static const struct hb_rcpt test_rcpt = { .address = HB_SPAN_INIT("ann@y.test") };

static struct local_message
message(void)
{
	return (struct local_message){ &test_env, &test_rcpt,
		HB_SPAN("Subject: x\r\n\r\n..hello\r\nFrom me\r\n"), -1,
		"host.test", dir, 1 };
}

static size_t
read_file(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n;
}

static size_t
entries(const char *path, char *last, size_t size)
{
	DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.') {
			snprintf(last, size, "%s/%s", path, e->d_name);
			n++;
		}
	closedir(d);
	return n;
}

static void
maildir_is_made_and_filled(void **state)
{
	struct local_message m = message();
	char path[256], sub[300], file[1024], text[4096];
	struct hb_outcome out = { 0 };
	struct hb_buf said = HB_BUF_INIT(0);
	struct stat st;

	snprintf(path, sizeof(path), "%s/deep/box", dir);
	for (int i = 0; i < 20; i++) {
		local_maildir(&m, path, &out, &said);
		assert_int_equal(out.result, HB_RESULT_OK);
	}
	snprintf(sub, sizeof(sub), "%s/new", path);
	assert_int_equal(entries(sub, file, sizeof(file)), 20);
	read_file(file, text, sizeof(text));
	assert_string_equal(text, "Return-Path: <s@x.test>\n"
	    "Delivered-To: ann@y.test\nSubject: x\n\n.hello\nFrom me\n");
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(sub, sizeof(sub), "%s/tmp", path);
	assert_int_equal(entries(sub, file, sizeof(file)), 0);
	hb_buf_free(&said);
}

static void
mbox_is_appended(void **state)
{
	struct local_message m = message();
	char path[256], link[300], text[4096];
	struct hb_outcome out = { 0 };
	struct hb_buf said = HB_BUF_INIT(0);

	snprintf(path, sizeof(path), "%s/mbox", dir);
	for (int i = 0; i < 2; i++) {
		local_mbox(&m, path, &out, &said);
		assert_int_equal(out.result, HB_RESULT_OK);
	}
	read_file(path, text, sizeof(text));
	assert_non_null(strstr(text, "\n\n.hello\n>From me\n\nFrom s@x.test "));
	/* a link in the place of a mailbox is somebody's trap */
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink(path, link), 0);
	local_mbox(&m, link, &out, &said);
	assert_int_equal(out.result, HB_RESULT_DEFER);
	hb_buf_free(&said);
}

/* A path in the test's folder that nothing has yet. */
static const char *
fresh(const char *suffix)
{
	static char path[300];
	static int n;

	if (suffix == NULL)
		n++;
	snprintf(path, sizeof(path), "%s/box%d%s", dir, n,
	    suffix != NULL ? suffix : "");
	return path;
}

static void
write_file(const char *path, const char *text, int age_s)
{
	struct timespec then[2];
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	clock_gettime(CLOCK_REALTIME, &then[0]);
	then[0].tv_sec -= age_s;
	then[1] = then[0];
	assert_int_equal(utimensat(AT_FDCWD, path, then, 0), 0);
}

static enum hb_result
deliver_mbox(const char *path, struct hb_outcome *out, struct hb_buf *said)
{
	struct local_message m = message();

	local_mbox(&m, path, out, said);
	return (enum hb_result)out->result;
}

static unsigned long
a_dead_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	return (unsigned long)pid;
}

/* A lock is broken when its process is dead or nobody touches it; a live one
 * is waited for, and named. */
static void
test_F_3_stale_locks_are_broken(void **state)
{
	static const struct {
		const char *name;
		enum { NOBODY, DEAD, LIVE } who;
		const char *text; /* behind the process number */
		int age_s;
		enum hb_result result;
	} rows[] = {
		{ "dead", DEAD, "\n", 0, HB_RESULT_OK },
		{ "live", LIVE, "\n", 0, HB_RESULT_DEFER },
		{ "live and old", LIVE, "", 400, HB_RESULT_DEFER },
		{ "number in use again", LIVE, "", 2000, HB_RESULT_OK },
		{ "empty", NOBODY, "", 200, HB_RESULT_DEFER },
		{ "empty and old", NOBODY, "", 400, HB_RESULT_OK },
		{ "from the future", NOBODY, "", -400, HB_RESULT_OK },
		{ "procmail's", NOBODY, "0", 400, HB_RESULT_OK },
		{ "another host's", DEAD, ":far.test\n", 200,
		    HB_RESULT_DEFER },
		{ "another host's, old", LIVE, ":far.test\n", 400,
		    HB_RESULT_OK },
		{ "ours of another host", DEAD, "\nhauberk far.test b\n",
		    400, HB_RESULT_DEFER },
		{ "ours of another host, old", DEAD,
		    "\nhauberk far.test b\n", 2000, HB_RESULT_OK },
		{ "no number", NOBODY, "hello", 200, HB_RESULT_DEFER },
	};
	struct hb_buf said = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_outcome out = { 0 };
		char box[300], lock[300], text[100];

		print_message("%s\n", rows[i].name);
		snprintf(box, sizeof(box), "%s", fresh(NULL));
		snprintf(lock, sizeof(lock), "%s", fresh(".lock"));
		snprintf(text, sizeof(text), "%lu%s", rows[i].who == DEAD
		    ? a_dead_process() : (unsigned long)getppid(),
		    rows[i].text);
		if (rows[i].who == NOBODY)
			snprintf(text, sizeof(text), "%s", rows[i].text);
		write_file(lock, text, rows[i].age_s);
		assert_int_equal(deliver_mbox(box, &out, &said),
		    rows[i].result);
		assert_int_equal(access(lock, F_OK) == 0,
		    rows[i].result != HB_RESULT_OK);
		if (rows[i].result == HB_RESULT_OK)
			continue;
		assert_int_equal(out.reason, HB_REASON_MAILBOX_LOCKED);
		assert_non_null(memmem(said.p, said.n, lock, strlen(lock)));
	}
	hb_buf_free(&said);
}

/* The machine was started since: no process of then lives. */
static void
test_F_3_lock_of_another_life(void **state)
{
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	char host[65] = "", box[300], text[200];

	gethostname(host, sizeof(host) - 1);
	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(text, sizeof(text), "%d\nhauberk %s another-boot\n",
	    (int)getppid(), host);
	write_file(fresh(".lock"), text, 0);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
	hb_buf_free(&said);
}

/* Many who find the same stale lock: one breaks it, each message arrives
 * whole. */
static void
test_F_3_breakers_race(void **state)
{
	enum { MANY = 12 };
	struct hb_buf said = HB_BUF_INIT(0);
	char box[300], lock[300], text[8192], *p = text;
	int status, n = 0;

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(lock, sizeof(lock), "%s", fresh(".lock"));
	snprintf(text, sizeof(text), "%lu\n", a_dead_process());
	write_file(lock, text, 0);
	for (int i = 0; i < MANY; i++)
		if (fork() == 0) {
			struct local_message m = message();
			struct hb_outcome out = { 0 };

			m.lock_tries = 600;
			local_mbox(&m, box, &out, &said);
			_exit(out.result == HB_RESULT_OK ? 0 : 1);
		}
	for (int i = 0; i < MANY; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_true(read_file(box, text, sizeof(text)) < sizeof(text) - 1);
	for (; (p = strstr(p, "\n\n.hello\n>From me\n\n")) != NULL; p++)
		n++;
	assert_int_equal(n, MANY);
	assert_int_equal(access(lock, F_OK), -1);
	hb_buf_free(&said);
}

/* What is no lock file cannot be judged, and is not removed. */
static void
test_F_3_a_strange_lock_stays(void **state)
{
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	char box[300];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	assert_int_equal(mkfifo(fresh(".lock"), 0600), 0);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_DEFER);
	assert_int_equal(out.reason, HB_REASON_MAILBOX_LOCKED);
	assert_int_equal(access(fresh(".lock"), F_OK), 0);
	hb_buf_free(&said);
}

/* A message begins behind an empty line, however the last one ended. */
static void
test_F_12_an_mbox_without_its_last_line(void **state)
{
	static const struct {
		const char *before, *between;
	} rows[] = {
		{ "", "" },
		{ "\n", "" },
		{ "x", "\n\n" },
		{ "From a\nb: c\n\nhalf a li", "\n\n" },
		{ "From a\nb: c\n\na line\n", "\n" },
		{ "From a\nb: c\n\na line\n\n", "" },
	};
	struct hb_buf said = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_outcome out = { 0 };
		char box[300], text[4096], want[300];

		snprintf(box, sizeof(box), "%s", fresh(NULL));
		write_file(box, rows[i].before, 0);
		assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
		read_file(box, text, sizeof(text));
		snprintf(want, sizeof(want), "%s%sFrom s@x.test ",
		    rows[i].before, rows[i].between);
		assert_memory_equal(text, want, strlen(want));
	}
	hb_buf_free(&said);
}

/* What a killed helper left is cut off, when it is sure that it is that. */
static void
test_F_12_half_a_message_is_cut(void **state)
{
	static const char whole[] = "From a\nb: c\n\nx\n\n";
	static const char first[] = "From s@x.test Thu Feb 29 12:34:56 2024\n";
	static const struct {
		const char *name, *behind; /* the size that is told of */
		bool cut, other_file;
	} rows[] = {
		{ "part of its first line", "From s@x.t", true, false },
		{ "half", "From s@x.test Thu Feb 29 12:34:56 2024\nSubject: "
		  "hal\n\n>From x", true, false },
		{ "another file", "From s@x.test Thu Feb 29 12:34:56 2024\nSu",
		    false, true },
		{ "somebody rewrote it", "b: c\n\nother\n\n", false, false },
		{ "somebody added one", "From s@x.test Thu Feb 29 12:34:56 2024"
		  "\nSubject: hal\nFrom z\nc: d\n\n", false, false },
		{ "somebody added one to a line", "From s@x.test Thu Feb 29 "
		  "12:34:56 2024\nSubject: halFrom z\nc: d\n\n", false,
		    false },
		{ "nothing", "", true, false },
	};
	struct hb_buf said = HB_BUF_INIT(0);
	char host[65] = "";

	gethostname(host, sizeof(host) - 1);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_outcome out = { 0 };
		char box[300], text[4096], lock[512];
		size_t had = strlen(whole) + strlen(rows[i].behind);
		struct stat st;

		print_message("%s\n", rows[i].name);
		snprintf(box, sizeof(box), "%s", fresh(NULL));
		snprintf(text, sizeof(text), "%s%s", whole, rows[i].behind);
		write_file(box, text, 0);
		assert_int_equal(stat(box, &st), 0);
		snprintf(lock, sizeof(lock), "%lu\nhauberk %s boot\n"
		    "%lu %lu %zu\n%s", a_dead_process(), host,
		    (unsigned long)st.st_dev,
		    (unsigned long)st.st_ino + rows[i].other_file,
		    strlen(whole), first);
		write_file(fresh(".lock"), lock, 0);
		assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
		read_file(box, text, sizeof(text));
		assert_memory_equal(text, whole, strlen(whole));
		if (rows[i].cut)
			assert_memory_equal(text + strlen(whole),
			    "From s@x.test ", 14);
		if (rows[i].cut)
			assert_null(strstr(text, "2024"));
		else
			assert_memory_equal(text + strlen(whole),
			    rows[i].behind, had - strlen(whole));
	}
	hb_buf_free(&said);
}

/* What another user says was half a message is not cut. */
static void
test_A_25_a_planted_lock_cuts_nothing(void **state)
{
	static const char whole[] = "From a\nb: c\n\nx\n\n";
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	char host[65] = "", box[300], text[4096], lock[512];
	struct stat st;

	if (geteuid() != 0)
		skip();
	gethostname(host, sizeof(host) - 1);
	snprintf(box, sizeof(box), "%s", fresh(NULL));
	write_file(box, whole, 0);
	assert_int_equal(stat(box, &st), 0);
	snprintf(lock, sizeof(lock), "%lu\nhauberk %s boot\n%lu %lu 0\n"
	    "From a\n", a_dead_process(), host, (unsigned long)st.st_dev,
	    (unsigned long)st.st_ino);
	write_file(fresh(".lock"), lock, 0);
	assert_int_equal(chown(fresh(".lock"), 65534, 65534), 0);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
	read_file(box, text, sizeof(text));
	assert_memory_equal(text, whole, strlen(whole));
	hb_buf_free(&said);
}

/* A lock is not given back while another process judges it: that one would
 * find its holder gone, and cut off what is whole. */
static void
test_A_25_a_lock_that_is_judged_stays(void **state)
{
	struct hb_buf said = HB_BUF_INIT(0);
	struct local_lock lock;
	char box[300], path[300], c = 0;
	int status, begun[2];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(path, sizeof(path), "%s", fresh(".lock"));
	assert_int_equal(local_lock_take(&lock, box, 0, &said), 0);
	assert_int_equal(pipe(begun), 0);
	if (fork() == 0) {
		int fd = open(path, O_RDWR);

		if (flock(fd, LOCK_EX) != 0 || write(begun[1], &c, 1) != 1)
			_exit(1);
		poll(NULL, 0, 300);
		_exit(access(path, F_OK) == 0 ? 0 : 2);
	}
	assert_int_equal(read(begun[0], &c, 1), 1);
	local_lock_release(&lock);
	assert_int_equal(access(path, F_OK), -1);
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	close(begun[0]);
	close(begun[1]);
	hb_buf_free(&said);
}

/* A helper that dies while it writes leaves what the next one needs. */
static void
test_F_12_a_helper_is_killed(void **state)
{
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	struct local_message m = message();
	char box[300], lock[300], text[4096];
	int fds[2];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(lock, sizeof(lock), "%s", fresh(".lock"));
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
	/* The limit of file sizes ends the process in the middle. */
	if (fork() == 0) {
		struct rlimit limit = { 200, 200 };

		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		setrlimit(RLIMIT_FSIZE, &limit);
		local_mbox(&m, box, &out, &said);
		_exit(0);
	}
	wait(NULL);
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(read_file(box, text, sizeof(text)), 200);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
	assert_int_equal(access(lock, F_OK), -1);
	fds[0] = (int)read_file(box, text, sizeof(text));
	assert_int_equal(fds[0], 2 * (int)strlen(strstr(text + 1,
	    "\n\nFrom s@x.test") + 2));
	hb_buf_free(&said);
}

/* No more fits: nothing of the message stays, and the mailbox is named. */
static void
a_full_mailbox_stays_as_it_was(void **state)
{
	static const char before[] = "From a\nb: c\n\n0123456789012345678901"
	    "2345678901234567890123456789012345678901234567890123456789012345"
	    "6789012345678901234567890123456789012345678901234567890 hal";
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	struct rlimit limit, small;
	char box[300], text[4096];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	write_file(box, before, 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 200; /* a lock file still fits */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	deliver_mbox(box, &out, &said);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	signal(SIGXFSZ, SIG_DFL);
	if (out.result == HB_RESULT_OK)
		fail_msg("it fits");
	assert_int_equal(out.code, 452);
	assert_span(out.status, "4.2.2");
	assert_non_null(memmem(said.p, said.n, box, strlen(box)));
	read_file(box, text, sizeof(text));
	assert_string_equal(text, before);
	assert_int_equal(access(fresh(".lock"), F_OK), -1);
	hb_buf_free(&said);
}

/* What stands under the mailbox's name but is not its owner's file. */
static void
test_A_10_what_is_no_mailbox(void **state)
{
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	char box[300], other[300];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(other, sizeof(other), "%s", fresh("-two"));
	write_file(box, "", 0);
	assert_int_equal(link(box, other), 0);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_DEFER);
	assert_non_null(memmem(said.p, said.n, "2 names", 7));
	assert_int_equal(unlink(other), 0);
	assert_int_equal(deliver_mbox(box, &out, &said), HB_RESULT_OK);
	assert_int_equal(mkdir(fresh(NULL), 0700), 0);
	assert_int_equal(deliver_mbox(fresh(""), &out, &said),
	    HB_RESULT_DEFER);
	assert_non_null(memmem(said.p, said.n, "a folder", 8));
	assert_int_equal(mkfifo(fresh(NULL), 0600), 0);
	assert_int_equal(deliver_mbox(fresh(""), &out, &said),
	    HB_RESULT_DEFER);
	assert_non_null(memmem(said.p, said.n, "a named pipe", 12));
	assert_int_equal(deliver_mbox("/dev/full", &out, &said),
	    HB_RESULT_DEFER);
	assert_non_null(memmem(said.p, said.n, "a device", 8));
	if (geteuid() == 0) {
		assert_int_equal(chown(box, 12345, 12345), 0);
		assert_int_equal(deliver_mbox(box, &out, &said),
		    HB_RESULT_DEFER);
		assert_non_null(memmem(said.p, said.n, "uid 12345", 9));
	}
	hb_buf_free(&said);
}

static enum hb_result
deliver_maildir(const char *path, struct hb_outcome *out, struct hb_buf *said)
{
	struct local_message m = message();

	local_maildir(&m, path, out, said);
	return (enum hb_result)out->result;
}

/* Folders of somebody else in a Maildir's place, and links to them. */
static void
test_A_10_what_is_no_maildir(void **state)
{
	static const char *const subs[] = { "", "/tmp", "/new", "/cur" };
	struct hb_buf said = HB_BUF_INIT(0);
	struct hb_outcome out = { 0 };
	char box[300], link[300], away[600], sub[600], file[1024];

	snprintf(box, sizeof(box), "%s", fresh(NULL));
	snprintf(link, sizeof(link), "%s", fresh("-link"));
	assert_int_equal(deliver_maildir(box, &out, &said), HB_RESULT_OK);
	/* an owner's own link is the owner's wish */
	assert_int_equal(symlink(box, link), 0);
	assert_int_equal(deliver_maildir(link, &out, &said), HB_RESULT_OK);
	snprintf(sub, sizeof(sub), "%s/new", box);
	assert_int_equal(entries(sub, file, sizeof(file)), 2);
	for (size_t i = 1; i < HB_ARRAY_LEN(subs); i++) {
		snprintf(sub, sizeof(sub), "%s%s", box, subs[i]);
		snprintf(away, sizeof(away), "%s-away%zu", box, i);
		assert_int_equal(rename(sub, away), 0);
		assert_int_equal(symlink(away, sub), 0);
		assert_int_equal(deliver_maildir(box, &out, &said),
		    HB_RESULT_DEFER);
		assert_non_null(memmem(said.p, said.n, sub, strlen(sub)));
		assert_int_equal(unlink(sub), 0);
		assert_int_equal(rename(away, sub), 0);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(subs) && geteuid() == 0; i++) {
		snprintf(sub, sizeof(sub), "%s%s", box, subs[i]);
		assert_int_equal(chown(sub, 12345, 12345), 0);
		assert_int_equal(deliver_maildir(box, &out, &said),
		    HB_RESULT_DEFER);
		assert_non_null(memmem(said.p, said.n, "uid 12345", 9));
		assert_int_equal(chown(sub, 0, 0), 0);
	}
	if (geteuid() == 0) {
		assert_int_equal(lchown(link, 12345, 12345), 0);
		assert_int_equal(deliver_maildir(link, &out, &said),
		    HB_RESULT_DEFER);
		assert_non_null(memmem(said.p, said.n, "symbolic link", 13));
	}
	assert_int_equal(deliver_maildir(box, &out, &said), HB_RESULT_OK);
	write_file(fresh(NULL), "", 0);
	assert_int_equal(deliver_maildir(fresh(""), &out, &said),
	    HB_RESULT_DEFER);
	assert_non_null(memmem(said.p, said.n, "Not a directory", 15));
	hb_buf_free(&said);
}

static void
a_large_body_comes_from_its_file(void **state)
{
	struct local_message m = message();
	char path[256], sub[300], file[1024];
	struct hb_outcome out = { 0 };
	struct hb_buf said = HB_BUF_INIT(0);
	struct stat st;
	FILE *f;

	snprintf(file, sizeof(file), "%s/large", dir);
	f = fopen(file, "w");
	for (int i = 0; i < 20000; i++)
		fputs("..0123456789012345678\r\n", f);
	fclose(f);
	m.bytes = HB_SPAN("a: b\r\n"); /* its header section */
	m.fd = open(file, O_RDONLY);
	snprintf(path, sizeof(path), "%s/largebox", dir);
	local_maildir(&m, path, &out, &said);
	assert_int_equal(out.result, HB_RESULT_OK);
	close(m.fd);
	snprintf(sub, sizeof(sub), "%s/new", path);
	assert_int_equal(entries(sub, file, sizeof(file)), 1);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 20000 * 21 + 49 + 5);
	hb_buf_free(&said);
}

/* Sysexits as sendmail reads them; codes of no meaning are final, signals and
 * what the operator has to mend are not. */
static void
test_E_1_commands_are_judged_by_exit(void **state)
{
	enum { LONG = 30000, SHORT = 700 };
	static const struct {
		const char *script;
		enum hb_result result;
		const char *status;
		enum hb_reason reason;
		const char *text;
		int64_t limit_ms;
	} rows[] = {
		{ "grep -q '^Delivered-To: ann@y.test'", HB_RESULT_OK, "2.0.0",
		    HB_REASON_OK, "delivered to command", LONG },
		{ "test \"$SENDER $RECIPIENT\" = 's@x.test ann@y.test'",
		    HB_RESULT_OK, "2.0.0", HB_REASON_OK,
		    "delivered to command", LONG },
		{ "printf ' a\n\tb\\000\303\251 '", HB_RESULT_OK, "2.0.0",
		    HB_REASON_OK, "a b???", LONG },
		{ "exit 67", HB_RESULT_FAIL, "5.1.1", HB_REASON_MAILBOX_FAIL,
		    "the command ended with exit code 67 (no such user)",
		    LONG },
		{ "exit 70", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED, "the command ended with exit "
		    "code 70 (internal error)", LONG },
		{ "exit 64", HB_RESULT_DEFER, "4.3.5",
		    HB_REASON_COMMAND_FAILED, "the command ended with exit "
		    "code 64 (wrong usage)", LONG },
		{ "exit 73", HB_RESULT_DEFER, "4.3.5",
		    HB_REASON_COMMAND_FAILED, "the command ended with exit "
		    "code 73 (cannot create)", LONG },
		{ "exit 77", HB_RESULT_FAIL, "5.7.1", HB_REASON_MAILBOX_FAIL,
		    "the command ended with exit code 77 (not permitted)",
		    LONG },
		{ "echo full >&2; exit 75", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED, "the command ended with exit "
		    "code 75 (try later): full", LONG },
		{ "exit 78", HB_RESULT_DEFER, "4.3.5",
		    HB_REASON_COMMAND_FAILED, "the command ended with exit "
		    "code 78 (configuration error)", LONG },
		{ "echo no such list; echo bye; exit 1", HB_RESULT_FAIL,
		    "5.3.0", HB_REASON_MAILBOX_FAIL, "the command ended "
		    "with exit code 1: no such list bye", LONG },
		{ "exit 255", HB_RESULT_FAIL, "5.3.0",
		    HB_REASON_MAILBOX_FAIL,
		    "the command ended with exit code 255", LONG },
		{ "kill -9 $$", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED,
		    "the command was ended by signal 9 (Killed)", LONG },
		{ "sh -c 'kill -15 $$'; exit $?", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED,
		    "the command was ended by signal 15 (Terminated): "
		    "Terminated", LONG },
		{ "/no/such/program", HB_RESULT_DEFER, "4.3.5",
		    HB_REASON_COMMAND_FAILED, NULL, LONG },
		{ "/etc/passwd", HB_RESULT_DEFER, "4.3.5",
		    HB_REASON_COMMAND_FAILED, NULL, LONG },
		{ "echo hm; sleep 60", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED, "the command took too long and "
		    "was ended after 0 seconds: hm", SHORT },
		/* what it leaves behind is not waited for */
		{ "sleep 5 &", HB_RESULT_OK, "2.0.0",
		    HB_REASON_OK, "delivered to command", LONG },
		/* but it is, though nothing more is heard of it */
		{ "exec >&- 2>&-; sleep 0.3; exit 67", HB_RESULT_FAIL,
		    "5.1.1", HB_REASON_MAILBOX_FAIL, NULL, LONG },
		{ "exec >&- 2>&-; sleep 60", HB_RESULT_DEFER, "4.3.0",
		    HB_REASON_COMMAND_FAILED, NULL, SHORT },
		{ "yes | head -c 100000; exit 67", HB_RESULT_FAIL, "5.1.1",
		    HB_REASON_MAILBOX_FAIL, NULL, LONG },
	};
	struct local_message m = message();

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char sh[] = "/bin/sh", c[] = "-c", *script = hb_strdup(rows[i].script);
		char *argv[] = { sh, c, script, NULL };
		struct hb_outcome out = { 0 };
		struct hb_buf said = HB_BUF_INIT(0);

		local_command(&m, argv, rows[i].limit_ms, &out, &said);
		print_message("%s\n", rows[i].script);
		assert_int_equal(out.result, rows[i].result);
		assert_span(out.status, rows[i].status);
		assert_int_equal(out.reason, rows[i].reason);
		assert_true(said.n <= HB_MAX_REPLY_TEXT);
		if (rows[i].text != NULL)
			assert_span(hb_buf_span(&said), rows[i].text);
		hb_buf_free(&said);
		free(script);
	}
}

/* A command without a shell that is not there, or is no program. */
static void
test_S_10_commands_that_cannot_be_run(void **state)
{
	static const struct {
		const char *path, *text;
	} rows[] = {
		{ "/no/such/program", "the command ended with exit code 127 "
		  "(not found): /no/such/program: No such file or directory" },
		{ "/etc/passwd", "the command ended with exit code 126 "
		  "(cannot be run): /etc/passwd: Permission denied" },
	};
	struct local_message m = message();

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char *path = hb_strdup(rows[i].path), *argv[] = { path, NULL };
		struct hb_buf said = HB_BUF_INIT(0);
		struct hb_outcome out = { 0 };

		local_command(&m, argv, 30000, &out, &said);
		assert_int_equal(out.result, HB_RESULT_DEFER);
		assert_span(hb_buf_span(&said), rows[i].text);
		hb_buf_free(&said);
		free(path);
	}
}

static int
make_dir(void **state)
{
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
	char cmd[] = "/bin/rm", flag[] = "-rf";
	char *argv[] = { cmd, flag, dir, NULL };
	struct local_message m = message();
	struct hb_outcome out = { 0 };
	struct hb_buf said = HB_BUF_INIT(0);

	local_command(&m, argv, 5000, &out, &said);
	hb_buf_free(&said);
	return out.result == HB_RESULT_OK ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(templates),
		cmocka_unit_test(
		    test_S_1_letters_are_those_that_the_configuration_knows),
		cmocka_unit_test(no_value_leaves_its_folder),
		cmocka_unit_test(messages_take_mailbox_form),
		cmocka_unit_test(test_F_25_one_return_path),
		cmocka_unit_test(a_stuffed_dot_hides_no_from_line),
		cmocka_unit_test(lines_in_front),
		cmocka_unit_test(test_A_3_line_ends_are_no_head),
		cmocka_unit_test(maildir_is_made_and_filled),
		cmocka_unit_test(mbox_is_appended),
		cmocka_unit_test(test_F_3_stale_locks_are_broken),
		cmocka_unit_test(test_F_3_lock_of_another_life),
		cmocka_unit_test(test_F_3_breakers_race),
		cmocka_unit_test(test_F_3_a_strange_lock_stays),
		cmocka_unit_test(test_F_12_an_mbox_without_its_last_line),
		cmocka_unit_test(test_F_12_half_a_message_is_cut),
		cmocka_unit_test(test_A_25_a_planted_lock_cuts_nothing),
		cmocka_unit_test(test_A_25_a_lock_that_is_judged_stays),
		cmocka_unit_test(test_F_12_a_helper_is_killed),
		cmocka_unit_test(a_full_mailbox_stays_as_it_was),
		cmocka_unit_test(test_A_10_what_is_no_mailbox),
		cmocka_unit_test(test_A_10_what_is_no_maildir),
		cmocka_unit_test(a_large_body_comes_from_its_file),
		cmocka_unit_test(test_E_1_commands_are_judged_by_exit),
		cmocka_unit_test(test_S_10_commands_that_cannot_be_run),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
