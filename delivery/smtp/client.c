/*
 * SMTP and LMTP to one server, one message after the other: the session.
 * Floor 2.  RFC 5321, RFC 3207, RFC 9422.
 */
#include "delivery/smtp/client-priv.h"

#include <stdlib.h>

enum { QUIT_MS = 10000 };

static const char *const extension_words[EXT_COUNT] = {
#define X(word) [EXT_##word] = #word,
	EXTENSIONS(X)
#undef X
};

/* --- session --- */

static void
greet(struct dlv_client *c)
{
	c->offered = 0;
	c->size_limit = c->rcpt_limit = c->mail_limit = 0;
	dlv_client_say_parts(c, c->conf.lmtp ? "LHLO " : "EHLO ",
	    hb_span_str(c->conf.helo), "\r\n");
	dlv_client_await(c, S_EHLO);
}

static void
ready(struct dlv_client *c)
{
	c->state = S_READY;
	dlv_client_timer(c, 0);
	dlv_client_act(c, DLV_ACT_READY, 0, 0);
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
		dlv_client_refused(c);
	else
		greet(c);
}

static void
on_ehlo_refused(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 5 || c->conf.lmtp ||
	    c->facts.state == HB_TLSF_DONE) {
		dlv_client_refused(c);
		return;
	}
	c->offered = 0;
	if (c->conf.tls == DLV_TLS_OFFERED)
		c->facts.state = HB_TLSF_NOT_OFFERED;
	if (c->conf.demanded) { /* the verdict will be no */
		ready(c);
		return;
	}
	dlv_client_say_parts(c, "HELO ", hb_span_str(c->conf.helo), "\r\n");
	dlv_client_await(c, S_HELO);
}

static void
on_ehlo(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2) {
		on_ehlo_refused(c);
		return;
	}
	if (c->is_self) {
		dlv_client_break_off(c, HB_REASON_MX_SELF);
		return;
	}
	/* RFC 8689 s4.2.1: what was said in clear is worth nothing */
	c->facts.requiretls = c->facts.state == HB_TLSF_DONE &&
	    dlv_client_offers(c, EXT_REQUIRETLS);
	if (c->conf.tls != DLV_TLS_OFFERED ||
	    c->facts.state == HB_TLSF_DONE) {
		ready(c);
		return;
	}
	if (!dlv_client_offers(c, EXT_STARTTLS)) {
		c->facts.state = HB_TLSF_NOT_OFFERED;
		ready(c);
		return;
	}
	dlv_client_say(c, "STARTTLS\r\n");
	dlv_client_await(c, S_STARTTLS);
}

static void
on_helo(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2)
		dlv_client_refused(c);
	else
		ready(c);
}

/* Whatever the code of a refusal: the verdict decides what it means. */
static void
on_starttls(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) == 2) {
		c->state = S_HANDSHAKE;
		dlv_client_timer(c, c->conf.reply_ms);
		dlv_client_act(c, DLV_ACT_TLS, 0, 0);
		return;
	}
	c->facts.state = HB_TLSF_REFUSED;
	if (c->reply.code == 421)
		dlv_client_refused(c);
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
		dlv_client_break_off(c, HB_REASON_TLS_HANDSHAKE);
	} else if (c->conf.tls == DLV_TLS_IMPLICIT) {
		dlv_client_await(c, S_GREETING);
	} else {
		greet(c); /* what was said in clear is forgotten, RFC 3207 s4.2 */
	}
}

static void
on_quit(struct dlv_client *c)
{
	dlv_client_break_off(c, HB_REASON_OK);
}

/* A reply that nothing was asked for: 421 of an impatient server, or worse. */
static void
on_unasked(struct dlv_client *c)
{
	if (c->reply.code == 421)
		dlv_client_refused(c);
	else
		dlv_client_out_of_step(c);
}

static void (*const on_reply[S_COUNT])(struct dlv_client *) = {
	[S_NEW] = on_unasked,
	[S_GREETING] = on_greeting,
	[S_EHLO] = on_ehlo,
	[S_HELO] = on_helo,
	[S_STARTTLS] = on_starttls,
	[S_READY] = on_unasked,
	[S_RSET] = dlv_client_txn_reply,
	[S_MAIL] = dlv_client_txn_reply,
	[S_RCPT] = dlv_client_txn_reply,
	[S_DATA] = dlv_client_txn_reply,
	[S_BODY] = dlv_client_txn_reply,
	[S_FINAL] = dlv_client_txn_reply,
	[S_QUIT] = on_quit,
};

/* --- events --- */

void
dlv_client_quit(struct dlv_client *c)
{
	if (c->state == S_CLOSED)
		return;
	dlv_client_say(c, "QUIT\r\n");
	c->state = S_QUIT;
	dlv_client_timer(c, QUIT_MS);
}

void
dlv_client_connected(struct dlv_client *c)
{
	if (c->conf.tls == DLV_TLS_IMPLICIT) {
		c->state = S_HANDSHAKE;
		dlv_client_timer(c, c->conf.reply_ms);
		dlv_client_act(c, DLV_ACT_TLS, 0, 0);
	} else {
		dlv_client_await(c, S_GREETING);
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

/* 3yz answers DATA and nothing else, and 2yz all but DATA (RFC 3030 s2: BDAT
 * has 2yz too). */
static bool
is_misplaced(const struct dlv_client *c)
{
	unsigned class = hb_reply_class(&c->reply);

	return class < 4 && c->state >= S_MAIL && c->state <= S_FINAL &&
	    (class == 3) != (c->state == S_DATA && !c->counted);
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
		dlv_client_body_reply(c);
	else if (is_misplaced(c) ||
	    (behind && !refusal && c->state != S_FINAL &&
		c->state != S_STARTTLS))
		dlv_client_out_of_step(c);
	else
		on_reply[c->state](c);
	if (behind && c->state != S_HANDSHAKE)
		dlv_client_break_off(c, HB_REASON_BAD_REPLY);
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
	    (c->state == S_DATA && (c->naccepted == 0 || c->counted)))
		lost_way = false; /* it answers what was refused, or BDAT */
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
			dlv_client_break_off(c, HB_REASON_BAD_REPLY);
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
			dlv_client_refused(c);
		else
			weigh_reply(c, used < in.n);
		hb_reply_reset(&c->reply);
		c->early = false;
		if (c->state == S_HANDSHAKE && used < in.n) {
			/* Plain text behind the 220 would count as said inside
			 * TLS, RFC 3207 s6. */
			c->nacts = 0;
			c->facts.state = HB_TLSF_INJECTED;
			dlv_client_break_off(c, HB_REASON_TLS_INJECTED);
		}
	}
	return c->state == S_CLOSED ? in.n : used;
}

/* The end came where DATA would have done better, perhaps. */
static void
suspect_chunks(struct dlv_client *c)
{
	if (c->counted && c->state >= S_DATA && c->state <= S_FINAL)
		c->chunks_failed = true;
}

void
dlv_client_timeout(struct dlv_client *c)
{
	suspect_chunks(c);
	if (c->state == S_HANDSHAKE) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
		dlv_client_break_off(c, HB_REASON_TLS_HANDSHAKE);
	} else {
		dlv_client_break_off(c, HB_REASON_REPLY_TIMEOUT);
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

	suspect_chunks(c);
	if (is_handshake_unproven(c)) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
		HB_ASSERT(hb_span_copy(
			      hb_span_head(text, sizeof(c->facts.error) - 1),
			      c->facts.error, sizeof(c->facts.error)) == 0);
		dlv_client_break_off(c, HB_REASON_TLS_HANDSHAKE);
		return;
	}
	if (c->state == S_HANDSHAKE) {
		c->facts.state = HB_TLSF_FAILED;
		c->facts.cut = true;
	}
	dlv_client_break_off(c, HB_REASON_CONNECTION_LOST);
}

static void
give_up(struct dlv_client *c, struct hb_outcome why)
{
	/* no other host is tried with it: it would be no better there */
	if (c->state != S_CLOSED)
		dlv_client_settle(c, &why);
	dlv_client_close_with(c, why);
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
	return dlv_client_offers(c, EXT_DSN);
}

bool
dlv_client_is_counted(const struct dlv_client *c)
{
	return c->counted;
}

bool
dlv_client_chunks_failed(const struct dlv_client *c)
{
	return c->chunks_failed;
}

bool
dlv_client_is_spent(const struct dlv_client *c)
{
	return c->chunks_failed ||
	    (c->mail_limit > 0 && c->mails >= c->mail_limit);
}

bool
dlv_client_is_ready(const struct dlv_client *c)
{
	return c->state == S_READY && !c->early;
}
