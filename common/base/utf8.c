/* UTF-8.  Floor 0. */
#include "common/base/utf8.h"

/* RFC 3629 s4 */
size_t
hb_utf8_length(struct hb_span s)
{
	/* first byte up to, bytes in all, range of the second byte */
	static const struct {
		unsigned char to, len, low, high;
	} rows[] = {
		{ 0xC1, 0, 0, 0 }, { 0xDF, 2, 0x80, 0xBF },
		{ 0xE0, 3, 0xA0, 0xBF }, { 0xEC, 3, 0x80, 0xBF },
		{ 0xED, 3, 0x80, 0x9F }, { 0xEF, 3, 0x80, 0xBF },
		{ 0xF0, 4, 0x90, 0xBF }, { 0xF3, 4, 0x80, 0xBF },
		{ 0xF4, 4, 0x80, 0x8F }, { 0xFF, 0, 0, 0 },
	};
	size_t i = 0, n;

	if (s.n == 0 || s.p[0] < 0x80)
		return s.n > 0 ? 1 : 0;
	while (s.p[0] > rows[i].to)
		i++;
	n = rows[i].len;
	if (n == 0 || s.n < n || s.p[1] < rows[i].low || s.p[1] > rows[i].high)
		return 0;
	for (size_t k = 2; k < n; k++)
		if (s.p[k] < 0x80 || s.p[k] > 0xBF)
			return 0;
	return n;
}
