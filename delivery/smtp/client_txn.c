/*
 * One message of the client: MAIL to the final reply.  Floor 2.  RFC 5321,
 * RFC 2033, RFC 2920, RFC 3461, RFC 6531, RFC 8689, RFC 9422.
 */
#include "delivery/smtp/client-priv.h"

#include "common/base/limits.h"
#include "common/base/utf8.h"
#include "common/proto/esmtp.h"
#include "common/proto/intake.h"
#include "common/proto/xtext.h"

/* --- replies --- */

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

bool
dlv_wants_tls(const struct hb_outcome *o)
{
	return o->from_remote != 0 && (o->reason == HB_REASON_TLS_INJECTED ||
	    o->reason == HB_REASON_STARTTLS_REFUSED ||
	    o->reason == HB_REASON_TLS_HANDSHAKE);
}

/*
 * What the reply to MAIL, RCPT or DATA says of a recipient.  "Must issue
 * STARTTLS first" to who had tried it is no word on the message: RFC 3207 s4
 * (530), RFC 3463 s3.8 (x.7.z).
 */
static struct hb_outcome
heard(struct dlv_client *c)
{
	struct hb_outcome res = dlv_remote_result(&c->reply, c->arena);
	enum hb_reason why = why_in_clear(c);

	if (res.result == HB_RESULT_FAIL && why != HB_REASON_NONE &&
	    (res.code == 530 || strncmp(c->reply.status, "5.7.", 4) == 0)) {
		res.result = HB_RESULT_DEFER;
		res.reason = why;
	}
	return res;
}

/* --- transaction --- */

static size_t
group_size(const struct dlv_client *c)
{
	return c->txn.nrcpt + 2; /* MAIL, RCPT.., DATA or BDAT 1 */
}

static const char *
body_word(const struct dlv_client *c)
{
	const struct hb_env *e = c->txn.env;

	if (!dlv_client_offers(c, EXT_8BITMIME) ||
	    (e->body == HB_BODY_7BIT && (e->flags & HB_ENV_8BIT) == 0))
		return "";
	return " BODY=8BITMIME";
}

static void
add_mail_dsn(struct dlv_client *c)
{
	const struct hb_env *e = c->txn.env;

	if (!dlv_client_offers(c, EXT_DSN))
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
	if (dlv_client_offers(c, EXT_SIZE))
		hb_buf_addf(&c->out, " SIZE=%llu",
		    (unsigned long long)e->size);
	hb_buf_adds(&c->out, body_word(c));
	if (c->txn.utf8)
		hb_buf_adds(&c->out, " SMTPUTF8");
	if (c->txn.requiretls && c->facts.requiretls)
		hb_buf_adds(&c->out, " REQUIRETLS");
	add_mail_dsn(c);
	hb_buf_adds(&c->out, "\r\n");
	dlv_client_act(c, DLV_ACT_SEND, c->out.n - before, 0);
}

static void
add_rcpt_dsn(struct dlv_client *c, const struct dlv_rcpt *r)
{
	if (!dlv_client_offers(c, EXT_DSN))
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
	dlv_client_act(c, DLV_ACT_SEND, c->out.n - before, 0);
}

/* With PIPELINING the whole group at once, else one command a reply. */
static void
send_more(struct dlv_client *c)
{
	while (c->sent < group_size(c) &&
	    (dlv_client_offers(c, EXT_PIPELINING) || c->sent == c->at)) {
		if (c->sent == 0)
			say_mail(c);
		else if (c->sent <= c->txn.nrcpt)
			say_rcpt(c, &c->txn.rcpt[c->sent - 1]);
		else if (c->counted)
			dlv_client_say_parts(c, "BDAT 1\r\n",
			    hb_span(&c->txn.first, 1), "");
		else
			dlv_client_say(c, "DATA\r\n");
		c->sent++;
	}
}

void
dlv_client_settle(struct dlv_client *c, const struct hb_outcome *res)
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
	dlv_client_timer(c, 0);
	dlv_client_act(c, DLV_ACT_DONE, 0, 0);
	if (c->spoiled)
		dlv_client_break_off(c, HB_REASON_BAD_REPLY);
}

static void
start_txn(struct dlv_client *c)
{
	c->needs_rset = false;
	c->used = c->begun;
	c->begun = true;
	c->mails++;
	send_more(c);
	dlv_client_await(c, S_MAIL);
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
	dlv_client_await(c, c->at <= c->txn.nrcpt ? S_RCPT : S_DATA);
}

static void
on_mail(struct dlv_client *c)
{
	c->at = 1;
	if (hb_reply_class(&c->reply) == 2) {
		c->needs_rset = true;
	} else {
		c->mail = heard(c);
		dlv_client_settle(c, &c->mail);
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
	dlv_client_timer(c, c->conf.reply_ms * 2);
}

/*
 * The reply to the first chunk.  A refusal is none of the message, of which one
 * octet was said: the recipients that were taken are tried with DATA.
 */
static void
on_first_chunk(struct dlv_client *c)
{
	struct hb_outcome res;

	c->at++;
	if (hb_reply_class(&c->reply) == 5 && c->naccepted > 0) {
		c->chunks_failed = true;
	} else if (hb_reply_class(&c->reply) != 2) {
		res = heard(c);
		dlv_client_settle(c, &res);
	} else if (c->naccepted > 0) {
		dlv_client_say(c, "BDAT %llu LAST\r\n",
		    (unsigned long long)c->txn.octets - 1);
		dlv_client_act(c, DLV_ACT_BODY, 0, 0);
		dlv_client_await(c, S_BODY);
		return;
	}
	end_txn(c);
}

static void
on_data(struct dlv_client *c)
{
	struct hb_outcome res;

	if (c->counted) {
		on_first_chunk(c);
		return;
	}
	c->at++;
	if (hb_reply_class(&c->reply) != 3) {
		res = heard(c);
		dlv_client_settle(c, &res);
		end_txn(c);
		return;
	}
	c->lone_dot = c->naccepted == 0;
	/* RFC 2920 s3.1: an empty message that nobody gets */
	if (c->lone_dot) {
		dlv_client_say(c, ".\r\n");
		await_final(c);
	} else {
		dlv_client_act(c, DLV_ACT_BODY, 0, 0);
		dlv_client_await(c, S_BODY);
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
		c->txn.rcpt[i].outcome = dlv_remote_result(&c->reply, c->arena);
		break;
	}
	if (--c->naccepted == 0)
		end_txn(c);
	else if (c->state == S_FINAL)
		dlv_client_timer(c, c->conf.reply_ms * 2);
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
	res = dlv_remote_result(&c->reply, c->arena);
	dlv_client_settle(c, &res);
	end_txn(c);
}

static void
on_rset(struct dlv_client *c)
{
	if (hb_reply_class(&c->reply) != 2)
		dlv_client_refused(c);
	else
		start_txn(c);
}

void
dlv_client_body_reply(struct dlv_client *c)
{
	c->spoiled = true;
	if (hb_reply_class(&c->reply) < 4)
		dlv_client_out_of_step(c);
	else
		on_final(c);
}

static void (*const on_reply[S_COUNT])(struct dlv_client *) = {
	[S_RSET] = on_rset,
	[S_MAIL] = on_mail,
	[S_RCPT] = on_rcpt,
	[S_DATA] = on_data,
	[S_BODY] = dlv_client_body_reply,
	[S_FINAL] = on_final,
};

void
dlv_client_txn_reply(struct dlv_client *c)
{
	on_reply[c->state](c);
}

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
	return (env->flags & HB_ENV_8BIT) != 0 && !dlv_client_offers(c, EXT_8BITMIME) &&
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

	if (!c->txn.utf8 || dlv_client_offers(c, EXT_SMTPUTF8))
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
	else if (dlv_wants_utf8(e) && !dlv_client_offers(c, EXT_SMTPUTF8))
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
	c->counted = txn->octets > 0 && dlv_client_has_chunks(c);
	c->mail = (struct hb_outcome){ .result = HB_RESULT_NONE };
	for (size_t i = 0; i < txn->nrcpt; i++) {
		txn->rcpt[i].outcome = c->mail;
		txn->rcpt[i].surplus = false;
	}
	if (c->state == S_CLOSED) /* CLOSED waits to be taken */
		return;
	set_utf8(c);
	if (is_unfit(c, &why)) {
		dlv_client_settle(c, &why);
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
		dlv_client_say(c, "RSET\r\n");
		dlv_client_await(c, S_RSET);
	} else {
		start_txn(c);
	}
}
