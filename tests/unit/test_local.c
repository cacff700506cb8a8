/* Local delivery: templates, names, mailbox forms, real boxes and commands. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/proto/template.h"
#include "delivery/local_box.h"

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

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf b = HB_BUF_INIT(4096);
		int r = local_expand(at_page_end(hb_span_str(rows[i].in)),
		    &vars, true, &b);

		if (rows[i].want == NULL) {
			assert_int_equal(r, HB_E_SYNTAX);
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
	(void)state;
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

	(void)state;
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
	(void)state;
	filter_rows(false, "a: b\r\n\r\n..dot\r\n.\r\nFrom x\r\n>From\r\n",
	    "a: b\n\n.dot\n\nFrom x\n>From\n");
	filter_rows(true, "a\r\nFrom x\r\n>From y\r\n>>From z\r\nFromage\r\n"
	    ">Fro\r\n..From q\r\nFrom ", "a\n>From x\n>>From y\n>>>From z\n"
	    "Fromage\n>Fro\n.From q\n>From \n");
	filter_rows(true, "no end", "no end\n");
	filter_rows(true, ">", ">\n");
	filter_rows(false, "bare\rcr\r\n", "bare\rcr\n");
	filter_rows(false, "", "");
}

static void
lines_in_front(void **state)
{
	struct hb_env env = { .sender = HB_SPAN("a@b.test") };
	struct hb_rcpt rcpt = { .address = HB_SPAN("ann@site.test") };
	struct hb_buf b = HB_BUF_INIT(0);

	(void)state;
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

/* real boxes */

static char dir[] = "/tmp/hblocalXXXXXX";
static const struct hb_env test_env = { .sender = HB_SPAN_INIT("s@x.test") };
static const struct hb_rcpt test_rcpt = { .address = HB_SPAN_INIT("ann@y.test") };

static struct local_message
message(void)
{
	return (struct local_message){ &test_env, &test_rcpt,
		HB_SPAN("Subject: x\r\n\r\n..hello\r\nFrom me\r\n"), -1,
		"host.test", dir };
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

	(void)state;
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

	(void)state;
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

static void
a_large_body_comes_from_its_file(void **state)
{
	struct local_message m = message();
	char path[256], sub[300], file[1024];
	struct hb_outcome out = { 0 };
	struct hb_buf said = HB_BUF_INIT(0);
	struct stat st;
	FILE *f;

	(void)state;
	snprintf(file, sizeof(file), "%s/large", dir);
	f = fopen(file, "w");
	for (int i = 0; i < 20000; i++)
		fputs("..0123456789012345678\r\n", f);
	fclose(f);
	m.fd = open(file, O_RDONLY);
	snprintf(path, sizeof(path), "%s/largebox", dir);
	local_maildir(&m, path, &out, &said);
	assert_int_equal(out.result, HB_RESULT_OK);
	close(m.fd);
	snprintf(sub, sizeof(sub), "%s/new", path);
	assert_int_equal(entries(sub, file, sizeof(file)), 1);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 20000 * 21 + 49);
	hb_buf_free(&said);
}

static void
commands_are_judged_by_exit(void **state)
{
	static const struct {
		const char *script;
		enum hb_result result;
		const char *status, *text;
		int64_t limit_ms;
	} rows[] = {
		{ "grep -q '^Delivered-To: ann@y.test'", HB_RESULT_OK, "2.0.0",
		    "delivered to command", 30000 },
		{ "test \"$SENDER $RECIPIENT\" = 's@x.test ann@y.test'",
		    HB_RESULT_OK, "2.0.0", "delivered to command", 30000 },
		{ "exit 67", HB_RESULT_FAIL, "5.1.1", "command failed",
		    30000 },
		{ "echo full >&2; exit 75", HB_RESULT_DEFER, "4.3.0", "full",
		    30000 },
		{ "exit 1", HB_RESULT_DEFER, "4.3.0", "command failed",
		    30000 },
		{ "kill -9 $$", HB_RESULT_DEFER, "4.3.0", "command failed",
		    30000 },
		{ "/no/such/program", HB_RESULT_DEFER, "4.3.0", NULL,
		    30000 },
		{ "sleep 60", HB_RESULT_DEFER, "4.3.0",
		    "the command took too long", 700 },
	};
	struct local_message m = message();

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char sh[] = "/bin/sh", c[] = "-c", *script = hb_strdup(rows[i].script);
		char *argv[] = { sh, c, script, NULL };
		struct hb_outcome out = { 0 };
		struct hb_buf said = HB_BUF_INIT(0);

		local_command(&m, argv, rows[i].limit_ms, &out, &said);
		print_message("%s\n", rows[i].script);
		assert_int_equal(out.result, rows[i].result);
		assert_span(out.status, rows[i].status);
		if (rows[i].text != NULL)
			assert_span(hb_buf_span(&said), rows[i].text);
		hb_buf_free(&said);
		free(script);
	}
}

static int
make_dir(void **state)
{
	(void)state;
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

	(void)state;
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
		cmocka_unit_test(lines_in_front),
		cmocka_unit_test(maildir_is_made_and_filled),
		cmocka_unit_test(mbox_is_appended),
		cmocka_unit_test(a_large_body_comes_from_its_file),
		cmocka_unit_test(commands_are_judged_by_exit),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
