/* VRFY.  Floor 2.  RFC 5321 s3.5.3: it does not reveal which users exist. */
#include "smtpd/session-priv.h"

void
smtpd_cmd_vrfy(struct smtpd_session *s, struct hb_span args)
{
	if (args.n == 0)
		smtpd_reply_bad(s, SMTPD_R_WANTS_ARGUMENT);
	else
		smtpd_reply(s, SMTPD_R_VRFY);
}
