/* The next step for one domain.  RFC 8461 s3.3, s5.1.  Floor 2. */
#include "sts/fetch.h"

enum {
	FAILURES_MAX = 1000, /* as many as sts/record.def takes */
	TTL_MIN_MS = 1000,
	TTL_MAX_MS = 24 * 60 * 60 * 1000,
	NEGATIVE_TTL_MAX_MS = 60 * 60 * 1000,
	/* failures that are further apart are not in a row */
	TEMP_MEMORY_MS = 10 * 60 * 1000
};

/* Even a policy of no age at all holds for the delivery it was fetched for. */
enum { LIFE_MIN_MS = 10 * 1000 };

struct hb_span
sts_id_span(const struct sts_id *id)
{
	return hb_span(id->p, id->n);
}

void
sts_id_set(struct sts_id *id, struct hb_span s)
{
	s = hb_span_head(s, STS_ID_MAX);
	if (s.n > 0)
		memcpy(id->p, s.p, s.n);
	id->n = (uint8_t)s.n;
}

bool
sts_within(int64_t from_ms, int64_t until_ms, int64_t now_ms)
{
	return from_ms <= now_ms && now_ms < until_ms;
}

static struct sts_step
step(enum sts_step_kind kind, enum hb_reason why)
{
	return (struct sts_step){ kind, why };
}

static struct sts_step
use_or(const struct sts_policy_ref *held, enum hb_reason why)
{
	return step(held != NULL ? STS_STEP_USE : STS_STEP_WITHOUT, why);
}

/* An answer that there is no record, or none that can be read, says nothing of
 * a newer policy. */
static bool
is_answer(enum hb_reason why)
{
	return why == HB_REASON_STS_NO_RECORD || why == HB_REASON_STS_BAD_RECORD;
}

struct sts_step
sts_fetch_step(const struct sts_policy_ref *held,
    const struct sts_txt_state *txt, const struct sts_fetch_state *f,
    int64_t now_ms)
{
	struct hb_span id = sts_id_span(&txt->id);

	if (!sts_within(txt->asked_ms, txt->fresh_until_ms, now_ms))
		return step(STS_STEP_ASK, HB_REASON_NONE);
	/* nothing known and nothing held: it gets a little time, then mail
	 * goes on */
	if (held == NULL && txt->why == HB_REASON_STS_DNS_TEMP &&
	    txt->temp <= STS_DNS_RETRIES)
		return step(STS_STEP_ASK_LATER, HB_REASON_NONE);
	/* RFC 8461 s5.1: no or a bad record does not end what is cached */
	if (txt->why != HB_REASON_NONE)
		return held != NULL && is_answer(txt->why)
			   ? step(STS_STEP_USE, HB_REASON_NONE)
			   : use_or(held, txt->why);
	if (held != NULL && hb_span_eq(held->id, id))
		return step(STS_STEP_USE, HB_REASON_NONE);
	if (sts_fetch_must_wait(f, id, now_ms))
		return use_or(held, f->error);
	return step(STS_STEP_FETCH, HB_REASON_NONE);
}

bool
sts_fetch_must_wait(
    const struct sts_fetch_state *f, struct hb_span id, int64_t now_ms)
{
	return f->failures > 0 && hb_span_eq(sts_id_span(&f->failed), id) &&
	       sts_within(f->failed_ms, f->retry_ms, now_ms);
}

static int64_t
bounded(int64_t v, int64_t least, int64_t most)
{
	return v < least ? least : v > most ? most : v;
}

void
sts_txt_seen(struct sts_txt_state *txt, enum hb_reason why, struct hb_span id,
    uint32_t ttl_s, int64_t now_ms)
{
	int64_t ttl_ms = (int64_t)ttl_s * 1000;

	if (why != HB_REASON_STS_DNS_TEMP ||
	    !sts_within(txt->asked_ms, txt->asked_ms + TEMP_MEMORY_MS, now_ms))
		txt->temp = 0;
	txt->why = why;
	txt->asked_ms = now_ms;
	sts_id_set(&txt->id, why == HB_REASON_NONE ? id : HB_SPAN_NONE);
	if (why == HB_REASON_STS_DNS_TEMP) {
		txt->temp++;
		ttl_ms = STS_DNS_RETRY_MS;
	}
	txt->fresh_until_ms =
	    now_ms +
	    bounded(ttl_ms, TTL_MIN_MS,
		why == HB_REASON_NONE ? TTL_MAX_MS : NEGATIVE_TTL_MAX_MS);
}

/* MS and up to a quarter more. */
static int64_t
spread(int64_t ms, uint64_t jitter)
{
	return ms + ms / 4 * (int64_t)(jitter & 1023) / 1024;
}

void
sts_fetch_failed(struct sts_fetch_state *f, struct hb_span id,
    enum hb_reason why, uint64_t jitter, int64_t now_ms)
{
	int64_t wait = STS_BACKOFF_MS;

	if (!hb_span_eq(sts_id_span(&f->failed), id))
		f->failures = 0;
	sts_id_set(&f->failed, id);
	for (unsigned i = 0; i < f->failures && wait < STS_BACKOFF_MAX_MS; i++)
		wait *= 2;
	if (wait > STS_BACKOFF_MAX_MS)
		wait = STS_BACKOFF_MAX_MS;
	f->failures++;
	f->error = why;
	f->failed_ms = now_ms;
	f->retry_ms = now_ms + spread(wait, jitter);
}

void
sts_fetch_keep(const struct sts_fetch_state *f, struct sts_record *r)
{
	r->last_error = hb_span_str(hb_reason_word(f->error));
	r->tried_ms = f->failed_ms;
	r->failed_id = sts_id_span(&f->failed);
	r->retry_ms = f->retry_ms;
	r->failures = f->failures < FAILURES_MAX ? f->failures : FAILURES_MAX;
}

void
sts_fetch_recall(struct sts_fetch_state *f, const struct sts_record *r,
    enum hb_reason why)
{
	*f = (struct sts_fetch_state){ .error = why };
	if (why == HB_REASON_NONE)
		return;
	sts_id_set(&f->failed, r->failed_id);
	f->failed_ms = r->tried_ms;
	f->retry_ms = bounded(
	    r->retry_ms, r->tried_ms, r->tried_ms + 2 * STS_BACKOFF_MAX_MS);
	f->failures = r->failures;
}

int64_t
sts_refresh_at(int64_t refreshed_ms, int64_t expires_ms, uint64_t jitter)
{
	int64_t life = expires_ms - refreshed_ms;
	int64_t wait = STS_REFRESH_MS / 4 * 3;

	if (life / 2 < wait)
		wait = life > 0 ? life / 2 : 0;
	return refreshed_ms + spread(wait, jitter);
}

int64_t
sts_expires_at(const struct sts_policy *p, int64_t now_ms)
{
	int64_t life = (int64_t)p->max_age_s * 1000;

	return now_ms + (life > LIFE_MIN_MS ? life : LIFE_MIN_MS);
}
