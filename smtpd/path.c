/*
 * What MAIL and RCPT say.  Floor 2.  RFC 5321 s4.1.1.2, s4.1.1.3, RFC 6531 s3.3.
 */
#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/proto/idna.h"
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

	/* Rules, maps and all roles behind this one know A-labels alone. */
	if (r == 0 && path->idn)
		r = hb_idna_address(out);
	if (r == 0 && bare && !hb_addr_is_postmaster(path->local))
		r = hb_buf_printf(out, "@%s", s->rules->origin);
	return r;
}

/* SMTPD_R_NONE, or what is wrong; PATH->fault says more. */
static enum smtpd_reply_id
read_path(const struct smtpd_session *s, bool is_rcpt, struct hb_span args,
    struct smtpd_args *out, struct hb_span *params)
{
	bool is_short = may_be_short(s);
	struct hb_addr *path = &out->path;
	int r = hb_command_path(args, is_rcpt ? HB_SPAN("TO:")
					      : HB_SPAN("FROM:"),
	    HB_ADDR_LOCAL | HB_ADDR_UTF8 | HB_ADDR_IDN |
		(is_rcpt ? 0 : HB_ADDR_NULL) |
		(is_short ? HB_COMMAND_NO_BRACKETS : 0), path, params);

	if (r == 0 && !is_short && path->local.n > 0 && path->domain.n == 0 &&
	    !(is_rcpt && hb_addr_is_postmaster(path->local))) {
		path->fault = HB_ADDR_FAULT_NO_DOMAIN;
		r = HB_E_SYNTAX;
	} else if (r == 0) {
		r = format(s, path, &out->address);
		path->fault = r == HB_E_SYNTAX ? HB_ADDR_FAULT_DOMAIN
		    : r < 0		       ? HB_ADDR_FAULT_LONG
					       : HB_ADDR_FAULT_NONE;
	}
	if (r == 0)
		return SMTPD_R_NONE;
	return is_rcpt ? SMTPD_R_BAD_RCPT : SMTPD_R_BAD_SENDER;
}

/* Parameters of the extensions that EHLO offers; AUTH= is taken always. */
static unsigned
allowed(const struct smtpd_session *s, bool is_rcpt)
{
	if (is_rcpt)
		return HB_PARAM_NOTIFY | HB_PARAM_ORCPT;
	return HB_PARAM_SIZE | HB_PARAM_BODY | HB_PARAM_AUTH | HB_PARAM_RET |
	    HB_PARAM_ENVID | HB_PARAM_SMTPUTF8 |
	    (s->tls || s->local != NULL ? HB_PARAM_REQUIRETLS : 0u);
}

/* RFC 6531 s3.4: the parameter stands in MAIL, and counts for RCPT. */
static bool
is_utf8_said(const struct smtpd_session *s, bool is_rcpt,
    const struct hb_params *p)
{
	return is_rcpt ? s->txn.utf8 : (p->seen & HB_PARAM_SMTPUTF8) != 0;
}

struct smtpd_fault
smtpd_read_args(const struct smtpd_session *s, enum hb_param_command of,
    struct hb_span args, struct smtpd_args *out)
{
	bool is_rcpt = of == HB_PARAM_FOR_RCPT;
	struct hb_span params = HB_SPAN_NONE;
	struct smtpd_fault fault;
	int r;

	out->address = HB_BUF_INIT(HB_MAX_PATH);
	fault.id = read_path(s, is_rcpt, args, out, &params);
	fault.why = hb_span_str(hb_addr_fault_text(out->path.fault));
	if (fault.id != SMTPD_R_NONE)
		return fault;
	r = hb_params_parse(params, of, allowed(s, is_rcpt), &out->params);
	fault.why = out->params.wrong;
	if (r < 0)
		fault.id = r == HB_E_UNSUPPORTED ? SMTPD_R_PARAMETER
						 : SMTPD_R_ARGUMENT;
	else if ((out->path.utf8 || out->path.idn ||
		     !hb_utf8_is_ascii(out->params.orcpt)) &&
	    !is_utf8_said(s, is_rcpt, &out->params))
		fault.id = SMTPD_R_NO_UTF8;
	return fault;
}
