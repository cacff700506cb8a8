/* Policies of all domains of one worker.  RFC 8461 s3.3, s5.1.  Floor 2. */
#include "sts/core.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/proto/stats.h"
#include "sts/core-priv.h"

enum {
	FETCHES_MAX = 512,                 /* at a time: sockets */
	SLOW_MS = 10 * 1000,               /* while others wait for a place */
	SLOW_LOOK_MS = 1000,
	TURNS = 3,
	BACKGROUND_MAX = 16,               /* of these for refreshing */
	BACKGROUND_QUEUE = 1000,           /* waiting: then the walk pauses */
	WALK_SLICE = 100,                  /* rows of the store */
	WALK_FIRST_SLICE = 250,            /* of the first walk, no pauses */
	WALK_STEP_MS = 1000,               /* between slices */
	WALK_PAUSE_MS = 10 * 60 * 1000,    /* between walks */
	REFRESH_RETRY_MS = 60 * 60 * 1000, /* of a row that failed */
	CLOCK_WAIT_MS = 60 * 1000,         /* while the clock is wrong */
	WAIT_MIN_MS = 100
};
/* What expired that long ago, and could not be fetched since, is removed. */
#define DEAD_MS (INT64_C(30) * 24 * 60 * 60 * 1000)

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
	c->retry_tail = &c->retry_head;
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

static bool
is_over(const struct sts_core *c, int64_t expires_ms, int64_t now_ms)
{
	return now_ms >= expires_ms && sts_clock_is_good(&c->clock);
}

static void
log_policy(const struct sts_domain *d, enum hb_level level, const char *action,
    enum hb_reason why, const char *text)
{
	const struct sts_policy_ref *ref = d->held;

	hb_stat_policy(action);
	HB_LOG(level, HB_EV_POLICY, hb_kv_span(HB_K_DOMAIN, sts_domain_name(d)),
	    hb_kv_str(HB_K_ACTION, action),
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
static void
answer(struct sts_domain *d, struct sts_policy_ref *ref, enum hb_reason why)
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
static void
drop_expired(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	if (d->held == NULL || !is_over(c, d->held->policy.expires_ms, now_ms))
		return;
	sts_cache_hold(&c->cache, d, NULL);
	d->loaded = false;
}

/* Fetches */

static void
push(struct sts_queue *q, struct sts_domain *d)
{
	d->queue_next = NULL;
	*q->tail = d;
	q->tail = &d->queue_next;
	q->n++;
}

static void
take_out(struct sts_queue *q, struct sts_domain *d)
{
	struct sts_domain **at = &q->head;

	while (*at != d)
		at = &(*at)->queue_next;
	*at = d->queue_next;
	if (q->tail == &d->queue_next)
		q->tail = at;
	q->n--;
}

static void
start_fetch(struct sts_core *c, struct sts_queue *q)
{
	struct sts_domain *d = q->head;

	take_out(q, d);
	push(&c->active, d);
	d->started_ms = c->mono_ms;
	d->in_background = q == &c->background;
	d->fetching = STS_FETCH_RUNNING;
	c->running++;
	c->running_background += d->in_background;
	c->ops->fetch(c->ctx, d);
}

static bool
is_place_wanted(const struct sts_core *c)
{
	return c->running >= FETCHES_MAX && c->wanted.head != NULL;
}

static void
leave(struct sts_core *c, struct sts_domain *d)
{
	take_out(&c->active, d);
	c->running--;
	c->running_background -= d->in_background;
	d->fetching = STS_FETCH_IDLE;
}

/* Each turn of a fetch may be longer than the one before: 10, 20 and 30
 * seconds.  Giving up earlier would be going on without a policy. */
static int64_t
ends_its_turn(const struct sts_domain *d)
{
	return d->started_ms + SLOW_MS * (d->turns + 1);
}

static void
make_place(struct sts_core *c, struct sts_domain *d)
{
	c->ops->drop(c->ctx, d);
	if (++d->turns == TURNS) {
		sts_core_fetched(c, d, HB_REASON_STS_FETCH_TIMEOUT,
		    HB_SPAN_NONE, NULL, c->clock.wall_ms + c->shift_ms);
		return;
	}
	leave(c, d);
	d->fetching = d->waiters != NULL ? STS_FETCH_QUEUED
					 : STS_FETCH_BACKGROUND;
	push(d->waiters != NULL ? &c->wanted : &c->background, d);
}

/* Policy hosts that are dead or slow do not hold up others: who is at it for
 * long makes place for who waits, and gets another turn behind them. */
static void
drop_slow(struct sts_core *c)
{
	struct sts_domain *d = c->active.head, *next;

	for (; d != NULL && is_place_wanted(c); d = next) {
		next = d->queue_next;
		if (c->mono_ms < ends_its_turn(d))
			continue;
		make_place(c, d);
		start_fetch(c, &c->wanted);
	}
}

/* A fetch that ends at once comes back here: the outer call goes on. */
static void
start_fetches(struct sts_core *c)
{
	if (c->starting)
		return;
	c->starting = true;
	drop_slow(c);
	while (c->running < FETCHES_MAX && c->wanted.head != NULL)
		start_fetch(c, &c->wanted);
	while (c->running < FETCHES_MAX && c->background.head != NULL &&
	       c->running_background < BACKGROUND_MAX)
		start_fetch(c, &c->background);
	c->starting = false;
}

static void
want_fetch(struct sts_core *c, struct sts_domain *d, struct hb_span id)
{
	bool waited = d->waiters != NULL;

	if (d->fetching == STS_FETCH_BACKGROUND && waited) {
		take_out(&c->background, d);
		d->fetching = STS_FETCH_IDLE;
	}
	if (d->fetching != STS_FETCH_IDLE)
		return;
	sts_id_set(&d->fetch_id, id);
	d->fetching = waited ? STS_FETCH_QUEUED : STS_FETCH_BACKGROUND;
	push(waited ? &c->wanted : &c->background, d);
	start_fetches(c);
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

static void
ask_later(struct sts_core *c, struct sts_domain *d)
{
	if (d->retrying)
		return;
	d->retrying = true;
	d->retry_next = NULL;
	*c->retry_tail = d;
	c->retry_tail = &d->retry_next;
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
	answer(d, NULL, why);
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

static void
advance(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	struct sts_step s;

	if ((d->waiters == NULL && !d->background) || d->loading)
		return;
	drop_expired(c, d, now_ms);
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
		ask_later(c, d);
		break;
	case STS_STEP_FETCH:
		want_fetch(c, d,
		    d->txt.id.n > 0 ? sts_id_span(&d->txt.id) : d->held->id);
		break;
	case STS_STEP_USE:
		answer(d, d->held, s.why);
		break;
	case STS_STEP_WITHOUT:
		go_without(c, d, s.why);
		break;
	}
}

/* Lookups */

/* NAME in lower case without final dot; false: nothing that DNS and a URL
 * could ask for. */
static bool
canonical(
    struct hb_span name, unsigned char dst[HB_MAX_DOMAIN], struct hb_span *out)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
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

	return canonical(name, lower, &canon) && hb_span_eq(name, canon);
}

/* The warm case: no allocation, no question. */
static bool
answer_now(struct sts_core *c, struct sts_domain *d, sts_lookup_fn cb,
    void *ctx, int64_t now_ms)
{
	struct sts_step s;

	drop_expired(c, d, now_ms);
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

	if (!canonical(domain, lower, &domain)) {
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
	advance(c, d, now_ms);
	if (answered)
		return NULL;
	l->answered = NULL;
	return l;
}

/* Answers to questions */

static void
note_time(struct sts_core *c, const struct sts_record *r)
{
	sts_clock_seen(&c->clock, r->tried_ms - c->shift_ms);
}

static enum hb_reason
reason_of(struct hb_span word)
{
	for (unsigned r = 0; r < HB_REASON_COUNT; r++)
		if (hb_span_eq(
			word, hb_span_str(hb_reason_word((enum hb_reason)r))))
			return (enum hb_reason)r;
	return HB_REASON_NONE;
}

/* What the store knows of D becomes what D holds, unless D knows better. */
static void
adopt(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	struct sts_policy_ref *ref = sts_ref_new(sts_domain_name(d), r);

	d->loaded = true;
	if (ref == NULL) {
		log_policy(d, HB_LOG_WARN, "rejected", HB_REASON_STS_STORE,
		    "stored policy is damaged");
		return;
	}
	note_time(c, r);
	if (d->held != NULL && d->held->refreshed_ms >= ref->refreshed_ms) {
		sts_ref_release(&ref);
		return;
	}
	d->fetch.error = reason_of(r->last_error);
	sts_cache_hold(&c->cache, d, ref);
	if (!is_over(c, ref->policy.expires_ms, now_ms))
		return;
	log_policy(d, HB_LOG_WARN, "expired", d->fetch.error, NULL);
	sts_cache_hold(&c->cache, d, NULL);
}

void
sts_core_loaded(struct sts_core *c, struct sts_domain *d, int err,
    struct hb_span value, int64_t now_ms)
{
	struct sts_record r;

	d->loading = false;
	if (d->forgotten) {
		d->forgotten = false;
		advance(c, d, now_ms);
		return;
	}
	if (err < 0 && err != HB_E_NOTFOUND) {
		log_policy(d, HB_LOG_WARN, "rejected", HB_REASON_STS_STORE,
		    hb_strerror(err));
		answer(d, NULL, HB_REASON_STS_STORE);
		return;
	}
	d->loaded = true;
	d->stored = d->failing = false;
	if (err == 0) {
		if (sts_record_decode(value, &r) < 0)
			r = (struct sts_record){ 0 };
		d->stored = true;
		d->failing = sts_core_is_failing(&r);
		adopt(c, d, &r, now_ms);
	}
	advance(c, d, now_ms);
}

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
	advance(c, d, now_ms);
}

static void
record_of(const struct sts_policy_ref *ref, struct sts_record *r)
{
	*r = (struct sts_record){
		.mode = ref->policy.mode,
		.id = ref->id,
		.fetched_ms = ref->fetched_ms,
		.expires_ms = ref->policy.expires_ms,
		.refreshed_ms = ref->refreshed_ms,
		.tried_ms = ref->refreshed_ms,
		.source = ref->imported ? HB_SPAN("imported")
					: HB_SPAN("fetched"),
		.text = ref->text,
	};
}

static void
save(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    bool lazy)
{
	struct hb_buf value = HB_BUF_INIT(0);

	sts_record_encode(r, &value);
	c->ops->save(c->ctx, d, hb_buf_span(&value), lazy);
	hb_buf_free(&value);
}

/* The policy that is held goes on being so (RFC 8461 s3.3); the operator
 * hears of it long before it ends (s10.2), unless it demands nothing. */
static void
fetch_failed(struct sts_core *c, struct sts_domain *d, enum hb_reason why,
    const char *text, int64_t now_ms)
{
	struct sts_record r;

	hb_stat(HB_STAT_POLICY_FETCH_FAILED);
	sts_fetch_failed(
	    &d->fetch, sts_id_span(&d->fetch_id), why, d->hash, now_ms);
	d->force = d->background = false;
	drop_expired(c, d, now_ms);
	if (d->held == NULL) {
		log_policy(d, HB_LOG_WARN, "rejected", why, text);
		return;
	}
	log_policy(d,
	    d->held->policy.mode != STS_MODE_NONE ? HB_LOG_WARN : HB_LOG_INFO,
	    "kept", why, text);
	record_of(d->held, &r);
	if (!sts_clock_is_good(&c->clock))
		return; /* it would write down a wrong time */
	r.last_error = hb_span_str(hb_reason_word(why));
	r.tried_ms = now_ms;
	sts_core_count(c, d, true, sts_core_is_failing(&r));
	save(c, d, &r, true);
}

/* What is dated is never dated before a time that was right once: it would
 * end too early when the clock is put right. */
static int64_t
not_before_good(const struct sts_core *c, int64_t now_ms)
{
	const struct sts_clock *k = &c->clock;
	int64_t good = k->good_ms > k->build_ms ? k->good_ms : k->build_ms;

	return now_ms > good + c->shift_ms ? now_ms : good + c->shift_ms;
}

/* BODY becomes a policy that is being saved (and may be already, with D out of
 * reach); false: it is none. */
static bool
accept_body(struct sts_core *c, struct sts_domain *d, struct hb_span body,
    int64_t now_ms)
{
	struct sts_record r = { .id = sts_id_span(&d->fetch_id),
		.fetched_ms = now_ms,
		.refreshed_ms = now_ms,
		.text = body };

	if (d->held != NULL && hb_span_eq(d->held->id, r.id))
		r.fetched_ms = d->held->fetched_ms;
	d->fresh = sts_ref_new(sts_domain_name(d), &r);
	if (d->fresh == NULL)
		return false;
	d->fresh->policy.expires_ms = sts_expires_at(&d->fresh->policy, now_ms);
	record_of(d->fresh, &r);
	d->fetching = STS_FETCH_SAVING;
	sts_core_clock_keep(c);
	save(c, d, &r, false);
	return true;
}

void
sts_core_fetched(struct sts_core *c, struct sts_domain *d, enum hb_reason why,
    struct hb_span body, const char *text, int64_t now_ms)
{
	leave(c, d);
	d->turns = 0;
	if (why == HB_REASON_NONE)
		sts_core_clock_confirmed(c);
	if (why == HB_REASON_NONE &&
	    !accept_body(c, d, body, not_before_good(c, now_ms)))
		why = HB_REASON_STS_BAD_POLICY;
	if (why != HB_REASON_NONE) {
		fetch_failed(c, d, why, text, now_ms);
		advance(c, d, now_ms);
	}
	start_fetches(c);
}

/* A policy that could not be kept is used all the same: it demands more than
 * none. */
void
sts_core_saved(
    struct sts_core *c, struct sts_domain *d, int err, int64_t now_ms)
{
	bool same = d->held != NULL && hb_span_eq(d->held->id, d->fresh->id);

	d->fetching = STS_FETCH_IDLE;
	if (d->forgotten) {
		d->forgotten = false;
		sts_ref_release(&d->fresh);
		advance(c, d, now_ms);
		return;
	}
	if (err == 0)
		sts_core_count(c, d, true, false);
	sts_cache_hold(&c->cache, d, d->fresh);
	d->fresh = NULL;
	d->fetch = (struct sts_fetch_state){ .error = HB_REASON_NONE };
	d->force = d->background = false;
	log_policy(d, err < 0 ? HB_LOG_WARN : HB_LOG_INFO,
	    same ? "refreshed" : "fetched",
	    err < 0 ? HB_REASON_STS_STORE : HB_REASON_OK,
	    err < 0 ? hb_strerror(err) : NULL);
	advance(c, d, now_ms);
}

/* The walk through the store: what is due is fetched in the background. */

/* Dead: nobody will miss it, and nobody could fetch it for long. */
static bool
is_dead(const struct sts_core *c, const struct sts_record *r, int64_t now_ms)
{
	return is_over(c, r->expires_ms, now_ms) &&
	       r->tried_ms >= r->expires_ms && now_ms - r->expires_ms > DEAD_MS;
}

static bool
is_due(const struct sts_core *c, const struct sts_record *r, uint64_t jitter,
    int64_t now_ms)
{
	if (r->last_error.n > 0 &&
	    sts_within(r->tried_ms, r->tried_ms + REFRESH_RETRY_MS, now_ms))
		return false;
	if (is_over(c, r->expires_ms, now_ms))
		return r->tried_ms < r->expires_ms;
	return now_ms >= sts_refresh_at(r->refreshed_ms, r->expires_ms, jitter);
}

/* An expired policy is looked for once more, as if it was new. */
static void
rediscover(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	struct sts_record tried = *r;

	tried.tried_ms = now_ms;
	save(c, d, &tried, true);
	d->background = true;
	advance(c, d, now_ms);
}

static void
refresh(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	if (!d->loaded && !d->loading)
		adopt(c, d, r, now_ms);
	if (!d->loaded || sts_fetch_must_wait(&d->fetch, r->id, now_ms))
		return;
	drop_expired(c, d, now_ms);
	if (d->held != NULL) /* RFC 8461 s3.3: whatever the TXT record says */
		want_fetch(c, d, d->held->id);
	else
		rediscover(c, d, r, now_ms);
}

/* What another worker has learned of D meanwhile. */
static void
compare(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	if (!d->loaded || d->loading)
		return;
	if (d->held == NULL) /* the next lookup reads it */
		d->loaded = is_over(c, r->expires_ms, now_ms);
	else if (d->held->refreshed_ms < r->refreshed_ms)
		adopt(c, d, r, now_ms);
}

void
sts_core_row(struct sts_core *c, struct hb_span name, struct hb_span value,
    int64_t now_ms)
{
	struct sts_record r;
	struct sts_domain *d;
	bool due;

	if (name.n == 0 || name.n > sizeof(c->walk_after))
		return;
	memcpy(c->walk_after, name.p, name.n);
	c->walk_after_n = name.n;
	c->walk_rows++;
	if (hb_span_eq(name, STS_CLOCK_KEY) || !c->ops->owns(c->ctx, name) ||
	    sts_record_decode(value, &r) < 0)
		return;
	note_time(c, &r);
	if (is_dead(c, &r, now_ms)) {
		c->ops->remove(c->ctx, name);
		return;
	}
	sts_core_count_row(c, &r);
	due = is_due(c, &r, hb_siphash(c->cache.key, name), now_ms);
	d = sts_cache_find(&c->cache, name);
	if (d != NULL)
		compare(c, d, &r, now_ms);
	else if (due)
		d = sts_cache_add(&c->cache, name);
	if (d == NULL)
		return;
	d->stored = true;
	d->failing = sts_core_is_failing(&r);
	if (due)
		refresh(c, d, &r, now_ms);
}

static size_t
slice_of(const struct sts_core *c)
{
	return c->walked_once ? WALK_SLICE : WALK_FIRST_SLICE;
}

void
sts_core_listed(struct sts_core *c, int err, int64_t now_ms)
{
	bool more = err == 0 && c->walk_rows >= slice_of(c);
	int64_t step = c->walked_once || err < 0 ? WALK_STEP_MS : WAIT_MIN_MS;

	c->walking = false;
	c->walked_ms = now_ms;
	c->walk_ms = now_ms + (more || err < 0 ? step : WALK_PAUSE_MS);
	if (more || err < 0)
		return;
	c->walk_after_n = 0;
	sts_core_count_end(c);
}

static void
walk(struct sts_core *c, int64_t now_ms)
{
	if (c->walking || c->background.n >= BACKGROUND_QUEUE ||
	    sts_within(c->walked_ms, c->walk_ms, now_ms))
		return;
	c->walking = true;
	c->walk_rows = 0;
	c->ops->list(
	    c->ctx, hb_span(c->walk_after, c->walk_after_n), slice_of(c));
}

static bool
retry_is_due(const struct sts_domain *d, int64_t now_ms)
{
	return !sts_within(d->txt.asked_ms, d->txt.fresh_until_ms, now_ms);
}

void
sts_core_tick(struct sts_core *c, int64_t now_ms)
{
	struct sts_domain *d;

	while ((d = c->retry_head) != NULL && retry_is_due(d, now_ms)) {
		c->retry_head = d->retry_next;
		if (c->retry_head == NULL)
			c->retry_tail = &c->retry_head;
		d->retrying = false;
		advance(c, d, now_ms);
	}
	sts_core_clock_tick(c);
	start_fetches(c);
	walk(c, now_ms);
}

static int64_t
min_ms(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Bounded: a clock that jumps is noticed. */
int64_t
sts_core_wait(const struct sts_core *c, int64_t now_ms)
{
	int64_t wait = sts_clock_is_good(&c->clock) ? WALK_PAUSE_MS
						    : CLOCK_WAIT_MS;

	if (c->retry_head != NULL)
		wait = min_ms(
		    wait, c->retry_head->txt.fresh_until_ms - now_ms);
	if (!c->walking)
		wait = min_ms(wait, c->walk_ms - now_ms);
	if (is_place_wanted(c))
		wait = min_ms(wait, SLOW_LOOK_MS);
	return wait < WAIT_MIN_MS ? WAIT_MIN_MS : wait;
}

void
sts_core_forget(
    struct sts_core *c, struct hb_span domain, bool removed, int64_t now_ms)
{
	unsigned char lower[HB_MAX_DOMAIN];
	struct sts_domain *d = NULL;

	if (!canonical(domain, lower, &domain))
		return;
	d = sts_cache_find(&c->cache, domain);
	if (d == NULL) {
		if (removed)
			sts_core_count_name(c, domain, -1, 0);
		return;
	}
	if (removed)
		sts_core_count(c, d, false, false);
	sts_cache_hold(&c->cache, d, NULL);
	d->loaded = false;
	/* what is on its way to or from the store is void */
	d->forgotten = d->loading || d->fetching == STS_FETCH_SAVING;
	d->txt = (struct sts_txt_state){ .temp = 0 };
	d->fetch = (struct sts_fetch_state){ .failures = 0 };
	advance(c, d, now_ms);
}

void
sts_core_imported(struct sts_core *c, struct hb_span domain,
    struct hb_span value, bool there, int64_t now_ms)
{
	struct sts_domain *d = sts_cache_find(&c->cache, domain);
	struct sts_record r;

	if (!there)
		sts_core_count_name(c, domain, 1, 0);
	if (d == NULL || !d->loaded || sts_record_decode(value, &r) < 0)
		return;
	d->stored = true;
	adopt(c, d, &r, now_ms);
}

static struct sts_domain *
find_known(struct sts_core *c, struct hb_span domain)
{
	unsigned char lower[HB_MAX_DOMAIN];

	return canonical(domain, lower, &domain)
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
