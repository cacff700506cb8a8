/*
 * A client's two messages of SCRAM, and a verifier of the operator's file; a
 * line each.  What is taken can be written again; no proof of a stranger is
 * right.
 */
#include <stdlib.h>

#include "common/proto/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must_be(bool right)
{
	if (!right)
		abort();
}

static void
exchange(struct hb_span first, struct hb_span final, bool plus)
{
	struct hb_scram *s = hb_scram_new(plus);
	struct hb_scram_verifier v = { .iterations = 1 };
	unsigned char signature[HB_SHA256];
	struct hb_span say;

	if (hb_scram_first(s, first, plus) == 0) {
		must_be(s->user.n > 0 && s->user.n <= first.n);
		hb_scram_challenge(s, HB_SPAN("salt"), 4096, HB_SPAN("y"));
		say = hb_buf_span(&s->say);
		must_be(hb_span_eq(hb_span_head(say, 2), HB_SPAN("r=")));
		if (hb_scram_final(s, final, HB_SPAN("b")) == 0) {
			must_be(s->message.n <= HB_SCRAM_MESSAGE);
			must_be(!hb_scram_check(&v, hb_buf_span(&s->message),
			    s->proof, signature));
		}
	}
	hb_scram_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct hb_span first = hb_span_cut(&in, '\n');
	struct hb_span final = hb_span_cut(&in, '\n');
	struct hb_scram_verifier v;

	exchange(first, final, false);
	exchange(first, final, true);
	if (hb_scram_verifier_parse(in, &v) == 0)
		must_be(v.iterations > 0 && v.n_salt > 0 &&
		    v.n_salt <= HB_SCRAM_SALT);
	return 0;
}
