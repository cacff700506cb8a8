/* EHLO and LHLO.  Floor 2.  RFC 5321 s4.1.1.1, RFC 2033 s4.1. */
#include "common/proto/domain.h"
#include "smtpd/session-priv.h"

static bool
ext_always(const struct smtpd_session *s)
{
	return true;
}

static bool
ext_starttls(const struct smtpd_session *s)
{
	return smtpd_tls_is_offered(s);
}

static bool
ext_requiretls(const struct smtpd_session *s)
{
	return s->tls;
}

static bool
ext_auth(const struct smtpd_session *s)
{
	return smtpd_auth_is_offered(s);
}

static bool
ext_etrn(const struct smtpd_session *s)
{
	return smtpd_etrn_is_offered(s);
}

static void
ext_nothing(const struct smtpd_session *s, struct hb_buf *out)
{
}

static void
ext_size(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_addf(out, " %llu", (unsigned long long)s->rules->max_size);
}

/* RFC 9422 s3: what binds; there is no limit of messages in a session. */
static void
ext_limits(const struct smtpd_session *s, struct hb_buf *out)
{
	hb_buf_addf(out, " RCPTMAX=%u", s->rules->max_recipients);
}

static void
ext_mechanisms(const struct smtpd_session *s, struct hb_buf *out)
{
	smtpd_auth_mechanisms(s, out);
}

static const struct {
	const char *keyword;
	bool (*offered)(const struct smtpd_session *s);
	void (*argument)(const struct smtpd_session *s, struct hb_buf *out);
} extensions[] = {
#define SMTPD_EXT(keyword, condition, argument)                                \
	{ (keyword), ext_##condition, ext_##argument },
#include "smtpd/ext.def"
};

/* "250-..." lines, the last one with a blank. */
static void
put_extensions(struct smtpd_session *s)
{
	size_t last = s->out.n, start;

	smtpd_put_line(s, 250, '-', hb_span_str(s->rules->hostname));
	for (size_t i = 0; i < HB_ARRAY_LEN(extensions); i++) {
		if (!extensions[i].offered(s))
			continue;
		last = s->out.n;
		hb_buf_addf(&s->out, "250-%s", extensions[i].keyword);
		extensions[i].argument(s, &s->out);
		hb_buf_adds(&s->out, "\r\n");
	}
	start = s->out.off + last + 3;
	s->out.p[start] = ' ';
}

/* Takes the name; what was before is forgotten as with RSET (s4.1.4). */
static bool
take_name(struct smtpd_session *s, struct hb_span name, bool esmtp)
{
	if ((!hb_domain_is_dns_name(name) && !hb_domain_is_literal(name)) ||
	    hb_span_copy(name, s->helo, sizeof(s->helo)) < 0) {
		smtpd_reply_bad(s, SMTPD_R_HELO_NAME);
		return false;
	}
	smtpd_txn_reset(s);
	s->esmtp = esmtp;
	s->state = SMTPD_S_READY;
	smtpd_set_timer(s, s->rules->command_ms);
	return true;
}

static void
welcome(struct smtpd_session *s)
{
	if (s->esmtp)
		put_extensions(s);
	else
		smtpd_put_line(s, 250, ' ', hb_span_str(s->rules->hostname));
}

static void
hello(struct smtpd_session *s, struct hb_span args, bool esmtp)
{
	if (!take_name(s, args, esmtp))
		return;
	if (s->filters != NULL)
		smtpd_question(s, SMTPD_STAGE_HELO);
	else
		welcome(s);
}

void
smtpd_cmd_ehlo(struct smtpd_session *s, struct hb_span args)
{
	hello(s, args, true);
}

void
smtpd_cmd_helo(struct smtpd_session *s, struct hb_span args)
{
	hello(s, args, false);
}

void
smtpd_answer_helo(struct smtpd_session *s, struct smtpd_question *q)
{
	if (q->verdict.action == HB_ACTION_ACCEPT) {
		welcome(s);
		return;
	}
	smtpd_reply_verdict(s, &q->verdict);
	if (s->state != SMTPD_S_OVER)
		s->state = SMTPD_S_HELLO;
	s->helo[0] = '\0';
}
