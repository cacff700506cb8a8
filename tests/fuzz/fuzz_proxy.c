/*
 * PROXY headers.  Who needs more gets the same answer when the rest comes; the
 * bytes behind a header change nothing; no answer lies outside of the input.
 */
#include <stdlib.h>

#include "common/base/limits.h"
#include "common/proto/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_proxy whole, part;
	int r = hb_proxy_parse(hb_span(data, n), &whole);

	if (r > (int)n || r > HB_MAX_PROXY_HEADER ||
	    (r == 0 && n >= HB_MAX_PROXY_HEADER) ||
	    (r <= 0 && whole.client.family != 0))
		abort();
	for (size_t i = 0; i < n && i < HB_MAX_PROXY_HEADER; i++) {
		int p = hb_proxy_parse(hb_span(data, i), &part);

		/* a part is never more than what has come */
		if (p > 0 && (p > (int)i || p != r))
			abort();
		if (r > 0 && (int)i < r && p != 0)
			abort();
		if (r > 0 && (int)i >= r && (p != r ||
		    !hb_netaddr_eq(&part.client, &whole.client)))
			abort();
	}
	return 0;
}
