/* sendmail: address lists, options, the message on its way. */
#include "tests/unit/unit.h"

#include <sysexits.h>

#include "common/proto/addrlist.h"
#include "common/proto/envelope.h"
#include "common/proto/incoming.h"
#include "common/tools/smmessage.h"
#include "common/tools/smopts.h"

/* All addresses of VALUE with "|" between; "!" for a malformed one. */
static void
join(struct hb_span value, struct hb_buf *out)
{
	struct hb_addrlist l = hb_addrlist(value);
	struct hb_buf a = HB_BUF_INIT(0);
	int r;

	while ((r = hb_addrlist_next(&l, &a)) != 0) {
		if (r > 0)
			hb_buf_add(out, hb_buf_span(&a));
		hb_buf_adds(out, r > 0 ? "|" : "!|");
	}
	hb_buf_free(&a);
}

static void
address_lists(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ " , ,", "" },
		{ "a@b.test", "a@b.test|" },
		{ "alice", "alice|" },
		{ "a@B.Test, c@d.test", "a@b.test|c@d.test|" },
		{ "Alice <a@b.test>", "a@b.test|" },
		{ "\"Smith, Alice\" <a@b.test>, x@y.test",
		    "a@b.test|x@y.test|" },
		{ "Alice (home, or not) Smith <a@b.test>", "a@b.test|" },
		{ "a@b.test (Alice)", "a@b.test|" },
		{ "a (x) @ (y) b.test", "a@b.test|" },
		{ "a . b @ c . test", "a.b@c.test|" },
		{ "Alice\r\n\t<a@b.test>,\r\n c@d.test", "a@b.test|c@d.test|" },
		{ "friends: a@b.test, C <c@d.test>;, e@f.test",
		    "a@b.test|c@d.test|e@f.test|" },
		{ "undisclosed-recipients:;", "" },
		{ "<@relay.test,@other.test:a@b.test>", "a@b.test|" },
		{ "\"a b\"@c.test", "\"a b\"@c.test|" },
		{ "\"a\\\"b\" <x@y.test>", "x@y.test|" },
		{ "a@[192.0.2.1]", "a@[192.0.2.1]|" },
		{ "((nested) comment) a@b.test", "a@b.test|" },
		{ "two words", "!|" },
		{ "Alice a@b.test, c@d.test", "!|c@d.test|" },
		{ "<a@b.test", "!|" },
		{ "a@b.test>", "!|" },
		{ "<<a@b.test>>", "!|" },
		{ "\"open <a@b.test>", "!|" },
		{ "(open a@b.test", "!|" },
		{ "a@b@c.test", "!|" },
		{ "<>", "!|" },
		{ "a\001@b.test", "!|" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = hb_span_str(rows[i].in);
		struct hb_buf out = HB_BUF_INIT(0);

		join(at_page_end(in), &out);
		if (!hb_span_eq(hb_buf_span(&out), hb_span_str(rows[i].want)))
			fail_msg("%s: %.*s", rows[i].in, (int)out.n,
			    (const char *)out.p);
		hb_buf_clear(&out);
		for (size_t cut = 0; cut < in.n; cut++)
			join(at_page_end(hb_span_head(in, cut)), &out);
		hb_buf_free(&out);
	}
}

/* A command line in one string. */
static int
parse(const char *line, struct sm_opts *o)
{
	static char words[32][64];
	static char *argv[HB_ARRAY_LEN(words) + 1];
	struct hb_span rest = hb_span_str(line), word;
	const char *why;
	int argc = 0;

	while ((word = hb_span_word(&rest)).n > 0) {
		assert_in_range(argc, 0, HB_ARRAY_LEN(words) - 1);
		assert_int_equal(hb_span_copy(word, words[argc],
		    sizeof(words[0])), 0);
		argv[argc] = words[argc];
		argc++;
	}
	argv[argc] = NULL;
	return sm_opts_parse(argc, argv, o, &why);
}

static void
options_and_modes(void **state)
{
	static const struct {
		const char *line;
		int code;
		enum sm_mode mode;
		int nrcpts;
	} rows[] = {
		{ "sendmail a@b", 0, SM_DELIVER, 1 },
		{ "/usr/sbin/sendmail -bm a b", 0, SM_DELIVER, 2 },
		{ "sendmail -bs", 0, SM_SMTP, 0 },
		{ "sendmail -bp", 0, SM_LIST, 0 },
		{ "mailq", 0, SM_LIST, 0 },
		{ "/usr/bin/newaliases", 0, SM_ALIASES, 0 },
		{ "sendmail -bi", 0, SM_ALIASES, 0 },
		{ "sendmail -bv a", 0, SM_VERIFY, 1 },
		{ "sendmail -bt", 0, SM_TEST, 0 },
		{ "sendmail -q", 0, SM_FLUSH, 0 },
		{ "sendmail -q30m", 0, SM_FLUSH, 0 },
		{ "sendmail -qS", EX_USAGE, SM_FLUSH, 0 },
		{ "sendmail -bd", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -f", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -K", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -N sometimes a", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -R half a", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -B 9BIT a", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -oem -odb -om -h 5 -U -Am -G -n -s -m -d0.1 -X f "
		  "-p ESMTP a", 0, SM_DELIVER, 1 },
		{ "sendmail -d -v -- -a@b", 0, SM_DELIVER, 1 },
		{ "sendmail -O requiretls=maybe a", EX_USAGE, SM_DELIVER, 0 },
		{ "sendmail -O Requiretls=no a", 0, SM_DELIVER, 1 },
		{ "sendmail -O Timeout.connect=1m a", 0, SM_DELIVER, 1 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct sm_opts o;
		int r = parse(rows[i].line, &o);

		if (r != rows[i].code || (r == 0 &&
			(o.mode != rows[i].mode ||
			    o.nrcpts != rows[i].nrcpts)))
			fail_msg("%s: %d", rows[i].line, r);
	}
}

static void
option_values(void **state)
{
	struct sm_opts o;

	assert_int_equal(parse("sendmail -t -oi -f a@b -FName -N "
		"success,delay -R hdrs -V id -B 8BITMIME -C x", &o), 0);
	assert_true(o.from_header && o.ignore_dots);
	assert_string_equal(o.sender, "a@b");
	assert_string_equal(o.full_name, "Name");
	assert_int_equal(o.notify, HB_NOTIFY_SUCCESS | HB_NOTIFY_DELAY);
	assert_int_equal(o.ret, HB_RET_HDRS);
	assert_int_equal(o.body, HB_BODY_8BITMIME);
	assert_string_equal(o.envid, "id");
	assert_string_equal(o.conf, "x");
	assert_int_equal(parse("sendmail -O IgnoreDots=false -r c@d x", &o), 0);
	assert_false(o.ignore_dots);
	assert_string_equal(o.sender, "c@d");
	assert_false(o.require_tls);
	assert_int_equal(parse("sendmail -O requiretls=yes x", &o), 0);
	assert_true(o.require_tls);
	assert_int_equal(parse("sendmail -O RequireTLS=no x", &o), 0);
	assert_false(o.require_tls);
	assert_int_equal(parse("sendmail -qRfar.test", &o), 0);
	assert_string_equal(o.flush, "far.test");
}

/* LF-separated input through the machine. */
static int
feed(struct sm_message *m, struct hb_span text)
{
	int r = 0;

	m->from = HB_SPAN("From: f");
	while (text.n > 0 && r == 0)
		r = sm_message_line(m, hb_span_cut(&text, '\n'));
	sm_message_end(m);
	return r;
}

#define ADDED "From: f\r\n"

static void
messages(void **state)
{
	static const struct {
		const char *name, *in, *want;
		bool dot;
		int code;
	} rows[] = {
		{ "bare", "Subject: s\n\nhi\n",
		    "Subject: s\r\n" ADDED "\r\nhi\r\n", true, 0 },
		{ "crlf", "Subject: s\r\n\r\nhi\r\n",
		    "Subject: s\r\n" ADDED "\r\nhi\r\n", true, 0 },
		{ "there already", "from: x\nDATE: y\nMessage-Id: z\n\nb\n",
		    "from: x\r\nDATE: y\r\nMessage-Id: z\r\n\r\nb\r\n", true,
		    0 },
		{ "dot", "\none\n.\ntwo\n", ADDED "\r\none\r\n", true,
		    HB_E_CLOSED },
		{ "no dot", "\none\n.\n.two\n",
		    ADDED "\r\none\r\n..\r\n..two\r\n", false, 0 },
		{ "bcc", "To: a\nBcc: b,\n c\nSubject: s\n\n",
		    "To: a\r\nSubject: s\r\n" ADDED "\r\n", true, 0 },
		{ "mbox", "From x Mon\nSubject: s\n\n",
		    "Subject: s\r\n" ADDED "\r\n", true, 0 },
		{ "no header", "just text\nmore: text\n",
		    ADDED "\r\njust text\r\nmore: text\r\n", true, 0 },
		{ "blank first", "  text\n", ADDED "\r\n  text\r\n", true, 0 },
		{ "empty", "", ADDED "\r\n", true, 0 },
		{ "bare cr", "\na\rb\r\r\nc\n", ADDED "\r\na\r\nb\r\nc\r\n",
		    true, 0 },
		{ "cr dot", "\na\r.\rb\n", ADDED "\r\na\r\n..\r\nb\r\n", true,
		    0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct sm_message m;
		int r;

		sm_message_init(&m);
		m.stop_at_dot = rows[i].dot;
		r = feed(&m, hb_span_str(rows[i].in));
		if (r != rows[i].code || !hb_span_eq(hb_buf_span(&m.wire),
			hb_span_str(rows[i].want)))
			fail_msg("%s: %d %.*s", rows[i].name, r, (int)m.wire.n,
			    (const char *)m.wire.p);
		sm_message_free(&m);
	}
}

/* As queue will see it. */
static bool
is_tls_optional(const struct sm_message *m)
{
	struct hb_incoming_rules rules = { .max_size = UINT64_MAX,
		.max_header = UINT64_MAX, .no_dot = true };
	struct hb_incoming in = { .size = 0 };
	bool optional;

	hb_incoming_start(&in, &rules);
	(void)hb_incoming_take(&in, hb_buf_span(&m->wire));
	optional = (hb_incoming_flags(&in) & HB_ENV_TLS_OPTIONAL) != 0;
	hb_incoming_free(&in);
	return optional;
}

/* One message through the machine, -t. */
static void
check_message(const char *in, const char *want, const char *rcpts)
{
	struct sm_message m;
	struct hb_buf out = HB_BUF_INIT(0);

	sm_message_init(&m);
	m.want_rcpts = true;
	m.origin = HB_SPAN("h.test");
	assert_int_equal(feed(&m, hb_span_str(in)), 0);
	join(hb_buf_span(&m.rcpts), &out);
	if (!hb_span_eq(hb_buf_span(&m.wire), hb_span_str(want)) ||
	    !hb_span_eq(hb_buf_span(&out), hb_span_str(rcpts)))
		fail_msg("%s: %.*s to %.*s", in, (int)m.wire.n,
		    (const char *)m.wire.p, (int)out.n, (const char *)out.p);
	hb_buf_free(&out);
	sm_message_free(&m);
}

static void
test_F_6_cr_in_the_header_is_a_blank(void **state)
{
	static const struct {
		const char *in, *want, *rcpts;
	} rows[] = {
		{ "To: a@x.test\nSubject: hi\rBcc: y@far.test\n\nb\n",
		    "To: a@x.test\r\nSubject: hi Bcc: y@far.test\r\n" ADDED
		    "\r\nb\r\n", "a@x.test|" },
		{ "Subject: a\r\rTo: y@far.test\r\n\r\nb\r\n",
		    "Subject: a  To: y@far.test\r\n" ADDED "\r\nb\r\n", "" },
		{ "Subject: a\r\r\nTo: y@x.test\r\n\r\nb\r\n",
		    "Subject: a\r\nTo: y@x.test\r\n" ADDED "\r\nb\r\n",
		    "y@x.test|" },
		{ "Subject: a\n\rBcc: y@far.test\n\nb\n",
		    "Subject: a\r\n Bcc: y@far.test\r\n" ADDED "\r\nb\r\n",
		    "" },
		{ "Subject: a\vTo: y@x.test\fCc: z@x.test\n\n",
		    "Subject: a To: y@x.test Cc: z@x.test\r\n" ADDED "\r\n",
		    "" },
		{ "To: a@x.test,\n\tb@x.test\rBcc: c@x.test\n\nb\rc\n",
		    "To: a@x.test,\r\n\tb@x.test Bcc: c@x.test\r\n" ADDED
		    "\r\nb\r\nc\r\n", "a@x.test|!|" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		check_message(rows[i].in, rows[i].want, rows[i].rcpts);
}

static void
test_F_6_no_field_is_made_of_a_cr(void **state)
{
	struct sm_message m;

	sm_message_init(&m);
	assert_int_equal(feed(&m, HB_SPAN("Subject: a\rTLS-Required: No\n\n")),
	    0);
	assert_false(is_tls_optional(&m));
	sm_message_free(&m);
}

static void
test_F_15_header_addresses_get_a_domain(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "From: root (Cron Daemon)", "From: root@h.test (Cron Daemon)" },
		{ "To: root", "To: root@h.test" },
		{ "To:root", "To:root@h.test" },
		{ "Cc: Al <al>, b@x.test,\r\n\tc", "Cc: Al <al@h.test>, b@x.test,\r\n\tc@h.test" },
		{ "Reply-To: \"a, b\" <\"c d\">", "Reply-To: \"a, b\" <\"c d\"@h.test>" },
		{ "Sender: \"a@b\"", "Sender: \"a@b\"@h.test" },
		{ "Resent-To: grp: x, y@z.test;, w", "Resent-To: grp: x@h.test, y@z.test;, w@h.test" },
		{ "Resent-From: a (x) . b (y)", "Resent-From: a (x) . b@h.test (y)" },
		{ "From: Cron Daemon", "From: Cron Daemon" },
		{ "From: =?utf-8?q?K?= <k>", "From: =?utf-8?q?K?= <k@h.test>" },
		{ "From: =?utf-8?q?K?=", "From: =?utf-8?q?K?=" },
		{ "From: K\xc3\xa4se", "From: K\xc3\xa4se" },
		{ "From: <>", "From: <>" },
		{ "To: undisclosed-recipients:;", "To: undisclosed-recipients:;" },
		{ "Errors-To: a", "Errors-To: a@h.test" },
		{ "X-To: root", "X-To: root" },
		{ "Subject: root", "Subject: root" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct sm_message m;
		struct hb_span got;

		sm_message_init(&m);
		m.origin = HB_SPAN("h.test");
		assert_int_equal(feed(&m, hb_span_str(rows[i].in)), 0);
		got = hb_span_head(hb_buf_span(&m.wire), strlen(rows[i].want));
		if (!hb_span_eq(got, hb_span_str(rows[i].want)) ||
		    m.wire.p[got.n] != '\r')
			fail_msg("%s: %.*s", rows[i].in, (int)m.wire.n,
			    (const char *)m.wire.p);
		sm_message_free(&m);
	}
}

static void
test_F_15_in_a_message_of_wire_form(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "From: a\r\nBcc: b\r\n\r\n..\r\nTo: c\r\n",
		    "From: a@h.test\r\nBcc: b\r\n\r\n..\r\nTo: c\r\n" },
		{ "To: a,\r\n b\r\n", "To: a@h.test,\r\n b@h.test\r\n\r\n" },
		{ "X: y\r\nno field\r\n..x\r\n",
		    "X: y\r\n\r\nno field\r\n..x\r\n" },
		{ "..x: y\r\n\r\n", "..x: y\r\n\r\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		assert_int_equal(sm_message_qualify(hb_span_str(rows[i].in),
		    HB_SPAN("h.test"), &out), 0);
		assert_span(hb_buf_span(&out), rows[i].want);
		hb_buf_free(&out);
	}
}

static void
recipients_of_header(void **state)
{
	struct sm_message m;
	struct hb_buf out = HB_BUF_INIT(0);

	sm_message_init(&m);
	m.want_rcpts = true;
	assert_int_equal(feed(&m, HB_SPAN("To: a@x.test,\n\tb@x.test\n"
		"Subject: To: no@x.test\nCc: C <c@x.test>\nBcc: d@x.test\n\n"
		"To: body@x.test\n")), 0);
	join(hb_buf_span(&m.rcpts), &out);
	assert_span(hb_buf_span(&out),
	    "a@x.test|b@x.test|c@x.test|d@x.test|");
	hb_buf_free(&out);
	sm_message_free(&m);
}

static void
test_RTLS_07_field_is_seen(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} rows[] = {
		{ "Subject: s\nTLS-Required:\n no\n\nb\n", true },
		{ "TLS-Required: No\r\n\r\nb\r\n", true },
		{ "TLS-Required: No\nSubject: s\nTLS-Required: No\n\n", false },
		{ "Subject: s\n\nTLS-Required: No\n", false },
		{ "text\nTLS-Required: No\n", false },
		{ "TLS-Required: No\n really\n\n", false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct sm_message m;

		sm_message_init(&m);
		assert_int_equal(feed(&m, hb_span_str(rows[i].in)), 0);
		assert_int_equal(is_tls_optional(&m),
		    rows[i].want);
		sm_message_free(&m);
	}
}

static void
nul_and_8bit(void **state)
{
	struct sm_message m;

	sm_message_init(&m);
	assert_int_equal(feed(&m, HB_SPAN("Subject: x\n\na\0b\n")),
	    HB_E_SYNTAX);
	sm_message_free(&m);
	sm_message_init(&m);
	assert_int_equal(feed(&m, HB_SPAN("\n\xc3\xa4\n.x\n")), 0);
	assert_span(hb_buf_span(&m.wire), ADDED "\r\n\xc3\xa4\r\n..x\r\n");
	sm_message_free(&m);
}

static void
names_cannot_end_a_field(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "Carol", "\"Carol\"" },
		{ "a \"b\" \\c", "\"a \\\"b\\\" \\\\c\"" },
		{ "Carol\nX-Evil: 1", "\"Carol X-Evil: 1\"" },
		{ "Carol\r\n\r\nbody", "\"Carol    body\"" },
		{ "K\xc3\xa4se", "=?utf-8?B?S8Okc2U=?=" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		sm_put_name(hb_span_str(rows[i].in), &out);
		assert_span(hb_buf_span(&out), rows[i].want);
		hb_buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_lists),
		cmocka_unit_test(options_and_modes),
		cmocka_unit_test(option_values),
		cmocka_unit_test(messages),
		cmocka_unit_test(test_F_6_cr_in_the_header_is_a_blank),
		cmocka_unit_test(test_F_6_no_field_is_made_of_a_cr),
		cmocka_unit_test(test_F_15_header_addresses_get_a_domain),
		cmocka_unit_test(test_F_15_in_a_message_of_wire_form),
		cmocka_unit_test(recipients_of_header),
		cmocka_unit_test(test_RTLS_07_field_is_seen),
		cmocka_unit_test(nul_and_8bit),
		cmocka_unit_test(names_cannot_end_a_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
