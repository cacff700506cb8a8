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

bool
hb_utf8_is_ascii(struct hb_span s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.n; i++)
		all |= s.p[i];
	return all < 0x80;
}

uint32_t
hb_utf8_value(struct hb_span character)
{
	static const unsigned char bits[] = { 0, 0x7F, 0x1F, 0x0F, 0x07 };
	uint32_t v = character.p[0] & bits[character.n];

	for (size_t i = 1; i < character.n; i++)
		v = v << 6 | (character.p[i] & 0x3F);
	return v;
}

bool
hb_utf8_is_hidden(struct hb_span character)
{
	static const struct {
		uint32_t from, to;
	} rows[] = {
		{ 0x80, 0x9F },	    /* C1 controls */
		{ 0x61C, 0x61C },   /* Arabic letter mark */
		{ 0x200E, 0x200F }, /* direction marks */
		{ 0x2028, 0x202E }, /* line, paragraph; embeddings, overrides */
		{ 0x2066, 0x2069 }, /* isolates */
		{ 0xFDD0, 0xFDEF }, /* noncharacters */
		{ 0xFEFF, 0xFEFF }, /* byte order mark */
	};
	uint32_t v = hb_utf8_value(character);

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (v >= rows[i].from && v <= rows[i].to)
			return true;
	return (v & 0xFFFE) == 0xFFFE;
}

size_t
hb_utf8_encode(uint32_t v, unsigned char *dst)
{
	static const struct {
		uint32_t to;
		unsigned char lead;
	} rows[] = { { 0x7F, 0 }, { 0x7FF, 0xC0 }, { 0xFFFF, 0xE0 },
		{ 0x10FFFF, 0xF0 } };
	size_t n = 0;

	while (n < HB_ARRAY_LEN(rows) && v > rows[n].to)
		n++;
	if (n == HB_ARRAY_LEN(rows) || (v >= 0xD800 && v <= 0xDFFF))
		return 0;
	for (size_t i = n; i > 0; i--, v >>= 6)
		dst[i] = (unsigned char)(0x80 | (v & 0x3F));
	dst[0] = (unsigned char)(rows[n].lead | v);
	return n + 1;
}
