/* BDAT.  Floor 2.  RFC 3030 s2; chunk.c takes the octets. */
#include "smtpd/session-priv.h"

void
smtpd_cmd_bdat(struct smtpd_session *s, struct hb_span args)
{
	if (s->state == SMTPD_S_MAIL) {
		smtpd_txn_start_chunks(s);
		if (s->txn.n_taken == 0)
			smtpd_txn_fail(s, SMTPD_R_NO_RCPT);
		else if (!s->site->queue_up)
			smtpd_txn_fail(s, SMTPD_R_TEMPORARY);
	}
	smtpd_chunk_start(s, args, s->txn.chunk_refused ? SMTPD_R_CHUNK_REFUSED
							: SMTPD_R_NONE);
}
