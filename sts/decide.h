/*
 * The channel decision (DESIGN section 6): facts in, verdict out.  Floor 2:
 * no clock, no I/O, no memory.  Called by delivery for each MX before it
 * connects, and for each transaction before MAIL FROM, reused connections
 * included; and by explain.
 *
 *	operator's tls-policy and route -> MTA-STS -> opportunistic TLS
 *
 * RFC 8461 s4, s5.
 */
#ifndef STS_DECIDE_H
#define STS_DECIDE_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"
#include "common/proto/tlsfacts.h"
#include "sts/policy.h"

enum sts_action {
	STS_DEFER, /* zero: an empty verdict lets nothing through */
	STS_SKIP,  /* not this host; the next one; none left: defer */
	STS_PROCEED
};

/* What is demanded of the channel to one policy domain. */
struct sts_channel {
	/* Operator's tls-policy; HB_TLS_MAY where nothing is said. */
	enum hb_tls_level level;
	/* names= of it: further reference names.  Borrowed, may be NULL. */
	const struct hb_strs *names;
	/* The route demands verified TLS (smtp+tls://, smtps://). */
	bool demand_verified;
	/* The domain's policy, or NULL and the reason why there is none as
	 * sts_lookup said it (HB_REASON_NONE: no lookup was made). */
	const struct sts_policy *policy;
	enum hb_reason no_policy;
	bool mta_sts_off;       /* `mta-sts off` */
	bool clock_implausible; /* policies do not expire then */
};

struct sts_verdict {
	enum sts_action action;
	enum hb_reason reason;
	/* What went wrong though it does not stop the mail (testing policy,
	 * no policy): for the TLS report.  HB_REASON_NONE: nothing. */
	enum hb_reason report;
	const char *sts_word; /* log: none, testing, enforce, off */
};

/* Must the policy of the domain be looked up?  False where the operator or
 * the route has said all, and with `mta-sts off`. */
bool sts_needs_lookup(const struct sts_channel *ch);

/* MX_NAME: name in the MX record (or host of the route), NUL-terminated.
 * PROCEED: connect.  RFC 8461 s4.1. */
struct sts_verdict sts_decide_mx(
    const struct sts_channel *ch, const char *mx_name, int64_t now_ms);

/* The whole judgement, the host's name included.  PROCEED: MAIL FROM may be
 * sent.  RFC 8461 s4.2. */
struct sts_verdict sts_decide_tls(const struct sts_channel *ch,
    const char *mx_name, const struct hb_tls_facts *facts, int64_t now_ms);

/* The name a certificate is checked for (and SNI): MX_NAME, or the first of
 * the operator's names= where level is verify.  Borrowed. */
const char *sts_reference_name(
    const struct sts_channel *ch, const char *mx_name);

#endif
