/* Replies of a hostile server: what is kept is bounded and printable. */
#include <stdlib.h>

#include "common/proto/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n), text;
	struct hb_reply r;
	int used;

	hb_reply_reset(&r);
	while (!r.done && (used = hb_reply_feed(&r, in)) > 0)
		in = hb_span_from(in, (size_t)used);
	text = hb_reply_text(&r);
	if (text.n > HB_MAX_REPLY_TEXT)
		abort();
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] < ' ' || text.p[i] > '~')
			abort();
	return 0;
}
