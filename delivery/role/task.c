/* The world of an attempt: DNS, policies, connections, the clock. */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>

#include "common/proto/hosts.h"

struct dlv_question {
	LIST_ENTRY(dlv_question) link;
	struct dlv_task *task;
	size_t slot;
	struct hb_dns_query *query;
};

/* --- policy --- */

static void
on_policy(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct dlv_task *t = ctx;

	t->lookup = NULL;
	t->ref = ref;
	dlv_attempt_policy(t->attempt, ref != NULL ? &ref->policy : NULL, why);
}

static bool
world_policy(void *w, struct hb_span domain, bool final,
    const struct sts_policy **policy, enum hb_reason *why)
{
	struct dlv_task *t = w;
	struct sts *sts = t->worker->sts;

	if (!final && sts_cached(sts, domain, &t->ref, why)) {
		*policy = t->ref != NULL ? &t->ref->policy : NULL;
		return true;
	}
	t->lookup = sts_lookup(sts, domain, final ? STS_FINAL : 0, on_policy,
	    t);
	return false;
}

/* --- the memory of downgrades --- */

static void
on_seen(void *ctx, struct dlv_seen *seen)
{
	struct dlv_task *t = ctx;

	t->memory = NULL;
	t->seen = seen;
	dlv_attempt_ledger(t->attempt, seen);
}

static const struct dlv_seen *
world_ledger(void *w, struct hb_span domain)
{
	struct dlv_task *t = w;

	t->seen = dlv_ledger_cached(t->worker->ledger, domain);
	if (t->seen == NULL)
		t->memory = dlv_ledger_get(t->worker->ledger, domain, on_seen,
		    t);
	return t->seen;
}

static void
world_note(void *w, struct hb_span domain, struct hb_span mx,
    enum hb_rank rank)
{
	const struct dlv_task *t = w;

	dlv_ledger_note(t->worker->ledger, domain, mx, rank);
}

/* --- DNS --- */

static void
drop_question(struct dlv_question *q)
{
	LIST_REMOVE(q, link);
	free(q);
}

static void
on_answer(void *ctx, const struct hb_dns_answer *answer)
{
	struct dlv_question *q = ctx;
	struct dlv_task *t = q->task;
	size_t slot = q->slot;

	drop_question(q);
	dlv_attempt_answer(t->attempt, slot, answer);
}

static const struct hb_dns_answer *
world_ask(void *w, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	struct dlv_task *t = w;
	struct hb_dns *dns = t->worker->dns;
	const struct hb_dns_answer *known = hb_dns_cached(dns, name, type);
	struct dlv_question *q;

	if (known != NULL)
		return known;
	q = HB_NEW(struct dlv_question);
	q->task = t;
	q->slot = slot;
	LIST_INSERT_HEAD(&t->questions, q, link);
	q->query = hb_dns_ask(dns, name, type, on_answer, q);
	return NULL;
}

static size_t
world_hosts_file(void *w, struct hb_span name, struct hb_netaddr *out,
    size_t max)
{
	struct dlv_task *t = w;

	return hb_hosts_find(hb_buf_span(&t->worker->hosts), name, out, max);
}

/* --- connections --- */

static void
on_report(void *ctx, const struct dlv_connection_report *r)
{
	struct dlv_task *t = ctx;

	/* a certificate that is in date speaks for the clock */
	if (r->event == DLV_LINK_READY && !r->reused &&
	    hb_tls_facts_verified(r->facts))
		sts_clock_confirmed(t->worker->sts);
	dlv_attempt_connection(t->attempt, r);
}

static enum hb_reason
world_why_down(void *w, const struct hb_netaddr *addr)
{
	struct dlv_task *t = w;

	return dlv_pool_why_down(t->worker->pool, addr);
}

static void
world_open(void *w, const struct dlv_target *target)
{
	struct dlv_task *t = w;

	t->link = dlv_pool_open(t->worker->pool, target, on_report, t);
}

static void
world_mail(void *w, const struct dlv_txn *txn,
    const struct sts_verdict *verdict)
{
	struct dlv_task *t = w;

	dlv_connection_mail(t->link, txn, verdict, &t->body);
}

static void
world_release(void *w, bool keep)
{
	struct dlv_task *t = w;

	dlv_connection_release(&t->link, keep);
}

static void
world_done(void *w)
{
	struct dlv_task *t = w;

	t->done(t);
}

static bool
world_clock_implausible(void *w)
{
	struct dlv_task *t = w;

	return sts_clock_implausible(t->worker->sts);
}

static int64_t
world_least_ms(void *w)
{
	const struct dlv_task *t = w;

	return sts_least_ms(t->worker->sts);
}

static enum dlv_trust
world_ad_trust(void *w)
{
	const struct dlv_task *t = w;

	return dlv_probe_trust(t->worker->probe);
}

static const struct dlv_world world = {
	.policy = world_policy,
	.ledger = world_ledger,
	.note = world_note,
	.ask = world_ask,
	.hosts_file = world_hosts_file,
	.why_down = world_why_down,
	.open = world_open,
	.mail = world_mail,
	.release = world_release,
	.done = world_done,
	.ad_trust = world_ad_trust,
	.clock_implausible = world_clock_implausible,
	.least_ms = world_least_ms,
	.random = hb_random_below,
	.now_ms = hb_now_ms,
};

void
dlv_task_start(struct dlv_task *t, const struct dlv_params *order,
    const struct dlv_body *body)
{
	struct dlv_params o = *order;

	o.conf = &t->worker->env->conf;
	t->body = *body;
	t->attempt = dlv_attempt_new(&o, &world, t);
	dlv_probe_start(t->worker->probe, t);
}

void
dlv_task_stop(struct dlv_task *t)
{
	struct dlv_question *q;

	if (t->wait.next != NULL) /* else it was never started */
		hb_waits_remove(&t->wait);
	dlv_connection_release(&t->link, false);
	sts_lookup_cancel(t->lookup);
	t->lookup = NULL;
	dlv_ledger_cancel(t->memory);
	t->memory = NULL;
	while ((q = LIST_FIRST(&t->questions)) != NULL) {
		hb_dns_cancel(q->query);
		drop_question(q);
	}
	dlv_attempt_free(&t->attempt);
	sts_ref_release(&t->ref);
	dlv_seen_release(&t->seen);
}
