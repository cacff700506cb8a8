/* Policies in the store and in memory.  Floor 1. */
#include "sts/record.h"

#include <stdlib.h>

#define RECORD_STRUCT(name) sts_##name
#include "common/proto/record-table.h"
#include "sts/record.def"
#include "common/proto/record-undef.h"

static const struct hb_record record_type = { "policy", record_fields,
	HB_ARRAY_LEN(record_fields), sizeof(struct sts_record) };

void
sts_record_encode(const struct sts_record *r, struct hb_buf *out)
{
	/* every field was bounded where it came from */
	if (hb_tlv_encode(&record_type, r, out) < 0)
		HB_BUG("policy record out of bounds");
}

int
sts_record_decode(struct hb_span value, struct sts_record *r)
{
	return hb_tlv_decode(&record_type, value, r);
}

/* A ref is one block: the struct, the spans of the patterns, all bytes. */
static size_t
bytes_needed(struct hb_span domain, const struct sts_record *r,
    const struct sts_policy *p)
{
	size_t n = sizeof(struct sts_policy_ref) + p->nmx * sizeof(p->mx[0]) +
		   domain.n + r->id.n + r->text.n;

	for (size_t i = 0; i < p->nmx; i++)
		n += p->mx[i].n;
	return n;
}

static struct hb_span
place(unsigned char **at, struct hb_span s)
{
	struct hb_span copy = hb_span(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static struct sts_policy_ref *
build(struct hb_span domain, const struct sts_record *r,
    const struct sts_policy *p)
{
	struct sts_policy_ref *ref = hb_malloc(bytes_needed(domain, r, p));
	struct hb_span *mx = (struct hb_span *)(ref + 1);
	unsigned char *at = (unsigned char *)(mx + p->nmx);

	*ref = (struct sts_policy_ref){ .policy = *p,
		.count = 1,
		.fetched_ms = r->fetched_ms,
		.refreshed_ms = r->refreshed_ms,
		.imported = hb_span_eq(r->source, HB_SPAN("imported")) };
	for (size_t i = 0; i < p->nmx; i++)
		mx[i] = place(&at, p->mx[i]);
	ref->policy.mx = mx;
	ref->policy.expires_ms = r->expires_ms;
	ref->domain = place(&at, domain);
	ref->id = place(&at, r->id);
	ref->text = place(&at, r->text);
	return ref;
}

struct sts_policy_ref *
sts_ref_new(struct hb_span domain, const struct sts_record *r)
{
	struct hb_arena *arena = hb_arena_new();
	struct sts_policy_ref *ref = NULL;
	struct sts_policy p;
	const char *why;

	if (sts_policy_parse(r->text, arena, &p, &why) == 0)
		ref = build(domain, r, &p);
	hb_arena_free(&arena);
	return ref;
}

struct sts_policy_ref *
sts_ref_take(struct sts_policy_ref *ref)
{
	if (ref != NULL)
		ref->count++;
	return ref;
}

void
sts_ref_release(struct sts_policy_ref **ref)
{
	if (*ref != NULL && --(*ref)->count == 0)
		free(*ref);
	*ref = NULL;
}

size_t
sts_ref_size(const struct sts_policy_ref *ref)
{
	size_t n = sizeof(*ref) + ref->domain.n + ref->id.n + ref->text.n;

	for (size_t i = 0; i < ref->policy.nmx; i++)
		n += sizeof(ref->policy.mx[0]) + ref->policy.mx[i].n;
	return n;
}
