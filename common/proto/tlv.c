/* Tag-length-value records.  Floor 1. */
#include "common/proto/tlv.h"

#include "common/base/bytes.h"
#include "common/base/err.h"

static uint64_t
load_int(const struct hb_field *f, const void *rec)
{
	const unsigned char *at = (const unsigned char *)rec + f->offset;
	uint32_t u32;
	uint64_t u64;

	if (f->type == HB_F_U32) {
		memcpy(&u32, at, sizeof(u32));
		return u32;
	}
	memcpy(&u64, at, sizeof(u64));
	return u64;
}

static bool
in_range(const struct hb_field *f, uint64_t v)
{
	if (f->type == HB_F_U32 && v > UINT32_MAX)
		return false;
	return f->max == 0 || f->type == HB_F_I64 || v <= f->max;
}

static int
put_head(struct hb_buf *out, uint8_t tag, uint64_t n)
{
	unsigned char head[11];
	size_t k = 0;

	head[k++] = tag;
	do {
		head[k++] = (unsigned char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
		n >>= 7;
	} while (n > 0);
	return hb_buf_put(out, hb_span(head, k));
}

static int
encode_int(const struct hb_field *f, const void *rec, struct hb_buf *out)
{
	uint64_t v = load_int(f, rec);
	unsigned char le[8];
	size_t k = 0;
	int r;

	if (!in_range(f, v))
		return HB_E_RANGE;
	for (; v > 0; v >>= 8)
		le[k++] = (unsigned char)v;
	if (k == 0)
		return 0;
	r = put_head(out, f->tag, k);
	return r < 0 ? r : hb_buf_put(out, hb_span(le, k));
}

static int
encode_bytes(const struct hb_field *f, const void *rec, struct hb_buf *out)
{
	struct hb_span s;
	int r;

	memcpy(&s, (const unsigned char *)rec + f->offset, sizeof(s));
	if (s.n == 0)
		return 0;
	if ((f->max > 0 && s.n > f->max) || s.n > UINT32_MAX)
		return HB_E_RANGE;
	r = put_head(out, f->tag, s.n);
	return r < 0 ? r : hb_buf_put(out, s);
}

int
hb_tlv_encode(const struct hb_record *type, const void *rec,
    struct hb_buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < type->nfields; i++) {
		const struct hb_field *f = &type->fields[i];
		int r = f->type == HB_F_BYTES ? encode_bytes(f, rec, out)
					      : encode_int(f, rec, out);

		if (r < 0) {
			hb_buf_truncate(out, start);
			return r;
		}
	}
	return 0;
}

/* Takes tag and length off IN.  0 or an error. */
static int
take_head(struct hb_span *in, uint8_t *tag, size_t *len)
{
	uint64_t n = 0;
	size_t k = 1;
	unsigned shift = 0;

	*tag = in->p[0];
	for (;; shift += 7, k++) {
		if (k >= in->n)
			return HB_E_MORE;
		if (shift > 28)
			return HB_E_SYNTAX;
		n |= (uint64_t)(in->p[k] & 0x7f) << shift;
		if ((in->p[k] & 0x80) == 0)
			break;
	}
	*in = hb_span_from(*in, k + 1);
	if (n > in->n)
		return HB_E_MORE;
	*len = (size_t)n;
	return 0;
}

static int
decode_value(const struct hb_field *f, struct hb_span value, void *rec)
{
	uint64_t v;
	unsigned char *at;
	uint32_t u32;

	if (f->type == HB_F_BYTES) {
		if (f->max > 0 && value.n > f->max)
			return HB_E_RANGE;
		memcpy((unsigned char *)rec + f->offset, &value, sizeof(value));
		return 0;
	}
	if (value.n == 0 || value.n > 8 || value.p[value.n - 1] == 0)
		return HB_E_SYNTAX;
	v = hb_get_le(value.p, value.n);
	if (!in_range(f, v))
		return HB_E_RANGE;
	at = (unsigned char *)rec + f->offset;
	u32 = (uint32_t)v;
	if (f->type == HB_F_U32)
		memcpy(at, &u32, sizeof(u32));
	else
		memcpy(at, &v, sizeof(v));
	return 0;
}

/* Looks from FROM on, and then from the start: most records have their fields
 * in the order of the table. */
static const struct hb_field *
find_field(const struct hb_record *type, uint8_t tag,
    const struct hb_field *from)
{
	const struct hb_field *end = type->fields + type->nfields;

	for (const struct hb_field *f = from; f < end; f++)
		if (f->tag == tag)
			return f;
	for (const struct hb_field *f = type->fields; f < from; f++)
		if (f->tag == tag)
			return f;
	return NULL;
}

/* Is TAG the first of its kind? */
static bool
is_new(uint64_t seen[4], uint8_t tag)
{
	uint64_t *word = &seen[tag / 64], bit = UINT64_C(1) << (tag % 64);
	bool is = tag != 0 && (*word & bit) == 0;

	*word |= bit;
	return is;
}

int
hb_tlv_decode(const struct hb_record *type, struct hb_span in, void *rec)
{
	const struct hb_field *next = type->fields;
	uint64_t seen[4] = { 0 };

	memset(rec, 0, type->size);
	while (in.n > 0) {
		const struct hb_field *f;
		uint8_t tag;
		size_t len;
		int r = take_head(&in, &tag, &len);

		if (r < 0)
			return r;
		if (!is_new(seen, tag))
			return HB_E_SYNTAX;
		f = find_field(type, tag, next);
		if (f != NULL) {
			r = decode_value(f, hb_span_head(in, len), rec);
			if (r < 0)
				return r;
			next = f + 1;
		}
		in = hb_span_from(in, len);
	}
	return 0;
}

void
hb_record_copy(struct hb_arena *a, const struct hb_record *type,
    const void *src, void *dst)
{
	memmove(dst, src, type->size);
	for (size_t i = 0; i < type->nfields; i++) {
		unsigned char *at = (unsigned char *)dst +
		    type->fields[i].offset;
		struct hb_span s;

		if (type->fields[i].type != HB_F_BYTES)
			continue;
		memcpy(&s, at, sizeof(s));
		s = hb_arena_span(a, s);
		memcpy(at, &s, sizeof(s));
	}
}
