/*
 * What queue passes to the helper, and the head that the helper writes: its
 * lines are ours alone.  Input: lengths and bytes of the envelope and recipient
 * records.
 */
#include <stdlib.h>

#include "delivery/local/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
must(bool good)
{
	if (!good)
		abort();
}

static struct hb_span
part(struct hb_span *in)
{
	size_t n = in->n > 0 ? in->p[0] : 0;
	struct hb_span s = hb_span_head(hb_span_from(*in, 1), n);

	*in = hb_span_from(*in, n + 1);
	return s;
}

static void
check_head(struct hb_span out)
{
	must(hb_span_has_prefix_nocase(hb_span_cut(&out, '\n'),
	    HB_SPAN("From ")));
	must(hb_span_has_prefix_nocase(hb_span_cut(&out, '\n'),
	    HB_SPAN("Return-Path: <")));
	must(hb_span_has_prefix_nocase(hb_span_cut(&out, '\n'),
	    HB_SPAN("Delivered-To: ")));
	must(out.n == 0);
}

static void
check_record(struct hb_span env, struct hb_span rcpt)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_env e;
	struct hb_rcpt r;

	if (hb_tlv_decode(&hb_env_record, env, &e) < 0 ||
	    hb_tlv_decode(&hb_rcpt_record, rcpt, &r) < 0 ||
	    !local_may_be_head(&e, &r))
		return;
	local_from_line(&e, 1000, &out);
	local_head(&e, &r, &out);
	check_head(hb_buf_span(&out));
	hb_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n);
	struct hb_span env = part(&in), rcpt = part(&in);

	check_record(env, rcpt);
	return 0;
}
