/*
 * Is our resolver trusted to report that an answer is signed (the AD bit)?
 * Floor 2: time and answers in, queries out.  RFC 7672 s2.1.1.
 *
 *	begin -+-> decided by the configuration, or no resolver on this host: end
 *	       |
 *	       +-> a round: each server is asked for the probe's name, then for
 *	           the bad one; then rest, and again
 *
 * Result of a round: if some server failed (an answer without AD, or an answer
 * to the bad name): NO.  Otherwise, if some passed: YES.  If none answered, the
 * state stays, which is UNKNOWN at first.  A silent server does not count
 * because it answers nothing else either; it is asked again soon.  So is one
 * without EDNS, whose answers carry no mark.
 *
 * An example run with `trust-ad auto' and two servers: begin; ask 0 for `.':
 * signed; ask 1 for `.': nothing; YES, rest one second; ask 0; ask 1: not
 * signed; NO, rest a minute.
 */
#ifndef DELIVERY_SMTP_TRUST_H
#define DELIVERY_SMTP_TRUST_H

#include "common/base/limits.h"
#include "common/proto/conf.h"
#include "common/proto/dnsmsg.h"

enum dlv_trust { DLV_TRUST_UNKNOWN, DLV_TRUST_YES, DLV_TRUST_NO };

/* Why: X(symbol, trust, sentence). */
#define DLV_TRUST_REASONS(X)                                                   \
	X(UNANSWERED, UNKNOWN, "the resolver has not answered the probe yet")  \
	X(NO_EDNS, UNKNOWN, "the resolver does not speak EDNS, so that it "    \
			    "cannot say what is signed: no DANE")              \
	X(SAID_YES, YES, "the configuration says so")                          \
	X(SAID_NO, NO, "the configuration says so")                            \
	X(NO_RESOLVER, NO, "there is no resolver")                             \
	X(NOT_LOCAL, NO, "not every resolver runs on this host")               \
	X(PASSED, YES, "the probe was answered as signed")                     \
	X(UNSIGNED, NO, "the probe was not answered as signed")                \
	X(BAD_ANSWERED, NO, "a name that must fail was answered")

enum dlv_trust_reason {
#define X(sym, trust, text) DLV_TRUST_BY_##sym,
	DLV_TRUST_REASONS(X)
#undef X
	DLV_TRUST_REASON_COUNT
};
/* Never NULL. */
const char *dlv_trust_word(enum dlv_trust t); /* "unknown", "yes", "no" */
const char *dlv_trust_text(enum dlv_trust_reason r);

/* What to probe; strings are borrowed until the next begin. */
struct dlv_trust_words {
	enum hb_trust_ad said;
	const char *probe; /* NULL: none was configured */
	const char *bad;   /* NULL: none */
	struct hb_netaddr servers[HB_MAX_RESOLVERS]; /* all: each is probed */
	size_t nservers;
};

struct dlv_trust_question {
	size_t server;
	const char *name; /* "." is the root */
	enum hb_dns_type type;
};

struct dlv_truster {
	struct dlv_trust_words words;
	enum dlv_trust_reason why;
	size_t server;	 /* asked now; NSERVERS: the round has ended */
	bool ask_bad;	 /* for its bad name */
	size_t passed, quiet; /* servers of this round; QUIET: no answer */
	bool mute; /* one of the quiet ones answered, without EDNS */
	enum dlv_trust_reason failed; /* of this round; UNANSWERED: none */
	unsigned silent; /* rounds in a row with a quiet one */
};

/* Starts the first round and forgets the old state, unless WORDS have not
 * changed. */
void dlv_trust_begin(
    struct dlv_truster *t, const struct dlv_trust_words *words);
/* Starts the next round. */
void dlv_trust_again(struct dlv_truster *t);
enum dlv_trust dlv_trust_now(const struct dlv_truster *t);
/* Is the state unknown and the first round not finished?  A judgement now would
 * be made without DANE though an answer is due. */
bool dlv_trust_is_due(const struct dlv_truster *t);

/* The query to send now, only to that server and bypassing every cache; false
 * if there is none. */
bool dlv_trust_ask(
    const struct dlv_truster *t, struct dlv_trust_question *out);
void dlv_trust_answer(
    struct dlv_truster *t, const struct hb_dns_answer *answer);
/* The round has ended: time until the next one; -1: there is none. */
int64_t dlv_trust_rest_ms(const struct dlv_truster *t);

#endif
