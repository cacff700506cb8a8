/* Views of bytes.  Floor 0. */
#include "common/base/span.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/mem.h"

struct hb_span
hb_span_str(const char *s)
{
	return hb_span(s, s != NULL ? strlen(s) : 0);
}

struct hb_span
hb_span_trim(struct hb_span s)
{
	while (s.n > 0 && hb_is_blank(s.p[0]))
		s = hb_span(s.p + 1, s.n - 1);
	while (s.n > 0 && hb_is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
hb_span_eq(struct hb_span a, struct hb_span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
hb_span_eq_nocase(struct hb_span a, struct hb_span b)
{
	return a.n == b.n && hb_span_has_prefix_nocase(a, b);
}

bool
hb_span_has_prefix_nocase(struct hb_span s, struct hb_span prefix)
{
	if (s.n < prefix.n)
		return false;
	for (size_t i = 0; i < prefix.n; i++)
		if (hb_lower(s.p[i]) != hb_lower(prefix.p[i]))
			return false;
	return true;
}

struct hb_span
hb_span_markless(struct hb_span s)
{
	struct hb_span mark = HB_SPAN("\xEF\xBB\xBF");

	return hb_span_has_prefix_nocase(s, mark) ? hb_span_from(s, mark.n) : s;
}

int
hb_span_cmp(struct hb_span a, struct hb_span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (r != 0 || a.n == b.n)
		return r;
	return a.n < b.n ? -1 : 1;
}

size_t
hb_span_find(struct hb_span s, unsigned char c)
{
	const unsigned char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at != NULL ? (size_t)(at - s.p) : s.n;
}

size_t
hb_span_search(struct hb_span s, struct hb_span what)
{
	for (size_t i = 0; what.n > 0 && i + what.n <= s.n; i++) {
		i += hb_span_find(hb_span_from(s, i), what.p[0]);
		if (hb_span_eq(hb_span_head(hb_span_from(s, i), what.n), what))
			return i;
	}
	return what.n > 0 ? s.n : 0;
}

struct hb_span
hb_span_cut(struct hb_span *rest, unsigned char c)
{
	size_t at = hb_span_find(*rest, c);
	struct hb_span head = hb_span_head(*rest, at);

	*rest = hb_span_from(*rest, at + 1);
	return head;
}

struct hb_span
hb_span_word(struct hb_span *rest)
{
	size_t n = 0;
	struct hb_span s = *rest;

	while (s.n > 0 && hb_is_blank(s.p[0]))
		s = hb_span(s.p + 1, s.n - 1);
	while (n < s.n && !hb_is_blank(s.p[n]))
		n++;
	*rest = hb_span_from(s, n);
	return hb_span_head(s, n);
}

int
hb_span_u64(struct hb_span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 20)
		return HB_E_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d = (uint64_t)s.p[i] - '0';

		if (!hb_is_digit(s.p[i]))
			return HB_E_SYNTAX;
		if (v > (UINT64_MAX - d) / 10)
			return HB_E_RANGE;
		v = v * 10 + d;
	}
	if (v > max)
		return HB_E_RANGE;
	*out = v;
	return 0;
}

static int
hex_digit(unsigned char c)
{
	if (hb_is_digit(c))
		return c - '0';
	c = hb_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
hb_span_hex64(struct hb_span s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return HB_E_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		int d = hex_digit(s.p[i]);

		if (d < 0)
			return HB_E_SYNTAX;
		v = v << 4 | (uint64_t)d;
	}
	*out = v;
	return 0;
}

int
hb_span_copy(struct hb_span s, char *dst, size_t size)
{
	if (s.n >= size)
		return HB_E_RANGE;
	if (s.n > 0 && memchr(s.p, 0, s.n) != NULL)
		return HB_E_SYNTAX;
	if (s.n > 0)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return 0;
}

char *
hb_span_dup(struct hb_span s)
{
	char *p = hb_malloc(s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct hb_span
hb_span_lower(struct hb_span s, void *dst)
{
	unsigned char *p = dst;

	for (size_t i = 0; i < s.n; i++)
		p[i] = hb_lower(s.p[i]);
	return hb_span(p, s.n);
}
