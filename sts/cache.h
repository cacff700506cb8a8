/*
 * What is known of domains, in bounded memory: a hash table with the least
 * recently used in front of the door.  Floor 2.  The store is the truth; what
 * is evicted is read again.  Used by sts/core alone.
 */
#ifndef STS_CACHE_H
#define STS_CACHE_H

#include "sts/fetch.h"

enum { STS_CACHE_DOMAINS = 50000, STS_CACHE_BYTES = 64 * 1024 * 1024 };

enum sts_fetching {
	STS_FETCH_IDLE,
	STS_FETCH_QUEUED,     /* somebody waits for it */
	STS_FETCH_BACKGROUND, /* queued, nobody waits */
	STS_FETCH_RUNNING,
	STS_FETCH_SAVING
};

struct sts_lookup;
struct sts_domain {
	struct sts_domain *chain;         /* hash bucket */
	struct sts_domain *newer, *older; /* order of use */
	struct sts_domain *queue_next;    /* queue of fetches */
	int64_t started_ms; /* of the fetch under way; monotonic */
	struct sts_domain *retry_next, *retry_prev; /* TXT to be asked again */
	int64_t retry_ms;                           /* then; monotonic */
	uint64_t hash;
	struct sts_lookup *waiters;
	struct sts_policy_ref *held;  /* owned; may be NULL */
	struct sts_policy_ref *fresh; /* owned; being saved */
	struct sts_txt_state txt;
	struct sts_fetch_state fetch;
	struct sts_id fetch_id; /* of the fetch under way */
	enum sts_fetching fetching;
	unsigned turns; /* of the fetch: it made place for others */
	bool loaded, loading; /* the store was, is being read */
	bool asking, anew;    /* TXT; without any cache */
	bool retrying;        /* in the list of those */
	bool background;      /* go on without a waiter */
	bool force;           /* fetch whatever is known */
	bool in_background;   /* the running fetch */
	bool forgotten_load, forgotten_save; /* while it was under way */
	bool stored, failing; /* what the store has: as it is counted */
	unsigned char name_n;
	unsigned char name[]; /* lower case */
};

static inline struct hb_span
sts_domain_name(const struct sts_domain *d)
{
	return hb_span(d->name, d->name_n);
}

struct sts_cache {
	struct sts_domain **buckets; /* a power of two of them */
	size_t nbuckets, n, bytes;
	struct sts_domain *newest, *oldest;
	unsigned char key[16];
};

/* KEY: 16 random bytes (names are chosen by others). */
void sts_cache_init(struct sts_cache *c, const unsigned char key[16]);
void sts_cache_clear(struct sts_cache *c);
/* NAME: lower case, at most HB_MAX_DOMAIN bytes.  NULL: not known. */
struct sts_domain *sts_cache_find(struct sts_cache *c, struct hb_span name);
/* Evicts first what is above the bounds and idle. */
struct sts_domain *sts_cache_add(struct sts_cache *c, struct hb_span name);
/* Takes REF (may be NULL) in place of what D holds. */
void sts_cache_hold(
    struct sts_cache *c, struct sts_domain *d, struct sts_policy_ref *ref);

#endif
