/* The configuration: what parses without a mistake is dumped to text that
 * parses to the same dump.  What stands behind a NUL is each file that is
 * included. */
#include <stdlib.h>

#include "common/base/err.h"
#include "common/proto/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct hb_span included;

static int
read_included(void *ctx, const char *path, struct hb_buf *content)
{
	if (included.n == 0)
		return -2;
	hb_buf_add(content, included);
	return 0;
}

static struct hb_conf *
parse(struct hb_span text, hb_conf_read_fn read, size_t *errors)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source src = { .file = "f", .dir = "/etc/mail",
		.text = text, .read = read, .default_hostname = "h.example" };
	struct hb_conf *c = hb_conf_parse(&src, &report);

	*errors = report.errors;
	hb_buf_free(&report.text);
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_buf one = HB_BUF_INIT(0), two = HB_BUF_INIT(0);
	struct hb_span in = hb_span(data, n);
	size_t errors, main_n = hb_span_find(in, 0);
	struct hb_conf *c, *again;

	included = hb_span_from(in, main_n + 1);
	c = parse(hb_span_head(in, main_n), read_included, &errors);
	if (errors == 0) {
		hb_conf_dump(c, &one);
		again = parse(hb_buf_span(&one), NULL, &errors);
		hb_conf_dump(again, &two);
		if (errors != 0 ||
		    !hb_span_eq(hb_buf_span(&one), hb_buf_span(&two)))
			abort();
		hb_conf_free(&again);
	}
	hb_conf_free(&c);
	hb_buf_free(&one);
	hb_buf_free(&two);
	return 0;
}
