/*
 * SMTP and LMTP to one server, one message after the other.  Floor 2.
 * RFC 5321, RFC 2033, RFC 2920, RFC 3207, RFC 3461, RFC 6531, RFC 8689,
 * RFC 9422.
 */
#include "delivery/smtp/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/limits.h"
#include "common/base/utf8.h"
#include "common/proto/esmtp.h"
#include "common/proto/intake.h"
#include "common/proto/reply.h"
#include "common/proto/xtext.h"

enum { MAX_ACTS = 16, QUIT_MS = 10000 };

enum client_state {
	S_NEW,
	S_GREETING,
	S_EHLO,
	S_HELO,
	S_STARTTLS,
	S_HANDSHAKE,
	S_READY,
	S_RSET,
	S_MAIL,
	S_RCPT,
	S_DATA,
	S_BODY,	 /* the message is on its way out */
	S_FINAL, /* all of it is out */
	S_QUIT,
	S_CLOSED,
	S_COUNT
};

/* EHLO keywords that are acted upon. */
#define EXTENSIONS(X)                                                          \
	X(STARTTLS)                                                            \
	X(PIPELINING)                                                          \
	X(SIZE)                                                                \
	X(8BITMIME)                                                            \
	X(DSN)                                                                 \
	X(SMTPUTF8)                                                            \
	X(REQUIRETLS)                                                          \
	X(LIMITS)
enum extension {
#define X(word) EXT_##word,
	EXTENSIONS(X)
#undef X
	EXT_COUNT
};
static const char *const extension_words[EXT_COUNT] = {
#define X(word) [EXT_##word] = #word,
	EXTENSIONS(X)
#undef X
};

struct act {
	enum dlv_act_kind kind;
	size_t len; /* SEND */
	int64_t ms; /* TIMER */
};

struct dlv_client {
	struct dlv_client_conf conf;
	enum client_state state;
	struct hb_reply reply;
	struct hb_tls_facts facts;
	uint32_t offered; /* 1 << enum extension */
	uint64_t size_limit; /* 0: none said */
	/* RFC 9422, 0: none said: recipients of a message, MAIL commands of a
	 * session; MAIL commands so far */
	uint64_t rcpt_limit, mail_limit, mails;
	bool is_self;

	struct hb_buf out; /* bytes of the SEND acts that wait */
	struct act acts[MAX_ACTS];
	size_t nacts, consumed; /* consumed: of out, at the next call */

	struct dlv_txn txn;
	size_t sent, at; /* commands of the group; the reply awaited */
	bool *accepted;	 /* of each recipient */
	size_t naccepted;
	size_t unsent; /* recipients behind those of txn: beyond the limit */
	struct hb_outcome mail; /* the refusal of MAIL */
	bool lone_dot;		/* 354 though nobody is to get it */
	bool in_doubt;
	/* The reply under way began when none was owed, or before the message
	 * was out. */
	bool early;
	bool spoiled; /* no other message over this connection */
	bool begun;   /* MAIL was said */
	bool used;    /* and in a transaction before this one */
	bool needs_rset;
	struct hb_arena *arena; /* of the transaction */

	struct hb_outcome failure;
	struct hb_arena *failure_arena;
};

/* --- acts --- */

/*
 * The act that one more of its kind joins: bytes and the timer do not mind
 * each other's order.  So a server that replies ahead of the commands, many
 * times in one piece, makes no more than two.  NULL: none.
 */
static struct act *
joinable(struct dlv_client *c, enum dlv_act_kind kind)
{
	for (size_t i = c->nacts; i-- > 0;) {
		struct act *a = &c->acts[i];

		if (a->kind != DLV_ACT_SEND && a->kind != DLV_ACT_TIMER)
			return NULL;
		if (a->kind == kind)
			return a;
	}
	return NULL;
}

static void
push(struct dlv_client *c, enum dlv_act_kind kind, size_t len, int64_t ms)
{
	struct act *same = joinable(c, kind);

	if (same != NULL) {
		same->len += len;
		same->ms = ms;
		return;
	}
	if (c->nacts == MAX_ACTS)
		HB_BUG("acts of the client are not taken");
	c->acts[c->nacts++] = (struct act){ kind, len, ms };
}

struct dlv_act
dlv_client_next(struct dlv_client *c)
{
	struct dlv_act out = { .kind = DLV_ACT_NONE };
	struct act a;

	hb_buf_consume(&c->out, c->consumed);
	c->consumed = 0;
	if (c->nacts == 0)
		return out;
	a = c->acts[0];
	memmove(c->acts, c->acts + 1, --c->nacts * sizeof(a));
	out.kind = a.kind;
	out.ms = a.ms;
	if (a.kind == DLV_ACT_SEND) {
		out.bytes = hb_span_head(hb_buf_span(&c->out), a.len);
		c->consumed = a.len;
	}
	return out;
}

static void
timer(struct dlv_client *c, int64_t ms)
{
	push(c, DLV_ACT_TIMER, 0, ms);
}

static void HB_PRINTF(2, 3)
say(struct dlv_client *c, const char *fmt, ...)
{
	char line[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	HB_ASSERT(n > 0 && (size_t)n < sizeof(line));
	hb_buf_add(&c->out, hb_span(line, (size_t)n));
	push(c, DLV_ACT_SEND, (size_t)n, 0);
}

/* One command whose parts may be long. */
static void
say_parts(struct dlv_client *c, const char *verb, struct hb_span part,
    const char *end)
{
	size_t before = c->out.n;

	hb_buf_adds(&c->out, verb);
	hb_buf_add(&c->out, part);
	hb_buf_adds(&c->out, end);
	push(c, DLV_ACT_SEND, c->out.n - before, 0);
}

static void
await(struct dlv_client *c, enum client_state state)
{
	c->state = state;
	timer(c, c->conf.reply_ms);
}

/* --- results --- */

static enum hb_result
result_of_class(const struct hb_reply *r)
{
	switch (hb_reply_class(r)) {
	case 2:
		return HB_RESULT_OK;
	case 5:
		return HB_RESULT_FAIL;
	default: /* 4yz, and 3yz where it makes no sense */
		return HB_RESULT_DEFER;
	}
}

static struct hb_outcome
remote_result(const struct hb_reply *r, struct hb_arena *arena)
{
	struct hb_outcome res = { .result = result_of_class(r),
		.reason = HB_REASON_REMOTE_REPLY, .code = r->code,
		.status = hb_arena_span(arena, hb_span_str(r->status)),
		.text = hb_arena_span(arena, hb_reply_text(r)),
		.from_remote = 1 };

	if (res.result == HB_RESULT_OK)
		res.reason = HB_REASON_OK;
	else if (hb_reply_class(r) == 3)
		res.reason = HB_REASON_BAD_REPLY;
	return res;
}

/* Why clear text is spoken to a server that has TLS; NONE: it has not, or
 * all is well. */
static enum hb_reason
why_in_clear(const struct dlv_client *c)
{
	switch (c->facts.state) {
	case HB_TLSF_REFUSED:
		return HB_REASON_STARTTLS_REFUSED;
	case HB_TLSF_INJECTED:
		return HB_REASON_TLS_INJECTED;
	case HB_TLSF_FAILED:
		return HB_REASON_TLS_HANDSHAKE;
	case HB_TLSF_UNKNOWN:
	case HB_TLSF_NOT_OFFERED:
	case HB_TLSF_DONE:
		break;
	}
	return HB_REASON_NONE;
}

/*
 * What the reply to MAIL, RCPT or DATA says of a recipient.  "Must issue
 * STARTTLS first" to who had tried it is no word on the message: RFC 3207 s4
 * (530), RFC 3463 s3.8 (x.7.z).
 */
static struct hb_outcome
heard(struct dlv_client *c)
{
	struct hb_outcome res = remote_result(&c->reply, c->arena);
	enum hb_reason why = why_in_clear(c);

	if (res.result == HB_RESULT_FAIL && why != HB_REASON_NONE &&
	    (res.code == 530 || strncmp(c->reply.status, "5.7.", 4) == 0)) {
		res.result = HB_RESULT_DEFER;
		res.reason = why;
	}
	return res;
}

struct hb_outcome
dlv_own_outcome(enum hb_result result, enum hb_reason reason)
{
	return (struct hb_outcome){ .result = result, .reason = reason,
		.code = hb_reason_code(reason, result),
		.status = hb_span_str(hb_reason_status(reason, result)),
		.text = hb_span_str(hb_reason_text(reason)) };
}

bool
dlv_wants_tls(const struct hb_outcome *o)
{
	return o->from_remote != 0 && (o->reason == HB_REASON_TLS_INJECTED ||
	    o->reason == HB_REASON_STARTTLS_REFUSED ||
	    o->reason == HB_REASON_TLS_HANDSHAKE);
}

/* The session is over; what is not decided stays so. */
static void
close_with(struct dlv_client *c, struct hb_outcome why)
{
	if (c->state == S_CLOSED)
		return;
	c->failure = why;
	c->state = S_CLOSED;
	timer(c, 0);
	push(c, DLV_ACT_CLOSED, 0, 0);
}

/* There was no reply, so there is no code. */
static struct hb_outcome
cut_off(enum hb_reason reason)
{
	struct hb_outcome why = dlv_own_outcome(HB_RESULT_DEFER, reason);

	why.code = 0;
	return why;
}

static void
break_off(struct dlv_client *c, enum hb_reason reason)
{
	close_with(c, cut_off(reason));
}

/* A reply that belongs to nothing: from now on nobody knows which command a
 * reply is for.  What waits to be sent is not. */
static void
out_of_step(struct dlv_client *c)
{
	struct hb_outcome why = cut_off(HB_REASON_BAD_REPLY);
	struct hb_buf text = HB_BUF_INIT(0);

	hb_buf_addf(&text, "%s (a reply that nothing was asked for: %u ",
	    hb_reason_text(HB_REASON_BAD_REPLY), c->reply.code);
	hb_buf_add(&text, hb_reply_text(&c->reply));
	hb_buf_adds(&text, ")");
	why.text = hb_arena_span(c->failure_arena, hb_buf_span(&text));
	hb_buf_free(&text);
	close_with(c, why);
}

/* The server refuses the session: a polite end, nothing waited for. */
static void
refused(struct dlv_client *c)
{
	struct hb_outcome why = remote_result(&c->reply, c->failure_arena);

	/* What a server says before it knows the message is no word on the
	 * message: another host, or later. */
	why.result = HB_RESULT_DEFER;
	if (c->reply.code != 421)
		say(c, "QUIT\r\n");
	close_with(c, why);
}

/* --- session --- */

static void
greet(struct dlv_client *c)
{
	c->offered = 0;
	c->size_limit = c->rcpt_limit = c->mail_limit = 0;
	say_parts(c, c->conf.lmtp ? "LHLO " : "EHLO ",
	    hb_span_str(c->conf.helo), "\r\n");
	await(c, S_EHLO);
}

static void
ready(struct dlv_client *c)
{
	c->state = S_READY;
	timer(c, 0);
	push(c, DLV_ACT_READY, 0, 0);
}

static bool
offers(const struct dlv_client *c, enum extension e)
{
	return (c->offered >> e & 1) != 0;
}

/* RFC 9422 s4: NAME=VALUE, the value 1 to 6 digits and not 0.  What is
 * malformed or unknown is ignored. */
static void
note_limits(struct dlv_client *c, struct hb_span args)
{
	struct hb_span value, word;

	while ((value = hb_span_word(&args)).n > 0) {
		uint64_t n;

		word = hb_span_cut(&value, '=');
		if (hb_span_u64(value, 999999, &n) < 0 || n == 0)
			continue;
		if (hb_span_eq_nocase(word, HB_SPAN("RCPTMAX")))
			c->rcpt_limit = n;
		else if (hb_span_eq_nocase(word, HB_SPAN("MAILMAX")))
			c->mail_limit = n;
	}
}

/* One line of an EHLO reply; keywords are case-blind, RFC 5321 s4.1.1.1. */
static void
note_extension(struct dlv_client *c, struct hb_span line)
{
	struct hb_span word = hb_span_word(&line), args = line;
	struct hb_span arg = hb_span_word(&line);
	struct hb_span name = hb_span_cut(&word, '=');

	for (unsigned e = 0; e < EXT_COUNT; e++) {
		if (!hb_span_eq_nocase(name, hb_span_str(extension_words[e])))
			continue;
		c->offered |= 1u << e;
		if (e == EXT_SIZE &&
		    hb_span_u64(arg, UINT64_MAX, &c->size_limit) < 0)
			c->size_limit = 0;
		if (e == EXT_LIMITS)
			note_limits(c, args);
	}
}

static void
on_greeting(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2)
		refused(c);
	else
		greet(c);
}

static void
on_ehlo_refused(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 5 || c->conf.lmtp ||
	    c->facts.state == HB_TLSF_DONE) {
		refused(c);
		return;
	}
	c->offered = 0;
	if (c->conf.tls == DLV_TLS_OFFERED)
		c->facts.state = HB_TLSF_NOT_OFFERED;
	if (c->conf.demanded) { /* the verdict will be no */
		ready(c);
		return;
	}
	say_parts(c, "HELO ", hb_span_str(c->conf.helo), "\r\n");
	await(c, S_HELO);
}

static void
on_ehlo(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2) {
		on_ehlo_refused(c);
		return;
	}
	if (c->is_self) {
		break_off(c, HB_REASON_MX_SELF);
		return;
	}
	/* RFC 8689 s4.2.1: what was said in clear is worth nothing */
	c->facts.requiretls = c->facts.state == HB_TLSF_DONE &&
	    offers(c, EXT_REQUIRETLS);
	if (c->conf.tls != DLV_TLS_OFFERED ||
	    c->facts.state == HB_TLSF_DONE) {
		ready(c);
		return;
	}
	if (!offers(c, EXT_STARTTLS)) {
		c->facts.state = HB_TLSF_NOT_OFFERED;
		ready(c);
		return;
	}
	say(c, "STARTTLS\r\n");
	await(c, S_STARTTLS);
}

static void
on_helo(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2)
		refused(c);
	else
		ready(c);
}

/* Whatever the code of a refusal: the verdict decides what it means. */
static void
on_starttls(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) == 2) {
		c->state = S_HANDSHAKE;
		timer(c, c->conf.reply_ms);
		push(c, DLV_ACT_TLS, 0, 0);
		return;
	}
	c->facts.state = HB_TLSF_REFUSED;
	if (c->reply.code == 421)
		refused(c);
	else
		ready(c);
}

void
dlv_client_tls_done(struct dlv_client *c, const struct hb_tls_facts *facts)
{
	if (c->state != S_HANDSHAKE)
		return;
	c->facts = *facts;
	if (facts->state != HB_TLSF_DONE) {
		break_off(c, HB_REASON_TLS_HANDSHAKE);
	} else if (c->conf.tls == DLV_TLS_IMPLICIT) {
		await(c, S_GREETING);
	} else {
		greet(c); /* what was said in clear is forgotten, RFC 3207 s4.2 */
	}
}

/* --- transaction --- */

static size_t
group_size(const struct dlv_client *c)
{
	return c->txn.nrcpt + 2; /* MAIL, RCPT.., DATA */
}

static const char *
body_word(const struct dlv_client *c)
{
	const struct hb_env *e = c->txn.env;

	if (!offers(c, EXT_8BITMIME) ||
	    (e->body == HB_BODY_7BIT && (e->flags & HB_ENV_8BIT) == 0))
		return "";
	return " BODY=8BITMIME";
}

static void
add_mail_dsn(struct dlv_client *c)
{
	const struct hb_env *e = c->txn.env;

	if (!offers(c, EXT_DSN))
		return;
	if (e->ret != HB_RET_NONE)
		hb_buf_adds(&c->out,
		    e->ret == HB_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (e->envid.n > 0) {
		hb_buf_adds(&c->out, " ENVID=");
		hb_buf_add(&c->out, e->envid);
	}
}

static void
say_mail(struct dlv_client *c)
{
	const struct hb_env *e = c->txn.env;
	size_t before = c->out.n;

	hb_buf_adds(&c->out, "MAIL FROM:<");
	hb_buf_add(&c->out, e->sender);
	hb_buf_adds(&c->out, ">");
	if (offers(c, EXT_SIZE))
		hb_buf_addf(&c->out, " SIZE=%llu",
		    (unsigned long long)e->size);
	hb_buf_adds(&c->out, body_word(c));
	if (c->txn.utf8)
		hb_buf_adds(&c->out, " SMTPUTF8");
	if (c->txn.requiretls && c->facts.requiretls)
		hb_buf_adds(&c->out, " REQUIRETLS");
	add_mail_dsn(c);
	hb_buf_adds(&c->out, "\r\n");
	push(c, DLV_ACT_SEND, c->out.n - before, 0);
}

static void
add_rcpt_dsn(struct dlv_client *c, const struct dlv_rcpt *r)
{
	if (!offers(c, EXT_DSN))
		return;
	if (r->notify != 0) {
		hb_buf_adds(&c->out, " NOTIFY=");
		hb_notify_format(r->notify, &c->out);
	}
	if (r->orcpt.n > 0) {
		hb_buf_adds(&c->out, " ORCPT=");
		if (c->txn.utf8)
			hb_buf_add(&c->out, r->orcpt);
		else /* RFC 6533 s3 */
			hb_xtext_ascii(r->orcpt, &c->out);
	}
}

static void
say_rcpt(struct dlv_client *c, const struct dlv_rcpt *r)
{
	size_t before = c->out.n;

	hb_buf_adds(&c->out, "RCPT TO:<");
	hb_buf_add(&c->out, r->address);
	hb_buf_adds(&c->out, ">");
	add_rcpt_dsn(c, r);
	hb_buf_adds(&c->out, "\r\n");
	push(c, DLV_ACT_SEND, c->out.n - before, 0);
}

/* With PIPELINING the whole group at once, else one command a reply. */
static void
send_more(struct dlv_client *c)
{
	while (c->sent < group_size(c) &&
	    (offers(c, EXT_PIPELINING) || c->sent == c->at)) {
		if (c->sent == 0)
			say_mail(c);
		else if (c->sent <= c->txn.nrcpt)
			say_rcpt(c, &c->txn.rcpt[c->sent - 1]);
		else
			say(c, "DATA\r\n");
		c->sent++;
	}
}

/* Gives RES to each recipient of which nothing is known yet. */
static void
settle(struct dlv_client *c, const struct hb_outcome *res)
{
	for (size_t i = 0; i < c->txn.nrcpt; i++)
		if (c->txn.rcpt[i].outcome.result == HB_RESULT_NONE)
			c->txn.rcpt[i].outcome = *res;
}

/* Those that were not named share the fate of the whole message. */
static void
settle_unsent(struct dlv_client *c, const struct hb_outcome *res)
{
	for (size_t i = 0; i < c->unsent; i++)
		c->txn.rcpt[c->txn.nrcpt + i].outcome = *res;
}

static void
end_txn(struct dlv_client *c)
{
	c->state = S_READY;
	c->in_doubt = false;
	timer(c, 0);
	push(c, DLV_ACT_DONE, 0, 0);
	if (c->spoiled)
		break_off(c, HB_REASON_BAD_REPLY);
}

static void
start_txn(struct dlv_client *c)
{
	c->needs_rset = false;
	c->used = c->begun;
	c->begun = true;
	c->mails++;
	send_more(c);
	await(c, S_MAIL);
}

/* Goes on with the next reply of the group, or ends it early where nothing
 * more was sent. */
static void
next_in_group(struct dlv_client *c, bool useless)
{
	if (useless && c->sent == c->at) {
		end_txn(c);
		return;
	}
	send_more(c);
	await(c, c->at <= c->txn.nrcpt ? S_RCPT : S_DATA);
}

static void
on_mail(struct dlv_client *c)
{
	c->at = 1;
	if (hb_reply_class(&c->reply) == 2) {
		c->needs_rset = true;
	} else {
		c->mail = heard(c);
		settle(c, &c->mail);
		settle_unsent(c, &c->mail);
	}
	next_in_group(c, c->mail.result != HB_RESULT_NONE);
}

/* RFC 5321 s4.5.3.1.10: 452, or 552 of older servers, says that there are too
 * many recipients; 552 says other things too.  Never of the first. */
static bool
is_surplus(const struct dlv_client *c, size_t i)
{
	if (c->reply.code == 452)
		return true;
	return c->reply.code == 552 && i > 0 &&
	    (strcmp(c->reply.status, "5.5.3") == 0 ||
		(c->reply.status[0] == '\0' && c->naccepted > 0));
}

static void
on_rcpt(struct dlv_client *c)
{
	size_t i = c->at++ - 1;
	struct dlv_rcpt *r = &c->txn.rcpt[i];

	if (c->mail.result == HB_RESULT_NONE) {
		if (hb_reply_class(&c->reply) == 2) {
			c->accepted[i] = true;
			c->naccepted++;
		} else {
			r->outcome = heard(c);
			r->surplus = is_surplus(c, i);
			if (r->surplus)
				r->outcome.result = HB_RESULT_DEFER;
		}
	}
	next_in_group(c, c->at > c->txn.nrcpt && c->naccepted == 0);
}

static void
await_final(struct dlv_client *c)
{
	c->state = S_FINAL;
	/* RFC 5321 s4.5.3.2.6: the longest of the waits */
	timer(c, c->conf.reply_ms * 2);
}

static void
on_data(struct dlv_client *c)
{
	struct hb_outcome res;

	c->at++;
	if (hb_reply_class(&c->reply) != 3) {
		res = heard(c);
		settle(c, &res);
		end_txn(c);
		return;
	}
	c->lone_dot = c->naccepted == 0;
	/* RFC 2920 s3.1: an empty message that nobody gets */
	if (c->lone_dot) {
		say(c, ".\r\n");
		await_final(c);
	} else {
		push(c, DLV_ACT_BODY, 0, 0);
		await(c, S_BODY);
	}
}

void
dlv_client_body_sent(struct dlv_client *c)
{
	if (c->state != S_BODY)
		return;
	c->in_doubt = true;
	await_final(c);
}

/* LMTP: one reply for each recipient that was accepted, RFC 2033 s4.2. */
static void
on_final_lmtp(struct dlv_client *c)
{
	for (size_t i = 0; i < c->txn.nrcpt; i++) {
		if (!c->accepted[i])
			continue;
		c->accepted[i] = false;
		c->txn.rcpt[i].outcome = remote_result(&c->reply, c->arena);
		break;
	}
	if (--c->naccepted == 0)
		end_txn(c);
	else if (c->state == S_FINAL)
		timer(c, c->conf.reply_ms * 2);
}

static void
on_final(struct dlv_client *c)
{
	struct hb_outcome res;

	c->needs_rset = false;
	if (c->conf.lmtp && !c->lone_dot) {
		on_final_lmtp(c);
		return;
	}
	res = remote_result(&c->reply, c->arena);
	settle(c, &res);
	end_txn(c);
}

static void
on_rset(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2)
		refused(c);
	else
		start_txn(c);
}

static void
on_quit(struct dlv_client *c)
{
	break_off(c, HB_REASON_OK);
}

/* A reply that nothing was asked for: 421 of an impatient server, or worse. */
static void
on_unasked(struct dlv_client *c)
{
	if (c->reply.code == 421)
		refused(c);
	else
		out_of_step(c);
}

/* A server may refuse a message before it has all of it; it cannot take one.
 * What is left of it is not sent, and no other follows. */
static void
on_body(struct dlv_client *c)
{
	c->spoiled = true;
	if (hb_reply_class(&c->reply) < 4)
		out_of_step(c);
	else
		on_final(c);
}

static void (*const on_reply[S_COUNT])(struct dlv_client *) = {
	[S_NEW] = on_unasked,
	[S_GREETING] = on_greeting,
	[S_EHLO] = on_ehlo,
	[S_HELO] = on_helo,
	[S_STARTTLS] = on_starttls,
	[S_READY] = on_unasked,
	[S_RSET] = on_rset,
	[S_MAIL] = on_mail,
	[S_RCPT] = on_rcpt,
	[S_DATA] = on_data,
	[S_BODY] = on_body,
	[S_FINAL] = on_final,
	[S_QUIT] = on_quit,
};

/* --- messages --- */

/* Could a text end or split a command, or add a word to it? */
static bool
txn_is_unsafe(const struct dlv_txn *t)
{
	bool bad = !hb_intake_is_path(t->env->sender) ||
	    !hb_xtext_is_valid(t->env->envid);

	for (size_t i = 0; i < t->nrcpt && !bad; i++)
		bad = !hb_intake_is_path(t->rcpt[i].address) ||
		    !hb_intake_is_orcpt(t->rcpt[i].orcpt);
	return bad;
}

bool
dlv_client_wants_7bit(const struct dlv_client *c, const struct hb_env *env)
{
	return (env->flags & HB_ENV_8BIT) != 0 && !offers(c, EXT_8BITMIME) &&
	    !c->conf.lmtp;
}

bool
dlv_wants_utf8(const struct hb_env *env)
{
	return (env->flags & HB_ENV_SMTPUTF8) != 0 ||
	    !hb_utf8_is_ascii(env->sender);
}

/* RFC 6531 s3.4: the parameter where there is need for it, and nowhere else. */
static void
set_utf8(struct dlv_client *c)
{
	size_t last = c->txn.nrcpt - 1;

	c->txn.utf8 = dlv_wants_utf8(c->txn.env) ||
	    !hb_utf8_is_ascii(c->txn.rcpt[last].address);
}

/* RFC 6531 s3.5: nothing is sent for recipients with UTF-8, the last ones, to a
 * server that does not take it, and no address is made another one.  The others
 * need not suffer for it. */
static void
keep_to_ascii(struct dlv_client *c)
{
	struct hb_outcome no =
	    dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_NO_SMTPUTF8);
	size_t n = c->txn.nrcpt;

	if (!c->txn.utf8 || offers(c, EXT_SMTPUTF8))
		return;
	while (n > 0 && !hb_utf8_is_ascii(c->txn.rcpt[n - 1].address))
		c->txn.rcpt[--n].outcome = no;
	c->txn.nrcpt = n;
	c->txn.utf8 = false;
}

/* What the server does not take is not sent; false: it may try. */
static bool
is_unfit(const struct dlv_client *c, struct hb_outcome *why)
{
	const struct hb_env *e = c->txn.env;

	if (c->txn.damaged)
		*why = dlv_own_outcome(HB_RESULT_DEFER, HB_REASON_BODY_DAMAGED);
	else if (txn_is_unsafe(&c->txn))
		*why = dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_ADDRESS_SYNTAX);
	else if (dlv_wants_utf8(e) && !offers(c, EXT_SMTPUTF8))
		*why = dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_NO_SMTPUTF8);
	else if (dlv_client_wants_7bit(c, e) && !c->txn.encoded)
		*why = dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_NO_8BIT);
	else if (c->size_limit > 0 && e->size > c->size_limit)
		*why = dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_TOO_LARGE);
	else
		return false;
	return true;
}

/* Recipients beyond what the server takes are for the next transaction. */
static void
keep_to_limit(struct dlv_client *c)
{
	if (c->rcpt_limit == 0 || c->txn.nrcpt <= c->rcpt_limit)
		return;
	c->unsent = c->txn.nrcpt - (size_t)c->rcpt_limit;
	c->txn.nrcpt = (size_t)c->rcpt_limit;
}

void
dlv_client_mail(struct dlv_client *c, const struct dlv_txn *txn,
    const struct sts_verdict *verdict)
{
	struct hb_outcome why;

	HB_ASSERT(verdict->action == STS_PROCEED);
	HB_ASSERT(txn->nrcpt > 0 &&
	    (c->state == S_READY || c->state == S_CLOSED));
	hb_arena_reset(c->arena);
	c->txn = *txn;
	c->accepted = hb_arena_alloc(c->arena,
	    txn->nrcpt * sizeof(*c->accepted));
	c->naccepted = c->sent = c->at = c->unsent = 0;
	c->lone_dot = c->in_doubt = false;
	c->mail = (struct hb_outcome){ .result = HB_RESULT_NONE };
	for (size_t i = 0; i < txn->nrcpt; i++) {
		txn->rcpt[i].outcome = c->mail;
		txn->rcpt[i].surplus = false;
	}
	if (c->state == S_CLOSED) /* CLOSED waits to be taken */
		return;
	set_utf8(c);
	if (is_unfit(c, &why)) {
		settle(c, &why);
		end_txn(c);
		return;
	}
	keep_to_ascii(c);
	if (c->txn.nrcpt == 0) {
		end_txn(c);
		return;
	}
	keep_to_limit(c);
	if (c->needs_rset) {
		say(c, "RSET\r\n");
		await(c, S_RSET);
	} else {
		start_txn(c);
	}
}

void
dlv_client_quit(struct dlv_client *c)
{
	if (c->state == S_CLOSED)
		return;
	say(c, "QUIT\r\n");
	c->state = S_QUIT;
	timer(c, QUIT_MS);
}

/* --- events --- */

void
dlv_client_connected(struct dlv_client *c)
{
	if (c->conf.tls == DLV_TLS_IMPLICIT) {
		c->state = S_HANDSHAKE;
		timer(c, c->conf.reply_ms);
		push(c, DLV_ACT_TLS, 0, 0);
	} else {
		await(c, S_GREETING);
	}
}

/* Replies that are to come for what has been sent. */
static size_t
owed(const struct dlv_client *c)
{
	switch (c->state) {
	case S_GREETING:
	case S_EHLO:
	case S_HELO:
	case S_STARTTLS:
	case S_RSET:
	case S_QUIT:
		return 1;
	case S_MAIL:
	case S_RCPT:
	case S_DATA:
		return c->sent - c->at;
	case S_FINAL:
		return c->conf.lmtp && !c->lone_dot ? c->naccepted : 1;
	case S_NEW:
	case S_HANDSHAKE:
	case S_READY:
	case S_BODY:
	case S_CLOSED:
	case S_COUNT:
		break;
	}
	return 0;
}

/* 3yz answers DATA and nothing else, and 2yz all but DATA. */
static bool
is_misplaced(const struct dlv_client *c)
{
	unsigned class = hb_reply_class(&c->reply);

	return class < 4 && c->state >= S_MAIL && c->state <= S_FINAL && (class == 3) != (c->state == S_DATA);
}

/*
 * A reply counts when what it answers had been sent before it began.  So
 * OCTETS that came behind the last one that is owed are out of step; but for
 * a refusal, and for the answer to a message that is out, nothing that came
 * with them is believed.
 */
static void
weigh_reply(struct dlv_client *c, bool octets)
{
	bool behind = octets && owed(c) <= 1 && c->state != S_QUIT;
	bool refusal = hb_reply_class(&c->reply) > 3;

	if (behind)
		c->spoiled = true;
	if (c->early && c->state != S_BODY && c->state != S_FINAL)
		on_unasked(c);
	else if (c->early)
		on_body(c);
	else if (is_misplaced(c) ||
	    (behind && !refusal && c->state != S_FINAL &&
		c->state != S_STARTTLS))
		out_of_step(c);
	else
		on_reply[c->state](c);
	if (behind && c->state != S_HANDSHAKE)
		break_off(c, HB_REASON_BAD_REPLY);
}

/*
 * A word on the session, not on the message, while nothing of the message is
 * out: 421 says that the rest will not be answered.  500, 502 and 503 to what
 * the server had understood for the message before say that the two are not
 * at the same place any more.  What is not decided then goes elsewhere.
 */
static bool
is_of_session(const struct dlv_client *c)
{
	unsigned code = c->reply.code;
	bool lost_way = code == 500 || code == 502 || code == 503;

	if (c->state < S_RSET || c->state > S_DATA)
		return false;
	if (c->mail.result != HB_RESULT_NONE || c->state == S_RSET ||
	    (c->state == S_DATA && c->naccepted == 0))
		lost_way = false; /* it answers what was refused */
	return code == 421 || (c->used && lost_way);
}

size_t
dlv_client_input(struct dlv_client *c, struct hb_span in)
{
	size_t used = 0;

	if (in.n > 0 && c->reply.lines == 0 && owed(c) == 0)
		c->early = true;
	while (c->state != S_CLOSED && c->state != S_HANDSHAKE) {
		int n = hb_reply_feed(&c->reply, hb_span_from(in, used));

		if (n < 0)
			break_off(c, HB_REASON_BAD_REPLY);
		if (n <= 0)
			break;
		used += (size_t)n;
		if (c->state == S_EHLO && c->reply.lines > 1) {
			note_extension(c, c->reply.line);
		} else if (c->state == S_EHLO) {
			/* The first line bears the server's name, RFC 5321
			 * s4.1.1.1. */
			struct hb_span line = c->reply.line;

			c->is_self = c->conf.may_loop &&
			    hb_span_eq_nocase(hb_span_word(&line),
				hb_span_str(c->conf.helo));
		}
		if (!c->reply.done)
			continue;
		if (is_of_session(c))
			refused(c);
		else
			weigh_reply(c, used < in.n);
		hb_reply_reset(&c->reply);
		c->early = false;
		if (c->state == S_HANDSHAKE && used < in.n) {
			/* Plain text behind the 220 would count as said inside
			 * TLS, RFC 3207 s6. */
			c->nacts = 0;
			c->facts.state = HB_TLSF_INJECTED;
			break_off(c, HB_REASON_TLS_INJECTED);
		}
	}
	return c->state == S_CLOSED ? in.n : used;
}

void
dlv_client_timeout(struct dlv_client *c)
{
	if (c->state == S_HANDSHAKE) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
		break_off(c, HB_REASON_TLS_HANDSHAKE);
	} else {
		break_off(c, HB_REASON_REPLY_TIMEOUT);
	}
}

/*
 * With TLS 1.3 the client has done its part before the server has looked at
 * it: that a certificate is wanted, or that Finished does not fit, comes as
 * an alert (RFC 8446 s4.4.2.4) behind a handshake that went well here.
 */
static bool
is_handshake_unproven(const struct dlv_client *c)
{
	return c->facts.state == HB_TLSF_DONE &&
	    (c->state == S_EHLO ||
		(c->state == S_GREETING && c->conf.tls == DLV_TLS_IMPLICIT));
}

void
dlv_client_lost(struct dlv_client *c, const char *tls_error)
{
	struct hb_span text = hb_span_str(tls_error[0] != '\0' ? tls_error
	    : "the peer closed the connection right behind the handshake");

	if (is_handshake_unproven(c)) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
		HB_ASSERT(hb_span_copy(
			      hb_span_head(text, sizeof(c->facts.error) - 1),
			      c->facts.error, sizeof(c->facts.error)) == 0);
		break_off(c, HB_REASON_TLS_HANDSHAKE);
		return;
	}
	if (c->state == S_HANDSHAKE) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
	}
	break_off(c, HB_REASON_CONNECTION_LOST);
}

static void
give_up(struct dlv_client *c, struct hb_outcome why)
{
	/* no other host is tried with it: it would be no better there */
	if (c->state != S_CLOSED)
		settle(c, &why);
	close_with(c, why);
}

void
dlv_client_damaged(struct dlv_client *c)
{
	give_up(c, dlv_own_outcome(HB_RESULT_DEFER, HB_REASON_BODY_DAMAGED));
}

void
dlv_client_unfit(struct dlv_client *c)
{
	give_up(c, dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_NO_8BIT));
}

/* --- life --- */

struct dlv_client *
dlv_client_new(const struct dlv_client_conf *conf)
{
	struct dlv_client *c = HB_NEW(struct dlv_client);

	c->conf = *conf;
	c->arena = hb_arena_new();
	c->failure_arena = hb_arena_new();
	hb_reply_reset(&c->reply);
	return c;
}

void
dlv_client_free(struct dlv_client **cp)
{
	struct dlv_client *c = *cp;

	if (c == NULL)
		return;
	hb_arena_free(&c->arena);
	hb_arena_free(&c->failure_arena);
	hb_buf_free(&c->out);
	free(c);
	*cp = NULL;
}

const struct hb_tls_facts *
dlv_client_facts(const struct dlv_client *c)
{
	return &c->facts;
}

void
dlv_client_set_facts(struct dlv_client *c, const struct hb_tls_facts *facts)
{
	c->facts = *facts;
}

const struct hb_outcome *
dlv_client_failure(const struct dlv_client *c)
{
	return &c->failure;
}

bool
dlv_client_in_doubt(const struct dlv_client *c)
{
	return c->in_doubt;
}

const struct hb_outcome *
dlv_client_mail_refusal(const struct dlv_client *c)
{
	return c->mail.result != HB_RESULT_NONE ? &c->mail : NULL;
}

bool
dlv_client_has_dsn(const struct dlv_client *c)
{
	return offers(c, EXT_DSN);
}

bool
dlv_client_is_spent(const struct dlv_client *c)
{
	return c->mail_limit > 0 && c->mails >= c->mail_limit;
}

bool
dlv_client_is_ready(const struct dlv_client *c)
{
	return c->state == S_READY && !c->early;
}
