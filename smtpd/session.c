/* The session machine.  Floor 2.  See session.h. */
#include "smtpd/session.h"

#include "common/base/err.h"
#include "common/proto/esmtp.h"
#include "smtpd/session-priv.h"

#define ANY SMTPD_S_ANY
#define READY SMTPD_S_READY
#define MAIL SMTPD_S_MAIL
#define REFUSED SMTPD_S_REFUSED
#define CHUNKS SMTPD_S_CHUNKS
#define CLEAR 1u
#define SMTP 2u
#define LMTP 4u
#define LAST 8u
#define ALONE 16u
#define BESIDE 32u
#define OCTETS 64u
#define IDLE 128u

static const struct verb {
	const char *name;
	void (*handler)(struct smtpd_session *s, struct hb_span args);
	unsigned states, flags;
} verbs[] = {
#define SMTPD_VERB(name, handler, states, flags)                               \
	{ (name), smtpd_cmd_##handler, (states), (flags) },
#include "smtpd/verb.def"
};

/* --- beginning and TLS --- */

void
smtpd_session_start(struct smtpd_session *s, enum smtpd_greeting how)
{
	switch (how) {
	case SMTPD_GREET_OK:
		if (!s->rules->implicit_tls) {
			smtpd_greet(s);
			smtpd_settle(s);
			return;
		}
		s->wait = SMTPD_W_TLS;
		smtpd_add_act(s, SMTPD_ACT_STARTTLS);
		smtpd_set_timer(s, s->rules->command_ms);
		return;
	case SMTPD_GREET_EARLY:
		/* RFC 5321 s3.1: the session stays until QUIT */
		smtpd_reply(s, SMTPD_R_GREET_EARLY);
		s->state = SMTPD_S_REFUSED;
		return;
	case SMTPD_GREET_BUSY:
		smtpd_reply(s, SMTPD_R_GREET_BUSY);
		return;
	case SMTPD_GREET_TOO_MANY:
		smtpd_reply(s, SMTPD_R_GREET_TOO_MANY);
		return;
	case SMTPD_GREET_TOO_FAST:
		smtpd_reply(s, SMTPD_R_GREET_TOO_FAST);
		return;
	case SMTPD_GREET_ERRORS:
		smtpd_reply(s, SMTPD_R_GREET_ERRORS);
		return;
	case SMTPD_GREET_STUCK:
		smtpd_reply(s, SMTPD_R_GREET_STUCK);
		return;
	case SMTPD_GREET_NO_HEADER:
		smtpd_reply(s, SMTPD_R_GREET_NO_HEADER);
		return;
	}
}

/* The state from EHLO, AUTH and the transaction. */
static void
forget(struct smtpd_session *s)
{
	smtpd_txn_reset(s);
	smtpd_auth_end(s);
	s->helo[0] = s->user[0] = '\0';
	s->esmtp = false;
	s->state = SMTPD_S_HELLO;
}

void
smtpd_session_tls(struct smtpd_session *s, const struct hb_tls_facts *facts)
{
	bool first = s->state == SMTPD_S_START;

	if (s->wait != SMTPD_W_TLS)
		return;
	s->wait = SMTPD_W_NOTHING;
	HB_LOG(facts->state == HB_TLSF_DONE ? HB_LOG_DEBUG : HB_LOG_INFO,
	    HB_EV_TLS, hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_id(HB_K_SESSION, s->id),
	    hb_kv_int(HB_K_VERSION, facts->version),
	    hb_kv_if(facts->cipher[0] != '\0',
		hb_kv_str(HB_K_CIPHER, facts->cipher)),
	    hb_kv_if(facts->error[0] != '\0',
		hb_kv_str(HB_K_ERROR, facts->error)));
	if (facts->state != HB_TLSF_DONE) {
		smtpd_close(s);
		return;
	}
	forget(s); /* RFC 3207 s4.2 */
	s->tls = true;
	hb_tls_facts_word(facts, s->tls_word);
	memcpy(s->tls_cipher, facts->cipher, sizeof(s->tls_cipher));
	s->tls_cipher[sizeof(s->tls_cipher) - 1] = '\0';
	s->tls_bits = facts->bits;
	memcpy(s->tls_kex, facts->kex, sizeof(s->tls_kex));
	memcpy(s->tls_print, facts->print, sizeof(s->tls_print));
	s->has_binding = facts->has_binding;
	memcpy(s->binding, facts->binding, sizeof(s->binding));
	if (s->filters != NULL)
		smtpd_filters_tls(s, facts);
	if (first) {
		s->state = SMTPD_S_START;
		smtpd_greet(s);
		smtpd_settle(s);
	} else {
		smtpd_set_timer(s, s->rules->command_ms);
	}
}

/* --- commands --- */

/* Does it belong to a transaction?  A pipelined client could not know that MAIL
 * was refused. */
static bool
needs_mail(const struct verb *v)
{
	return (v->states & (READY | MAIL)) == MAIL;
}

static enum smtpd_reply_id
out_of_sequence(const struct smtpd_session *s, const struct verb *v)
{
	if (s->state == SMTPD_S_HELLO)
		return SMTPD_R_HELLO_FIRST;
	if (s->state == SMTPD_S_READY && needs_mail(v))
		return SMTPD_R_MAIL_FIRST;
	if ((s->state & (MAIL | CHUNKS)) != 0 && v->states == READY)
		return SMTPD_R_IN_TRANSACTION;
	return SMTPD_R_SEQUENCE;
}

static bool
is_refused(const struct smtpd_session *s, const struct verb *v,
    enum smtpd_reply_id *why)
{
	bool lmtp = s->rules->kind == HB_LISTEN_LMTP;

	if ((v->flags & (lmtp ? SMTP : LMTP)) != 0)
		*why = SMTPD_R_UNKNOWN;
	else if ((v->flags & CLEAR) == 0 && !s->tls &&
	    s->rules->tls == HB_DEMAND_REQUIRE)
		*why = SMTPD_R_NEED_TLS;
	else if ((v->states & s->state) == 0)
		*why = out_of_sequence(s, v);
	else
		return false;
	return true;
}

static void
run_verb(struct smtpd_session *s, const struct verb *v, struct hb_span args)
{
	enum smtpd_reply_id why;

	if ((v->flags & ALONE) != 0 && s->behind) {
		smtpd_reply(s, SMTPD_R_BEHIND);
		return;
	}
	if (!is_refused(s, v, &why))
		v->handler(s, args);
	else if ((v->flags & OCTETS) != 0)
		smtpd_chunk_start(s, args, why);
	else if (needs_mail(v))
		smtpd_reply(s, why);
	else
		smtpd_reply_bad(s, why);
	if ((v->flags & IDLE) != 0)
		smtpd_count_idle(s);
	if ((v->flags & LAST) != 0 && s->behind && s->first == NULL &&
	    s->state != SMTPD_S_DATA && s->state != SMTPD_S_OVER)
		smtpd_reply(s, SMTPD_R_BEHIND);
}

static const struct verb *
find_verb(struct hb_span name)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(verbs); i++)
		if (hb_span_eq_nocase(name, hb_span_str(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

static void
run_line(struct smtpd_session *s, struct hb_span line)
{
	struct hb_span name, args;
	const struct verb *v;
	int r;

	if (s->auth_step != SMTPD_A_NONE) {
		smtpd_auth_line(s, line);
		return;
	}
	r = hb_command_split(line, &name, &args);
	v = r == 0 ? find_verb(name) : NULL;
	if (s->first != NULL && (v == NULL || (v->flags & BESIDE) == 0 ||
		!smtpd_may_ask_beside(s)))
		s->put_off = true;
	else if (v != NULL)
		run_verb(s, v, args);
	else if (r == 0)
		smtpd_unknown(s, line);
	else
		smtpd_reply_bad(s, SMTPD_R_SYNTAX);
}

/* The line was refused: what is left of it, up to CRLF, is dropped. */
static size_t
skip_line(struct smtpd_session *s, struct hb_span in)
{
	size_t from = 0, lf;

	while ((lf = from + hb_span_find(hb_span_from(in, from), '\n')) <
	    in.n) {
		if (lf > 0 && in.p[lf - 1] == '\r') {
			s->skip_line = false;
			return lf + 1;
		}
		from = lf + 1;
	}
	/* a CR at the end may belong to the CRLF */
	return in.n > 0 && in.p[in.n - 1] == '\r' ? in.n - 1 : in.n;
}

/* SKIP: the rest of the line, too.  False: what is asked is answered first. */
static bool
refuse_line(struct smtpd_session *s, enum smtpd_reply_id why, bool skip)
{
	if (s->first != NULL) {
		s->put_off = true;
		return false;
	}
	smtpd_auth_end(s);
	smtpd_reply_bad(s, why);
	s->skip_line = skip;
	return true;
}

/* One command line at the front of IN; 0: it has no end yet, or waits. */
static size_t
line_input(struct smtpd_session *s, struct hb_span in)
{
	bool auth = s->auth_step != SMTPD_A_NONE;
	size_t max = auth ? HB_MAX_AUTH_LINE : HB_MAX_COMMAND_LINE;
	size_t lf = hb_span_find(hb_span_head(in, max), '\n');

	if (s->skip_line)
		return skip_line(s, in);
	if (lf >= max)
		return refuse_line(s, auth ? SMTPD_R_AUTH_LONG
		    : SMTPD_R_LINE_LONG, true) ? skip_line(s, in) : 0;
	if (lf >= in.n)
		return 0;
	if (hb_span_find(hb_span_head(in, lf), '\r') + 1 != lf)
		return refuse_line(s, SMTPD_R_BARE, lf == 0 ||
		    in.p[lf - 1] != '\r') ? lf + 1 : 0;
	s->behind = in.n > lf + 1;
	run_line(s, hb_span_head(in, lf - 1));
	return s->put_off ? 0 : lf + 1;
}

static bool
is_blocked(const struct smtpd_session *s)
{
	return s->wait != SMTPD_W_NOTHING || s->put_off ||
	    smtpd_is_asking(s) || s->state == SMTPD_S_OVER ||
	    s->state == SMTPD_S_START || s->out.n >= SMTPD_OUT_STEP ||
	    s->n_acts + SMTPD_ACTS_PER_STEP > SMTPD_ACTS_MAX;
}

size_t
smtpd_session_input(struct smtpd_session *s, struct hb_span in)
{
	size_t done = 0;

	smtpd_settle(s);
	while (!is_blocked(s)) {
		struct hb_span rest = hb_span_from(in, done);
		size_t used = 0;
		bool moved;

		if (s->chunk.open) {
			moved = smtpd_chunk_input(s, rest, &used);
		} else if (s->state == SMTPD_S_DATA) {
			moved = smtpd_txn_input(s, rest, &used);
		} else {
			used = rest.n > 0 ? line_input(s, rest) : 0;
			moved = used > 0;
		}
		done += used;
		if (!moved)
			break;
		smtpd_settle(s); /* a command may have asked */
	}
	return done;
}

bool
smtpd_session_wants_input(const struct smtpd_session *s)
{
	return !is_blocked(s) && s->first == NULL;
}

/* --- events of queue --- */

void
smtpd_session_large(struct smtpd_session *s)
{
	if (s->wait != SMTPD_W_LARGE)
		return;
	s->wait = SMTPD_W_NOTHING;
	s->txn.large = true;
	s->txn.block = 0;
	smtpd_set_timer(s, s->rules->data_ms);
	if (s->txn.whole)
		smtpd_txn_copy(s);
}

void
smtpd_session_result(struct smtpd_session *s, const struct ipc_txn_result *r)
{
	struct smtpd_reply_words w = { r->code, r->status, r->text,
		(enum hb_reason)r->reason };

	if (s->txn.begun)
		smtpd_txn_result(s, &w);
}

void
smtpd_session_write_failed(struct smtpd_session *s, bool no_space)
{
	/* what was still asked for belongs to the same message */
	s->next_act = s->n_acts = 0;
	if (s->wait == SMTPD_W_FILTERS) {
		/* a filter is in the middle of its answer: there is no way
		 * back to its other state */
		smtpd_reply(s, no_space ? SMTPD_R_NO_SPACE_END
					: SMTPD_R_FILTER_SHUTDOWN);
		return;
	}
	smtpd_txn_fail(s, no_space ? SMTPD_R_NO_SPACE : SMTPD_R_TEMPORARY);
	if (s->wait == SMTPD_W_RESULT || s->txn.whole)
		smtpd_txn_failed_at_end(s);
	else if (s->wait == SMTPD_W_LARGE)
		smtpd_session_large(s);
	else if (s->wait == SMTPD_W_FILE)
		smtpd_txn_has_file(s);
}

/* Whether the message became durable is not known.  After a 4yz it must not
 * be delivered (RFC 5321 s4.2.5), after a 250 it must: nothing is said. */
static void
leave_in_doubt(struct smtpd_session *s)
{
	HB_LOG(HB_LOG_WARN, HB_EV_REJECT, hb_kv_id(HB_K_MSG, s->txn.id),
	    hb_kv_str(HB_K_STAGE, "data"), hb_kv_str(HB_K_CLIENT, s->client),
	    hb_kv_id(HB_K_SESSION, s->id),
	    hb_kv_int(HB_K_CODE, 0),
	    hb_kv_str(HB_K_REASON, hb_reason_word(HB_REASON_ROLE_LOST)),
	    hb_kv_str(HB_K_TEXT, "closed without reply: the message may be "
				 "kept or not"));
	s->txn.begun = false;
	smtpd_close(s);
}

/* Does a filter's new body wait for one? */
static bool
is_waiting_for_file(const struct smtpd_session *s)
{
	return s->filters != NULL && s->filters->waits_for_file;
}

void
smtpd_session_queue_lost(struct smtpd_session *s)
{
	struct smtpd_reply_words w = { 451, HB_SPAN("4.3.0"),
		HB_SPAN("a part of this server is not there, try again later"),
		HB_REASON_ROLE_LOST };

	if (s->wait == SMTPD_W_RESULT)
		leave_in_doubt(s);
	else if (s->wait == SMTPD_W_ETRN)
		smtpd_session_etrn(s, NULL);
	else if (s->wait == SMTPD_W_FILE || is_waiting_for_file(s))
		smtpd_session_write_failed(s, false);
	else if (s->txn.begun)
		smtpd_txn_result(s, &w);
}

/* --- events of filters --- */

static void
round_moved(struct smtpd_session *s, bool is_over)
{
	if (!is_over)
		return;
	if (s->wait == SMTPD_W_FILTERS)
		smtpd_txn_filtered(s);
	else
		smtpd_filters_said(s);
}

void
smtpd_session_filter_connected(struct smtpd_session *s, size_t n)
{
	round_moved(s, smtpd_round_connected(s, n));
}

size_t
smtpd_session_filter_input(struct smtpd_session *s, size_t n,
    struct hb_span in)
{
	size_t used;

	round_moved(s, smtpd_round_input(s, n, in, &used));
	return used;
}

void
smtpd_session_filter_drained(struct smtpd_session *s, size_t n)
{
	round_moved(s, smtpd_round_drained(s, n));
}

void
smtpd_session_filter_lost(struct smtpd_session *s, size_t n, const char *why)
{
	round_moved(s, smtpd_round_lost(s, n, why));
}

void
smtpd_session_kept(struct smtpd_session *s)
{
	if (s->wait == SMTPD_W_FILE)
		smtpd_txn_has_file(s);
	else if (is_waiting_for_file(s))
		smtpd_changes_body_on(s);
}

void
smtpd_session_read(struct smtpd_session *s, struct hb_span bytes)
{
	if (s->filters != NULL)
		smtpd_round_read(s, bytes);
}

void
smtpd_session_copied(struct smtpd_session *s)
{
	if (s->wait == SMTPD_W_COPY)
		smtpd_txn_copied(s);
}

/* --- ends --- */

void
smtpd_session_timeout(struct smtpd_session *s)
{
	switch (s->wait) {
	case SMTPD_W_RESULT:
		smtpd_session_queue_lost(s);
		return;
	case SMTPD_W_FILTERS: /* each has a time of its own */
		return;
	case SMTPD_W_FILE:
	case SMTPD_W_COPY:
	case SMTPD_W_LARGE:
		/* its file may still come: queue is told to forget it */
		smtpd_session_write_failed(s, false);
		return;
	case SMTPD_W_TLS:
		smtpd_close(s);
		return;
	case SMTPD_W_ETRN:
		smtpd_session_etrn(s, NULL);
		return;
	case SMTPD_W_NOTHING:
		break;
	}
	if (s->first != NULL)
		smtpd_questions_timeout(s);
	else if (s->state != SMTPD_S_OVER)
		smtpd_reply(s, SMTPD_R_TIMEOUT);
}

/* Says 421 where the protocol allows words now, and closes. */
static void
leave(struct smtpd_session *s, enum smtpd_reply_id why)
{
	if (s->wait == SMTPD_W_RESULT) {
		s->last_word = why;
		return;
	}
	if (s->state == SMTPD_S_OVER)
		return;
	if (s->wait == SMTPD_W_TLS)
		smtpd_close(s);
	else
		smtpd_reply(s, why);
}

void
smtpd_session_stop(struct smtpd_session *s)
{
	leave(s, SMTPD_R_STOPPING);
}

void
smtpd_session_expired(struct smtpd_session *s)
{
	leave(s, SMTPD_R_TIMEOUT);
}

void
smtpd_session_closed(struct smtpd_session *s)
{
	s->gone = true;
	if (s->wait != SMTPD_W_RESULT)
		smtpd_close(s);
}
