/* Fetches of policies: which may run now, and the handling of their answers.
 * RFC 8461 s3.3, s5.1, s10.2.  Floor 2. */
#include "sts/core-priv.h"

#include "common/base/err.h"

enum {
	FETCHES_MAX = 512,   /* at a time: sockets */
	SLOW_MS = 10 * 1000, /* while others wait for a place */
	TURNS = 3,
	BACKGROUND_MAX = 16 /* of these for refreshing */
};

static void
push(struct sts_queue *q, struct sts_domain *d)
{
	TAILQ_INSERT_TAIL(&q->list, d, queue);
	q->n++;
}

static void
take_out(struct sts_queue *q, struct sts_domain *d)
{
	TAILQ_REMOVE(&q->list, d, queue);
	q->n--;
}

static void
start_fetch(struct sts_core *c, struct sts_queue *q)
{
	struct sts_domain *d = TAILQ_FIRST(&q->list);

	take_out(q, d);
	push(&c->active, d);
	d->started_ms = c->mono_ms;
	d->fetching = q == &c->background ? STS_FETCH_RUNNING_BACKGROUND
					  : STS_FETCH_RUNNING;
	c->running_background += q == &c->background;
	c->ops->fetch(c->ctx, d);
}

bool
sts_core_is_place_wanted(const struct sts_core *c)
{
	return c->active.n >= FETCHES_MAX && c->wanted.n > 0;
}

static void
leave(struct sts_core *c, struct sts_domain *d)
{
	take_out(&c->active, d);
	c->running_background -= d->fetching == STS_FETCH_RUNNING_BACKGROUND;
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
	d->fetching = sts_is_awaited(d) ? STS_FETCH_QUEUED
					: STS_FETCH_BACKGROUND;
	push(sts_is_awaited(d) ? &c->wanted : &c->background, d);
}

void
sts_core_start_fetches(struct sts_core *c)
{
	struct sts_domain *d = TAILQ_FIRST(&c->active.list), *next;

	/* Policy hosts that are dead or slow do not hold up others: who is at
	 * it for long makes place for who waits, and gets another turn behind
	 * them. */
	for (; d != NULL && sts_core_is_place_wanted(c); d = next) {
		next = TAILQ_NEXT(d, queue);
		if (c->mono_ms < ends_its_turn(d))
			continue;
		make_place(c, d);
		start_fetch(c, &c->wanted);
	}
	while (c->active.n < FETCHES_MAX && c->wanted.n > 0)
		start_fetch(c, &c->wanted);
	while (c->active.n < FETCHES_MAX && c->background.n > 0 &&
	       c->running_background < BACKGROUND_MAX)
		start_fetch(c, &c->background);
	sts_core_set_alarm(c);
}

void
sts_core_want_fetch(struct sts_core *c, struct sts_domain *d, struct hb_span id)
{
	bool waited = sts_is_awaited(d);

	if (d->fetching == STS_FETCH_BACKGROUND && waited) {
		take_out(&c->background, d);
		d->fetching = STS_FETCH_IDLE;
	}
	if (d->fetching != STS_FETCH_IDLE)
		return;
	sts_id_set(&d->fetch_id, id);
	d->fetching = waited ? STS_FETCH_QUEUED : STS_FETCH_BACKGROUND;
	push(waited ? &c->wanted : &c->background, d);
	c->ops->soon(c->ctx);
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
	sts_core_drop_expired(c, d, now_ms);
	if (d->held == NULL) {
		sts_core_log(d, HB_LOG_WARN, HB_STAT_POLICY_REJECTED, why, text);
		sts_unread(d); /* another worker may have got it */
		return;
	}
	sts_core_log(d,
	    d->held->policy.mode != STS_MODE_NONE ? HB_LOG_WARN : HB_LOG_INFO,
	    HB_STAT_POLICY_KEPT, why, text);
	record_of(d->held, &r);
	if (!sts_clock_is_good(&c->clock))
		return; /* it would write down a wrong time */
	sts_fetch_keep(&d->fetch, &r);
	sts_core_count(c, d, true, sts_core_is_failing(&r));
	sts_core_save(c, d, &r, true);
}

/* BODY becomes a policy that is being saved; false: it is none. */
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
	sts_core_save(c, d, &r, false);
	return true;
}

/*
 * A fetch is over.  Who waits is answered by the TXT record that it was made
 * for, though its time ended meanwhile, unless it is being asked for anew: a
 * domain that shows another id at each look would be fetched for ever.
 */
static void
fetch_over(struct sts_core *c, struct sts_domain *d, int64_t now_ms)
{
	if (!d->asking && !d->anew && d->txt.fresh_until_ms <= now_ms &&
	    hb_span_eq(sts_id_span(&d->txt.id), sts_id_span(&d->fetch_id)))
		d->txt.fresh_until_ms = now_ms + 1;
	sts_core_advance(c, d, now_ms);
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
	    !accept_body(c, d, body, sts_core_least_ms(c, now_ms)))
		why = HB_REASON_STS_BAD_POLICY;
	if (why != HB_REASON_NONE) {
		fetch_failed(c, d, why, text, now_ms);
		fetch_over(c, d, now_ms);
	}
	c->ops->soon(c->ctx); /* a place is free */
}

/* A policy that could not be kept is used all the same: it demands more than
 * none. */
void
sts_core_saved(
    struct sts_core *c, struct sts_domain *d, int err, int64_t now_ms)
{
	bool same = d->held != NULL && hb_span_eq(d->held->id, d->fresh->id);
	bool forgotten = d->fetching == STS_FETCH_SAVING_VOID;

	d->fetching = STS_FETCH_IDLE;
	if (forgotten) {
		sts_ref_release(&d->fresh);
		sts_core_advance(c, d, now_ms);
		return;
	}
	if (err == 0)
		sts_core_count(c, d, true, false);
	sts_cache_hold(&c->cache, d, d->fresh);
	d->fresh = NULL;
	d->fetch = (struct sts_fetch_state){ .error = HB_REASON_NONE };
	d->force = d->background = false;
	sts_core_log(d, err < 0 ? HB_LOG_WARN : HB_LOG_INFO,
	    same ? HB_STAT_POLICY_REFRESHED : HB_STAT_POLICY_FETCHED,
	    err < 0 ? HB_REASON_STS_STORE : HB_REASON_OK,
	    err < 0 ? hb_strerror(err) : NULL);
	fetch_over(c, d, now_ms);
}
