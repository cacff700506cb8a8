/*
 * Header sections, looked at for TLS-Required.  However a line is cut, the
 * answer is the same; and a second field, or a byte behind the word, always
 * makes it no.
 */
#include <stdlib.h>

#include "common/proto/header.h"
#include "common/proto/tlsrequired.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct hb_tlsrequired
look(struct hb_span header, size_t step)
{
	struct hb_tlsrequired t = { 0 };

	while (header.n > 0) {
		size_t n = hb_span_find(header, '\n') + 1;
		struct hb_span line = hb_span_head(header, n);
		size_t first = hb_span_find(line, ':') + step;

		header = hb_span_from(header, n);
		hb_tlsrequired_line(&t, hb_span_head(line, first));
		line = hb_span_from(line, first);
		for (; line.n > 0; line = hb_span_from(line, step))
			hb_tlsrequired_more(&t, hb_span_head(line, step));
	}
	return t;
}

static void
must_be(bool right)
{
	if (!right)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct hb_tlsrequired t = look(in, 1), again;
	bool no = hb_tlsrequired_is_no(&t);

	again = look(in, 1000);
	must_be(hb_tlsrequired_is_no(&again) == no);
	again = t;
	hb_tlsrequired_line(&again, HB_SPAN("tls-required: no"));
	must_be(!no || !hb_tlsrequired_is_no(&again));
	again = t;
	hb_tlsrequired_line(&again, HB_SPAN("A: b"));
	hb_tlsrequired_line(&again, HB_SPAN(" c"));
	must_be(hb_tlsrequired_is_no(&again) == no);
	return 0;
}
