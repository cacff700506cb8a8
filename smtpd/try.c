/*
 * Patience with strangers: before a login or a recipient is looked at, the
 * session asks when it may be (SMTPD_ACT_TRY), and it says how the try ended
 * (SMTPD_ACT_TRIED).  The wait comes before the work and is the same for what
 * is right and what is wrong, so a missing answer says nothing.  Floor 2.
 */
#include "smtpd/session-priv.h"

enum {
	TURN_MS = 30000, /* bound of the answer; and of a try that is late */
	SLOW_MS = 1000,	 /* more for each refusal above the bound */
	SLOWEST_MS = 10000
};

bool
smtpd_is_known(const struct smtpd_session *s)
{
	return s->relays || s->user[0] != '\0' ||
	    s->rules->kind == HB_LISTEN_LMTP;
}

static void
add_act(struct smtpd_session *s, enum smtpd_act_kind kind,
    enum smtpd_tried end)
{
	smtpd_add_act(s, kind)->attempt = (struct smtpd_try){
		.is_login = s->try_login,
		.login = hb_buf_span(&s->login),
		.end = end,
	};
}

void
smtpd_try(struct smtpd_session *s, bool is_login)
{
	s->try_login = is_login;
	hb_buf_clear(&s->login);
	if (is_login)
		hb_buf_add(&s->login, s->auth_user);
	s->try_state = SMTPD_T_BEGUN;
	s->wait = SMTPD_W_TURN;
	smtpd_set_timer(s, TURN_MS);
	add_act(s, SMTPD_ACT_TRY, SMTPD_TRIED_OPEN);
}

/* A session in which much was refused is slow by itself. */
static int64_t
own_delay(const struct smtpd_session *s)
{
	int64_t ms;

	if (s->try_login || s->refused <= HB_MAX_REFUSED)
		return 0;
	ms = (int64_t)(s->refused - HB_MAX_REFUSED) * SLOW_MS;
	return ms < SLOWEST_MS ? ms : SLOWEST_MS;
}

void
smtpd_session_turn(struct smtpd_session *s, int64_t ms)
{
	if (s->wait != SMTPD_W_TURN)
		return;
	if (ms < 0) {
		s->try_state = SMTPD_T_LATE;
		ms = TURN_MS;
	}
	if (ms < own_delay(s))
		ms = own_delay(s);
	if (ms > 0)
		smtpd_set_timer(s, ms);
	else
		smtpd_try_over(s);
}

void
smtpd_try_over(struct smtpd_session *s)
{
	bool late = s->try_state == SMTPD_T_LATE;

	if (late)
		s->try_state = SMTPD_T_NONE;
	if (s->try_login)
		smtpd_auth_turn(s, late);
	else
		smtpd_rcpt_turn(s, late);
}

void
smtpd_tried(struct smtpd_session *s, enum smtpd_tried end)
{
	if (s->try_state == SMTPD_T_BEGUN)
		add_act(s, SMTPD_ACT_TRIED, end);
	s->try_state = SMTPD_T_NONE;
}

void
smtpd_tried_mail(struct smtpd_session *s)
{
	s->try_login = false;
	if (!smtpd_is_known(s))
		add_act(s, SMTPD_ACT_TRIED, SMTPD_TRIED_MAIL);
}
