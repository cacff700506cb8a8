/*
 * Questions: whom to consult before a client gets its reply, and how their
 * answers become one verdict.  Floor 2.
 *
 * A question is in progress, or answered and waits for those before it: replies
 * leave in the order of the commands (RFC 2920 s3.1).  Only recipients are
 * asked about together, all other questions one at a time.
 */
#include "smtpd/session-priv.h"

enum { ASK_MS = 30000 }; /* bound of an answer from router */

/* What a consultant says when it is asked. */
enum saying {
	YES,
	NO,	 /* the question has its verdict */
	LATER,	 /* an event brings what it says */
	NOT_NOW	 /* ask again when the questions before are answered */
};

#define SPACE (1u << SMTPD_C_SPACE)
#define TURN (1u << SMTPD_C_TURN)
#define ROUTER (1u << SMTPD_C_ROUTER)
#define PASSWORD (1u << SMTPD_C_PASSWORD)

static const struct {
	unsigned consulted;
	void (*answer)(struct smtpd_session *s, struct smtpd_question *q);
} stages[] = {
#define SMTPD_STAGE(sym, name, consulted)                                      \
	[SMTPD_STAGE_##sym] = { (consulted), smtpd_answer_##name },
#include "smtpd/stage.def"
};

/* --- consultants --- */

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
	if (q->stage == SMTPD_STAGE_RCPT && smtpd_is_known(s))
		return YES;
	return smtpd_try(s, q) ? LATER : NOT_NOW;
}

static enum saying
ask_router(struct smtpd_session *s, struct smtpd_question *q)
{
	struct ipc_check *c = &smtpd_add_act(s, SMTPD_ACT_CHECK)->check;

	c->ref = q->number = ++s->site->refs;
	c->stage = q->stage == SMTPD_STAGE_RCPT ? HB_STAGE_RCPT
						: HB_STAGE_MAIL;
	c->client = hb_span_str(s->client);
	c->helo = hb_span_str(s->helo);
	c->user = hb_span_str(s->user);
	c->sender = hb_buf_span(&s->txn.sender);
	c->rcpt = q->rcpt.address;
	c->routed = q->routed;
	c->listen = s->rules->listen;
	c->tls = s->tls;
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
	a->ref = q->number = ++s->site->refs;
	a->user = s->auth_user;
	a->password = s->auth_password;
	a->client = hb_span_str(s->client);
	smtpd_set_timer(s, ASK_MS);
	return LATER;
}

static enum saying (*const consultants[])(struct smtpd_session *s,
    struct smtpd_question *q) = {
	[SMTPD_C_SPACE] = ask_space,
	[SMTPD_C_TURN] = ask_turn,
	[SMTPD_C_ROUTER] = ask_router,
	[SMTPD_C_PASSWORD] = ask_password,
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
		said = consultants[i](s, q);
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
		stages[q->stage].answer(s, q);
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

struct smtpd_question *
smtpd_question(struct smtpd_session *s, enum smtpd_stage stage)
{
	struct smtpd_question *q;

	if (s->questions == NULL)
		s->questions = hb_arena_new();
	q = hb_arena_alloc(s->questions, sizeof(*q));
	q->stage = stage;
	q->open = stages[stage].consulted;
	q->waits_for = SMTPD_C_NOBODY;
	q->verdict.action = HB_ACTION_ACCEPT;
	q->beside = s->first != NULL;
	s->site->beside += q->beside;
	s->n_questions++;
	*(s->first != NULL ? &s->last->next : &s->first) = q;
	s->last = q;
	return q;
}

bool
smtpd_is_asking(const struct smtpd_session *s)
{
	return s->first != NULL && !is_answered(s->last) &&
	    (s->last->waits_for == SMTPD_C_NOBODY ||
		s->last->waits_for == SMTPD_C_TURN);
}

unsigned
smtpd_unanswered(const struct smtpd_session *s)
{
	unsigned n = 0;

	for (const struct smtpd_question *q = s->first; q != NULL; q = q->next)
		n++;
	return n;
}

bool
smtpd_may_ask_beside(const struct smtpd_session *s)
{
	return s->n_questions < HB_MAX_ASKED &&
	    s->site->beside < HB_MAX_ASKED_BESIDE &&
	    s->last->stage == SMTPD_STAGE_RCPT;
}

void
smtpd_questions_drop(struct smtpd_session *s)
{
	for (; s->first != NULL; s->first = s->first->next) {
		s->site->beside -= s->first->beside;
		if (is_answered(s->first))
			continue;
		/* a login is not tried for nothing by going away before the
		 * answer */
		s->first->verdict.action = s->first->stage == SMTPD_STAGE_LOGIN
		    ? HB_ACTION_REJECT
		    : HB_ACTION_TEMPFAIL;
		smtpd_try_end(s, s->first);
	}
	s->last = NULL;
}

/* --- what they say --- */

/* A span of V outlives the frame that it came in. */
static void
keep(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	q->verdict = *v;
	q->verdict.status = hb_arena_span(s->questions, v->status);
	q->verdict.text = hb_arena_span(s->questions, v->text);
}

void
smtpd_say(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v)
{
	q->open &= ~(1u << q->waits_for);
	q->waits_for = SMTPD_C_NOBODY;
	if (v->action != HB_ACTION_ACCEPT || is_answered(q)) {
		keep(s, q, v);
		end(s, q);
	}
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
		smtpd_say(s, q, v);
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
	if (r->user.n > 0)
		q->login = hb_arena_span(s->questions, r->user);
	smtpd_say(s, q, &v);
}

/* All that wait for router: ANSWER comes, or they are asked again. */
static void
each_of_router(struct smtpd_session *s, const struct ipc_verdict *v)
{
	for (struct smtpd_question *q = s->first; q != NULL; q = q->next) {
		if (is_answered(q) || (q->waits_for != SMTPD_C_ROUTER &&
			q->waits_for != SMTPD_C_PASSWORD))
			continue;
		q->waits_for = SMTPD_C_NOBODY;
		if (v == NULL)
			continue;
		q->verdict = *v;
		end(s, q);
	}
	smtpd_settle(s);
}

void
smtpd_session_router_up(struct smtpd_session *s)
{
	each_of_router(s, NULL);
}

void
smtpd_questions_timeout(struct smtpd_session *s)
{
	static const struct ipc_verdict late = {
		.action = HB_ACTION_TEMPFAIL,
		.reason = HB_REASON_LOOKUP_TEMP,
	};

	if (s->first->waits_for == SMTPD_C_TURN)
		smtpd_try_over(s, s->first);
	else
		each_of_router(s, &late);
}
