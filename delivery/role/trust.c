/* Trust in the resolver (delivery/smtp/trust.h): its probes and the reports of
 * their results. */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>

struct dlv_probe {
	struct dlv_worker *worker;
	struct dlv_truster truster;
	struct hb_dns_query *query;
	struct hb_timer *timer;
	struct hb_hook *turn;
	struct hb_wait waiting; /* tasks */
	/* What was told last. */
	bool told;
	enum dlv_trust_reason why;
};

/* Each worker probes for itself; the first one speaks. */
static void
tell(struct dlv_probe *p)
{
	enum dlv_trust now = dlv_trust_now(&p->truster);
	enum dlv_trust_reason why = p->truster.why;
	bool lost = now == DLV_TRUST_NO && why != DLV_TRUST_BY_SAID_NO;

	if (p->told && p->why == why)
		return;
	p->told = true;
	p->why = why;
	if (p->worker->env->instance != 0)
		return;
	HB_LOG(lost ? HB_LOG_WARN : HB_LOG_INFO, HB_EV_DNS,
	    hb_kv_str(HB_K_ACTION, "trust"),
	    hb_kv_str(HB_K_STATE, dlv_trust_word(now)),
	    hb_kv_str(HB_K_TEXT, dlv_trust_text(why)));
}

/* --- attempts that wait --- */

void
dlv_probe_start(struct dlv_probe *p, struct dlv_task *t)
{
	hb_waits_add(&p->waiting, &t->wait);
	hb_hook_arm(p->turn);
}

static void
start(struct hb_wait *w, const void *arg)
{
	dlv_attempt_start(((struct dlv_task *)w)->attempt);
}

/* One may end another. */
static void
start_waiting(struct dlv_probe *p)
{
	hb_waits_each(&p->waiting, start, NULL);
}

static void
on_turn(void *ctx)
{
	struct dlv_probe *p = ctx;

	if (!dlv_trust_is_due(&p->truster))
		start_waiting(p);
}

/* --- probes --- */

static void go_on(struct dlv_probe *p);

static void
on_answer(void *ctx, const struct hb_dns_answer *answer)
{
	struct dlv_probe *p = ctx;

	p->query = NULL;
	dlv_trust_answer(&p->truster, answer);
	go_on(p);
}

static void
rest(struct dlv_probe *p)
{
	int64_t ms = dlv_trust_rest_ms(&p->truster);

	tell(p);
	if (ms >= 0)
		hb_timer_set(p->timer, ms);
	else
		hb_timer_clear(p->timer);
	start_waiting(p);
}

static void
go_on(struct dlv_probe *p)
{
	struct dlv_trust_question q;

	if (dlv_trust_ask(&p->truster, &q))
		p->query = hb_dns_probe(p->worker->dns, q.server,
		    hb_span_str(q.name), q.type, on_answer, p);
	else
		rest(p);
}

static void
on_timer(void *ctx)
{
	struct dlv_probe *p = ctx;

	dlv_trust_again(&p->truster);
	go_on(p);
}

struct dlv_probe *
dlv_probe_new(struct dlv_worker *w)
{
	struct dlv_probe *p = HB_NEW(struct dlv_probe);

	p->worker = w;
	hb_waits_init(&p->waiting);
	p->timer = hb_timer_new(w->env->loop, on_timer, p);
	p->turn = hb_hook_new(w->env->loop, on_turn, p);
	dlv_probe_reconf(p);
	return p;
}

void
dlv_probe_free(struct dlv_probe **pp)
{
	struct dlv_probe *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	hb_dns_cancel(p->query);
	hb_timer_free(&p->timer);
	hb_hook_free(&p->turn);
	free(p);
}

void
dlv_probe_reconf(struct dlv_probe *p)
{
	const struct dlv_worker *w = p->worker;
	const struct hb_conf *conf = w->env->conf;
	struct dlv_trust_words words = { .said = conf->trust_ad,
		.probe = conf->dnssec_probe.name,
		.bad = conf->dnssec_probe.bad };

	hb_dns_cancel(p->query);
	p->query = NULL;
	hb_timer_clear(p->timer);
	/* They hold the old configuration until they start. */
	start_waiting(p);
	while (words.nservers < HB_MAX_RESOLVERS &&
	       hb_dns_server(w->dns, words.nservers,
		   &words.servers[words.nservers]))
		words.nservers++;
	dlv_trust_begin(&p->truster, &words);
	go_on(p);
}

enum dlv_trust
dlv_probe_trust(const struct dlv_probe *p)
{
	return dlv_trust_now(&p->truster);
}

void
dlv_probe_status(const struct dlv_probe *p, const struct hb_ctl *c)
{
	enum dlv_trust now = dlv_trust_now(&p->truster);
	enum dlv_trust_reason why = p->truster.why;

	hb_ctl_text(c, "trust_ad", dlv_trust_word(now));
	if (now == DLV_TRUST_YES && hb_dns_lacks_edns(p->worker->dns))
		why = DLV_TRUST_BY_NO_EDNS;
	hb_ctl_text(c, "trust_ad_why", dlv_trust_text(why));
}
