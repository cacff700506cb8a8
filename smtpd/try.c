/*
 * Delays of tries: the session asks when a login or a recipient may be checked
 * (SMTPD_ACT_TRY) and reports the result (SMTPD_ACT_TRIED).  The wait comes
 * before the work and is the same for right and wrong ones, so that a missing
 * answer reveals nothing.  Floor 2.
 */
#include "smtpd/session-priv.h"

enum {
	TURN_MS = 30000, /* bound of the answer; and of a try that is late */
	SLOW_MS = 1000,	 /* more for each refusal above the bound */
	SLOWEST_MS = 10000
};

bool
smtpd_is_login(const struct smtpd_question *q)
{
	return (q->stage->flags & SMTPD_STAGE_IS_LOGIN) != 0;
}

bool
smtpd_is_known(const struct smtpd_session *s)
{
	return s->relays || s->user[0] != '\0' ||
	    s->rules->kind == HB_LISTEN_LMTP;
}

/* Tries of recipients that ended alike are told together. */
static void
add_tried(struct smtpd_session *s, bool is_login, enum smtpd_tried end)
{
	struct smtpd_act *last = s->n_acts > s->next_act
	    ? &s->acts[s->n_acts - 1] : NULL;

	if (last != NULL && last->kind == SMTPD_ACT_TRIED && !is_login &&
	    !last->attempt.is_login && last->attempt.end == end) {
		last->attempt.n++;
		return;
	}
	smtpd_add_act(s, SMTPD_ACT_TRIED)->attempt = (struct smtpd_try){
		.is_login = is_login,
		.login = is_login ? hb_buf_span(&s->login) : HB_SPAN_NONE,
		.end = end,
		.n = 1,
	};
}

/* Tries of this session that have not ended. */
static unsigned
begun(const struct smtpd_session *s)
{
	unsigned n = 0;

	for (const struct smtpd_question *q = s->first; q != NULL; q = q->next)
		n += q->try_state == SMTPD_T_BEGUN;
	return n;
}

bool
smtpd_try(struct smtpd_session *s, struct smtpd_question *q)
{
	bool is_login = smtpd_is_login(q);
	unsigned n = begun(s);

	/* What was tried before may be refused, and then this one waits. */
	if (n > 0 && (q->try_state == SMTPD_T_ALONE ||
		s->refused + n > HB_MAX_REFUSED))
		return false;
	hb_buf_clear(&s->login);
	if (is_login)
		hb_buf_add(&s->login, s->auth_user);
	q->try_state = SMTPD_T_BEGUN;
	smtpd_set_timer(s, TURN_MS);
	smtpd_add_act(s, SMTPD_ACT_TRY)->attempt = (struct smtpd_try){
		.is_login = is_login,
		.login = hb_buf_span(&s->login),
		.n = n,
	};
	return true;
}

/* A session in which much was refused is slow by itself. */
static int64_t
own_delay(const struct smtpd_session *s)
{
	int64_t ms;

	if (smtpd_is_login(s->last) || s->refused <= HB_MAX_REFUSED)
		return 0;
	ms = (int64_t)(s->refused - HB_MAX_REFUSED) * SLOW_MS;
	return ms < SLOWEST_MS ? ms : SLOWEST_MS;
}

int64_t
smtpd_try_wait(const struct smtpd_session *s, struct smtpd_question *q,
    int64_t ms)
{
	if (ms < 0) {
		q->try_state = SMTPD_T_LATE;
		ms = TURN_MS;
	}
	return ms > own_delay(s) ? ms : own_delay(s);
}

void
smtpd_try_end(struct smtpd_session *s, struct smtpd_question *q)
{
	static const enum smtpd_tried ends[HB_ACTION_COUNT] = {
		[HB_ACTION_TEMPFAIL] = SMTPD_TRIED_OPEN,
		[HB_ACTION_ACCEPT] = SMTPD_TRIED_DONE,
		[HB_ACTION_REJECT] = SMTPD_TRIED_BAD,
		[HB_ACTION_DISCARD] = SMTPD_TRIED_DONE,
	};

	if (q->try_state == SMTPD_T_BEGUN)
		add_tried(s, smtpd_is_login(q),
		    ends[q->verdict.action]);
	q->try_state = SMTPD_T_NONE;
}

void
smtpd_tried_errors(struct smtpd_session *s)
{
	if (!smtpd_is_known(s))
		add_tried(s, false, SMTPD_TRIED_ERRORS);
}

void
smtpd_tried_mail(struct smtpd_session *s)
{
	if (!smtpd_is_known(s))
		add_tried(s, false, SMTPD_TRIED_MAIL);
}
