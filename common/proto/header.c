/* Header lines.  Floor 1.  RFC 5322 s2.2, s3.6.8. */
#include "common/proto/header.h"

/* Length of the field name at the front of LINE; 0 when there is none.
 * Blanks before the colon are taken (RFC 5322 s4.5). */
static size_t
name_length(struct hb_span line, size_t *colon)
{
	size_t n = 0, i;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 127 &&
	    line.p[n] != ':')
		n++;
	for (i = n; i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'); i++)
		;
	*colon = i;
	return i < line.n && line.p[i] == ':' ? n : 0;
}

enum hb_header_line
hb_header_classify(struct hb_span line)
{
	size_t colon;

	if (line.n == 0 || line.p[0] == '\r' || line.p[0] == '\n')
		return HB_HEADER_END;
	if (line.p[0] == ' ' || line.p[0] == '\t')
		return HB_HEADER_FOLDED;
	return name_length(line, &colon) > 0 ? HB_HEADER_FIELD
					     : HB_HEADER_GARBAGE;
}

struct hb_span
hb_header_name(struct hb_span line)
{
	size_t colon;

	return hb_span_head(line, name_length(line, &colon));
}

struct hb_span
hb_header_value(struct hb_span line)
{
	size_t colon;

	if (name_length(line, &colon) == 0)
		return HB_SPAN_NONE;
	return hb_span_trim(hb_span_from(line, colon + 1));
}

struct hb_span
hb_header_field(struct hb_span section)
{
	size_t n = 0;

	do
		n += hb_span_find(hb_span_from(section, n), '\n') + 1;
	while (n < section.n && hb_is_blank(section.p[n]));
	return hb_span_head(section, n);
}

struct hb_span
hb_header_find(struct hb_span section, const char *name)
{
	while (section.n > 0) {
		struct hb_span field = hb_header_field(section);

		if (hb_header_is(field, name))
			return hb_header_value(field);
		section = hb_span_from(section, field.n);
	}
	return HB_SPAN_NONE;
}

bool
hb_header_is(struct hb_span line, const char *name)
{
	return hb_span_eq_nocase(hb_header_name(line), hb_span_str(name));
}

struct hb_span
hb_message_id(struct hb_span section, unsigned char room[HB_MAX_MESSAGE_ID])
{
	struct hb_span value = hb_header_find(section, "Message-ID"),
		       word = hb_span_head(hb_span_word(&value),
			   HB_MAX_MESSAGE_ID);

	for (size_t i = 0; i < word.n; i++)
		room[i] = word.p[i] > ' ' && word.p[i] < 127 ? word.p[i] : '?';
	return hb_span(room, word.n);
}

static struct hb_span
without_brackets(struct hb_span id)
{
	if (id.n >= 2 && id.p[0] == '<' && id.p[id.n - 1] == '>')
		return hb_span(id.p + 1, id.n - 2);
	return id;
}

bool
hb_message_id_eq(struct hb_span a, struct hb_span b)
{
	a = without_brackets(a);
	return a.n > 0 && hb_span_eq(a, without_brackets(b));
}
