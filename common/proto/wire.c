/* The wire form of a body.  Floor 1. */
#include "common/proto/wire.h"

#include "common/base/limits.h"

static const struct {
	unsigned bit;
	const char *text;
} faults[] = {
	{ HB_WIRE_DOT, "a line of the body is one dot" },
	{ HB_WIRE_CR, "a bare CR in the body" },
	{ HB_WIRE_LF, "a bare LF in the body" },
	{ HB_WIRE_NUL, "a NUL in the body" },
	{ HB_WIRE_LONG, "a line of the body is too long" },
	{ HB_WIRE_UNENDED, "the last line of the body has no end" },
};

void
hb_wire_init(struct hb_wire *w)
{
	memset(w, 0, sizeof(*w));
}

/* TEXT is (a part of) a line: no CR in it. */
static void
look_at_text(struct hb_wire *w, struct hb_span text)
{
	if (text.n == 0)
		return;
	if (hb_span_find(text, '\n') < text.n)
		w->seen |= HB_WIRE_LF;
	w->lone = w->line == 0 && text.n == 1 && text.p[0] == '.';
	if (w->line == 0 && text.p[0] == '.') {
		w->seen |= HB_WIRE_DOTTED;
		w->dots++;
	}
	w->line += text.n;
	if (w->line + 2 > HB_MAX_TEXT_LINE)
		w->seen |= HB_WIRE_LONG;
}

/* C follows a CR.  True: it was the LF of a line's end. */
static bool
after_cr(struct hb_wire *w, unsigned char c)
{
	w->cr = false;
	if (c == '\n') {
		if (w->lone)
			w->seen |= HB_WIRE_DOT;
		w->line = 0;
	} else {
		w->seen |= HB_WIRE_CR;
		w->line++;
	}
	w->lone = false;
	return c == '\n';
}

unsigned
hb_wire_feed(struct hb_wire *w, struct hb_span in)
{
	unsigned char all = 0;

	/* NUL and high bytes, of which it does not matter where they are. */
	if (hb_span_find(in, '\0') < in.n)
		w->seen |= HB_WIRE_NUL;
	for (size_t i = 0; i < in.n; i++)
		all |= in.p[i];
	if (all >= 128)
		w->seen |= HB_WIRE_8BIT;
	while (in.n > 0) {
		size_t n;

		if (w->cr && after_cr(w, in.p[0])) {
			in = hb_span_from(in, 1);
			continue;
		}
		n = hb_span_find(in, '\r');
		look_at_text(w, hb_span_head(in, n));
		w->cr = n < in.n;
		in = hb_span_from(in, n + 1);
	}
	return w->seen;
}

unsigned
hb_wire_end(struct hb_wire *w)
{
	if (w->cr)
		w->seen |= HB_WIRE_CR;
	if (w->cr || w->line > 0)
		w->seen |= HB_WIRE_UNENDED;
	return w->seen;
}

const char *
hb_wire_fault(unsigned seen)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(faults); i++)
		if ((seen & faults[i].bit) != 0)
			return faults[i].text;
	return "";
}
