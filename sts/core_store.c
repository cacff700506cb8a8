/* Loading and saving of a domain's policy in the store.  Floor 2. */
#include "sts/core-priv.h"

#include "common/base/err.h"

/* Of a worker's domains without a policy: who makes up domains whose policy
 * cannot be fetched does not fill the store. */
enum { WAITS_MAX = 1000 };

void
sts_core_note_time(struct sts_core *c, const struct sts_record *r)
{
	sts_clock_seen(&c->clock, r->tried_ms - c->shift_ms);
}

/* Not while D's own back-off runs: a row that a clock dates later, which was
 * set back since, would end it, and who waits would wait for fetch after
 * fetch. */
static void
recall(struct sts_domain *d, const struct sts_record *r, int64_t now_ms)
{
	const struct sts_fetch_state *f = &d->fetch;

	if (f->failures == 0 || !sts_within(f->failed_ms, f->retry_ms, now_ms))
		sts_fetch_recall(&d->fetch, r, hb_reason_find(r->last_error));
}

/* Load the stored policy into D unless D already has a newer one. */
void
sts_core_adopt(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, int64_t now_ms)
{
	struct sts_policy_ref *ref = sts_ref_new(sts_domain_name(d), r);

	d->reading = STS_READ;
	if (ref == NULL) {
		sts_core_log(d, HB_LOG_WARN, HB_STAT_POLICY_REJECTED,
		    HB_REASON_STS_STORE, "stored policy is damaged");
		return;
	}
	sts_core_note_time(c, r);
	if (d->held != NULL && d->held->refreshed_ms >= ref->refreshed_ms) {
		sts_ref_release(&ref);
		return;
	}
	recall(d, r, now_ms);
	sts_cache_hold(&c->cache, d, ref);
	if (!sts_core_is_over(c, ref->policy.expires_ms, now_ms))
		return;
	sts_core_log(d, HB_LOG_WARN, HB_STAT_POLICY_EXPIRED, d->fetch.error,
	    NULL);
	sts_cache_hold(&c->cache, d, NULL);
}

/* D has no policy and is not fetched for a while: that is kept as well, from
 * a clock that is believed.  The store was read since the fetch failed, so
 * that no policy of another worker is replaced. */
static void
keep_back_off(
    struct sts_core *c, struct sts_domain *d, int64_t kept_ms, int64_t now_ms)
{
	const struct sts_fetch_state *f = &d->fetch;
	struct sts_record r = { .mode = STS_MODE_NONE };

	if (f->failures == 0 || f->failed_ms <= kept_ms ||
	    !sts_within(f->failed_ms, f->retry_ms, now_ms))
		return;
	if (c->waits >= WAITS_MAX || !sts_clock_is_good(&c->clock) ||
	    !c->ops->owns(c->ctx, sts_domain_name(d)))
		return;
	c->waits++;
	c->waits_new++;
	sts_fetch_keep(f, &r);
	sts_core_save(c, d, &r, true);
}

/* A row of the store, or none (R is empty). */
static void
take_row(struct sts_core *c, struct sts_domain *d, const struct sts_record *r,
    bool there, int64_t now_ms)
{
	d->reading = STS_READ;
	d->stored = there && !sts_record_is_wait(r);
	d->failing = d->stored && sts_core_is_failing(r);
	if (d->stored)
		sts_core_adopt(c, d, r, now_ms);
	else if (there)
		recall(d, r, now_ms);
	if (!d->stored)
		keep_back_off(c, d, r->tried_ms, now_ms);
}

void
sts_core_loaded(struct sts_core *c, struct sts_domain *d, int err,
    struct hb_span value, int64_t now_ms)
{
	struct sts_record r = { .failures = 0 };
	bool forgotten = d->reading == STS_READING_VOID;

	d->reading = STS_UNREAD;
	if (forgotten) {
		sts_core_advance(c, d, now_ms);
		return;
	}
	if (err < 0 && err != HB_E_NOTFOUND) {
		sts_core_log(d, HB_LOG_WARN, HB_STAT_POLICY_REJECTED,
		    HB_REASON_STS_STORE, hb_strerror(err));
		sts_core_answer(c, d, NULL, HB_REASON_STS_STORE);
		return;
	}
	if (err == 0 && sts_record_decode(value, &r) < 0)
		r = (struct sts_record){ .failures = 0 };
	take_row(c, d, &r, err == 0, now_ms);
	sts_core_advance(c, d, now_ms);
}

void
sts_core_save(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, bool lazy)
{
	struct hb_buf value = HB_BUF_INIT(0);

	sts_record_encode(r, &value);
	c->ops->save(c->ctx, d, hb_buf_span(&value), lazy);
	hb_buf_free(&value);
}

void
sts_core_forget(
    struct sts_core *c, struct hb_span domain, bool removed, int64_t now_ms)
{
	unsigned char lower[HB_MAX_DOMAIN];
	struct sts_domain *d = NULL;

	if (!sts_core_canonical(domain, lower, &domain))
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
	/* what is on its way to or from the store is void */
	d->reading = sts_is_reading(d) ? STS_READING_VOID : STS_UNREAD;
	if (d->fetching == STS_FETCH_SAVING)
		d->fetching = STS_FETCH_SAVING_VOID;
	d->txt = (struct sts_txt_state){ .temp = 0 };
	d->fetch = (struct sts_fetch_state){ .failures = 0 };
	sts_core_advance(c, d, now_ms);
}

void
sts_core_imported(struct sts_core *c, struct hb_span domain,
    struct hb_span value, bool there, int64_t now_ms)
{
	struct sts_domain *d = sts_cache_find(&c->cache, domain);
	struct sts_record r;

	if (!there)
		sts_core_count_name(c, domain, 1, 0);
	if (d == NULL || d->reading != STS_READ ||
	    sts_record_decode(value, &r) < 0)
		return;
	d->stored = true;
	sts_core_adopt(c, d, &r, now_ms);
}
