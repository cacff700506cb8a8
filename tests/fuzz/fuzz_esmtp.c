/* Any bytes as a command line, and as each of the grammars inside. */
#include "config.h"

#include <stdlib.h>

#include "common/proto/base64.h"
#include "common/proto/esmtp.h"
#include "common/proto/header.h"
#include "common/proto/status.h"
#include "common/proto/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*codec)(struct hb_span in, struct hb_buf *out);

/* What decodes and is encoded decodes to the same. */
static void
there_and_back(struct hb_span in, codec decode, codec encode)
{
	struct hb_buf a = HB_BUF_INIT(0), b = HB_BUF_INIT(0),
		      c = HB_BUF_INIT(0);

	if (decode(in, &a) == 0 &&
	    (encode(hb_buf_span(&a), &b) < 0 ||
		decode(hb_buf_span(&b), &c) < 0 ||
		!hb_span_eq(hb_buf_span(&a), hb_buf_span(&c))))
		abort();
	hb_buf_free(&a);
	hb_buf_free(&b);
	hb_buf_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hb_span in = hb_span(data, size), verb, args, rest;
	struct hb_addr path;
	struct hb_params p;

	if (hb_command_split(in, &verb, &args) == 0 &&
	    hb_command_path(args, HB_SPAN("FROM:"), HB_ADDR_NULL, &path,
		&rest) == 0 &&
	    hb_params_parse(rest, HB_PARAM_FOR_MAIL, ~0u, &p) == 0 &&
	    p.envid.n > HB_MAX_ENVID)
		abort();
	if (hb_params_parse(in, HB_PARAM_FOR_RCPT, ~0u, &p) == 0 &&
	    p.orcpt.n > HB_MAX_ORCPT)
		abort();
	if (hb_header_classify(in) == HB_HEADER_FIELD &&
	    hb_header_name(in).n == 0)
		abort();
	if (hb_status_at_front(in, 550) > size)
		abort();
	there_and_back(in, hb_base64_decode, hb_base64_encode);
	there_and_back(in, hb_xtext_decode, hb_xtext_encode);
	return 0;
}
