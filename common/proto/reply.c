#include "common/proto/reply.h"

#include "common/base/err.h"
#include "common/proto/status.h"

void
hb_reply_reset(struct hb_reply *r)
{
	r->code = r->lines = 0;
	r->done = r->last = r->mid_line = false;
	r->line = HB_SPAN_NONE;
	r->status[0] = '\0';
	r->ntext = 0;
}

struct hb_span
hb_reply_text(const struct hb_reply *r)
{
	return hb_span(r->text, r->ntext);
}

static void
add_text(struct hb_reply *r, struct hb_span s)
{
	if (r->ntext > 0 && s.n > 0 && r->ntext < sizeof(r->text))
		r->text[r->ntext++] = ' ';
	for (size_t i = 0; i < s.n && r->ntext < sizeof(r->text); i++) {
		bool plain = s.p[i] >= ' ' && s.p[i] < 0x7f;

		r->text[r->ntext++] = plain ? (char)s.p[i] : '?';
	}
}

/* The enhanced code stands in front of each line, RFC 2034 s4; in a text of
 * all lines once is enough. */
static struct hb_span
without_status(const struct hb_reply *r)
{
	return hb_span_trim(hb_span_from(r->line,
	    hb_status_at_front(r->line, r->code)));
}

static int
read_code(struct hb_span line, unsigned *out)
{
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' ||
	    !hb_is_digit(line.p[1]) || !hb_is_digit(line.p[2]))
		return HB_E_SYNTAX;
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return HB_E_SYNTAX;
	*out = (unsigned)(line.p[0] - '0') * 100 +
	    (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
	return 0;
}

static int
take_line(struct hb_reply *r, struct hb_span line)
{
	unsigned code;
	int err = read_code(line, &code);

	if (err < 0)
		return err;
	/* The codes of all lines must agree, RFC 5321 s4.2.1; where they do
	 * not, the last one would let a server say two things at once. */
	if (r->lines > 0 && code != r->code)
		return HB_E_SYNTAX;
	r->code = code;
	r->last = line.n == 3 || line.p[3] == ' ';
	r->line = hb_span_from(line, 4);
	if (r->lines == 0) {
		/* Not of all lines: the first one says it, RFC 2034 s4. */
		size_t n = hb_status_at_front(r->line, r->code);

		if (n > 0) /* a code alone has no text to point to */
			memcpy(r->status, r->line.p, n);
		r->status[n] = '\0';
	}
	add_text(r, r->lines == 0 ? r->line : without_status(r));
	return 0;
}

int
hb_reply_feed(struct hb_reply *r, struct hb_span in)
{
	struct hb_span line = hb_span_head(in, HB_MAX_REPLY_LINE);
	size_t end = hb_span_find(line, '\n');
	bool whole = end < line.n;
	int err = 0;

	if (!whole && line.n < HB_MAX_REPLY_LINE)
		return 0;
	if (r->lines >= HB_MAX_REPLY_LINES)
		return HB_E_LIMIT;
	/* A bare LF ends a line here: nothing can be smuggled in a reply, and
	 * such servers exist. */
	if (whole && end > 0 && line.p[end - 1] == '\r')
		end--;
	r->line = HB_SPAN_NONE;
	if (!r->mid_line)
		err = take_line(r, hb_span_head(line, end));
	if (err < 0)
		return err;
	r->lines++;
	r->mid_line = !whole;
	r->done = whole && r->last;
	return (int)(whole ? hb_span_find(line, '\n') + 1 : line.n);
}
