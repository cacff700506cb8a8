/*
 * AUTH, only inside TLS.  Floor 2.  RFC 4954 s4; PLAIN, RFC 4616; LOGIN; SCRAM,
 * RFC 5802 and 7677, whose secrets stay with router.
 * Every login, right or wrong, waits for its turn before it is checked (try.c),
 * and some bad ones end the session (RFC 4954 s9).
 */
#include "common/base/err.h"
#include "common/proto/base64.h"
#include "common/proto/scram.h"
#include "common/proto/stats.h"
#include "smtpd/session-priv.h"

enum { FAILURES_MAX = 5 };

bool
smtpd_auth_is_offered(const struct smtpd_session *s)
{
	return s->rules->auth != HB_DEMAND_OFF && s->tls;
}

/* --- mechanisms --- */

static bool
is_always(const struct smtpd_session *s)
{
	return true;
}

static bool
may_scram(const struct smtpd_session *s)
{
	return s->site->scram;
}

static bool
may_plus(const struct smtpd_session *s)
{
	return s->site->scram && s->has_binding;
}

static const struct mechanism {
	const char *name;
	bool (*offered)(const struct smtpd_session *s);
	enum smtpd_auth_step first;
	enum smtpd_reply_id go; /* without an initial response */
	bool scram, plus;
} mechanisms[] = {
	{ "PLAIN", is_always, SMTPD_A_PLAIN, SMTPD_R_AUTH_GO, false, false },
	{ "LOGIN", is_always, SMTPD_A_LOGIN_USER, SMTPD_R_AUTH_USER, false,
	    false },
	{ "SCRAM-SHA-256", may_scram, SMTPD_A_SCRAM_FIRST, SMTPD_R_AUTH_GO,
	    true, false },
	{ "SCRAM-SHA-256-PLUS", may_plus, SMTPD_A_SCRAM_FIRST, SMTPD_R_AUTH_GO,
	    true, true },
};

void
smtpd_auth_mechanisms(const struct smtpd_session *s, struct hb_buf *out)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(mechanisms); i++)
		if (mechanisms[i].offered(s))
			hb_buf_addf(out, " %s", mechanisms[i].name);
}

static const struct mechanism *
find_mechanism(const struct smtpd_session *s, struct hb_span name)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(mechanisms); i++)
		if (hb_span_eq_nocase(name, hb_span_str(mechanisms[i].name)))
			return mechanisms[i].offered(s) ? &mechanisms[i]
							: NULL;
	return NULL;
}

/* --- ends --- */

/* Answers, and the exchange is over. */
static void
end_bad(struct smtpd_session *s, enum smtpd_reply_id why)
{
	smtpd_auth_end(s);
	smtpd_reply_bad(s, why);
}

/* One record for each login, for those who watch the log. */
static void
note_login(struct smtpd_session *s, enum hb_stat result,
    enum hb_reason reason)
{
	hb_stat(result);
	HB_LOG(HB_LOG_INFO, HB_EV_AUTH,
	    hb_kv_span(HB_K_LOGIN, hb_buf_span(&s->login)),
	    hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_str(HB_K_MECH, s->auth_mech),
	    hb_kv_str(HB_K_RESULT, hb_stat_info(result).value),
	    hb_kv_if(reason != HB_REASON_NONE,
		hb_kv_str(HB_K_REASON, hb_reason_word(reason))),
	    hb_kv_id(HB_K_SESSION, s->id));
}

static void
end_login(struct smtpd_session *s, enum hb_stat result, enum hb_reason reason,
    enum smtpd_reply_id reply)
{
	note_login(s, result, reason);
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
	s->auth_usable = usable && u.n > 0 && u.n <= 256 && !nul &&
	    (s->scram != NULL || (p.n > 0 && p.n <= 1024));
	smtpd_question(s, SMTPD_STAGE_LOGIN);
}

/* --- responses --- */

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

/* --- SCRAM --- */

/* A message that cannot be true is refused as a false one, and as late. */
static void
scram_first(struct smtpd_session *s)
{
	bool good = hb_scram_first(s->scram, hb_buf_span(&s->secret),
	    may_plus(s)) == 0;

	s->auth_user = hb_buf_span(&s->scram->user);
	if (!good || s->auth_user.n > 256) {
		check(s, false);
		return;
	}
	s->auth_step = SMTPD_A_NONE;
	s->auth_usable = true;
	smtpd_question(s, SMTPD_STAGE_SALT);
}

static void
scram_final(struct smtpd_session *s)
{
	struct hb_span binding = s->has_binding
	    ? hb_span(s->binding, sizeof(s->binding)) : HB_SPAN_NONE;

	check(s, hb_scram_final(s->scram, hb_buf_span(&s->secret), binding) ==
	    0);
}

/* The login was right; the client has looked at our signature. */
static void
scram_end(struct smtpd_session *s)
{
	if (s->secret.n > 0 || hb_span_copy(hb_buf_span(&s->scram->user),
		s->user, sizeof(s->user)) < 0) {
		end_bad(s, SMTPD_R_ARGUMENT);
		return;
	}
	smtpd_auth_end(s);
	smtpd_reply(s, SMTPD_R_AUTH_OK);
}

static void
scram_say(struct smtpd_session *s, enum smtpd_auth_step next)
{
	struct hb_buf text = HB_BUF_INIT(0);

	if (hb_base64_encode(hb_buf_span(&s->scram->say), &text) < 0)
		HB_BUG("a buffer with a bound");
	s->auth_step = next;
	smtpd_put_line(s, 334, ' ', hb_buf_span(&text));
	smtpd_set_timer(s, s->rules->command_ms);
	hb_buf_free(&text);
}

/* Who goes away now has still logged in. */
static void
scram_right(struct smtpd_session *s, struct hb_span login)
{
	note_login(s, HB_STAT_LOGIN_OK, HB_REASON_NONE);
	if (login.n > 0) {
		hb_buf_clear(&s->scram->user);
		hb_buf_add(&s->scram->user, login);
	}
	scram_say(s, SMTPD_A_SCRAM_END);
}

/* Nothing was said to the client yet. */
static bool
wants_salt(const struct smtpd_session *s)
{
	return s->scram->say.n == 0;
}

void
smtpd_auth_question(const struct smtpd_session *s, struct ipc_auth *a)
{
	a->user = s->auth_user;
	a->client = hb_span_str(s->client);
	if (s->scram == NULL) {
		a->kind = HB_AUTHQ_PASSWORD;
		a->password = s->auth_password;
	} else if (wants_salt(s)) {
		a->kind = HB_AUTHQ_SALT;
	} else {
		a->kind = HB_AUTHQ_PROOF;
		a->message = hb_buf_span(&s->scram->message);
		a->proof = hb_span(s->scram->proof, HB_SHA256);
	}
}

void
smtpd_auth_answer(struct smtpd_session *s, const struct ipc_auth_result *r)
{
	if (s->scram == NULL || r->result != HB_AUTH_OK)
		return;
	if (wants_salt(s))
		hb_scram_challenge(s->scram, r->salt, r->iterations, r->nonce);
	else
		hb_scram_signed(s->scram, r->signature);
}

void
smtpd_answer_salt(struct smtpd_session *s, struct smtpd_question *q)
{
	if (q->verdict.action == HB_ACTION_ACCEPT)
		scram_say(s, SMTPD_A_SCRAM_FINAL);
	else
		end_login(s, HB_STAT_LOGIN_TEMP, HB_REASON_LOOKUP_TEMP,
		    SMTPD_R_AUTH_TEMP);
}

/* --- the exchange --- */

static void
response(struct smtpd_session *s, struct hb_span line)
{
	size_t from;

	if (s->scram != NULL)
		hb_buf_clear(&s->secret);
	from = s->secret.n;
	if (hb_base64_decode(line, &s->secret) < 0)
		end_bad(s, SMTPD_R_AUTH_BASE64);
	else if (s->auth_step == SMTPD_A_PLAIN)
		plain(s, from);
	else if (s->auth_step == SMTPD_A_SCRAM_FIRST)
		scram_first(s);
	else if (s->auth_step == SMTPD_A_SCRAM_FINAL)
		scram_final(s);
	else if (s->auth_step == SMTPD_A_SCRAM_END)
		scram_end(s);
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
start(struct smtpd_session *s, struct hb_span name, struct hb_span initial)
{
	const struct mechanism *m = find_mechanism(s, name);

	if (m == NULL) {
		smtpd_reply_bad(s, SMTPD_R_AUTH_MECHANISM);
		return;
	}
	s->auth_mech = m->name;
	s->auth_step = m->first;
	if (m->scram)
		s->scram = hb_scram_new(m->plus);
	if (initial.n > 0)
		response(s, hb_span_eq(initial, HB_SPAN("=")) ? HB_SPAN_NONE
							      : initial);
	else
		smtpd_reply(s, m->go);
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

	if (q->verdict.action == HB_ACTION_ACCEPT && s->scram != NULL)
		scram_right(s, q->login);
	else if (q->verdict.action == HB_ACTION_ACCEPT &&
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
