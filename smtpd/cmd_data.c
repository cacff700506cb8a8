/* DATA.  Floor 2.  RFC 5321 s4.1.1.4; txn.c takes the message bytes. */
#include "smtpd/session-priv.h"

static void
go_ahead(struct smtpd_session *s)
{
	smtpd_reply(s, SMTPD_R_GO_AHEAD);
	smtpd_txn_start_data(s);
}

void
smtpd_cmd_data(struct smtpd_session *s, struct hb_span args)
{
	if (args.n > 0) {
		smtpd_reply_bad(s, SMTPD_R_NO_ARGUMENT);
	} else if (s->txn.n_taken == 0) {
		/* RFC 2033 s4.2 */
		smtpd_reply(s, s->rules->kind == HB_LISTEN_LMTP
		    ? SMTPD_R_RCPT_FIRST : SMTPD_R_NO_RCPT);
	} else if (!s->site->queue_up) {
		smtpd_reply(s, SMTPD_R_TEMPORARY);
	} else if (s->filters != NULL) {
		smtpd_question(s, SMTPD_STAGE_DATA);
	} else {
		go_ahead(s);
	}
}

void
smtpd_answer_data(struct smtpd_session *s, struct smtpd_question *q)
{
	if (q->verdict.action == HB_ACTION_ACCEPT) {
		go_ahead(s);
		return;
	}
	smtpd_reply_verdict(s, &q->verdict);
	if (s->behind) /* it would run as commands */
		smtpd_reply(s, SMTPD_R_BEHIND);
	else
		smtpd_txn_reset(s);
}
