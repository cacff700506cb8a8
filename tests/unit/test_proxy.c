/* PROXY headers of balancers. */
#include "tests/unit/unit.h"

#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/proto/proxy.h"

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\x00\x02\x01\x0a\x00\x00\x02\x9c\x40\x00\x19"
#define V6                                                                     \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                           \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"                           \
	"\x9c\x40\x00\x19"
#define MAPPED                                                                 \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x09"                         \
	"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x02\x9c\x40\x00\x19"
#define ROW(in, want) { HB_SPAN_INIT(in), want }

struct row {
	struct hb_span in;
	const char *want; /* the client; "": none is named */
};

static int
parse(struct hb_span in, struct hb_proxy *p)
{
	return hb_proxy_parse(at_page_end(in), p);
}

static void
check_whole(const struct row *row)
{
	struct hb_buf more = HB_BUF_INIT(0);
	struct hb_proxy p;
	char text[HB_NETADDR_TEXT] = "";

	for (size_t i = 0; i < row->in.n; i++)
		assert_int_equal(parse(hb_span_head(row->in, i), &p), 0);
	hb_buf_add(&more, row->in);
	hb_buf_adds(&more, "EHLO x\r\n");
	assert_int_equal(parse(hb_buf_span(&more), &p), row->in.n);
	hb_buf_free(&more);
	if (p.client.family != 0)
		hb_netaddr_format_port(&p.client, text);
	assert_string_equal(text, row->want);
}

static void
test_PRXY_01_version_1(void **state)
{
	static const struct row good[] = {
		ROW("PROXY TCP4 192.0.2.1 10.0.0.2 40000 25\r\n",
		    "192.0.2.1:40000"),
		ROW("PROXY TCP4 192.0.2.1 10.0.0.2 0 65535\r\n", "192.0.2.1"),
		ROW("PROXY TCP6 2001:db8::1 2001:db8::2 40000 25\r\n",
		    "[2001:db8::1]:40000"),
		ROW("PROXY TCP6 ::ffff:192.0.2.9 ::1 1 2\r\n", "192.0.2.9:1"),
		ROW("PROXY UNKNOWN\r\n", ""),
		ROW("PROXY UNKNOWN ffff:f...f:ffff and 25 65535\r\n", ""),
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		print_message("%.*s", HB_SPAN_ARG(good[i].in));
		check_whole(&good[i]);
	}
}

static void
test_PRXY_02_version_1_hostile(void **state)
{
	static const struct hb_span bad[] = {
		HB_SPAN_INIT("EHLO x\r\n"), HB_SPAN_INIT("PRoXY "),
		HB_SPAN_INIT("PROXY\r\n"), HB_SPAN_INIT("PROXY \r\n"),
		HB_SPAN_INIT("PROXY TCP4\r\n"),
		HB_SPAN_INIT("PROXY UNKNOWN\n"),
		HB_SPAN_INIT("PROXY UNKNOWN\r \r\n"),
		HB_SPAN_INIT("PROXY UDP4 192.0.2.1 10.0.0.2 1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP6 192.0.2.1 10.0.0.2 1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.256 10.0.0.2 1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 1\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 1 \r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 1 2 \r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 1 2 3\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 1 65536\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 01 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1 10.0.0.2 -1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4  192.0.2.1 10.0.0.2 1 2\r\n"),
		HB_SPAN_INIT("PROXY TCP4 192.0.2.1\0 10.0.0.2 1 2\r\n"),
	};
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_proxy p;

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		print_message("%.*s\n", HB_SPAN_ARG(bad[i]));
		assert_int_equal(parse(bad[i], &p), HB_E_SYNTAX);
		assert_int_equal(p.client.family, 0);
	}
	/* 107 bytes with CRLF, not one more */
	hb_buf_adds(&b, "PROXY UNKNOWN ");
	while (b.n < 105)
		hb_buf_adds(&b, "x");
	hb_buf_adds(&b, "\r\n");
	assert_int_equal(parse(hb_buf_span(&b), &p), 107);
	hb_buf_truncate(&b, 105);
	hb_buf_adds(&b, "x");
	assert_int_equal(parse(hb_buf_span(&b), &p), 0);
	hb_buf_adds(&b, "\r\n");
	assert_int_equal(parse(hb_buf_span(&b), &p), HB_E_LIMIT);
	hb_buf_free(&b);
}

static void
test_PRXY_03_version_2(void **state)
{
	static const struct row good[] = {
		ROW(SIGN "\x21\x11\x00\x0c" V4, "192.0.2.1:40000"),
		ROW(SIGN "\x21\x21\x00\x24" V6, "[2001:db8::1]:40000"),
		ROW(SIGN "\x21\x21\x00\x24" MAPPED, "192.0.2.9:40000"),
		ROW(SIGN "\x20\x00\x00\x00", ""), /* LOCAL */
		ROW(SIGN "\x20\x11\x00\x0c" V4, ""),
		ROW(SIGN "\x20\x00\x00\x02zz", ""),
		ROW(SIGN "\x21\x00\x00\x00", ""), /* UNSPEC */
		ROW(SIGN "\x21\x00\x00\x03zzz", ""),
		/* TLVs: none of ours, and an empty one */
		ROW(SIGN "\x21\x11\x00\x14" V4 "\x04\x00\x02zz\xea\x00\x00",
		    "192.0.2.1:40000"),
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++)
		check_whole(&good[i]);
}

static void
test_PRXY_04_version_2_hostile(void **state)
{
	static const struct hb_span bad[] = {
		HB_SPAN_INIT("\r\n\r\n\0\r\nQUIT\r"),
		HB_SPAN_INIT("\r\nEHLO"),
		HB_SPAN_INIT(SIGN "\x11"), /* version 1 */
		HB_SPAN_INIT(SIGN "\x31"),
		HB_SPAN_INIT(SIGN "\x22\x11\x00\x0c" V4), /* command 2 */
		HB_SPAN_INIT(SIGN "\x21\x41\x00\x0c" V4), /* family 4 */
		HB_SPAN_INIT(SIGN "\x21\x12\x00\x0c" V4), /* UDP */
		HB_SPAN_INIT(SIGN "\x21\x13\x00\x0c" V4),
		HB_SPAN_INIT(SIGN "\x21\x11\x00\x0b" V4), /* short */
		HB_SPAN_INIT(SIGN "\x21\x21\x00\x0c" V4),
		HB_SPAN_INIT(SIGN "\x21\x11\x00\x0e" V4 "\x04\x00"),
		HB_SPAN_INIT(SIGN "\x21\x11\x00\x0f" V4 "\x04\x00\x01"),
		HB_SPAN_INIT(SIGN "\x21\x11\x00\x0f" V4 "\x03\x00\x00"),
		HB_SPAN_INIT(SIGN "\x21\x11\x00\x13" V4 "\x03\x00\x04sums"),
	};
	struct hb_buf b = HB_BUF_INIT(0);
	struct hb_proxy p;

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		print_message("row %zu\n", i);
		assert_int_equal(parse(bad[i], &p), HB_E_SYNTAX);
		assert_int_equal(p.client.family, 0);
	}
	/* 536 bytes, told before they come */
	hb_buf_add(&b, HB_SPAN(SIGN "\x20\x00\x02\x08"));
	while (b.n < HB_MAX_PROXY_HEADER)
		hb_buf_adds(&b, "x");
	assert_int_equal(parse(hb_buf_span(&b), &p), HB_MAX_PROXY_HEADER);
	hb_buf_free(&b);
	assert_int_equal(parse(HB_SPAN(SIGN "\x20\x00\x02\x09"), &p),
	    HB_E_LIMIT);
	assert_int_equal(parse(HB_SPAN(SIGN "\x20\x00\xff\xff"), &p),
	    HB_E_LIMIT);
}

static void
test_PRXY_05_checksum(void **state)
{
	unsigned char h[] = SIGN "\x21\x11\x00\x13" V4
				 "\x03\x00\x04\0\0\0\0";
	struct hb_span all = hb_span(h, sizeof(h) - 1);
	uint32_t sum = hb_crc32c(0, all);
	struct hb_proxy p;

	for (int i = 0; i < 4; i++)
		h[all.n - 4 + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
	assert_int_equal(parse(all, &p), all.n);
	assert_int_equal(p.client.family, 4);
	h[16] ^= 1;
	assert_int_equal(parse(all, &p), HB_E_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_PRXY_01_version_1),
		cmocka_unit_test(test_PRXY_02_version_1_hostile),
		cmocka_unit_test(test_PRXY_03_version_2),
		cmocka_unit_test(test_PRXY_04_version_2_hostile),
		cmocka_unit_test(test_PRXY_05_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
