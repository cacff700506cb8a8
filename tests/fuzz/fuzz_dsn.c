/*
 * DSNs about messages with hostile texts: the envelope, what servers said,
 * and the message itself.  A DSN has wire form, its header is ours, its
 * parts end where they should.  Input: kind, number of recipients, then texts
 * with their lengths before them; the message is what is left.
 */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/proto/wire.h"
#include "queue/manager/dsn_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { RCPTS = 3 };

static void
must(bool good)
{
	if (!good)
		abort();
}

static unsigned
byte(struct hb_span *in)
{
	unsigned c = in->n > 0 ? in->p[0] : 0;

	*in = hb_span_from(*in, 1);
	return c;
}

static struct hb_span
text(struct hb_span *in)
{
	unsigned n = byte(in);
	struct hb_span s = hb_span_head(*in, n);

	*in = hb_span_from(*in, n);
	return s;
}

static void
take_rcpt(struct q_dsn_rcpt *r, struct hb_span *in)
{
	*r = (struct q_dsn_rcpt){ .address = text(in), .original = text(in),
		.orcpt = text(in) };
	r->outcome = (struct hb_outcome){ .reason = byte(in),
		.code = byte(in) * 4, .from_remote = byte(in) & 1,
		.expired = byte(in) & 1, .status = text(in), .text = text(in),
		.mx = text(in), .tls = text(in), .sts = text(in) };
	r->outcome.at_ms = (int64_t)byte(in) << 32;
	r->outcome.handed = r->outcome.reason % HB_HANDED_COUNT;
}

/* Names of fields that a DSN may have in its header. */
static bool
is_ours(struct hb_span line)
{
	static const char *const names[] = { "Date: ", "From: ", "To: ",
		"Subject: ", "Message-ID: ", "In-Reply-To: ", "References: ",
		"Auto-Submitted: ", "MIME-Version: ", "Content-Type: ",
		"Content-Transfer-Encoding: " };

	for (size_t i = 0; i < HB_ARRAY_LEN(names); i++)
		if (hb_span_has_prefix_nocase(line, hb_span_str(names[i])))
			return true;
	return line.n > 0 && (line.p[0] == '\t' || line.p[0] == ' ') &&
	    hb_span_trim(line).n > 0;
}

/* What stands before the first empty line. */
static size_t
header_length(struct hb_span message)
{
	struct hb_span rest = message;

	while (rest.n > 0) {
		size_t before = message.n - rest.n;

		if (hb_span_eq(hb_span_head(rest, 2), HB_SPAN("\r\n")))
			return before;
		(void)hb_span_cut(&rest, '\n');
	}
	return message.n;
}

/* Checks the header and returns the boundary. */
static struct hb_span
check_header(struct hb_span head)
{
	static const char key[] = "\tboundary=\"";
	struct hb_span boundary = HB_SPAN_NONE;
	size_t to = 0;

	while (head.n > 0) {
		struct hb_span line = hb_span_cut(&head, '\n');

		must(is_ours(line));
		to += hb_span_has_prefix_nocase(line, HB_SPAN("To: "));
		if (hb_span_has_prefix_nocase(line, hb_span_str(key))) {
			line = hb_span_from(line, sizeof(key) - 1);
			boundary = hb_span_cut(&line, '"');
		}
	}
	must(to == 1 && boundary.n > 0 && boundary.n <= 70);
	return boundary;
}

/* LEAST parts or one more, and nothing behind the last. */
static void
check_parts(struct hb_span notice, struct hb_span boundary, size_t least)
{
	size_t parts = 0;

	while (notice.n > 0) {
		struct hb_span line = hb_span_cut(&notice, '\n');

		if (line.n < 2 || line.p[0] != '-' || line.p[1] != '-' ||
		    !hb_span_has_prefix_nocase(hb_span_from(line, 2),
			boundary))
			continue;
		line = hb_span_trim(hb_span_from(line, 2 + boundary.n));
		if (line.n == 0) {
			parts++;
			continue;
		}
		must(hb_span_eq(line, HB_SPAN("--")) && notice.n == 0);
		must(parts == least || (least == 2 && parts == 3));
		return;
	}
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct hb_span in = hb_span(data, n), notice;
	struct q_dsn_rcpt rcpts[RCPTS];
	struct hb_buf out = HB_BUF_INIT(0), rest = HB_BUF_INIT(0);
	struct q_dsn d = { .hostname = HB_SPAN("host.test"), .id = 2,
		.parent = 1, .rcpts = rcpts };
	struct hb_wire w;
	static const unsigned char key[16] = "not to be known";
	unsigned flags = byte(&in), seen;
	size_t header;
	bool all;

	d.nonce = hb_siphash(key, hb_span(data, n));
	d.kind = flags % Q_DSN_KIND_COUNT;
	d.whole = (flags & 2) != 0;
	d.utf8 = (flags & 4) != 0;
	d.n = 1 + byte(&in) % RCPTS;
	d.to = text(&in);
	d.envid = text(&in);
	for (size_t i = 0; i < d.n; i++)
		take_rcpt(&rcpts[i], &in);
	/* what is stored has wire form, and a header section whole lines */
	hb_wire_init(&w);
	(void)hb_wire_feed(&w, in);
	seen = hb_wire_end(&w);
	if ((seen & HB_WIRE_FAULTS) != 0)
		return 0;
	/* of 8-bit mail the headers alone are returned */
	all = d.whole && in.n > 0 && (seen & HB_WIRE_8BIT) == 0;
	d.head = hb_span_head(in, header_length(in));
	d.body = hb_span_from(in, d.head.n);
	(void)q_dsn_write(&d, &out, &rest);
	header = out.n;
	hb_buf_add(&out, hb_buf_span(&rest));
	hb_buf_free(&rest);
	notice = hb_buf_span(&out);
	hb_wire_init(&w);
	(void)hb_wire_feed(&w, notice);
	seen = hb_wire_end(&w);
	must((seen & HB_WIRE_FAULTS) == 0);
	/* but for the address that it goes to */
	must(hb_utf8_is_ascii(hb_span_from(notice, header)));
	must((seen & HB_WIRE_8BIT) == 0 || !hb_utf8_is_ascii(d.to));
	check_parts(notice, check_header(hb_span_head(notice, header)),
	    d.head.n > 0 || all ? 3 : 2);
	hb_buf_free(&out);
	return 0;
}
