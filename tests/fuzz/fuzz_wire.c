/*
 * The wire form of a body: however it is cut, the same is seen, and it is
 * what a plain reading of the bytes finds.  What is safe ends where it ends:
 * no lone dot stands in it, for whatever a server takes as the end of a line.
 */
#include <stdlib.h>

#include "common/base/limits.h"
#include "common/proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned
in_pieces(struct hb_span s, size_t step)
{
	struct hb_wire w;

	hb_wire_init(&w);
	for (; s.n > 0; s = hb_span_from(s, step))
		(void)hb_wire_feed(&w, hb_span_head(s, step));
	return hb_wire_end(&w);
}

static bool
is_end(struct hb_span s, size_t i)
{
	return i >= s.n || s.p[i] == '\r' || s.p[i] == '\n';
}

/* A dot alone on a line for the laxest of servers: CR or LF ends a line, NUL
 * is not there. */
static bool
has_lone_dot(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t before = i, after = i + 1;

		if (s.p[i] != '.')
			continue;
		while (before > 0 && s.p[before - 1] == '\0')
			before--;
		while (after < s.n && s.p[after] == '\0')
			after++;
		if ((before == 0 || is_end(s, before - 1)) && after < s.n &&
		    is_end(s, after))
			return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span s = hb_span(data, n);
	unsigned seen = in_pieces(s, n + 1);
	bool ends = n == 0 || (n > 1 && memcmp(data + n - 2, "\r\n", 2) == 0);

	for (size_t step = 1; step < 8; step++)
		if (in_pieces(s, step) != seen)
			abort();
	if ((seen & HB_WIRE_UNSAFE) == 0 && has_lone_dot(s))
		abort();
	if (((seen & HB_WIRE_UNENDED) == 0) != ends)
		abort();
	if (((seen & HB_WIRE_NUL) != 0) != (memchr(data, 0, n) != NULL))
		abort();
	return 0;
}
