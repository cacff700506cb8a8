/* Frames from a less trusted role: decode; what decodes must encode to bytes
 * that decode to the same. */
#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/ipc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	union hb_ipc_any msg, again;
	enum hb_ipc_type type, type2;
	struct hb_buf out = HB_BUF_INIT(0), out2 = HB_BUF_INIT(0);
	int used = hb_ipc_decode(hb_span(data, n), &type, &msg);

	if (used <= 0)
		return 0;
	if (hb_ipc_encode(type, &msg, &out) < 0 ||
	    hb_ipc_decode(hb_buf_span(&out), &type2, &again) != (int)out.n ||
	    hb_ipc_encode(type2, &again, &out2) < 0 ||
	    !hb_span_eq(hb_buf_span(&out), hb_buf_span(&out2)))
		abort();
	hb_buf_free(&out);
	hb_buf_free(&out2);
	return 0;
}
