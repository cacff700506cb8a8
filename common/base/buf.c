/* Growing byte buffers.  Floor 0. */
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/mem.h"

void
hb_buf_free(struct hb_buf *b)
{
	free(b->p);
	*b = HB_BUF_INIT(b->max);
}

void
hb_buf_wipe(struct hb_buf *b)
{
	if (b->p != NULL)
		hb_wipe(b->p, b->cap);
	hb_buf_free(b);
}

void
hb_buf_clear(struct hb_buf *b)
{
	b->off = b->n = 0;
}

static void
make_room(struct hb_buf *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : 256;

	if (b->off > 0) {
		memmove(b->p, b->p + b->off, b->n);
		b->off = 0;
	}
	while (cap - b->n < n) {
		if (cap > SIZE_MAX / 4)
			HB_BUG("buffer too large");
		cap *= 2;
	}
	if (cap != b->cap) {
		b->p = hb_realloc(b->p, cap);
		b->cap = cap;
	}
}

int
hb_buf_reserve(struct hb_buf *b, size_t n, unsigned char **room)
{
	if (b->max > 0 && (b->n > b->max || n > b->max - b->n))
		return HB_E_LIMIT;
	if (b->cap - b->off - b->n < n || b->p == NULL)
		make_room(b, n);
	*room = b->p + b->off + b->n;
	return 0;
}

void
hb_buf_added(struct hb_buf *b, size_t n)
{
	HB_ASSERT(n <= b->cap - b->off - b->n);
	b->n += n;
}

void
hb_buf_consume(struct hb_buf *b, size_t n)
{
	HB_ASSERT(n <= b->n);
	b->n -= n;
	b->off = b->n > 0 ? b->off + n : 0;
}

void
hb_buf_truncate(struct hb_buf *b, size_t n)
{
	HB_ASSERT(n <= b->n);
	b->n = n;
}

int
hb_buf_put(struct hb_buf *b, struct hb_span s)
{
	unsigned char *room;
	int r = hb_buf_reserve(b, s.n, &room);

	if (r < 0)
		return r;
	if (s.n > 0)
		memcpy(room, s.p, s.n);
	b->n += s.n;
	return 0;
}

int
hb_buf_putc(struct hb_buf *b, unsigned char c)
{
	return hb_buf_put(b, hb_span(&c, 1));
}

static int HB_PRINTF(2, 0)
buf_vprintf(struct hb_buf *b, const char *fmt, va_list ap)
{
	unsigned char *room;
	va_list again;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		HB_BUG("bad format");
	r = hb_buf_reserve(b, (size_t)n, &room);
	if (r < 0)
		return r;
	/* vsnprintf also writes a NUL: one byte more than is counted. */
	if (b->cap - b->off - b->n < (size_t)n + 1)
		make_room(b, (size_t)n + 1);
	room = b->p + b->off + b->n;
	vsnprintf((char *)room, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
	return 0;
}

int
hb_buf_printf(struct hb_buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

void
hb_buf_add(struct hb_buf *b, struct hb_span s)
{
	HB_ASSERT(b->max == 0);
	if (hb_buf_put(b, s) < 0)
		HB_BUG("unbounded buffer refused");
}

void
hb_buf_adds(struct hb_buf *b, const char *s)
{
	hb_buf_add(b, hb_span_str(s));
}

void
hb_buf_addf(struct hb_buf *b, const char *fmt, ...)
{
	va_list ap;

	HB_ASSERT(b->max == 0);
	va_start(ap, fmt);
	if (buf_vprintf(b, fmt, ap) < 0)
		HB_BUG("unbounded buffer refused");
	va_end(ap);
}

void
hb_buf_add_le(struct hb_buf *b, uint64_t v, size_t n)
{
	unsigned char le[8];

	HB_ASSERT(n <= sizeof(le));
	hb_put_le(le, v, n);
	hb_buf_add(b, hb_span(le, n));
}

char *
hb_buf_cstr(struct hb_buf *b)
{
	hb_buf_add(b, hb_span("", 1));
	b->n--;
	return (char *)b->p + b->off;
}

void
hb_buf_lower(struct hb_buf *b, size_t from)
{
	struct hb_span s = hb_span_from(hb_buf_span(b), from);

	(void)hb_span_lower(s, b->p + b->off + from);
}
