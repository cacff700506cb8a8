/*
 * A message on its way into a mailbox, and the lock files that lie there.  The
 * first byte says: form of the mailbox, and where the input is cut in two.
 */
#include <stdlib.h>
#include <string.h>

#include "delivery/local/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
filter(struct hb_span a, struct hb_span b, bool mbox, struct hb_buf *out)
{
	struct local_filter f;

	local_filter_init(&f, mbox);
	local_filter_feed(&f, a, out);
	local_filter_feed(&f, b, out);
	local_filter_end(&f, out);
}

static bool
begins_another(struct hb_span out)
{
	for (size_t i = 0; i + 5 <= out.n; i++)
		if ((i == 0 || out.p[i - 1] == '\n') &&
		    memcmp(out.p + i, "From ", 5) == 0)
			return true;
	return false;
}

/* Pieces change nothing; in an mbox no line begins another message. */
static void
check_filter(struct hb_span in, bool mbox, size_t at)
{
	struct hb_buf whole = HB_BUF_INIT(0), cut = HB_BUF_INIT(0);

	filter(in, HB_SPAN_NONE, mbox, &whole);
	filter(hb_span_head(in, at), hb_span_from(in, at), mbox, &cut);
	if (!hb_span_eq(hb_buf_span(&whole), hb_buf_span(&cut)))
		abort();
	if (mbox && begins_another(hb_buf_span(&whole)))
		abort();
	hb_buf_free(&whole);
	hb_buf_free(&cut);
}

static void
check_holder(struct hb_span in)
{
	struct hb_buf out = HB_BUF_INIT(0);
	struct local_holder h, back;

	local_holder_parse(in, &h);
	if (!h.ours || h.host.n == 0 || h.boot.n == 0)
		return;
	local_holder_put(&h, &out);
	local_holder_parse(hb_buf_span(&out), &back);
	if (!back.ours || back.pid != h.pid || back.writing != h.writing ||
	    (h.writing && back.size != h.size) || !hb_span_eq(back.first, h.first) ||
	    !hb_span_eq(back.host, h.host) || !hb_span_eq(back.boot, h.boot))
		abort();
	hb_buf_free(&out);
}

static void
check_scan(struct hb_span in, size_t at)
{
	struct local_scan whole = { .first = HB_SPAN("From a\n") };
	struct local_scan cut = whole;

	local_scan_feed(&whole, in);
	local_scan_feed(&cut, hb_span_head(in, at));
	local_scan_feed(&cut, hb_span_from(in, at));
	if (whole.foreign != cut.foreign)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span_from(hb_span(data, n), 1);
	size_t at;

	if (n == 0)
		return 0;
	at = (size_t)(data[0] >> 1) % (in.n + 1);
	check_filter(in, (data[0] & 1) != 0, at);
	check_holder(in);
	check_scan(in, at);
	return 0;
}
