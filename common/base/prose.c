/* Wrapping text into lines.  Floor 0. */
#include "common/base/prose.h"

static size_t
columns(struct hb_span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

/* The next word of *REST, without the blanks before it; *GAP: their number. */
static struct hb_span
next_word(struct hb_span *rest, size_t *gap)
{
	struct hb_span word;
	size_t n;

	for (*gap = 0; rest->n > 0 && rest->p[0] == ' '; ++*gap)
		*rest = hb_span_from(*rest, 1);
	n = hb_span_find(*rest, ' ');
	word = hb_span_head(*rest, n);
	*rest = hb_span_from(*rest, n);
	return word;
}

void
hb_prose_wrap(struct hb_buf *out, struct hb_span text, const char *indent,
    const char *eol)
{
	size_t at = 0, gap;
	struct hb_span word;

	while ((word = next_word(&text, &gap)).n > 0) {
		if (at > 0 && at + gap + columns(word) <= HB_PROSE_WIDTH) {
			for (at += gap; gap > 0; gap--)
				hb_buf_adds(out, " ");
		} else {
			hb_buf_adds(out, at > 0 ? eol : "");
			hb_buf_adds(out, indent);
			at = strlen(indent);
		}
		hb_buf_add(out, word);
		at += columns(word);
	}
	if (at > 0)
		hb_buf_adds(out, eol);
}
