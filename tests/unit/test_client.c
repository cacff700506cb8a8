/*
 * The SMTP client machine against scripted peers.  A script is lines of
 *	S text	the server says this line
 *	P text	the server says this in one piece, `|' ends its lines
 *	C text	the client must say this line
 *	B	the client must send the body now;  b it does, and has not ended
 *	E	the body is out
 *	T STATE	the client must start TLS; it ends with this word
 *	R	the client must be ready; the message is handed over
 *	D	the message must be done
 *	X REASON	the session must be over, for this reason
 *	L	the connection is lost;  ! the timer runs out
 * Each script runs twice: replies whole, and byte by byte; but those with a
 * piece of more than one line once.
 */
#include "unit.h"

#include "delivery/smtp/client.h"

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
	case 'P':
		for (size_t i = 0; i < arg.n; i++)
			if (arg.p[i] == '|')
				hb_buf_adds(&line, "\r\n");
			else
				hb_buf_add(&line, hb_span(arg.p + i, 1));
		feed(p, hb_buf_span(&line));
		hb_buf_free(&line);
		break;
	case 'C':
		expect_line(p, arg);
		break;
	case 'b':
		expect_act(p, DLV_ACT_BODY);
		break;
	case 'B':
		expect_act(p, DLV_ACT_BODY);
		dlv_client_body_sent(p->c);
		break;
	case 'E':
		dlv_client_body_sent(p->c);
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
		dlv_client_lost(p->c, "alert");
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
#define LIMITED(what) HELLO "S 250-mx\nS 250 LIMITS " what "\nR\n"
#define TAKEN PLAIN MAIL1 "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\nM\n"
#define REFUSED HELLO "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 no\nR\n"
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
	{ "LIM-02 RCPTMAX", LIMITED("rcptmax=1") MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\n", "o-", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "LIM-02 RCPTMAX, MAIL refused", LIMITED("RCPTMAX=1")
	  "C MAIL FROM:<a@b.test>\nS 550 no\nD\n", "ff", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "LIM-02 malformed and hostile", LIMITED("RCPTMAX=0 RCPTMAX=x "
	  "=1 RCPTMAX= RCPTMAX RCPTMAX=1000000 RCPTMAX=-1 RCPTDOMAINMAX=1 "
	  "RCPTMAX=18446744073709551617") MAIL1
	  "S 250 ok\nC RCPT TO:<r1@x.test>\nS 250 ok\nC DATA\nS 354 go\nB\n"
	  "S 250 ok\nD\n", "oo", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "LIM-02 forgotten with what was said in clear", HELLO
	  "S 250-mx\nS 250-LIMITS RCPTMAX=1\nS 250 STARTTLS\nC STARTTLS\n"
	  "S 220 go\nT ok\nC EHLO me.test\nS 250 mx\nR\n" MAIL1
	  "S 250 ok\nC RCPT TO:<r1@x.test>\nS 250 ok\nC DATA\nS 354 go\nB\n"
	  "S 250 ok\nD\n", "oo", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_DONE, false },
	{ "MAIL refused", PIPE
	  "S 550 no\nS 503 no\nS 503 no\nS 503 no\nD\n", "ff", 0, 2,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "RSET only when needed", PLAIN MAIL1 "S 550 no\nD\nM\nC RSET\nS 250 ok\n"
	  MAIL1 "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\nM\n" MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 450 ok\nD\n", "d", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-21 552 to the only recipient is final", PLAIN MAIL1
	  "S 552 many\nD\n", "f", 0, 1, DLV_TLS_OFFERED, false, false,
	  HB_TLSF_NOT_OFFERED, false },
	{ "F-21 552 5.5.3 to the first is final", PLAIN MAIL1
	  "S 552 5.5.3 many\nD\n", "f", 0, 1, DLV_TLS_OFFERED, false, false,
	  HB_TLSF_NOT_OFFERED, false },
	{ "SMTP-05, F-21 552 behind one that was taken: too many", PIPE
	  "S 250 ok\nS 250 ok\nS 552 many\nS 354 go\nB\nS 250 ok\nD\n", "od",
	  0, 2, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-21 552 5.5.3 behind one that was not: too many", PIPE
	  "S 250 ok\nS 550 no\nS 552 5.5.3 many\nS 503 no\nD\n", "fd",
	  0, 2, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-21 552 5.2.2: that mailbox is full", PIPE
	  "S 250 ok\nS 250 ok\nS 552 5.2.2 full\nS 354 go\nB\nS 250 ok\nD\n",
	  "of", 0, 2, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-27 503 to the second MAIL ends the session", TAKEN
	  "C MAIL FROM:<a@b.test>\nS 503 no\nC QUIT\nX remote-reply\n", "-", 0,
	  1, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-27 500 to the second RCPT", TAKEN MAIL1
	  "S 500 no\nC QUIT\nX remote-reply\n", "-", 0, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-27 503 to the second DATA", TAKEN MAIL1
	  "S 250 ok\nC DATA\nS 503 no\nC QUIT\nX remote-reply\n", "-", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-27 550 to the second MAIL is its own", TAKEN
	  "C MAIL FROM:<a@b.test>\nS 550 no\nD\n", "f", 0, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-27 503 to the first MAIL too", PLAIN
	  "C MAIL FROM:<a@b.test>\nS 503 no\nD\n", "f", 0, 1, DLV_TLS_OFFERED,
	  false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-4 454, then 530 to MAIL", REFUSED
	  "C MAIL FROM:<a@b.test>\nS 530 5.7.0 TLS first\nD\n", "d", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_REFUSED, false },
	{ "F-4 454, then 5.7.x to RCPT", REFUSED MAIL1 "S 550 5.7.11 TLS\nD\n",
	  "d", 0, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_REFUSED, false },
	{ "F-4 454, then 550 5.1.1", REFUSED MAIL1 "S 550 5.1.1 who\nD\n", "f",
	  0, 1, DLV_TLS_OFFERED, false, false, HB_TLSF_REFUSED, false },
	{ "F-4 530 where no TLS is offered", PLAIN
	  "C MAIL FROM:<a@b.test>\nS 530 5.7.0 AUTH first\nD\n", "f", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false },
	{ "F-11 lost right behind the handshake", STARTED "C EHLO me.test\n"
	  "L\nX tls-handshake\n", "", 0, 1, DLV_TLS_OFFERED, false, false,
	  HB_TLSF_FAILED, false },
	{ "F-11 implicit TLS too", "T ok\nL\nX tls-handshake\n", "", 0, 1,
	  DLV_TLS_IMPLICIT, false, true, HB_TLSF_FAILED, false },
	{ "F-11 lost when EHLO was answered", STARTED "C EHLO me.test\nS 250 mx\n"
	  "R\nC MAIL FROM:<a@b.test>\nL\nX connection-lost\n", "-", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_DONE, false },
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

#define CLEAR DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED, false
#define LMTP "S 220 l\nC LHLO me.test\nS 250-l\nS 250 PIPELINING\nR\n" GROUP      \
	"S 250 ok\nS 250 ok\nS 250 ok\nS 354 go\n"

/* what is said before it was asked for counts for nothing. */
// clang-format off
static const struct script ahead[] = {
	{ "A-5 250 before the body is out", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nS 250 taken\nX bad-reply\n", "-", 0,
	  1, CLEAR },
	{ "A-5 354 before the body is out", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nS 354 go\nX bad-reply\n", "-", 0, 1,
	  CLEAR },
	{ "A-5 354 when the body is out", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 354 go\nX bad-reply\n", "-", 0, 1,
	  CLEAR },
	{ "A-5 begun before the body is out", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nS 250-taken\nE\nS 250 yes\n"
	  "X bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 half a line before the body is out", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nP 25\nE\nP 0 yes|\nX bad-reply\n",
	  "-", 0, 1, CLEAR },
	{ "A-5 552 before the body is out counts, nothing follows", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nS 552 5.3.4 no\nD\nX bad-reply\n",
	  "f", 0, 1, CLEAR },
	{ "A-5 451 begun before the body is out counts", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nb\nS 451-no\nE\nS 451 no\nD\n"
	  "X bad-reply\n", "d", 0, 1, CLEAR },
	{ "A-5 behind the 354", PLAIN MAIL1
	  "S 250 ok\nC DATA\nP 354 go|250 taken|\nX bad-reply\n", "-", 0, 1,
	  CLEAR },
	{ "A-5 an octet behind the 354", PLAIN MAIL1
	  "S 250 ok\nC DATA\nP 354 go|2\nX bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 all at once", PLAIN "C MAIL FROM:<a@b.test>\n"
	  "P 250 a|250 b|354 c|250 d|\nX bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 all at once behind a group", PIPE
	  "P 250 a|250 b|250 c|354 c|250 d|\nX bad-reply\n", "--", 0, 2, CLEAR },
	{ "A-5 a group in one piece is none of it", PIPE
	  "P 250 a|250 b|550 c|354 d|\nB\nS 250 ok\nD\n", "of", 0, 2, CLEAR },
	{ "A-5 250 to DATA", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 250 taken\nX bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 354 to MAIL", PLAIN "C MAIL FROM:<a@b.test>\nS 354 go\n"
	  "X bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 354 to RCPT", PLAIN MAIL1 "S 354 go\nX bad-reply\n", "-", 0, 1,
	  CLEAR },
	{ "A-5 behind a refusal of MAIL", PLAIN "C MAIL FROM:<a@b.test>\n"
	  "P 550 no|250 ok|\nD\nX bad-reply\n", "f", 0, 1, CLEAR },
	{ "A-5 behind the refusal of DATA", PLAIN MAIL1 "S 250 ok\nC DATA\n"
	  "P 554 no|250 ok|\nD\nX bad-reply\n", "f", 0, 1, CLEAR },
	{ "A-5 behind the last reply: it counts, nothing follows", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nP 250 ok|250 ok|\nD\nX bad-reply\n",
	  "o", 0, 1, CLEAR },
	{ "A-5 behind the greeting", "P 220 mx|250 mx|\nX bad-reply\n", "", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_UNKNOWN, false },
	{ "A-5 behind EHLO's", HELLO "P 250 mx|250 ok|\nX bad-reply\n", "", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_UNKNOWN, false },
	{ "A-5 behind HELO's", HELLO "S 502 no\nC HELO me.test\n"
	  "P 250 mx|250 ok|\nX bad-reply\n", "", 0, 1, CLEAR },
	{ "A-5 behind the refusal of STARTTLS", HELLO "S 250-mx\nS 250 STARTTLS\n"
	  "C STARTTLS\nP 454 no|250 ok|\nR\nX bad-reply\n", "-", 0, 1,
	  DLV_TLS_OFFERED, false, false, HB_TLSF_REFUSED, false },
	{ "A-5 behind EHLO's inside TLS", STARTED "C EHLO me.test\n"
	  "P 250 mx|250 ok|\nX bad-reply\n", "", 0, 1, DLV_TLS_OFFERED, false,
	  false, HB_TLSF_DONE, false },
	{ "A-5 behind RSET's", PLAIN MAIL1 "S 550 no\nD\nM\nC RSET\n"
	  "P 250 ok|250 ok|\nX bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 begun between two messages", PLAIN MAIL1
	  "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\nP 25\nM\n"
	  "C MAIL FROM:<a@b.test>\nP 0 ok|\nX bad-reply\n", "-", 0, 1, CLEAR },
	{ "A-5 LMTP: one before the body is out", LMTP
	  "b\nS 452 full\nS 250 ok\nX bad-reply\n", "d-", 0, 2, DLV_TLS_NEVER,
	  true, false, HB_TLSF_UNKNOWN, false },
	{ "A-5 LMTP: refused early, the rest in time", LMTP
	  "b\nS 452 full\nE\nS 250 ok\nD\nX bad-reply\n", "do", 0, 2,
	  DLV_TLS_NEVER, true, false, HB_TLSF_UNKNOWN, false },
	{ "A-5 LMTP: one too many", LMTP
	  "B\nP 250 ok|250 ok|250 ok|\nD\nX bad-reply\n", "oo", 0, 2,
	  DLV_TLS_NEVER, true, false, HB_TLSF_UNKNOWN, false },
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
		assert_int_equal(letters[p->rcpt[i].outcome.result],
		    s->results[i]);
}

static void
begin_script(struct play *p, const struct script *s)
{
	static const char *const addresses[MAX_RCPTS] = { "r0@x.test",
		"r1@x.test", "r2@x.test", "r3@x.test" };
	struct dlv_client_conf conf = { .helo = "me.test", .lmtp = s->lmtp,
		.tls = s->tls, .demanded = s->demanded, .may_loop = !s->lmtp,
		.reply_ms = 1000 };

	p->env = (struct hb_env){ .sender = HB_SPAN("a@b.test"),
		.flags = s->flags, .size = 100 };
	p->txn = (struct dlv_txn){ .env = &p->env, .rcpt = p->rcpt,
		.nrcpt = s->nrcpt,
		.requiretls = (s->flags & HB_ENV_REQUIRETLS) != 0 };
	for (size_t i = 0; i < s->nrcpt; i++)
		p->rcpt[i].address = hb_span_str(addresses[i]);
	p->c = dlv_client_new(&conf);
	dlv_client_connected(p->c);
}

static void
play_script(struct play *p, const struct script *s)
{
	struct hb_span text = hb_span_str(s->text);

	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');

		perform(p, (char)line.p[0], hb_span_from(line, 2));
	}
	drain(p);
}

static void
end_script(struct play *p)
{
	dlv_client_free(&p->c);
	hb_buf_free(&p->in);
	hb_buf_free(&p->said);
}

static void
run_script(const struct script *s, bool split)
{
	struct play p = { .split = split };

	print_message("%s%s\n", s->name, split ? " (split)" : "");
	begin_script(&p, s);
	play_script(&p, s);
	assert_int_equal(p.said.n, 0);
	assert_int_equal(dlv_client_facts(p.c)->state, s->facts);
	assert_int_equal(dlv_client_facts(p.c)->requiretls, s->requiretls);
	check_results(&p, s);
	end_script(&p);
}

static void
test_scripts(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(scripts); i++) {
		run_script(&scripts[i], false);
		run_script(&scripts[i], true);
	}
}

static void
test_A_5_replies_ahead_count_for_nothing(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(ahead); i++)
		run_script(&ahead[i], false);
}

/* Whoever offers it gets all that came, and nothing that did not; others get
 * nothing of it. */
static void
test_DSN_02_parameters_go_as_they_came(void **state)
{
#define DSN_HELLO HELLO "S 250-mx\nS 250 dsn\nR\n"
	static const struct {
		struct script s;
		uint32_t ret;
		const char *envid;
		uint32_t notify;
		const char *orcpt;
	} rows[] = {
		{ { "DSN-02 all", DSN_HELLO
		      "C MAIL FROM:<a@b.test> RET=HDRS ENVID=Q+2Bx\nS 250 ok\n"
		      "C RCPT TO:<r0@x.test> NOTIFY=SUCCESS,FAILURE,DELAY"
		      " ORCPT=Rfc822;C+2Bx@D\nS 550 no\nD\n", "f", 0, 1,
		      DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED,
		      false }, HB_RET_HDRS, "Q+2Bx", HB_NOTIFY_SUCCESS |
			HB_NOTIFY_FAILURE | HB_NOTIFY_DELAY, "Rfc822;C+2Bx@D" },
		{ { "DSN-02 some", DSN_HELLO
		      "C MAIL FROM:<a@b.test> RET=FULL\nS 250 ok\n"
		      "C RCPT TO:<r0@x.test> NOTIFY=NEVER\nS 550 no\nD\n",
		      "f", 0, 1, DLV_TLS_OFFERED, false, false,
		      HB_TLSF_NOT_OFFERED, false }, HB_RET_FULL, "",
		    HB_NOTIFY_NEVER, "" },
		{ { "DSN-02 none", DSN_HELLO MAIL1 "S 550 no\nD\n", "f", 0, 1,
		      DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED,
		      false }, HB_RET_NONE, "", 0, "" },
		{ { "DSN-02 not offered", PLAIN MAIL1 "S 550 no\nD\n", "f", 0,
		      1, DLV_TLS_OFFERED, false, false, HB_TLSF_NOT_OFFERED,
		      false }, HB_RET_HDRS, "x", HB_NOTIFY_SUCCESS,
		    "rfc822;c@d" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct play p = { .seen = DLV_ACT_NONE };

		begin_script(&p, &rows[i].s);
		p.env.ret = rows[i].ret;
		p.env.envid = hb_span_str(rows[i].envid);
		p.rcpt[0].notify = rows[i].notify;
		p.rcpt[0].orcpt = hb_span_str(rows[i].orcpt);
		play_script(&p, &rows[i].s);
		assert_int_equal(p.said.n, 0);
		check_results(&p, &rows[i].s);
		assert_true(dlv_client_has_dsn(p.c) == (i < 3));
		end_script(&p);
	}
}

/* SMTPUTF8 is said where there is need for it, and nothing that needs it goes to
 * a server without it: the others get theirs. */
static void
test_EAI_01_02_only_with_need_and_never_without_the_offer(void **state)
{
#define UTF8_HELLO HELLO "S 250-mx\nS 250-DSN\nS 250 smtputf8\nR\n"
#define OLD_HELLO HELLO "S 250-mx\nS 250 DSN\nR\n"
#define K "k\xc3\xa4@x.test"
	static const struct {
		struct script s;
		const char *sender, *rcpt; /* the last one */
		const char *orcpt;
	} rows[] = {
		{ { "EAI-01 recipient", UTF8_HELLO
		      "C MAIL FROM:<a@b.test> SMTPUTF8\nS 250 ok\n"
		      "C RCPT TO:<" K "> ORCPT=utf-8;" K "\nS 550 no\nD\n", "f", 0,
		      1, CLEAR }, "a@b.test", K, "utf-8;" K },
		{ { "EAI-01 sender", UTF8_HELLO
		      "C MAIL FROM:<" K "> SMTPUTF8\nS 550 no\nD\n", "f", 0, 1,
		      CLEAR }, K, "r@x.test", "" },
		{ { "EAI-01 header", UTF8_HELLO
		      "C MAIL FROM:<a@b.test> SMTPUTF8\nS 550 no\nD\n", "f",
		      HB_ENV_SMTPUTF8, 1, CLEAR }, "a@b.test", "r@x.test", "" },
		{ { "EAI-01 no need", UTF8_HELLO
		      "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<r@x.test>"
		      " ORCPT=utf-8;k\\x{E4}@x.test\nS 550 no\nD\n", "f", 0, 1,
		      CLEAR }, "a@b.test", "r@x.test", "utf-8;" K },
		{ { "EAI-02 recipient", OLD_HELLO "D\n", "f", 0, 1, CLEAR },
		    "a@b.test", K, "" },
		{ { "EAI-02 sender", OLD_HELLO "D\n", "ff", 0, 2, CLEAR }, K,
		    "r@x.test", "" },
		{ { "EAI-02 header", OLD_HELLO "D\n", "ff", HB_ENV_SMTPUTF8, 2,
		      CLEAR }, "a@b.test", "r@x.test", "" },
		{ { "EAI-02 the other one gets it", OLD_HELLO MAIL1
		      "S 250 ok\nC DATA\nS 354 go\nB\nS 250 ok\nD\n", "of", 0, 2,
		      CLEAR }, "a@b.test", K, "" },
		{ { "EAI-02 LMTP", "S 220 l\nC LHLO me.test\nS 250 l\nR\nD\n",
		      "f", 0, 1, DLV_TLS_NEVER, true, false, HB_TLSF_UNKNOWN,
		      false }, "a@b.test", K, "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct play p = { .seen = DLV_ACT_NONE };
		size_t last = rows[i].s.nrcpt - 1;

		print_message("%s\n", rows[i].s.name);
		begin_script(&p, &rows[i].s);
		p.env.sender = hb_span_str(rows[i].sender);
		p.rcpt[last].address = hb_span_str(rows[i].rcpt);
		p.rcpt[last].orcpt = hb_span_str(rows[i].orcpt);
		play_script(&p, &rows[i].s);
		assert_int_equal(p.said.n, 0);
		check_results(&p, &rows[i].s);
		if (i >= 4) {
			assert_int_equal(p.rcpt[last].outcome.reason,
			    HB_REASON_NO_SMTPUTF8);
			assert_span(p.rcpt[last].outcome.status, "5.6.7");
		}
		end_script(&p);
	}
}

/* F-11, F-4: the reason names TLS, and what was heard. */
static void
test_F_11_F_4_reason_names_tls(void **state)
{
	static const struct script alert = { "F-11 alert", STARTED
		"C EHLO me.test\nL\nX tls-handshake\n", "", 0, 1,
		DLV_TLS_OFFERED, false, false, HB_TLSF_FAILED, false };
	struct play p = { .seen = DLV_ACT_NONE };

	begin_script(&p, &alert);
	play_script(&p, &alert);
	assert_string_equal(dlv_client_facts(p.c)->error, "alert");
	assert_true(dlv_client_facts(p.c)->cut);
	end_script(&p);
}

/* F-21: code and status as they were heard. */
static void
test_F_21_F_4_words_are_kept(void **state)
{
	static const struct script many = { "F-21 words", PIPE
		"S 250 ok\nS 250 ok\nS 552 5.5.3 many\nS 354 go\nB\nS 250 ok\n"
		"D\n", "od", 0, 2, CLEAR },
	    first = { "F-4 words", REFUSED
		"C MAIL FROM:<a@b.test>\nS 530 5.7.0 TLS first\nD\n", "d", 0,
		1, DLV_TLS_OFFERED, false, false, HB_TLSF_REFUSED, false };
	struct play p = { .seen = DLV_ACT_NONE };

	begin_script(&p, &many);
	play_script(&p, &many);
	assert_int_equal(p.rcpt[1].outcome.code, 552);
	assert_span(p.rcpt[1].outcome.status, "5.5.3");
	assert_true(p.rcpt[1].surplus);
	end_script(&p);
	p = (struct play){ .seen = DLV_ACT_NONE };
	begin_script(&p, &first);
	play_script(&p, &first);
	assert_int_equal(p.rcpt[0].outcome.code, 530);
	assert_int_equal(p.rcpt[0].outcome.reason, HB_REASON_STARTTLS_REFUSED);
	assert_true(dlv_wants_tls(&p.rcpt[0].outcome));
	end_script(&p);
}

/* TLS-01: what comes in one piece with the 220 was said in clear. */
static void
test_TLS_01_injected(void **state)
{
	struct dlv_client_conf conf = { .helo = "me.test",
		.tls = DLV_TLS_OFFERED, .reply_ms = 1000 };
	struct play p = { .c = dlv_client_new(&conf) };

	dlv_client_connected(p.c);
	feed(&p, HB_SPAN("220 x\r\n"));
	feed(&p, HB_SPAN("250-x\r\n250 STARTTLS\r\n"));
	feed(&p, HB_SPAN("220 go\r\n250 injected\r\n"));
	over(&p, HB_SPAN("tls-injected"));
	assert_int_equal(dlv_client_facts(p.c)->state, HB_TLSF_INJECTED);
	dlv_client_free(&p.c);
	hb_buf_free(&p.in);
	hb_buf_free(&p.said);
}

static void
lose(struct dlv_client *c)
{
	dlv_client_lost(c, "");
}

/* Lost or silent in the middle of a handshake is no word on TLS. */
static void
test_RTLS_06_a_cut_handshake_is_told_apart(void **state)
{
	static void (*const ends[])(struct dlv_client *) = {
		lose, dlv_client_timeout };
	struct dlv_client_conf conf = { .helo = "me.test",
		.tls = DLV_TLS_OFFERED, .reply_ms = 1000 };
	static const char *const in[] = { "220 x\r\n",
		"250-x\r\n250 STARTTLS\r\n", "220 go\r\n" };

	for (size_t i = 0; i < HB_ARRAY_LEN(ends); i++) {
		struct dlv_client *c = dlv_client_new(&conf);

		dlv_client_connected(c);
		for (size_t k = 0; k < HB_ARRAY_LEN(in); k++) {
			(void)dlv_client_input(c, hb_span_str(in[k]));
			while (dlv_client_next(c).kind != DLV_ACT_NONE)
				;
		}
		ends[i](c);
		assert_int_equal(dlv_client_facts(c)->state, HB_TLSF_FAILED);
		assert_true(dlv_client_facts(c)->cut);
		dlv_client_free(&c);
	}
}

static void
test_LIM_02_a_connection_is_spent(void **state)
{
	static const char text[] = "S 220 mx\nC EHLO me.test\n"
		"S 250-mx\nS 250 LIMITS MAILMAX=2\n";
	struct dlv_client_conf conf = { .helo = "me.test", .reply_ms = 1000 };
	struct dlv_client *c = dlv_client_new(&conf);
	struct play p = { .c = c, .env = { .sender = HB_SPAN("a@b.test") },
		.rcpt = { { .address = HB_SPAN("r0@x.test") } } };
	struct hb_span rest = hb_span_str(text);

	p.txn = (struct dlv_txn){ .env = &p.env, .rcpt = p.rcpt, .nrcpt = 1 };
	dlv_client_connected(c);
	while (rest.n > 0) {
		struct hb_span line = hb_span_cut(&rest, '\n');

		perform(&p, (char)line.p[0], hb_span_from(line, 2));
	}
	expect_act(&p, DLV_ACT_READY);
	for (int i = 0; i < 2; i++) {
		assert_false(dlv_client_is_spent(c));
		dlv_client_mail(c, &p.txn, &proceed);
		perform(&p, 'C', HB_SPAN("MAIL FROM:<a@b.test>"));
		perform(&p, 'S', HB_SPAN("550 no"));
		expect_act(&p, DLV_ACT_DONE);
	}
	assert_true(dlv_client_is_spent(c));
	dlv_client_free(&p.c);
	hb_buf_free(&p.in);
	hb_buf_free(&p.said);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_A_5_replies_ahead_count_for_nothing),
		cmocka_unit_test(test_DSN_02_parameters_go_as_they_came),
		cmocka_unit_test(
		    test_EAI_01_02_only_with_need_and_never_without_the_offer),
		cmocka_unit_test(test_F_11_F_4_reason_names_tls),
		cmocka_unit_test(test_F_21_F_4_words_are_kept),
		cmocka_unit_test(test_TLS_01_injected),
		cmocka_unit_test(test_LIM_02_a_connection_is_spent),
		cmocka_unit_test(test_RTLS_06_a_cut_handshake_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
