/*
 * Does our resolver's word count, that an answer is signed (the AD bit)?
 * Floor 2: time and answers in, questions out.  RFC 7672 s2.1.1.
 *
 *	begin -+-> said by the configuration, or no resolver of this host: over
 *	       |
 *	       +-> a round: each server is asked for the probe's name, then for
 *	           the bad one; then rest, and again
 *
 * A round ends with: some server failed (an answer without AD, or an answer to
 * the bad name): NO.  Else, some passed: YES.  Else nobody answered: it stays
 * as it was, which is UNKNOWN at first.  A server that is silent counts for
 * nothing, because it answers nothing else either; it is asked again soon.  So
 * does one without EDNS, whose answers nobody marks.
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

/* What is to be found out; strings are borrowed until the next begin. */
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
	size_t server;	 /* that is asked now; NSERVERS: the round is over */
	bool ask_bad;	 /* for its bad name */
	size_t passed, quiet; /* servers of this round; QUIET: no answer */
	bool mute; /* one of the quiet ones answered, without EDNS */
	enum dlv_trust_reason failed; /* of this round; UNANSWERED: none */
	unsigned silent; /* rounds in a row with a quiet one */
};

/* The first round begins; what was known is forgotten, unless nothing has
 * changed in WORDS. */
void dlv_trust_begin(
    struct dlv_truster *t, const struct dlv_trust_words *words);
/* The next round begins. */
void dlv_trust_again(struct dlv_truster *t);
enum dlv_trust dlv_trust_now(const struct dlv_truster *t);
/* Nothing is known, and the first round has not come to its end: what is
 * judged now would be judged without DANE though an answer is due. */
bool dlv_trust_is_due(const struct dlv_truster *t);

/* What is to be asked now, of that server alone and past every cache; false:
 * nothing. */
bool dlv_trust_ask(
    const struct dlv_truster *t, struct dlv_trust_question *out);
void dlv_trust_answer(
    struct dlv_truster *t, const struct hb_dns_answer *answer);
/* The round is over: until the next one; -1: there will be none. */
int64_t dlv_trust_rest_ms(const struct dlv_truster *t);

#endif
