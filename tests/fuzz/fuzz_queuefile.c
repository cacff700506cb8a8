/*
 * Files of waiting mail: any bytes are read without harm, however they are
 * cut.  As random bytes hardly ever pass a check, the input is also taken as
 * payloads: a type, a length, bytes; these become a file that is read back,
 * and what is taken in of it is canonical.
 */
#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/intake.h"
#include "common/proto/queuefile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool good)
{
	if (!good)
		abort();
}

static void
take(const struct hb_qf_item *it)
{
	struct hb_arena *a = hb_arena_new();
	struct hb_env e = it->env;
	struct hb_rcpt r;

	if (it->type == HB_QF_MSG && hb_intake_env(&e, a) == 0)
		must(hb_intake_is_path(e.sender) && hb_intake_is_text(e.user));
	if (it->type == HB_QF_RCPT &&
	    hb_intake_moved_rcpt(&it->rcpt, a, &r) == 0)
		must(hb_intake_is_path(r.address) &&
		    hb_intake_is_path(r.original) &&
		    hb_intake_is_path(r.owner) && hb_intake_is_text(r.route) &&
		    ((r.flags & HB_RCPT_EXPANDED) != 0) == (r.route.n > 0));
	if (it->type == HB_QF_BODY)
		must(it->body.n > 0 && it->body.n <= HB_QF_PAYLOAD);
	hb_arena_free(&a);
}

/* Where reading ends, in parts of STEP bytes. */
static uint64_t
read_all(struct hb_span in, size_t step)
{
	struct hb_qf_reader r = { .at = 0 };
	struct hb_qf_item it;
	size_t end = 0;

	for (;;) {
		int used = hb_qf_read(&r, hb_span_from(hb_span_head(in, end),
		    (size_t)r.at), &it);

		if (used < 0 || (used == 0 && end == in.n))
			return r.at;
		if (used > 0)
			take(&it);
		else
			end = end + step < in.n ? end + step : in.n;
		must(r.at <= in.n);
	}
}

static void
read_both(struct hb_span in)
{
	must(read_all(in, in.n + 1) == read_all(in, 11));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span s = hb_span(data, size);
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_qf_writer w = { .begun = false };

	read_both(s);
	while (s.n >= 2) {
		enum hb_qf_type t = (enum hb_qf_type)(
		    1 + s.p[0] % (HB_QF_COUNT - 1));
		size_t n = s.p[1];

		s = hb_span_from(s, 2);
		hb_qf_put(&w, t, hb_span_head(s, n), &out);
		s = hb_span_from(s, n);
	}
	read_both(hb_buf_span(&out));
	hb_buf_free(&out);
	return 0;
}
