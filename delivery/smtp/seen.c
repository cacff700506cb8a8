/* The best channels seen: in memory and as a record.  Floor 1. */
#include "delivery/smtp/seen.h"

#include <stdlib.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/proto/tlv.h"

#define RECORD_STRUCT(name) dlv_##name
#include "common/proto/record-struct.h"
#include "delivery/smtp/seen.def"
#include "common/proto/record-undef.h"

#define RECORD_STRUCT(name) dlv_##name
#include "common/proto/record-table.h"
#include "delivery/smtp/seen.def"
#include "common/proto/record-undef.h"

static const struct hb_record record_type = { "seen", seen_record_fields,
	HB_ARRAY_LEN(seen_record_fields), sizeof(struct dlv_seen_record) };
static const struct hb_record host_type = { "seen host", seen_host_fields,
	HB_ARRAY_LEN(seen_host_fields), sizeof(struct dlv_seen_host) };

enum hb_rank
dlv_seen_best(const struct dlv_seen *seen, struct hb_span mx)
{
	if (seen == NULL)
		return HB_RANK_NONE;
	for (size_t i = 0; i < seen->nmx; i++)
		if (hb_span_eq_nocase(seen->mx[i].name, mx))
			return seen->mx[i].sight.best;
	return seen->domain.best;
}

struct dlv_seen *
dlv_seen_take(struct dlv_seen *seen)
{
	if (seen != NULL)
		seen->count++;
	return seen;
}

void
dlv_seen_release(struct dlv_seen **seen)
{
	if (*seen != NULL && --(*seen)->count == 0)
		free(*seen);
	*seen = NULL;
}

/* One block: the struct, the hosts, their names. */
struct dlv_seen *
dlv_seen_new(const struct dlv_notes *n)
{
	size_t bytes = sizeof(struct dlv_seen) + n->nmx * sizeof(n->mx[0]);
	struct dlv_seen *seen;
	struct dlv_seen_mx *mx;
	unsigned char *at;

	for (size_t i = 0; i < n->nmx; i++)
		bytes += n->mx[i].name.n;
	seen = hb_malloc(bytes);
	mx = (struct dlv_seen_mx *)(seen + 1);
	at = (unsigned char *)(mx + n->nmx);
	*seen = (struct dlv_seen){ .domain = n->domain, .mx = mx,
		.nmx = n->nmx, .count = 1 };
	for (size_t i = 0; i < n->nmx; i++) {
		mx[i] = n->mx[i];
		mx[i].name.p = at;
		memcpy(at, n->mx[i].name.p, n->mx[i].name.n);
		at += n->mx[i].name.n;
	}
	return seen;
}

void
dlv_notes_of(const struct dlv_seen *seen, struct dlv_notes *out)
{
	*out = (struct dlv_notes){ .domain = seen->domain, .nmx = seen->nmx };
	for (size_t i = 0; i < seen->nmx; i++)
		out->mx[i] = seen->mx[i];
}

static void
raise(struct dlv_sight *to, const struct dlv_sight *s)
{
	if (s->best > to->best) {
		*to = *s;
	} else if (s->best == to->best) {
		if (s->since_ms < to->since_ms)
			to->since_ms = s->since_ms;
		if (s->last_ms > to->last_ms)
			to->last_ms = s->last_ms;
	}
}

static void
forget_oldest(struct dlv_notes *n)
{
	size_t oldest = 0;

	for (size_t i = 1; i < n->nmx; i++)
		if (n->mx[i].sight.last_ms < n->mx[oldest].sight.last_ms)
			oldest = i;
	n->nmx--;
	memmove(&n->mx[oldest], &n->mx[oldest + 1],
	    (n->nmx - oldest) * sizeof(n->mx[0]));
}

void
dlv_notes_add(struct dlv_notes *n, struct hb_span mx,
    const struct dlv_sight *s)
{
	size_t at = 0;

	raise(&n->domain, s);
	if (mx.n == 0)
		return;
	while (at < n->nmx && hb_span_cmp(n->mx[at].name, mx) < 0)
		at++;
	if (at < n->nmx && hb_span_eq(n->mx[at].name, mx)) {
		raise(&n->mx[at].sight, s);
		return;
	}
	if (n->nmx == DLV_SEEN_MXS) {
		forget_oldest(n);
		dlv_notes_add(n, mx, s);
		return;
	}
	memmove(&n->mx[at + 1], &n->mx[at], (n->nmx - at) * sizeof(n->mx[0]));
	n->mx[at] = (struct dlv_seen_mx){ mx, *s };
	n->nmx++;
}

/* --- the record --- */

static void
encode_host(const struct dlv_seen_mx *mx, struct hb_buf *out)
{
	struct dlv_seen_host r = { .name = mx->name,
		.best = hb_span_str(hb_rank_word(mx->sight.best)),
		.since_ms = mx->sight.since_ms, .last_ms = mx->sight.last_ms };
	struct hb_buf one = HB_BUF_INIT(0);

	if (hb_tlv_encode(&host_type, &r, &one) < 0)
		HB_BUG("record of a host out of bounds");
	hb_buf_add_le(out, one.n, 2);
	hb_buf_add(out, hb_buf_span(&one));
	hb_buf_free(&one);
}

void
dlv_notes_encode(const struct dlv_notes *n, struct hb_buf *out)
{
	struct hb_buf hosts = HB_BUF_INIT(0);
	struct dlv_seen_record r = {
		.best = hb_span_str(hb_rank_word(n->domain.best)),
		.since_ms = n->domain.since_ms, .last_ms = n->domain.last_ms };

	for (size_t i = 0; i < n->nmx; i++)
		encode_host(&n->mx[i], &hosts);
	r.hosts = hb_buf_span(&hosts);
	if (hb_tlv_encode(&record_type, &r, out) < 0)
		HB_BUG("record of channels out of bounds");
	hb_buf_free(&hosts);
}

/* What was seen has a rank. */
static int
parse_rank(struct hb_span word, enum hb_rank *out)
{
	for (unsigned i = HB_RANK_NONE + 1; i < HB_RANK_COUNT; i++)
		if (hb_span_eq(word, hb_span_str(hb_rank_word((enum hb_rank)i)))) {
			*out = (enum hb_rank)i;
			return 0;
		}
	return HB_E_SYNTAX;
}

/* The host at the front of REST, which moves on. */
static int
decode_host(struct hb_span *rest, struct dlv_seen_mx *out)
{
	struct dlv_seen_host r;
	size_t n;
	int err;

	if (rest->n < 2)
		return HB_E_MORE;
	n = (size_t)hb_get_le(rest->p, 2);
	*rest = hb_span_from(*rest, 2);
	if (rest->n < n)
		return HB_E_MORE;
	err = hb_tlv_decode(&host_type, hb_span_head(*rest, n), &r);
	*rest = hb_span_from(*rest, n);
	if (err < 0)
		return err;
	*out = (struct dlv_seen_mx){ .name = r.name,
		.sight = { .since_ms = r.since_ms, .last_ms = r.last_ms } };
	return r.name.n > 0 ? parse_rank(r.best, &out->sight.best)
			    : HB_E_SYNTAX;
}

/* In the order of their names, so none comes twice. */
static int
decode_hosts(struct hb_span rest, struct dlv_notes *out)
{
	while (rest.n > 0) {
		struct dlv_seen_mx *mx = &out->mx[out->nmx];
		int err;

		if (out->nmx == DLV_SEEN_MXS)
			return HB_E_RANGE;
		err = decode_host(&rest, mx);
		if (err < 0)
			return err;
		if (out->nmx > 0 && hb_span_cmp(mx[-1].name, mx->name) >= 0)
			return HB_E_SYNTAX;
		out->nmx++;
	}
	return 0;
}

int
dlv_notes_decode(struct hb_span value, struct dlv_notes *out)
{
	struct dlv_seen_record r;
	int err = hb_tlv_decode(&record_type, value, &r);

	*out = (struct dlv_notes){ .nmx = 0 };
	if (err < 0)
		return err;
	out->domain.since_ms = r.since_ms;
	out->domain.last_ms = r.last_ms;
	err = parse_rank(r.best, &out->domain.best);
	return err < 0 ? err : decode_hosts(r.hosts, out);
}
