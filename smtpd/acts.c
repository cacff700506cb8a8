/* What the session asks its owner to do: acts, the timer, output.  Floor 2. */
#include "smtpd/session-priv.h"

#include <stdlib.h>

#include "common/base/err.h"

struct smtpd_act *
smtpd_add_act(struct smtpd_session *s, enum smtpd_act_kind kind)
{
	struct smtpd_act *a;

	HB_ASSERT(s->n_acts < SMTPD_ACTS_MAX);
	if (s->acts == NULL)
		s->acts = hb_calloc(SMTPD_ACTS_MAX, sizeof(*s->acts));
	a = &s->acts[s->n_acts++];
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	return a;
}

/* Without the array of acts an idle session takes less than half the memory;
 * message bytes make one act after the other. */
bool
smtpd_session_act(struct smtpd_session *s, struct smtpd_act *out)
{
	if (s->next_act == s->n_acts) {
		s->next_act = s->n_acts = 0;
		if (s->state != SMTPD_S_DATA) {
			free(s->acts);
			s->acts = NULL;
		}
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
