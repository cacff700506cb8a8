/* Any bytes as a path; what parses prints and parses again as the same, and its
 * domain has A-labels or none. */
#include "config.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/proto/address.h"
#include "common/proto/idna.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
print_again(const struct hb_addr *a, unsigned flags)
{
	struct hb_buf one = HB_BUF_INIT(0), two = HB_BUF_INIT(0);
	struct hb_addr b;

	if (hb_addr_format(a, &one) < 0 ||
	    hb_addr_parse(hb_buf_span(&one), flags, &b) < 0 ||
	    hb_addr_format(&b, &two) < 0 ||
	    !hb_span_eq(hb_buf_span(&one), hb_buf_span(&two)) ||
	    one.n > HB_MAX_PATH)
		abort();
	hb_buf_free(&one);
	hb_buf_free(&two);
}

static void
make_alabels(const struct hb_addr *a, unsigned flags)
{
	struct hb_buf b = HB_BUF_INIT(HB_MAX_PATH);
	struct hb_span local, domain;
	struct hb_addr again;

	if (hb_addr_format(a, &b) < 0)
		abort();
	if (hb_idna_address(&b) == 0) {
		hb_addr_split(hb_buf_span(&b), &local, &domain);
		if (!hb_utf8_is_ascii(domain) ||
		    hb_addr_parse(hb_buf_span(&b), flags & ~HB_ADDR_IDN,
			&again) < 0)
			abort();
	}
	hb_buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span in = hb_span(data, size);
	struct hb_addr a;

	for (unsigned flags = 0; flags < 16; flags++) {
		int r = hb_addr_parse_path(in, flags, &a);

		if (r > 0 && (size_t)r > size)
			abort();
		/* what is wrong can be said */
		if ((r == HB_E_SYNTAX || r == HB_E_RANGE) &&
		    hb_addr_fault_text(a.fault)[0] == '\0')
			abort();
		if (r > 0)
			print_again(&a, flags);
		if (r > 0 && a.idn)
			make_alabels(&a, flags);
	}
	return 0;
}
