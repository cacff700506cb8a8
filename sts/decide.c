/* The channel decision.  RFC 8461 s4, s5.  Floor 2. */
#include "sts/decide.h"

#include "sts/match.h"

/* What the channel has to be, the sum of what all words demand. */
enum demand { DEMAND_NOTHING, DEMAND_TLS, DEMAND_VERIFIED };

struct levels {
	enum demand demand; /* by the operator's word alone */
	bool automatic;     /* published policies count */
};

static const struct levels levels[] = {
	[HB_TLS_NONE] = { DEMAND_NOTHING, false },
	[HB_TLS_MAY] = { DEMAND_NOTHING, true },
	[HB_TLS_ENCRYPT] = { DEMAND_TLS, false },
	[HB_TLS_VERIFY] = { DEMAND_VERIFIED, false },
	[HB_TLS_STS] = { DEMAND_VERIFIED, true },
	[HB_TLS_DANE] = { DEMAND_VERIFIED, false },
};

static enum demand
operator_demand(const struct sts_channel *ch)
{
	return ch->demand_verified ? DEMAND_VERIFIED : levels[ch->level].demand;
}

bool
sts_needs_lookup(const struct sts_channel *ch)
{
	if (ch->mta_sts_off || !levels[ch->level].automatic)
		return false;
	return ch->level == HB_TLS_STS || !ch->demand_verified;
}

/* The policy that counts now, or NULL.  An expired one does not (RFC 8461
 * s3.2), unless the clock that says so cannot be right. */
static const struct sts_policy *
live_policy(const struct sts_channel *ch, int64_t now_ms)
{
	const struct sts_policy *p = ch->policy;

	if (p == NULL || !sts_needs_lookup(ch))
		return NULL;
	return ch->clock_implausible || now_ms < p->expires_ms ? p : NULL;
}

static const char *
log_word(const struct sts_channel *ch, const struct sts_policy *p)
{
	if (p != NULL)
		return sts_mode_word(p->mode);
	return sts_needs_lookup(ch) ? "none" : "off";
}

static struct sts_verdict
verdict(enum sts_action action, enum hb_reason reason, enum hb_reason report,
    const char *word)
{
	return (struct sts_verdict){ action, reason, report, word };
}

static struct hb_span
dotless(const char *name)
{
	struct hb_span s = hb_span_str(name);

	return s.n > 0 && s.p[s.n - 1] == '.' ? hb_span_head(s, s.n - 1) : s;
}

static bool
same_name(const char *a, const char *b)
{
	return hb_span_eq_nocase(dotless(a), dotless(b));
}

/* Level `sts`: nothing but a policy in enforce lets mail go.  NONE: there is
 * one. */
static enum hb_reason
why_no_enforce(const struct sts_channel *ch, const struct sts_policy *p)
{
	if (ch->mta_sts_off)
		return HB_REASON_STS_OFF;
	if (p == NULL)
		return ch->no_policy != HB_REASON_NONE ? ch->no_policy
						       : HB_REASON_OPERATOR;
	switch (p->mode) {
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
why_defer(const struct sts_channel *ch, const struct sts_policy *p)
{
	/* DANE cannot be judged: what demands it is deferred */
	if (ch->level == HB_TLS_DANE)
		return HB_REASON_OPERATOR;
	if (ch->level == HB_TLS_STS)
		return why_no_enforce(ch, p);
	/* what the store holds may demand more than we know */
	if (p == NULL && sts_needs_lookup(ch) &&
	    ch->no_policy == HB_REASON_STS_STORE)
		return HB_REASON_STS_STORE;
	return HB_REASON_NONE;
}

static bool
is_mode(const struct sts_policy *p, enum sts_mode mode)
{
	return p != NULL && p->mode == mode;
}

/* Why a host may go on that nothing is held against. */
static enum hb_reason
good_reason(const struct sts_channel *ch, const struct sts_policy *p)
{
	if (ch->level == HB_TLS_STS || is_mode(p, STS_MODE_ENFORCE))
		return HB_REASON_STS_OK;
	if (ch->demand_verified || ch->level != HB_TLS_MAY)
		return HB_REASON_OPERATOR;
	if (is_mode(p, STS_MODE_TESTING))
		return HB_REASON_STS_TESTING;
	if (is_mode(p, STS_MODE_NONE))
		return HB_REASON_STS_NONE;
	return ch->mta_sts_off ? HB_REASON_STS_OFF
			       : HB_REASON_TLS_OPPORTUNISTIC;
}

struct sts_verdict
sts_decide_mx(const struct sts_channel *ch, const char *mx_name, int64_t now_ms)
{
	const struct sts_policy *p = live_policy(ch, now_ms);
	const char *word = log_word(ch, p);
	enum hb_reason why = why_defer(ch, p);
	enum hb_reason report = HB_REASON_NONE;

	if (why != HB_REASON_NONE)
		return verdict(STS_DEFER, why, why, word);
	if (p != NULL && p->mode != STS_MODE_NONE &&
	    !sts_match_policy(p, hb_span_str(mx_name)))
		report = HB_REASON_MX_MISMATCH;
	if (report != HB_REASON_NONE && p->mode == STS_MODE_ENFORCE)
		return verdict(STS_SKIP, report, report, word);
	return verdict(STS_PROCEED, good_reason(ch, p), report, word);
}

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
chain_fault(const struct hb_tls_facts *f)
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
		return HB_REASON_CERT_EXPIRED;
	}
	return HB_REASON_CERT_UNTRUSTED;
}

static bool
is_reference(
    const struct sts_channel *ch, const char *mx_name, const char *name)
{
	if (same_name(name, mx_name))
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
cert_fault(const struct sts_channel *ch, const char *mx_name,
    const struct hb_tls_facts *f)
{
	enum hb_reason fault = chain_fault(f);

	if (fault != HB_REASON_NONE)
		return fault;
	return f->name_ok && is_reference(ch, mx_name, f->reference)
		   ? HB_REASON_NONE
		   : HB_REASON_CERT_NAME;
}

struct sts_verdict
sts_decide_tls(const struct sts_channel *ch, const char *mx_name,
    const struct hb_tls_facts *facts, int64_t now_ms)
{
	const struct sts_policy *p = live_policy(ch, now_ms);
	struct sts_verdict v = sts_decide_mx(ch, mx_name, now_ms);
	enum hb_reason tls = tls_fault(facts), cert = HB_REASON_NONE;
	enum demand demand = operator_demand(ch);
	bool policy = p != NULL && p->mode != STS_MODE_NONE;

	if (v.action != STS_PROCEED)
		return v;
	/* somebody sits in the line: no word makes that channel fit */
	if (tls == HB_REASON_TLS_INJECTED)
		return verdict(STS_SKIP, tls, tls, v.sts_word);
	if (is_mode(p, STS_MODE_ENFORCE))
		demand = DEMAND_VERIFIED;
	if (tls == HB_REASON_NONE && (policy || demand == DEMAND_VERIFIED))
		cert = cert_fault(ch, mx_name, facts);
	if (demand >= DEMAND_TLS && tls != HB_REASON_NONE)
		return verdict(STS_SKIP, tls, tls, v.sts_word);
	if (demand == DEMAND_VERIFIED && cert != HB_REASON_NONE)
		return verdict(STS_SKIP, cert, cert, v.sts_word);
	if (v.report == HB_REASON_NONE)
		v.report = tls != HB_REASON_NONE ? tls : cert;
	if (v.reason == HB_REASON_TLS_OPPORTUNISTIC && tls != HB_REASON_NONE)
		v.reason = HB_REASON_NO_TLS;
	return v;
}

const char *
sts_reference_name(const struct sts_channel *ch, const char *mx_name)
{
	if (ch->level == HB_TLS_VERIFY && ch->names != NULL && ch->names->n > 0)
		return ch->names->v[0];
	return mx_name;
}
