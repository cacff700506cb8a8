/*
 * Packets of filters: what is taken could stand in a message or a reply, and
 * no answer lies outside of the input.
 */
#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/milter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_inside(struct hb_span all, struct hb_span part)
{
	if (part.n > 0 && (part.p < all.p || part.p + part.n > all.p + all.n))
		abort();
}

/* Line by line no other field, no end of the header section, no bare CR. */
static void
check_field(const struct hb_milter_says *s)
{
	struct hb_span rest = s->value;
	bool first = true;

	for (size_t i = 0; i < s->name.n; i++)
		if (s->name.p[i] <= ' ' || s->name.p[i] == ':')
			abort();
	while (rest.n > 0) {
		struct hb_span line = hb_span_cut(&rest, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (hb_span_find(line, '\r') < line.n ||
		    hb_span_find(line, '\0') < line.n ||
		    (!first && hb_span_trim(line).n == 0) ||
		    (!first && line.p[0] != ' ' && line.p[0] != '\t'))
			abort();
		first = false;
	}
}

static void
check_words(struct hb_span value)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_milter_words w;

	if (hb_milter_words(value, &w, &text) == 0 &&
	    (w.code < 400 || w.code > 599 || text.n > value.n ||
		hb_span_find(hb_buf_span(&text), '\r') < text.n))
		abort();
	hb_buf_free(&text);
}

static void
check_packet(struct hb_span in, const struct hb_milter_packet *p)
{
	struct hb_milter_terms offer = { .version = HB_MILTER_VERSION,
		.may = HB_MILTER_MAY_ALL, .steps = hb_milter_all_steps() }, t;
	struct hb_milter_says s;

	check_inside(in, p->data);
	if (hb_milter_terms(p, &offer, &t) == 0 &&
	    (t.version > offer.version || (t.steps & ~offer.steps) != 0))
		abort();
	if (hb_milter_says(p, &s) < 0)
		return;
	check_inside(p->data, s.name);
	check_inside(p->data, s.value);
	check_inside(p->data, s.args);
	if (s.name.n > 0)
		check_field(&s);
	check_words(s.value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct hb_milter_packet p;
	int r;

	while ((r = hb_milter_packet(in, &p)) > 0) {
		if ((size_t)r > in.n || r < HB_MILTER_FRAME + 1)
			abort();
		check_packet(in, &p);
		in = hb_span_from(in, (size_t)r);
	}
	return 0;
}
