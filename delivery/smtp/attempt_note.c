/* Outcomes of an attempt.  Floor 2. */
#include "delivery/smtp/attempt-priv.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/proto/stats.h"

const struct dlv_host *
dlv_host(const struct dlv_attempt *a)
{
	HB_ASSERT(a->host < a->mx.n);
	return &a->mx.hosts[a->host];
}

struct sts_host
dlv_judged_host(const struct dlv_attempt *a)
{
	const struct dlv_host *h = dlv_host(a);
	const struct dlv_mx_result *t = &a->trials[a->host];

	return (struct sts_host){ .name = h->name,
		.implicit = h->implicit, .dane = t->dane, .best = t->best };
}

/* Its name; "" before the first and after the last. */
static const char *
host_name(const struct dlv_attempt *a)
{
	return a->host < a->mx.n ? a->mx.hosts[a->host].name : "";
}

static enum hb_dane_state
dane_state(const struct dlv_attempt *a)
{
	const struct hb_dane *d = a->host < a->mx.n && a->trials != NULL
	    ? a->trials[a->host].dane : NULL;

	return d != NULL ? d->state : HB_DANE_UNASKED;
}

/* RFC 4954 s6: what wants a login, or another one, or TLS before it. */
static bool
wants_login(unsigned code)
{
	static const unsigned codes[] = { 530, 534, 535, 538 };

	for (size_t i = 0; i < HB_ARRAY_LEN(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/*
 * A server that the operator has chosen says that it does not know us: that
 * is between the two, and neither sender nor recipient can end it.  A word on
 * the message or on a recipient stays what it is, but names whose word it is.
 */
static void
judge_hop(const struct dlv_attempt *a, struct hb_outcome *o)
{
	if (!a->given || o->from_remote == 0 || o->code < 500 ||
	    dlv_wants_tls(o))
		return;
	if (wants_login(o->code)) {
		o->result = HB_RESULT_DEFER;
		o->reason = HB_REASON_LOGIN_NEEDED;
	} else if (a->txn.nrcpt == 0) {
		o->reason = HB_REASON_HOP_REFUSED;
	} else if (hb_span_eq(o->status, HB_SPAN("5.7.1"))) {
		o->reason = HB_REASON_HOP_DENIED;
	}
}

struct hb_outcome
dlv_make_outcome(struct dlv_attempt *a, const struct hb_outcome *res)
{
	char tls[32];
	struct hb_outcome o = *res;

	judge_hop(a, &o);
	hb_tls_facts_word(&a->facts, tls);
	o.text = hb_span_head(res->text, HB_MAX_REPLY_TEXT);
	o.mx = hb_span_str(host_name(a));
	o.addr = hb_span_str(a->addr_text);
	o.tls = hb_span_str(tls);
	o.kex = hb_span_str(a->facts.kex);
	o.sts = hb_span_str(a->verdict.sts_word != NULL ? a->verdict.sts_word
							: "none");
	o.dane = dane_state(a);
	hb_record_copy(a->arena, &hb_outcome_record, &o, &o);
	return o;
}

void
dlv_note_trouble(struct dlv_attempt *a, const struct hb_outcome *res)
{
	struct dlv_mx_result *t = &a->trials[a->host];

	a->unsettled = true;
	t->trouble = (enum hb_reason)res->reason;
	t->text = hb_arena_span(a->arena, res->text);
	if (!a->policy_problem)
		a->problem = dlv_make_outcome(a, res);
}

void
dlv_note_lack(struct dlv_attempt *a, const struct hb_outcome *res)
{
	struct dlv_mx_result *t = &a->trials[a->host];

	t->trouble = (enum hb_reason)res->reason;
	t->text = hb_arena_span(a->arena, res->text);
	if (a->problem.result == HB_RESULT_NONE)
		a->problem = *res;
}

/* While the resolver is being probed, whether there are signed records is a
 * fact that is still to come. */
static bool
is_settled(const struct dlv_attempt *a, const struct sts_verdict *v)
{
	return v->action == STS_SKIP && v->settled &&
	    !(a->trust == DLV_TRUST_UNKNOWN &&
		hb_reason_means(v->reason, HB_WHY_DNSSEC));
}

static void
log_refusal(const struct dlv_attempt *a, const struct sts_verdict *v)
{
	if (a->order.mode != DLV_SEND)
		return;
	HB_LOG(HB_LOG_INFO, HB_EV_HOST,
	    hb_kv_id(HB_K_MSG, a->order.env->id),
	    hb_kv_str(HB_K_DOMAIN, a->policy_domain),
	    hb_kv_str(HB_K_MX, host_name(a)),
	    hb_kv_if(a->addr_text[0] != '\0',
		hb_kv_str(HB_K_ADDR, a->addr_text)),
	    hb_kv_str(HB_K_ACTION,
		v->action == STS_SKIP ? "skipped" : "deferred"),
	    hb_kv_str(HB_K_REASON, hb_reason_word(v->reason)),
	    hb_kv_str(HB_K_DANE, hb_dane_word(dane_state(a))));
}

void
dlv_note_refusal(struct dlv_attempt *a, const struct sts_verdict *v)
{
	char text[HB_MAX_DOMAIN + 512];
	struct hb_outcome res = dlv_own_outcome(HB_RESULT_DEFER, v->reason);
	int n = snprintf(text, sizeof(text), "%s: %s%s%s%s",
	    host_name(a), hb_reason_text(v->reason),
	    a->facts.error[0] != '\0' ? " (" : "", a->facts.error,
	    a->facts.error[0] != '\0' ? ")" : "");

	/* RFC 3463 s3.8: whatever the channel lacks is x.7 */
	res.code = 451;
	if (!hb_span_eq(hb_span_head(res.status, 4), HB_SPAN("4.7.")))
		res.status = HB_SPAN("4.7.0");
	res.text = hb_span(text, n < 0 ? 0
		: (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	a->verdict = *v;
	a->unsettled = a->unsettled || !is_settled(a, v);
	a->other_than_tls = a->other_than_tls ||
	    !hb_reason_means(v->reason, HB_WHY_NO_TLS);
	a->problem = dlv_make_outcome(a, &res);
	a->policy_problem = true;
	log_refusal(a, v);
	if (a->order.mode == DLV_SEND)
		hb_stat_refused_host(v->reason);
}

void
dlv_note_fall(const struct dlv_attempt *a, const struct sts_verdict *v)
{
	if (v->fell && a->order.mode == DLV_SEND)
		dlv_ledger_fall(hb_span_str(a->policy_domain),
		    hb_span_str(host_name(a)), a->trials[a->host].best,
		    v->rank, a->order.env->id);
}

void
dlv_note_trial(struct dlv_attempt *a, const struct sts_verdict *v)
{
	struct dlv_mx_result *t = &a->trials[a->host];

	t->judged = true;
	t->trouble = HB_REASON_NONE;
	t->verdict = *v;
	if (a->facts.state != HB_TLSF_UNKNOWN) {
		t->facts = a->facts;
		hb_tls_facts_word(&a->facts, t->tls);
	}
	t->text = hb_arena_span(a->arena, hb_span_str(a->facts.error));
}

void
dlv_settle(struct dlv_attempt *a, const struct hb_outcome *o)
{
	for (size_t i = 0; i < a->order.nrcpt; i++)
		if (a->outcome[i].result == HB_RESULT_NONE)
			a->outcome[i] = *o;
}

void
dlv_end_with(struct dlv_attempt *a, enum hb_result result,
    enum hb_reason reason)
{
	struct hb_outcome res = dlv_own_outcome(result, reason);

	a->problem = dlv_make_outcome(a, &res);
	dlv_end(a);
}

/*
 * RFC 8689 s4.2.1: a REQUIRETLS message that no host may get is returned.
 * Only when each was reached and judged: what may pass is waited for.
 * 5.7.10 says that there was no TLS to be had.
 */
void
dlv_end_of_hosts(struct dlv_attempt *a)
{
	struct hb_outcome *res = &a->problem;

	dlv_end(a);
	if (res->reason == HB_REASON_NO_SMTPUTF8 && a->mx.incomplete) {
		/* one of those that could not be looked up may have it */
		res->result = HB_RESULT_DEFER;
		res->code = 451;
		res->status = HB_SPAN("4.6.7");
	}
	if (!a->channel.require_tls || !a->policy_problem || a->unsettled ||
	    a->mx.incomplete)
		return;
	res->result = HB_RESULT_FAIL;
	res->code = a->other_than_tls ? 550 : 523;
	res->status = a->other_than_tls ? HB_SPAN("5.7.30") : HB_SPAN("5.7.10");
}
