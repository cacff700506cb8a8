/*
 * The next step for one domain: RFC 8461 s3.3, s5.1.  Floor 2: facts in, a step
 * out.  sts/core.h carries out the steps.
 *
 *	store read -> ASK -> TXT: id of the policy held      -> USE
 *	                          other id, or none held     -> FETCH
 *	                          none or malformed, held    -> USE
 *	                          none or malformed, none    -> WITHOUT
 *	                          no answer, held            -> USE
 *	                          no answer, none, twice     -> ASK_LATER
 *	                          no answer, none, then      -> WITHOUT
 *	FETCH failed: held -> USE, otherwise WITHOUT, and no FETCH for that id
 *	until the back-off ends, which the store remembers
 */
#ifndef STS_FETCH_H
#define STS_FETCH_H

#include "sts/record.h"
#include "sts/txt.h"

enum sts_step_kind {
	STS_STEP_ASK,       /* query the TXT record */
	STS_STEP_ASK_LATER, /* the same STS_DNS_RETRY_MS after the last query */
	STS_STEP_FETCH,
	STS_STEP_USE,    /* answer with the policy held */
	STS_STEP_WITHOUT /* answer without a policy */
};

enum {
	STS_DNS_RETRY_MS = 30 * 1000,
	STS_DNS_RETRIES = 2,
	STS_BACKOFF_MS = 5 * 60 * 1000, /* RFC 8461 s3.3: the minimum */
	STS_BACKOFF_MAX_MS = 4 * 60 * 60 * 1000,
	STS_REFRESH_MS = 24 * 60 * 60 * 1000
};

struct sts_id {
	char p[STS_ID_MAX];
	uint8_t n; /* 0: none */
};

/* The TXT record as last seen. */
struct sts_txt_state {
	enum hb_reason why; /* NONE: a record exists; STS_NO_RECORD, ... */
	struct sts_id id;
	int64_t asked_ms, fresh_until_ms; /* fresh in between, both 0: never */
	unsigned temp;                    /* queries in a row unanswered */
};

/* Results of recent fetches. */
struct sts_fetch_state {
	enum hb_reason error;        /* of the last fetch; NONE: it succeeded */
	struct sts_id failed;        /* id whose fetch failed */
	int64_t failed_ms, retry_ms; /* no fetch in between */
	unsigned failures;           /* in a row, of that id */
};

struct sts_step {
	enum sts_step_kind kind;
	enum hb_reason why; /* WITHOUT */
};

struct hb_span sts_id_span(const struct sts_id *id);
void sts_id_set(struct sts_id *id, struct hb_span s); /* at most STS_ID_MAX */

/* HELD: a policy that has not expired, or NULL. */
struct sts_step sts_fetch_step(const struct sts_policy_ref *held,
    const struct sts_txt_state *txt, const struct sts_fetch_state *f,
    int64_t now_ms);

/* Records the answer to the TXT query: WHY as in struct sts_txt_state, ID if
 * there is one. */
void sts_txt_seen(struct sts_txt_state *txt, enum hb_reason why,
    struct hb_span id, uint32_t ttl_s, int64_t now_ms);

/* Has the fetch of ID failed a moment ago? */
bool sts_fetch_must_wait(
    const struct sts_fetch_state *f, struct hb_span id, int64_t now_ms);

/* Is NOW within the period that began at FROM?  Setting the clock back ends
 * every such period. */
bool sts_within(int64_t from_ms, int64_t until_ms, int64_t now_ms);

/* Records a failed fetch of ID.  JITTER: any number, spreads the next one. */
void sts_fetch_failed(struct sts_fetch_state *f, struct hb_span id,
    enum hb_reason why, uint64_t jitter, int64_t now_ms);

/* To the store and back, so that a restart keeps the back-off.  R borrows from
 * F.  WHY: R's last_error. */
void sts_fetch_keep(const struct sts_fetch_state *f, struct sts_record *r);
void sts_fetch_recall(struct sts_fetch_state *f, const struct sts_record *r,
    enum hb_reason why);

/* When to fetch a policy again whatever the TXT record says: about daily, and
 * well before a short lifetime ends (RFC 8461 s3.3, s10.2). */
int64_t sts_refresh_at(
    int64_t refreshed_ms, int64_t expires_ms, uint64_t jitter);

/* Expiry of a policy that was fetched at NOW. */
int64_t sts_expires_at(const struct sts_policy *p, int64_t now_ms);

#endif
