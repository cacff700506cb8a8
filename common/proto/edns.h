/*
 * Does a name server know EDNS (the OPT record)?  RFC 6891 s6.2.2, s7.
 * Floor 1: time comes in with each call.
 *
 * A server that answers FORMERR or NOTIMP is asked again without OPT.  One
 * that is silent or in trouble three times in a row, whatever it was asked, is
 * asked with and without in turn.  When an answer to a question without OPT
 * shows that OPT was the trouble, it is left out for a while; then one
 * question tries again.
 *
 * A server that says what is signed needs no OPT for that, only the AD bit of
 * the question.  But of an answer that had to do without OPT, and has no AD,
 * nobody can tell: "not signed" it is not.
 */
#ifndef HB_PROTO_EDNS_H
#define HB_PROTO_EDNS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	HB_EDNS_MISSES = 3,
	HB_EDNS_FIRST_REST_MS = 60 * 1000,
	HB_EDNS_LONGEST_REST_MS = 15 * 60 * 1000,
	HB_EDNS_TRIAL_MS = 20 * 1000 /* one question in that time */
};

struct hb_edns {
	bool proven;	    /* it has answered a question with OPT */
	unsigned misses;    /* in a row, of questions with OPT */
	unsigned wins;	    /* without OPT, since the last one with it */
	bool turn;
	int64_t without_ms; /* OPT is left out until then; 0: it is not */
	int64_t rest_ms;
};

enum hb_edns_answer {
	HB_EDNS_GOOD,	 /* whatever it says */
	HB_EDNS_TROUBLE, /* silence, SERVFAIL, REFUSED, not readable */
	HB_EDNS_FORMAT	 /* FORMERR, NOTIMP */
};

/* Is the next question to have OPT? */
bool hb_edns_next(struct hb_edns *e, int64_t now_ms);
/* What came of a question WITH OPT or without; AT_ONCE: it was asked without
 * because of a FORMAT answer.  True: what is known has changed. */
bool hb_edns_heard(struct hb_edns *e, bool with, bool at_once,
    enum hb_edns_answer answer, int64_t now_ms);

static inline bool
hb_edns_is_missing(const struct hb_edns *e)
{
	return e->without_ms != 0;
}

#endif
