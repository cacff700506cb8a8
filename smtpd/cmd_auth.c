/*
 * AUTH PLAIN and LOGIN, only inside TLS.  Floor 2.  RFC 4954 s4, RFC 4616.
 * Every login, right or wrong, waits for its turn before it is checked (try.c),
 * and some bad ones end the session (RFC 4954 s9).
 */
#include "common/base/err.h"
#include "common/proto/base64.h"
#include "common/proto/stats.h"
#include "smtpd/session-priv.h"

enum { FAILURES_MAX = 5 };

bool
smtpd_auth_is_offered(const struct smtpd_session *s)
{
	return s->rules->auth != HB_DEMAND_OFF && s->tls;
}

/* Answers, and the exchange is over. */
static void
end_bad(struct smtpd_session *s, enum smtpd_reply_id why)
{
	smtpd_auth_end(s);
	smtpd_reply_bad(s, why);
}

/* One record for each login, for those who watch the log. */
static void
end_login(struct smtpd_session *s, enum hb_stat result, enum hb_reason reason,
    enum smtpd_reply_id reply)
{
	hb_stat(result);
	HB_LOG(HB_LOG_INFO, HB_EV_AUTH,
	    hb_kv_span(HB_K_LOGIN, hb_buf_span(&s->login)),
	    hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_str(HB_K_MECH, s->auth_mech),
	    hb_kv_str(HB_K_RESULT, hb_stat_info(result).value),
	    hb_kv_if(reason != HB_REASON_NONE,
		hb_kv_str(HB_K_REASON, hb_reason_word(reason))));
	smtpd_auth_end(s);
	smtpd_reply(s, reply);
}

static void
fail(struct smtpd_session *s, enum hb_reason reason,
    enum smtpd_reply_id reply)
{
	end_login(s, HB_STAT_LOGIN_FAIL, reason,
	    ++s->auth_failures < FAILURES_MAX ? reply : SMTPD_R_AUTH_FAILURES);
}

/* The whole exchange is there.  USABLE: it could be true. */
static void
check(struct smtpd_session *s, bool usable)
{
	struct hb_span u = s->auth_user, p = s->auth_password;
	bool nul = hb_span_find(u, '\0') < u.n || hb_span_find(p, '\0') < p.n;

	s->auth_step = SMTPD_A_NONE;
	s->auth_usable = usable && u.n > 0 && u.n <= 256 && p.n > 0 &&
	    p.n <= 1024 && !nul;
	smtpd_question(s, SMTPD_STAGE_LOGIN);
}

/* RFC 4616 s2: [authzid] NUL authcid NUL passwd */
static void
plain(struct smtpd_session *s, size_t from)
{
	struct hb_span rest = hb_span_from(hb_buf_span(&s->secret), from);
	struct hb_span as = hb_span_cut(&rest, '\0');

	s->auth_user = hb_span_cut(&rest, '\0');
	s->auth_password = rest;
	check(s, as.n == 0 || hb_span_eq(as, s->auth_user));
}

/* The whole of SECRET is user, then password, from FROM on. */
static void
login_step(struct smtpd_session *s, size_t from)
{
	struct hb_span all = hb_buf_span(&s->secret);

	if (s->auth_step == SMTPD_A_LOGIN_USER) {
		s->auth_user = hb_span_from(all, from);
		s->auth_step = SMTPD_A_LOGIN_PASS;
		smtpd_reply(s, SMTPD_R_AUTH_PASS);
		return;
	}
	s->auth_user = hb_span_head(all, from); /* it may have moved */
	s->auth_password = hb_span_from(all, from);
	check(s, true);
}

static void
response(struct smtpd_session *s, struct hb_span line)
{
	size_t from = s->secret.n;

	if (hb_base64_decode(line, &s->secret) < 0)
		end_bad(s, SMTPD_R_AUTH_BASE64);
	else if (s->auth_step == SMTPD_A_PLAIN)
		plain(s, from);
	else
		login_step(s, from);
}

void
smtpd_auth_line(struct smtpd_session *s, struct hb_span line)
{
	if (hb_span_eq(line, HB_SPAN("*")))
		end_bad(s, SMTPD_R_AUTH_CANCELLED);
	else
		response(s, line);
}

static void
start(struct smtpd_session *s, struct hb_span mechanism,
    struct hb_span initial)
{
	bool is_plain = hb_span_eq_nocase(mechanism, HB_SPAN("PLAIN"));

	if (!is_plain && !hb_span_eq_nocase(mechanism, HB_SPAN("LOGIN"))) {
		smtpd_reply_bad(s, SMTPD_R_AUTH_MECHANISM);
		return;
	}
	s->auth_mech = is_plain ? "PLAIN" : "LOGIN";
	s->auth_step = is_plain ? SMTPD_A_PLAIN : SMTPD_A_LOGIN_USER;
	if (initial.n > 0)
		response(s, hb_span_eq(initial, HB_SPAN("=")) ? HB_SPAN_NONE
							      : initial);
	else
		smtpd_reply(s, is_plain ? SMTPD_R_AUTH_GO
					: SMTPD_R_AUTH_USER);
}

void
smtpd_cmd_auth(struct smtpd_session *s, struct hb_span args)
{
	struct hb_span mechanism = hb_span_word(&args);
	struct hb_span initial = hb_span_word(&args);

	if (s->rules->auth == HB_DEMAND_OFF)
		smtpd_reply_bad(s, SMTPD_R_NOT_HERE);
	else if (!s->tls)
		smtpd_reply_bad(s, SMTPD_R_NEED_TLS);
	else if (s->user[0] != '\0')
		smtpd_reply_bad(s, SMTPD_R_SEQUENCE);
	else if (mechanism.n == 0)
		smtpd_reply_bad(s, SMTPD_R_WANTS_ARGUMENT);
	else if (args.n > 0)
		smtpd_reply_bad(s, SMTPD_R_ARGUMENT);
	else
		start(s, mechanism, initial);
}

void
smtpd_answer_login(struct smtpd_session *s, struct smtpd_question *q)
{
	struct hb_span user = q->login.n > 0 ? q->login : s->auth_user;

	if (q->verdict.action == HB_ACTION_ACCEPT &&
	    hb_span_copy(user, s->user, sizeof(s->user)) == 0)
		end_login(s, HB_STAT_LOGIN_OK, HB_REASON_NONE,
		    SMTPD_R_AUTH_OK);
	else if (q->verdict.action == HB_ACTION_REJECT)
		fail(s, HB_REASON_AUTH_FAILED, SMTPD_R_AUTH_REFUSED);
	else if (q->verdict.reason == HB_REASON_PENALTY)
		fail(s, HB_REASON_PENALTY, SMTPD_R_AUTH_LATE);
	else
		end_login(s, HB_STAT_LOGIN_TEMP, HB_REASON_LOOKUP_TEMP,
		    SMTPD_R_AUTH_TEMP);
}
