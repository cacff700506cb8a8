/* The addresses of a header field. */
#include "config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/proto/addrlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address that was found is one address again, the same. */
static void
check_stable(struct hb_span address)
{
	struct hb_addrlist l = hb_addrlist(address);
	struct hb_buf again = HB_BUF_INIT(0);

	if (hb_addrlist_next(&l, &again) != 1 ||
	    !hb_span_eq(hb_buf_span(&again), address))
		abort();
	hb_buf_free(&again);
}

/* With domains put in once, there is nothing left to do. */
static void
check_qualified(struct hb_span value)
{
	struct hb_buf once = HB_BUF_INIT(0), twice = HB_BUF_INIT(0);

	hb_addrlist_qualify(value, HB_SPAN("h.test"), &once);
	hb_addrlist_qualify(hb_buf_span(&once), HB_SPAN("h.test"), &twice);
	if (!hb_span_eq(hb_buf_span(&once), hb_buf_span(&twice)))
		abort();
	hb_buf_free(&once);
	hb_buf_free(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_addrlist l = hb_addrlist(hb_span(data, size));
	struct hb_buf out = HB_BUF_INIT(0);
	int r;

	while ((r = hb_addrlist_next(&l, &out)) != 0)
		if (r > 0)
			check_stable(hb_buf_span(&out));
	hb_buf_free(&out);
	check_qualified(hb_span(data, size));
	return 0;
}
