/* Files of the maildrop: any bytes are read without harm. */
#include "common/base/err.h"
#include "common/proto/maildrop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span s = hb_span(data, size), rcpts;
	struct hb_drop_head h;
	struct hb_env env;
	struct hb_rcpt r;

	if (hb_drop_head_parse(s, &h) < 0)
		return 0;
	s = hb_span_from(s, HB_DROP_HEAD);
	(void)!hb_drop_env(hb_span_head(s, h.env_n), &env);
	rcpts = hb_span_head(hb_span_from(s, h.env_n), h.rcpts_n);
	while (hb_drop_rcpt(&rcpts, &r) > 0)
		if (r.address.n > HB_MAX_PATH)
			__builtin_trap();
	(void)hb_drop_is_name(s);
	return 0;
}
