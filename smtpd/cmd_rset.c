/* RSET.  Floor 2.  RFC 5321 s4.1.1.5. */
#include "smtpd/session-priv.h"

void
smtpd_cmd_rset(struct smtpd_session *s, struct hb_span args)
{
	if (args.n > 0) {
		smtpd_reply_bad(s, SMTPD_R_NO_ARGUMENT);
		return;
	}
	smtpd_txn_reset(s);
	smtpd_reply(s, SMTPD_R_OK);
}
