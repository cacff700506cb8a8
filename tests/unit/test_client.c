/*
 * The SMTP client machine against scripted peers.  A script is lines of
 *	S text	the server says this line
 *	C text	the client must say this line
 *	B	the client must send the body now
 *	T STATE	the client must start TLS; it ends with this word
 *	R	the client must be ready; the message is handed over
 *	D	the message must be done
 *	X REASON	the session must be over, for this reason
 *	L	the connection is lost;  ! the timer runs out
 * Each script runs twice: replies whole, and byte by byte.
 */
#include "unit.h"

#include "delivery/client.h"

enum { MAX_RCPTS = 4 };

struct play {
	struct dlv_client *c;
	struct hb_buf in, said; /* towards the client, and from it */
	bool split;
	struct hb_env env;
	struct dlv_rcpt rcpt[MAX_RCPTS];
	struct dlv_txn txn;
	enum dlv_act_kind seen; /* an act that waits for its script line */
};

static const struct sts_verdict proceed = { .action = STS_PROCEED };

/* Performs acts until one must be scripted. */
static void
drain(struct play *p)
{
	while (p->seen == DLV_ACT_NONE) {
		struct dlv_act a = dlv_client_next(p->c);

		if (a.kind == DLV_ACT_NONE)
			return;
		if (a.kind == DLV_ACT_SEND)
			hb_buf_add(&p->said, a.bytes);
		else if (a.kind != DLV_ACT_TIMER)
			p->seen = a.kind;
	}
}

static void
feed(struct play *p, struct hb_span s)
{
	size_t step = p->split ? 1 : s.n;

	for (size_t i = 0; i < s.n; i += step) {
		hb_buf_add(&p->in, hb_span(s.p + i, step));
		hb_buf_consume(&p->in, dlv_client_input(p->c,
			hb_buf_span(&p->in)));
		drain(p);
	}
}

static void
expect_act(struct play *p, enum dlv_act_kind kind)
{
	drain(p);
	assert_int_equal(p->seen, kind);
	p->seen = DLV_ACT_NONE;
}

static void
expect_line(struct play *p, struct hb_span want)
{
	struct hb_span said, line;

	drain(p);
	said = hb_buf_span(&p->said);
	line = hb_span_head(said, hb_span_find(said, '\n'));
	assert_true(line.n > 0 && line.p[line.n - 1] == '\r');
	line.n--;
	assert_int_equal(line.n, want.n);
	assert_memory_equal(line.p, want.p, want.n);
	hb_buf_consume(&p->said, line.n + 2);
}

static void
tls(struct play *p, struct hb_span word)
{
	struct hb_tls_facts f = { .state = HB_TLSF_FAILED };

	expect_act(p, DLV_ACT_TLS);
	if (hb_span_eq(word, HB_SPAN("ok")))
		f.state = HB_TLSF_DONE;
	dlv_client_tls_done(p->c, &f);
}

static void
over(struct play *p, struct hb_span reason)
{
	expect_act(p, DLV_ACT_CLOSED);
	assert_true(hb_span_eq(reason, hb_span_str(hb_reason_word(
		dlv_client_failure(p->c)->reason))));
}

static void
perform(struct play *p, char what, struct hb_span arg)
{
	struct hb_buf line = HB_BUF_INIT(0);

	switch (what) {
	case 'S':
		hb_buf_add(&line, arg);
		hb_buf_adds(&line, "\r\n");
		feed(p, hb_buf_span(&line));
		hb_buf_free(&line);
		break;
	case 'C':
		expect_line(p, arg);
		break;
	case 'B':
		expect_act(p, DLV_ACT_BODY);
		break;
	case 'T':
		tls(p, arg);
		break;
	case 'R':
		expect_act(p, DLV_ACT_READY);
		dlv_client_mail(p->c, &p->txn, &proceed);
		break;
	case 'M':
		dlv_client_mail(p->c, &p->txn, &proceed);
		break;
	case 'D':
		expect_act(p, DLV_ACT_DONE);
		break;
	case 'X':
		over(p, arg);
		break;
	case 'L':
		dlv_client_lost(p->c);
		break;
	case '!':
		dlv_client_timeout(p->c);
		break;
	default:
		fail_msg("bad script");
	}
}

struct script {
	const char *name, *text;
	const char *results; /* o d f - of each recipient */
	uint32_t flags;
	size_t nrcpt;
	enum dlv_tls_use tls;
	bool lmtp, demanded;
	enum hb_tls_state facts;
	bool requiretls; /* among them */
};

#define HELLO "S 220 mx\nC EHLO me.test\n"
#define PLAIN HELLO "S 250 mx\nR\n"
#define STARTED HELLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT ok\n"
#define MAIL1 "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<r0@x.test>\n"
#define GROUP "C MAIL FROM:<a@b.test>\nC RCPT TO:<r0@x.test>\n"               \
	"C RCPT TO:<r1@x.test>\nC DATA\n"
#define PIPE HELLO "S 250-mx\nS 250 pipelining\nR\n" GROUP

// clang-format off
static const struct script scripts[] = {
	{ "SMTP-03 one at a time", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 250 2.0.0 taken\nD\n", "o", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "PIPE-02 group", PIPE
	  "S 250 ok\nS 250 ok\nS 550 no\nS 354 go\nB\nS 250 ok\nD\n", "of", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "PIPE-03 all refused but 354: a lone dot", PIPE
	  "S 250 ok\nS 550 no\nS 451 no\nS 354 go\nC .\nS 554 none\nD\n", "fd",
	  0, 2, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "MAIL refused", PIPE
	  "S 550 no\nS 503 no\nS 503 no\nS 503 no\nD\n", "ff", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "RSET only when needed", PLAIN MAIL1 "S 550 no\nD\nM\nC RSET\nS 250 ok\n"
	  MAIL1 "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\nM\n" MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 450 ok\nD\n", "d", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "SMTP-05 552 to RCPT is 452", PLAIN MAIL1 "S 552 many\nD\n", "d", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "TLS-02 case-blind keyword, EHLO again", HELLO
	  "S 250-mx\nS 250-size 10\nS 250 starttls\nC STARTTLS\nS 220 go\nT ok\n"
	  "C EHLO me.test\nS 250 mx\nR\n" MAIL1 "S 450 no\nD\n", "d", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_DONE, false },
	{ "TLS-05 refused with 502", HELLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\n"
	  "S 502 no\nR\n" MAIL1 "S 450 no\nD\n", "d", 0, 1, DLV_TLS_OFFERED,
	  false, true, HB_TLSF_REFUSED, false },
	{ "handshake fails", HELLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\n"
	  "S 220 go\nT no\nX tls-handshake\n", "", 0, 1, DLV_TLS_OFFERED, false,
	  false, HB_TLSF_FAILED, false },
	{ "no HELO where TLS is demanded", "S 220 mx\nC EHLO me.test\nS 502 no\n"
	  "R\n" MAIL1 "S 450 no\nD\n", "d", 0, 1, DLV_TLS_OFFERED, false, true,
	  HB_TLSF_NOT_OFFERED, false },
	{ "HELO", "S 220 mx\nC EHLO me.test\nS 502 no\nC HELO me.test\nS 250 mx\n"
	  "R\n" MAIL1 "S 450 no\nD\n", "d", 0, 1, DLV_TLS_OFFERED, false, false,
	  HB_TLSF_NOT_OFFERED, false },
	{ "no HELO inside TLS", HELLO "S 250 STARTTLS\nR\n" MAIL1 "S 450 no\nD\n",
	  "d", 0, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "EHLO refused inside TLS", HELLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\n"
	  "S 220 go\nT ok\nC EHLO me.test\nS 500 no\nC QUIT\nX remote-reply\n", "",
	  0, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_DONE, false },
	{ "greeting 554", "S 554 no\nC QUIT\nX remote-reply\n", "", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_UNKNOWN, false },
	{ "421 in a group", PIPE "S 250 ok\nS 550 no\nS 421 bye\nX remote-reply\n",
	  "f-", 0, 2, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "SMTP-14 lost", PLAIN MAIL1 "L\nX connection-lost\n", "-", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "SMTP-06 timeout", HELLO "!\nX reply-timeout\n", "", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_UNKNOWN, false },
	{ "binary", "S \377\376\001\nX bad-reply\n", "", 0, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_UNKNOWN, false },
	{ "a reply too many", PLAIN "C MAIL FROM:<a@b.test>\nS 550 no\nD\n"
	  "S 250 what\nX bad-reply\n", "f", 0, 1, DLV_TLS_OFFERED, false, false,
	  HB_TLSF_NOT_OFFERED, false },
	{ "no 8BITMIME", PLAIN "D\n", "f", HB_ENV_8BIT, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_NOT_OFFERED, false },
	{ "no SMTPUTF8", PLAIN "D\n", "f", HB_ENV_SMTPUTF8, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_NOT_OFFERED, false },
	{ "too large", HELLO "S 250-mx\nS 250 SIZE 99\nR\nD\n", "f", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "SIZE and BODY", HELLO "S 250-mx\nS 250-SIZE 100\nS 250 8bitmime\nR\n"
	  "C MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME\nS 550 no\nD\n", "f",
	  HB_ENV_8BIT, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "LMTP: a reply each", "S 220 l\nC LHLO me.test\nS 250-l\n"
	  "S 250 PIPELINING\nR\n" GROUP "S 250 ok\nS 250 ok\nS 250 ok\n"
	  "S 354 go\nB\nS 250 ok\nS 452 full\nD\n", "od", 0, 2, DLV_TLS_NEVER,
	  true, false, HB_TLSF_UNKNOWN, false },
	{ "F-2 a server of our name is ourselves", HELLO
	  "S 250-Me.Test hello\nS 250 PIPELINING\nX mx-self\n", "-", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_UNKNOWN, false },
	{ "F-2 inside TLS", STARTED "C EHLO me.test\nS 250 me.test\nX mx-self\n",
	  "-", 0, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_DONE, false },
	{ "F-2 LMTP of this host", "S 220 l\nC LHLO me.test\nS 250 me.test\nR\n"
	  MAIL1 "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\n", "o", 0, 1,
	  DLV_TLS_NEVER, true, false, HB_TLSF_UNKNOWN, false },
	{ "RTLS-01, RTLS-04 listed inside TLS", STARTED "C EHLO me.test\n"
	  "S 250-mx\nS 250 requiretls\nR\nC MAIL FROM:<a@b.test> REQUIRETLS\n"
	  "S 450 no\nD\n", "d", HB_ENV_REQUIRETLS, 1, DLV_TLS_OFFERED, false,
	  true, HB_TLSF_DONE, true },
	{ "RTLS-01 not asked for", STARTED "C EHLO me.test\nS 250-mx\n"
	  "S 250 REQUIRETLS\nR\nC MAIL FROM:<a@b.test>\nS 450 no\nD\n", "d",
	  HB_ENV_TLS_OPTIONAL, 1, DLV_TLS_OFFERED, false, true, HB_TLSF_DONE,
	  true },
	{ "RTLS-04 listed in clear, not inside TLS", HELLO "S 250-mx\n"
	  "S 250-REQUIRETLS\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT ok\n"
	  "C EHLO me.test\nS 250 mx\nR\nC MAIL FROM:<a@b.test>\nS 450 no\nD\n",
	  "d", HB_ENV_REQUIRETLS, 1, DLV_TLS_OFFERED, false, true,
	  HB_TLSF_DONE, false },
	{ "RTLS-01 listed in clear alone", HELLO "S 250-mx\nS 250 REQUIRETLS\n"
	  "R\nC MAIL FROM:<a@b.test>\nS 450 no\nD\n", "d", HB_ENV_REQUIRETLS,
	  1, DLV_TLS_OFFERED, false, true, HB_TLSF_NOT_OFFERED, false },
	{ "RTLS-04 STARTTLS refused behind it", HELLO "S 250-mx\n"
	  "S 250-REQUIRETLS\nS 250 STARTTLS\nC STARTTLS\nS 454 no\nR\n"
	  "C MAIL FROM:<a@b.test>\nS 450 no\nD\n", "d", HB_ENV_REQUIRETLS, 1,
	  DLV_TLS_OFFERED, false, true, HB_TLSF_REFUSED, false },
	{ "RTLS-01 implicit TLS", "T ok\nS 220 mx\nC EHLO me.test\nS 250-mx\n"
	  "S 250 REQUIRETLS\nR\nC MAIL FROM:<a@b.test> REQUIRETLS\nS 450 no\n"
	  "D\n", "d", HB_ENV_REQUIRETLS, 1, DLV_TLS_IMPLICIT, false, true,
	  HB_TLSF_DONE, true },
	{ "RTLS-08 LMTP: STARTTLS, LHLO again", "S 220 l\nC LHLO me.test\n"
	  "S 250-l\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nT ok\n"
	  "C LHLO me.test\nS 250-l\nS 250 REQUIRETLS\nR\n"
	  "C MAIL FROM:<a@b.test> REQUIRETLS\nS 250 ok\nC RCPT TO:<r0@x.test>\n"
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\n", "o",
	  HB_ENV_REQUIRETLS, 1, DLV_TLS_OFFERED, true, false, HB_TLSF_DONE,
	  true },
	{ "RTLS-08 LMTP without STARTTLS", "S 220 l\nC LHLO me.test\n"
	  "S 250-l\nS 250 REQUIRETLS\nR\nC MAIL FROM:<a@b.test>\nS 450 no\n"
	  "D\n", "d", HB_ENV_REQUIRETLS, 1, DLV_TLS_OFFERED, true, false,
	  HB_TLSF_NOT_OFFERED, false },
	{ "implicit TLS", "T ok\nS 220 mx\nC EHLO me.test\nS 250 mx\nR\n" MAIL1
	  "S 450 no\nD\n", "d", 0, 1, DLV_TLS_IMPLICIT, false, true,
	  HB_TLSF_DONE, false },
};
// clang-format on

static void
check_results(const struct play *p, const struct script *s)
{
	static const char letters[HB_RESULT_COUNT] = {
		[HB_RESULT_NONE] = '-', [HB_RESULT_OK] = 'o',
		[HB_RESULT_DEFER] = 'd', [HB_RESULT_FAIL] = 'f',
	};

	for (size_t i = 0; s->results[i] != '\0'; i++)
		assert_int_equal(letters[p->rcpt[i].result.result],
		    s->results[i]);
}

static void
run_script(const struct script *s, bool split)
{
	static const char *const addresses[MAX_RCPTS] = { "r0@x.test",
		"r1@x.test", "r2@x.test", "r3@x.test" };
	struct dlv_client_conf conf = { .helo = "me.test", .lmtp = s->lmtp,
		.tls = s->tls, .demanded = s->demanded, .may_loop = !s->lmtp,
		.reply_ms = 1000 };
	struct hb_span text = hb_span_str(s->text);
	struct play p = { .split = split };

	print_message("%s%s\n", s->name, split ? " (split)" : "");
	p.env = (struct hb_env){ .sender = HB_SPAN("a@b.test"),
		.flags = s->flags, .size = 100 };
	p.txn = (struct dlv_txn){ .env = &p.env, .rcpt = p.rcpt,
		.nrcpt = s->nrcpt,
		.requiretls = (s->flags & HB_ENV_REQUIRETLS) != 0 };
	for (size_t i = 0; i < s->nrcpt; i++)
		p.rcpt[i].address = hb_span_str(addresses[i]);
	p.c = dlv_client_new(&conf);
	dlv_client_connected(p.c);
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');

		perform(&p, (char)line.p[0], hb_span_from(line, 2));
	}
	drain(&p);
	assert_int_equal(p.said.n, 0);
	assert_int_equal(dlv_client_facts(p.c)->state, s->facts);
	assert_int_equal(dlv_client_facts(p.c)->requiretls, s->requiretls);
	check_results(&p, s);
	dlv_client_free(&p.c);
	hb_buf_free(&p.in);
	hb_buf_free(&p.said);
}

static void
test_scripts(void **state)
{
	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(scripts); i++) {
		run_script(&scripts[i], false);
		run_script(&scripts[i], true);
	}
}

/* TLS-01: what comes in one piece with the 220 was said in clear. */
static void
test_TLS_01_injected(void **state)
{
	struct dlv_client_conf conf = { .helo = "me.test",
		.tls = DLV_TLS_OFFERED, .reply_ms = 1000 };
	struct play p = { .c = dlv_client_new(&conf) };

	(void)state;
	dlv_client_connected(p.c);
	feed(&p, HB_SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n"
			 "220 go\r\n250 injected\r\n"));
	over(&p, HB_SPAN("tls-injected"));
	assert_int_equal(dlv_client_facts(p.c)->state, HB_TLSF_INJECTED);
	dlv_client_free(&p.c);
	hb_buf_free(&p.in);
	hb_buf_free(&p.said);
}

/* Replies to what was not said yet, one for each command to come. */
static void
test_SMTP_replies_ahead(void **state)
{
	enum { RCPTS = 50 };
	struct dlv_client_conf conf = { .helo = "me.test", .reply_ms = 1000 };
	struct dlv_rcpt rcpt[RCPTS];
	struct play p = { .c = dlv_client_new(&conf) };
	struct hb_buf ahead = HB_BUF_INIT(0);

	(void)state;
	p.env = (struct hb_env){ .sender = HB_SPAN("a@b.test") };
	p.txn = (struct dlv_txn){ .env = &p.env, .rcpt = rcpt,
		.nrcpt = RCPTS };
	for (size_t i = 0; i < RCPTS; i++)
		rcpt[i] = (struct dlv_rcpt){ .address = HB_SPAN("r@x.test") };
	dlv_client_connected(p.c);
	feed(&p, HB_SPAN("220 x\r\n"));
	feed(&p, HB_SPAN("250 x\r\n"));
	perform(&p, 'C', HB_SPAN("EHLO me.test"));
	perform(&p, 'R', HB_SPAN_NONE);
	for (size_t i = 0; i < RCPTS + 1; i++)
		hb_buf_adds(&ahead, "250 ok\r\n");
	feed(&p, hb_buf_span(&ahead));
	perform(&p, 'C', HB_SPAN("MAIL FROM:<a@b.test>"));
	for (size_t i = 0; i < RCPTS; i++)
		perform(&p, 'C', HB_SPAN("RCPT TO:<r@x.test>"));
	perform(&p, 'C', HB_SPAN("DATA"));
	dlv_client_free(&p.c);
	hb_buf_free(&ahead);
	hb_buf_free(&p.in);
	hb_buf_free(&p.said);
}

/* Lost or silent in the middle of a handshake is no word on TLS. */
static void
test_RTLS_06_a_cut_handshake_is_told_apart(void **state)
{
	static void (*const ends[])(struct dlv_client *) = {
		dlv_client_lost, dlv_client_timeout };
	struct dlv_client_conf conf = { .helo = "me.test",
		.tls = DLV_TLS_OFFERED, .reply_ms = 1000 };
	struct hb_span in = HB_SPAN("220 x\r\n250-x\r\n250 STARTTLS\r\n"
				    "220 go\r\n");

	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(ends); i++) {
		struct dlv_client *c = dlv_client_new(&conf);

		dlv_client_connected(c);
		for (size_t used = 0; used < in.n;) {
			used += dlv_client_input(c, hb_span_from(in, used));
			while (dlv_client_next(c).kind != DLV_ACT_NONE)
				;
		}
		ends[i](c);
		assert_int_equal(dlv_client_facts(c)->state, HB_TLSF_FAILED);
		assert_true(dlv_client_facts(c)->cut);
		dlv_client_free(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_SMTP_replies_ahead),
		cmocka_unit_test(test_TLS_01_injected),
		cmocka_unit_test(test_RTLS_06_a_cut_handshake_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
