/* What a session holds, and how it is forgotten.  Floor 2. */
#include "smtpd/session-priv.h"

#include <stdlib.h>

#define SPACE (1u << SMTPD_C_SPACE)
#define TURN (1u << SMTPD_C_TURN)
#define ROUTER (1u << SMTPD_C_ROUTER)
#define PASSWORD (1u << SMTPD_C_PASSWORD)
#define FILTERS (1u << SMTPD_C_FILTERS)

#define LOGIN SMTPD_STAGE_IS_LOGIN
#define BESIDE SMTPD_STAGE_IS_BESIDE

static const struct smtpd_stage stages[] = {
#define SMTPD_STAGE(sym, name, consulted, wire, late, refused, flags)          \
	[SMTPD_STAGE_##sym] = { SMTPD_STAGE_##sym, (consulted), (wire),        \
		(late), (refused), (flags) },
#include "smtpd/stage.def"
};

struct smtpd_session *
smtpd_session_new(const struct smtpd_listener_conf *rules,
    struct smtpd_worker_conf *site, struct hb_span client, bool client_is_v6)
{
	struct smtpd_session *s = HB_NEW(struct smtpd_session);

	s->rules = rules;
	s->site = site;
	s->state = SMTPD_S_START;
	s->client_is_v6 = client_is_v6;
	if (hb_span_copy(client, s->client, sizeof(s->client)) < 0)
		s->client[0] = '\0';
	s->secret = HB_BUF_INIT(HB_MAX_AUTH_LINE);
	s->filters = smtpd_filters_new(rules->filters);
	return s;
}

static void
free_txn(struct smtpd_txn *t)
{
	hb_buf_free(&t->sender);
	hb_buf_free(&t->mail_auth);
	hb_buf_free(&t->envid);
	hb_arena_free(&t->arena);
	free(t->rcpts);
	hb_buf_free(&t->trace);
	hb_buf_free(&t->rest);
	hb_incoming_free(&t->in);
	hb_buf_free(&t->refused_text);
}

void
smtpd_session_free(struct smtpd_session **s)
{
	if (*s == NULL)
		return;
	hb_buf_free(&(*s)->out);
	free((*s)->acts);
	hb_buf_wipe(&(*s)->secret);
	hb_scram_free(&(*s)->scram);
	hb_buf_free(&(*s)->login);
	hb_arena_free(&(*s)->questions);
	(*s)->site->held -= (*s)->txn.held;
	if ((*s)->filters != NULL)
		(*s)->site->filtered -= (*s)->filters->counted;
	smtpd_filters_free(&(*s)->filters);
	free_txn(&(*s)->txn);
	free(*s);
	*s = NULL;
}

void
smtpd_session_relays(struct smtpd_session *s)
{
	s->relays = true;
}

/* --- one transaction --- */

void
smtpd_txn_count_held(struct smtpd_session *s)
{
	size_t now = hb_incoming_held(&s->txn.in);

	s->site->held += now - s->txn.held;
	s->txn.held = now;
}

/* Ready for the next message; buffers keep their memory. */
static void
clear(struct smtpd_txn *t)
{
	hb_buf_clear(&t->sender);
	hb_buf_clear(&t->mail_auth);
	hb_buf_clear(&t->envid);
	hb_arena_free(&t->arena);
	free(t->rcpts);
	t->rcpts = NULL;
	hb_buf_clear(&t->refused_text);
	hb_incoming_clear(&t->in);
	hb_buf_free(&t->rest);
	t->n_rcpts = t->room = t->n_taken = t->body = t->flags = 0;
	t->ret = HB_RET_NONE;
	t->declared = t->id = 0;
	t->discard = t->begun = t->large = t->chunk_refused = false;
	t->whole = false;
	t->failed = SMTPD_R_NONE;
	t->refused_code = 0;
	t->refused_status[0] = '\0';
	t->refused_reason = HB_REASON_NONE;
}

void
smtpd_txn_reset(struct smtpd_session *s)
{
	if (s->txn.begun)
		smtpd_add_act(s, SMTPD_ACT_ABORT);
	smtpd_filters_forget(s);
	clear(&s->txn);
	smtpd_txn_count_held(s);
	if ((s->state & (SMTPD_S_MAIL | SMTPD_S_DATA | SMTPD_S_CHUNKS)) != 0)
		s->state = SMTPD_S_READY;
}

void
smtpd_txn_add_rcpt(struct smtpd_session *s, const struct hb_rcpt *rcpt)
{
	struct smtpd_txn *t = &s->txn;
	struct hb_rcpt *r;

	if (t->n_rcpts == t->room) {
		t->room = t->room > 0 ? 2 * t->room : 4;
		t->rcpts = hb_realloc(t->rcpts, t->room * sizeof(*r));
	}
	if (t->arena == NULL)
		t->arena = hb_arena_new();
	r = &t->rcpts[t->n_rcpts];
	*r = *rcpt;
	r->idx = t->n_rcpts++;
	r->address = hb_arena_span(t->arena, rcpt->address);
	r->orcpt = hb_arena_span(t->arena, rcpt->orcpt);
}

/* --- questions --- */

struct smtpd_question *
smtpd_question(struct smtpd_session *s, enum smtpd_stage_id stage)
{
	struct smtpd_question *q;

	if (s->questions == NULL)
		s->questions = hb_arena_new();
	q = hb_arena_alloc(s->questions, sizeof(*q));
	q->stage = &stages[stage];
	q->open = q->stage->consulted;
	q->waits_for = SMTPD_C_NOBODY;
	q->verdict.action = HB_ACTION_ACCEPT;
	q->beside = s->first != NULL;
	s->site->beside += q->beside;
	s->n_questions++;
	*(s->first != NULL ? &s->last->next : &s->first) = q;
	s->last = q;
	return q;
}

unsigned
smtpd_unanswered(const struct smtpd_session *s)
{
	unsigned n = 0;

	for (const struct smtpd_question *q = s->first; q != NULL; q = q->next)
		n++;
	return n;
}

static void
drop_questions(struct smtpd_session *s)
{
	for (; s->first != NULL; s->first = s->first->next) {
		s->site->beside -= s->first->beside;
		if (s->first->open == 0)
			continue;
		/* a login is not tried for nothing by going away before the
		 * answer */
		s->first->verdict.action = smtpd_is_login(s->first)
		    ? HB_ACTION_REJECT
		    : HB_ACTION_TEMPFAIL;
		smtpd_try_end(s, s->first);
	}
	s->last = NULL;
}

/* --- ends --- */

void
smtpd_auth_end(struct smtpd_session *s)
{
	hb_buf_wipe(&s->secret);
	hb_scram_free(&s->scram);
	s->auth_user = s->auth_password = HB_SPAN_NONE;
	s->auth_step = SMTPD_A_NONE;
}

void
smtpd_close(struct smtpd_session *s)
{
	if (s->state == SMTPD_S_OVER)
		return;
	drop_questions(s);
	smtpd_filters_quit(s);
	smtpd_txn_reset(s);
	smtpd_auth_end(s);
	s->state = SMTPD_S_OVER;
	s->wait = SMTPD_W_NOTHING;
	smtpd_add_act(s, SMTPD_ACT_CLOSE);
}

bool
smtpd_session_rcpt(const struct smtpd_session *s, uint32_t idx,
    struct hb_rcpt *out)
{
	if (idx >= s->txn.n_rcpts)
		return false;
	*out = s->txn.rcpts[idx];
	return true;
}

bool
smtpd_session_in_data(const struct smtpd_session *s)
{
	return s->state == SMTPD_S_DATA;
}

bool
smtpd_session_is_over(const struct smtpd_session *s)
{
	return s->state == SMTPD_S_OVER;
}

static const char *
state_word(const struct smtpd_session *s)
{
	static const char *const waits[] = {
		[SMTPD_W_TLS] = "handshake",
		[SMTPD_W_LARGE] = "data",
		[SMTPD_W_RESULT] = "commit",
		[SMTPD_W_ETRN] = "etrn",
		[SMTPD_W_FILE] = "data",
		[SMTPD_W_FILTERS] = "filters",
		[SMTPD_W_COPY] = "commit",
	};

	if (s->wait != SMTPD_W_NOTHING)
		return waits[s->wait];
	switch (s->state) {
	case SMTPD_S_START:
		return "start";
	case SMTPD_S_REFUSED:
		return "refused";
	case SMTPD_S_HELLO:
		return "hello";
	case SMTPD_S_READY:
		return "ready";
	case SMTPD_S_MAIL:
		return "envelope";
	case SMTPD_S_DATA:
	case SMTPD_S_CHUNKS:
		return "data";
	case SMTPD_S_OVER:
		break;
	}
	return "closing";
}

struct smtpd_session_view
smtpd_session_view(const struct smtpd_session *s)
{
	return (struct smtpd_session_view){
		.state = state_word(s),
		.client = s->client,
		.helo = s->helo,
		.user = s->user,
		.tls = s->tls ? s->tls_word : "",
		.messages = s->messages,
		.bytes = s->bytes,
	};
}
