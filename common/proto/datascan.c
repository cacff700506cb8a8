/* Scanner of a message's bytes.  Floor 1.  RFC 5321 s4.1.1.4, s4.5.2. */
#include "common/proto/datascan.h"

#include "common/base/limits.h"
#include "common/proto/header.h"

enum { HEADER_LINE_WAIT = 4096 }; /* a longer line is taken in parts */

void
hb_datascan_init(struct hb_datascan *d)
{
	memset(d, 0, sizeof(*d));
}

/* Length of the line at the front of S with its end, or 0: none ends here. */
static size_t
line_length(const struct hb_datascan *d, struct hb_span s)
{
	size_t from = 0;

	for (;;) {
		size_t lf = from + hb_span_find(hb_span_from(s, from), '\n');

		if (lf >= s.n)
			return 0;
		if (d->lf_ends || (lf > 0 && s.p[lf - 1] == '\r'))
			return lf + 1;
		from = lf + 1;
	}
}

static void
count_field(struct hb_datascan *d, struct hb_span line)
{
	if (hb_header_is(line, "Received"))
		d->hops++;
	else if (hb_header_is(line, "Date"))
		d->has_date = true;
	else if (hb_header_is(line, "Message-ID"))
		d->has_message_id = true;
	else if (hb_header_is(line, "From"))
		d->has_from = true;
}

/* mbox's separator, which some programs leave in front of the header. */
static bool
is_mbox_line(struct hb_span line)
{
	return hb_span_eq(hb_span_head(line, 5), HB_SPAN("From ")) ||
	    hb_span_eq(hb_span_head(line, 6), HB_SPAN(">From "));
}

/* LINE, or its beginning, is of the header section; true: that is over. */
static bool
look_at_header(struct hb_datascan *d, struct hb_span line,
    struct hb_data_piece *out)
{
	bool first = d->bytes + out->body == 0;

	hb_tlsrequired_line(&d->tls_required, line);
	switch (hb_header_classify(line)) {
	case HB_HEADER_FIELD:
		count_field(d, line);
		break;
	case HB_HEADER_FOLDED:
		break;
	case HB_HEADER_END:
		d->headers_over = true;
		break;
	case HB_HEADER_GARBAGE:
		d->no_headers = first && !is_mbox_line(line);
		d->headers_over = d->no_headers;
		break;
	}
	out->headers_end = d->headers_over;
	return d->headers_over;
}

/*
 * How much of S, whose line has no end yet, can be taken: not what may be
 * CRLF or the final dot, and no short header line.
 */
static size_t
partial_length(const struct hb_datascan *d, struct hb_span s)
{
	size_t n = s.n;

	if (!d->mid_line && !d->headers_over && n < HEADER_LINE_WAIT)
		return 0;
	if (d->no_dot)
		return n;
	if (!d->counted && !d->mid_line && n <= 2 && n > 0 && s.p[0] == '.' &&
	    (n == 1 || s.p[1] == '\r'))
		return 0;
	return n > 0 && s.p[n - 1] == '\r' ? n - 1 : n;
}

/* TEXT may be the next part of a long header line. */
static void
go_on_with_field(struct hb_datascan *d, struct hb_span text)
{
	if (d->mid_line && !d->headers_over)
		hb_tlsrequired_more(&d->tls_required, text);
}

/* Does LINE, or its beginning, get a dot in front? */
static bool
needs_dot(const struct hb_datascan *d, struct hb_span line)
{
	if (d->mid_line || line.p[0] != '.')
		return false;
	return d->counted ||
	    (d->lf_ends && (d->after_lf || (line.n == 2 && line.p[1] == '\n')));
}

static bool
ends_bare(struct hb_span line)
{
	return line.n < 2 || line.p[line.n - 2] != '\r';
}

/* LINE is the next of the input (WHOLE) or its beginning.  One that is changed
 * makes a piece by itself; what is left for the next call is not counted yet.
 * True: the piece goes on. */
static bool
take(struct hb_datascan *d, struct hb_span line, bool whole,
    struct hb_data_piece *out)
{
	bool stuff = needs_dot(d, line), lf = whole && ends_bare(line);

	if ((stuff || lf) && out->body > 0)
		return false;
	if (!d->mid_line && !d->headers_over && look_at_header(d, line, out))
		return false;
	out->stuff = stuff;
	out->lf = lf;
	if (whole) {
		go_on_with_field(d, hb_span_head(line, line.n - (lf ? 1 : 2)));
		d->after_lf = lf;
	} else {
		go_on_with_field(d, line);
	}
	d->mid_line = !whole;
	out->body += line.n;
	return whole && !stuff && !lf;
}

/* BODY counts as it is kept: with the dot and the CR that it gets. */
static void
count_kept(struct hb_datascan *d, const struct hb_data_piece *out,
    struct hb_span body)
{
	d->bytes += body.n + (out->stuff ? 1 : 0) + (out->lf ? 1 : 0);
	if (out->stuff)
		hb_wire_feed(&d->wire, HB_SPAN("."));
	hb_wire_feed(&d->wire, hb_span_head(body, body.n - (out->lf ? 1 : 0)));
	if (out->lf)
		hb_wire_feed(&d->wire, HB_SPAN("\r\n"));
}

struct hb_data_piece
hb_datascan(struct hb_datascan *d, struct hb_span in)
{
	struct hb_data_piece out = { 0 };
	bool more = true;

	while (more && out.body < in.n) {
		struct hb_span s = hb_span_from(in, out.body);
		size_t n = line_length(d, s);
		size_t ready = n > 0 ? n : partial_length(d, s);

		out.end = !d->no_dot && !d->counted && !d->mid_line &&
		    !d->after_lf && n == 3 &&
		    hb_span_eq(hb_span_head(s, 3), HB_SPAN(".\r\n"));
		more = !out.end && ready > 0 &&
		    take(d, hb_span_head(s, ready), n > 0, &out);
	}
	out.used = out.body + (out.end ? 3 : 0);
	count_kept(d, &out, hb_span_head(in, out.body));
	return out;
}

void
hb_datascan_put(const struct hb_data_piece *piece, struct hb_span body,
    struct hb_buf *out)
{
	if (piece->stuff)
		hb_buf_adds(out, ".");
	hb_buf_add(out, hb_span_head(body, body.n - (piece->lf ? 1 : 0)));
	if (piece->lf)
		hb_buf_adds(out, "\r\n");
}
