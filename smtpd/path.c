/* The paths of MAIL and RCPT.  Floor 2.  RFC 5321 s4.1.1.2, s4.1.1.3. */
#include "common/base/err.h"
#include "common/proto/esmtp.h"
#include "smtpd/session-priv.h"

/* Programs and devices of the own network were never made to write brackets
 * and domains, and sendmail takes both. */
static bool
may_be_short(const struct smtpd_session *s)
{
	return s->relays || s->rules->local || s->user[0] != '\0';
}

static int
format(const struct smtpd_session *s, const struct hb_addr *path,
    struct hb_buf *out)
{
	bool bare = path->local.n > 0 && path->domain.n == 0;
	int r = hb_addr_format(path, out);

	if (r == 0 && bare && !hb_addr_is_postmaster(path->local))
		r = hb_buf_printf(out, "@%s", s->rules->origin);
	if (r < 0)
		hb_buf_clear(out);
	return r;
}

bool
smtpd_take_path(struct smtpd_session *s, struct hb_span args,
    struct hb_span prefix, enum smtpd_reply_id bad, struct hb_buf *out,
    struct hb_span *params)
{
	bool is_short = may_be_short(s), is_rcpt = bad == SMTPD_R_BAD_RCPT;
	struct hb_addr path;
	int r = hb_command_path(args, prefix, HB_ADDR_LOCAL |
		(is_rcpt ? 0 : HB_ADDR_NULL) |
		(is_short ? HB_COMMAND_NO_BRACKETS : 0), &path, params);

	hb_buf_clear(out);
	if (r == HB_E_UNSUPPORTED) {
		smtpd_reply_bad(s, SMTPD_R_NO_UTF8);
		return false;
	}
	if (r == 0 && !is_short && path.local.n > 0 && path.domain.n == 0 &&
	    !(is_rcpt && hb_addr_is_postmaster(path.local)))
		smtpd_reply_bad_why(s, bad, "the domain is missing");
	else if (r < 0 || format(s, &path, out) < 0)
		smtpd_reply_bad_why(s, bad, hb_command_path_fault(args,
		    prefix, r));
	else {
		s->txn.asked_routed = is_rcpt && path.routed;
		return true;
	}
	return false;
}
