/* QUIT.  Floor 2.  RFC 5321 s4.1.1.10. */
#include "smtpd/session-priv.h"

void
smtpd_cmd_quit(struct smtpd_session *s, struct hb_span args)
{
	if (args.n > 0) {
		smtpd_reply_bad(s, SMTPD_R_NO_ARGUMENT);
		return;
	}
	smtpd_reply(s, SMTPD_R_BYE);
	smtpd_close(s);
}
