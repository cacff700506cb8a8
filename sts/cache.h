/*
 * Cache of domains in bounded memory: a hash table that evicts the least
 * recently used.  Floor 2.  The store is authoritative; an evicted domain is
 * read again.  Used only by sts/core.
 */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include "sts/fetch.h"

enum { STS_CACHE_DOMAINS = 50000, STS_CACHE_BYTES = 64 * 1024 * 1024 };

enum sts_fetching {
	STS_FETCH_IDLE,
	STS_FETCH_QUEUED,     /* a lookup waits for it */
	STS_FETCH_BACKGROUND, /* queued, no lookup waits */
	STS_FETCH_RUNNING,
	STS_FETCH_SAVING
};

struct sts_lookup;
struct sts_domain {
	struct sts_domain *chain;         /* hash bucket */
	struct sts_domain *newer, *older; /* order of use */
	struct sts_domain *queue_next;    /* queue of fetches */
	int64_t started_ms; /* of the current fetch; monotonic */
	struct sts_domain *retry_next, *retry_prev; /* TXT query to retry */
	int64_t retry_ms;                           /* due; monotonic */
	uint64_t hash;
	struct sts_lookup *waiters;
	struct sts_policy_ref *held;  /* owned; may be NULL */
	struct sts_policy_ref *fresh; /* owned; being saved */
	struct sts_txt_state txt;
	struct sts_fetch_state fetch;
	struct sts_id fetch_id; /* of the current fetch */
	enum sts_fetching fetching;
	unsigned turns; /* of the fetch: it gave way to others */
	bool loaded, loading; /* the store was, is being read */
	bool asking, anew;    /* TXT; bypassing caches */
	bool retrying;        /* in the retry list */
	bool background;      /* go on without a waiter */
	bool force;           /* fetch whatever is known */
	bool in_background;   /* the current fetch */
	bool forgotten_load, forgotten_save; /* during the load or save */
	bool stored, failing; /* in the store, as counted */
	unsigned char name_n;
	unsigned char name[]; /* lower case */
};

static inline struct hb_span
sts_domain_name(const struct sts_domain *d)
{
	return hb_span(d->name, d->name_n);
}

struct sts_cache {
	struct sts_domain **buckets; /* their number is a power of two */
	size_t nbuckets, n, bytes;
	struct sts_domain *newest, *oldest;
	unsigned char key[16];
};

/* KEY: 16 random bytes (others choose the names). */
void sts_cache_init(struct sts_cache *c, const unsigned char key[16]);
void sts_cache_clear(struct sts_cache *c);
/* NAME: lower case, at most HB_MAX_DOMAIN bytes.  NULL if it is not known. */
struct sts_domain *sts_cache_find(struct sts_cache *c, struct hb_span name);
/* First evicts idle domains above the bounds. */
struct sts_domain *sts_cache_add(struct sts_cache *c, struct hb_span name);
/* Takes REF (may be NULL) and replaces the policy that D holds. */
void sts_cache_hold(
    struct sts_cache *c, struct sts_domain *d, struct sts_policy_ref *ref);

#endif
