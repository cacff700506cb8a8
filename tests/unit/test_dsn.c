/* DSNs, byte for byte. */
#include "tests/unit/unit.h"

#include "common/proto/ipc.h"
#include "common/proto/wire.h"
#include "queue/manager/dsn_text.h"

static const char head[] =
    "Received: from x\r\nMessage-ID: <abc@there>\r\n"
    "Subject: hello\r\n";
static const char body[] = "\r\nText\r\n..dot\r\n";

static struct q_dsn_rcpt
rcpt(void)
{
	return (struct q_dsn_rcpt){
		.address = HB_SPAN("b@x.example"),
		.outcome = { .result = HB_RESULT_FAIL, .code = 550,
			.status = HB_SPAN("5.1.1"),
			.reason = HB_REASON_REMOTE_REPLY,
			.text = HB_SPAN("no such user"),
			.mx = HB_SPAN("mx.x.example"),
			.tls = HB_SPAN("none"), .sts = HB_SPAN("none"),
			.from_remote = 1, .at_ms = 1795318629000 },
	};
}

static struct q_dsn
dsn(const struct q_dsn_rcpt *r)
{
	return (struct q_dsn){
		.kind = Q_DSN_FAILED,
		.hostname = HB_SPAN("host.example"),
		.id = 2,
		.parent = 1,
		.nonce = 1,
		.to = HB_SPAN("a@here.example"),
		.now_ms = 1795318630000,
		.arrived_ms = 1795318620000,
		.retry_until_ms = 1795750620000,
		.rcpts = r,
		.n = 1,
		.head = hb_span_str(head),
		.body = hb_span_str(body),
	};
}

static char *
written(const struct q_dsn *d, uint32_t *flags)
{
	struct hb_buf out = HB_BUF_INIT(0), rest = HB_BUF_INIT(0);

	*flags = q_dsn_write(d, &out, &rest);
	hb_buf_add(&out, hb_buf_span(&rest));
	hb_buf_free(&rest);
	hb_buf_add(&out, hb_span("", 1));
	return (char *)out.p;
}

/* DSN-05, DSN-07, DSN-08 */
static void
failure_dsn_golden(void **state)
{
	static const char want[] =
	    "Date: Sun, 22 Nov 2026 03:37:10 +0000\r\n"
	    "From: Mail Delivery System <MAILER-DAEMON@host.example>\r\n"
	    "To: <a@here.example>\r\n"
	    "Subject: Your message could not be delivered\r\n"
	    "Message-ID: <0000000000000002@host.example>\r\n"
	    "In-Reply-To: <abc@there>\r\n"
	    "References: <abc@there>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; "
	    "report-type=delivery-status;\r\n"
	    "\tboundary=\"=_0000000000000002_0000000000000001\"\r\n"
	    "\r\n--=_0000000000000002_0000000000000001\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n"
	    "\r\n"
	    "This is the mail system at host.example.\r\n"
	    "\r\n"
	    "Your message could not be delivered to the recipients below.  "
	    "It will\r\n"
	    "not be tried again.\r\n"
	    "\r\n"
	    "  <b@x.example>\r\n"
	    "    Why: the other mail server gave this answer.\r\n"
	    "    Mail host: mx.x.example\r\n"
	    "    It said: 550 no such user\r\n"
	    "    Last tried: Sun, 22 Nov 2026 03:37:09 +0000\r\n"
	    "    What would change it: Its own words say what is needed; only "
	    "the\r\n"
	    "    people who run that server can change its answer.\r\n"
	    "\r\n--=_0000000000000002_0000000000000001\r\n"
	    "Content-Type: message/delivery-status\r\n"
	    "\r\n"
	    "Reporting-MTA: dns; host.example\r\n"
	    "X-Hauberk-Message: 0000000000000001\r\n"
	    "Arrival-Date: Sun, 22 Nov 2026 03:37:00 +0000\r\n"
	    "\r\n"
	    "Final-Recipient: rfc822; b@x.example\r\n"
	    "Action: failed\r\n"
	    "Status: 5.1.1\r\n"
	    "Remote-MTA: dns; mx.x.example\r\n"
	    "Diagnostic-Code: smtp; 550 no such user\r\n"
	    "Last-Attempt-Date: Sun, 22 Nov 2026 03:37:09 +0000\r\n"
	    "X-Hauberk-Reason: remote-reply\r\n"
	    "X-Hauberk-TLS: none\r\n"
	    "X-Hauberk-STS: none\r\n"
	    "\r\n--=_0000000000000002_0000000000000001\r\n"
	    "Content-Type: text/rfc822-headers\r\n"
	    "\r\n"
	    "Received: from x\r\n"
	    "Message-ID: <abc@there>\r\n"
	    "Subject: hello\r\n"
	    "\r\n--=_0000000000000002_0000000000000001--\r\n";
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got = written(&d, &flags);

	assert_string_equal(got, want);
	assert_int_equal(flags, 0);
	free(got);
}

static void
whole_message_keeps_its_stuffed_dots(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got;

	d.whole = true;
	got = written(&d, &flags);
	assert_non_null(strstr(got, "message/rfc822\r\n\r\nReceived: from x"));
	assert_non_null(strstr(got, "\r\n..dot\r\n\r\n--"));
	assert_int_equal(flags, HB_ENV_DOTTED);
	free(got);
}

/* DSN-04, DSN-05: what was given comes back decoded */
static void
envelope_id_and_original_recipient_are_decoded(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got;

	d.envid = HB_SPAN("id+3D1");
	r.orcpt = HB_SPAN("rfc822;b+2Bx@x.example");
	got = written(&d, &flags);
	assert_non_null(strstr(got, "Original-Envelope-Id: id=1\r\n"
	    "Reporting-MTA"));
	assert_non_null(strstr(got,
	    "\r\nOriginal-Recipient: rfc822;b+x@x.example\r\n"));
	free(got);
}

/* Two blanks, the case of the type, and no fold however long it is. */
static void
test_DSN_04_05_what_was_given_comes_back_exactly(void **state)
{
	static char orcpt[501] = "Rfc822;+22a+20+20b+22", want[600];
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	size_t n = strlen(orcpt);
	uint32_t flags;
	char *got;

	memset(orcpt + n, 'c', 500 - n);
	snprintf(want, sizeof(want),
	    "\r\nOriginal-Recipient: Rfc822;\"a  b\"%s\r\n", orcpt + n);
	r.orcpt = hb_span_str(orcpt);
	d.envid = HB_SPAN("a+20+20b+0D+0Ac");
	got = written(&d, &flags);
	assert_non_null(strstr(got, want));
	assert_non_null(strstr(got, "\r\nOriginal-Envelope-Id: a  b  c\r\n"));
	free(got);
}

/* Each recipient as it was done with; headers alone come back (RFC 3461
 * s4.3). */
static void
test_DSN_05_07_success(void **state)
{
	static const struct {
		uint32_t handed;
		const char *fields, *person;
	} rows[] = {
		{ HB_HANDED_DELIVERED, "Final-Recipient: rfc822; b@x.example\r\n"
		    "Action: delivered\r\nStatus: 2.1.5\r\n"
		    "Remote-MTA: dns; mx.x.example\r\n"
		    "Diagnostic-Code: smtp; 250 taken\r\n",
		    "    It was delivered.\r\n" },
		{ HB_HANDED_RELAYED, "Action: relayed\r\nStatus: 2.1.5\r\n",
		    "    It was passed on to the next mail host, " },
		{ HB_HANDED_EXPANDED, "Action: expanded\r\nStatus: 2.1.5\r\n",
		    "    This address stands for others.  " },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct q_dsn_rcpt r = rcpt();
		struct q_dsn d = dsn(&r);
		uint32_t flags;
		char *got;

		d.kind = Q_DSN_SUCCESS;
		r.outcome.result = HB_RESULT_OK;
		r.outcome.code = 250;
		r.outcome.status = HB_SPAN("2.1.5");
		r.outcome.text = HB_SPAN("taken");
		r.outcome.handed = rows[i].handed;
		got = written(&d, &flags);
		assert_non_null(strstr(got, rows[i].fields));
		assert_non_null(strstr(got, rows[i].person));
		assert_non_null(strstr(got, "\r\nSubject: Your message was "
		    "delivered or passed on\r\n"));
		assert_non_null(strstr(got, "Type: text/rfc822-headers\r\n"));
		assert_null(strstr(got, "What would change it"));
		free(got);
	}
}

static void
delay_warning_says_until_when(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got;

	d.kind = Q_DSN_DELAYED;
	r.outcome.status = HB_SPAN("4.4.1");
	got = written(&d, &flags);
	assert_non_null(strstr(got,
	    "\r\n\r\nYour message could not be delivered yet to the recipients "
	    "below.\r\n"
	    "Nothing needs to be done now: the message is kept, and it is "
	    "tried again\r\n"
	    "until Fri, 27 Nov 2026 03:37:00 +0000.  If it cannot be delivered "
	    "by\r\nthen, you will be told.\r\n"));
	assert_non_null(strstr(got,
	    "\r\n    Waiting since: Sun, 22 Nov 2026 03:37:00 +0000\r\n"));
	assert_null(strstr(got, "X-Hauberk-Expired"));
	assert_non_null(strstr(got, "Action: delayed\r\nStatus: 4.4.1\r\n"));
	assert_non_null(strstr(got,
	    "Will-Retry-Until: Fri, 27 Nov 2026 03:37:00 +0000\r\n"));
	free(got);
}

/* A policy kept it waiting until its time was over: why, where, since when,
 * and what the sender can do; our own words once only. */
static void
expired_dsn_says_what_was_waited_for(void **state)
{
	static const char want[] =
	    "  <b@x.example>\r\n"
	    "    Why: the mail host's certificate, the proof of its name, has "
	    "expired\r\n"
	    "    or is not valid yet.\r\n"
	    "    Mail host: mx.x.example\r\n"
	    "    Detail: (certificate has expired)\r\n"
	    "    Tried since: Sun, 22 Nov 2026 03:37:00 +0000\r\n"
	    "    Last tried: Sun, 22 Nov 2026 03:37:09 +0000\r\n"
	    "    The time for which a message is kept here is over.  You can "
	    "send it\r\n"
	    "    again when the cause is gone.\r\n"
	    "    What would change it: The recipient's site has to renew the\r\n"
	    "    certificate; this server's operator can make sure that the "
	    "clock\r\n"
	    "    here is right.\r\n"
	    "\r\n--=_";
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got;

	r.outcome.from_remote = 0;
	r.outcome.expired = 1;
	r.outcome.code = 451;
	r.outcome.status = HB_SPAN("5.7.5");
	r.outcome.reason = HB_REASON_CERT_EXPIRED;
	r.outcome.text = HB_SPAN("mx.x.example: the mail host's certificate, "
	    "the proof of its name, has expired or is not valid yet "
	    "(certificate has expired)");
	got = written(&d, &flags);
	assert_non_null(strstr(got, want));
	assert_non_null(strstr(got, "Status: 5.7.5\r\n"));
	assert_non_null(strstr(got, "Diagnostic-Code: X-Hauberk; mx.x.exam"));
	assert_non_null(strstr(got, "X-Hauberk-Reason: cert-expired\r\n"
	    "X-Hauberk-Expired: yes\r\n"));
	free(got);
}

/* The class of the status agrees with the action. */
static void
status_of_another_class_is_replaced(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *got;

	r.outcome.status = HB_SPAN("4.2.2");
	got = written(&d, &flags);
	assert_non_null(strstr(got, "Status: 5.0.0\r\n"));
	free(got);
}

/* No line of a remote text can become a field, a part or a byte of its own. */
static void
remote_text_is_harmless(void **state)
{
	static const char *const rows[] = {
		"x\r\nStatus: 2.0.0\r\n\r\n--=_", "a\nb", "a\rb", "nul\1\2",
		"\xff\xfe\x80", "",
	};
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		char *got;

		r.outcome.text = hb_span_str(rows[i]);
		r.address = hb_span_str(rows[i]);
		got = written(&d, &flags);
		assert_null(strstr(got, "\nStatus: 2.0.0"));
		for (const char *c = got; *c != 0; c++) {
			assert_true((unsigned char)*c < 0x7f);
			if (*c == '\n')
				assert_true(c[-1] == '\r');
			if (*c == '\r')
				assert_true(c[1] == '\n');
		}
		free(got);
	}
}

static void
long_texts_are_folded(void **state)
{
	static char text[1024];
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	size_t column = 0;
	char *got;

	for (int spaces = 0; spaces < 2; spaces++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = 9; spaces != 0 && i < sizeof(text); i += 10)
			text[i] = ' ';
		r.outcome.text = hb_span(text, sizeof(text));
		got = written(&d, &flags);
		for (const char *c = got; *c != 0; c++) {
			column = *c == '\n' ? 0 : column + 1;
			assert_true(column <= 998); /* RFC 5322 s2.1.1 */
		}
		free(got);
	}
}

/* F-5: a host without 8BITMIME takes every DSN. */
static void
test_F_5_notices_are_7bit(void **state)
{
	static const struct {
		struct hb_span head, body;
		bool whole;
		const char *part;
	} rows[] = {
		{ HB_SPAN("Subject: \xc3\xa4=\r\n"), HB_SPAN("\r\nx\r\n"), false,
		    "text/rfc822-headers\r\nContent-Transfer-Encoding: "
		    "quoted-printable\r\n\r\nSubject: =C3=A4=3D\r\n\r\n--" },
		{ HB_SPAN("Subject: \xc3\xa4\r\n"), HB_SPAN("\r\nx\r\n"), true,
		    "text/rfc822-headers\r\nContent-Transfer-Encoding: "
		    "quoted-printable\r\n\r\nSubject: =C3=A4\r\n\r\n--" },
		{ HB_SPAN("Subject: a\r\n"), HB_SPAN("\r\n..\xc3\xa4\r\n"), true,
		    "text/rfc822-headers\r\n\r\nSubject: a\r\n\r\n--" },
		{ HB_SPAN("..a: \xff \t\r\nb\r\n"), HB_SPAN_NONE, false,
		    "\r\n\r\n=2Ea: =FF =09\r\nb\r\n\r\n--" },
		{ HB_SPAN("\x80"), HB_SPAN_NONE, true, "\r\n\r\n=80\r\n\r\n--" },
		{ HB_SPAN("A: \xc3\xa4 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxxx.xxxx\r\n"), HB_SPAN_NONE, false,
		    "x=\r\n=2Exxxx\r\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct q_dsn_rcpt r = rcpt();
		struct q_dsn d = dsn(&r);
		uint32_t flags;
		char *got;

		d.head = at_page_end(rows[i].head);
		d.body = rows[i].body;
		d.whole = rows[i].whole;
		got = written(&d, &flags);
		assert_int_equal(flags, 0);
		assert_non_null(strstr(got, rows[i].part));
		assert_null(strstr(got, "8bit"));
		for (const char *c = got; *c != 0; c++)
			assert_true((unsigned char)*c < 0x7f);
		free(got);
	}
}

/* RFC 6533: addresses and header sections in UTF-8 come back as they are, and
 * still through any host; but for the address that it goes to. */
static void
test_EAI_02_notices_about_utf8(void **state)
{
	static const struct {
		const char *address, *orcpt, *to;
		bool utf8;
		uint32_t flags;
		const char *parts[6];
	} rows[] = {
		{ "k\xc3\xa4@x.example", "utf-8;k\\x{E4}@x.example", "a@b.test", true, 0,
		    { "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
		      "quoted-printable\r\n\r\nThis is", "\r\n  <k=C3=A4@x.example>\r\n",
		      "message/global-delivery-status\r\nContent-Transfer-Encoding: "
		      "quoted-printable\r\n\r\nReporting-MTA: dns; host",
		      "\r\n\r\nOriginal-Recipient: utf-8;k=C3=A4@x.example\r\n"
		      "Final-Recipient: utf-8; k=C3=A4@x.example\r\nAction: failed\r\n",
		      "message/global-headers\r\nContent-Transfer-Encoding: "
		      "quoted-printable\r\n\r\nSubject: =C3=A4\r\n",
		      "report-type=delivery-status;" } },
		/* the sender had not said that it is UTF-8 */
		{ "k\xc3\xa4@x.example", "rfc822;+C3+A4@x", "a@b.test", false, 0,
		    { "message/global-delivery-status", "text/rfc822-headers\r\n",
		      "Original-Recipient: rfc822;??@x\r\n" } },
		{ "k@x.example", "utf-8;k\\x{E4}@x", "a@b.test", false, 0,
		    { "message/delivery-status\r\n\r\n", "charset=us-ascii",
		      "Original-Recipient: utf-8;k\\x{E4}@x\r\n"
		      "Final-Recipient: rfc822; k@x.example\r\n" } },
		{ "k@x.example", "utf-8;k\xc3\xa4@x", "a@b.test", false, 0,
		    { "Original-Recipient: utf-8;k\\x{E4}@x\r\n" } },
		/* no escape makes a line, or hides one */
		{ "k\xc3\xa4@x.example", "utf-8;\\x{D}\\x{A}X:\\x{202E}\\x{110000}\\x{}",
		    "a@b.test", false, 0, { "Original-Recipient: utf-8;\\x{D}\\x{A}"
		      "X:\\x{202E}\\x{110000}\\x{}\r\n" } },
		{ "k@x.example", "", "k\xc3\xa4@here.example", false,
		    HB_ENV_SMTPUTF8 | HB_ENV_8BIT, { "To: <k\xc3\xa4@here.example>\r\n",
		      "message/delivery-status\r\n\r\n" } },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct q_dsn_rcpt r = rcpt();
		struct q_dsn d = dsn(&r);
		uint32_t flags;
		char *got;

		r.address = hb_span_str(rows[i].address);
		r.orcpt = hb_span_str(rows[i].orcpt);
		d.to = hb_span_str(rows[i].to);
		d.head = HB_SPAN("Subject: \xc3\xa4\r\n");
		d.utf8 = rows[i].utf8;
		got = written(&d, &flags);
		assert_int_equal(flags, rows[i].flags);
		for (size_t k = 0; k < 6 && rows[i].parts[k] != NULL; k++)
			if (strstr(got, rows[i].parts[k]) == NULL)
				fail_msg("%s\nis not in\n%s", rows[i].parts[k], got);
		for (const char *c = strstr(got, "\r\nSubject:"); *c != 0; c++)
			assert_true((unsigned char)*c < 0x7f);
		free(got);
	}
}

/* Nothing in TEXT is a lone dot line, and no line ends in but CRLF. */
static void
is_wire(const char *text)
{
	struct hb_wire w;

	hb_wire_init(&w);
	(void)hb_wire_feed(&w, hb_span_str(text));
	assert_int_equal(hb_wire_end(&w) & HB_WIRE_FAULTS, 0);
}

static void
test_A_3_addresses_begin_no_line(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *text;

	d.to = HB_SPAN("a@b.test>\r\nBcc: <c@d.test");
	r.address = HB_SPAN("x@y.test\nX-Mine: 1\r\nX-Mine: 2");
	text = written(&d, &flags);
	assert_null(strstr(text, "\nBcc:"));
	assert_null(strstr(text, "\nX-Mine:"));
	assert_non_null(strstr(text, "To: <a@b.test>??Bcc: <c@d.test>\r\n"));
	is_wire(text);
	free(text);
}

/* Ids can be guessed: in the message, and in what a server said. */
static void
test_A_3_no_boundary_can_be_guessed(void **state)
{
	static const char guess[] = "Subject: x\r\n\r\n"
	    "--=_0000000000000002_0000000000000001--\r\n";
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	uint32_t flags;
	char *text;

	d.body = hb_span_str(guess);
	d.whole = true;
	d.nonce = UINT64_C(0xfedcba9876543210);
	text = written(&d, &flags);
	assert_non_null(strstr(text, "boundary=\"="
	    "_0000000000000002_fedcba9876543210\""));
	assert_non_null(strstr(text,
	    "\r\n--=_0000000000000002_fedcba9876543210--\r\n"));
	free(text);
}

/* A folded line of blanks would be taken for the end of the header. */
static void
test_A_3_blanks_make_no_empty_line(void **state)
{
	struct q_dsn_rcpt r = rcpt();
	struct q_dsn d = dsn(&r);
	char blanks[400];
	uint32_t flags;
	char *text;

	memset(blanks, ' ', sizeof(blanks));
	blanks[0] = 'a';
	blanks[sizeof(blanks) - 1] = 'z';
	r.outcome.text = hb_span(blanks, sizeof(blanks));
	text = written(&d, &flags);
	assert_non_null(strstr(text, "smtp; 550 a z\r\n"));
	free(text);
}

/* The worst that hosts say and senders write is one job for delivery; what is
 * left of a long header section are whole lines. */
static void
test_A_33_a_dsn_fits_a_job(void **state)
{
	static char text[1024], line[1000];
	struct q_dsn_rcpt r[500];
	struct q_dsn d = dsn(r);
	struct hb_buf all = HB_BUF_INIT(0), out = HB_BUF_INIT(0),
	    rest = HB_BUF_INIT(0);
	size_t n = 0, bytes = 0;

	memset(text, 'x', sizeof(text));
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = ' ';
	while (n < HB_ARRAY_LEN(r) && bytes < Q_DSN_RCPT_BYTES) {
		r[n] = rcpt();
		r[n].address = r[n].original =
		    hb_span(text, HB_MAX_PATH);
		r[n].orcpt = hb_span(text, HB_MAX_ORCPT);
		r[n].outcome.mx = hb_span(text, HB_MAX_DOMAIN);
		r[n].outcome.text = hb_span(text, sizeof(text));
		r[n].outcome.expired = 1;
		bytes += q_dsn_rcpt_bytes(&r[n++]);
	}
	d.n = n;
	(void)q_dsn_write(&d, &out, &rest);
	assert_true(n > 90);
	assert_true(rest.n < bytes + 4096);

	memset(line, 0xe9, sizeof(line));
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	while (all.n < HB_MAX_HEADER_BYTES)
		hb_buf_add(&all, hb_span(line, sizeof(line)));
	d.head = hb_buf_span(&all);
	hb_buf_clear(&out);
	hb_buf_clear(&rest);
	(void)q_dsn_write(&d, &out, &rest);
	assert_true(out.n + rest.n <= HB_MAX_JOB_BYTES);
	hb_buf_add(&out, hb_buf_span(&rest));
	hb_buf_add(&out, hb_span("", 1));
	assert_non_null(strstr((const char *)out.p, "=E9\r\n\r\n--=_"));
	hb_buf_free(&all);
	hb_buf_free(&out);
	hb_buf_free(&rest);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure_dsn_golden),
		cmocka_unit_test(whole_message_keeps_its_stuffed_dots),
		cmocka_unit_test(envelope_id_and_original_recipient_are_decoded),
		cmocka_unit_test(
		    test_DSN_04_05_what_was_given_comes_back_exactly),
		cmocka_unit_test(test_DSN_05_07_success),
		cmocka_unit_test(delay_warning_says_until_when),
		cmocka_unit_test(expired_dsn_says_what_was_waited_for),
		cmocka_unit_test(status_of_another_class_is_replaced),
		cmocka_unit_test(remote_text_is_harmless),
		cmocka_unit_test(long_texts_are_folded),
		cmocka_unit_test(test_F_5_notices_are_7bit),
		cmocka_unit_test(test_EAI_02_notices_about_utf8),
		cmocka_unit_test(test_A_3_addresses_begin_no_line),
		cmocka_unit_test(test_A_3_no_boundary_can_be_guessed),
		cmocka_unit_test(test_A_33_a_dsn_fits_a_job),
		cmocka_unit_test(test_A_3_blanks_make_no_empty_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
