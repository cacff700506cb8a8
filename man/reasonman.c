/* Prints the list of reasons in hauberk-sts(7), from the list itself. */
#include <stdio.h>

#include "common/base/prose.h"
#include "common/proto/envelope.h"

static void
put_fault(struct hb_buf *out, enum hb_fault f)
{
	if (hb_fault_word(f)[0] == '\0')
		return;
	hb_buf_addf(out, "Fault:\n.Em %s .\n", hb_fault_word(f));
}

int
main(void)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct hb_span s;
	bool written;

	for (unsigned i = 0; i < HB_REASON_COUNT; i++) {
		enum hb_reason r = (enum hb_reason)i;

		if (hb_reason_word(r)[0] == '\0')
			continue;
		hb_buf_addf(&out, ".It %s\n", hb_reason_word(r));
		hb_prose_wrap(&out, hb_span_str(hb_reason_text(r)), "", "\n");
		hb_buf_truncate(&out, out.n - 1);
		hb_buf_adds(&out, ".\n");
		hb_prose_wrap(&out, hb_span_str(hb_reason_advice(r)), "", "\n");
		put_fault(&out, hb_reason_fault(r));
	}
	s = hb_buf_span(&out);
	written = fwrite(s.p, 1, s.n, stdout) == s.n && fflush(stdout) == 0;
	hb_buf_free(&out);
	return written ? 0 : 1;
}
