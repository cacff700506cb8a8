/* Formatting of answers.  Floor 4.  Text from outside never reaches a terminal
 * unchecked. */
#include "config.h"

#include "common/control/control.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/utf8.h"

enum { FIRST_C1 = 0x80, LAST_C1 = 0x9f };

void
ctl_add(struct ctl_client *c, const char *text)
{
	hb_buf_adds(&c->text, text);
}

void
ctl_addf(struct ctl_client *c, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	hb_buf_adds(&c->text, line);
}

/* Characters that nobody sees and that turn a line around, or hide where a
 * word ends: U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF. */
static bool
is_unseen(struct hb_span s, size_t n)
{
	if (n != 3)
		return false;
	if (s.p[0] == 0xef)
		return s.p[1] == 0xbb && s.p[2] == 0xbf;
	if (s.p[0] != 0xe2 || (s.p[1] != 0x80 && s.p[1] != 0x81))
		return false;
	return s.p[1] == 0x80 ? (s.p[2] >= 0x8b && s.p[2] <= 0x8f) ||
		(s.p[2] >= 0xa8 && s.p[2] <= 0xae)
			      : s.p[2] >= 0xa0 && s.p[2] <= 0xaf;
}

/* How many bytes at the front of S may be shown as they are. */
static size_t
shown(struct hb_span s)
{
	size_t n = hb_utf8_length(s);

	if (n == 1 && (s.p[0] < 0x20 || s.p[0] == 0x7f))
		return 0;
	if (n == 2 && s.p[0] == 0xc2 && s.p[1] >= FIRST_C1 &&
	    s.p[1] <= LAST_C1)
		return 0;
	return is_unseen(s, n) ? 0 : n;
}

void
ctl_safe(struct hb_buf *out, struct hb_span s)
{
	while (s.n > 0) {
		size_t n = shown(s);

		if (n > 0)
			hb_buf_add(out, hb_span_head(s, n));
		else
			hb_buf_addf(out, "\\x%02x", s.p[0]);
		s = hb_span_from(s, n > 0 ? n : 1);
	}
}

void
ctl_add_safe(struct ctl_client *c, struct hb_span s)
{
	ctl_safe(&c->text, s);
}

struct hb_span
ctl_string(const json_t *v)
{
	return json_is_string(v)
	    ? hb_span(json_string_value(v), json_string_length(v))
	    : HB_SPAN_NONE;
}

struct hb_span
ctl_member(const json_t *obj, const char *key)
{
	return ctl_string(json_object_get(obj, key));
}

static int
to_text(const char *bytes, size_t n, void *ctx)
{
	struct ctl_client *c = ctx;

	hb_buf_add(&c->text, hb_span(bytes, n));
	return 0;
}

/* "example.org." of the DNS is the domain example.org. */
struct hb_span
ctl_without_dot(struct hb_span arg)
{
	return arg.n > 1 && arg.p[arg.n - 1] == '.' ? hb_span_head(arg, arg.n - 1)
						    : arg;
}

void
ctl_add_json(struct ctl_client *c, const json_t *v, size_t flags)
{
	/* ASCII alone: no byte of a stranger acts on a terminal */
	(void)json_dump_callback(v, to_text, c,
	    flags | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
}

void
ctl_rows_begin(struct ctl_client *c)
{
	c->rows = 0;
	if (c->q.json)
		ctl_add(c, "[");
}

void
ctl_rows_add(struct ctl_client *c, const json_t *v)
{
	if (c->q.json) {
		ctl_add(c, c->rows > 0 ? ",\n" : "\n");
		ctl_add_json(c, v, JSON_COMPACT);
	}
	c->rows++;
}

void
ctl_rows_end(struct ctl_client *c)
{
	if (c->q.json)
		ctl_add(c, c->rows > 0 ? "\n]\n" : "]\n");
}
