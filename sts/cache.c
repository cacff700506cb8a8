/* Domains in memory.  Floor 2. */
#include "sts/cache.h"

#include <stdlib.h>

#include "common/base/hash.h"

enum { FIRST_BUCKETS = 256 };

void
sts_cache_init(struct sts_cache *c, const unsigned char key[16])
{
	*c = (struct sts_cache){ .nbuckets = FIRST_BUCKETS };
	c->buckets = hb_calloc(c->nbuckets, sizeof(*c->buckets));
	memcpy(c->key, key, sizeof(c->key));
}

static void
unuse(struct sts_cache *c, struct sts_domain *d)
{
	if (d->newer != NULL)
		d->newer->older = d->older;
	else
		c->newest = d->older;
	if (d->older != NULL)
		d->older->newer = d->newer;
	else
		c->oldest = d->newer;
}

static void
use(struct sts_cache *c, struct sts_domain *d)
{
	d->newer = NULL;
	d->older = c->newest;
	if (c->newest != NULL)
		c->newest->newer = d;
	else
		c->oldest = d;
	c->newest = d;
}

static struct sts_domain **
bucket(struct sts_cache *c, uint64_t hash)
{
	return &c->buckets[hash & (c->nbuckets - 1)];
}

static size_t
size_of(const struct sts_domain *d)
{
	return sizeof(*d) + d->name_n +
	       (d->held != NULL ? sts_ref_size(d->held) : 0);
}

static void
drop(struct sts_cache *c, struct sts_domain *d)
{
	struct sts_domain **at = bucket(c, d->hash);

	while (*at != d)
		at = &(*at)->chain;
	*at = d->chain;
	unuse(c, d);
	c->n--;
	c->bytes -= size_of(d);
	sts_ref_release(&d->held);
	sts_ref_release(&d->fresh);
	free(d);
}

void
sts_cache_clear(struct sts_cache *c)
{
	while (c->newest != NULL)
		drop(c, c->newest);
	free(c->buckets);
	c->buckets = NULL;
}

static bool
is_idle(const struct sts_domain *d)
{
	return d->waiters == NULL && !d->loading && !d->asking &&
	       !d->retrying && d->fetching == STS_FETCH_IDLE;
}

static bool
is_full(const struct sts_cache *c)
{
	return c->n >= STS_CACHE_DOMAINS || c->bytes >= STS_CACHE_BYTES;
}

static void
trim(struct sts_cache *c)
{
	struct sts_domain *d = c->oldest;

	while (is_full(c) && d != NULL) {
		struct sts_domain *next = d->newer;

		if (is_idle(d))
			drop(c, d);
		d = next;
	}
}

static void
grow(struct sts_cache *c)
{
	size_t old_n = c->nbuckets;
	struct sts_domain **old = c->buckets;

	c->nbuckets *= 2;
	c->buckets = hb_calloc(c->nbuckets, sizeof(*c->buckets));
	for (size_t i = 0; i < old_n; i++)
		while (old[i] != NULL) {
			struct sts_domain *d = old[i], **to;

			old[i] = d->chain;
			to = bucket(c, d->hash);
			d->chain = *to;
			*to = d;
		}
	free(old);
}

struct sts_domain *
sts_cache_find(struct sts_cache *c, struct hb_span name)
{
	uint64_t hash = hb_siphash(c->key, name);
	struct sts_domain *d = *bucket(c, hash);

	while (d != NULL &&
	       (d->hash != hash || !hb_span_eq(sts_domain_name(d), name)))
		d = d->chain;
	if (d != NULL && d != c->newest) {
		unuse(c, d);
		use(c, d);
	}
	return d;
}

struct sts_domain *
sts_cache_add(struct sts_cache *c, struct hb_span name)
{
	struct sts_domain *d, **to;

	trim(c);
	if (c->n >= c->nbuckets)
		grow(c);
	d = hb_calloc(1, sizeof(*d) + name.n);
	d->hash = hb_siphash(c->key, name);
	d->name_n = (unsigned char)name.n;
	if (name.n > 0)
		memcpy(d->name, name.p, name.n);
	to = bucket(c, d->hash);
	d->chain = *to;
	*to = d;
	use(c, d);
	c->n++;
	c->bytes += size_of(d);
	return d;
}

void
sts_cache_hold(
    struct sts_cache *c, struct sts_domain *d, struct sts_policy_ref *ref)
{
	c->bytes -= size_of(d);
	sts_ref_release(&d->held);
	d->held = ref;
	c->bytes += size_of(d);
}
