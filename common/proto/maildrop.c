/* File format of the maildrop.  Floor 1. */
#include "common/proto/maildrop.h"

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/hash.h"

static const char magic[] = "HBDROP1\n";

int
hb_drop_head_parse(struct hb_span s, struct hb_drop_head *out)
{
	if (s.n < HB_DROP_HEAD)
		return HB_E_MORE;
	if (memcmp(s.p, magic, sizeof(magic) - 1) != 0)
		return HB_E_SYNTAX;
	if (hb_get_le32(s.p + 28) != hb_crc32c(0, hb_span_head(s, 28)))
		return HB_E_CORRUPT;
	out->env_n = hb_get_le32(s.p + 8);
	out->rcpts_n = hb_get_le32(s.p + 12);
	out->body_n = hb_get_le64(s.p + 16);
	out->crc = hb_get_le32(s.p + 24);
	if (out->env_n > HB_DROP_ENV_MAX || out->rcpts_n > HB_DROP_RCPTS_MAX ||
	    out->body_n > INT64_MAX / 2)
		return HB_E_LIMIT;
	return 0;
}

void
hb_drop_head_put(const struct hb_drop_head *h, struct hb_buf *out)
{
	struct hb_buf head = HB_BUF_INIT(0);

	hb_buf_add(&head, hb_span(magic, sizeof(magic) - 1));
	hb_buf_add_le(&head, h->env_n, 4);
	hb_buf_add_le(&head, h->rcpts_n, 4);
	hb_buf_add_le(&head, h->body_n, 8);
	hb_buf_add_le(&head, h->crc, 4);
	hb_buf_add_le(&head, hb_crc32c(0, hb_buf_span(&head)), 4);
	hb_buf_add(out, hb_buf_span(&head));
	hb_buf_free(&head);
}

int
hb_drop_env(struct hb_span env, struct hb_env *out)
{
	return hb_tlv_decode(&hb_env_record, env, out);
}

int
hb_drop_rcpt(struct hb_span *rcpts, struct hb_rcpt *out)
{
	uint64_t n;
	int r;

	if (rcpts->n == 0)
		return 0;
	if (rcpts->n < 4)
		return HB_E_MORE;
	n = hb_get_le32(rcpts->p);
	*rcpts = hb_span_from(*rcpts, 4);
	if (n > rcpts->n)
		return HB_E_MORE;
	r = hb_tlv_decode(&hb_rcpt_record, hb_span_head(*rcpts, (size_t)n),
	    out);
	if (r < 0)
		return r;
	*rcpts = hb_span_from(*rcpts, (size_t)n);
	return out->address.n > 0 ? 1 : HB_E_SYNTAX;
}

int
hb_drop_rcpt_put(const struct hb_rcpt *r, struct hb_buf *out)
{
	struct hb_buf rec = HB_BUF_INIT(HB_DROP_ENV_MAX);
	int err = hb_tlv_encode(&hb_rcpt_record, r, &rec);

	if (err == 0) {
		hb_buf_add_le(out, rec.n, 4);
		hb_buf_add(out, hb_buf_span(&rec));
	}
	hb_buf_free(&rec);
	return err;
}

bool
hb_drop_is_name(struct hb_span name)
{
	if (name.n == 0 || name.n > HB_DROP_NAME_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!hb_is_alnum(name.p[i]) && name.p[i] != '.')
			return false;
	return true;
}
