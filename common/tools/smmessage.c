/* From standard input to wire form.  Floor 2. */
#include "common/tools/smmessage.h"

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/utf8.h"
#include "common/proto/addrlist.h"
#include "common/proto/base64.h"
#include "common/proto/header.h"

enum { WORD_BYTES = 42 }; /* in one encoded word: RFC 2047 s2 allows 75 */

void
sm_message_init(struct sm_message *m)
{
	*m = (struct sm_message){ .wire = HB_BUF_INIT(0),
		.rcpts = HB_BUF_INIT(0), .resent = HB_BUF_INIT(0),
		.field = HB_BUF_INIT(0), .line = HB_BUF_INIT(0),
		.in_header = true };
}

void
sm_message_free(struct sm_message *m)
{
	hb_buf_free(&m->wire);
	hb_buf_free(&m->rcpts);
	hb_buf_free(&m->resent);
	hb_buf_free(&m->field);
	hb_buf_free(&m->line);
}

static void
put_line(struct sm_message *m, struct hb_span line)
{
	if (line.n > 0 && line.p[0] == '.')
		hb_buf_adds(&m->wire, ".");
	hb_buf_add(&m->wire, line);
	hb_buf_adds(&m->wire, "\r\n");
}

/* --- header --- */

enum { IS_RCPT = 1, IS_RESENT = 2, IS_DROPPED = 4, IS_ADDRESS = 8 };
static const struct {
	const char *name;
	unsigned what;
} fields[] = {
	{ "To", IS_RCPT | IS_ADDRESS },
	{ "Cc", IS_RCPT | IS_ADDRESS },
	{ "Bcc", IS_RCPT | IS_DROPPED },
	{ "Resent-To", IS_RCPT | IS_RESENT | IS_ADDRESS },
	{ "Resent-Cc", IS_RCPT | IS_RESENT | IS_ADDRESS },
	{ "Resent-Bcc", IS_RCPT | IS_RESENT | IS_DROPPED },
	{ "From", IS_ADDRESS },
	{ "Sender", IS_ADDRESS },
	{ "Reply-To", IS_ADDRESS },
	{ "Resent-From", IS_ADDRESS },
	{ "Resent-Sender", IS_ADDRESS },
	{ "Resent-Reply-To", IS_ADDRESS },
	{ "Errors-To", IS_ADDRESS },
	{ "Disposition-Notification-To", IS_ADDRESS },
	{ "Return-Receipt-To", IS_ADDRESS },
	{ "Return-Path", IS_DROPPED },
	{ "Content-Length", IS_DROPPED },
};

static unsigned
what_is(struct hb_span field)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(fields); i++)
		if (hb_header_is(field, fields[i].name))
			return fields[i].what;
	return 0;
}

static void
put_lines(struct sm_message *m, struct hb_span text)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n');

		put_line(m, hb_span_head(line, line.n - 1));
	}
}

/* FIELD, whose VALUE is a list of addresses. */
static void
put_qualified(struct sm_message *m, struct hb_span field, struct hb_span value)
{
	struct hb_buf out = HB_BUF_INIT(0);
	size_t before = (size_t)(value.p - field.p);

	hb_buf_add(&out, hb_span_head(field, before));
	hb_addrlist_qualify(value, m->origin, &out);
	hb_buf_add(&out, hb_span_from(field, before + value.n));
	put_lines(m, hb_buf_span(&out));
	hb_buf_free(&out);
}

/* All of the field under way has come. */
static void
end_field(struct sm_message *m)
{
	struct hb_span field = hb_buf_span(&m->field),
		       value = hb_header_value(field);
	unsigned what = what_is(field);

	if (m->want_rcpts && (what & IS_RCPT) != 0) {
		struct hb_buf *to = (what & IS_RESENT) != 0 ? &m->resent
							    : &m->rcpts;

		hb_buf_add(to, value);
		hb_buf_adds(to, ",");
	}
	if ((what & IS_ADDRESS) != 0 && m->origin.n > 0 && value.n > 0)
		put_qualified(m, field, value);
	else if ((what & IS_DROPPED) == 0 || m->keep_fields)
		put_lines(m, field);
	hb_buf_clear(&m->field);
}

static void
end_header(struct sm_message *m)
{
	end_field(m);
	m->in_header = false;
	if (!m->has_from && m->from.n > 0)
		put_line(m, m->from);
	put_line(m, HB_SPAN_NONE);
}

static void
body_line(struct sm_message *m, struct hb_span line)
{
	do
		put_line(m, hb_span_cut(&line, '\r'));
	while (line.n > 0);
}

/* What would end a line somewhere else is a blank in the header. */
static struct hb_span
one_line(struct sm_message *m, struct hb_span raw)
{
	hb_buf_clear(&m->line);
	hb_buf_add(&m->line, raw);
	for (size_t i = 0; i < m->line.n; i++) {
		unsigned char *c = &m->line.p[m->line.off + i];

		if (*c == '\r' || *c == '\v' || *c == '\f')
			*c = ' ';
	}
	return hb_buf_span(&m->line);
}

static void
header_line(struct sm_message *m, struct hb_span raw)
{
	struct hb_span line = one_line(m, raw);

	switch (hb_header_classify(line)) {
	case HB_HEADER_FIELD:
		end_field(m);
		m->has_from = m->has_from || hb_header_is(line, "From");
		break;
	case HB_HEADER_FOLDED:
		break;
	case HB_HEADER_END:
		end_header(m);
		return;
	case HB_HEADER_GARBAGE:
		end_header(m);
		body_line(m, raw);
		return;
	}
	hb_buf_add(&m->field, line);
	hb_buf_adds(&m->field, "\r\n");
}

/* --- lines --- */

static bool
is_mbox_from(const struct sm_message *m, struct hb_span line)
{
	return !m->started &&
	    hb_span_eq(hb_span_head(line, 5), HB_SPAN("From "));
}

int
sm_message_line(struct sm_message *m, struct hb_span line)
{
	bool first = !m->started;

	if (hb_span_find(line, '\0') < line.n)
		return HB_E_SYNTAX;
	while (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (m->stop_at_dot && hb_span_eq(line, HB_SPAN(".")))
		return HB_E_CLOSED;
	if (is_mbox_from(m, line)) {
		m->started = true;
		return 0;
	}
	m->started = true;
	/* a folded line that folds nothing is no header */
	if (first && line.n > 0 && hb_is_blank(line.p[0]))
		end_header(m);
	if (m->in_header)
		header_line(m, line);
	else
		body_line(m, line);
	return 0;
}

void
sm_message_end(struct sm_message *m)
{
	if (m->in_header)
		end_header(m);
}

int
sm_message_qualify(struct hb_span wire, struct hb_span origin,
    struct hb_buf *out)
{
	struct sm_message m;
	int r = 0;

	sm_message_init(&m);
	m.keep_fields = true;
	m.origin = origin;
	while (wire.n > 0 && m.in_header && r == 0) {
		struct hb_span line = hb_span_cut(&wire, '\n');

		r = sm_message_line(&m, line.n > 0 && line.p[0] == '.'
			? hb_span_from(line, 1) : line);
	}
	sm_message_end(&m);
	if (r == 0) {
		hb_buf_add(out, hb_buf_span(&m.wire));
		hb_buf_add(out, wire);
	}
	sm_message_free(&m);
	return r;
}

/* --- names --- */

/* At most WORD_BYTES of S, not cut inside a UTF-8 sequence. */
static size_t
word_length(struct hb_span s)
{
	size_t n = s.n < WORD_BYTES ? s.n : WORD_BYTES;

	while (n < s.n && n > 1 && (s.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void
put_encoded(struct hb_span name, struct hb_buf *out)
{
	while (name.n > 0) {
		size_t n = word_length(name);

		hb_buf_adds(out, "=?utf-8?B?");
		if (hb_base64_encode(hb_span_head(name, n), out) < 0)
			return;
		hb_buf_adds(out, "?=");
		name = hb_span_from(name, n);
		if (name.n > 0)
			hb_buf_adds(out, "\r\n ");
	}
}

void
sm_put_name(struct hb_span name, struct hb_buf *out)
{
	name = hb_span_trim(name);
	if (!hb_utf8_is_ascii(name)) {
		put_encoded(name, out);
		return;
	}
	hb_buf_adds(out, "\"");
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = name.p[i];

		if (c == '"' || c == '\\')
			hb_buf_adds(out, "\\");
		if (c < 0x20 || c == 0x7f)
			c = ' ';
		hb_buf_add(out, hb_span(&c, 1));
	}
	hb_buf_adds(out, "\"");
}
