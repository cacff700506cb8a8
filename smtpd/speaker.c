/* The client's side of a session for a dropped message.  Floor 2. */
#include "smtpd/speaker.h"

#include "common/base/utf8.h"
#include "common/proto/esmtp.h"

static void
say_hello(struct smtpd_speaker *s)
{
	hb_buf_adds(&s->out, "EHLO localhost\r\n");
	s->step = SMTPD_SAYS_HELLO;
}

/* RFC 6531 s3.4: by its header section, or by one of its addresses. */
static bool
needs_utf8(const struct smtpd_speaker *s)
{
	if ((s->env->flags & HB_ENV_SMTPUTF8) != 0 ||
	    !hb_utf8_is_ascii(s->env->sender))
		return true;
	for (size_t i = 0; i < s->n; i++)
		if (!hb_utf8_is_ascii(s->rcpts[i].address))
			return true;
	return false;
}

static void
say_mail(struct smtpd_speaker *s)
{
	const struct hb_env *e = s->env;

	hb_buf_adds(&s->out, "MAIL FROM:<");
	hb_buf_add(&s->out, e->sender);
	hb_buf_addf(&s->out, "> SIZE=%llu", (unsigned long long)s->size);
	if (e->body != HB_BODY_7BIT)
		hb_buf_adds(&s->out, " BODY=8BITMIME");
	if (needs_utf8(s))
		hb_buf_adds(&s->out, " SMTPUTF8");
	if ((e->flags & HB_ENV_REQUIRETLS) != 0)
		hb_buf_adds(&s->out, " REQUIRETLS");
	if (e->ret != HB_RET_NONE)
		hb_buf_adds(&s->out,
		    e->ret == HB_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (e->envid.n > 0) {
		hb_buf_adds(&s->out, " ENVID=");
		hb_buf_add(&s->out, e->envid);
	}
	hb_buf_adds(&s->out, "\r\n");
	s->step = SMTPD_SAYS_MAIL;
}

static void
end(struct smtpd_speaker *s)
{
	s->step = SMTPD_SAYS_OVER;
}

/* The next recipient; behind the last one DATA, if one was taken. */
static void
say_rcpt(struct smtpd_speaker *s)
{
	const struct hb_rcpt *r = &s->rcpts[s->at];

	s->step = SMTPD_SAYS_RCPT;
	if (s->at == s->n) {
		s->step = SMTPD_SAYS_DATA;
		if (s->taken > 0)
			hb_buf_adds(&s->out, "DATA\r\n");
		else
			end(s);
		return;
	}
	hb_buf_adds(&s->out, "RCPT TO:<");
	hb_buf_add(&s->out, r->address);
	hb_buf_adds(&s->out, ">");
	if (r->notify != 0) {
		hb_buf_adds(&s->out, " NOTIFY=");
		hb_notify_format(r->notify, &s->out);
	}
	if (r->orcpt.n > 0) {
		hb_buf_adds(&s->out, " ORCPT=");
		hb_buf_add(&s->out, r->orcpt);
	}
	hb_buf_adds(&s->out, "\r\n");
}

/* One recipient that is refused is no end for the others; one that has to wait
 * makes the message wait, of which nobody has a copy yet. */
static void
hear_rcpt(struct smtpd_speaker *s)
{
	unsigned class = hb_reply_class(&s->reply);

	if (s->reply.code == 421 || (class != 2 && class != 5)) {
		end(s);
		return;
	}
	if (class == 2)
		s->taken++;
	else
		s->refused(s->ctx, &s->rcpts[s->at], &s->reply);
	s->at++;
	say_rcpt(s);
}

static void
hear_reply(struct smtpd_speaker *s)
{
	unsigned class = hb_reply_class(&s->reply);

	if (s->step == SMTPD_SAYS_RCPT)
		hear_rcpt(s);
	else if (s->step == SMTPD_SAYS_DATA && s->reply.code == 354)
		s->step = SMTPD_SAYS_MESSAGE;
	else if (class != 2 || s->step >= SMTPD_SAYS_DATA)
		end(s);
	else if (s->step == SMTPD_SAYS_NOTHING)
		say_hello(s);
	else if (s->step == SMTPD_SAYS_HELLO)
		say_mail(s);
	else
		say_rcpt(s);
}

void
smtpd_speaker_hear(struct smtpd_speaker *s, struct hb_span output)
{
	int r = 1;

	hb_buf_add(&s->heard, output);
	while (s->step != SMTPD_SAYS_OVER && r > 0) { /* our own replies */
		if (s->reply.done)
			hb_reply_reset(&s->reply);
		r = hb_reply_feed(&s->reply, hb_buf_span(&s->heard));
		if (r > 0)
			hb_buf_consume(&s->heard, (size_t)r);
		if (r > 0 && s->reply.done)
			hear_reply(s);
	}
}

void
smtpd_speaker_free(struct smtpd_speaker *s)
{
	hb_buf_free(&s->out);
	hb_buf_free(&s->heard);
}
