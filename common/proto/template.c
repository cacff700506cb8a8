/* Templates of local delivery.  Floor 1. */
#include "common/proto/template.h"

/* The next % of *T with its letter, cut off with all before it; empty when
 * there is none. */
static struct hb_span
next_letter(struct hb_span *t)
{
	struct hb_span at = hb_span_from(*t, hb_span_find(*t, '%'));

	at = hb_span_head(at, 2);
	*t = at.n == 0 ? at
		       : hb_span_from(*t, (size_t)(at.p - t->p) + at.n);
	return at;
}

struct hb_span
hb_template_mistake(struct hb_span t)
{
	static const char letters[] = "udha%";
	struct hb_span at;

	do
		at = next_letter(&t);
	while (at.n == 2 &&
	    memchr(letters, at.p[1], sizeof(letters) - 1) != NULL);
	return at;
}

bool
hb_template_at_home(struct hb_span t)
{
	return hb_span_eq(hb_span_head(t, 2), HB_SPAN("%h")) ||
	    (t.n > 0 && t.p[0] == '~' && (t.n == 1 || t.p[1] == '/'));
}

bool
hb_template_has(struct hb_span t, char c)
{
	struct hb_span at;

	do
		at = next_letter(&t);
	while (at.n == 2 && at.p[1] != (unsigned char)c);
	return at.n == 2;
}
