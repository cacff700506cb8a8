/* DNS answers of a hostile resolver. */
#include <stdlib.h>

#include "common/proto/dnsmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum hb_dns_type types[] = { HB_DNS_A, HB_DNS_NS, HB_DNS_CNAME,
		HB_DNS_PTR, HB_DNS_MX, HB_DNS_TXT, HB_DNS_AAAA, HB_DNS_TLSA };
	struct hb_arena *arena = hb_arena_new();
	struct hb_dns_answer a;

	for (size_t i = 0; i < HB_ARRAY_LEN(types); i++) {
		int err = hb_dnsmsg_parse(hb_span(data, n), HB_SPAN("x.test"),
		    types[i], arena, &a);

		if (a.status == HB_DNS_OK ? err < 0 || a.n == 0 : a.n != 0)
			abort();
		hb_arena_reset(arena);
	}
	hb_arena_free(&arena);
	return 0;
}
