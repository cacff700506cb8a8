/* RCPT.  Floor 2.  RFC 5321 s4.1.1.3, s4.5.3.1.10. */
#include "common/base/err.h"
#include "common/proto/esmtp.h"
#include "smtpd/session-priv.h"

void
smtpd_cmd_rcpt(struct smtpd_session *s, struct hb_span args)
{
	struct hb_span rest;
	struct hb_params params;

	if (s->txn.n_taken >= s->rules->max_recipients) {
		smtpd_reply(s, SMTPD_R_TOO_MANY_RCPT);
		return;
	}
	if (!smtpd_take_path(s, args, HB_SPAN("TO:"), SMTPD_R_BAD_RCPT,
		&s->txn.asked, &rest))
		return;
	if (hb_params_parse(rest, HB_PARAM_FOR_RCPT, 0, &params) < 0) {
		hb_buf_clear(&s->txn.asked);
		smtpd_reply_bad(s, SMTPD_R_PARAMETER);
	} else if (smtpd_is_known(s)) {
		smtpd_ask(s, HB_STAGE_RCPT);
	} else {
		smtpd_try(s, false);
	}
}

void
smtpd_rcpt_turn(struct smtpd_session *s, bool late)
{
	s->wait = SMTPD_W_NOTHING;
	if (!late) {
		smtpd_ask(s, HB_STAGE_RCPT);
		return;
	}
	smtpd_reply(s, SMTPD_R_RCPT_LATE);
	hb_buf_clear(&s->txn.asked);
}

void
smtpd_rcpt_verdict(struct smtpd_session *s, const struct ipc_verdict *v)
{
	bool accept = v->action == HB_ACTION_ACCEPT;

	smtpd_tried(s, v->action == HB_ACTION_REJECT ? SMTPD_TRIED_BAD
		: v->action == HB_ACTION_TEMPFAIL ? SMTPD_TRIED_OPEN
						  : SMTPD_TRIED_DONE);
	if (accept || v->action == HB_ACTION_DISCARD) {
		s->txn.n_taken++;
		if (accept)
			smtpd_txn_add_rcpt(s);
		smtpd_reply(s, SMTPD_R_RCPT_OK);
	} else {
		smtpd_reply_verdict(s, v);
	}
	hb_buf_clear(&s->txn.asked);
}
