/*
 * Patience with strangers: what was tried in vain is counted over all
 * sessions and all listener processes, in the shared table (counters.h), and
 * makes the next try wait before its work.  Floor 3.
 *
 * A try counts under its network (an IPv4 address or IPv6 /64, strictly; the
 * /24 or /48 around it, mildly) and, for a login, under the login's name.
 * Beyond what is free each key has its tries one after the other, an interval
 * apart that doubles with each failure up to a bound, so that parallel
 * sessions gain nothing; a count goes down with time.  A login that succeeded
 * before from the same /24 or /48 is judged by a count of its own instead:
 * others who guess at it, there or elsewhere, do not lock its owner out.
 *
 * The table is bounded.  In a full bucket the lowest count makes room and the
 * new one begins where that stood: a flood of new addresses wins no free
 * tries.
 *
 * Mail that is taken pays for recipients that were refused: a large provider
 * has both at one address, and a guesser has to show himself.
 */
#ifndef HB_IO_PENALTY_H
#define HB_IO_PENALTY_H

#include "common/io/counters.h"

enum hb_try_kind {
	HB_TRY_LOGIN,
	HB_TRY_RCPT,
	HB_TRY_TLS /* a handshake costs a signature; it has no end */
};
enum hb_try_end {
	HB_TRY_DONE, /* it was right */
	HB_TRY_BAD,
	HB_TRY_OPEN, /* nobody knows: the lookup failed */
	HB_TRY_MAIL  /* HB_TRY_RCPT, and no end of one: a message was taken */
};

struct hb_try {
	enum hb_try_kind kind;
	const struct hb_netaddr *client;
	struct hb_span login; /* HB_TRY_LOGIN */
};

/* Returns how long T has to wait before its work begins, in ms, or
 * HB_E_LIMIT: too many wait before it, and it is not to be done. */
int64_t hb_penalty_begin(struct hb_counters *c, const struct hb_try *t,
    int64_t now_ms) HB_MUSTCHECK;
/* Would T begin at once even when N tries under its keys that have begun are
 * all refused? */
bool hb_penalty_is_free(const struct hb_counters *c, const struct hb_try *t,
    unsigned n, int64_t now_ms);
/* For each try that began and was not refused. */
void hb_penalty_end(struct hb_counters *c, const struct hb_try *t,
    enum hb_try_end how, int64_t now_ms);

#endif
