/*
 * sendmail -bs: SMTP on standard input and output, by the session machine of
 * smtpd; accepted messages are submitted.  Floor 4.
 *
 * A program whose first line ends with a bare LF (a script) writes all of its
 * lines so: each LF becomes CRLF before the session sees it, also after the
 * final dot.  For a program that writes CRLF only CRLF.CRLF ends a message, and
 * the session corrects bare LFs in the message: text that such a program passes
 * on can neither end a message nor inject commands.
 */
#include "config.h"

#include "common/tools/sendmail.h"
#include "common/tools/smmessage.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/io/file.h"
#include "common/proto/maildrop.h"
#include "smtpd/session.h"

enum { READ_SIZE = 65536, INPUT_MAX = 4 * READ_SIZE };

struct talk {
	struct sm *s;
	struct smtpd_listener_conf rules;
	struct smtpd_worker_conf site;
	struct smtpd_session *session;
	struct hb_buf in, head, body, envid;
	uint64_t asked, answered; /* the last question to router, and answer */
	bool committed, large, too_many; /* to be answered */
	enum { ENDS_UNKNOWN, ENDS_CRLF, ENDS_LF } ends;
	unsigned char last; /* byte of the input */
	bool at_start;	    /* of a line of the output */
	unsigned failed;    /* class of the last refusal, 0: none since the
			     * last message was taken */
};

static void
no_log(void *ctx, enum hb_level level, struct hb_span record)
{
}

static void
begin(struct talk *t, const struct hb_env *e)
{
	struct sm *s = t->s;
	struct hb_rcpt r;

	hb_buf_clear(&s->sender);
	hb_buf_clear(&s->submit.rcpts);
	hb_buf_clear(&t->head);
	hb_buf_clear(&t->body);
	hb_buf_clear(&t->envid);
	hb_buf_add(&s->sender, e->sender);
	hb_buf_add(&t->envid, e->envid);
	s->submit.env = (struct hb_env){ .body = e->body, .ret = e->ret,
		.flags = e->flags |
		    (s->o.require_tls ? HB_ENV_REQUIRETLS : 0) };
	t->too_many = false;
	for (uint32_t i = 0; smtpd_session_rcpt(t->session, i, &r); i++) {
		r.idx = 0;
		t->too_many = t->too_many ||
		    hb_drop_rcpt_put(&r, &s->submit.rcpts) < 0;
	}
}

static void
take_act(struct talk *t, const struct smtpd_act *a)
{
	switch (a->kind) {
	case SMTPD_ACT_CHECK:
		t->asked = a->check.ref; /* they count up */
		break;
	case SMTPD_ACT_BEGIN:
		begin(t, &a->begin);
		break;
	case SMTPD_ACT_DATA:
		hb_buf_add(&t->body, a->data);
		break;
	case SMTPD_ACT_LARGE:
		t->large = true;
		break;
	case SMTPD_ACT_HEAD:
		hb_buf_add(&t->head, a->data);
		break;
	case SMTPD_ACT_COMMIT:
		t->committed = true;
		break;
	case SMTPD_ACT_KEEP_OPEN: /* for filters */
	case SMTPD_ACT_KEEP_WRITE:
	case SMTPD_ACT_KEEP_READ:
	case SMTPD_ACT_KEEP_COPY:
	case SMTPD_ACT_KEEP_END:
	case SMTPD_ACT_TRY: /* of a stranger, or to log in */
	case SMTPD_ACT_TRIED:
	case SMTPD_ACT_AUTH:
	case SMTPD_ACT_ETRN:
	case SMTPD_ACT_STARTTLS:
	case SMTPD_ACT_ABORT:
	case SMTPD_ACT_CLOSE:
		break;
	}
}

static int
collect(struct talk *t)
{
	struct hb_buf *out = smtpd_session_output(t->session);
	struct hb_span said = hb_buf_span(out);
	struct smtpd_act a;
	int r = hb_write_all(STDOUT_FILENO, said);

	for (size_t i = 0; i < said.n; i++) {
		if (t->at_start && (said.p[i] == '4' || said.p[i] == '5'))
			t->failed = said.p[i] - '0'; /* a 4yz or 5yz reply */
		t->at_start = said.p[i] == '\n';
	}
	hb_buf_clear(out);
	while (smtpd_session_act(t->session, &a))
		take_act(t, &a);
	return r;
}

static void
submit(struct talk *t)
{
	struct sm *s = t->s;
	struct ipc_txn_result r = { .code = 250, .status = HB_SPAN("2.0.0"),
		.reason = HB_REASON_OK };
	struct hb_buf whole = HB_BUF_INIT(0);
	int code;

	s->submit.env.sender = hb_buf_span(&s->sender);
	s->submit.env.envid = hb_buf_span(&t->envid);
	hb_buf_add(&t->head, hb_buf_span(&t->body));
	s->submit.body = hb_buf_span(&t->head);
	if (sm_message_qualify(s->submit.body, hb_span_str(s->origin),
		&whole) == 0)
		s->submit.body = hb_buf_span(&whole);
	s->submit.env.size = s->submit.body.n;
	code = t->too_many ? EX_TEMPFAIL : sm_submit(&s->submit);
	if (code == EX_DATAERR || code == EX_UNAVAILABLE)
		r = (struct ipc_txn_result){ .code = 554,
			.status = HB_SPAN("5.6.0"),
			.reason = HB_REASON_PROTOCOL,
			.text = HB_SPAN("the message cannot be taken") };
	else if (code != EX_OK)
		r = (struct ipc_txn_result){ .code = 451,
			.status = HB_SPAN("4.3.0"),
			.reason = HB_REASON_LOOKUP_TEMP,
			.text = HB_SPAN("cannot be kept now") };
	hb_buf_free(&whole);
	if (code == EX_OK)
		t->failed = 0;
	smtpd_session_result(t->session, &r);
}

/* What router and queue would answer.  True: there was a question. */
static bool
answer(struct talk *t)
{
	struct ipc_verdict yes = { .action = HB_ACTION_ACCEPT,
		.ref = t->answered, .reason = HB_REASON_OK };
	bool any = t->answered < t->asked || t->committed || t->large;

	while (yes.ref < t->asked) {
		t->answered = ++yes.ref;
		smtpd_session_verdict(t->session, &yes);
	}
	if (t->large)
		smtpd_session_large(t->session);
	if (t->committed)
		submit(t);
	t->committed = t->large = false;
	return any;
}

static int
run(struct talk *t)
{
	size_t used;
	bool asked;
	int r;

	do {
		used = smtpd_session_input(t->session, hb_buf_span(&t->in));
		r = collect(t);
		hb_buf_consume(&t->in, used);
		asked = answer(t);
		if (r == 0)
			r = collect(t);
	} while (r == 0 && (used > 0 || asked));
	return r;
}

static void
set_clock(struct talk *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	t->site.now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* HB_E_LIMIT: more than the session takes. */
static int
take_input(struct talk *t, struct hb_span in)
{
	int r = 0;

	for (size_t i = 0; i < in.n && r == 0; i++) {
		unsigned char c = in.p[i];
		bool bare = c == '\n' && t->last != '\r';

		if (c == '\n' && t->ends == ENDS_UNKNOWN)
			t->ends = bare ? ENDS_LF : ENDS_CRLF;
		if (bare && t->ends == ENDS_LF)
			r = hb_buf_putc(&t->in, '\r');
		if (r == 0)
			r = hb_buf_putc(&t->in, c);
		t->last = c;
	}
	return r;
}

/* Did the program get what it wanted?  Its last message counts, and whether
 * it came to an end. */
static int
exit_code(const struct talk *t)
{
	if (smtpd_session_in_data(t->session))
		return EX_PROTOCOL;
	return t->failed == 0 ? EX_OK
	    : t->failed == 4  ? EX_TEMPFAIL
			      : EX_PROTOCOL;
}

static int
talk(struct talk *t)
{
	static unsigned char block[READ_SIZE];
	int r = run(t);

	while (r == 0 && !smtpd_session_is_over(t->session)) {
		ssize_t n = read(STDIN_FILENO, block, sizeof(block));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (take_input(t, hb_span(block, (size_t)n)) < 0)
			return EX_PROTOCOL;
		set_clock(t);
		r = run(t);
	}
	return r == 0 ? exit_code(t) : EX_IOERR;
}

static void
set_rules(struct talk *t)
{
	const struct hb_conf *c = t->s->conf;

	t->rules.kind = HB_LISTEN_SMTP;
	t->rules.local = true;
	if (hb_span_copy(hb_span_str(t->s->origin), t->rules.origin,
		sizeof(t->rules.origin)) < 0)
		t->rules.origin[0] = '\0';
	t->rules.max_size = c->max_message_size;
	t->rules.max_header = c->max_header_size;
	t->rules.max_recipients = c->max_recipients;
	t->rules.max_hops = c->max_hops;
	if (hb_span_copy(hb_span_str(c->hostname != NULL ? c->hostname
							 : t->s->origin),
		t->rules.hostname, sizeof(t->rules.hostname)) < 0)
		t->rules.hostname[0] = '\0';
	t->site.queue_up = true;
	t->site.space = UINT64_MAX;
	(void)!getrandom(&t->site.ids.counter, sizeof(t->site.ids.counter), 0);
}

int
sm_smtp(struct sm *s)
{
	static struct talk t;
	int code;

	hb_log_set_sink(no_log, NULL);
	t.s = s;
	t.at_start = true;
	t.in = HB_BUF_INIT(INPUT_MAX);
	t.head = t.body = t.envid = HB_BUF_INIT(0);
	set_rules(&t);
	set_clock(&t);
	t.session = smtpd_session_new(&t.rules, &t.site,
	    HB_SPAN("127.0.0.1"), false);
	smtpd_session_relays(t.session);
	smtpd_session_start(t.session, SMTPD_GREET_OK);
	code = talk(&t);
	smtpd_session_free(&t.session);
	hb_buf_free(&t.in);
	hb_buf_free(&t.head);
	hb_buf_free(&t.body);
	hb_buf_free(&t.envid);
	return code;
}
