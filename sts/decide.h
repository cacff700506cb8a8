/*
 * The channel decision (HACKING "The channel decision"): facts in, verdict
 * out.  Floor 2: no clock, no I/O, no memory.  Called by delivery for each MX
 * before it connects, and for each transaction before MAIL FROM, reused
 * connections included; and by explain.
 *
 *	operator's tls-policy and route -> DANE -> MTA-STS -> opportunistic TLS
 *
 * REQUIRETLS raises the demand, TLS-Required: No lowers DANE and MTA-STS, the
 * ledger of what was seen before comes last.  RFC 8461 s4, s5; RFC 7672 s2.2;
 * RFC 8689 s4.2.
 */
#ifndef STS_DECIDE_H
#define STS_DECIDE_H

#include "common/proto/conf.h"
#include "common/proto/dane.h"
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
	/* The operator's tls-policy for the recipients' domain, where its mail
	 * goes by another one (smarthost, route), and one that is over by a
	 * clock that is not believed: it adds a demand and takes none away.
	 * HB_TLS_NONE: nothing. */
	enum hb_tls_level at_least;
	/* names= of LEVEL: further reference names.  Borrowed, may be NULL. */
	const struct hb_strs *names;
	/* The route demands verified TLS (smtp+tls://, smtps://). */
	bool demand_verified;
	/* The domain's policy, or NULL and the reason why there is none as
	 * sts_lookup said it (HB_REASON_NONE: no lookup was made); beside a
	 * policy why a newer one, if there is one, could not be had. */
	const struct sts_policy *policy;
	enum hb_reason no_policy;
	bool mta_sts_off;	/* `mta-sts off` */
	bool dane_off;		/* `dane off` */
	bool clock_implausible; /* policies do not expire then */
	/* The MX records (or that there are none) were signed, and the
	 * resolver that says so is trusted. */
	bool mx_secure;
	/* The next hop was named by the configuration: no MX lookup chose it,
	 * so that nothing has to vouch for its name (RFC 8689 s4.2.1). */
	bool configured_hop;
	bool require_tls;  /* REQUIRETLS, return path not empty */
	bool tls_optional; /* TLS-Required: No, without REQUIRETLS */
	enum hb_downgrade memory;
};

/* One host of it. */
struct sts_host {
	/* In the MX record, or of the route; NUL-terminated. */
	const char *name;
	/* The policy domain itself: it has no MX records (RFC 5321 s5.1). */
	bool implicit;
	const struct hb_dane *dane; /* NULL: was not asked about */
	enum hb_rank best;	    /* the ledger's; NONE: nothing known */
};

struct sts_verdict {
	enum sts_action action;
	enum hb_reason reason;
	/* What went wrong though it does not stop the mail (testing policy,
	 * no policy): for the TLS report.  HB_REASON_NONE: nothing. */
	enum hb_reason report;
	const char *sts_word; /* log: none, testing, enforce, off */
	/* What the channel is worth; NONE before it was seen. */
	enum hb_rank rank;
	bool fell; /* that is less than the ledger lets one expect */
	/* SKIP: the host was reached, or its name judged, on facts that were
	 * all there: trying again would learn nothing new.  A REQUIRETLS
	 * message that every host was skipped so for is returned. */
	bool settled;
};

/* Must the policy of the domain be looked up?  False where the operator or
 * the route has said all, and with `mta-sts off`. */
bool sts_needs_lookup(const struct sts_channel *ch);
/* Do DANE records of its hosts count?  (Not: is the way to them signed.) */
bool sts_needs_dane(const struct sts_channel *ch);

/* Does the operator, or the route, demand a host that proves its name? */
bool sts_is_proof_demanded(const struct sts_channel *ch);
/* Does a policy in enforce count for the domain now? */
bool sts_is_enforced(const struct sts_channel *ch, int64_t now_ms);

/* PROCEED: connect.  RFC 8461 s4.1. */
struct sts_verdict sts_decide_mx(const struct sts_channel *ch,
    const struct sts_host *host, int64_t now_ms);

/* The whole judgement, the host's name included.  PROCEED: MAIL FROM may be
 * sent.  RFC 8461 s4.2, RFC 7672 s2.2. */
struct sts_verdict sts_decide_tls(const struct sts_channel *ch,
    const struct sts_host *host, const struct hb_tls_facts *facts,
    int64_t now_ms);

/* May REQUIRETLS be said in this session (RFC 8689 s2)?  What a message that
 * demands it asks of the channel, whatever this one asks of it: a DSN about
 * one goes on in any case, with the parameter or without. */
bool sts_suits_requiretls(const struct sts_channel *ch,
    const struct sts_host *host, const struct hb_tls_facts *facts,
    int64_t now_ms);

/* The name a certificate is checked for (and SNI): the TLSA base, the first of
 * the operator's names= where level is verify, or the host's name.
 * Borrowed. */
const char *sts_reference_name(
    const struct sts_channel *ch, const struct sts_host *host);

#endif
