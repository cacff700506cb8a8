/* Number of this worker's policies in the store: counted by each walk, kept up
 * to date in between.  Floor 2. */
#include "sts/core-priv.h"

bool
sts_core_is_failing(const struct sts_record *r)
{
	return r->last_error.n > 0 && r->mode != STS_MODE_NONE;
}

static uint64_t
plus(uint64_t n, int change)
{
	if (change < 0)
		return n > 0 ? n - 1 : 0;
	return n + (uint64_t)change;
}

static void
change(struct sts_counts *n, int kept, int failing)
{
	n->kept = plus(n->kept, kept);
	n->failing = plus(n->failing, failing);
}

/* Was the name's place in the store's order passed by the walk? */
static bool
is_behind(const struct sts_core *c, struct hb_span name)
{
	size_t n = name.n < c->walk_after_n ? name.n : c->walk_after_n;
	int order = n > 0 ? memcmp(name.p, c->walk_after, n) : 0;

	return order < 0 || (order == 0 && name.n <= c->walk_after_n);
}

void
sts_core_count_name(
    struct sts_core *c, struct hb_span name, int kept, int failing)
{
	if (!c->ops->owns(c->ctx, name))
		return;
	/* until the first walk is done COUNTS is what lies ahead of it */
	if (c->walked_once || !is_behind(c, name))
		change(&c->counts, kept, failing);
	if (is_behind(c, name))
		change(&c->counting, kept, failing);
}

void
sts_core_count(
    struct sts_core *c, struct sts_domain *d, bool stored, bool failing)
{
	int kept = (int)stored - (int)d->stored;
	int failed = (int)failing - (int)d->failing;

	d->stored = stored;
	d->failing = failing;
	sts_core_count_name(c, sts_domain_name(d), kept, failed);
}

void
sts_core_count_row(struct sts_core *c, const struct sts_record *r)
{
	change(&c->counting, 1, sts_core_is_failing(r));
}

void
sts_core_count_end(struct sts_core *c)
{
	c->counts = c->counting;
	c->counting = (struct sts_counts){ .kept = 0 };
	c->waits = c->waits_met + c->waits_new;
	c->waits_met = c->waits_new = 0;
	c->walked_once = true;
}

struct sts_counts
sts_core_counts(const struct sts_core *c)
{
	struct sts_counts n = c->counts;

	if (!c->walked_once) {
		n.kept += c->counting.kept;
		n.failing += c->counting.failing;
	}
	n.whole = c->walked_once;
	return n;
}
