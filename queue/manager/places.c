/* One mailbox, one copy.  Floor 2. */
#include "queue/manager/places.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/rows.h"
#include "common/base/table.h"
#include "common/proto/address.h"
#include "common/proto/template.h"

/* What tells local mailboxes apart. */
enum by { BY_USER, BY_DOMAIN, BY_ADDRESS };

struct taken {
	HB_ROW(hash);
	uint32_t idx;
};

struct q_places {
	enum by by;
	struct hb_rows rows;
	struct hb_arena *arena; /* holds them */
};

static enum by
by_of(const struct hb_deliver *d)
{
	struct hb_span t = hb_span_str(d->arg != NULL ? d->arg : "");

	if (d->kind == HB_DELIVER_LMTP || hb_template_has(t, 'a'))
		return BY_ADDRESS;
	return hb_template_has(t, 'd') ? BY_DOMAIN : BY_USER;
}

/* The part of R's address that counts beside its route.  Local parts of
 * others' hosts are theirs: *EXACT bytes of it are compared with case. */
static struct hb_span
part_of(enum by by, const struct hb_rcpt *r, size_t *exact)
{
	struct hb_span local, domain;

	*exact = 0;
	if (hb_span_has_prefix_nocase(r->route, HB_SPAN("file:")))
		return HB_SPAN_NONE;
	hb_addr_split(r->address, &local, &domain);
	if (hb_span_has_prefix_nocase(r->route, HB_SPAN("local:")))
		return by == BY_USER	 ? HB_SPAN_NONE
		    : by == BY_DOMAIN ? domain
				      : r->address;
	if (hb_span_has_prefix_nocase(r->route, HB_SPAN("mx:")) ||
	    hb_span_has_prefix_nocase(r->route, HB_SPAN("smtp")) ||
	    r->route.n == 0)
		*exact = local.n;
	return r->address;
}

static uint64_t
hash_of(enum by by, const struct hb_rcpt *r)
{
	unsigned char low[HB_MAX_PATH];
	size_t exact;
	struct hb_span part = part_of(by, r, &exact);

	part = hb_span_lower(hb_span_head(part, sizeof(low)), low);
	return (uint64_t)hb_table_hash(part.p, part.n) << 32 |
	    hb_table_hash(r->route.p, r->route.n);
}

static bool
same(enum by by, const struct hb_rcpt *a, const struct hb_rcpt *b)
{
	size_t na, nb;
	struct hb_span pa = part_of(by, a, &na), pb = part_of(by, b, &nb);

	return hb_span_eq(a->route, b->route) && na == nb &&
	    hb_span_eq(hb_span_head(pa, na), hb_span_head(pb, nb)) &&
	    hb_span_eq_nocase(pa, pb);
}

struct q_places *
q_places_new(const struct hb_deliver *d)
{
	struct q_places *p = HB_NEW(struct q_places);

	p->by = by_of(d);
	p->arena = hb_arena_new();
	return p;
}

void
q_places_free(struct q_places **p)
{
	if (*p == NULL)
		return;
	hb_rows_free(&(*p)->rows);
	hb_arena_free(&(*p)->arena);
	free(*p);
	*p = NULL;
}

static void
add(struct q_places *p, uint64_t hash, uint32_t idx)
{
	struct taken *c = hb_rows_find(&p->rows, hash);

	while (c != NULL && c->idx != idx)
		c = hb_rows_same(c);
	if (c != NULL)
		return;
	c = hb_arena_alloc(p->arena, sizeof(*c));
	c->idx = idx;
	hb_rows_add(&p->rows, c, hash);
}

void
q_places_add(struct q_places *p, const struct hb_rcpt *r)
{
	add(p, hash_of(p->by, r), r->idx);
}

static bool
is_taken(const struct q_places *p, const struct hb_rcpt *v, size_t n,
    const struct hb_rcpt *r, uint64_t hash, uint32_t self)
{
	for (const struct taken *c = hb_rows_find(&p->rows, hash); c != NULL;
	     c = hb_rows_same(c)) {
		const struct hb_rcpt *other;

		if (c->idx == self)
			continue;
		other = hb_rcpt_find(v, n, c->idx);
		if (other != NULL && same(p->by, other, r))
			return true;
	}
	return false;
}

bool
q_places_taken(const struct q_places *p, const struct hb_rcpt *v, size_t n,
    const struct hb_rcpt *r, uint32_t self)
{
	return is_taken(p, v, n, r, hash_of(p->by, r), self);
}

size_t
q_rcpts_unique(struct hb_rcpt *items, size_t n)
{
	static const struct hb_deliver none;
	struct q_places *p = q_places_new(&none);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t hash = hash_of(p->by, &items[i]);

		items[kept] = items[i];
		items[kept].idx = (uint32_t)kept;
		if (is_taken(p, items, kept, &items[kept], hash, UINT32_MAX))
			continue;
		add(p, hash, (uint32_t)kept++);
	}
	q_places_free(&p);
	return kept;
}
