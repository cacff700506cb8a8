/* The greeting.  Floor 2.  RFC 5321 s3.1, s4.3.1. */
#include "smtpd/session-priv.h"

static void
greet(struct smtpd_session *s)
{
	const char *word =
	    s->rules->kind == HB_LISTEN_LMTP ? "LMTP" : "ESMTP";

	hb_buf_addf(&s->out, "220 %s %s Hauberk\r\n", s->rules->hostname,
	    word);
	s->state = SMTPD_S_HELLO;
	smtpd_set_timer(s, s->rules->command_ms);
}

void
smtpd_greet(struct smtpd_session *s)
{
	if (s->filters != NULL)
		smtpd_question(s, SMTPD_STAGE_CONNECT);
	else
		greet(s);
}

/* A greeting of class 5 is 554, and one that puts off is 421. */
void
smtpd_answer_connect(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_verdict *v = &q->verdict;

	if (v->action == HB_ACTION_ACCEPT) {
		greet(s);
		return;
	}
	v->code = v->action == HB_ACTION_TEMPFAIL ? 421 : 554;
	smtpd_reply_verdict(s, v);
	if (s->state != SMTPD_S_OVER)
		s->state = SMTPD_S_REFUSED;
}
