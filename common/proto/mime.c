/* MIME as the converters of bodies need it.  Floor 1. */
#include "common/proto/mime.h"

#include "common/base/limits.h"
#include "common/base/utf8.h"

/* --- lines --- */

struct hb_span
hb_mime_text(struct hb_span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line.n > 0 && line.p[0] == '.' ? hb_span_from(line, 1) : line;
}

void
hb_mime_put(struct hb_span text, struct hb_buf *out)
{
	if (text.n > 0 && text.p[0] == '.')
		hb_buf_adds(out, ".");
	hb_buf_add(out, text);
	hb_buf_adds(out, "\r\n");
}

/* --- fields --- */

enum hb_mime_encoding
hb_mime_encoding(struct hb_span value)
{
	static const struct {
		const char *word;
		enum hb_mime_encoding e;
	} rows[] = { { "7bit", HB_MIME_NONE }, { "8bit", HB_MIME_NONE },
		{ "binary", HB_MIME_NONE }, { "quoted-printable", HB_MIME_QP },
		{ "base64", HB_MIME_BASE64 } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		if (hb_span_eq_nocase(value, hb_span_str(rows[i].word)))
			return rows[i].e;
	return HB_MIME_OTHER;
}

/* One parameter off the front of *REST: "; name=value", value perhaps quoted;
 * backslashes stay. */
static bool
next_param(struct hb_span *rest, struct hb_span *name, struct hb_span *value)
{
	struct hb_span s;
	size_t n;

	(void)hb_span_cut(rest, ';');
	s = hb_span_trim(*rest);
	if (s.n == 0)
		return false;
	n = hb_span_find(s, '=');
	*name = hb_span_trim(hb_span_head(s, n));
	s = hb_span_trim(hb_span_from(s, n + 1));
	if (s.n > 0 && s.p[0] == '"') {
		s = hb_span_from(s, 1);
		n = hb_span_find(s, '"');
		*rest = hb_span_from(s, n + 1);
	} else {
		n = hb_span_find(s, ';');
		*rest = hb_span_from(s, n);
	}
	*value = hb_span_trim(hb_span_head(s, n));
	return true;
}

struct hb_span
hb_mime_boundary(struct hb_span type)
{
	struct hb_span rest = type, name, value;

	while (next_param(&rest, &name, &value))
		if (hb_span_eq_nocase(name, HB_SPAN("boundary")))
			return value.n <= HB_MIME_BOUNDARY_MAX ? value : HB_SPAN_NONE;
	return HB_SPAN_NONE;
}

/* --- bodies --- */

enum hb_mime_delimiter
hb_mime_delimiter(struct hb_span line, struct hb_span boundary)
{
	struct hb_span s = hb_mime_text(line);

	if (!hb_span_eq(hb_span_head(s, 2), HB_SPAN("--")) ||
	    !hb_span_eq(hb_span_head(hb_span_from(s, 2), boundary.n),
		boundary))
		return HB_MIME_TEXT;
	s = hb_span_from(s, 2 + boundary.n);
	if (hb_span_trim(s).n == 0)
		return HB_MIME_OPENS;
	return hb_span_eq(hb_span_head(s, 2), HB_SPAN("--")) ? HB_MIME_CLOSES
							     : HB_MIME_TEXT;
}

const char *
hb_mime_charset(struct hb_span s)
{
	bool high = false;

	while (s.n > 0) {
		size_t n = hb_utf8_length(s);

		if (n == 0)
			return "unknown-8bit";
		high = high || n > 1;
		s = hb_span_from(s, n);
	}
	return high ? "utf-8" : "us-ascii";
}
