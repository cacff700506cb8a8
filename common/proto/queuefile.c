/* Export files of the queue.  Floor 1. */
#include "common/proto/queuefile.h"

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/hash.h"

#define RECORD_STRUCT(name) hb_##name
#include "common/proto/record-table.h"
#include "common/proto/queuefile.def"
#include "common/proto/record-undef.h"

#define RECORD(name)                                                           \
	{ #name, name##_fields, HB_ARRAY_LEN(name##_fields),                   \
		sizeof(struct hb_##name) }
const struct hb_record hb_qf_head_record = RECORD(qf_head);
const struct hb_record hb_qf_msg_record = RECORD(qf_msg);
const struct hb_record hb_qf_rcpt_record = RECORD(qf_rcpt);

enum { CHECKED = 5 }; /* bytes of a record before its check */

static const char magic[] = "HBQUEUE1\n";
static const struct {
	unsigned char byte;
	unsigned next;
} types[HB_QF_COUNT] = {
#define X(sym, type, next) [HB_QF_##sym] = { (type), (next) },
	HB_QF_TYPES(X)
#undef X
};

static uint32_t
check_of(uint32_t chain, struct hb_span head, struct hb_span payload)
{
	struct hb_buf before = HB_BUF_INIT(0);
	uint32_t crc;

	hb_buf_add_le(&before, chain, 4);
	crc = hb_crc32c(0, hb_buf_span(&before));
	hb_buf_free(&before);
	return hb_crc32c(hb_crc32c(crc, head), payload);
}

void
hb_qf_put(struct hb_qf_writer *w, enum hb_qf_type type, struct hb_span payload,
    struct hb_buf *out)
{
	struct hb_buf head = HB_BUF_INIT(0);

	if (!w->begun)
		hb_buf_adds(out, magic);
	w->begun = true;
	hb_buf_add(&head, hb_span(&types[type].byte, 1));
	hb_buf_add_le(&head, (uint32_t)payload.n, 4);
	w->chain = check_of(w->chain, hb_buf_span(&head), payload);
	hb_buf_add_le(&head, w->chain, 4);
	hb_buf_add(out, hb_buf_span(&head));
	hb_buf_add(out, payload);
	hb_buf_free(&head);
}

int
hb_qf_put_record(struct hb_qf_writer *w, enum hb_qf_type type,
    const struct hb_record *record, const void *v, struct hb_buf *out)
{
	struct hb_buf payload = HB_BUF_INIT(HB_QF_PAYLOAD);
	int r = hb_tlv_encode(record, v, &payload);

	if (r == 0)
		hb_qf_put(w, type, hb_buf_span(&payload), out);
	hb_buf_free(&payload);
	return r;
}

/* Bytes used; 0 for more; HB_E_SYNTAX, HB_E_UNSUPPORTED. */
static int
read_magic(struct hb_span in)
{
	static const size_t n = sizeof(magic) - 1;
	struct hb_span want = hb_span(magic, n);
	size_t got = in.n < n ? in.n : n;

	for (size_t i = 0; i < got; i++) {
		if (in.p[i] == want.p[i])
			continue;
		return i == n - 2 && hb_is_digit(in.p[i]) ? HB_E_UNSUPPORTED
							   : HB_E_SYNTAX;
	}
	return got == n ? (int)n : 0;
}

static int
decode_msg(struct hb_qf_reader *r, struct hb_span payload,
    struct hb_qf_item *out)
{
	int err = hb_tlv_decode(&hb_qf_msg_record, payload, &out->msg);

	if (err == 0)
		err = hb_tlv_decode(&hb_env_record, out->msg.env, &out->env);
	r->left = out->env.size;
	return err;
}

static int
decode_rcpt(struct hb_span payload, struct hb_qf_item *out)
{
	int err = hb_tlv_decode(&hb_qf_rcpt_record, payload, &out->to);

	if (err == 0)
		err = hb_tlv_decode(&hb_rcpt_record, out->to.rcpt, &out->rcpt);
	if (err == 0)
		err = hb_tlv_decode(&hb_outcome_record, out->to.outcome,
		    &out->outcome);
	return err;
}

/* What a whole record means at its place. */
static int
decode(struct hb_qf_reader *r, struct hb_span payload, struct hb_qf_item *out)
{
	bool empty = payload.n == 0;

	switch (out->type) {
	case HB_QF_HEAD:
		return hb_tlv_decode(&hb_qf_head_record, payload, &out->head);
	case HB_QF_MSG:
		return decode_msg(r, payload, out);
	case HB_QF_RCPT:
		return decode_rcpt(payload, out);
	case HB_QF_BODY:
		if (empty || payload.n > r->left)
			return HB_E_SYNTAX;
		r->left -= payload.n;
		out->body = payload;
		return 0;
	case HB_QF_END:
		return empty && r->left == 0 ? 0 : HB_E_SYNTAX;
	case HB_QF_DROP:
	case HB_QF_TAIL:
	case HB_QF_START:
	case HB_QF_COUNT:
	default:
		return empty ? 0 : HB_E_SYNTAX;
	}
}

static enum hb_qf_type
type_of(const struct hb_qf_reader *r, unsigned char byte)
{
	for (unsigned t = HB_QF_START + 1; t < HB_QF_COUNT; t++)
		if (types[t].byte == byte && (types[r->last].next >> t & 1) != 0)
			return (enum hb_qf_type)t;
	return HB_QF_START;
}

/* Bytes used, 0 for more, or an error. */
static int
read_record(struct hb_qf_reader *r, struct hb_span in, struct hb_qf_item *out)
{
	struct hb_span payload;
	uint32_t n, check;
	int err;

	if (in.n < HB_QF_RECORD)
		return 0;
	n = hb_get_le32(in.p + 1);
	if (n > HB_QF_PAYLOAD)
		return HB_E_CORRUPT;
	if (in.n - HB_QF_RECORD < n)
		return 0;
	payload = hb_span_head(hb_span_from(in, HB_QF_RECORD), n);
	check = check_of(r->chain, hb_span_head(in, CHECKED), payload);
	if (check != hb_get_le32(in.p + CHECKED))
		return HB_E_CORRUPT;
	out->type = type_of(r, in.p[0]);
	if (out->type == HB_QF_START)
		return HB_E_SYNTAX;
	err = decode(r, payload, out);
	if (err < 0)
		return err;
	r->chain = check;
	r->last = out->type;
	return (int)(HB_QF_RECORD + n);
}

int
hb_qf_read(struct hb_qf_reader *r, struct hb_span in, struct hb_qf_item *out)
{
	int before = 0, used;

	*out = (struct hb_qf_item){ .type = HB_QF_START };
	if (r->last == HB_QF_TAIL)
		return in.n > 0 ? HB_E_SYNTAX : 0;
	if (r->last == HB_QF_START)
		before = read_magic(in);
	if (before < 0 || (before == 0 && r->last == HB_QF_START))
		return before;
	used = read_record(r, hb_span_from(in, (size_t)before), out);
	if (used <= 0)
		return used;
	r->at += (uint64_t)(before + used);
	return before + used;
}
