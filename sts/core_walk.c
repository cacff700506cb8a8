/* The walk through the store: due policies are fetched in the background,
 * records that expired long ago are removed.  RFC 8461 s3.3, s10.2.  Floor
 * 2. */
#include "sts/core-priv.h"

#include "common/base/err.h"
#include "common/base/hash.h"

enum {
	BACKGROUND_QUEUE = 1000,          /* waiting: then the walk pauses */
	WALK_SLICE = 100,                 /* rows of the store */
	WALK_FIRST_SLICE = 250,           /* of the first walk, no pauses */
	WALK_STEP_MS = 1000,              /* between slices */
	REFRESH_RETRY_MS = 60 * 60 * 1000 /* of a row that failed */
};
/* What expired that long ago, and could not be fetched since, is removed. */
#define DEAD_MS (INT64_C(30) * 24 * 60 * 60 * 1000)

/* Dead: nobody will miss it, and nobody could fetch it for long. */
static bool
is_dead(const struct sts_core *c, const struct sts_record *r, int64_t now_ms)
{
	return sts_core_is_over(c, r->expires_ms, now_ms) &&
	       r->tried_ms >= r->expires_ms && now_ms - r->expires_ms > DEAD_MS;
}

static bool
is_due(const struct sts_core *c, const struct sts_record *r, uint64_t jitter,
    int64_t now_ms)
{
	if (r->last_error.n > 0 &&
	    sts_within(r->tried_ms, r->tried_ms + REFRESH_RETRY_MS, now_ms))
		return false;
	if (sts_core_is_over(c, r->expires_ms, now_ms))
		return r->tried_ms < r->expires_ms;
	return now_ms >= sts_refresh_at(r->refreshed_ms, r->expires_ms, jitter);
}

static bool
is_being_saved(const struct sts_domain *d)
{
	return d->fetching == STS_FETCH_SAVING ||
	       d->fetching == STS_FETCH_SAVING_VOID;
}

/* What is on its way to the store is newer than a row of the list. */
static void
remove_row(struct sts_core *c, struct hb_span name)
{
	const struct sts_domain *d = sts_cache_find(&c->cache, name);

	if (d == NULL || (d->held == NULL && !is_being_saved(d)))
		c->ops->remove(c->ctx, name);
}

static void
refresh(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	struct sts_record tried = *r;

	if (d->reading == STS_UNREAD)
		sts_core_adopt(c, d, r, now_ms);
	if (d->reading != STS_READ || sts_fetch_must_wait(&d->fetch, r->id, now_ms))
		return;
	sts_core_drop_expired(c, d, now_ms);
	if (d->held != NULL) { /* RFC 8461 s3.3: whatever the TXT record says */
		sts_core_want_fetch(c, d, d->held->id);
		return;
	}
	/* An expired policy is looked for once more, as if it was new. */
	tried.tried_ms = now_ms;
	sts_core_save(c, d, &tried, true);
	d->background = true;
	sts_core_advance(c, d, now_ms);
}

/* What another worker has learned of D meanwhile. */
static void
compare(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    int64_t now_ms)
{
	if (d->reading != STS_READ)
		return;
	if (d->held == NULL) {
		if (!sts_core_is_over(c, r->expires_ms, now_ms))
			sts_unread(d); /* the next lookup reads it */
	} else if (d->held->refreshed_ms < r->refreshed_ms) {
		sts_core_adopt(c, d, r, now_ms);
	}
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
	sts_core_note_time(c, &r);
	if (sts_record_is_wait(&r)) {
		if (sts_within(r.tried_ms, r.retry_ms, now_ms))
			c->waits_met++;
		else
			remove_row(c, name);
		return;
	}
	if (is_dead(c, &r, now_ms)) {
		remove_row(c, name);
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
sts_core_listed(struct sts_core *c, int err)
{
	bool failed = err < 0 && err != HB_E_LIMIT;
	bool more = err < 0 || c->walk_rows >= slice_of(c);
	int64_t step = c->walked_once || failed ? WALK_STEP_MS : WAIT_MIN_MS;

	c->walking = false;
	c->walk_ms = c->mono_ms + (more ? step : WALK_PAUSE_MS);
	sts_core_set_alarm(c);
	if (more)
		return;
	c->walk_after_n = 0;
	sts_core_count_end(c);
}

void
sts_core_scan(struct sts_core *c)
{
	if (!c->walks || c->walking || c->background.n >= BACKGROUND_QUEUE ||
	    c->mono_ms < c->walk_ms)
		return;
	c->walking = true;
	c->walk_rows = 0;
	c->ops->list(
	    c->ctx, hb_span(c->walk_after, c->walk_after_n), slice_of(c));
}

int64_t
sts_core_scan_rest(const struct sts_core *c)
{
	if (!c->walks || c->walking)
		return WALK_PAUSE_MS;
	return c->background.n < BACKGROUND_QUEUE ? c->walk_ms - c->mono_ms
						  : WALK_STEP_MS;
}
