/* Enhanced status codes.  Floor 1.  RFC 3463 s3. */
#include "common/proto/status.h"

/* 1 to 3 digits at the front of S: how many. */
static size_t
digits(struct hb_span s)
{
	size_t n = 0;

	while (n < s.n && n < 3 && hb_is_digit(s.p[n]))
		n++;
	return n;
}

/* Length of the code at the front of S, or 0. */
static size_t
take(struct hb_span s)
{
	size_t n = 2, d;

	if (s.n < 5 || strchr("245", s.p[0]) == NULL || s.p[0] == '\0' ||
	    s.p[1] != '.')
		return 0;
	d = digits(hb_span_from(s, n));
	n += d;
	if (d == 0 || n >= s.n || s.p[n++] != '.')
		return 0;
	d = digits(hb_span_from(s, n));
	return d > 0 ? n + d : 0;
}

bool
hb_status_is_valid(struct hb_span s)
{
	return s.n > 0 && take(s) == s.n;
}

size_t
hb_status_at_front(struct hb_span text, unsigned code)
{
	size_t n = take(text);

	if (n == 0 || (unsigned)(text.p[0] - '0') != code / 100)
		return 0;
	return n == text.n || text.p[n] == ' ' ? n : 0;
}
