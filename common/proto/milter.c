/* Packets of mail filters.  Floor 1. */
#include "common/proto/milter.h"

#include "common/base/err.h"

enum form { NOTHING, TEXT, FIELD, NUMBERED, PATH, BYTES };

static const struct {
	char letter;
	enum form form;
	uint32_t allowed;
} sayings[] = {
#define X(sym, letter, form, allowed) { (letter), (form), (allowed) },
	HB_MILTER_SAYINGS(X)
#undef X
};

static const struct hb_milter_step_info steps[] = {
#define X(sym, word, letter, no, silent, since, moment)                        \
	{ (word), (letter), (no), (silent), (since), (moment) },
	HB_MILTER_STEPS(X)
#undef X
};

struct hb_milter_step_info
hb_milter_step_info(enum hb_milter_step step)
{
	return steps[step];
}

uint32_t
hb_milter_all_steps(void)
{
	uint32_t all = HB_MILTER_CAN_SKIP | HB_MILTER_WANTS_REFUSED |
	    HB_MILTER_KEEPS_SPACE;

	for (size_t i = 0; i < HB_ARRAY_LEN(steps); i++)
		all |= steps[i].unwanted | steps[i].silent;
	return all;
}

/* --- reading --- */

static uint32_t
number(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

/* Cuts a number off the front of *REST. */
static bool
take_number(struct hb_span *rest, uint32_t *out)
{
	if (rest->n < 4)
		return false;
	*out = number(hb_span_take(rest, 4).p);
	return true;
}

/* The same with a text and its NUL. */
static bool
take_text(struct hb_span *rest, struct hb_span *out)
{
	size_t end = hb_span_find(*rest, '\0');

	if (end == rest->n)
		return false;
	*out = hb_span_take(rest, end);
	*rest = hb_span_from(*rest, 1);
	return true;
}

int
hb_milter_packet(struct hb_span in, struct hb_milter_packet *out)
{
	uint32_t n;

	if (in.n < HB_MILTER_FRAME)
		return 0;
	n = number(in.p);
	if (n == 0)
		return HB_E_SYNTAX;
	if (n > HB_MAX_MILTER_PACKET)
		return HB_E_RANGE;
	if (in.n - HB_MILTER_FRAME < n)
		return 0;
	out->letter = (char)in.p[HB_MILTER_FRAME];
	out->data = hb_span(in.p + HB_MILTER_FRAME + 1, n - 1);
	return (int)(HB_MILTER_FRAME + n);
}

/* RFC 5322 s3.6.8 */
static bool
is_field_name(struct hb_span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 127 || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* Could S end the header section, or begin a field of its own?  A line of
 * blanks alone would end it for some. */
static bool
is_field_value(struct hb_span s)
{
	bool first = true;

	while (s.n > 0) {
		struct hb_span line = hb_span_cut(&s, '\n');
		size_t cr;

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		cr = hb_span_find(line, '\r');
		if (cr < line.n || (!first && (line.n == 0 ||
		    !hb_is_blank(line.p[0]) || hb_span_trim(line).n == 0)))
			return false;
		first = false;
	}
	return true;
}

static bool
is_one_line(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

static bool
read_field(struct hb_span rest, struct hb_milter_says *out)
{
	return take_text(&rest, &out->name) && take_text(&rest, &out->value) &&
	    rest.n == 0 && is_field_name(out->name) &&
	    is_field_value(out->value);
}

static bool
read_path(struct hb_span rest, struct hb_milter_says *out)
{
	return take_text(&rest, &out->value) &&
	    (rest.n == 0 || take_text(&rest, &out->args)) && rest.n == 0 &&
	    is_one_line(out->value) && is_one_line(out->args);
}

static bool
read_text(struct hb_span rest, struct hb_milter_says *out)
{
	if (!take_text(&rest, &out->value) || rest.n > 0)
		return false;
	return (out->what != HB_MILTER_SAYS_ADD_RCPT &&
		   out->what != HB_MILTER_SAYS_DELETE_RCPT) ||
	    is_one_line(out->value);
}

int
hb_milter_says(const struct hb_milter_packet *p, struct hb_milter_says *out)
{
	struct hb_span rest = p->data;
	size_t i = 0;
	bool ok = true;

	while (i < HB_ARRAY_LEN(sayings) && sayings[i].letter != p->letter)
		i++;
	if (i == HB_ARRAY_LEN(sayings))
		return HB_E_UNSUPPORTED;
	*out = (struct hb_milter_says){ .what = (enum hb_milter_saying)i,
		.allowed = sayings[i].allowed };
	switch (sayings[i].form) {
	case NOTHING:
		break;
	case TEXT:
		ok = read_text(rest, out);
		break;
	case FIELD:
		ok = read_field(rest, out);
		break;
	case NUMBERED:
		ok = take_number(&rest, &out->index) && read_field(rest, out);
		break;
	case PATH:
		ok = read_path(rest, out);
		break;
	case BYTES:
		out->value = rest;
		break;
	}
	return ok ? 0 : HB_E_SYNTAX;
}

/* --- a reply to the client --- */

/* An enhanced status code of CLASS and the blank behind it at the front of
 * *LINE, RFC 2034 s4; empty: there is none.  False: one of another class. */
static bool
take_status(struct hb_span *line, unsigned char class, struct hb_span *out)
{
	struct hb_span rest = *line, word = hb_span_cut(&rest, ' ');
	unsigned dots = 0, digits = 0;

	*out = HB_SPAN_NONE;
	for (size_t i = 0; i < word.n; i++) {
		bool dot = word.p[i] == '.';

		if (dot ? digits == 0 : !hb_is_digit(word.p[i]) || digits == 3)
			return true;
		dots += dot ? 1 : 0;
		digits = dot ? 0 : digits + 1;
	}
	if (dots != 2 || digits == 0 || word.p[1] != '.')
		return true;
	if (word.p[0] != class)
		return false;
	*out = word;
	*line = rest;
	return true;
}

/* Filters write a percent sign twice. */
static void
put_line(struct hb_span line, struct hb_buf *text)
{
	for (size_t i = 0; i < line.n; i++) {
		hb_buf_add(text, hb_span(line.p + i, 1));
		if (line.p[i] == '%' && i + 1 < line.n && line.p[i + 1] == '%')
			i++;
	}
}

/* One line of a reply; *LAST: no other follows. */
static bool
read_line(struct hb_span line, struct hb_milter_words *out, bool *last,
    struct hb_buf *text)
{
	struct hb_span digits = hb_span_head(line, 3), status;
	uint64_t code;

	if (digits.n < 3 || hb_span_u64(digits, 599, &code) < 0 ||
	    code < 400 || (out->code != 0 && code != out->code) ||
	    hb_span_find(line, '\r') < line.n ||
	    hb_span_find(line, '\n') < line.n)
		return false;
	*last = line.n == 3 || line.p[3] == ' ';
	if (!*last && line.p[3] != '-')
		return false;
	line = hb_span_from(line, 4);
	if (!take_status(&line, digits.p[0], &status))
		return false;
	if (out->code == 0)
		out->status = status;
	else
		hb_buf_adds(text, "\n");
	out->code = (unsigned)code;
	put_line(line, text);
	return true;
}

int
hb_milter_words(struct hb_span value, struct hb_milter_words *out,
    struct hb_buf *text)
{
	bool last = false;
	unsigned n = 0;

	*out = (struct hb_milter_words){ 0 };
	while (value.n > 0) {
		size_t end = hb_span_search(value, HB_SPAN("\r\n"));

		if (last || n++ == HB_MILTER_LINES ||
		    !read_line(hb_span_head(value, end), out, &last, text))
			return HB_E_SYNTAX;
		value = hb_span_from(value, end + 2);
	}
	return last ? 0 : HB_E_SYNTAX;
}

/* --- what both agree on --- */

/* Lists of symbols: the number of the moment, and a text. */
static bool
read_symbols(struct hb_span rest, struct hb_milter_terms *out)
{
	while (rest.n > 0) {
		struct hb_span names;
		uint32_t moment;

		if (!take_number(&rest, &moment) || !take_text(&rest, &names) ||
		    moment >= HB_MILTER_MOMENTS || !is_one_line(names))
			return false;
		/* an empty list is one, too: no symbols there */
		out->symbols[moment] = names;
	}
	return true;
}

int
hb_milter_terms(const struct hb_milter_packet *p,
    const struct hb_milter_terms *offer, struct hb_milter_terms *out)
{
	struct hb_span rest = p->data;

	*out = (struct hb_milter_terms){ 0 };
	if (p->letter != 'O' || !take_number(&rest, &out->version) ||
	    !take_number(&rest, &out->may) || !take_number(&rest, &out->steps))
		return HB_E_SYNTAX;
	if (out->version < HB_MILTER_OLDEST || out->version > offer->version ||
	    (out->may & ~offer->may) != 0 || (out->steps & ~offer->steps) != 0)
		return HB_E_UNSUPPORTED;
	return read_symbols(rest, out) ? 0 : HB_E_SYNTAX;
}

/* --- writing --- */

static void
put_number(struct hb_buf *out, uint32_t v)
{
	unsigned char b[4] = { (unsigned char)(v >> 24),
		(unsigned char)(v >> 16), (unsigned char)(v >> 8),
		(unsigned char)v };

	hb_buf_add(out, hb_span(b, sizeof(b)));
}

size_t
hb_milter_begin(struct hb_buf *out, char letter)
{
	size_t begun = out->n;

	put_number(out, 0);
	hb_buf_add(out, hb_span(&letter, 1));
	return begun;
}

void
hb_milter_end(struct hb_buf *out, size_t begun)
{
	size_t n = out->n - begun - HB_MILTER_FRAME;
	unsigned char *p = out->p + out->off + begun;

	for (size_t i = 0; i < HB_MILTER_FRAME; i++)
		p[i] = (unsigned char)(n >> (24 - 8 * i));
}

void
hb_milter_put_text(struct hb_buf *out, struct hb_span text)
{
	while (text.n > 0)
		hb_buf_add(out, hb_span_cut(&text, '\0'));
	hb_buf_add(out, hb_span("", 1));
}

void
hb_milter_put(struct hb_buf *out, char letter)
{
	hb_milter_end(out, hb_milter_begin(out, letter));
}

void
hb_milter_put_offer(const struct hb_milter_terms *offer, struct hb_buf *out)
{
	size_t begun = hb_milter_begin(out, 'O');

	put_number(out, offer->version);
	put_number(out, offer->may);
	put_number(out, offer->steps);
	hb_milter_end(out, begun);
}

void
hb_milter_put_client(struct hb_buf *out, const struct hb_milter_client *c)
{
	size_t begun = hb_milter_begin(out, 'C');
	unsigned char where[3] = { c->is_v6 ? '6' : '4',
		(unsigned char)(c->port >> 8), (unsigned char)c->port };

	hb_milter_put_text(out, c->name);
	hb_buf_add(out, hb_span(where, sizeof(where)));
	hb_milter_put_text(out, c->address);
	hb_milter_end(out, begun);
}

void
hb_milter_put_field(struct hb_buf *out, struct hb_span name,
    struct hb_span value, bool keeps)
{
	size_t begun = hb_milter_begin(out, 'L');

	name = hb_span_head(name, HB_MILTER_CHUNK / 2);
	hb_milter_put_text(out, name);
	if (!keeps && value.n > 0 && value.p[0] == ' ')
		value = hb_span_from(value, 1);
	value = hb_span_head(value, HB_MILTER_CHUNK - name.n - 2);
	/* lines end with LF here, the last with nothing */
	while (value.n > 0) {
		struct hb_span line = hb_span_cut(&value, '\r');

		for (; line.n > 0; )
			hb_buf_add(out, hb_span_cut(&line, '\0'));
	}
	hb_buf_add(out, hb_span("", 1));
	hb_milter_end(out, begun);
}
