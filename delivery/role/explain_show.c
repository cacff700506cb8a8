/*
 * The facts of an attempt as the answer to EXPLAIN_ROUTE: policy_domain,
 * policy, txt, dane, ledger, operator, mx[], verdict, reason; these names are a
 * contract.  Floor 4.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdio.h>

static const char *const action_words[] = {
	[STS_DEFER] = "defer",
	[STS_SKIP] = "skip",
	[STS_PROCEED] = "proceed",
};

static void
text_or_null(const struct hb_ctl *c, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		hb_ctl_text(c, key, text);
	else
		hb_ctl_null(c, key);
}

static void
time_or_null(const struct hb_ctl *c, const char *key, int64_t ms)
{
	if (ms > 0)
		hb_ctl_time(c, key, ms);
	else
		hb_ctl_null(c, key);
}

/* --- the domain --- */

static void
show_policy(const struct hb_ctl *c, const struct sts_policy_ref *ref,
    enum hb_reason last_error)
{
	hb_ctl_object(c, "policy");
	hb_ctl_str(c, "domain", ref->domain);
	hb_ctl_str(c, "id", ref->id);
	hb_ctl_text(c, "mode", sts_mode_word(ref->policy.mode));
	hb_ctl_array(c, "mx");
	for (size_t i = 0; i < ref->policy.nmx; i++)
		hb_ctl_str(c, NULL, ref->policy.mx[i]);
	hb_ctl_close(c);
	hb_ctl_int(c, "max_age", ref->policy.max_age_s);
	hb_ctl_time(c, "fetched", ref->fetched_ms);
	hb_ctl_time(c, "expires", ref->policy.expires_ms);
	hb_ctl_time(c, "refreshed", ref->refreshed_ms);
	hb_ctl_int(c, "age_s", (hb_now_ms() - ref->fetched_ms) / 1000);
	text_or_null(c, "last_error", hb_reason_word(last_error));
	hb_ctl_text(c, "source", ref->imported ? "imported" : "fetched");
	hb_ctl_close(c);
}

/* The record that DNS holds beside the policy. */
static void
show_txt(const struct hb_ctl *c, const struct sts_txt_state *txt)
{
	if (txt == NULL || txt->asked_ms == 0) {
		hb_ctl_null(c, "txt");
		return;
	}
	hb_ctl_object(c, "txt");
	if (txt->why == HB_REASON_NONE)
		hb_ctl_str(c, "id", sts_id_span(&txt->id));
	else
		hb_ctl_null(c, "id");
	text_or_null(c, "reason", hb_reason_word(txt->why));
	hb_ctl_time(c, "asked", txt->asked_ms);
	hb_ctl_close(c);
}

static void
show_domain(const struct hb_ctl *c, const struct dlv_task *t)
{
	const struct sts_channel *ch = dlv_attempt_channel(t->attempt);
	const char *domain = dlv_attempt_policy_domain(t->attempt);
	struct hb_span name = hb_span_str(domain);

	text_or_null(c, "policy_domain", domain);
	if (t->ref != NULL)
		show_policy(c, t->ref, sts_last_error(t->worker->sts, name));
	else
		hb_ctl_null(c, "policy");
	if (t->ref == NULL && ch->no_policy != HB_REASON_NONE)
		hb_ctl_text(c, "no_policy", hb_reason_word(ch->no_policy));
	show_txt(c, name.n > 0 && sts_needs_lookup(ch)
		? sts_last_txt(t->worker->sts, name) : NULL);
}

/* --- what came of the hosts --- */

/* What becomes of a host in the end. */
struct fate {
	enum sts_action action;
	enum hb_reason reason;
};

static struct fate
fate_of(const struct dlv_attempt *a, size_t i)
{
	const struct dlv_host *h = &dlv_attempt_mx(a)->hosts[i];
	const struct dlv_mx_result *t = dlv_attempt_trial(a, i);

	if (i >= dlv_attempt_mx(a)->n)
		return (struct fate){ STS_SKIP, h->unknown ? HB_REASON_DNS_TEMP
			: HB_REASON_DNS_NO_ADDRESS };
	/* what was not come to shares the fate of the attempt */
	if (!t->judged)
		return (struct fate){ STS_DEFER,
			dlv_attempt_problem(a)->reason };
	/* what would do and could not be talked to does not get the mail */
	if (t->verdict.action == STS_PROCEED && t->trouble != HB_REASON_NONE)
		return (struct fate){ STS_DEFER, t->trouble };
	return (struct fate){ t->verdict.action, t->verdict.reason };
}

/* The host that the outcome is taken from; none was judged: how many there
 * are. */
static size_t
best_host(const struct dlv_attempt *a)
{
	size_t n = dlv_attempt_mx(a)->n, best = n;

	for (size_t i = 0; i < n; i++)
		if (dlv_attempt_trial(a, i)->judged && (best == n ||
			fate_of(a, i).action > fate_of(a, best).action))
			best = i;
	return best;
}

/* --- DANE, the operator --- */

static void
show_dane(const struct hb_ctl *c, const struct dlv_attempt *a)
{
	static const char *const trust[] = {
		[DLV_TRUST_UNKNOWN] = "unprobed",
		[DLV_TRUST_YES] = "trusted",
		[DLV_TRUST_NO] = "untrusted",
	};
	const struct sts_channel *ch = dlv_attempt_channel(a);
	const struct dlv_mx *mx = dlv_attempt_mx(a);
	size_t best = best_host(a);
	const struct dlv_mx_result *t =
	    best < mx->n ? dlv_attempt_trial(a, best) : NULL;
	enum hb_dane_state state = ch->dane_off ? HB_DANE_OFF
	    : t != NULL && t->dane != NULL	? t->dane->state
						: HB_DANE_UNASKED;

	hb_ctl_object(c, "dane");
	hb_ctl_text(c, "state", hb_dane_word(state));
	hb_ctl_text(c, "resolver", trust[dlv_attempt_trust(a)]);
	if (mx->records.known && dlv_attempt_trust(a) == DLV_TRUST_YES)
		hb_ctl_bool(c, "mx_signed", ch->mx_secure);
	else
		hb_ctl_null(c, "mx_signed");
	hb_ctl_close(c);
}

/* The memory of downgrades. */
static void
show_ledger(const struct hb_ctl *c, const struct dlv_task *t)
{
	static const char *const memory[] = {
		[HB_DOWNGRADE_OFF] = "off",
		[HB_DOWNGRADE_WARN] = "warn",
		[HB_DOWNGRADE_DEFER] = "defer",
	};
	const struct dlv_sight *s = t->seen != NULL ? &t->seen->domain : NULL;

	if (s == NULL) {
		hb_ctl_null(c, "ledger");
		return;
	}
	hb_ctl_object(c, "ledger");
	hb_ctl_text(c, "best", hb_rank_word(s->best));
	time_or_null(c, "since", s->best != HB_RANK_NONE ? s->since_ms : 0);
	time_or_null(c, "last", s->best != HB_RANK_NONE ? s->last_ms : 0);
	hb_ctl_text(c, "memory",
	    memory[dlv_attempt_channel(t->attempt)->memory]);
	hb_ctl_close(c);
}

/* The line of the configuration, or NULL. */
static void
show_word(const struct hb_ctl *c, const struct hb_tls_policy *p)
{
	struct hb_buf rule = HB_BUF_INIT(0);

	if (p != NULL) {
		hb_buf_addf(&rule, "tls-policy %s %s", p->pattern,
		    hb_tls_level_word(p->level));
		hb_ctl_str(c, "rule", hb_buf_span(&rule));
	} else {
		hb_ctl_null(c, "rule");
	}
	hb_buf_free(&rule);
	hb_ctl_array(c, "names");
	for (size_t i = 0; p != NULL && i < p->names.n; i++)
		hb_ctl_text(c, NULL, p->names.v[i]);
	hb_ctl_close(c);
	text_or_null(c, "reason", p != NULL ? p->reason : NULL);
	time_or_null(c, "until", p != NULL ? p->until_ms : 0);
}

static void
show_operator(const struct hb_ctl *c, const struct dlv_task *t,
    const struct dlv_params *order)
{
	const struct hb_conf *conf = t->worker->env->conf;
	const struct sts_channel *ch = dlv_attempt_channel(t->attempt);
	const struct hb_tls_policy *p = NULL;
	struct hb_route route;

	if (hb_route_parse(order->route, &route) == 0)
		p = dlv_operator_word(conf, &route, order->domain,
		    sts_least_ms(t->worker->sts),
		    !sts_clock_implausible(t->worker->sts));
	hb_ctl_object(c, "operator");
	hb_ctl_text(c, "level",
	    hb_tls_level_word(p != NULL ? p->level : ch->level));
	show_word(c, p);
	hb_ctl_bool(c, "mta_sts", !ch->mta_sts_off);
	hb_ctl_bool(c, "dane", !ch->dane_off);
	hb_ctl_bool(c, "route_demands", ch->demand_verified);
	hb_ctl_close(c);
}

/* --- the hosts --- */

static void
show_host_dane(const struct hb_ctl *c, const struct hb_dane *d)
{
	if (d == NULL) {
		hb_ctl_null(c, "dane");
		return;
	}
	hb_ctl_object(c, "dane");
	hb_ctl_text(c, "state", hb_dane_word(d->state));
	hb_ctl_text(c, "text", hb_dane_text(d->state));
	text_or_null(c, "base", d->base);
	hb_ctl_array(c, "records");
	for (size_t i = 0; i < d->n; i++) {
		const struct hb_tlsa *r = &d->rr[i];
		struct hb_buf text = HB_BUF_INIT(0);

		hb_buf_addf(&text, "%u %u %u ", r->usage, r->selector,
		    r->match);
		for (size_t k = 0; k < r->data.n; k++)
			hb_buf_addf(&text, "%02x", r->data.p[k]);
		hb_ctl_str(c, NULL, hb_buf_span(&text));
		hb_buf_free(&text);
	}
	hb_ctl_close(c);
	hb_ctl_close(c);
}

static void
show_certificate(const struct hb_ctl *c, const struct hb_tls_facts *f)
{
	struct hb_span rest = hb_span_str(f->names), name;
	char why[sizeof(f->reference) + 32] = "";

	hb_ctl_object(c, "certificate");
	hb_ctl_array(c, "names");
	while ((name = hb_span_word(&rest)).n > 0)
		hb_ctl_str(c, NULL, name);
	hb_ctl_close(c);
	text_or_null(c, "issuer", f->issuer);
	time_or_null(c, "expires", f->not_after_ms);
	hb_ctl_bool(c, "verified",
	    hb_tls_facts_verified(f) || hb_tls_facts_dane(f));
	text_or_null(c, "reference", f->reference);
	if (f->error[0] == '\0' && f->dane == HB_DANE_UNTRIED && !f->name_ok)
		(void)snprintf(why, sizeof(why), "it is not for %s",
		    f->reference);
	text_or_null(c, "error", f->error[0] != '\0' ? f->error : why);
	hb_ctl_close(c);
}

static void
show_connection(const struct hb_ctl *c, const struct dlv_mx_result *t)
{
	text_or_null(c, "tls", t->tls);
	if (t->facts.state != HB_TLSF_DONE) {
		hb_ctl_null(c, "certificate");
		return;
	}
	hb_ctl_text(c, "cipher", t->facts.cipher);
	show_certificate(c, &t->facts);
}

static void
show_host(const struct hb_ctl *c, const struct dlv_attempt *a, size_t i)
{
	const struct dlv_host *h = &dlv_attempt_mx(a)->hosts[i];
	const struct dlv_mx_result *t = dlv_attempt_trial(a, i);
	struct fate fate = fate_of(a, i);
	char text[HB_NETADDR_TEXT];

	hb_ctl_object(c, NULL);
	hb_ctl_text(c, "name", h->name);
	hb_ctl_int(c, "preference", h->preference);
	hb_ctl_array(c, "addresses");
	for (size_t k = 0; k < h->naddr; k++) {
		if (h->addr[k].family == 0)
			continue;
		hb_netaddr_format(&h->addr[k], text);
		hb_ctl_text(c, NULL, text);
	}
	hb_ctl_close(c);
	hb_ctl_text(c, "verdict", action_words[fate.action]);
	hb_ctl_text(c, "reason", hb_reason_word(fate.reason));
	text_or_null(c, "report", hb_reason_word(t->verdict.report));
	show_connection(c, t);
	if (t->text.n > 0)
		hb_ctl_str(c, "text", t->text);
	show_host_dane(c, t->dane);
	hb_ctl_text(c, "ledger", hb_rank_word(t->best));
	hb_ctl_bool(c, "fell", t->verdict.fell);
	hb_ctl_close(c);
}

/* --- the outcome --- */

static void
show_verdict(const struct hb_ctl *c, const struct dlv_attempt *a)
{
	const struct hb_outcome *problem = dlv_attempt_problem(a);
	size_t best = best_host(a);

	if (best < dlv_attempt_mx(a)->n &&
	    fate_of(a, best).action == STS_PROCEED) {
		hb_ctl_text(c, "verdict", "proceed");
		hb_ctl_text(c, "reason",
		    hb_reason_word(fate_of(a, best).reason));
		return;
	}
	/* hosts that are all skipped leave nothing but to wait */
	hb_ctl_text(c, "verdict", hb_result_word(problem->result));
	hb_ctl_text(c, "reason", hb_reason_word(problem->reason));
}

void
dlv_explain_show(const struct hb_ctl *c, const struct dlv_task *t,
    const struct dlv_params *order)
{
	const struct dlv_mx *mx = dlv_attempt_mx(t->attempt);

	hb_ctl_object(c, NULL);
	show_domain(c, t);
	show_dane(c, t->attempt);
	show_ledger(c, t);
	show_operator(c, t, order);
	hb_ctl_array(c, "mx");
	for (size_t i = 0; i < mx->listed; i++)
		show_host(c, t->attempt, i);
	hb_ctl_close(c);
	show_verdict(c, t->attempt);
	hb_ctl_bool(c, "live", order->mode == DLV_EXPLAIN_LIVE);
	hb_ctl_time(c, "time", hb_now_ms());
	hb_ctl_close(c);
	hb_ctl_end(c, 0, NULL);
}
