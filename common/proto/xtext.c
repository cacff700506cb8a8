/* xtext.  Floor 1.  RFC 3461 s4, RFC 6533 s3. */
#include "common/proto/xtext.h"

#include "common/base/err.h"
#include "common/base/utf8.h"

/* Upper case only: the grammar has no other hexadecimal digit. */
static int
hex_value(unsigned char c)
{
	if (hb_is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_xchar(unsigned char c)
{
	return c > ' ' && c < 127 && c != '+' && c != '=';
}

/* The character at the front of S: bytes used, or HB_E_SYNTAX. */
static int
take(struct hb_span s, unsigned char *c)
{
	*c = s.p[0];
	if (is_xchar(*c))
		return 1;
	if (*c != '+' || s.n < 3 || hex_value(s.p[1]) < 0 ||
	    hex_value(s.p[2]) < 0)
		return HB_E_SYNTAX;
	*c = (unsigned char)(hex_value(s.p[1]) << 4 | hex_value(s.p[2]));
	return 3;
}

bool
hb_xtext_is_valid(struct hb_span s)
{
	unsigned char c;

	while (s.n > 0) {
		int r = take(s, &c);

		if (r < 0)
			return false;
		s = hb_span_from(s, (size_t)r);
	}
	return true;
}

int
hb_xtext_decode(struct hb_span s, struct hb_buf *out)
{
	size_t start = out->n;
	int r = 0;

	while (s.n > 0 && r >= 0) {
		unsigned char c;

		r = take(s, &c);
		if (r < 0)
			break;
		s = hb_span_from(s, (size_t)r);
		r = hb_buf_putc(out, c);
	}
	if (r < 0)
		hb_buf_truncate(out, start);
	return r;
}

int
hb_xtext_encode(struct hb_span s, struct hb_buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t start = out->n;
	int r = 0;

	for (size_t i = 0; i < s.n && r == 0; i++) {
		unsigned char c = s.p[i];
		char esc[3] = { '+', hex[c >> 4], hex[c & 15] };

		r = is_xchar(c) ? hb_buf_putc(out, c)
				: hb_buf_put(out, hb_span(esc, 3));
	}
	if (r < 0)
		hb_buf_truncate(out, start);
	return r;
}

bool
hb_xtext_is_unitext(struct hb_span s)
{
	while (s.n > 0) {
		size_t n = hb_utf8_length(s);

		if (n == 0 || (n == 1 && !is_xchar(s.p[0])) ||
		    (n > 1 && hb_utf8_is_hidden(hb_span_head(s, n))))
			return false;
		s = hb_span_from(s, n);
	}
	return true;
}

enum { HEX_MAX = 6 };

/* "\x{HEX}" at the front of S: bytes used, 0: it is none. */
static size_t
take_unicode(struct hb_span s, uint32_t *v)
{
	size_t n = 3;

	*v = 0;
	if (!hb_span_eq(hb_span_head(s, 3), HB_SPAN("\\x{")))
		return 0;
	while (n < s.n && n < 3 + HEX_MAX && hex_value(s.p[n]) >= 0)
		*v = *v << 4 | (uint32_t)hex_value(s.p[n++]);
	return n > 3 && n < s.n && s.p[n] == '}' ? n + 1 : 0;
}

void
hb_xtext_unicode(struct hb_span s, struct hb_buf *out)
{
	while (s.n > 0) {
		unsigned char room[HB_UTF8_MAX];
		struct hb_span c;
		uint32_t v;
		size_t n = take_unicode(s, &v);

		c = hb_span(room, n > 0 ? hb_utf8_encode(v, room) : 0);
		if (c.n == 0 || c.p[0] <= ' ' || c.p[0] == 0x7f ||
		    (c.n > 1 && hb_utf8_is_hidden(c))) {
			c = hb_span_head(s, 1);
			n = 1;
		}
		hb_buf_add(out, c);
		s = hb_span_from(s, n);
	}
}

void
hb_xtext_ascii(struct hb_span s, struct hb_buf *out)
{
	while (s.n > 0) {
		size_t n = hb_utf8_length(s);
		struct hb_span c = hb_span_head(s, n > 0 ? n : 1);

		if (n == 1)
			hb_buf_add(out, c);
		else if (n > 1)
			hb_buf_addf(out, "\\x{%X}", hb_utf8_value(c));
		else
			hb_buf_adds(out, "?");
		s = hb_span_from(s, c.n);
	}
}
