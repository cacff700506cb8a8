/* Lookups of one worker, and the next step of each domain with a waiting
 * lookup.  RFC 8461 s3.3, s5.1.  Floor 2. */
#include "sts/core.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/domain.h"
#include "sts/core-priv.h"

enum {
	SLOW_LOOK_MS = 1000,      /* while others wait for a place */
	CLOCK_WAIT_MS = 60 * 1000 /* while the clock is wrong */
};

struct sts_lookup {
	struct sts_lookup *next, **at; /* *at points here */
	sts_lookup_fn cb;
	void *ctx;
	bool *answered; /* set while sts_core_lookup runs */
};

struct sts_core *
sts_core_new(const struct sts_core_ops *ops, void *ctx,
    const unsigned char key[16], int64_t build_ms)
{
	struct sts_core *c = HB_NEW(struct sts_core);

	c->ops = ops;
	c->ctx = ctx;
	sts_clock_init(&c->clock, build_ms);
	c->wanted.tail = &c->wanted.head;
	c->background.tail = &c->background.head;
	c->active.tail = &c->active.head;
	c->alarm_ms = INT64_MAX;
	sts_cache_init(&c->cache, key);
	return c;
}

static void
free_waiters(struct sts_domain *d)
{
	while (d->waiters != NULL)
		sts_core_cancel(d->waiters);
}

void
sts_core_free(struct sts_core **c)
{
	if (*c == NULL)
		return;
	for (struct sts_domain *d = (*c)->cache.newest; d != NULL; d = d->older)
		free_waiters(d);
	sts_cache_clear(&(*c)->cache);
	free(*c);
	*c = NULL;
}

bool
sts_core_is_over(const struct sts_core *c, int64_t expires_ms, int64_t now_ms)
{
	return now_ms >= expires_ms && sts_clock_is_good(&c->clock);
}

void
sts_core_log(const struct sts_domain *d, enum hb_level level,
    enum hb_stat action, enum hb_reason why, const char *text)
{
	const struct sts_policy_ref *ref = d->held;

	hb_stat(action);
	HB_LOG(level, HB_EV_POLICY, hb_kv_span(HB_K_DOMAIN, sts_domain_name(d)),
	    hb_kv_str(HB_K_ACTION, hb_stat_info(action).value),
	    hb_kv_str(HB_K_REASON, hb_reason_word(why)),
	    hb_kv_if(ref != NULL,
		hb_kv_str(HB_K_MODE,
		    sts_mode_word(
			ref != NULL ? ref->policy.mode : STS_MODE_NONE))),
	    hb_kv_if(ref != NULL, hb_kv_span(HB_K_POLICY_ID,
				      ref != NULL ? ref->id : HB_SPAN_NONE)),
	    hb_kv_if(text != NULL, hb_kv_str(HB_K_ERROR, text)));
}

/* Answering */

static void
wait_for(struct sts_domain *d, struct sts_lookup *l)
{
	l->next = d->waiters;
	l->at = &d->waiters;
	if (l->next != NULL)
		l->next->at = &l->next;
	d->waiters = l;
}

void
sts_core_cancel(struct sts_lookup *l)
{
	if (l == NULL)
		return;
	*l->at = l->next;
	if (l->next != NULL)
		l->next->at = l->at;
	free(l);
}

/* The waiters leave first: a callback may look up again, or cancel others. */
void
sts_core_answer(
    struct sts_domain *d, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct sts_lookup *first = d->waiters;
	struct sts_policy_ref *keep = sts_ref_take(ref);

	d->waiters = NULL;
	d->background = d->force = false;
	if (first != NULL)
		first->at = &first;
	while (first != NULL) {
		sts_lookup_fn cb = first->cb;
		void *ctx = first->ctx;

		if (first->answered != NULL)
			*first->answered = true;
		sts_core_cancel(first);
		cb(ctx, sts_ref_take(keep), why);
	}
	sts_ref_release(&keep);
}

/* RFC 8461 s3.2: not longer than max_age after the fetch.  The store is read
 * again: another worker may have refreshed the policy meanwhile. */
void
sts_core_drop_expired(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	if (d->held == NULL ||
	    !sts_core_is_over(c, d->held->policy.expires_ms, now_ms))
		return;
	sts_cache_hold(&c->cache, d, NULL);
	d->loaded = false;
}

/* Steps */

static void
load(struct sts_core *c, struct sts_domain *d)
{
	d->loading = true;
	sts_core_clock_load(c); /* first, to judge by it */
	c->ops->load(c->ctx, d);
}

static void
ask(struct sts_core *c, struct sts_domain *d)
{
	bool anew = d->anew || d->txt.temp > 0;

	if (d->asking)
		return;
	d->asking = true;
	d->anew = false;
	c->ops->ask(c->ctx, d, anew);
}

/* Nearly always at the end: the answer has just come.  The time stays what it
 * is when D is asked for before: then it is only looked at for nothing. */
static void
ask_later(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	struct sts_domain *before = c->retry_last, *after;

	if (d->retrying)
		return;
	d->retrying = true;
	d->retry_ms = c->mono_ms + d->txt.fresh_until_ms - now_ms;
	while (before != NULL && before->retry_ms > d->retry_ms)
		before = before->retry_prev;
	after = before != NULL ? before->retry_next : c->retry_first;
	d->retry_prev = before;
	d->retry_next = after;
	*(before != NULL ? &before->retry_next : &c->retry_first) = d;
	*(after != NULL ? &after->retry_prev : &c->retry_last) = d;
	sts_core_set_alarm(c);
}

/* Takes the first that is due; NULL: none is. */
static struct sts_domain *
next_retry(struct sts_core *c)
{
	struct sts_domain *d = c->retry_first;

	if (d == NULL || d->retry_ms > c->mono_ms)
		return NULL;
	c->retry_first = d->retry_next;
	*(d->retry_next != NULL ? &d->retry_next->retry_prev : &c->retry_last) =
	    NULL;
	d->retrying = false;
	return d;
}

static void
go_without(struct sts_core *c, struct sts_domain *d, enum hb_reason why)
{
	if (why == HB_REASON_STS_DNS_TEMP && d->waiters != NULL) {
		c->without_answer++;
		HB_LOG(HB_LOG_WARN, HB_EV_POLICY,
		    hb_kv_span(HB_K_DOMAIN, sts_domain_name(d)),
		    hb_kv_str(HB_K_ACTION, "rejected"),
		    hb_kv_str(HB_K_REASON, hb_reason_word(why)),
		    hb_kv_int(HB_K_COUNT, (int64_t)c->without_answer));
	}
	sts_core_answer(d, NULL, why);
}

/* Forced: what would be answered now is fetched first, if there is anything
 * to fetch. */
static enum sts_step_kind
kind_of(const struct sts_domain *d, const struct sts_step *s)
{
	bool known = d->held != NULL || d->txt.why == HB_REASON_NONE;

	if (d->force && known &&
	    (s->kind == STS_STEP_USE || s->kind == STS_STEP_WITHOUT))
		return STS_STEP_FETCH;
	return s->kind;
}

void
sts_core_advance(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	struct sts_step s;

	if ((d->waiters == NULL && !d->background) || d->loading)
		return;
	sts_core_drop_expired(c, d, now_ms);
	if (!d->loaded) {
		load(c, d);
		return;
	}
	s = sts_fetch_step(d->held, &d->txt, &d->fetch, now_ms);
	switch (kind_of(d, &s)) {
	case STS_STEP_ASK:
		ask(c, d);
		break;
	case STS_STEP_ASK_LATER:
		ask_later(c, d, now_ms);
		break;
	case STS_STEP_FETCH:
		sts_core_want_fetch(c, d,
		    d->txt.id.n > 0 ? sts_id_span(&d->txt.id) : d->held->id);
		break;
	case STS_STEP_USE:
		sts_core_answer(d, d->held, s.why);
		break;
	case STS_STEP_WITHOUT:
		go_without(c, d, s.why);
		break;
	}
}

/* Lookups */

/* NAME in lower case without final dot; false: nothing that DNS and a URL
 * could ask for. */
bool
sts_core_canonical(
    struct hb_span name, unsigned char dst[HB_MAX_DOMAIN], struct hb_span *out)
{
	name = hb_domain_dotless(name);
	if (name.n == 0 || name.n > HB_MAX_DOMAIN)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		dst[i] = hb_lower(name.p[i]);
		if (!hb_is_alnum(dst[i]) && dst[i] != '-' && dst[i] != '_' &&
		    dst[i] != '.')
			return false;
	}
	*out = hb_span(dst, name.n);
	return true;
}

bool
sts_is_name(struct hb_span name)
{
	unsigned char lower[HB_MAX_DOMAIN];
	struct hb_span canon;

	return sts_core_canonical(name, lower, &canon) &&
	       hb_span_eq(name, canon);
}

/* The warm case: no allocation, no question. */
static bool
answer_now(struct sts_core *c, struct sts_domain *d, sts_lookup_fn cb,
    void *ctx, int64_t now_ms)
{
	struct sts_step s;

	sts_core_drop_expired(c, d, now_ms);
	if (!d->loaded)
		return false;
	s = sts_fetch_step(d->held, &d->txt, &d->fetch, now_ms);
	if (s.kind != STS_STEP_USE &&
	    (s.kind != STS_STEP_WITHOUT || s.why == HB_REASON_STS_DNS_TEMP))
		return false;
	cb(ctx, s.kind == STS_STEP_USE ? sts_ref_take(d->held) : NULL, s.why);
	return true;
}

static void
apply_flags(struct sts_domain *d, unsigned flags)
{
	if (flags == 0)
		return;
	d->force = d->force || (flags & STS_FORCE) != 0;
	if (!d->asking) { /* a question under way is new enough */
		d->txt.fresh_until_ms = d->txt.asked_ms;
		d->anew = true;
	}
}

struct sts_lookup *
sts_core_lookup(struct sts_core *c, struct hb_span domain, unsigned flags,
    sts_lookup_fn cb, void *ctx, int64_t now_ms)
{
	unsigned char lower[HB_MAX_DOMAIN];
	struct sts_lookup *l;
	struct sts_domain *d;
	bool answered = false;

	if (!sts_core_canonical(domain, lower, &domain)) {
		cb(ctx, NULL, HB_REASON_STS_NO_RECORD);
		return NULL;
	}
	d = sts_cache_find(&c->cache, domain);
	if (d != NULL && flags == 0 && answer_now(c, d, cb, ctx, now_ms))
		return NULL;
	if (d == NULL)
		d = sts_cache_add(&c->cache, domain);
	apply_flags(d, flags);
	l = HB_NEW(struct sts_lookup);
	*l = (struct sts_lookup){ .cb = cb, .ctx = ctx, .answered = &answered };
	wait_for(d, l);
	sts_core_advance(c, d, now_ms);
	if (answered)
		return NULL;
	l->answered = NULL;
	return l;
}

/* Answers to questions */

void
sts_core_txt(struct sts_core *c, struct sts_domain *d, bool temp,
    const struct hb_span *records, size_t n, uint32_t ttl_s, int64_t now_ms)
{
	enum hb_reason why = HB_REASON_STS_DNS_TEMP;
	struct hb_span id = HB_SPAN_NONE;
	int r = temp ? HB_E_TEMP : sts_txt_pick(records, n, &id);

	if (r == 0)
		why = HB_REASON_NONE;
	else if (r == HB_E_NOTFOUND)
		why = HB_REASON_STS_NO_RECORD;
	else if (!temp)
		why = HB_REASON_STS_BAD_RECORD;
	d->asking = false;
	sts_txt_seen(&d->txt, why, id, ttl_s, now_ms);
	sts_core_advance(c, d, now_ms);
}

void
sts_core_refresh(struct sts_core *c, bool on)
{
	c->walks = on;
	sts_core_set_alarm(c);
}

/* What waits for a time of a clock that is no more what it was. */
static void
look_at_all(struct sts_core *c)
{
	c->moved = false;
	c->walk_ms = c->mono_ms;
	for (struct sts_domain *d = c->retry_first; d != NULL;
	     d = d->retry_next)
		d->retry_ms = c->mono_ms;
}

void
sts_core_tick(struct sts_core *c, int64_t now_ms)
{
	struct sts_domain *d;

	c->alarm_ms = INT64_MAX;
	if (c->moved)
		look_at_all(c);
	while ((d = next_retry(c)) != NULL)
		sts_core_advance(c, d, now_ms);
	sts_core_clock_tick(c);
	sts_core_start_fetches(c);
	sts_core_scan(c);
	sts_core_set_alarm(c);
}

static int64_t
min_ms(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* How long sts_core_tick has nothing to do.  Bounded: a clock that jumps is
 * noticed. */
static int64_t
rest_ms(const struct sts_core *c)
{
	int64_t rest = sts_clock_is_good(&c->clock) ? WALK_PAUSE_MS
						    : CLOCK_WAIT_MS;

	rest = min_ms(rest, sts_core_scan_rest(c));
	if (c->retry_first != NULL)
		rest = min_ms(rest, c->retry_first->retry_ms - c->mono_ms);
	if (sts_core_is_place_wanted(c))
		rest = min_ms(rest, SLOW_LOOK_MS);
	return c->moved || rest < WAIT_MIN_MS ? WAIT_MIN_MS : rest;
}

void
sts_core_set_alarm(struct sts_core *c)
{
	int64_t rest = rest_ms(c);

	if (c->mono_ms + rest >= c->alarm_ms)
		return;
	c->alarm_ms = c->mono_ms + rest;
	c->ops->alarm(c->ctx, rest);
}

static struct sts_domain *
find_known(struct sts_core *c, struct hb_span domain)
{
	unsigned char lower[HB_MAX_DOMAIN];

	return sts_core_canonical(domain, lower, &domain)
		   ? sts_cache_find(&c->cache, domain)
		   : NULL;
}

enum hb_reason
sts_core_last_error(struct sts_core *c, struct hb_span domain)
{
	const struct sts_domain *d = find_known(c, domain);

	return d != NULL ? d->fetch.error : HB_REASON_NONE;
}

const struct sts_txt_state *
sts_core_last_txt(struct sts_core *c, struct hb_span domain)
{
	const struct sts_domain *d = find_known(c, domain);

	return d != NULL ? &d->txt : NULL;
}
