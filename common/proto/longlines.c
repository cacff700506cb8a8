/* Shortening of lines that are too long.  Floor 1. */
#include "common/proto/longlines.h"

#include "common/base/limits.h"
#include "common/proto/header.h"
#include "common/proto/mime.h"
#include "common/proto/qp.h"

enum {
	DEPTH_MAX = 8,	 /* parts in parts */
	BASE64_LINE = 76 /* RFC 2045 s6.8 */
};

/* --- lines --- */

/* The next line of *REST with its CRLF. */
static struct hb_span
next_line(struct hb_span *rest)
{
	size_t lf = hb_span_find(*rest, '\n');
	struct hb_span line = hb_span_head(*rest, lf < rest->n ? lf + 1 : lf);

	*rest = hb_span_from(*rest, line.n);
	return line;
}

size_t
hb_longest_line(struct hb_span wire)
{
	size_t most = 0;

	while (wire.n > 0) {
		size_t n = hb_mime_text(next_line(&wire)).n;

		most = n > most ? n : most;
	}
	return most;
}

/* --- the header of a message or of a part --- */

struct entity {
	struct hb_span header, body; /* the empty line belongs to the body */
	struct hb_span type;	     /* of Content-Type; empty: none */
	enum hb_mime_encoding encoding;
	bool has_version, is_signed;
};

/* The next field of *REST, all of its lines; empty: the header ends. */
static struct hb_span
next_field(struct hb_span *rest)
{
	struct hb_span from = *rest, after = *rest;
	size_t n = 0;

	if (hb_header_classify(hb_mime_text(next_line(&after))) != HB_HEADER_FIELD)
		return HB_SPAN_NONE;
	do {
		n = from.n - after.n;
		*rest = after;
	} while (after.n > 0 && hb_header_classify(next_line(&after)) ==
		HB_HEADER_FOLDED);
	return hb_span_head(from, n);
}

static void
parse_entity(struct hb_span wire, struct entity *e)
{
	struct hb_span rest = wire, field;

	memset(e, 0, sizeof(*e));
	while ((field = next_field(&rest)).n > 0) {
		static const char *const seals[] = { "DKIM-Signature",
			"ARC-Message-Signature", "DomainKey-Signature" };

		if (hb_header_is(field, "Content-Type"))
			e->type = hb_header_value(field);
		else if (hb_header_is(field, "Content-Transfer-Encoding"))
			e->encoding = hb_mime_encoding(hb_header_value(field));
		else if (hb_header_is(field, "MIME-Version"))
			e->has_version = true;
		for (size_t i = 0; i < HB_ARRAY_LEN(seals); i++)
			e->is_signed = e->is_signed ||
			    hb_header_is(field, seals[i]);
	}
	e->header = hb_span_head(wire, wire.n - rest.n);
	e->body = rest;
}

/* --- Content-Type --- */

static bool
has_type(const struct entity *e, const char *type)
{
	return hb_span_has_prefix_nocase(e->type, hb_span_str(type));
}

/* --- writing --- */

/* Where LINE can be folded so that at most HB_MAX_MAIL_LINE bytes stand in
 * front; 0: nowhere.  No line may be left that has only blanks. */
static size_t
fold_at(struct hb_span line)
{
	/* blanks in front of the colon are no place */
	bool goes_on = line.n > 0 && hb_is_blank(line.p[0]);
	size_t at = 0, from = goes_on ? 0 : hb_span_find(line, ':') + 1;
	bool word = !goes_on; /* something stands in front of the blank */

	for (size_t i = from; i + 1 < line.n; i++) {
		bool blank = hb_is_blank(line.p[i]);

		if (i > HB_MAX_MAIL_LINE && at > 0)
			break;
		if (blank && word && !hb_is_blank(line.p[i + 1]))
			at = i;
		word = word || !blank;
	}
	return at;
}

static void
put_header(struct hb_span header, struct hb_buf *out)
{
	while (header.n > 0) {
		struct hb_span line = hb_mime_text(next_line(&header));
		size_t n;

		while (line.n > HB_MAX_MAIL_LINE && (n = fold_at(line)) > 0) {
			hb_mime_put(hb_span_head(line, n), out);
			line = hb_span_from(line, n);
		}
		hb_mime_put(line, out);
	}
}

/* The empty line in front of a body, where there is one. */
static struct hb_span
put_empty_line(struct hb_span body, struct hb_buf *out)
{
	struct hb_span rest = body;

	if (rest.n > 0 && hb_mime_text(next_line(&rest)).n > 0)
		rest = body;
	hb_buf_adds(out, "\r\n");
	return rest;
}

static void
put_as_qp(const struct entity *e, bool outermost, struct hb_buf *out)
{
	struct hb_span body, field, header = e->header;

	/* The header without the field about the encoding. */
	while ((field = next_field(&header)).n > 0)
		if (!hb_header_is(field, "Content-Transfer-Encoding"))
			put_header(field, out);
	hb_buf_adds(out, "Content-Transfer-Encoding: quoted-printable\r\n");
	if (outermost) {
		/* A message without a word about MIME gets those that it
		 * needs. */
		if (!e->has_version)
			hb_buf_adds(out, "MIME-Version: 1.0\r\n");
		if (e->type.n == 0)
			hb_buf_addf(out, "Content-Type: text/plain; "
			    "charset=%s\r\n", hb_mime_charset(e->body));
	}
	body = put_empty_line(e->body, out);
	while (body.n > 0)
		hb_qp_line(hb_mime_text(next_line(&body)), out);
}

/* How much of TEXT, which is encoded, can be one line; 0: nothing.  A "-" of
 * what is left could make a delimiter of parts of it, RFC 2046 s5.1.1. */
static size_t
cut_at(struct hb_span text, bool qp)
{
	size_t n = BASE64_LINE - (qp ? 1 : 0); /* for "=" */

	for (; n > 1; n--) {
		bool inside = qp &&
		    (text.p[n - 1] == '=' || text.p[n - 2] == '=');

		if (!inside && text.p[n] != '-')
			return n;
	}
	return 0;
}

static void
put_encoded(struct hb_span body, bool qp, struct hb_buf *out)
{
	while (body.n > 0) {
		struct hb_span text = hb_mime_text(next_line(&body));
		bool is_long = text.n > HB_MAX_MAIL_LINE;
		size_t n;

		while (is_long && text.n > BASE64_LINE &&
		    (n = cut_at(text, qp)) > 0) {
			struct hb_buf line = HB_BUF_INIT(0);

			hb_buf_add(&line, hb_span_head(text, n));
			hb_buf_adds(&line, qp ? "=" : "");
			hb_mime_put(hb_buf_span(&line), out);
			hb_buf_free(&line);
			text = hb_span_from(text, n);
		}
		hb_mime_put(text, out);
	}
}

/* --- entities --- */

struct work {
	struct hb_span wire;
	unsigned depth;
	bool is_message; /* of its own, by its place in a digest */
};

static void put_entity(const struct work *w, struct hb_buf *out);

static void
put_parts(const struct entity *e, const struct work *w,
    struct hb_span boundary, struct hb_buf *out)
{
	struct work part = { .depth = w->depth + 1,
		.is_message = has_type(e, "multipart/digest") };
	enum hb_mime_delimiter last = HB_MIME_TEXT;
	struct hb_span rest = e->body, begin = rest;

	put_header(e->header, out);
	for (;;) {
		size_t before = begin.n - rest.n;
		struct hb_span line = next_line(&rest);
		enum hb_mime_delimiter d = line.n == 0 || last == HB_MIME_CLOSES
		    ? HB_MIME_TEXT
		    : hb_mime_delimiter(line, boundary);

		if (line.n > 0 && d == HB_MIME_TEXT)
			continue;
		part.wire = hb_span_head(begin, before);
		if (last == HB_MIME_OPENS)
			put_entity(&part, out);
		else
			hb_buf_add(out, part.wire);
		hb_buf_add(out, line);
		if (line.n == 0)
			return;
		begin = rest;
		last = d;
	}
}

/* Is anything about it not ours to change? */
static bool
stays(const struct entity *e, const struct work *w)
{
	return w->depth > DEPTH_MAX || e->is_signed ||
	    has_type(e, "multipart/signed") || e->encoding == HB_MIME_OTHER ||
	    hb_longest_line(w->wire) <= HB_MAX_MAIL_LINE;
}

static void
put_entity(const struct work *w, struct hb_buf *out)
{
	struct entity e;
	struct hb_span boundary = HB_SPAN_NONE;

	parse_entity(w->wire, &e);
	if (has_type(&e, "multipart/"))
		boundary = hb_mime_boundary(e.type);
	if (stays(&e, w)) {
		hb_buf_add(out, w->wire);
	} else if (boundary.n > 0 && e.encoding == HB_MIME_NONE) {
		put_parts(&e, w, boundary, out);
	} else if (e.encoding == HB_MIME_NONE &&
	    (has_type(&e, "message/rfc822") ||
		(w->is_message && e.type.n == 0))) {
		struct work inner = { .depth = w->depth + 1 };

		put_header(e.header, out);
		inner.wire = put_empty_line(e.body, out);
		put_entity(&inner, out);
	} else if (has_type(&e, "multipart/") || has_type(&e, "message/")) {
		put_header(e.header, out);
		hb_buf_add(out, e.body);
	} else if (hb_longest_line(e.body) <= HB_MAX_MAIL_LINE) {
		put_header(e.header, out);
		hb_buf_add(out, e.body);
	} else if (e.encoding == HB_MIME_NONE) {
		put_as_qp(&e, w->depth == 0, out);
	} else {
		put_header(e.header, out);
		put_encoded(e.body, e.encoding == HB_MIME_QP, out);
	}
}

void
hb_shorten_lines(struct hb_span wire, struct hb_buf *out)
{
	struct work w = { .wire = wire };

	put_entity(&w, out);
}
