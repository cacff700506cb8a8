/* TLSA records.  RFC 7671 s5, RFC 7672 s3.1.  Floor 1. */
#include "common/proto/dane.h"

#include <stdlib.h>

#include "common/base/hash.h"

static const char *const words[] = {
#define X(sym, word, text) [HB_DANE_##sym] = (word),
	HB_DANE_STATES(X)
#undef X
};
static const char *const texts[] = {
#define X(sym, word, text) [HB_DANE_##sym] = (text),
	HB_DANE_STATES(X)
#undef X
};

const char *
hb_dane_word(enum hb_dane_state s)
{
	return s < HB_DANE_STATE_COUNT ? words[s] : "";
}

const char *
hb_dane_text(enum hb_dane_state s)
{
	return s < HB_DANE_STATE_COUNT ? texts[s] : "";
}

/* RFC 7671 s5: what a wrong length is for is not known, so it matches
 * nothing. */
bool
hb_tlsa_usable(const struct hb_tlsa *t)
{
	static const size_t lengths[] = { 0, 32, 64 };

	if ((t->usage != 2 && t->usage != 3) || t->selector > 1 ||
	    t->match >= HB_ARRAY_LEN(lengths) || t->data.n == 0)
		return false;
	return t->match == 0 || t->data.n == lengths[t->match];
}

static void
add(struct hb_siphash *h, struct hb_span s)
{
	const unsigned char n[2] = { (unsigned char)(s.n >> 8),
		(unsigned char)s.n };

	hb_siphash_update(h, hb_span(n, sizeof(n)));
	hb_siphash_update(h, s);
}

/* The key is fixed: who could look for equal digests signs the records. */
static uint64_t
digest_of(const struct hb_dane *d)
{
	static const unsigned char key[16] = { 0 };
	struct hb_siphash h;
	uint64_t digest;

	hb_siphash_init(&h, key);
	for (size_t i = 0; i < d->nnames; i++)
		add(&h, hb_span_str(d->names[i]));
	for (size_t i = 0; i < d->n; i++) {
		const unsigned char kind[3] = { d->rr[i].usage,
			d->rr[i].selector, d->rr[i].match };

		add(&h, hb_span(kind, sizeof(kind)));
		add(&h, d->rr[i].data);
	}
	digest = hb_siphash_final(&h);
	return digest != 0 ? digest : 1;
}

/* DNS hands them out in any order. */
static int
compare(const void *pa, const void *pb)
{
	const struct hb_tlsa *a = pa, *b = pb;
	int kind_a = a->usage << 16 | a->selector << 8 | a->match;
	int kind_b = b->usage << 16 | b->selector << 8 | b->match;

	return kind_a != kind_b ? kind_a - kind_b
				: hb_span_cmp(a->data, b->data);
}

void
hb_dane_take(struct hb_dane *d, const struct hb_dns_rr *rr, size_t n,
    struct hb_arena *arena)
{
	struct hb_tlsa *taken = hb_arena_alloc(arena, (n + 1) * sizeof(*taken));

	d->rr = taken;
	d->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct hb_tlsa t = { rr[i].tlsa_usage, rr[i].tlsa_selector,
			rr[i].tlsa_match, rr[i].data };

		if (hb_tlsa_usable(&t))
			taken[d->n++] = t;
	}
	qsort(taken, d->n, sizeof(*taken), compare);
	d->state = d->n > 0 ? HB_DANE_USABLE : HB_DANE_UNUSABLE;
	d->digest = d->n > 0 ? digest_of(d) : 0;
}

const struct hb_dane *
hb_dane_keep(const struct hb_dane *d, struct hb_arena *arena)
{
	struct hb_dane *to = hb_arena_alloc(arena, sizeof(*to));
	struct hb_tlsa *rr = hb_arena_alloc(arena, (d->n + 1) * sizeof(*rr));

	*to = *d;
	to->rr = rr;
	if (d->base != NULL)
		to->base = hb_arena_cstr(arena, hb_span_str(d->base));
	for (size_t i = 0; i < d->nnames; i++)
		to->names[i] = hb_arena_cstr(arena, hb_span_str(d->names[i]));
	for (size_t i = 0; i < d->n; i++)
		rr[i] = (struct hb_tlsa){ d->rr[i].usage, d->rr[i].selector,
			d->rr[i].match,
			hb_arena_span(arena, d->rr[i].data) };
	return to;
}
