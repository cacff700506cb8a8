/* On-disk format of the spool.  Floor 1. */
#include "queue/spool/record.h"

#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define SEG_MAGIC UINT32_C(0x53424248) /* "HBBS" */
#define REC_MAGIC UINT32_C(0x52424248) /* "HBBR" */
enum {
	HEADER_CHECK = 32,
	UNNUMBERED_CHECK = 28, /* of headers before they had a format */
	HEAD_CHECK = 32,
	BODY_CHECK = 40
};
enum { MESSAGE_FIXED = 24, FLAG_LARGE = 1 };

uint32_t
q_u32_at(struct hb_span s, size_t index)
{
	return hb_get_le32(s.p + 4 * index);
}

/* --- headers of segments --- */

void
q_header_encode(const struct q_header *h, unsigned char *dst)
{
	memset(dst, 0, Q_SEG_START);
	hb_put_le(dst, SEG_MAGIC, 4);
	hb_put_le(dst + 4, h->gen, 4);
	hb_put_le(dst + 8, h->size, 4);
	memcpy(dst + 12, h->key, Q_KEY_SIZE);
	hb_put_le(dst + 28, Q_FORMAT, 4);
	hb_put_le(dst + HEADER_CHECK,
	    hb_crc32c(0, hb_span(dst, HEADER_CHECK)), 4);
	memcpy(dst + Q_HEADER_COPY, dst, Q_HEADER_SIZE);
}

static bool
checks(const unsigned char *p, size_t check)
{
	return hb_get_le32(p + check) == hb_crc32c(0, hb_span(p, check));
}

static bool
header_copy(const unsigned char *p, struct q_header *h)
{
	if (hb_get_le32(p) != SEG_MAGIC || hb_get_le32(p + 4) == 0)
		return false;
	if (checks(p, HEADER_CHECK))
		h->format = hb_get_le32(p + 28);
	else if (checks(p, UNNUMBERED_CHECK))
		h->format = Q_FORMAT_UNNUMBERED;
	else
		return false;
	h->gen = hb_get_le32(p + 4);
	h->size = hb_get_le32(p + 8);
	memcpy(h->key, p + 12, Q_KEY_SIZE);
	return true;
}

int
q_header_decode(struct hb_span src, struct q_header *h)
{
	struct q_header a, b;
	bool has_a, has_b;

	if (src.n < Q_SEG_START)
		return HB_E_CORRUPT;
	has_a = header_copy(src.p, &a);
	has_b = header_copy(src.p + Q_HEADER_COPY, &b);
	if (!has_a && !has_b)
		return HB_E_CORRUPT;
	*h = has_a && (!has_b || a.gen >= b.gen) ? a : b;
	return h->format == Q_FORMAT ? 0 : HB_E_UNSUPPORTED;
}

/* --- records --- */

static uint64_t
body_check(const unsigned char *head, const unsigned char *key,
    struct hb_span payload)
{
	struct hb_siphash h;

	hb_siphash_init(&h, key);
	hb_siphash_update(&h, hb_span(head, BODY_CHECK));
	hb_siphash_update(&h, payload);
	return hb_siphash_final(&h);
}

void
q_rec_append(const struct q_rec_head *h, const unsigned char key[Q_KEY_SIZE],
    struct hb_span payload, struct hb_buf *out)
{
	static const unsigned char zero[Q_REC_ALIGN];
	unsigned char p[Q_REC_HEAD] = { 0 };
	size_t pad = q_rec_total(h->len) - Q_REC_HEAD - payload.n;

	hb_put_le(p, REC_MAGIC, 4);
	hb_put_le(p + 4, h->len, 4);
	hb_put_le(p + 8, h->gen, 4);
	p[12] = (unsigned char)h->type;
	hb_put_le(p + 16, h->seq, 8);
	hb_put_le(p + 24, h->id, 8);
	hb_put_le(p + HEAD_CHECK, hb_siphash(key, hb_span(p, HEAD_CHECK)), 8);
	hb_put_le(p + BODY_CHECK, body_check(p, key, payload), 8);
	hb_buf_add(out, hb_span(p, Q_REC_HEAD));
	hb_buf_add(out, payload);
	hb_buf_add(out, hb_span(zero, pad));
}

int
q_rec_head_decode(struct hb_span in, const unsigned char key[Q_KEY_SIZE],
    uint32_t gen, struct q_rec_head *h)
{
	if (in.n < Q_REC_HEAD)
		return HB_E_MORE;
	if (hb_get_le32(in.p) != REC_MAGIC || hb_get_le32(in.p + 8) != gen ||
	    hb_get_le64(in.p + HEAD_CHECK) !=
		hb_siphash(key, hb_span(in.p, HEAD_CHECK)))
		return HB_E_CORRUPT;
	*h = (struct q_rec_head){
		.len = hb_get_le32(in.p + 4),
		.gen = gen,
		.type = in.p[12],
		.seq = hb_get_le64(in.p + 16),
		.id = hb_get_le64(in.p + 24),
	};
	if (h->len > Q_REC_MAX || h->type == 0 || h->type >= Q_REC_TYPES)
		return HB_E_CORRUPT;
	return 0;
}

int
q_rec_check(struct hb_span in, const unsigned char key[Q_KEY_SIZE],
    const struct q_rec_head *h, struct hb_span *payload)
{
	if (in.n < q_rec_total(h->len))
		return HB_E_MORE;
	*payload = hb_span(in.p + Q_REC_HEAD, h->len);
	if (hb_get_le64(in.p + BODY_CHECK) != body_check(in.p, key, *payload))
		return HB_E_CORRUPT;
	return 0;
}

size_t
q_rec_search(struct hb_span in, size_t from, uint32_t gen)
{
	for (size_t i = from; i < in.n && in.n - i >= Q_REC_HEAD;
	     i += Q_REC_ALIGN)
		if (hb_get_le32(in.p + i) == REC_MAGIC &&
		    hb_get_le32(in.p + i + 8) == gen)
			return i;
	return in.n;
}

/* --- payloads --- */

int
q_list_next(struct q_list *l, struct hb_span *item)
{
	uint32_t n;

	if (l->left == 0)
		return 0;
	if (l->rest.n < 4)
		return HB_E_CORRUPT;
	n = hb_get_le32(l->rest.p);
	l->rest = hb_span_from(l->rest, 4);
	if (n > l->rest.n)
		return HB_E_CORRUPT;
	*item = hb_span_head(l->rest, n);
	l->rest = hb_span_from(l->rest, n);
	l->left--;
	return 1;
}

/* Takes a list off IN whole. */
static int
take_list(struct hb_span *in, struct q_list *l)
{
	struct q_list walk;
	struct hb_span item;
	int r;

	if (in->n < 4)
		return HB_E_CORRUPT;
	l->left = hb_get_le32(in->p);
	l->rest = hb_span_from(*in, 4);
	walk = *l;
	while ((r = q_list_next(&walk, &item)) > 0)
		continue;
	if (r < 0)
		return r;
	l->rest = hb_span_head(l->rest, l->rest.n - walk.rest.n);
	*in = walk.rest;
	return 0;
}

int
q_message_decode(struct hb_span payload, struct q_message *m)
{
	struct hb_span in = payload;
	uint32_t nenv, nhead;

	if (in.n < MESSAGE_FIXED)
		return HB_E_CORRUPT;
	*m = (struct q_message){
		.large = (hb_get_le32(in.p) & FLAG_LARGE) != 0,
		.crc = hb_get_le32(in.p + 4),
		.size = hb_get_le64(in.p + 8),
	};
	nenv = hb_get_le32(in.p + 16);
	nhead = hb_get_le32(in.p + 20);
	in = hb_span_from(in, MESSAGE_FIXED);
	if (nenv > in.n)
		return HB_E_CORRUPT;
	m->env = hb_span_head(in, nenv);
	in = hb_span_from(in, nenv);
	if (take_list(&in, &m->rcpts) < 0 || take_list(&in, &m->changes) < 0)
		return HB_E_CORRUPT;
	if (nhead > in.n)
		return HB_E_CORRUPT;
	m->head = hb_span_head(in, nhead);
	m->body = hb_span_from(in, nhead);
	m->head_at = payload.n - in.n;
	return m->body.n == (m->large ? 0 : m->size) ? 0 : HB_E_CORRUPT;
}

static void
begin_list(struct q_message_writer *w)
{
	w->count_at = w->out->n;
	w->count = 0;
	hb_buf_add_le(w->out, 0, 4);
}

static void
end_list(struct q_message_writer *w)
{
	hb_put_le(w->out->p + w->out->off + w->count_at, w->count, 4);
}

void
q_message_begin(struct q_message_writer *w, struct hb_buf *out,
    const struct q_message_info *info, struct hb_span env)
{
	w->out = out;
	hb_buf_add_le(out, info->large ? FLAG_LARGE : 0, 4);
	hb_buf_add_le(out, info->crc, 4);
	hb_buf_add_le(out, info->size, 8);
	hb_buf_add_le(out, (uint32_t)env.n, 4);
	hb_buf_add_le(out, (uint32_t)info->head, 4);
	hb_buf_add(out, env);
	begin_list(w);
}

void
q_message_item(struct q_message_writer *w, struct hb_span item)
{
	hb_buf_add_le(w->out, (uint32_t)item.n, 4);
	hb_buf_add(w->out, item);
	w->count++;
}

void
q_message_changes(struct q_message_writer *w)
{
	end_list(w);
	begin_list(w);
}

void
q_message_end(struct q_message_writer *w, struct hb_span head,
    struct hb_span body)
{
	end_list(w);
	hb_buf_add(w->out, head);
	hb_buf_add(w->out, body);
}

/* A change on its way to bytes: as struct q_change, records as bytes. */
struct flat_change {
	uint32_t kind, idx, attempts, flags;
	int64_t next_ms, at_ms, off_ms, ahead_ms;
	struct hb_span rcpt, outcome, route;
};
#define FIELD(tag, type, name, most)                                           \
	{ (tag), (type), offsetof(struct flat_change, name), (most), #name }
static const struct hb_field change_fields[] = {
	FIELD(1, HB_F_U32, kind, Q_CHANGE_FINISHED),
	FIELD(2, HB_F_U32, idx, 0),
	FIELD(3, HB_F_U32, attempts, 0),
	FIELD(4, HB_F_U32, flags, 0),
	FIELD(5, HB_F_I64, next_ms, 0),
	FIELD(6, HB_F_BYTES, rcpt, 0),
	FIELD(7, HB_F_BYTES, outcome, 0),
	FIELD(8, HB_F_I64, at_ms, 0),
	FIELD(9, HB_F_I64, off_ms, 0),
	FIELD(10, HB_F_I64, ahead_ms, 0),
	FIELD(11, HB_F_BYTES, route, HB_MAX_ROUTE),
};
static const struct hb_record change_record = { "change", change_fields,
	HB_ARRAY_LEN(change_fields), sizeof(struct flat_change) };

int
q_change_encode(const struct q_change *c, struct hb_buf *out)
{
	struct flat_change flat = { .kind = c->kind, .idx = c->idx,
		.attempts = c->attempts, .flags = c->flags,
		.next_ms = c->next_ms, .at_ms = c->stamp.at_ms,
		.off_ms = c->stamp.off_ms, .ahead_ms = c->stamp.ahead_ms,
		.route = c->route };
	struct hb_buf rcpt = HB_BUF_INIT(0), outcome = HB_BUF_INIT(0);
	int r = 0;

	if (c->kind == Q_CHANGE_RCPT)
		r = hb_tlv_encode(&hb_rcpt_record, c->rcpt, &rcpt);
	if (r == 0 && c->outcome != NULL)
		r = hb_tlv_encode(&hb_outcome_record, c->outcome, &outcome);
	flat.rcpt = hb_buf_span(&rcpt);
	flat.outcome = hb_buf_span(&outcome);
	if (r == 0)
		r = hb_tlv_encode(&change_record, &flat, out);
	hb_buf_free(&rcpt);
	hb_buf_free(&outcome);
	return r;
}

int
q_change_peek(struct hb_span in, struct q_change *c,
    struct q_change_coded *coded)
{
	struct flat_change flat;

	if (hb_tlv_decode(&change_record, in, &flat) < 0)
		return HB_E_CORRUPT;
	*c = (struct q_change){ .kind = flat.kind, .rcpt = NULL,
		.idx = flat.idx, .attempts = flat.attempts,
		.flags = flat.flags, .next_ms = flat.next_ms,
		.stamp = { flat.at_ms, flat.off_ms, flat.ahead_ms },
		.outcome = NULL, .route = flat.route };
	*coded = (struct q_change_coded){ flat.rcpt, flat.outcome };
	return 0;
}

int
q_change_decode(struct hb_span in, struct q_change *c,
    struct q_change_store *store)
{
	struct q_change_coded coded;

	if (q_change_peek(in, c, &coded) < 0 ||
	    hb_tlv_decode(&hb_rcpt_record, coded.rcpt, &store->rcpt) < 0 ||
	    hb_tlv_decode(&hb_outcome_record, coded.outcome,
		&store->outcome) < 0)
		return HB_E_CORRUPT;
	if (c->kind == Q_CHANGE_RCPT)
		c->rcpt = &store->rcpt;
	if (c->kind == Q_CHANGE_TRIED || c->kind == Q_CHANGE_DONE)
		c->outcome = &store->outcome;
	return 0;
}

int
q_changes_decode(struct hb_span payload, struct q_list *l)
{
	int r = take_list(&payload, l);

	return r < 0 || payload.n == 0 ? r : HB_E_CORRUPT;
}

int
q_changes_encode(const struct q_change *c, size_t n, struct hb_buf *out)
{
	struct hb_buf item = HB_BUF_INIT(0);
	int r = 0;

	hb_buf_add_le(out, (uint32_t)n, 4);
	for (size_t i = 0; i < n && r == 0; i++) {
		hb_buf_clear(&item);
		r = q_change_encode(&c[i], &item);
		hb_buf_add_le(out, (uint32_t)item.n, 4);
		hb_buf_add(out, hb_buf_span(&item));
	}
	hb_buf_free(&item);
	return r;
}

void
q_finished_begin(uint64_t upto, struct hb_buf *out)
{
	hb_buf_add_le(out, upto, 8);
}

void
q_finished_gen(uint32_t gen, struct hb_buf *out)
{
	hb_buf_add_le(out, gen, 4);
}

int
q_finished_decode(struct hb_span payload, struct q_finished *f)
{
	if (payload.n < 8 || payload.n % 4 != 0)
		return HB_E_CORRUPT;
	f->upto = hb_get_le64(payload.p);
	f->gens = hb_span_from(payload, 8);
	f->ngens = f->gens.n / 4;
	return 0;
}

void
q_seals_add(struct hb_buf *out, uint32_t gen, uint32_t end)
{
	hb_buf_add_le(out, gen, 4);
	hb_buf_add_le(out, end, 4);
}

bool
q_seals_find(struct hb_span payload, uint32_t gen, uint32_t *end)
{
	for (size_t i = 0; i + 1 < payload.n / 4; i += 2)
		if (q_u32_at(payload, i) == gen) {
			*end = q_u32_at(payload, i + 1);
			return true;
		}
	return false;
}
