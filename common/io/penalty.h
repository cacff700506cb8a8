/*
 * Penalties for failed tries.  The shared table (counters.h) counts them over
 * all sessions and all listener processes, and they delay the work of the next
 * try.  Floor 3.
 *
 * A try counts under its network (an IPv4 address or IPv6 /64, strictly; the
 * /24 or /48 around it, mildly) and, for a login, under the login's name.
 * After some free tries, those of a key run one after the other, with an
 * interval that doubles with each failure up to a bound, so that parallel
 * sessions gain nothing; a count falls with time.  A login that succeeded
 * before from the same /24 or /48 has a count of its own: others who guess its
 * password, there or elsewhere, do not lock out its owner.
 *
 * The table is bounded.  In a full bucket the entry with the lowest count is
 * replaced and the new one starts with its count: a flood of new addresses
 * gains no free tries.
 *
 * Sessions that were ended for their errors count, too: too many of them, and
 * their network is not greeted for a while.
 *
 * Accepted mail pays for refused recipients: a large provider has both at one
 * address, and a guesser has to reveal himself.
 */
#ifndef HB_IO_PENALTY_H
#define HB_IO_PENALTY_H

#include "common/io/counters.h"

enum hb_try_kind {
	HB_TRY_LOGIN,
	HB_TRY_RCPT,
	HB_TRY_TLS, /* a handshake costs a signature; it has no end */
	HB_TRY_SESSION /* that may end for its errors */
};
enum hb_try_end {
	HB_TRY_DONE, /* it was right */
	HB_TRY_BAD,
	HB_TRY_OPEN, /* unknown: the lookup failed */
	HB_TRY_MAIL  /* HB_TRY_RCPT, and no end of one: a message was taken */
};

struct hb_try {
	enum hb_try_kind kind;
	const struct hb_netaddr *client;
	struct hb_span login; /* HB_TRY_LOGIN */
};

/* Returns how long T must wait before its work, in ms, or HB_E_LIMIT: too many
 * are waiting, so do not do the work. */
int64_t hb_penalty_begin(struct hb_counters *c, const struct hb_try *t,
    int64_t now_ms) HB_MUSTCHECK;
/* Would T begin at once even if N tries under its keys that have begun are all
 * refused? */
bool hb_penalty_is_free(const struct hb_counters *c, const struct hb_try *t,
    unsigned n, int64_t now_ms);
/* A session of CLIENT ended for its errors. */
void hb_penalty_session(struct hb_counters *c, const struct hb_netaddr *client,
    int64_t now_ms);
/* Call it for each try that began and was not refused. */
void hb_penalty_end(struct hb_counters *c, const struct hb_try *t,
    enum hb_try_end how, int64_t now_ms);

#endif
