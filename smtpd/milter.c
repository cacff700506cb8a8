/* The conversation with one filter.  Floor 2. */
#include "smtpd/milter.h"

#include <stdlib.h>

/* A whole message takes a scanner longer than a command. */
enum { MESSAGE_TIMES = 10 };

static void
set_timer(struct smtpd_milter *m, int64_t ms)
{
	m->timer_set = true;
	m->timer_ms = ms;
}

static struct hb_milter_terms
our_terms(void)
{
	return (struct hb_milter_terms){ .version = HB_MILTER_VERSION,
		.may = HB_MILTER_MAY_ALL, .steps = hb_milter_all_steps() };
}

static void
forget_changes(struct smtpd_milter *m)
{
	hb_buf_free(&m->changes);
	m->n_changes = m->n_progress = 0;
}

void
smtpd_milter_free(struct smtpd_milter *m)
{
	hb_arena_free(&m->arena);
	hb_buf_free(&m->changes);
	hb_buf_free(&m->out);
	free(m->failure);
}

void
smtpd_milter_open(struct smtpd_milter *m)
{
	m->state = SMTPD_MILTER_OPENING;
	m->opens = true;
	set_timer(m, m->conf->timeout_ms);
}

void
smtpd_milter_connected(struct smtpd_milter *m)
{
	struct hb_milter_terms offer = our_terms();

	hb_milter_put_offer(&offer, &m->out);
	m->state = SMTPD_MILTER_AGREEING;
	set_timer(m, m->conf->timeout_ms);
}

bool
smtpd_milter_wants(const struct smtpd_milter *m, enum hb_milter_step step)
{
	struct hb_milter_step_info info = hb_milter_step_info(step);

	return m->terms.version >= info.since &&
	    (m->terms.steps & info.unwanted) == 0;
}

bool
smtpd_milter_asked(struct smtpd_milter *m, enum hb_milter_step step)
{
	struct hb_milter_step_info info = hb_milter_step_info(step);
	int64_t ms = m->conf->timeout_ms;

	if ((m->terms.steps & info.silent) != 0)
		return false;
	m->state = SMTPD_MILTER_ASKED;
	set_timer(m, step == HB_MILTER_END ? MESSAGE_TIMES * ms : ms);
	return true;
}

/* Lists of symbols outlive the packet. */
static void
keep_symbols(struct smtpd_milter *m)
{
	for (size_t i = 0; i < HB_MILTER_MOMENTS; i++) {
		struct hb_span *names = &m->terms.symbols[i];

		if (names->p == NULL)
			continue;
		if (m->arena == NULL)
			m->arena = hb_arena_new();
		*names = hb_span(hb_arena_cstr(m->arena, *names), names->n);
	}
}

static enum smtpd_milter_event
agree(struct smtpd_milter *m, const struct hb_milter_packet *p,
    const char **why)
{
	struct hb_milter_terms offer = our_terms();

	if (hb_milter_terms(p, &offer, &m->terms) < 0) {
		*why = "its terms cannot be met";
		return SMTPD_MILTER_BROKEN;
	}
	keep_symbols(m);
	m->state = SMTPD_MILTER_READY;
	set_timer(m, 0);
	return SMTPD_MILTER_AGREED;
}

/* A change, which counts when the filter's answer is there. */
static bool
keep_change(struct smtpd_milter *m, struct hb_span packet, const char **why)
{
	if (++m->n_changes > HB_MAX_MILTER_CHANGE_COUNT ||
	    m->changes.n + packet.n > HB_MAX_MILTER_CHANGES) {
		*why = "too many changes";
		return false;
	}
	hb_buf_add(&m->changes, packet);
	return true;
}

static bool
is_change(const struct hb_milter_says *says)
{
	return says->what >= HB_MILTER_SAYS_ADD_FIELD;
}

/* Fits what it says to what it was asked? */
static bool
fits(const struct smtpd_milter *m, enum hb_milter_step step,
    const struct hb_milter_says *says)
{
	if (is_change(says))
		return step == HB_MILTER_END &&
		    (m->terms.may & says->allowed) != 0;
	if (says->what == HB_MILTER_SAYS_SKIP)
		return step == HB_MILTER_BODY &&
		    (m->terms.steps & HB_MILTER_CAN_SKIP) != 0;
	if (says->what == HB_MILTER_SAYS_DISCARD)
		return step >= HB_MILTER_MAIL;
	return true;
}

static enum smtpd_milter_event
hear(struct smtpd_milter *m, enum hb_milter_step step, struct hb_span packet,
    const struct hb_milter_packet *p, struct hb_milter_says *says,
    const char **why)
{
	*why = "an answer that breaks the protocol";
	if (hb_milter_says(p, says) < 0 || !fits(m, step, says))
		return SMTPD_MILTER_BROKEN;
	if (says->what == HB_MILTER_SAYS_PROGRESS) {
		if (++m->n_progress > HB_MAX_MILTER_PROGRESS)
			return SMTPD_MILTER_BROKEN;
		(void)smtpd_milter_asked(m, step);
		return SMTPD_MILTER_BUSY;
	}
	if (!is_change(says)) {
		m->state = SMTPD_MILTER_READY;
		set_timer(m, 0);
	} else if (says->what != HB_MILTER_SAYS_REPLACE_BODY &&
	    !keep_change(m, packet, why)) {
		return SMTPD_MILTER_BROKEN;
	}
	return SMTPD_MILTER_SAYS;
}

enum smtpd_milter_event
smtpd_milter_input(struct smtpd_milter *m, enum hb_milter_step step,
    struct hb_span in, size_t *used, struct hb_milter_says *says,
    const char **why)
{
	struct hb_milter_packet p;
	int r = hb_milter_packet(in, &p);

	*used = 0;
	*why = "a malformed packet";
	if (r < 0)
		return SMTPD_MILTER_BROKEN;
	if (r == 0)
		return SMTPD_MILTER_MORE;
	*used = (size_t)r;
	if (m->state == SMTPD_MILTER_AGREEING)
		return agree(m, &p, why);
	*why = "an answer without a question";
	if (m->state != SMTPD_MILTER_ASKED)
		return SMTPD_MILTER_BROKEN;
	return hear(m, step, hb_span_head(in, *used), &p, says, why);
}

void
smtpd_milter_forget(struct smtpd_milter *m)
{
	if (m->knows && m->state == SMTPD_MILTER_READY)
		hb_milter_put(&m->out, 'A');
	m->knows = m->passes = m->skips = m->asked_data = m->holds = false;
	forget_changes(m);
}

static void
close_it(struct smtpd_milter *m)
{
	m->closes = m->closes || (m->state != SMTPD_MILTER_NEW &&
	    m->state != SMTPD_MILTER_GONE);
	m->state = SMTPD_MILTER_GONE;
	m->opens = false;
	set_timer(m, 0);
	forget_changes(m);
}

void
smtpd_milter_quit(struct smtpd_milter *m)
{
	if (m->state == SMTPD_MILTER_READY || m->state == SMTPD_MILTER_ASKED)
		hb_milter_put(&m->out, 'Q');
	close_it(m);
}

void
smtpd_milter_drop(struct smtpd_milter *m)
{
	hb_buf_clear(&m->out);
	close_it(m);
}
