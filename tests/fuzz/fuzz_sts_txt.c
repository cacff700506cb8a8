/* TXT records from the DNS: what is taken as an id must be one. */
#include <stdlib.h>

#include "common/base/err.h"
#include "sts/txt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span records[3], rest = hb_span(data, n), id;
	size_t count = 0;

	if (sts_txt_parse(rest, &id) == 0 &&
	    (id.n == 0 || id.n > STS_ID_MAX || id.p < data ||
		id.p + id.n > data + n))
		abort();
	while (rest.n > 0 && count < HB_ARRAY_LEN(records))
		records[count++] = hb_span_cut(&rest, '\n');
	if (sts_txt_pick(records, count, &id) == 0 && id.n == 0)
		abort();
	return 0;
}
