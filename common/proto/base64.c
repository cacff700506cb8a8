/* Base64.  Floor 1.  RFC 4648 s4. */
#include "common/proto/base64.h"

#include "common/base/err.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (hb_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four with PAD signs at its end. */
static int
decode_group(const unsigned char *p, size_t pad, struct hb_buf *out)
{
	uint32_t v = 0;
	unsigned char b[3];

	for (size_t i = 0; i < 4; i++) {
		int d = i < 4 - pad ? value_of(p[i]) : 0;

		if (d < 0)
			return HB_E_SYNTAX;
		v = v << 6 | (uint32_t)d;
	}
	for (size_t i = 0; i < 3; i++)
		b[i] = (unsigned char)(v >> (16 - 8 * i));
	if ((pad > 0 && b[2] != 0) || (pad > 1 && b[1] != 0))
		return HB_E_SYNTAX;
	return hb_buf_put(out, hb_span(b, 3 - pad));
}

int
hb_base64_decode(struct hb_span s, struct hb_buf *out)
{
	size_t start = out->n, pad = 0;
	int r = 0;

	if (s.n % 4 != 0)
		return HB_E_SYNTAX;
	while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < s.n && r == 0; i += 4)
		r = decode_group(s.p + i, i + 4 == s.n ? pad : 0, out);
	if (r < 0)
		hb_buf_truncate(out, start);
	return r;
}

int
hb_base64_encode(struct hb_span s, struct hb_buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < s.n; i += 3) {
		size_t have = s.n - i < 3 ? s.n - i : 3;
		uint32_t v = (uint32_t)s.p[i] << 16;
		unsigned char b[4] = { 0, 0, '=', '=' };

		if (have > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (have > 2)
			v |= s.p[i + 2];
		for (size_t k = 0; k <= have; k++)
			b[k] = (unsigned char)alphabet[v >> (18 - 6 * k) & 63];
		if (hb_buf_put(out, hb_span(b, 4)) < 0) {
			hb_buf_truncate(out, start);
			return HB_E_LIMIT;
		}
	}
	return 0;
}
