/*
 * Does a name server support EDNS (the OPT record)?  RFC 6891 s6.2.2, s7.
 * Floor 1: the caller passes the time.
 *
 * A server that answers FORMERR or NOTIMP is asked again without OPT.  A server
 * that fails to answer three questions in a row, whatever they were, is asked
 * with and without OPT in turn.  If an answer to a question without OPT shows
 * that OPT caused the failure, OPT is left out for a while; then one question
 * tries it again.
 *
 * A server can report signed data without OPT: the AD bit of the question is
 * enough.  But an answer to a question that had to leave out OPT, and that has
 * no AD bit, does not prove "not signed".
 */
#ifndef HB_PROTO_EDNS_H
#define HB_PROTO_EDNS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	HB_EDNS_MISSES = 3,
	HB_EDNS_FIRST_REST_MS = 60 * 1000,
	HB_EDNS_LONGEST_REST_MS = 15 * 60 * 1000,
	HB_EDNS_TRIAL_MS = 20 * 1000 /* one question per such period */
};

struct hb_edns {
	bool proven;	    /* it has answered a question with OPT */
	unsigned misses;    /* in a row, of questions with OPT */
	unsigned wins;	    /* without OPT, since the last one with OPT */
	bool turn;
	int64_t without_ms; /* OPT is left out until then; 0: it is not */
	int64_t rest_ms;
};

enum hb_edns_answer {
	HB_EDNS_GOOD,	 /* any valid answer */
	HB_EDNS_TROUBLE, /* silence, SERVFAIL, REFUSED, unreadable */
	HB_EDNS_FORMAT	 /* FORMERR, NOTIMP */
};

/* Should the next question have OPT? */
bool hb_edns_next(struct hb_edns *e, int64_t now_ms);
/* Reports the result of a question WITH OPT or without; AT_ONCE: it was asked
 * without OPT because of a FORMAT answer.  Returns true if the state of the
 * server changed. */
bool hb_edns_heard(struct hb_edns *e, bool with, bool at_once,
    enum hb_edns_answer answer, int64_t now_ms);

static inline bool
hb_edns_is_missing(const struct hb_edns *e)
{
	return e->without_ms != 0;
}

#endif
