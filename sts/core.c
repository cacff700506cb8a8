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
	struct hb_wait wait;
	sts_lookup_fn cb;
	void *ctx;
	/* the answer */
	struct sts_policy_ref *ref;
	enum hb_reason why;
};

struct sts_core *
sts_core_new(const struct sts_core_ops *ops, void *ctx,
    const unsigned char key[16], int64_t build_ms)
{
	struct sts_core *c = HB_NEW(struct sts_core);

	c->ops = ops;
	c->ctx = ctx;
	sts_clock_init(&c->clock, build_ms);
	TAILQ_INIT(&c->wanted.list);
	TAILQ_INIT(&c->background.list);
	TAILQ_INIT(&c->active.list);
	TAILQ_INIT(&c->retries);
	c->alarm_ms = INT64_MAX;
	hb_waits_init(&c->told);
	sts_cache_init(&c->cache, key);
	return c;
}

static void
drop(struct hb_wait *w, const void *arg)
{
	struct sts_lookup *l = (struct sts_lookup *)w;

	sts_ref_release(&l->ref);
	free(l);
}

void
sts_core_free(struct sts_core **c)
{
	if (*c == NULL)
		return;
	for (struct hb_memo_entry *e = NULL;
	     (e = hb_memo_next(&(*c)->cache.memo, e)) != NULL;)
		hb_waits_each(&e->waits, drop, NULL);
	hb_waits_each(&(*c)->told, drop, NULL);
	hb_memo_clear(&(*c)->cache.memo);
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

/* --- answering --- */

static struct sts_lookup *
lookup_new(struct hb_wait *list, sts_lookup_fn cb, void *ctx)
{
	struct sts_lookup *l = HB_NEW(struct sts_lookup);

	l->cb = cb;
	l->ctx = ctx;
	hb_waits_add(list, &l->wait);
	return l;
}

void
sts_lookup_cancel(struct sts_lookup *l)
{
	if (l == NULL)
		return;
	hb_waits_remove(&l->wait);
	drop(&l->wait, NULL);
}

void
sts_core_answer(struct sts_core *c, struct sts_domain *d,
    struct sts_policy_ref *ref, enum hb_reason why)
{
	struct hb_wait *all = &d->memo.waits;

	d->background = d->force = false;
	for (struct hb_wait *w = all->next; w != all; w = w->next) {
		struct sts_lookup *l = (struct sts_lookup *)w;

		l->ref = sts_ref_take(ref);
		l->why = why;
	}
	hb_waits_move(&c->told, all);
	c->ops->soon(c->ctx);
}

static void
tell(struct hb_wait *w, const void *arg)
{
	struct sts_lookup *l = (struct sts_lookup *)w;

	l->cb(l->ctx, l->ref, l->why);
	free(l);
}

void
sts_core_turn(struct sts_core *c)
{
	sts_core_start_fetches(c);
	hb_waits_each(&c->told, tell, NULL);
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
	sts_unread(d);
}

/* --- steps --- */

static void
load(struct sts_core *c, struct sts_domain *d)
{
	d->reading = STS_READING;
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
	struct sts_domain *before;

	if (d->retrying)
		return;
	d->retrying = true;
	d->retry_ms = c->mono_ms + d->txt.fresh_until_ms - now_ms;
	TAILQ_FOREACH_REVERSE(before, &c->retries, sts_domains, retry)
		if (before->retry_ms <= d->retry_ms)
			break;
	if (before != NULL)
		TAILQ_INSERT_AFTER(&c->retries, before, d, retry);
	else
		TAILQ_INSERT_HEAD(&c->retries, d, retry);
	sts_core_set_alarm(c);
}

/* Takes the first that is due; NULL: none is. */
static struct sts_domain *
next_retry(struct sts_core *c)
{
	struct sts_domain *d = TAILQ_FIRST(&c->retries);

	if (d == NULL || d->retry_ms > c->mono_ms)
		return NULL;
	TAILQ_REMOVE(&c->retries, d, retry);
	d->retrying = false;
	return d;
}

static void
go_without(struct sts_core *c, struct sts_domain *d, enum hb_reason why)
{
	if (why == HB_REASON_STS_DNS_TEMP && sts_is_awaited(d)) {
		c->without_answer++;
		HB_LOG(HB_LOG_WARN, HB_EV_POLICY,
		    hb_kv_span(HB_K_DOMAIN, sts_domain_name(d)),
		    hb_kv_str(HB_K_ACTION, "rejected"),
		    hb_kv_str(HB_K_REASON, hb_reason_word(why)),
		    hb_kv_int(HB_K_COUNT, (int64_t)c->without_answer));
	}
	sts_core_answer(c, d, NULL, why);
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

	if ((!sts_is_awaited(d) && !d->background) || sts_is_reading(d))
		return;
	sts_core_drop_expired(c, d, now_ms);
	if (d->reading != STS_READ) {
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
		sts_core_answer(c, d, d->held, s.why);
		break;
	case STS_STEP_WITHOUT:
		go_without(c, d, s.why);
		break;
	}
}

/* --- lookups --- */

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

static struct sts_domain *
find_known(struct sts_core *c, struct hb_span domain)
{
	unsigned char lower[HB_MAX_DOMAIN];

	return sts_core_canonical(domain, lower, &domain)
		   ? sts_cache_find(&c->cache, domain)
		   : NULL;
}

/* The warm case: no allocation, no question. */
bool
sts_core_cached(struct sts_core *c, struct hb_span domain, int64_t now_ms,
    struct sts_policy_ref **ref, enum hb_reason *why)
{
	struct sts_domain *d = find_known(c, domain);
	struct sts_step s;

	if (d == NULL)
		return false;
	sts_core_drop_expired(c, d, now_ms);
	if (d->reading != STS_READ)
		return false;
	s = sts_fetch_step(d->held, &d->txt, &d->fetch, now_ms);
	if (s.kind != STS_STEP_USE &&
	    (s.kind != STS_STEP_WITHOUT || s.why == HB_REASON_STS_DNS_TEMP))
		return false;
	*ref = s.kind == STS_STEP_USE ? sts_ref_take(d->held) : NULL;
	*why = s.why;
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
sts_core_lookup_none(
    struct sts_core *c, enum hb_reason why, sts_lookup_fn cb, void *ctx)
{
	struct sts_lookup *l = lookup_new(&c->told, cb, ctx);

	l->why = why;
	c->ops->soon(c->ctx);
	return l;
}

struct sts_lookup *
sts_core_lookup(struct sts_core *c, struct hb_span domain, unsigned flags,
    sts_lookup_fn cb, void *ctx, int64_t now_ms)
{
	unsigned char lower[HB_MAX_DOMAIN];
	struct sts_lookup *l;
	struct sts_domain *d;

	if (!sts_core_canonical(domain, lower, &domain))
		return sts_core_lookup_none(
		    c, HB_REASON_STS_NO_RECORD, cb, ctx);
	d = sts_cache_find(&c->cache, domain);
	if (d == NULL)
		d = sts_cache_add(&c->cache, domain);
	apply_flags(d, flags);
	l = lookup_new(&d->memo.waits, cb, ctx);
	sts_core_advance(c, d, now_ms);
	return l;
}

/* --- answers to questions --- */

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

void
sts_core_tick(struct sts_core *c, int64_t now_ms)
{
	struct sts_domain *d;

	c->alarm_ms = INT64_MAX;
	if (c->moved) {
		/* What waits for a time of a clock that is no more what it
		 * was. */
		c->moved = false;
		c->walk_ms = c->mono_ms;
		TAILQ_FOREACH(d, &c->retries, retry)
			d->retry_ms = c->mono_ms;
	}
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
	const struct sts_domain *first = TAILQ_FIRST(&c->retries);
	int64_t rest = sts_clock_is_good(&c->clock) ? WALK_PAUSE_MS
						    : CLOCK_WAIT_MS;

	rest = min_ms(rest, sts_core_scan_rest(c));
	if (first != NULL)
		rest = min_ms(rest, first->retry_ms - c->mono_ms);
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
