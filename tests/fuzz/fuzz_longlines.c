/* Long lines of messages.  "~" of the input is a long run of bytes, so that
 * short seeds make long lines. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/base/limits.h"
#include "common/proto/longlines.h"
#include "common/proto/qp.h"
#include "tests/unit/qp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8192, REPEAT = 1100 };

/* Lines of wire form out of any bytes: LF ends a line, "~" is REPEAT "x". */
static void
make_wire(struct hb_span in, struct hb_buf *out)
{
	while (in.n > 0) {
		struct hb_span line = hb_span_cut(&in, '\n');

		if (line.n > 0 && line.p[0] == '.')
			hb_buf_adds(out, ".");
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '~')
				hb_buf_addf(out, "%0*d", REPEAT, 0);
			else if (line.p[i] != '\r')
				hb_buf_add(out, hb_span(line.p + i, 1));
		hb_buf_adds(out, "\r\n");
	}
}

/* No end of a message, and no line end by half. */
static void
check_wire(struct hb_span wire)
{
	while (wire.n > 0) {
		struct hb_span line = hb_span_cut(&wire, '\n');

		if (line.n == 0 || line.p[line.n - 1] != '\r' ||
		    hb_span_find(line, '\r') != line.n - 1 ||
		    hb_span_eq(line, HB_SPAN(".\r")))
			abort();
	}
}

static void
check_round_trip(struct hb_span line)
{
	struct hb_buf out = HB_BUF_INIT(0), back = HB_BUF_INIT(0);

	hb_qp_line(line, &out);
	if (!qp_decode(hb_buf_span(&out), &back) || back.n != line.n + 2 ||
	    !hb_span_eq(hb_span_head(hb_buf_span(&back), line.n), line))
		abort();
	hb_buf_free(&out);
	hb_buf_free(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_buf in = HB_BUF_INIT(0), once = HB_BUF_INIT(0),
		      twice = HB_BUF_INIT(0);

	if (size > INPUT_MAX)
		return 0;
	check_round_trip(hb_span(data, size));
	make_wire(hb_span(data, size), &in);
	hb_shorten_lines(hb_buf_span(&in), &once);
	check_wire(hb_buf_span(&once));
	if (hb_longest_line(hb_buf_span(&in)) <= HB_MAX_MAIL_LINE &&
	    !hb_span_eq(hb_buf_span(&in), hb_buf_span(&once)))
		abort();
	hb_shorten_lines(hb_buf_span(&once), &twice);
	if (!hb_span_eq(hb_buf_span(&once), hb_buf_span(&twice)))
		abort();
	hb_buf_free(&in);
	hb_buf_free(&once);
	hb_buf_free(&twice);
	return 0;
}
