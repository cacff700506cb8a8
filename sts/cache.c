/* Domains in memory.  Floor 2. */
#include "sts/cache.h"

#include <stdlib.h>

#include "common/base/hash.h"

static size_t
size_of(const struct sts_domain *d)
{
	return sizeof(*d) + sts_domain_name(d).n +
	       (d->held != NULL ? sts_ref_size(d->held) : 0);
}

static void
free_domain(struct hb_memo_entry *e)
{
	struct sts_domain *d = (struct sts_domain *)e;

	sts_ref_release(&d->held);
	sts_ref_release(&d->fresh);
	free(d);
}

static bool
is_busy(const struct hb_memo_entry *e)
{
	const struct sts_domain *d = (const struct sts_domain *)e;

	return sts_is_reading(d) || d->asking || d->retrying ||
	       d->fetching != STS_FETCH_IDLE;
}

void
sts_cache_init(struct sts_cache *c, const unsigned char key[16])
{
	c->memo = (struct hb_memo){ .max = STS_CACHE_DOMAINS,
		.max_size = STS_CACHE_BYTES,
		.must_stay = is_busy,
		.free = free_domain };
	memcpy(c->key, key, sizeof(c->key));
}

struct sts_domain *
sts_cache_find(struct sts_cache *c, struct hb_span name)
{
	return (struct sts_domain *)hb_memo_find(&c->memo, name);
}

struct sts_domain *
sts_cache_add(struct sts_cache *c, struct hb_span name)
{
	struct sts_domain *d = hb_calloc(1, sizeof(*d) + name.n);

	d->hash = hb_siphash(c->key, name);
	memcpy(d->name, name.p, name.n);
	hb_memo_add(&c->memo, &d->memo, hb_span(d->name, name.n),
	    sizeof(*d) + name.n);
	return d;
}

void
sts_cache_hold(
    struct sts_cache *c, struct sts_domain *d, struct sts_policy_ref *ref)
{
	sts_ref_release(&d->held);
	d->held = ref;
	hb_memo_resize(&c->memo, &d->memo, size_of(d));
}
