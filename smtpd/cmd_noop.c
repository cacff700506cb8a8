/* NOOP.  Floor 2.  RFC 5321 s4.1.1.9: an argument is ignored. */
#include "smtpd/session-priv.h"

void
smtpd_cmd_noop(struct smtpd_session *s, struct hb_span args)
{
	smtpd_reply(s, SMTPD_R_OK);
}
