/* MAIL.  Floor 2.  RFC 5321 s4.1.1.2, RFC 1870 s6, RFC 4954 s5, RFC 8689 s2. */
#include "common/base/err.h"
#include "common/proto/esmtp.h"
#include "smtpd/session-priv.h"

/* Parameters of the extensions that EHLO offers; AUTH= is taken always. */
static unsigned
allowed(const struct smtpd_session *s)
{
	return HB_PARAM_SIZE | HB_PARAM_BODY | HB_PARAM_AUTH |
	    (s->tls ? HB_PARAM_REQUIRETLS : 0u);
}

static bool
has_room(struct smtpd_session *s, const struct hb_params *p)
{
	if (p->size > s->rules->max_size)
		smtpd_reply(s, SMTPD_R_TOO_BIG);
	else if (s->site->space == 0 || p->size > s->site->space)
		smtpd_reply(s, SMTPD_R_NO_SPACE);
	else
		return true;
	return false;
}

/* RFC 4954 s5: from a client that did not log in it is worth nothing. */
static void
keep_auth(struct smtpd_session *s, const struct hb_params *p)
{
	if ((p->seen & HB_PARAM_AUTH) != 0)
		hb_buf_add(&s->txn.mail_auth,
		    s->user[0] != '\0' ? p->auth : HB_SPAN("<>"));
}

static void
take(struct smtpd_session *s, const struct hb_params *p)
{
	if (!has_room(s, p)) {
		hb_buf_clear(&s->txn.sender);
		return;
	}
	s->txn.declared = p->size;
	s->txn.body = p->body;
	if ((p->seen & HB_PARAM_REQUIRETLS) != 0)
		s->txn.flags |= HB_ENV_REQUIRETLS;
	keep_auth(s, p);
	smtpd_ask(s, HB_STAGE_MAIL);
}

void
smtpd_cmd_mail(struct smtpd_session *s, struct hb_span args)
{
	struct hb_span rest;
	struct hb_params params;
	int r;

	if (s->rules->auth == HB_DEMAND_REQUIRE && s->user[0] == '\0') {
		smtpd_reply(s, SMTPD_R_NEED_AUTH); /* RFC 6409 s4.3 */
		return;
	}
	if (!smtpd_take_path(s, args, HB_SPAN("FROM:"), SMTPD_R_BAD_SENDER,
		&s->txn.sender, &rest))
		return;
	r = hb_params_parse(rest, HB_PARAM_FOR_MAIL, allowed(s), &params);
	if (r == 0) {
		take(s, &params);
		return;
	}
	hb_buf_clear(&s->txn.sender);
	smtpd_reply_bad(s, r == HB_E_UNSUPPORTED ? SMTPD_R_PARAMETER
						 : SMTPD_R_ARGUMENT);
}

void
smtpd_mail_verdict(struct smtpd_session *s, const struct ipc_verdict *v)
{
	if (v->action != HB_ACTION_ACCEPT && v->action != HB_ACTION_DISCARD) {
		smtpd_reply_verdict(s, v);
		smtpd_txn_reset(s);
		return;
	}
	s->txn.discard = v->action == HB_ACTION_DISCARD;
	s->state = SMTPD_S_MAIL;
	smtpd_reply(s, SMTPD_R_SENDER_OK);
}
