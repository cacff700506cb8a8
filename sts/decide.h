/*
 * The channel decision (HACKING "The channel decision"): facts in, verdict out.
 * Floor 1: no clock, no I/O, no memory.  Delivery calls it for each MX before
 * connecting, and for each transaction before MAIL FROM, also on reused
 * connections; explain calls it too.
 *
 *	operator's tls-policy and route -> DANE -> MTA-STS -> opportunistic TLS
 *
 * REQUIRETLS raises the demand, TLS-Required: No lowers DANE and MTA-STS, the
 * ledger of earlier channels comes last.  RFC 8461 s4, s5; RFC 7672 s2.2;
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
	STS_DEFER, /* zero: an empty verdict lets nothing pass */
	STS_SKIP,  /* not this host but the next; none left: defer */
	STS_PROCEED
};

/* The demands on the channel to one policy domain. */
struct sts_channel {
	/* Operator's tls-policy; HB_TLS_MAY if none is set. */
	enum hb_tls_level level;
	/* The operator's tls-policy for the recipients' domain, if its mail
	 * takes another one (smarthost, route), and one that has expired by a
	 * clock that is not trusted: it adds a demand and removes none.
	 * HB_TLS_NONE: nothing. */
	enum hb_tls_level at_least;
	/* names= of LEVEL: further reference names.  Borrowed, may be NULL. */
	const struct hb_strs *names;
	/* The route demands verified TLS (smtp+tls://, smtps://). */
	bool demand_verified;
	/* The domain's policy, or NULL and the reason from sts_lookup
	 * (HB_REASON_NONE: there was no lookup).  With a policy, the reason
	 * says why a newer one, if it exists, could not be fetched. */
	const struct sts_policy *policy;
	enum hb_reason no_policy;
	bool mta_sts_off;	/* `mta-sts off` */
	bool dane_off;		/* `dane off` */
	bool clock_implausible; /* then policies do not expire */
	/* The MX records (or their absence) were signed according to a trusted
	 * resolver. */
	bool mx_secure;
	/* The configuration names the next hop: it was not chosen by an MX
	 * lookup, so its name needs no further proof (RFC 8689 s4.2.1). */
	bool configured_hop;
	bool require_tls;  /* REQUIRETLS, return path not empty */
	bool tls_optional; /* TLS-Required: No, without REQUIRETLS */
	enum hb_downgrade memory;
};

/* One host of the policy domain. */
struct sts_host {
	/* From the MX record or the route; NUL-terminated. */
	const char *name;
	/* The policy domain itself: it has no MX records (RFC 5321 s5.1). */
	bool implicit;
	const struct hb_dane *dane; /* NULL: was not looked up */
	enum hb_rank best;	    /* of the ledger; NONE: nothing known */
};

struct sts_verdict {
	enum sts_action action;
	enum hb_reason reason;
	/* For the TLS report: a failure that does not stop the mail (testing
	 * policy, no policy).  HB_REASON_NONE: none. */
	enum hb_reason report;
	const char *sts_word; /* for the log: none, testing, enforce, off */
	/* Rank of the channel; NONE before its facts are known. */
	enum hb_rank rank;
	bool fell; /* the rank is below the ledger's expectation */
	/* SKIP: the host was reached, or its name judged, with complete facts:
	 * another try would learn nothing new.  A REQUIRETLS message is
	 * returned if every host was skipped in this way. */
	bool settled;
};

/* Must the domain's policy be looked up?  False if the operator or the route
 * decides alone, and with `mta-sts off`. */
bool sts_needs_lookup(const struct sts_channel *ch);
/* Do DANE records of its hosts count?  (It does not say whether the lookups are
 * signed.) */
bool sts_needs_dane(const struct sts_channel *ch);

/* Does the operator or the route demand a host that proves its name? */
bool sts_is_proof_demanded(const struct sts_channel *ch);
/* Is a policy in enforce mode in effect for the domain now? */
bool sts_is_enforced(const struct sts_channel *ch, int64_t now_ms);

/* PROCEED: connect.  RFC 8461 s4.1. */
struct sts_verdict sts_decide_mx(const struct sts_channel *ch,
    const struct sts_host *host, int64_t now_ms);

/* The complete decision, with the host's name.  PROCEED: MAIL FROM may be sent.
 * RFC 8461 s4.2, RFC 7672 s2.2. */
struct sts_verdict sts_decide_tls(const struct sts_channel *ch,
    const struct sts_host *host, const struct hb_tls_facts *facts,
    int64_t now_ms);

/* May REQUIRETLS be sent in this session (RFC 8689 s2)?  Checks what a tagged
 * message demands of the channel, whatever this message demands: a DSN about a
 * tagged one is sent in any case, with the parameter or without. */
bool sts_suits_requiretls(const struct sts_channel *ch,
    const struct sts_host *host, const struct hb_tls_facts *facts,
    int64_t now_ms);

/* The name that the certificate must match (and SNI): the TLSA base, the first
 * of the operator's names= if the level is verify, or the host's name.
 * Borrowed. */
const char *sts_reference_name(
    const struct sts_channel *ch, const struct sts_host *host);

#endif
