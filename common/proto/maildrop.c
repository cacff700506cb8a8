/* File format of the maildrop.  Floor 1. */
#include "common/proto/maildrop.h"

#include "common/base/err.h"
#include "common/base/hash.h"

static const char magic[] = "HBDROP1\n";

static uint64_t
get(struct hb_span s, size_t at, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | s.p[at + n];
	return v;
}

static void
put(struct hb_buf *out, uint64_t v, unsigned n)
{
	for (; n > 0; n--, v >>= 8) {
		unsigned char c = (unsigned char)v;

		hb_buf_add(out, hb_span(&c, 1));
	}
}

int
hb_drop_head_parse(struct hb_span s, struct hb_drop_head *out)
{
	if (s.n < HB_DROP_HEAD)
		return HB_E_MORE;
	if (memcmp(s.p, magic, sizeof(magic) - 1) != 0)
		return HB_E_SYNTAX;
	if (get(s, 28, 4) != hb_crc32c(0, hb_span_head(s, 28)))
		return HB_E_CORRUPT;
	out->env_n = (uint32_t)get(s, 8, 4);
	out->rcpts_n = (uint32_t)get(s, 12, 4);
	out->body_n = get(s, 16, 8);
	out->crc = (uint32_t)get(s, 24, 4);
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
	put(&head, h->env_n, 4);
	put(&head, h->rcpts_n, 4);
	put(&head, h->body_n, 8);
	put(&head, h->crc, 4);
	put(&head, hb_crc32c(0, hb_buf_span(&head)), 4);
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
	n = get(*rcpts, 0, 4);
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
		put(out, rec.n, 4);
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
