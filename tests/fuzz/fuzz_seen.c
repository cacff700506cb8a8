/* Records of the best channels seen: what is taken comes back the same. */
#include <stdlib.h>

#include "delivery/smtp/seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(const struct dlv_notes *n)
{
	if (n->nmx > DLV_SEEN_MXS || n->domain.best == HB_RANK_NONE ||
	    n->domain.best >= HB_RANK_COUNT)
		abort();
	for (size_t i = 0; i < n->nmx; i++)
		if (n->mx[i].name.n == 0 || n->mx[i].name.n > HB_MAX_DOMAIN ||
		    n->mx[i].sight.best == HB_RANK_NONE)
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_buf out = HB_BUF_INIT(0), again = HB_BUF_INIT(0);
	struct dlv_notes notes, back;
	struct dlv_seen *seen;

	if (dlv_notes_decode(hb_span(data, n), &notes) < 0)
		return 0;
	check(&notes);
	dlv_notes_encode(&notes, &out);
	if (dlv_notes_decode(hb_buf_span(&out), &back) < 0)
		abort();
	seen = dlv_seen_new(&back);
	dlv_notes_of(seen, &back);
	dlv_notes_encode(&back, &again);
	if (!hb_span_eq(hb_buf_span(&out), hb_buf_span(&again)))
		abort();
	dlv_seen_release(&seen);
	hb_buf_free(&out);
	hb_buf_free(&again);
	return 0;
}
