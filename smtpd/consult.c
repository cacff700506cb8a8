/*
 * Questions: whom to consult before a client gets its reply, and how their
 * answers become one verdict.  Floor 2.
 *
 * A question is in progress, or answered and waits for those before it: replies
 * leave in the order of the commands (RFC 2920 s3.1).  Only recipients are
 * asked about together, all other questions one at a time.
 */
#include "smtpd/session-priv.h"

#define FILTERS (1u << SMTPD_C_FILTERS)

enum { ASK_MS = 30000 }; /* bound of an answer from router */

/* What a consultant says when it is asked. */
enum saying {
	YES,
	NO,	 /* the question has its verdict */
	LATER,	 /* an event brings what it says */
	NOT_NOW	 /* ask again when the questions before are answered */
};

static void (*const answers[])(struct smtpd_session *s,
    struct smtpd_question *q) = {
#define SMTPD_STAGE(sym, name, ...)                                            \
	[SMTPD_STAGE_##sym] = smtpd_answer_##name,
#include "smtpd/stage.def"
};

/* --- consultants --- */

/* A span of V outlives the frame that it came in. */
static void
keep(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	q->verdict = *v;
	q->verdict.status = hb_arena_span(s->questions, v->status);
	q->verdict.text = hb_arena_span(s->questions, v->text);
}

/* RFC 1870 s6; how much comes is known when it was declared. */
static enum saying
ask_space(struct smtpd_session *s, struct smtpd_question *q)
{
	uint64_t size = s->txn.declared;

	if (size > s->rules->max_size)
		q->verdict = smtpd_verdict(SMTPD_R_TOO_BIG);
	else if (s->site->space == 0 || size > s->site->space)
		q->verdict = smtpd_verdict(SMTPD_R_NO_SPACE);
	else
		return YES;
	return NO;
}

static enum saying
ask_turn(struct smtpd_session *s, struct smtpd_question *q)
{
	if (!smtpd_is_login(q) && smtpd_is_known(s))
		return YES;
	return smtpd_try(s, q) ? LATER : NOT_NOW;
}

static enum saying
ask_router(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_check *c = &smtpd_add_act(s, SMTPD_ACT_CHECK)->check;

	c->ref = q->number = ++s->site->refs;
	c->stage = q->stage->wire;
	c->client = hb_span_str(s->client);
	c->helo = hb_span_str(s->helo);
	c->user = hb_span_str(s->user);
	c->sender = hb_buf_span(&s->txn.sender);
	c->rcpt = q->rcpt.address;
	c->routed = q->routed;
	c->listen = s->rules->listen;
	c->tls = s->tls;
	c->cert = hb_span_str(s->tls_print);
	smtpd_set_timer(s, ASK_MS);
	return LATER;
}

static enum saying
ask_password(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_auth *a;

	if (!s->auth_usable) {
		q->verdict = smtpd_verdict(SMTPD_R_AUTH_REFUSED);
		return NO;
	}
	a = &smtpd_add_act(s, SMTPD_ACT_AUTH)->auth;
	smtpd_auth_question(s, a);
	a->ref = q->number = ++s->site->refs;
	smtpd_set_timer(s, ASK_MS);
	return LATER;
}

/* What filters do not like decides, but for a recipient that others had refused
 * already. */
static enum saying
filters_say(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_verdict v = smtpd_round_verdict(s);

	if (v.action == HB_ACTION_DISCARD) {
		s->txn.discard = true;
		v.action = HB_ACTION_ACCEPT;
	}
	if (q->verdict.action == HB_ACTION_ACCEPT)
		keep(s, q, &v);
	return q->verdict.action == HB_ACTION_ACCEPT ? YES : NO;
}

static enum saying
ask_filters(struct smtpd_session *s, struct smtpd_question *q)
{
	static const enum hb_milter_step steps[] = {
		[SMTPD_STAGE_CONNECT] = HB_MILTER_CONNECT,
		[SMTPD_STAGE_HELO] = HB_MILTER_HELO,
		[SMTPD_STAGE_MAIL] = HB_MILTER_MAIL,
		[SMTPD_STAGE_RCPT] = HB_MILTER_RCPT,
		[SMTPD_STAGE_DATA] = HB_MILTER_DATA,
		[SMTPD_STAGE_UNKNOWN] = HB_MILTER_UNKNOWN,
	};
	enum hb_milter_step step = steps[q->stage->id];

	if (s->filters == NULL || s->txn.discard)
		return YES;
	if (q != s->first) /* they hear of one at a time, in order */
		return NOT_NOW;
	return smtpd_round(s, step, step, q) ? filters_say(s, q) : LATER;
}

/* The time of a turn has come. */
static struct ipc_verdict
end_turn(const struct smtpd_question *q)
{
	static const struct ipc_verdict go_on = { .action = HB_ACTION_ACCEPT };

	return q->try_state == SMTPD_T_LATE ? smtpd_verdict(q->stage->late)
					    : go_on;
}

static struct ipc_verdict
no_answer(const struct smtpd_question *q)
{
	return (struct ipc_verdict){ .action = HB_ACTION_TEMPFAIL,
		.reason = HB_REASON_LOOKUP_TEMP };
}

static const struct {
	enum saying (*ask)(struct smtpd_session *s, struct smtpd_question *q);
	/* What it says when the timer ends; NULL: it never says LATER, or has
	 * a time of its own. */
	struct ipc_verdict (*at_end)(const struct smtpd_question *q);
	bool is_router; /* lost questions are put again to a new router */
} consultants[] = {
	[SMTPD_C_SPACE] = { ask_space, NULL, false },
	[SMTPD_C_TURN] = { ask_turn, end_turn, false },
	[SMTPD_C_ROUTER] = { ask_router, no_answer, true },
	[SMTPD_C_PASSWORD] = { ask_password, no_answer, true },
	[SMTPD_C_FILTERS] = { ask_filters, NULL, false },
};

/* --- questions --- */

static bool
is_answered(const struct smtpd_question *q)
{
	return q->open == 0;
}

/* Q has its verdict. */
static void
end(struct smtpd_session *s, struct smtpd_question *q)
{
	q->open = 0;
	smtpd_try_end(s, q);
}

/* Asks those that Q is still open for, until one has to be waited for.
 * False: none could be asked. */
static bool
consult(struct smtpd_session *s, struct smtpd_question *q)
{
	for (unsigned i = 0; i < HB_ARRAY_LEN(consultants); i++) {
		enum saying said;

		if ((q->open >> i & 1) == 0)
			continue;
		said = consultants[i].ask(s, q);
		if (said == NOT_NOW)
			return false;
		if (said == LATER) {
			q->waits_for = (enum smtpd_consultant)i;
			return true;
		}
		if (said == NO)
			break;
		q->open &= ~(1u << i);
	}
	end(s, q);
	return true;
}

static bool
ask_next(struct smtpd_session *s)
{
	for (struct smtpd_question *q = s->first; q != NULL; q = q->next)
		if (!is_answered(q) && q->waits_for == SMTPD_C_NOBODY)
			return s->n_acts + SMTPD_ACTS_PER_STEP <=
				SMTPD_ACTS_MAX &&
			    consult(s, q);
	return false;
}

void
smtpd_settle(struct smtpd_session *s)
{
	struct smtpd_question *q;

	while ((q = s->first) != NULL) {
		if (!is_answered(q)) {
			if (ask_next(s))
				continue;
			return;
		}
		answers[q->stage->id](s, q);
		if (s->first == NULL) /* that ended the session */
			return;
		s->first = q->next;
		s->site->beside -= q->beside;
		if (s->first != NULL)
			smtpd_set_timer(s, ASK_MS);
	}
	s->last = NULL;
	s->put_off = false;
	s->n_questions = 0;
	hb_arena_free(&s->questions);
}

bool
smtpd_is_asking(const struct smtpd_session *s)
{
	return s->first != NULL && !is_answered(s->last) &&
	    (s->last->waits_for == SMTPD_C_NOBODY ||
		s->last->waits_for == SMTPD_C_TURN);
}

bool
smtpd_may_ask_beside(const struct smtpd_session *s)
{
	return s->n_questions < HB_MAX_ASKED &&
	    s->site->beside < HB_MAX_ASKED_BESIDE &&
	    (s->last->stage->flags & SMTPD_STAGE_IS_BESIDE) != 0;
}

/* --- what they say --- */

/* Do filters want to see the recipient of Q though V refuses it? */
static bool
shows_refusal(const struct smtpd_session *s, const struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	return q->stage->id == SMTPD_STAGE_RCPT && (q->open & FILTERS) != 0 &&
	    (v->action == HB_ACTION_REJECT ||
		v->action == HB_ACTION_TEMPFAIL) &&
	    smtpd_filters_want_refused(s);
}

/* V is the answer that Q waits for; then the session is to settle. */
static void
take(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	q->open &= ~(1u << q->waits_for);
	q->waits_for = SMTPD_C_NOBODY;
	if (shows_refusal(s, q, v)) {
		keep(s, q, v);
		q->open = FILTERS;
		return;
	}
	if (v->action != HB_ACTION_ACCEPT || is_answered(q)) {
		keep(s, q, v);
		end(s, q);
	}
}

static void
say(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	take(s, q, v);
	smtpd_settle(s);
}

static void
say_at_end(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_verdict v = consultants[q->waits_for].at_end(q);

	take(s, q, &v);
}

void
smtpd_session_turn(struct smtpd_session *s, int64_t ms)
{
	struct smtpd_question *q = s->last; /* behind it nothing is asked */

	if (q == NULL || q->waits_for != SMTPD_C_TURN)
		return;
	if (ms == SMTPD_TURN_ALONE) {
		q->try_state = SMTPD_T_ALONE;
		q->waits_for = SMTPD_C_NOBODY;
		smtpd_settle(s);
		return;
	}
	ms = smtpd_try_wait(s, q, ms);
	if (ms > 0) {
		smtpd_set_timer(s, ms);
		return;
	}
	say_at_end(s, q);
	smtpd_settle(s);
}

/* The question that WHO is consulted about, NUMBER of it; NULL: none is. */
static struct smtpd_question *
find(struct smtpd_session *s, enum smtpd_consultant who, uint64_t number)
{
	struct smtpd_question *q = s->first;

	while (q != NULL && (is_answered(q) || q->waits_for != who ||
	    q->number != number))
		q = q->next;
	return q;
}

void
smtpd_session_verdict(struct smtpd_session *s, const struct ipc_verdict *v)
{
	struct smtpd_question *q = find(s, SMTPD_C_ROUTER, v->ref);

	if (q != NULL)
		say(s, q, v);
}

void
smtpd_filters_said(struct smtpd_session *s)
{
	struct smtpd_question *q = s->first;

	if (q == NULL || q->waits_for != SMTPD_C_FILTERS)
		return;
	q->waits_for = SMTPD_C_NOBODY;
	q->open = 0; /* they come last */
	(void)filters_say(s, q);
	end(s, q);
	smtpd_settle(s);
}

void
smtpd_session_auth(struct smtpd_session *s, const struct ipc_auth_result *r)
{
	static const enum hb_action actions[] = {
		[HB_AUTH_TEMP] = HB_ACTION_TEMPFAIL,
		[HB_AUTH_OK] = HB_ACTION_ACCEPT,
		[HB_AUTH_REFUSED] = HB_ACTION_REJECT,
	};
	struct smtpd_question *q = find(s, SMTPD_C_PASSWORD, r->ref);
	struct ipc_verdict v = { .action = (uint32_t)actions[r->result] };

	if (q == NULL)
		return;
	smtpd_auth_answer(s, r);
	if (r->user.n > 0)
		q->login = hb_arena_span(s->questions, r->user);
	say(s, q, &v);
}

void
smtpd_session_router_up(struct smtpd_session *s)
{
	for (struct smtpd_question *q = s->first; q != NULL; q = q->next)
		if (q->waits_for != SMTPD_C_NOBODY &&
		    consultants[q->waits_for].is_router)
			q->waits_for = SMTPD_C_NOBODY;
	smtpd_settle(s);
}

void
smtpd_questions_timeout(struct smtpd_session *s)
{
	for (struct smtpd_question *q = s->first; q != NULL; q = q->next)
		if (q->waits_for != SMTPD_C_NOBODY &&
		    consultants[q->waits_for].at_end != NULL)
			say_at_end(s, q);
	smtpd_settle(s);
}
