/* One mailbox, one copy.  Floor 2. */
#include "queue/manager/places.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/proto/address.h"
#include "common/proto/template.h"

/* What tells local mailboxes apart. */
enum by { BY_USER, BY_DOMAIN, BY_ADDRESS };

struct cell {
	uint32_t hash;
	uint32_t next; /* idx + 1; 0: empty */
};

struct q_places {
	enum by by;
	struct cell *v;
	size_t mask, n;
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

static uint32_t
hash_of(enum by by, const struct hb_rcpt *r)
{
	static const unsigned char key[16] = "address, route..";
	unsigned char low[HB_MAX_PATH];
	size_t exact;
	struct hb_span part = part_of(by, r, &exact);

	part = hb_span_head(part, sizeof(low));
	for (size_t i = 0; i < part.n; i++)
		low[i] = hb_lower(part.p[i]);
	return (uint32_t)(hb_siphash(key, hb_span(low, part.n)) ^
	    (r->route.n > 0 ? hb_siphash(key, r->route) * 3 : 0));
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
	p->mask = 15;
	p->v = hb_calloc(p->mask + 1, sizeof(*p->v));
	return p;
}

void
q_places_free(struct q_places **p)
{
	if (*p == NULL)
		return;
	free((*p)->v);
	free(*p);
	*p = NULL;
}

static void
put(struct q_places *p, struct cell c)
{
	size_t at = c.hash & p->mask;

	while (p->v[at].next != 0)
		at = (at + 1) & p->mask;
	p->v[at] = c;
}

static void
grow(struct q_places *p)
{
	struct cell *old = p->v;
	size_t n = p->mask + 1;

	p->mask = n * 2 - 1;
	p->v = hb_calloc(n * 2, sizeof(*p->v));
	for (size_t i = 0; i < n; i++)
		if (old[i].next != 0)
			put(p, old[i]);
	free(old);
}

static void
add(struct q_places *p, struct cell c)
{
	for (size_t at = c.hash & p->mask; p->v[at].next != 0;
	     at = (at + 1) & p->mask)
		if (p->v[at].hash == c.hash && p->v[at].next == c.next)
			return;
	if (++p->n * 2 > p->mask)
		grow(p);
	put(p, c);
}

void
q_places_add(struct q_places *p, const struct hb_rcpt *r)
{
	add(p, (struct cell){ hash_of(p->by, r), r->idx + 1 });
}

static bool
is_taken(const struct q_places *p, const struct hb_rcpt *v, size_t n,
    const struct hb_rcpt *r, uint32_t hash, uint32_t self)
{
	for (size_t at = hash & p->mask; p->v[at].next != 0;
	     at = (at + 1) & p->mask) {
		const struct cell *c = &p->v[at];
		const struct hb_rcpt *other;

		if (c->hash != hash || c->next == self + 1)
			continue;
		other = hb_rcpt_find(v, n, c->next - 1);
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
		uint32_t hash = hash_of(p->by, &items[i]);

		items[kept] = items[i];
		items[kept].idx = (uint32_t)kept;
		if (is_taken(p, items, kept, &items[kept], hash, UINT32_MAX))
			continue;
		add(p, (struct cell){ hash, (uint32_t)++kept });
	}
	q_places_free(&p);
	return kept;
}
