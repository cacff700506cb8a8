/* STARTTLS.  Floor 2.  RFC 3207 s4. */
#include "smtpd/session-priv.h"

bool
smtpd_tls_is_offered(const struct smtpd_session *s)
{
	return s->rules->tls != HB_DEMAND_OFF && !s->tls;
}

void
smtpd_cmd_starttls(struct smtpd_session *s, struct hb_span args)
{
	if (s->tls) {
		smtpd_reply_bad(s, SMTPD_R_SEQUENCE);
	} else if (!smtpd_tls_is_offered(s)) {
		smtpd_reply_bad(s, SMTPD_R_NOT_HERE);
	} else if (args.n > 0) {
		smtpd_reply_bad(s, SMTPD_R_NO_ARGUMENT);
	} else if (!s->site->tls_ready) {
		smtpd_reply(s, SMTPD_R_TLS_NOT_NOW);
	} else {
		smtpd_reply(s, SMTPD_R_START_TLS);
		s->wait = SMTPD_W_TLS;
		smtpd_add_act(s, SMTPD_ACT_STARTTLS);
	}
}
