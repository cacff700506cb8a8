/* What the session asks its owner to do: acts, the timer, output.  Floor 2. */
#include "smtpd/session-priv.h"

#include "common/base/err.h"

struct smtpd_act *
smtpd_add_act(struct smtpd_session *s, enum smtpd_act_kind kind)
{
	struct smtpd_act *a;

	HB_ASSERT(s->n_acts < SMTPD_ACTS_MAX);
	a = &s->acts[s->n_acts++];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	return a;
}

bool
smtpd_session_act(struct smtpd_session *s, struct smtpd_act *out)
{
	if (s->next_act == s->n_acts) {
		s->next_act = s->n_acts = 0;
		return false;
	}
	*out = s->acts[s->next_act++];
	return true;
}

void
smtpd_set_timer(struct smtpd_session *s, int64_t ms)
{
	s->timer_set = true;
	s->timer_ms = ms;
}

bool
smtpd_session_timer(struct smtpd_session *s, int64_t *ms)
{
	bool set = s->timer_set;

	*ms = s->timer_ms;
	s->timer_set = false;
	return set;
}

struct hb_buf *
smtpd_session_output(struct smtpd_session *s)
{
	return &s->out;
}
