/* A message with 8-bit octets for a server that takes none.  Floor 1. */
#include "common/proto/sevenbit.h"

#include "common/base/err.h"
#include "common/proto/base64.h"
#include "common/proto/header.h"
#include "common/proto/qp.h"

enum {
	HOLD_MAX = 65536,
	LINE_WAIT = 4096, /* lines are limited where messages come in */
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

static int
put_raw(struct hb_span line, struct hb_buf *out)
{
	if (is_8bit(line))
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

static void
encode_line(struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	if (m->state == S_QP) {
		put_qp(hb_mime_text(line), out);
		return;
	}
	/* A line end in front of a delimiter belongs to that, RFC 2046
	 * s5.1.1. */
	if (m->crlf_due)
		put_octets(m, HB_SPAN("\r\n"), out);
	put_octets(m, hb_mime_text(line), out);
	m->crlf_due = true;
}

static void
put_encoded_header(struct hb_sevenbit *m, struct hb_buf *out)
{
	bool is_text = m->type.n == 0 || has_type(m, "text/");

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

			encode_line(m, hb_span_head(rest, n), out);
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

/* The header is over.  Of what has parts the field about the encoding is left
 * out: without it, it is 7bit. */
static void
end_header(struct hb_sevenbit *m, struct hb_buf *out)
{
	bool plain = !m->opaque && encoding_of(m) == HB_MIME_NONE;

	if (plain && opens_multipart(m)) {
		hb_buf_adds(out, "\r\n");
		m->state = S_RAW;
	} else if (plain && opens_message(m)) {
		hb_buf_adds(out, "\r\n");
		begin_entity(m, true, false);
	} else if (plain && !is_closed(m)) {
		m->state = S_HOLD;
	} else {
		hb_buf_add(out, hb_buf_span(&m->encoding));
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

static int body_line(struct hb_sevenbit *m, struct hb_span line,
    struct hb_buf *out);

static int
header_line(struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	enum hb_header_line kind = hb_header_classify(line);

	if (kind == HB_HEADER_END || kind == HB_HEADER_GARBAGE) {
		end_header(m, out);
		/* without the empty line this is of the body */
		return kind == HB_HEADER_END ? 0 : body_line(m, line, out);
	}
	if (is_8bit(line))
		return HB_E_UNSUPPORTED;
	if (kind == HB_HEADER_FIELD)
		note_field(m, line);
	keep_field(m, line, kind == HB_HEADER_FIELD, out);
	return 0;
}

/* --- bodies --- */

static int
body_line(struct hb_sevenbit *m, struct hb_span line, struct hb_buf *out)
{
	switch (m->state) {
	case S_HOLD:
		hb_buf_add(&m->hold, line);
		if (m->hold.n > HOLD_MAX)
			decide(m, false, out);
		return 0;
	case S_QP:
	case S_BASE64:
		encode_line(m, line, out);
		return 0;
	case S_HEADER: /* of the message in a message */
		return header_line(m, line, out);
	default:
		return put_raw(line, out);
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
	for (size_t i = m->depth; i-- > 0;) {
		struct hb_span b = hb_span(m->around[i].boundary,
		    m->around[i].n);
		enum hb_mime_delimiter d = hb_mime_delimiter(line, b);

		if (d == HB_MIME_TEXT)
			continue;
		end_entity(m, false, out);
		m->depth = i + (d == HB_MIME_OPENS ? 1 : 0);
		if (d == HB_MIME_OPENS)
			begin_entity(m, false, m->around[i].is_digest);
		return put_raw(line, out);
	}
	return m->state == S_HEADER ? header_line(m, line, out)
				    : body_line(m, line, out);
}

void
hb_sevenbit_start(struct hb_sevenbit *m)
{
	hb_buf_clear(&m->line);
	m->depth = 0;
	m->changed = false;
	begin_entity(m, true, false);
}

void
hb_sevenbit_free(struct hb_sevenbit *m)
{
	hb_buf_free(&m->line);
	hb_buf_free(&m->type);
	hb_buf_free(&m->encoding);
	hb_buf_free(&m->hold);
}

int
hb_sevenbit_feed(struct hb_sevenbit *m, struct hb_span in, struct hb_buf *out)
{
	int r = 0;

	while (r == 0 && in.n > 0) {
		size_t lf = hb_span_find(in, '\n');
		struct hb_span line = hb_span_head(in, lf + 1);

		in = hb_span_from(in, line.n);
		if (lf >= line.n || m->line.n > 0) {
			hb_buf_add(&m->line, line);
			if (m->line.n > LINE_WAIT)
				return HB_E_UNSUPPORTED;
			line = hb_buf_span(&m->line);
		}
		if (line.p[line.n - 1] != '\n')
			break;
		r = take_line(m, line, out);
		hb_buf_clear(&m->line);
	}
	return r;
}

int
hb_sevenbit_end(struct hb_sevenbit *m, struct hb_buf *out)
{
	int r = 0;

	if (m->line.n > 0)
		r = hb_sevenbit_feed(m, HB_SPAN("\r\n"), out);
	if (r == 0)
		end_entity(m, true, out);
	return r;
}
