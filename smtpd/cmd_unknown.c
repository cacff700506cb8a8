/* A command that there is not.  Floor 2.  Filters may want to see it. */
#include "smtpd/session-priv.h"

void
smtpd_unknown(struct smtpd_session *s, struct hb_span line)
{
	if (s->filters == NULL) {
		smtpd_reply_bad(s, SMTPD_R_UNKNOWN);
		return;
	}
	hb_buf_clear(&s->filters->line);
	hb_buf_add(&s->filters->line, line);
	smtpd_question(s, SMTPD_STAGE_UNKNOWN);
}

void
smtpd_answer_unknown(struct smtpd_session *s, struct smtpd_question *q)
{
	if (q->verdict.action == HB_ACTION_ACCEPT)
		smtpd_reply_bad(s, SMTPD_R_UNKNOWN);
	else
		smtpd_reply_verdict(s, &q->verdict);
}
