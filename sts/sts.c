/* MTA-STS for the delivery role: requests of the core to the store, DNS and
 * policy hosts.  Floor 3. */
#include "sts/sts.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "sts/sts-priv.h"

enum job_kind { JOB_STORE, JOB_TXT, JOB_FETCH };

/* One question of the core.  It lives until the answer, or sts_free. */
struct sts_job {
	LIST_ENTRY(sts_job) link;
	struct sts *s;
	struct sts_domain *d;
	enum job_kind kind;
	struct hb_dns *dns; /* that was asked */
	struct hb_dns_query *query;
	struct sts_http_get *get;
};

static struct sts_job *
job_new(struct sts *s, struct sts_domain *d, enum job_kind kind)
{
	struct sts_job *j = HB_NEW(struct sts_job);

	j->s = s;
	j->d = d;
	j->kind = kind;
	LIST_INSERT_HEAD(&s->jobs, j, link);
	return j;
}

/* Returns its domain. */
static struct sts_domain *
job_end(struct sts_job *j)
{
	struct sts_domain *d = j->d;

	LIST_REMOVE(j, link);
	free(j);
	return d;
}

static void
op_alarm(void *ctx, int64_t ms)
{
	struct sts *s = ctx;

	hb_timer_set(s->timer, ms);
}

static void
on_timer(void *ctx)
{
	struct sts *s = ctx;

	sts_core_tick(s->core, sts_now(s));
}

static void
op_soon(void *ctx)
{
	struct sts *s = ctx;

	hb_hook_arm(s->turn);
}

static void
on_turn(void *ctx)
{
	struct sts *s = ctx;

	sts_now(s);
	sts_core_turn(s->core);
}

void
sts_store_up(struct sts *s)
{
	on_timer(s);
}

/* --- the store --- */

static void
on_loaded(void *ctx, int err, struct hb_span value)
{
	struct sts *s = ((struct sts_job *)ctx)->s;
	struct sts_domain *d = job_end(ctx);

	sts_core_loaded(s->core, d, err, value, sts_now(s));
}

static void
on_saved(void *ctx, int err)
{
	struct sts *s = ((struct sts_job *)ctx)->s;
	struct sts_domain *d = job_end(ctx);

	sts_core_saved(s->core, d, err, sts_now(s));
}

/* What may be lost is not waited for. */
static void
on_lazy(void *ctx, int err)
{
}

static void
op_load(void *ctx, struct sts_domain *d)
{
	struct sts *s = ctx;

	s->env.ops->get(s->env.store, sts_domain_name(d), on_loaded,
	    job_new(s, d, JOB_STORE));
}

static void
op_save(void *ctx, struct sts_domain *d, struct hb_span value, bool lazy)
{
	struct sts *s = ctx;

	s->env.ops->put(s->env.store, sts_domain_name(d), value, lazy,
	    lazy ? on_lazy : on_saved, lazy ? NULL : job_new(s, d, JOB_STORE));
}

static void
op_remove(void *ctx, struct hb_span name)
{
	struct sts *s = ctx;

	s->env.ops->put(s->env.store, name, HB_SPAN_NONE, true, on_lazy, NULL);
}

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct sts *s = ctx;

	sts_core_row(s->core, key, value, sts_now(s));
}

static void
on_listed(void *ctx, int err)
{
	struct sts *s = ctx;

	sts_now(s);
	sts_core_listed(s->core, err);
}

static void
op_list(void *ctx, struct hb_span after, size_t count)
{
	struct sts *s = ctx;

	s->env.ops->list(s->env.store, after, count, on_row, on_listed, s);
}

static bool
op_owns(void *ctx, struct hb_span name)
{
	const struct sts *s = ctx;

	return hb_store_owns(s->env.ops, s->env.store, name);
}

/* DNS.  RFC 8461 s3.1: at _mta-sts.DOMAIN; aliases are followed there. */

enum { RECORDS_MAX = 8 };

static void
on_txt(void *ctx, const struct hb_dns_answer *a)
{
	struct sts *s = ((struct sts_job *)ctx)->s;
	struct sts_domain *d = job_end(ctx);
	struct hb_span records[RECORDS_MAX], id;
	size_t n = 0;

	for (size_t i = 0; i < a->n && n < RECORDS_MAX; i++)
		if (sts_txt_parse(a->rr[i].data, &id) != HB_E_NOTFOUND)
			records[n++] = a->rr[i].data;
	sts_core_txt(s->core, d, a->status == HB_DNS_TEMP, records, n, a->ttl_s,
	    sts_now(s));
}

static void
ask_txt(struct sts_job *j, bool anew)
{
	char name[sizeof("_mta-sts.") + HB_MAX_DOMAIN];
	struct hb_dns *dns = j->s->env.dns;

	snprintf(name, sizeof(name), "_mta-sts.%.*s",
	    HB_SPAN_ARG(sts_domain_name(j->d)));
	if (anew)
		hb_dns_forget(dns, hb_span_str(name), HB_DNS_TXT);
	j->dns = dns;
	j->query = hb_dns_ask(dns, hb_span_str(name), HB_DNS_TXT, on_txt, j);
}

static void
op_ask(void *ctx, struct sts_domain *d, bool anew)
{
	ask_txt(job_new(ctx, d, JOB_TXT), anew);
}

/* --- HTTPS --- */

static void
on_fetched(void *ctx, enum hb_reason why, struct hb_span body, const char *text)
{
	struct sts *s = ((struct sts_job *)ctx)->s;
	struct sts_domain *d = job_end(ctx);

	sts_core_fetched(s->core, d, why, body, text, sts_now(s));
}

static void
op_fetch(void *ctx, struct sts_domain *d)
{
	struct sts *s = ctx;
	struct sts_job *j = job_new(s, d, JOB_FETCH);

	j->get = sts_http_start(s->http, sts_domain_name(d), on_fetched, j);
}

static void
op_drop(void *ctx, struct sts_domain *d)
{
	struct sts *s = ctx;

	struct sts_job *j;

	LIST_FOREACH(j, &s->jobs, link)
		if (j->d == d && j->kind == JOB_FETCH) {
			sts_http_cancel(j->get);
			(void)job_end(j);
			return;
		}
}

/* --- the newest good time --- */

static void
on_clock(void *ctx, int err, struct hb_span value)
{
	struct sts *s = ctx;

	sts_now(s);
	sts_core_clock_loaded(s->core, err, value);
}

static void
op_load_clock(void *ctx)
{
	struct sts *s = ctx;

	s->env.ops->get(s->env.store, STS_CLOCK_KEY, on_clock, s);
}

static void
op_save_clock(void *ctx, struct hb_span value)
{
	struct sts *s = ctx;

	s->env.ops->put(
	    s->env.store, STS_CLOCK_KEY, value, false, on_lazy, NULL);
}

static const struct sts_core_ops core_ops = {
	.load = op_load,
	.save = op_save,
	.ask = op_ask,
	.fetch = op_fetch,
	.drop = op_drop,
	.list = op_list,
	.remove = op_remove,
	.owns = op_owns,
	.load_clock = op_load_clock,
	.save_clock = op_save_clock,
	.alarm = op_alarm,
	.soon = op_soon,
};

/* --- the whole --- */

struct sts *
sts_new(const struct sts_env *env)
{
	struct sts_http *http = sts_http_new(env->loop);
	unsigned char key[16];
	struct sts *s;

	if (http == NULL)
		return NULL;
	s = HB_NEW(struct sts);
	s->env = *env;
	s->http = http;
	s->asks = (struct hb_ctl_asks){ .loop = env->loop,
		.ops = env->ops,
		.store = env->store,
		.ctx = s };
	sts_http_use(http, env->conf, env->dns, env->tls);
	hb_random(key, sizeof(key));
	s->timer = hb_timer_new(env->loop, on_timer, s);
	s->turn = hb_hook_new(env->loop, on_turn, s);
	s->core = sts_core_new(&core_ops, s, key, env->build_ms);
	sts_now(s);
	sts_core_refresh(s->core, env->conf->mta_sts);
	return s;
}

void
sts_free(struct sts **sp)
{
	struct sts *s = *sp;
	struct sts_job *j;

	if (s == NULL)
		return;
	hb_ctl_asks_free(&s->asks);
	while ((j = LIST_FIRST(&s->jobs)) != NULL) {
		hb_dns_cancel(j->query);
		sts_http_cancel(j->get);
		(void)job_end(j);
	}
	sts_http_free(&s->http);
	sts_core_free(&s->core);
	hb_timer_free(&s->timer);
	hb_hook_free(&s->turn);
	free(s);
	*sp = NULL;
}

void
sts_reconf(struct sts *s, const struct hb_conf *conf, struct hb_dns *dns,
    struct hb_tls *tls)
{
	struct sts_job *j;

	s->env.conf = conf;
	s->env.dns = dns;
	s->env.tls = tls;
	sts_http_use(s->http, conf, dns, tls);
	LIST_FOREACH(j, &s->jobs, link)
		if (j->kind == JOB_TXT && j->dns != s->env.dns) {
			hb_dns_cancel(j->query);
			ask_txt(j, false);
		}
	sts_now(s);
	sts_core_refresh(s->core, conf->mta_sts);
}

struct sts_lookup *
sts_lookup(struct sts *s, struct hb_span domain, unsigned flags,
    sts_lookup_fn cb, void *ctx)
{
	if (!s->env.conf->mta_sts)
		return sts_core_lookup_none(
		    s->core, HB_REASON_STS_OFF, cb, ctx);
	return sts_core_lookup(s->core, domain, flags, cb, ctx, sts_now(s));
}

bool
sts_cached(struct sts *s, struct hb_span domain, struct sts_policy_ref **ref,
    enum hb_reason *why)
{
	return s->env.conf->mta_sts &&
	       sts_core_cached(s->core, domain, sts_now(s), ref, why);
}

enum hb_reason
sts_last_error(struct sts *s, struct hb_span domain)
{
	return sts_core_last_error(s->core, domain);
}

const struct sts_txt_state *
sts_last_txt(struct sts *s, struct hb_span domain)
{
	return sts_core_last_txt(s->core, domain);
}

void
sts_clock_moved(struct sts *s)
{
	hb_timer_set(s->timer, 0);
}

bool
sts_clock_implausible(const struct sts *s)
{
	sts_now(s);
	return sts_core_clock_state(s->core) != STS_CLOCK_GOOD;
}

int64_t
sts_least_ms(const struct sts *s)
{
	return sts_core_least_ms(s->core, sts_now(s));
}

void
sts_clock_confirmed(struct sts *s)
{
	sts_now(s);
	sts_core_clock_confirmed(s->core);
}
