/*
 * EXPLAIN_ROUTE: where mail for a route would go and why, by the code that
 * sends it.  The answer is one object: policy_domain, policy, dane, mx[],
 * verdict, reason (INTERFACE section 4).
 */
#include "config.h"

#include "delivery/main.h"

#include <stdlib.h>

struct explain {
	struct explain *next, **prev;
	struct dlv_explains *all;
	struct hb_ctl ctl;
	struct hb_arena *arena;
	bool live;
	struct dlv_task task;
};

struct dlv_explains {
	struct dlv_worker *worker;
	struct explain *list;
};

static const char *const action_words[] = {
	[STS_DEFER] = "defer",
	[STS_SKIP] = "skip",
	[STS_PROCEED] = "proceed",
};

static void
free_explain(struct explain *e)
{
	*e->prev = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	dlv_task_stop(&e->task);
	hb_arena_free(&e->arena);
	free(e);
}

static void
show_policy(const struct hb_ctl *c, const struct sts_policy_ref *ref)
{
	int64_t now = hb_now_ms();

	if (ref == NULL) {
		hb_ctl_null(c, "policy");
		return;
	}
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
	hb_ctl_int(c, "age_s", (now - ref->fetched_ms) / 1000);
	hb_ctl_close(c);
}

static void
show_addresses(const struct hb_ctl *c, const struct dlv_host *h)
{
	char text[HB_NETADDR_TEXT];

	hb_ctl_array(c, "addresses");
	for (size_t i = 0; i < h->naddr; i++) {
		hb_netaddr_format(&h->addr[i], text);
		hb_ctl_text(c, NULL, text);
	}
	hb_ctl_close(c);
}

static void
show_host(const struct hb_ctl *c, const struct dlv_host *h,
    const struct dlv_trial *t)
{
	hb_ctl_object(c, NULL);
	hb_ctl_text(c, "name", h->name);
	hb_ctl_int(c, "preference", h->preference);
	show_addresses(c, h);
	hb_ctl_text(c, "verdict", action_words[t->verdict.action]);
	hb_ctl_text(c, "reason", hb_reason_word(t->verdict.reason));
	if (t->tls[0] != '\0')
		hb_ctl_text(c, "tls", t->tls);
	else
		hb_ctl_null(c, "tls");
	if (t->text.n > 0)
		hb_ctl_str(c, "text", t->text);
	hb_ctl_close(c);
}

/* The best of the hosts decides; without hosts, the problem. */
static void
show_verdict(const struct explain *e)
{
	const struct dlv_attempt *a = e->task.attempt;
	const struct dlv_mx *mx = dlv_attempt_mx(a);
	const struct dlv_outcome *problem = dlv_attempt_problem(a);
	const struct dlv_trial *best = NULL;

	for (size_t i = 0; i < mx->n; i++) {
		const struct dlv_trial *t = dlv_attempt_trial(a, i);

		if (t->judged && (best == NULL ||
			t->verdict.action > best->verdict.action))
			best = t;
	}
	if (best == NULL) {
		hb_ctl_text(&e->ctl, "verdict",
		    hb_result_word(problem->res.result));
		hb_ctl_text(&e->ctl, "reason",
		    hb_reason_word(problem->res.reason));
		return;
	}
	/* hosts that are all skipped leave nothing but to wait */
	hb_ctl_text(&e->ctl, "verdict", best->verdict.action == STS_PROCEED
		? "proceed" : "defer");
	hb_ctl_text(&e->ctl, "reason", hb_reason_word(best->verdict.reason));
}

static void
show_domain(const struct explain *e)
{
	const struct sts_channel *ch = dlv_attempt_channel(e->task.attempt);
	const char *domain = dlv_attempt_policy_domain(e->task.attempt);

	if (domain[0] != '\0')
		hb_ctl_text(&e->ctl, "policy_domain", domain);
	else
		hb_ctl_null(&e->ctl, "policy_domain");
	show_policy(&e->ctl, e->task.ref);
	if (e->task.ref == NULL && ch->no_policy != HB_REASON_NONE)
		hb_ctl_text(&e->ctl, "no_policy",
		    hb_reason_word(ch->no_policy));
	hb_ctl_null(&e->ctl, "dane");
	hb_ctl_text(&e->ctl, "dane_note", "DANE is not built");
}

static void
on_task_done(struct dlv_task *t)
{
	struct explain *e = (struct explain *)(void *)((char *)t -
	    offsetof(struct explain, task));
	const struct dlv_mx *mx = dlv_attempt_mx(t->attempt);

	hb_ctl_object(&e->ctl, NULL);
	show_domain(e);
	hb_ctl_array(&e->ctl, "mx");
	for (size_t i = 0; i < mx->n; i++)
		show_host(&e->ctl, &mx->hosts[i],
		    dlv_attempt_trial(t->attempt, i));
	hb_ctl_close(&e->ctl);
	show_verdict(e);
	hb_ctl_bool(&e->ctl, "live", e->live);
	hb_ctl_close(&e->ctl);
	hb_ctl_end(&e->ctl, 0, NULL);
	free_explain(e);
}

void
dlv_explain(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct explain *e = HB_NEW(struct explain);
	struct dlv_body none = { .fd = -1 };
	struct dlv_order order = { .mode = DLV_EXPLAIN };

	e->all = w->explains;
	e->ctl = (struct hb_ctl){ control, q->ref };
	e->arena = hb_arena_new();
	e->live = (q->flags & DLV_EXPLAIN_FLAG_LIVE) != 0;
	e->next = e->all->list;
	e->prev = &e->all->list;
	if (e->next != NULL)
		e->next->prev = &e->next;
	e->all->list = e;
	order.mode = e->live ? DLV_EXPLAIN_LIVE : DLV_EXPLAIN;
	order.route = hb_arena_span(e->arena, q->arg);
	order.domain = hb_arena_span(e->arena, q->arg2);
	e->task.worker = w;
	e->task.done = on_task_done;
	dlv_task_start(&e->task, &order, &none);
}

void
dlv_explain_lost(struct dlv_worker *w, const struct hb_peer *control)
{
	struct explain *e, *next;

	for (e = w->explains->list; e != NULL; e = next) {
		next = e->next;
		if (e->ctl.peer == control)
			free_explain(e);
	}
}

struct dlv_explains *
dlv_explains_new(struct dlv_worker *w)
{
	struct dlv_explains *x = HB_NEW(struct dlv_explains);

	x->worker = w;
	return x;
}

void
dlv_explains_free(struct dlv_explains **xp)
{
	if (*xp == NULL)
		return;
	while ((*xp)->list != NULL)
		free_explain((*xp)->list);
	free(*xp);
	*xp = NULL;
}
