/* A message with octets that do not pass becomes one without.  Floor 1. */
#include "common/proto/sevenbit.h"

#include "common/base/err.h"
#include "common/proto/base64.h"
#include "common/proto/header.h"
#include "common/proto/qp.h"

enum {
	HOLD_MAX = 65536,
	LINE_WAIT = 4096, /* lines are limited where messages come in */
	LINE_STEP = 8192, /* of a line whose end is not here */
	FIELD_MAX = 4096
};
enum { S_HEADER, S_RAW, S_HOLD, S_QP, S_BASE64 };
enum { F_OTHER, F_TYPE, F_ENCODING };

/* --- entities --- */

static bool
is_8bit(struct hb_span s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.n; i++)
		all |= s.p[i];
	return all > 127;
}

/* What is left of binary data is found where the message comes in. */
static int
put_raw(const struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	if (!m->octets && is_8bit(line))
		return HB_E_UNSUPPORTED;
	hb_buf_add(out, line);
	return 0;
}

static void
begin_entity(struct hb_sevenbit *m, bool is_message, bool by_digest)
{
	hb_buf_clear(&m->type);
	hb_buf_clear(&m->encoding);
	hb_buf_clear(&m->hold);
	m->state = S_HEADER;
	m->field = F_OTHER;
	m->has_type = m->has_version = m->opaque = m->crlf_due = false;
	m->is_message = is_message;
	m->by_digest = by_digest;
	m->n_group = 0;
}

static bool
has_type(const struct hb_sevenbit *m, const char *type)
{
	return hb_span_has_prefix_nocase(hb_buf_span(&m->type),
	    hb_span_str(type));
}

static enum hb_mime_encoding
encoding_of(const struct hb_sevenbit *m)
{
	return m->encoding.n == 0
	    ? HB_MIME_NONE
	    : hb_mime_encoding(hb_header_value(hb_buf_span(&m->encoding)));
}

/* "binary" is true of nothing that is left: RFC 2045 s6.2. */
static void
put_encoding(const struct hb_sevenbit *m, struct hb_buf *out)
{
	if (m->octets && m->is_binary)
		hb_buf_adds(out, "Content-Transfer-Encoding: 8bit\r\n");
	else
		hb_buf_add(out, hb_buf_span(&m->encoding));
}

/* --- encoders --- */

static void
put_group(struct hb_sevenbit *m, struct hb_buf *out)
{
	if (m->n_group > 0) {
		(void)!hb_base64_encode(hb_span(m->group, m->n_group), out);
		hb_buf_adds(out, "\r\n");
	}
	m->n_group = 0;
}

static void
put_octets(struct hb_sevenbit *m, struct hb_span s, struct hb_buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		m->group[m->n_group++] = s.p[i];
		if (m->n_group == sizeof(m->group))
			put_group(m, out);
	}
}

/* TEXT must not look like a delimiter only when it is encoded: with "b=E4" as
 * boundary "--b\xe4" would. */
static void
put_qp(struct hb_span text, struct hb_buf *out)
{
	bool changes = is_8bit(text) || hb_span_find(text, '=') < text.n;

	while (changes && text.n > 1 && text.p[0] == '-') {
		hb_buf_adds(out, "=2D=\r\n");
		text = hb_span_from(text, 1);
	}
	hb_qp_line(text, out);
}

/* LINE, or its beginning, without its end, and in wire form without the
 * stuffed dot. */
static struct hb_span
text_of(const struct hb_sevenbit *m, struct hb_span line, bool ended)
{
	if (m->octets)
		return hb_span_head(line, line.n - (ended ? 2 : 0));
	return hb_mime_text(line);
}

static void
encode_line(struct hb_sevenbit *m, struct hb_span line, bool ended,
    struct hb_buf *out)
{
	if (m->state == S_QP) {
		put_qp(hb_mime_text(line), out);
		return;
	}
	/* A line end in front of a delimiter belongs to that, RFC 2046
	 * s5.1.1. */
	if (m->crlf_due)
		put_octets(m, HB_SPAN("\r\n"), out);
	put_octets(m, text_of(m, line, ended), out);
	m->crlf_due = ended;
}

static void
put_encoded_header(struct hb_sevenbit *m, struct hb_buf *out)
{
	bool is_text = !m->octets &&
	    (m->type.n == 0 || has_type(m, "text/"));

	hb_buf_addf(out, "Content-Transfer-Encoding: %s\r\n",
	    is_text ? "quoted-printable" : "base64");
	if (m->is_message && !m->has_version)
		hb_buf_adds(out, "MIME-Version: 1.0\r\n");
	if (m->is_message && !m->has_type)
		hb_buf_addf(out, "Content-Type: text/plain; charset=%s\r\n",
		    hb_mime_charset(hb_buf_span(&m->hold)));
	hb_buf_adds(out, "\r\n");
	m->state = is_text ? S_QP : S_BASE64;
	m->changed = true;
}

/* What becomes of a leaf; WHOLE: all of it is held. */
static void
decide(struct hb_sevenbit *m, bool whole, struct hb_buf *out)
{
	struct hb_span rest = hb_buf_span(&m->hold);

	if (whole && !is_8bit(rest)) {
		hb_buf_add(out, hb_buf_span(&m->encoding));
		hb_buf_adds(out, "\r\n");
		hb_buf_add(out, rest);
		m->state = S_RAW;
	} else {
		put_encoded_header(m, out);
		while (rest.n > 0) {
			size_t n = hb_span_find(rest, '\n') + 1;

			encode_line(m, hb_span_head(rest, n), true, out);
			rest = hb_span_from(rest, n);
		}
	}
	hb_buf_free(&m->hold);
}

/* --- the header --- */

/* Messages that are not taken apart, and what others signed or encrypted. */
static bool
is_closed(const struct hb_sevenbit *m)
{
	static const char *const types[] = { "multipart/", "message/",
		"application/pkcs7-", "application/x-pkcs7-",
		"application/pgp-" };

	for (size_t i = 0; i < HB_ARRAY_LEN(types); i++)
		if (has_type(m, types[i]))
			return true;
	return false;
}

static bool
opens_multipart(struct hb_sevenbit *m)
{
	struct hb_span b = hb_mime_boundary(hb_buf_span(&m->type));

	if (!has_type(m, "multipart/") || has_type(m, "multipart/signed") ||
	    has_type(m, "multipart/encrypted") || b.n == 0 ||
	    m->depth == HB_SEVENBIT_DEPTH)
		return false;
	memcpy(m->around[m->depth].boundary, b.p, b.n);
	m->around[m->depth].n = b.n;
	m->around[m->depth].is_digest = has_type(m, "multipart/digest");
	m->depth++;
	return true;
}

static bool
opens_message(const struct hb_sevenbit *m)
{
	return has_type(m, "message/rfc822") ||
	    (m->by_digest && !m->has_type);
}

static bool
says_binary(const struct hb_sevenbit *m)
{
	return m->encoding.n > 0 &&
	    hb_span_eq_nocase(hb_span_trim(hb_header_value(
				  hb_buf_span(&m->encoding))),
		HB_SPAN("binary"));
}

/* The header is over.  Of what has parts the field about the encoding is left
 * out where all becomes 7-bit: without it, it is that. */
static void
end_header(struct hb_sevenbit *m, struct hb_buf *out)
{
	bool plain = !m->opaque && encoding_of(m) == HB_MIME_NONE;

	m->is_binary = !m->opaque && says_binary(m);
	if (plain && opens_multipart(m)) {
		if (m->octets)
			put_encoding(m, out);
		hb_buf_adds(out, "\r\n");
		m->state = S_RAW;
	} else if (plain && opens_message(m)) {
		if (m->octets)
			put_encoding(m, out);
		hb_buf_adds(out, "\r\n");
		begin_entity(m, true, false);
	} else if (m->octets && m->is_binary && !is_closed(m)) {
		put_encoded_header(m, out);
	} else if (!m->octets && plain && !is_closed(m)) {
		m->state = S_HOLD;
	} else {
		put_encoding(m, out);
		hb_buf_adds(out, "\r\n");
		m->state = S_RAW;
	}
}

static void
note_field(struct hb_sevenbit *m, struct hb_span line)
{
	m->field = F_OTHER;
	if (hb_header_is(line, "Content-Type")) {
		m->field = F_TYPE;
		m->opaque = m->opaque || m->has_type;
		m->has_type = true;
	} else if (hb_header_is(line, "Content-Transfer-Encoding")) {
		m->field = F_ENCODING;
		m->opaque = m->opaque || m->encoding.n > 0;
	} else if (hb_header_is(line, "MIME-Version")) {
		m->has_version = true;
	}
}

static void
keep_field(struct hb_sevenbit *m, struct hb_span line, bool begins,
    struct hb_buf *out)
{
	struct hb_span text = line;

	while (text.n > 0 && (text.p[text.n - 1] == '\n' ||
		text.p[text.n - 1] == '\r'))
		text.n--;
	if (m->field == F_ENCODING)
		hb_buf_add(&m->encoding, line);
	else
		hb_buf_add(out, line);
	if (m->field == F_TYPE)
		hb_buf_add(&m->type, begins ? hb_header_value(text) : text);
	/* Another length than ours may be read by who comes next. */
	if (m->type.n > FIELD_MAX || m->encoding.n > FIELD_MAX) {
		m->opaque = true;
		m->field = F_OTHER;
	}
}

static int body_line(struct hb_sevenbit *m, struct hb_span line, bool ended,
    struct hb_buf *out);

static int
header_line(struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	enum hb_header_line kind = hb_header_classify(line);

	if (kind == HB_HEADER_END || kind == HB_HEADER_GARBAGE) {
		end_header(m, out);
		/* without the empty line this is of the body */
		return kind == HB_HEADER_END ? 0
					     : body_line(m, line, true, out);
	}
	if (!m->octets && is_8bit(line))
		return HB_E_UNSUPPORTED;
	if (kind == HB_HEADER_FIELD)
		note_field(m, line);
	keep_field(m, line, kind == HB_HEADER_FIELD, out);
	return 0;
}

/* --- bodies --- */

static int
body_line(struct hb_sevenbit *m, struct hb_span line, bool ended,
    struct hb_buf *out)
{
	switch (m->state) {
	case S_HOLD:
		hb_buf_add(&m->hold, line);
		if (m->hold.n > HOLD_MAX)
			decide(m, false, out);
		return 0;
	case S_QP:
	case S_BASE64:
		encode_line(m, line, ended, out);
		return 0;
	case S_HEADER: /* of the message in a message */
		return header_line(m, line, out);
	default:
		return put_raw(m, line, out);
	}
}

static void
end_entity(struct hb_sevenbit *m, bool of_message, struct hb_buf *out)
{
	if (m->state == S_HEADER)
		hb_buf_add(out, hb_buf_span(&m->encoding));
	if (m->state == S_HOLD)
		decide(m, true, out);
	if (m->state == S_BASE64) {
		if (of_message && m->crlf_due)
			put_octets(m, HB_SPAN("\r\n"), out);
		put_group(m, out);
	}
	m->state = S_RAW;
}

static int
take_line(struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	/* octets have no stuffed dot that would hide a delimiter */
	size_t i = m->octets && line.p[0] == '.' ? 0 : m->depth;

	while (i-- > 0) {
		struct hb_span b = hb_span(m->around[i].boundary,
		    m->around[i].n);
		enum hb_mime_delimiter d = hb_mime_delimiter(line, b);

		if (d == HB_MIME_TEXT)
			continue;
		end_entity(m, false, out);
		m->depth = i + (d == HB_MIME_OPENS ? 1 : 0);
		if (d == HB_MIME_OPENS)
			begin_entity(m, false, m->around[i].is_digest);
		return put_raw(m, line, out);
	}
	return m->state == S_HEADER ? header_line(m, line, out)
				    : body_line(m, line, true, out);
}

/* The next of a line that is longer than any header line or delimiter. */
static int
take_part(struct hb_sevenbit *m, struct hb_span part, bool ended,
    struct hb_buf *out)
{
	m->mid_line = !ended;
	return m->state == S_HEADER ? put_raw(m, part, out)
				    : body_line(m, part, ended, out);
}

void
hb_sevenbit_start(struct hb_sevenbit *m)
{
	hb_buf_clear(&m->line);
	m->depth = 0;
	m->changed = m->octets = m->mid_line = false;
	begin_entity(m, true, false);
}

void
hb_sevenbit_start_octets(struct hb_sevenbit *m)
{
	hb_sevenbit_start(m);
	m->octets = true;
}

void
hb_sevenbit_free(struct hb_sevenbit *m)
{
	hb_buf_free(&m->line);
	hb_buf_free(&m->type);
	hb_buf_free(&m->encoding);
	hb_buf_free(&m->hold);
}

/* Where the line at the front of S ends, with its end; 0: not in it.  A bare LF
 * is an octet like others. */
static size_t
line_length(const struct hb_sevenbit *m, struct hb_span s)
{
	size_t at = 0;

	while ((at += hb_span_find(hb_span_from(s, at), '\n')) < s.n) {
		if (!m->octets || (at > 0 && s.p[at - 1] == '\r'))
			return at + 1;
		at++;
	}
	return 0;
}

/* Too long to be kept, wherever it is cut. */
static bool
is_long(const struct hb_sevenbit *m, struct hb_span line)
{
	return m->octets && line.n > LINE_WAIT;
}

/* M's line has no end yet, or just got it. */
static int
take_begun(struct hb_sevenbit *m, bool ended, struct hb_buf *out)
{
	struct hb_span line = hb_buf_span(&m->line);
	bool cr = !ended && line.p[line.n - 1] == '\r';
	int r;

	if (ended && !m->mid_line && !is_long(m, line)) {
		r = take_line(m, line, out);
	} else if (!ended && !m->mid_line && line.n <= LINE_WAIT) {
		return 0;
	} else if (!m->octets) {
		return HB_E_UNSUPPORTED;
	} else {
		r = take_part(m, hb_span_head(line, line.n - (cr ? 1 : 0)),
		    ended, out);
	}
	hb_buf_consume(&m->line, line.n - (cr ? 1 : 0));
	return r;
}

int
hb_sevenbit_feed(struct hb_sevenbit *m, struct hb_span in, struct hb_buf *out)
{
	int r = 0;

	while (r == 0 && in.n > 0) {
		/* the CR of an end may have come before */
		struct hb_span begun = hb_buf_span(&m->line);
		bool split = m->octets && begun.n > 0 && in.p[0] == '\n' &&
		    begun.p[begun.n - 1] == '\r';
		size_t n = split ? 1 : line_length(m, in);
		struct hb_span line = hb_span_head(in, n > 0 ? n : LINE_STEP);

		in = hb_span_from(in, line.n);
		if (n > 0 && m->line.n == 0 && !m->mid_line &&
		    !is_long(m, line)) {
			r = take_line(m, line, out);
			continue;
		}
		hb_buf_add(&m->line, line);
		r = take_begun(m, n > 0, out);
	}
	return r;
}

/* What follows the last line end of octets is there to its last one. */
static int
end_octets(struct hb_sevenbit *m, struct hb_buf *out)
{
	struct hb_span line = hb_buf_span(&m->line);
	bool header = m->state == S_HEADER && !m->mid_line;
	int r = 0;

	if (line.n > 0 && (header || m->depth > 0) && !m->mid_line) {
		hb_buf_adds(&m->line, "\r\n");
		r = take_line(m, hb_buf_span(&m->line), out);
	} else if (line.n > 0) {
		r = take_part(m, line, false, out);
	}
	hb_buf_clear(&m->line);
	return r;
}

int
hb_sevenbit_end(struct hb_sevenbit *m, struct hb_buf *out)
{
	int r = 0;

	if (m->octets)
		r = end_octets(m, out);
	else if (m->line.n > 0)
		r = hb_sevenbit_feed(m, HB_SPAN("\r\n"), out);
	if (r == 0)
		end_entity(m, true, out);
	return r;
}
