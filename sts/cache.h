/*
 * What is known of domains, in bounded memory.  Floor 2.  The store is the
 * truth; what is evicted is read again.  Used by sts/core alone.
 */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include <sys/queue.h>

#include "common/base/memo.h"
#include "sts/fetch.h"

enum { STS_CACHE_DOMAINS = 50000, STS_CACHE_BYTES = 64 * 1024 * 1024 };

enum sts_fetching {
	STS_FETCH_IDLE,
	STS_FETCH_QUEUED,     /* a lookup waits for it */
	STS_FETCH_BACKGROUND, /* queued, no lookup waits */
	STS_FETCH_RUNNING,
	STS_FETCH_RUNNING_BACKGROUND,
	STS_FETCH_SAVING,
	STS_FETCH_SAVING_VOID /* forgotten meanwhile */
};

/* The store's record. */
enum sts_reading {
	STS_UNREAD,
	STS_READING,
	STS_READING_VOID, /* forgotten meanwhile: it is read again */
	STS_READ
};

struct sts_domain {
	struct hb_memo_entry memo;     /* its waits: struct sts_lookup */
	TAILQ_ENTRY(sts_domain) queue; /* of fetches */
	int64_t started_ms; /* of the fetch under way; monotonic */
	TAILQ_ENTRY(sts_domain) retry; /* TXT to be asked again */
	int64_t retry_ms;              /* then; monotonic */
	uint64_t hash;
	struct sts_policy_ref *held;  /* owned; may be NULL */
	struct sts_policy_ref *fresh; /* owned; being saved */
	struct sts_txt_state txt;
	struct sts_fetch_state fetch;
	struct sts_id fetch_id; /* of the current fetch */
	enum sts_fetching fetching;
	enum sts_reading reading;
	unsigned turns; /* of the fetch: it made place for others */
	bool asking, anew;    /* TXT; without any cache */
	bool retrying;        /* in the list of those */
	bool background;      /* go on without a waiter */
	bool force;           /* fetch whatever is known */
	bool stored, failing; /* what the store has: as it is counted */
	unsigned char name[]; /* lower case */
};

TAILQ_HEAD(sts_domains, sts_domain);

static inline struct hb_span
sts_domain_name(const struct sts_domain *d)
{
	return d->memo.key;
}

static inline bool
sts_is_awaited(const struct sts_domain *d)
{
	return hb_waits_first(&d->memo.waits) != NULL;
}

static inline bool
sts_is_reading(const struct sts_domain *d)
{
	return d->reading == STS_READING || d->reading == STS_READING_VOID;
}

/* What was read counts no more. */
static inline void
sts_unread(struct sts_domain *d)
{
	if (d->reading == STS_READ)
		d->reading = STS_UNREAD;
}

struct sts_cache {
	struct hb_memo memo;
	unsigned char key[16];
};

/* KEY: 16 random bytes, for what is spread by names. */
void sts_cache_init(struct sts_cache *c, const unsigned char key[16]);
/* NAME: lower case, at most HB_MAX_DOMAIN bytes.  NULL: not known. */
struct sts_domain *sts_cache_find(struct sts_cache *c, struct hb_span name);
/* Evicts first what is above the bounds and waits for nothing. */
struct sts_domain *sts_cache_add(struct sts_cache *c, struct hb_span name);
/* Takes REF (may be NULL) and replaces the policy that D holds. */
void sts_cache_hold(
    struct sts_cache *c, struct sts_domain *d, struct sts_policy_ref *ref);

#endif
