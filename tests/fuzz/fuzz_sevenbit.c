/* Messages made 7-bit, and binary data: the first byte says which and how the
 * input is cut. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/proto/sevenbit.h"
#include "common/proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines of wire form out of any bytes. */
static void
make_wire(struct hb_span in, struct hb_buf *out)
{
	while (in.n > 0) {
		struct hb_span line = hb_span_cut(&in, '\n');

		if (line.n > 0 && line.p[0] == '.')
			hb_buf_adds(out, ".");
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] != '\r' && line.p[i] != '\0')
				hb_buf_add(out, hb_span(line.p + i, 1));
		hb_buf_adds(out, "\r\n");
	}
}

static int
convert(struct hb_span in, bool octets, size_t step, struct hb_buf *out)
{
	struct hb_sevenbit m = { .depth = 0 };
	int r = 0;

	if (octets)
		hb_sevenbit_start_octets(&m);
	else
		hb_sevenbit_start(&m);
	while (r == 0 && in.n > 0) {
		struct hb_span piece = hb_span_head(in, step);

		r = hb_sevenbit_feed(&m, piece, out);
		in = hb_span_from(in, piece.n);
	}
	if (r == 0)
		r = hb_sevenbit_end(&m, out);
	hb_sevenbit_free(&m);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_buf wire = HB_BUF_INIT(0), one = HB_BUF_INIT(0),
		      two = HB_BUF_INIT(0);
	struct hb_wire w;
	bool octets = size > 0 && data[0] >= 128;
	int r;

	if (size < 2)
		return 0;
	if (octets)
		hb_buf_add(&wire, hb_span_from(hb_span(data, size), 1));
	else
		make_wire(hb_span_from(hb_span(data, size), 1), &wire);
	r = convert(hb_buf_span(&wire), octets, 1 + data[0] % 64, &one);
	if (convert(hb_buf_span(&wire), octets, wire.n, &two) != r)
		abort();
	if (octets && (r != 0 ||
	    !hb_span_eq(hb_buf_span(&one), hb_buf_span(&two))))
		abort();
	if (r == 0 && !octets) {
		hb_wire_init(&w);
		hb_wire_feed(&w, hb_buf_span(&one));
		if ((hb_wire_end(&w) & (HB_WIRE_UNSAFE | HB_WIRE_UNENDED |
			HB_WIRE_8BIT)) != 0)
			abort();
		if (!hb_span_eq(hb_buf_span(&one), hb_buf_span(&two)))
			abort();
	}
	hb_buf_free(&wire);
	hb_buf_free(&one);
	hb_buf_free(&two);
	return 0;
}
