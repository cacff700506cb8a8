/* Troubles that only the operator can end.  Floor 3. */
#include "config.h"

#include "common/io/trouble.h"

#include <stdlib.h>

#include "common/base/limits.h"

struct trouble {
	enum hb_event ev;
	char *what, *text;
};

static struct trouble list[HB_MAX_TROUBLES];
static size_t n_list;
static hb_trouble_fn tell;
static void *tell_ctx;

void
hb_trouble_tell(hb_trouble_fn fn, void *ctx)
{
	tell = fn;
	tell_ctx = ctx;
}

static struct trouble *
find(enum hb_event ev, struct hb_span what)
{
	for (size_t i = 0; i < n_list; i++)
		if (list[i].ev == ev &&
		    hb_span_eq(hb_span_str(list[i].what), what))
			return &list[i];
	return NULL;
}

void
hb_trouble_begin(enum hb_event ev, struct hb_span what, struct hb_span text)
{
	struct trouble *t;

	what = hb_span_head(what, HB_MAX_TROUBLE_TEXT);
	text = hb_span_head(text, HB_MAX_TROUBLE_TEXT);
	t = find(ev, what);
	if (t != NULL && hb_span_eq(hb_span_str(t->text), text))
		return;
	if (t == NULL) {
		/* More of them would tell the operator nothing new. */
		if (n_list == HB_MAX_TROUBLES)
			return;
		t = &list[n_list++];
		*t = (struct trouble){ .ev = ev, .what = hb_span_dup(what) };
	}
	free(t->text);
	t->text = hb_span_dup(text);
	if (tell != NULL)
		tell(tell_ctx, ev, true, what, text);
}

static void
end(struct trouble *t)
{
	struct trouble gone = *t;

	*t = list[--n_list];
	if (tell != NULL)
		tell(tell_ctx, gone.ev, false, hb_span_str(gone.what),
		    HB_SPAN_NONE);
	free(gone.what);
	free(gone.text);
}

void
hb_trouble_end(enum hb_event ev, struct hb_span what)
{
	struct trouble *t = n_list == 0 ? NULL
	    : find(ev, hb_span_head(what, HB_MAX_TROUBLE_TEXT));

	if (t != NULL)
		end(t);
}

void
hb_trouble_end_all(enum hb_event ev)
{
	for (size_t i = n_list; i-- > 0;)
		if (list[i].ev == ev)
			end(&list[i]);
}
