/* The table of UTF-8 against the arithmetic behind it. */
#include "config.h"

#include <stdlib.h>

#include "common/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
by_arithmetic(struct hb_span s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 },
		{ 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
	size_t n = 0;
	uint32_t c;

	while (n < HB_ARRAY_LEN(forms) &&
	    (s.p[0] & forms[n].mask) != forms[n].lead)
		n++;
	if (n == HB_ARRAY_LEN(forms) || s.n < n + 1)
		return 0;
	c = s.p[0] & (unsigned char)~forms[n].mask;
	for (size_t i = 1; i <= n; i++) {
		if ((s.p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s.p[i] & 0x3f);
	}
	if (c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return n + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span in = hb_span(data, size);

	if (hb_utf8_length(HB_SPAN_NONE) != 0)
		abort();
	for (; in.n > 0; in = hb_span_from(in, 1))
		if (hb_utf8_length(in) != by_arithmetic(in))
			abort();
	return 0;
}
