/* The channel decision.  RFC 8461 s4, s5; RFC 7672 s2.2; RFC 8689 s4.2.
 * Floor 1. */
#include "sts/decide.h"

#include "common/proto/domain.h"
#include "sts/match.h"

/* What the channel has to be, the sum of what all words demand. */
enum demand { DEMAND_NOTHING, DEMAND_TLS, DEMAND_VERIFIED };

struct level {
	enum demand demand;    /* by the operator's word alone */
	bool sts, dane;	       /* what is published counts */
	enum hb_rank expected; /* at most, by what the ledger remembers */
};

static const struct level levels[] = {
	[HB_TLS_NONE] = { DEMAND_NOTHING, false, false, HB_RANK_NONE },
	[HB_TLS_MAY] = { DEMAND_NOTHING, true, true, HB_RANK_DANE },
	[HB_TLS_ENCRYPT] = { DEMAND_TLS, false, false, HB_RANK_TLS },
	[HB_TLS_VERIFY] = { DEMAND_VERIFIED, false, false, HB_RANK_VERIFIED },
	[HB_TLS_STS] = { DEMAND_VERIFIED, true, false, HB_RANK_STS },
	[HB_TLS_DANE] = { DEMAND_VERIFIED, false, true, HB_RANK_DANE },
};

/* All that one judgement looks at. */
struct inquiry {
	const struct sts_channel *ch;
	const struct sts_host *host;
	const struct sts_policy *policy; /* that counts now, or NULL */
	enum hb_dane_state dane;
};

static enum demand
operator_demand(const struct sts_channel *ch)
{
	enum demand hop = levels[ch->level].demand;
	enum demand domain = levels[ch->at_least].demand;

	if (ch->demand_verified)
		return DEMAND_VERIFIED;
	return hop > domain ? hop : domain;
}

bool
sts_is_proof_demanded(const struct sts_channel *ch)
{
	return operator_demand(ch) == DEMAND_VERIFIED;
}

/* The operator or the route has said all there is to say. */
static bool
is_automatic(const struct sts_channel *ch)
{
	return ch->level == HB_TLS_MAY && !ch->demand_verified;
}

static bool
sts_counts(const struct sts_channel *ch)
{
	return !ch->mta_sts_off &&
	       (is_automatic(ch) || ch->level == HB_TLS_STS);
}

/* REQUIRETLS: a policy may vouch for the names of the mail hosts though it
 * demands nothing here (RFC 8689 s4.2.1). */
static bool
needs_names(const struct sts_channel *ch)
{
	return ch->require_tls && !ch->configured_hop && !ch->mta_sts_off;
}

bool
sts_needs_lookup(const struct sts_channel *ch)
{
	return sts_counts(ch) || needs_names(ch);
}

bool
sts_needs_dane(const struct sts_channel *ch)
{
	return !ch->dane_off &&
	       (is_automatic(ch) || ch->level == HB_TLS_DANE);
}

/* The policy that is not over, or NULL.  An expired one does not count
 * (RFC 8461 s3.2), unless the clock that says so cannot be right. */
static const struct sts_policy *
known_policy(const struct sts_channel *ch, int64_t now_ms)
{
	const struct sts_policy *p = ch->policy;

	if (p == NULL || !sts_needs_lookup(ch))
		return NULL;
	return ch->clock_implausible || now_ms < p->expires_ms ? p : NULL;
}

static struct inquiry
inquire(
    const struct sts_channel *ch, const struct sts_host *host, int64_t now_ms)
{
	bool dane = sts_needs_dane(ch) && host->dane != NULL;

	return (struct inquiry){ .ch = ch,
		.host = host,
		.policy = sts_counts(ch) ? known_policy(ch, now_ms) : NULL,
		.dane = dane ? host->dane->state : HB_DANE_UNASKED };
}

static bool
is_mode(const struct sts_policy *p, enum sts_mode mode)
{
	return p != NULL && p->mode == mode;
}

bool
sts_is_enforced(const struct sts_channel *ch, int64_t now_ms)
{
	return sts_counts(ch) &&
	       is_mode(known_policy(ch, now_ms), STS_MODE_ENFORCE);
}

/* The sender's word lowers what others publish, never what the operator says
 * (RFC 8689 s4.2.2). */
static bool
is_lowered(const struct inquiry *q)
{
	return q->ch->tls_optional && is_automatic(q->ch);
}

static const char *
log_word(const struct inquiry *q)
{
	if (q->policy != NULL)
		return sts_mode_word(q->policy->mode);
	return sts_counts(q->ch) ? "none" : "off";
}

static bool
same_name(const char *a, const char *b)
{
	return hb_domain_eq(hb_span_str(a), hb_span_str(b));
}

/* --- verdicts --- */

static struct sts_verdict
proceed(const struct inquiry *q, enum hb_reason reason, enum hb_reason report)
{
	return (struct sts_verdict){ .action = STS_PROCEED,
		.reason = reason,
		.report = report,
		.sts_word = log_word(q) };
}

/* What time may cure by itself: a fact was not to be had. */
static bool
is_passing(const struct inquiry *q, enum hb_reason why)
{
	if (hb_reason_means(why, HB_WHY_PASSES))
		return true;
	/* a policy that could not be learnt may vouch for the name later */
	return (why == HB_REASON_MX_UNPROVEN || why == HB_REASON_MX_MISMATCH) &&
	       q->ch->no_policy != HB_REASON_NONE &&
	       q->ch->no_policy != HB_REASON_STS_NO_RECORD;
}

static struct sts_verdict
skip(const struct inquiry *q, enum hb_reason why)
{
	return (struct sts_verdict){ .action = STS_SKIP,
		.reason = why,
		.report = why,
		.sts_word = log_word(q),
		.settled = !is_passing(q, why) };
}

/* --- the domain as a whole --- */

/* Level `sts`: nothing but a policy in enforce lets mail go.  NONE: there is
 * one. */
static enum hb_reason
why_no_enforce(const struct inquiry *q)
{
	if (q->ch->mta_sts_off)
		return HB_REASON_STS_OFF;
	if (q->policy == NULL)
		return q->ch->no_policy != HB_REASON_NONE ? q->ch->no_policy
							  : HB_REASON_OPERATOR;
	switch (q->policy->mode) {
	case STS_MODE_NONE:
		return HB_REASON_STS_NONE;
	case STS_MODE_TESTING:
		return HB_REASON_STS_TESTING;
	case STS_MODE_ENFORCE:
	case STS_MODE_COUNT:
		break;
	}
	return HB_REASON_NONE;
}

/* What cannot be judged now, for any host of the domain.  NONE: it can. */
static enum hb_reason
why_defer(const struct inquiry *q)
{
	if (q->ch->level == HB_TLS_STS)
		return why_no_enforce(q);
	/* what the store holds may demand more than we know */
	if (q->policy == NULL && sts_needs_lookup(q->ch) &&
	    q->ch->no_policy == HB_REASON_STS_STORE && !is_lowered(q))
		return HB_REASON_STS_STORE;
	return HB_REASON_NONE;
}

/* --- the host's name and what DNS says of it --- */

/* RFC 7672 s2.1.1: an error is never "absent". */
static enum hb_reason
dane_fault(const struct inquiry *q)
{
	if (q->dane == HB_DANE_ERROR)
		return HB_REASON_DANE_DNS;
	if (q->dane == HB_DANE_UNPROBED)
		return HB_REASON_DANE_UNPROBED;
	/* RFC 7672 s6: no fallback */
	if (q->ch->level == HB_TLS_DANE && q->dane != HB_DANE_USABLE)
		return HB_REASON_DANE_REQUIRED;
	return HB_REASON_NONE;
}

/* RFC 8461 s4.1.  Where DANE decides, MTA-STS has no say (s2). */
static enum hb_reason
match_fault(const struct inquiry *q)
{
	const struct sts_policy *p = q->policy;

	if (p == NULL || p->mode == STS_MODE_NONE || q->dane == HB_DANE_USABLE)
		return HB_REASON_NONE;
	return sts_match_policy(p, hb_span_str(q->host->name))
		   ? HB_REASON_NONE
		   : HB_REASON_MX_MISMATCH;
}

/* RFC 8689 s4.2.1: who says that this is a mail host of the domain?  A policy
 * in `testing' is not enough (our choice). */
static enum hb_reason
proof_fault(const struct inquiry *q, int64_t now_ms)
{
	const struct sts_policy *p = known_policy(q->ch, now_ms);

	if (!q->ch->require_tls || q->ch->configured_hop || q->host->implicit ||
	    q->ch->mx_secure)
		return HB_REASON_NONE;
	return is_mode(p, STS_MODE_ENFORCE) &&
		       sts_match_policy(p, hb_span_str(q->host->name))
		   ? HB_REASON_NONE
		   : HB_REASON_MX_UNPROVEN;
}

/* Why a host may go on that nothing is held against. */
static enum hb_reason
good_reason(const struct inquiry *q)
{
	const struct sts_channel *ch = q->ch;

	if (ch->require_tls)
		return HB_REASON_REQUIRETLS_OK;
	if (q->dane == HB_DANE_USABLE)
		return HB_REASON_DANE_OK;
	if (is_mode(q->policy, STS_MODE_ENFORCE))
		return HB_REASON_STS_OK;
	if (!is_automatic(ch) || levels[ch->at_least].demand > DEMAND_NOTHING)
		return HB_REASON_OPERATOR;
	if (q->dane == HB_DANE_UNUSABLE)
		return HB_REASON_DANE_UNUSABLE;
	if (is_mode(q->policy, STS_MODE_TESTING))
		return HB_REASON_STS_TESTING;
	if (is_mode(q->policy, STS_MODE_NONE))
		return HB_REASON_STS_NONE;
	return ch->mta_sts_off ? HB_REASON_STS_OFF
			       : HB_REASON_TLS_OPPORTUNISTIC;
}

/* FAULT is held against the host by what the domain publishes: it stops the
 * mail unless the sender said that it must not. */
static struct sts_verdict
published_fault(const struct inquiry *q, enum hb_reason fault)
{
	return is_lowered(q) ? proceed(q, HB_REASON_TLS_REQUIRED_NO, fault)
			     : skip(q, fault);
}

static struct sts_verdict
judge_name(const struct inquiry *q, int64_t now_ms)
{
	enum hb_reason why = why_defer(q), dane = dane_fault(q),
		       match = match_fault(q), proof = proof_fault(q, now_ms);

	if (why != HB_REASON_NONE)
		return (struct sts_verdict){ .action = STS_DEFER,
			.reason = why,
			.report = why,
			.sts_word = log_word(q) };
	if (dane != HB_REASON_NONE)
		return published_fault(q, dane);
	if (match != HB_REASON_NONE && is_mode(q->policy, STS_MODE_ENFORCE))
		return published_fault(q, match);
	if (proof != HB_REASON_NONE)
		return skip(q, proof);
	return proceed(q, good_reason(q), match);
}

struct sts_verdict
sts_decide_mx(
    const struct sts_channel *ch, const struct sts_host *host, int64_t now_ms)
{
	struct inquiry q = inquire(ch, host, now_ms);

	return judge_name(&q, now_ms);
}

/* --- the session --- */

/* What is wrong with the encryption itself. */
static enum hb_reason
tls_fault(const struct hb_tls_facts *f)
{
	switch (f->state) {
	case HB_TLSF_UNKNOWN:
	case HB_TLSF_NOT_OFFERED:
		return HB_REASON_NO_STARTTLS;
	case HB_TLSF_REFUSED:
		return HB_REASON_STARTTLS_REFUSED;
	case HB_TLSF_INJECTED:
		return HB_REASON_TLS_INJECTED;
	case HB_TLSF_FAILED:
		return HB_REASON_TLS_HANDSHAKE;
	case HB_TLSF_DONE:
		break;
	}
	/* RFC 8461 s7.2 */
	return f->version < 12 ? HB_REASON_TLS_VERSION : HB_REASON_NONE;
}

static enum hb_reason
chain_fault(const struct sts_channel *ch, const struct hb_tls_facts *f)
{
	switch (f->chain) {
	case HB_CHAIN_OK:
		return HB_REASON_NONE;
	case HB_CHAIN_NONE:
	case HB_CHAIN_UNTRUSTED:
		return HB_REASON_CERT_UNTRUSTED;
	case HB_CHAIN_SELF_SIGNED:
		return HB_REASON_CERT_SELF_SIGNED;
	case HB_CHAIN_EXPIRED:
		return ch->clock_implausible ? HB_REASON_CLOCK
					     : HB_REASON_CERT_EXPIRED;
	}
	return HB_REASON_CERT_UNTRUSTED;
}

static bool
is_reference(
    const struct sts_channel *ch, const struct sts_host *host, const char *name)
{
	if (same_name(name, host->name))
		return true;
	if (ch->level != HB_TLS_VERIFY || ch->names == NULL)
		return false;
	for (size_t i = 0; i < ch->names->n; i++)
		if (same_name(name, ch->names->v[i]))
			return true;
	return false;
}

/* The certificate must be for the host that was meant: facts that were
 * gathered under another reference name prove nothing (RFC 8461 s4.2). */
static enum hb_reason
cert_fault(const struct inquiry *q, const struct hb_tls_facts *f)
{
	enum hb_reason fault = chain_fault(q->ch, f);

	if (fault != HB_REASON_NONE)
		return fault;
	return f->name_ok && is_reference(q->ch, q->host, f->reference)
		   ? HB_REASON_NONE
		   : HB_REASON_CERT_NAME;
}

/* Facts that were gathered beside other records prove nothing either. */
static enum hb_reason
tlsa_fault(const struct inquiry *q, const struct hb_tls_facts *f)
{
	return hb_tls_facts_dane(f) && f->dane_digest == q->host->dane->digest
		   ? HB_REASON_NONE
		   : HB_REASON_DANE_MISMATCH;
}

/* Is the server who it says it is?  By DANE where there is DANE. */
static enum hb_reason
auth_fault(const struct inquiry *q, const struct hb_tls_facts *f)
{
	return q->dane == HB_DANE_USABLE ? tlsa_fault(q, f) : cert_fault(q, f);
}

static enum demand
published_demand(const struct inquiry *q)
{
	if (q->dane == HB_DANE_USABLE || is_mode(q->policy, STS_MODE_ENFORCE))
		return DEMAND_VERIFIED;
	/* RFC 7672 s2.2: authentication is impossible, encryption is not */
	return q->dane == HB_DANE_UNUSABLE ? DEMAND_TLS : DEMAND_NOTHING;
}

/* What keeps a channel with these two faults from meeting DEMAND. */
static enum hb_reason
unmet(enum demand demand, enum hb_reason tls, enum hb_reason auth)
{
	if (demand >= DEMAND_TLS && tls != HB_REASON_NONE)
		return tls;
	return demand == DEMAND_VERIFIED ? auth : HB_REASON_NONE;
}

static struct sts_verdict
judge_session(const struct inquiry *q, const struct sts_verdict *name,
    const struct hb_tls_facts *f)
{
	enum hb_reason tls = tls_fault(f), auth = HB_REASON_NONE, fault;
	enum demand own = q->ch->require_tls ? DEMAND_VERIFIED
					     : operator_demand(q->ch);
	enum demand published = published_demand(q);
	bool policy = q->policy != NULL && q->policy->mode != STS_MODE_NONE;
	struct sts_verdict v = *name;

	/* Data was injected by a man in the middle: no setting makes this
	 * connection acceptable. */
	if (tls == HB_REASON_TLS_INJECTED)
		return skip(q, tls);
	if (tls == HB_REASON_NONE && (policy || own == DEMAND_VERIFIED ||
					 published == DEMAND_VERIFIED))
		auth = auth_fault(q, f);
	fault = unmet(own, tls, auth);
	if (fault != HB_REASON_NONE)
		return skip(q, fault);
	if (q->ch->require_tls && !f->requiretls)
		return skip(q, HB_REASON_REQUIRETLS_MISSING);
	fault = unmet(published, tls, auth);
	if (fault != HB_REASON_NONE)
		return published_fault(q, fault);
	if (v.report == HB_REASON_NONE)
		v.report = tls != HB_REASON_NONE ? tls : auth;
	if (v.reason == HB_REASON_TLS_OPPORTUNISTIC && tls != HB_REASON_NONE)
		v.reason = HB_REASON_NO_TLS;
	return v;
}

/* What the channel is worth, whatever is demanded of it. */
static enum hb_rank
rank_of(const struct inquiry *q, const struct hb_tls_facts *f)
{
	if (tls_fault(f) != HB_REASON_NONE)
		return HB_RANK_PLAIN;
	if (q->dane == HB_DANE_USABLE)
		return tlsa_fault(q, f) == HB_REASON_NONE ? HB_RANK_DANE
							  : HB_RANK_TLS;
	if (cert_fault(q, f) != HB_REASON_NONE)
		return HB_RANK_TLS;
	return is_mode(q->policy, STS_MODE_ENFORCE) &&
		       match_fault(q) == HB_REASON_NONE
		   ? HB_RANK_STS
		   : HB_RANK_VERIFIED;
}

/* What was seen before, as far as the operator's words of today let it be
 * seen again. */
static enum hb_rank
expected_rank(const struct inquiry *q)
{
	enum hb_rank best = q->host->best, most = levels[q->ch->level].expected;

	if (best == HB_RANK_DANE && !sts_needs_dane(q->ch))
		best = HB_RANK_TLS;
	if (best == HB_RANK_STS && !sts_counts(q->ch))
		best = HB_RANK_VERIFIED;
	return best < most ? best : most;
}

struct sts_verdict
sts_decide_tls(const struct sts_channel *ch, const struct sts_host *host,
    const struct hb_tls_facts *facts, int64_t now_ms)
{
	struct inquiry q = inquire(ch, host, now_ms);
	struct sts_verdict v = judge_name(&q, now_ms);
	enum hb_rank rank = rank_of(&q, facts);
	bool fell = ch->memory != HB_DOWNGRADE_OFF && rank < expected_rank(&q);

	if (v.action == STS_PROCEED)
		v = judge_session(&q, &v, facts);
	if (v.action == STS_PROCEED && fell && ch->memory == HB_DOWNGRADE_DEFER)
		v = skip(&q, HB_REASON_DOWNGRADE);
	v.rank = rank;
	v.fell = fell;
	return v;
}

bool
sts_suits_requiretls(const struct sts_channel *ch, const struct sts_host *host,
    const struct hb_tls_facts *facts, int64_t now_ms)
{
	struct sts_channel strict = *ch;

	strict.require_tls = true;
	return sts_decide_tls(&strict, host, facts, now_ms).action ==
	       STS_PROCEED;
}

const char *
sts_reference_name(const struct sts_channel *ch, const struct sts_host *host)
{
	if (sts_needs_dane(ch) && host->dane != NULL &&
	    host->dane->state == HB_DANE_USABLE)
		return host->dane->base;
	if (ch->level == HB_TLS_VERIFY && ch->names != NULL && ch->names->n > 0)
		return ch->names->v[0];
	return host->name;
}
