/* MAIL.  Floor 2.  RFC 5321 s4.1.1.2, RFC 3461 s4, RFC 4954 s5, RFC 8689 s2. */
#include "smtpd/session-priv.h"

/* RFC 4954 s5: from a client that did not log in it is worth nothing. */
static void
keep_auth(struct smtpd_session *s, const struct hb_params *p)
{
	if ((p->seen & HB_PARAM_AUTH) != 0)
		hb_buf_add(&s->txn.mail_auth,
		    s->user[0] != '\0' ? p->auth : HB_SPAN("<>"));
}

static void
take(struct smtpd_session *s, const struct smtpd_args *a)
{
	hb_buf_add(&s->txn.sender, hb_buf_span(&a->address));
	s->txn.declared = a->params.size;
	s->txn.body = a->params.body;
	s->txn.ret = a->params.ret;
	hb_buf_add(&s->txn.envid, a->params.envid);
	if ((a->params.seen & HB_PARAM_REQUIRETLS) != 0)
		s->txn.flags |= HB_ENV_REQUIRETLS;
	keep_auth(s, &a->params);
	if (s->filters != NULL) /* they hear it with the sender */
		s->txn.id = smtpd_msgid_next(&s->site->ids, s->site->now_ms);
	smtpd_question(s, SMTPD_STAGE_MAIL);
}

void
smtpd_cmd_mail(struct smtpd_session *s, struct hb_span args)
{
	struct smtpd_args a;
	struct smtpd_fault fault;

	if (s->rules->auth == HB_DEMAND_REQUIRE && s->user[0] == '\0') {
		smtpd_reply(s, SMTPD_R_NEED_AUTH); /* RFC 6409 s4.3 */
		return;
	}
	fault = smtpd_read_args(s, HB_PARAM_FOR_MAIL, args, &a);
	if (fault.id == SMTPD_R_NONE)
		take(s, &a);
	else
		smtpd_reply_fault(s, &fault);
	hb_buf_free(&a.address);
}

void
smtpd_answer_mail(struct smtpd_session *s, struct smtpd_question *q)
{
	if (q->verdict.action == HB_ACTION_ACCEPT ||
	    q->verdict.action == HB_ACTION_DISCARD) {
		s->txn.discard = s->txn.discard ||
		    q->verdict.action == HB_ACTION_DISCARD;
		s->state = SMTPD_S_MAIL;
		smtpd_reply(s, SMTPD_R_SENDER_OK);
		return;
	}
	smtpd_reply_verdict(s, &q->verdict);
	smtpd_txn_reset(s);
}
