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
	return 0;
}
