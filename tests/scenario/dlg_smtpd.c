/*
 * Plays dialogs against the session machine of smtpd: every file named on
 * the command line, or tests/scenario/smtpd/ *.dlg.  A line is one of
 *
 *	relays            the client may relay; before the first event
 *	rules KIND [local] [tls=off|offer|require] [auth=...] [max-size=N]
 *	      [max-header=N] [max-recipients=N] [max-hops=N]     before the
 *	      first event; scram: router has verifiers; held=N: bytes of header sections of other sessions
 *	turn MS           how long each try has to wait from now on; -1: it is
 *	                  refused, -2: not beside others, -3: nobody says.
 *	                  With it tries are acts, too
 *	auto on|off       router accepts, queue answers 250 by themselves
 *	start [early|busy|too-many|too-fast|no-header]
 *	C: TEXT           input with CRLF
 *	B: TEXT           input as it stands
 *	R: N TEXT         TEXT N times, as it stands; what each time but the last
 *	                  gives is dropped
 *	S: LINE           the next line of output; "..." at its end: any rest;
 *	                  "250-..." is some lines, up to what is named next;
 *	                  "250 ..." is a whole reply, or the rest of one
 *	ev EVENT [WORDS]  see events[]; of several questions a verdict is of
 *	                  the oldest, and "ev verdict #N ..." of the Nth (from 1)
 *	expect asked N    so many questions to router are not answered; their
 *	                  acts are taken
 *	expect act WORDS | body TEXT | timer MS | nothing | log TEXT | no-log TEXT
 *	#                 a comment
 *
 * In TEXT, \r \n \t \\ \xHH are bytes; {N*c} and {N*\n} repeat.  At the end no
 * output and no act may be left.
 */
#include "config.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "smtpd/session.h"

enum { ACTS_MAX = 256, LINE_SIZE = 8192 };

enum { TURN_SILENT = -3 };

struct play {
	const char *file;
	unsigned line;
	struct smtpd_listener_conf rules;
	struct smtpd_worker_conf site;
	struct smtpd_session *session;
	struct hb_buf input, output, head, body, log;
	char acts[ACTS_MAX][2048];
	size_t n_acts, next_act;
	bool skips; /* lines of a reply, up to the one that is named next */
	bool show_tries;
	int64_t turn_ms;
	bool automatic, commit_pending, file_pending;
	uint64_t asked[ACTS_MAX]; /* of router, not answered */
	size_t n_asked;
	uint64_t etrn; /* number of the last one */
	int64_t timer_ms;
};

static void HB_PRINTF(2, 3) HB_NORETURN
fail(const struct play *p, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%u: ", p->file, p->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* Bytes of TEXT with its escapes replaced. */
static void
unescape(struct play *p, const char *text, struct hb_buf *out)
{
	unsigned n;
	char c;

	while (*text != '\0') {
		int len = 0, lf = 0;

		if ((sscanf(text, "{%u*%c}%n", &n, &c, &len) == 2 &&
			len > 0) ||
		    (sscanf(text, "{%u*\\n}%n", &n, &lf) == 1 && lf > 0)) {
			if (lf > 0) {
				c = '\n';
				len = lf;
			}
			while (n-- > 0)
				hb_buf_add(out, hb_span(&c, 1));
			text += len;
		} else if (sscanf(text, "\\x%2x%n", &n, &len) == 1) {
			c = (char)n;
			hb_buf_add(out, hb_span(&c, 1));
			text += len;
		} else if (*text == '\\') {
			const char *from = "rnt\\", *at = strchr(from, text[1]);

			if (at == NULL || *at == '\0')
				fail(p, "bad escape");
			hb_buf_add(out, hb_span(&"\r\n\t\\"[at - from], 1));
			text += 2;
		} else {
			hb_buf_add(out, hb_span(text++, 1));
		}
	}
}

static void HB_PRINTF(2, 3)
add_act(struct play *p, const char *fmt, ...)
{
	va_list ap;

	if (p->n_acts == ACTS_MAX)
		fail(p, "too many acts");
	va_start(ap, fmt);
	vsnprintf(p->acts[p->n_acts++], sizeof(p->acts[0]), fmt, ap);
	va_end(ap);
}

static void
note_asked(struct play *p, uint64_t ref)
{
	if (p->n_asked == ACTS_MAX)
		fail(p, "too many questions");
	p->asked[p->n_asked++] = ref;
}

/* The number of the Nth question, which is answered now; of none: 0. */
static uint64_t
take_asked(struct play *p, size_t n)
{
	uint64_t ref;

	if (n >= p->n_asked)
		return 0;
	ref = p->asked[n];
	p->n_asked--;
	memmove(p->asked + n, p->asked + n + 1,
	    (p->n_asked - n) * sizeof(ref));
	return ref;
}

static void
note_check(struct play *p, const struct ipc_check *c)
{
	static const char *const stages[HB_STAGE_COUNT] = { "mail", "rcpt" };

	add_act(p, "check %s <%.*s> <%.*s>%s%.*s", stages[c->stage],
	    HB_SPAN_ARG(c->sender), HB_SPAN_ARG(c->rcpt),
	    c->user.n > 0 ? " user=" : "", HB_SPAN_ARG(c->user));
	note_asked(p, c->ref);
}

/* " <address>", and what it wants of DSNs: " notify=BITS orcpt=..." */
static void
note_rcpt(const struct hb_rcpt *r, struct hb_buf *out)
{
	hb_buf_addf(out, " <%.*s>", HB_SPAN_ARG(r->address));
	if (r->notify != 0)
		hb_buf_addf(out, " notify=%u", (unsigned)r->notify);
	if (r->orcpt.n > 0)
		hb_buf_addf(out, " orcpt=%.*s", HB_SPAN_ARG(r->orcpt));
}

static void
note_begin(struct play *p, const struct hb_env *e)
{
	static const char *const rets[] = { "", " ret=full", " ret=hdrs" };
	struct hb_rcpt r;
	struct hb_buf text = HB_BUF_INIT(0);

	for (uint32_t i = 0; smtpd_session_rcpt(p->session, i, &r); i++)
		if (text.n < 300)
			note_rcpt(&r, &text);
	add_act(p, "begin <%.*s>%.*s with=%.*s tls=%.*s auth=%.*s%s%s%s%.*s",
	    HB_SPAN_ARG(e->sender), HB_SPAN_ARG(hb_buf_span(&text)),
	    HB_SPAN_ARG(e->with), HB_SPAN_ARG(e->tls),
	    HB_SPAN_ARG(e->mail_auth),
	    (e->flags & HB_ENV_REQUIRETLS) != 0 ? " requiretls" : "",
	    rets[e->ret], e->envid.n > 0 ? " envid=" : "",
	    HB_SPAN_ARG(e->envid));
	hb_buf_free(&text);
	hb_buf_clear(&p->head);
	hb_buf_clear(&p->body);
}

/* The header section came last. */
static void
note_whole(struct play *p)
{
	struct hb_buf body = p->body;

	p->body = p->head;
	hb_buf_add(&p->body, hb_buf_span(&body));
	hb_buf_free(&body);
	p->head = HB_BUF_INIT(0);
}

static void
note_try(struct play *p, const struct smtpd_act *a)
{
	static const char *const ends[] = { "done", "bad", "open", "mail" };
	bool begins = a->kind == SMTPD_ACT_TRY;

	if (p->show_tries)
		add_act(p, "%s %s%s%.*s%s%s", begins ? "try" : "tried",
		    a->attempt.is_login ? "login" : "rcpt",
		    a->attempt.is_login ? " " : "",
		    HB_SPAN_ARG(a->attempt.login), begins ? "" : " ",
		    begins ? "" : ends[a->attempt.end]);
	if (p->show_tries && !begins && a->attempt.n > 1)
		add_act(p, "%u of them", a->attempt.n);
	if (begins && p->turn_ms != TURN_SILENT)
		smtpd_session_turn(p->session,
		    p->turn_ms == SMTPD_TURN_ALONE && a->attempt.n == 0
			? 0 : p->turn_ms);
}

static void
note_auth(struct play *p, const struct ipc_auth *a)
{
	if (a->kind == HB_AUTHQ_SALT)
		add_act(p, "salt %.*s", HB_SPAN_ARG(a->user));
	else if (a->kind == HB_AUTHQ_PROOF)
		add_act(p, "proof %.*s of %.*s", HB_SPAN_ARG(a->user),
		    HB_SPAN_ARG(a->message));
	else
		add_act(p, "auth %.*s %.*s", HB_SPAN_ARG(a->user),
		    HB_SPAN_ARG(a->password));
	note_asked(p, a->ref);
}

static void
note_act(struct play *p, const struct smtpd_act *a)
{
	switch (a->kind) {
	case SMTPD_ACT_CHECK:
		note_check(p, &a->check);
		break;
	case SMTPD_ACT_AUTH:
		note_auth(p, &a->auth);
		break;
	case SMTPD_ACT_BEGIN:
		note_begin(p, &a->begin);
		break;
	case SMTPD_ACT_DATA:
		hb_buf_add(&p->body, a->data);
		break;
	case SMTPD_ACT_HEAD:
		hb_buf_add(&p->head, a->data);
		break;
	case SMTPD_ACT_COMMIT:
		add_act(p, "commit flags=%u", (unsigned)a->commit.flags);
		if (a->commit.size != p->body.n)
			fail(p, "commit of %llu bytes, %zu came",
			    (unsigned long long)a->commit.size, p->body.n);
		note_whole(p);
		p->commit_pending = true;
		break;
	case SMTPD_ACT_LARGE:
		add_act(p, "large");
		p->file_pending = true;
		break;
	case SMTPD_ACT_STARTTLS:
		add_act(p, "starttls");
		break;
	case SMTPD_ACT_ABORT:
		add_act(p, "abort");
		break;
	case SMTPD_ACT_TRY:
	case SMTPD_ACT_TRIED:
		note_try(p, a);
		break;
	case SMTPD_ACT_ETRN:
		add_act(p, "etrn %.*s%s", HB_SPAN_ARG(a->etrn.domain),
		    a->etrn.below ? " and below" : "");
		p->etrn = a->etrn.ref;
		break;
	case SMTPD_ACT_KEEP_OPEN: /* these need filters */
	case SMTPD_ACT_KEEP_WRITE:
	case SMTPD_ACT_KEEP_READ:
	case SMTPD_ACT_KEEP_COPY:
	case SMTPD_ACT_KEEP_END:
		fail(p, "a file to keep a body in");
	case SMTPD_ACT_CLOSE:
		add_act(p, "close");
		break;
	}
}

/* True: there was an act. */
static bool
collect(struct play *p)
{
	struct smtpd_act a;
	bool any = false;
	struct hb_buf *out = smtpd_session_output(p->session);
	int64_t ms;

	hb_buf_add(&p->output, hb_buf_span(out));
	hb_buf_clear(out);
	for (; smtpd_session_act(p->session, &a); any = true)
		note_act(p, &a);
	if (smtpd_session_timer(p->session, &ms))
		p->timer_ms = ms;
	return any;
}

/* In automatic mode: the answers of router and queue.  True: there was one. */
static bool
answer(struct play *p)
{
	struct ipc_verdict yes = { .action = HB_ACTION_ACCEPT };
	static const struct ipc_txn_result stored = { .code = 250 };

	if (!p->automatic)
		return false;
	p->n_acts = p->next_act = 0;
	yes.ref = take_asked(p, 0);
	if (yes.ref != 0)
		smtpd_session_verdict(p->session, &yes);
	else if (p->commit_pending)
		smtpd_session_result(p->session, &stored);
	else if (p->file_pending)
		smtpd_session_large(p->session);
	else
		return false;
	if (yes.ref == 0)
		p->commit_pending = p->file_pending = false;
	return true;
}

static void
run(struct play *p)
{
	size_t used;
	bool acted;

	do {
		collect(p);
		used = smtpd_session_input(p->session, hb_buf_span(&p->input));
		acted = collect(p);
		hb_buf_consume(&p->input, used);
	} while (answer(p) || used > 0 || acted);
	if (smtpd_session_is_over(p->session))
		hb_buf_clear(&p->input);
}

/* --- commands of a file --- */

static const char *
word(char **rest)
{
	char *w = strtok_r(NULL, " ", rest);

	return w != NULL ? w : "";
}

static enum hb_demand
demand(struct play *p, const char *w)
{
	static const char *const words[] = { "off", "offer", "require" };

	for (unsigned i = 0; i < HB_ARRAY_LEN(words); i++)
		if (strcmp(w, words[i]) == 0)
			return (enum hb_demand)i;
	fail(p, "off, offer or require");
}

static void
one_rule(struct play *p, const char *w)
{
	char *value = strchr(w, '=');

	if (strcmp(w, "local") == 0) {
		p->rules.local = true;
		return;
	}
	if (strcmp(w, "scram") == 0) {
		p->site.scram = true;
		return;
	}
	if (value == NULL)
		fail(p, "rule %s", w);
	value++;
	if (strncmp(w, "tls=", 4) == 0)
		p->rules.tls = demand(p, value);
	else if (strncmp(w, "auth=", 5) == 0)
		p->rules.auth = demand(p, value);
	else if (strncmp(w, "max-size=", 9) == 0)
		p->rules.max_size = strtoull(value, NULL, 10);
	else if (strncmp(w, "max-header=", 11) == 0)
		p->rules.max_header = strtoull(value, NULL, 10);
	else if (strncmp(w, "held=", 5) == 0)
		p->site.held = strtoul(value, NULL, 10);
	else if (strncmp(w, "max-recipients=", 15) == 0)
		p->rules.max_recipients = (unsigned)strtoul(value, NULL, 10);
	else if (strncmp(w, "max-hops=", 9) == 0)
		p->rules.max_hops = (unsigned)strtoul(value, NULL, 10);
	else
		fail(p, "rule %s", w);
}

static void
cmd_rules(struct play *p, char **rest)
{
	static const char *const kinds[] = { "smtp", "submission",
		"submissions", "lmtp" };
	const char *w = word(rest);
	unsigned i = 0;

	while (i < HB_ARRAY_LEN(kinds) && strcmp(w, kinds[i]) != 0)
		i++;
	if (i == HB_ARRAY_LEN(kinds))
		fail(p, "kind %s", w);
	p->rules.kind = (enum hb_listen_kind)i;
	p->rules.implicit_tls = p->rules.kind == HB_LISTEN_SUBMISSIONS;
	while (*(w = word(rest)) != '\0')
		one_rule(p, w);
}

static void
cmd_turn(struct play *p, char **rest)
{
	p->show_tries = true;
	p->turn_ms = strtoll(word(rest), NULL, 10);
}

static void
cmd_start(struct play *p, char **rest)
{
	static const char *const words[] = { "", "early", "busy", "too-many",
		"too-fast", "no-header" };
	const char *w = word(rest);

	for (unsigned i = 0; i < HB_ARRAY_LEN(words); i++)
		if (strcmp(w, words[i]) == 0) {
			smtpd_session_start(p->session,
			    (enum smtpd_greeting)i);
			run(p);
			return;
		}
	fail(p, "start %s", w);
}

static void
ev_verdict(struct play *p, char **rest)
{
	static const char *const words[] = { "temp", "accept", "reject",
		"discard" };
	const char *w = word(rest);
	struct ipc_verdict v = { 0 };
	size_t n = 0;

	if (w[0] == '#') {
		n = strtoul(w + 1, NULL, 10) - 1;
		w = word(rest);
	}
	while (v.action < HB_ARRAY_LEN(words) &&
	    strcmp(words[v.action], w) != 0)
		v.action++;
	if (v.action == HB_ARRAY_LEN(words))
		fail(p, "verdict %s", w);
	v.ref = take_asked(p, n);
	v.reason = HB_REASON_RELAY_DENIED;
	v.code = (uint32_t)strtoul(word(rest), NULL, 10);
	v.status = hb_span_str(word(rest));
	v.text = hb_span_str(*rest);
	smtpd_session_verdict(p->session, &v);
}

static void
ev_result(struct play *p, char **rest)
{
	struct ipc_txn_result r = { 0 };

	r.code = (uint32_t)strtoul(word(rest), NULL, 10);
	r.status = hb_span_str(word(rest));
	r.text = hb_span_str(*rest);
	smtpd_session_result(p->session, &r);
}

static void
ev_auth(struct play *p, char **rest)
{
	const char *w = word(rest);
	struct ipc_auth_result r = { 0 };

	r.result = strcmp(w, "ok") == 0 ? HB_AUTH_OK
	    : strcmp(w, "refused") == 0 ? HB_AUTH_REFUSED
					: HB_AUTH_TEMP;
	r.user = hb_span_str(word(rest));
	r.signature = hb_span_str(word(rest));
	r.ref = take_asked(p, 0);
	smtpd_session_auth(p->session, &r);
}

static void
ev_salt(struct play *p, char **rest)
{
	struct ipc_auth_result r = { .result = HB_AUTH_OK,
		.salt = hb_span_str(word(rest)), .iterations = 4096,
		.nonce = hb_span_str(word(rest)) };

	r.ref = take_asked(p, 0);
	smtpd_session_auth(p->session, &r);
}

static void
ev_tls(struct play *p, char **rest)
{
	struct hb_tls_facts f = { .state = HB_TLSF_DONE, .version = 13,
		.cipher = "TLS_AES_256_GCM_SHA384" };

	const char *w = word(rest);

	if (strcmp(w, "failed") == 0)
		f.state = HB_TLSF_FAILED;
	f.has_binding = strcmp(w, "bound") == 0;
	memcpy(f.binding, "0123456789abcdef0123456789abcdef", HB_TLS_BINDING);
	smtpd_session_tls(p->session, &f);
}

static void
ev_space(struct play *p, char **rest)
{
	p->site.space = strtoull(word(rest), NULL, 10);
}

static void
ev_queue(struct play *p, char **rest)
{
	p->site.queue_up = strcmp(word(rest), "up") == 0;
	if (!p->site.queue_up)
		smtpd_session_queue_lost(p->session);
}

static void
ev_write_failed(struct play *p, char **rest)
{
	smtpd_session_write_failed(p->session,
	    strcmp(word(rest), "no-space") == 0);
}

static void
ev_router_up(struct play *p, char **rest)
{
	p->n_asked = 0;
	smtpd_session_router_up(p->session);
}

/* Of the last one: "busy", or how many messages it was. */
static void
ev_etrn(struct play *p, char **rest)
{
	const char *w = word(rest);
	struct ipc_etrn_result r = { .ref = p->etrn,
		.busy = strcmp(w, "busy") == 0,
		.messages = (uint32_t)strtoul(w, NULL, 10) };

	smtpd_session_etrn(p->session, &r);
}

#define EVENT(name)                                                            \
	static void ev_##name(struct play *p, char **rest)                     \
	{                                                                      \
		(void)rest;                                                    \
		smtpd_session_##name(p->session);                              \
	}
EVENT(large)
EVENT(timeout)
EVENT(stop)
EVENT(expired)
EVENT(closed)

static const struct {
	const char *name;
	void (*run)(struct play *p, char **rest);
} events[] = {
	{ "verdict", ev_verdict }, { "result", ev_result },
	{ "auth", ev_auth }, { "salt", ev_salt }, { "tls", ev_tls },
	{ "space", ev_space }, { "queue", ev_queue }, { "etrn", ev_etrn },
	{ "write-failed", ev_write_failed },
	{ "large", ev_large }, { "router-up", ev_router_up },
	{ "timeout", ev_timeout }, { "stop", ev_stop },
	{ "expired", ev_expired }, { "closed", ev_closed },
};

static void
cmd_event(struct play *p, char **rest)
{
	const char *w = word(rest);

	for (unsigned i = 0; i < HB_ARRAY_LEN(events); i++)
		if (strcmp(events[i].name, w) == 0) {
			events[i].run(p, rest);
			run(p);
			return;
		}
	fail(p, "event %s", w);
}

static bool
is_line(struct hb_span line, const char *want)
{
	size_t n = strlen(want);

	if (n >= 3 && strcmp(want + n - 3, "...") == 0)
		return line.n >= n - 3 && memcmp(line.p, want, n - 3) == 0;
	return hb_span_eq(line, hb_span_str(want));
}

static void
expect_line(struct play *p, const char *want)
{
	/* "250 ...": the lines before it, too */
	bool found, skips = p->skips || (strlen(want) == 7 &&
	    strcmp(want + 3, " ...") == 0);
	struct hb_span line;

	p->skips = false;
	do {
		struct hb_span rest = hb_buf_span(&p->output);

		line = hb_span_cut(&rest, '\n');
		if (line.n == 0 || line.p[line.n - 1] != '\r')
			fail(p, "no more output, wanted: %s", want);
		hb_buf_consume(&p->output, p->output.n - rest.n);
		line.n--;
		found = is_line(line, want);
	} while (!found && skips && is_line(line, "250-..."));
	if (!found)
		fail(p, "got: %.*s\n wanted: %s", HB_SPAN_ARG(line), want);
}

static void
expect_act(struct play *p, const char *want)
{
	if (p->next_act == p->n_acts)
		fail(p, "no act, wanted: %s", want);
	if (strcmp(p->acts[p->next_act], want) != 0)
		fail(p, "act: %s\n wanted: %s", p->acts[p->next_act], want);
	if (++p->next_act == p->n_acts)
		p->next_act = p->n_acts = 0;
}

static void
expect_nothing(struct play *p)
{
	if (p->output.n > 0)
		fail(p, "output left: %.*s", HB_SPAN_ARG(hb_buf_span(&p->output)));
	if (p->next_act < p->n_acts)
		fail(p, "act left: %s", p->acts[p->next_act]);
}

/* The body ends with TEXT. */
static void
expect_body(struct play *p, const char *text)
{
	struct hb_buf want = HB_BUF_INIT(0);
	struct hb_span got = hb_buf_span(&p->body);

	unescape(p, text, &want);
	if (got.n < want.n ||
	    !hb_span_eq(hb_span_from(got, got.n - want.n),
		hb_buf_span(&want)))
		fail(p, "body: %.*s", HB_SPAN_ARG(got));
	hb_buf_free(&want);
}

static void
expect_log(struct play *p, const char *text, bool want)
{
	bool found;

	hb_buf_add(&p->log, hb_span("", 1));
	found = strstr((const char *)hb_buf_span(&p->log).p, text) != NULL;
	hb_buf_truncate(&p->log, p->log.n - 1);
	if (found != want)
		fail(p, "log: %.*s", HB_SPAN_ARG(hb_buf_span(&p->log)));
}

static void
expect_asked(struct play *p, const char *want)
{
	while (p->next_act < p->n_acts &&
	    strncmp(p->acts[p->next_act], "check ", 6) == 0)
		p->next_act++;
	if (p->n_asked != strtoul(want, NULL, 10))
		fail(p, "asked: %zu", p->n_asked);
}

static void
cmd_expect(struct play *p, char **rest)
{
	const char *w = word(rest);

	if (strcmp(w, "act") == 0)
		expect_act(p, *rest);
	else if (strcmp(w, "asked") == 0)
		expect_asked(p, *rest);
	else if (strcmp(w, "body") == 0)
		expect_body(p, *rest);
	else if (strcmp(w, "timer") == 0 &&
	    p->timer_ms != strtoll(*rest, NULL, 10))
		fail(p, "timer %lld", (long long)p->timer_ms);
	else if (strcmp(w, "nothing") == 0)
		expect_nothing(p);
	else if (strcmp(w, "log") == 0)
		expect_log(p, *rest, true);
	else if (strcmp(w, "no-log") == 0)
		expect_log(p, *rest, false);
	else if (strcmp(w, "timer") != 0)
		fail(p, "expect %s", w);
}

static void
log_sink(void *ctx, enum hb_level level, struct hb_span record)
{
	hb_buf_add(&((struct play *)ctx)->log, record);
}

static void
begin(struct play *p, const char *file)
{
	memset(p, 0, sizeof(*p));
	p->file = file;
	memcpy(p->rules.hostname, "mx.example", sizeof("mx.example"));
	memcpy(p->rules.origin, "example.org", sizeof("example.org"));
	p->rules.tls = HB_DEMAND_OFFER;
	p->rules.max_size = 1000000;
	p->rules.max_header = 262144;
	p->rules.max_recipients = 100;
	p->rules.max_hops = 50;
	p->rules.command_ms = 300000;
	p->rules.data_ms = 180000;
	p->site.now_ms = 1795313700000; /* Sun, 22 Nov 2026 02:15:00 +0000 */
	p->site.space = UINT64_MAX;
	p->site.queue_up = p->site.tls_ready = true;
	p->session = smtpd_session_new(&p->rules, &p->site,
	    HB_SPAN("192.0.2.1"), false);
	hb_log_set_sink(log_sink, p);
}

static void
repeat(struct play *p, char *text)
{
	unsigned long n = strtoul(text, &text, 10);

	while (n-- > 0) {
		hb_buf_clear(&p->output);
		unescape(p, text + 1, &p->input);
		run(p);
	}
}

static void
play_line(struct play *p, char *line)
{
	char *rest = NULL;
	const char *w;

	if (strncmp(line, "C: ", 3) == 0 || strncmp(line, "B: ", 3) == 0) {
		unescape(p, line + 3, &p->input);
		if (line[0] == 'C')
			hb_buf_adds(&p->input, "\r\n");
		run(p);
		return;
	}
	if (strncmp(line, "R: ", 3) == 0) {
		repeat(p, line + 3);
		return;
	}
	if (strcmp(line, "S: 250-...") == 0) {
		p->skips = true;
		return;
	}
	if (strncmp(line, "S: ", 3) == 0) {
		expect_line(p, line + 3);
		return;
	}
	w = strtok_r(line, " ", &rest);
	if (w == NULL || w[0] == '#')
		return;
	if (strcmp(w, "rules") == 0)
		cmd_rules(p, &rest);
	else if (strcmp(w, "relays") == 0)
		smtpd_session_relays(p->session);
	else if (strcmp(w, "auto") == 0)
		p->automatic = strcmp(word(&rest), "on") == 0;
	else if (strcmp(w, "turn") == 0)
		cmd_turn(p, &rest);
	else if (strcmp(w, "start") == 0)
		cmd_start(p, &rest);
	else if (strcmp(w, "ev") == 0)
		cmd_event(p, &rest);
	else if (strcmp(w, "expect") == 0)
		cmd_expect(p, &rest);
	else
		fail(p, "what is %s", w);
}

static void
end(struct play *p)
{
	expect_nothing(p);
	smtpd_session_free(&p->session);
	hb_buf_free(&p->input);
	hb_buf_free(&p->output);
	hb_buf_free(&p->head);
	hb_buf_free(&p->body);
	hb_buf_free(&p->log);
}

static void
play_file(const char *file)
{
	static struct play p;
	char line[LINE_SIZE];
	FILE *f = fopen(file, "r");

	begin(&p, file);
	if (f == NULL)
		fail(&p, "%s", strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL) {
		p.line++;
		line[strcspn(line, "\n")] = '\0';
		play_line(&p, line);
	}
	fclose(f);
	end(&p);
}

int
main(int argc, char **argv)
{
	const char *src = getenv("HB_SRCDIR");
	char pattern[4096];
	glob_t g = { 0 };

	for (int i = 1; i < argc; i++)
		play_file(argv[i]);
	if (argc > 1)
		return 0;
	snprintf(pattern, sizeof(pattern), "%s/tests/scenario/smtpd/*.dlg",
	    src != NULL ? src : ".");
	if (glob(pattern, 0, NULL, &g) != 0) {
		fprintf(stderr, "no dialogs in %s\n", pattern);
		return 1;
	}
	for (size_t i = 0; i < g.gl_pathc; i++)
		play_file(g.gl_pathv[i]);
	printf("%zu dialogs\n", g.gl_pathc);
	globfree(&g);
	return 0;
}
