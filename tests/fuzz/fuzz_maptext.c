/* The text of maps and the targets of aliases. */
#include "common/proto/maptext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
targets(struct hb_span value)
{
	struct hb_buf out = HB_BUF_INIT(0);

	while (hb_alias_next(&value, &out) > 0)
		;
	hb_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_maptext m;
	struct hb_span key, value;
	int r;

	for (int syntax = 0; syntax < 2; syntax++) {
		hb_maptext_init(&m, hb_span(data, n),
		    (enum hb_map_syntax)syntax);
		while ((r = hb_maptext_next(&m, &key, &value)) != 0)
			if (r > 0)
				targets(value);
		hb_maptext_free(&m);
	}
	return 0;
}
