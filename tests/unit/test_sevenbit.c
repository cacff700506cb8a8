/* Messages made 7-bit. */
#include "tests/unit/unit.h"

#include "common/base/err.h"
#include "common/proto/sevenbit.h"

#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64 "Content-Transfer-Encoding: base64\r\n"
#define MIX "Content-Type: multipart/mixed;\r\n boundary=\"b=E4\"\r\n"

/* clang-format off */
static const struct {
	const char *in, *out; /* NULL: it cannot be converted */
} rows[] = {
	{ "", "" },
	{ "a: b\r\n", "a: b\r\n" },
	{ "a: b\r\n\r\nx\r\n..\r\n", "a: b\r\n\r\nx\r\n..\r\n" },
	/* text, with and without a word about MIME */
	{ "a: b\r\n\r\nx \r\n..\xc3\xa4\r\n.\r\n", "a: b\r\n" QP "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx=20\r\n=2E=C3=A4\r\n\r\n" },
	{ "a: b\r\n\r\n\xe4", "a: b\r\n" QP "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\n=E4\r\n" },
	{ "MIME-Version: 1.0\r\nContent-Transfer-Encoding:\r\n 8bit\r\nContent-Type: text/html\r\n\r\n\xe4\r\n", "MIME-Version: 1.0\r\nContent-Type: text/html\r\n" QP "\r\n=E4\r\n" },
	{ "Content-Type: image/x\r\nmime-version: 1.0\r\n\r\n\xe4\r\n..", "Content-Type: image/x\r\nmime-version: 1.0\r\n" B64 "\r\n5A0KLg0K\r\n" },
	/* the end of a header section without an empty line */
	{ "a: b\r\nno field \xe4\r\n", "a: b\r\n" QP "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\nno field =E4\r\n" },
	/* parts: what is 7-bit stays; the line end before a delimiter is its */
	{ MIX "Content-Transfer-Encoding: 8bit\r\n\r\npre\r\n--b=E4\r\nContent-Transfer-Encoding: 7bit\r\n\r\na=b\r\n--b=E4\r\n\r\n\xe4\r\n--b=E4\r\nContent-Type: x/y\r\n\r\n\xe4\r\n--b=E4--\r\nend\r\n",
	  MIX "\r\npre\r\n--b=E4\r\nContent-Transfer-Encoding: 7bit\r\n\r\na=b\r\n--b=E4\r\n" QP "\r\n=E4\r\n--b=E4\r\nContent-Type: x/y\r\n" B64 "\r\n5A==\r\n--b=E4--\r\nend\r\n" },
	/* what is encoded makes no delimiter */
	{ MIX "\r\n--b=E4\r\n\r\n--b\xe4\r\n--b=E4--\r\n", MIX "\r\n--b=E4\r\n" QP "\r\n=2D=\r\n=2D=\r\nb=E4\r\n--b=E4--\r\n" },
	/* messages in messages */
	{ "Content-Type: message/rfc822\r\n\r\na: b\r\n\r\n\xe4\r\n", "Content-Type: message/rfc822\r\n\r\na: b\r\n" QP "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\n=E4\r\n" },
	{ "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nContent-Type: x/y\r\nMIME-Version: 1.0\r\n\r\n\xe4\r\n--b--\r\n", "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nContent-Type: x/y\r\nMIME-Version: 1.0\r\n" B64 "\r\n5A==\r\n--b--\r\n" },
	/* a part that is its header alone */
	{ MIX "\r\n--b=E4\r\nContent-Transfer-Encoding: 8bit\r\n--b=E4--\r\n", MIX "\r\n--b=E4\r\nContent-Transfer-Encoding: 8bit\r\n--b=E4--\r\n" },
	/* a signature of DKIM stops nothing, RFC 6376 s6.1 */
	{ "DKIM-Signature: x\r\nContent-Type: a/b\r\nMIME-Version: 1.0\r\n\r\n\xe4\r\n", "DKIM-Signature: x\r\nContent-Type: a/b\r\nMIME-Version: 1.0\r\n" B64 "\r\n5A0K\r\n" },
	/* signed, encrypted, or not to be understood */
	{ "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n", "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n" },
	{ "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Type: Multipart/Encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xe4\r\n", NULL },
	{ MIX "\r\n--b=E4\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Type: application/pkcs7-mime\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Type: message/partial\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Type: multipart/mixed\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Transfer-Encoding: base64\r\n\r\n\xe4\r\n", NULL },
	{ "Content-Transfer-Encoding: x-uu\r\n\r\n\xe4\r\n", NULL },
	{ "Subject: \xe4\r\n\r\nx\r\n", NULL },
	{ MIX "\r\n\xe4\r\n--b=E4--\r\n", NULL },
	{ MIX "\r\n--b=E4--\r\n\xe4\r\n", NULL },
};
/* clang-format on */

static int
convert(struct hb_span in, size_t step, struct hb_buf *out)
{
	struct hb_sevenbit m = { .depth = 0 };
	int r = 0;

	hb_sevenbit_start(&m);
	while (r == 0 && in.n > 0) {
		struct hb_span piece = hb_span_head(in, step);

		r = hb_sevenbit_feed(&m, piece, out);
		in = hb_span_from(in, piece.n);
	}
	if (r == 0)
		r = hb_sevenbit_end(&m, out);
	hb_sevenbit_free(&m);
	return r;
}

static void
bodies_become_7bit(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= 1 + strlen(rows[i].in); step++) {
			struct hb_buf out = HB_BUF_INIT(0);
			int r = convert(hb_span_str(rows[i].in), step, &out);

			if (rows[i].out == NULL) {
				assert_int_equal(r, HB_E_UNSUPPORTED);
			} else {
				assert_int_equal(r, 0);
				hb_buf_adds(&out, "");
				assert_int_equal(out.n, strlen(rows[i].out));
				assert_memory_equal(hb_buf_span(&out).p,
				    rows[i].out, out.n);
			}
			hb_buf_free(&out);
		}
}

#define BIN "Content-Transfer-Encoding: binary\r\n"
#define BMIX "Content-Type: multipart/mixed; boundary=b\r\n"

/* BDAT-03: binary data of which no octet is lost. */
/* clang-format off */
static const struct {
	struct hb_span in;
	const char *out;
} octets[] = {
	{ HB_SPAN(""), "" },
	{ HB_SPAN("a: b"), "a: b\r\n" },
	{ HB_SPAN("a: b\r\n\r\n"), "a: b\r\n\r\n" },
	/* not marked: not touched, whatever it is; no dot is stuffed */
	{ HB_SPAN("a: b\r\n\r\n.\r\n..\rx\ny\xe4"), "a: b\r\n\r\n.\r\n..\rx\ny\xe4" },
	{ HB_SPAN("Content-Transfer-Encoding: 8bit\r\n\r\n\xe4"), "Content-Transfer-Encoding: 8bit\r\n\r\n\xe4" },
	{ HB_SPAN("Subject: \xe4\r\n\r\nx"), "Subject: \xe4\r\n\r\nx" },
	/* every octet, and no end of a line that was none */
	{ HB_SPAN("MIME-Version: 1.0\r\nContent-Type: a/b\r\n" BIN "\r\n\0\r\n\n\r.\xff"),
	  "MIME-Version: 1.0\r\nContent-Type: a/b\r\n" B64 "\r\nAA0KCg0u/w==\r\n" },
	{ HB_SPAN("MIME-Version: 1.0\r\nContent-Type: text/plain\r\n" BIN "\r\na\r\n"),
	  "MIME-Version: 1.0\r\nContent-Type: text/plain\r\n" B64 "\r\nYQ0K\r\n" },
	{ HB_SPAN("Content-Type: a/b\r\n" BIN "\r\n"), "Content-Type: a/b\r\n" B64 "MIME-Version: 1.0\r\n\r\n" },
	{ HB_SPAN(BIN "\r\na\r"), B64 "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nYQ0=\r\n" },
	/* the line end in front of a delimiter is no octet of the part */
	{ HB_SPAN(BMIX BIN "\r\n--b\r\nContent-Type: a/b\r\n" BIN "\r\n\0\r\n\r\n.--b\r\n--b\r\n\r\n.t\r\n--b--"),
	  BMIX "Content-Transfer-Encoding: 8bit\r\n\r\n--b\r\nContent-Type: a/b\r\n" B64 "\r\nAA0KDQouLS1i\r\n--b\r\n\r\n.t\r\n--b--\r\n" },
	{ HB_SPAN("Content-Type: message/rfc822\r\n" BIN "\r\nContent-Type: a/b\r\nMIME-Version: 1.0\r\n" BIN "\r\n\0"),
	  "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nContent-Type: a/b\r\nMIME-Version: 1.0\r\n" B64 "\r\nAA==\r\n" },
	/* signed: the label alone */
	{ HB_SPAN("Content-Type: multipart/signed; boundary=b\r\n" BIN "\r\n--b\r\n" BIN "\r\n\xe4\r\n--b--\r\n"),
	  "Content-Type: multipart/signed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n" BIN "\r\n\xe4\r\n--b--\r\n" },
};
/* clang-format on */

static void
convert_octets(struct hb_span in, size_t step, struct hb_buf *out)
{
	struct hb_sevenbit m = { .depth = 0 };

	hb_sevenbit_start_octets(&m);
	while (in.n > 0) {
		struct hb_span piece = hb_span_head(in, step);

		assert_int_equal(hb_sevenbit_feed(&m, piece, out), 0);
		assert_true(m.line.n <= 16384);
		in = hb_span_from(in, piece.n);
	}
	assert_int_equal(hb_sevenbit_end(&m, out), 0);
	hb_sevenbit_free(&m);
}

static void
test_BDAT_03_binary_parts_become_base64(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(octets); i++)
		for (size_t step = 1; step <= 1 + octets[i].in.n; step++) {
			struct hb_buf out = HB_BUF_INIT(0);

			convert_octets(octets[i].in, step, &out);
			assert_span(hb_buf_span(&out), octets[i].out);
			hb_buf_free(&out);
		}
}

/* Data without any line end, cut anywhere: the same octets, little memory. */
static void
test_BDAT_03_long_lines_of_data_pass(void **state)
{
	static const size_t steps[] = { 1, 7, 4096, 4097, 65536 };
	struct hb_buf in = HB_BUF_INIT(0), want = HB_BUF_INIT(0);

	hb_buf_adds(&want, "MIME-Version: 1.0\r\nContent-Type: a/b\r\n");
	hb_buf_add(&in, hb_buf_span(&want));
	hb_buf_adds(&in, BIN "\r\n");
	hb_buf_adds(&want, B64 "\r\n");
	for (unsigned i = 0; i < 57 * 1000; i += 3)
		hb_buf_add(&in, HB_SPAN("\r\0\r"));
	for (unsigned i = 0; i < 1000; i++) {
		for (unsigned k = 0; k < 19; k++)
			hb_buf_adds(&want, "DQAN");
		hb_buf_adds(&want, "\r\n");
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(steps); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		convert_octets(hb_buf_span(&in), steps[i], &out);
		assert_int_equal(out.n, want.n);
		assert_memory_equal(hb_buf_span(&out).p, hb_buf_span(&want).p,
		    want.n);
		hb_buf_free(&out);
	}
	hb_buf_free(&in);
	hb_buf_free(&want);
}

/* Bounded memory: a part that is longer than what is kept is encoded. */
static void
long_parts_pass(void **state)
{
	struct hb_sevenbit m = { .depth = 0 };
	struct hb_buf out = HB_BUF_INIT(0);
	size_t n = 0;

	hb_sevenbit_start(&m);
	assert_int_equal(hb_sevenbit_feed(&m, HB_SPAN("Content-Type: a/b\r\n"
	    "MIME-Version: 1.0\r\n\r\n"), &out), 0);
	for (unsigned i = 0; i < 100000; i++) {
		assert_int_equal(hb_sevenbit_feed(&m, HB_SPAN("0123456789abcdef"
		    "\r\n"), &out), 0);
		assert_true(m.hold.n < 70000);
		n += out.n;
		hb_buf_clear(&out);
	}
	assert_int_equal(hb_sevenbit_end(&m, &out), 0);
	assert_true(n > 1800000 / 3 * 4);
	assert_true(m.changed);
	hb_sevenbit_free(&m);
	hb_buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_become_7bit),
		cmocka_unit_test(test_BDAT_03_binary_parts_become_base64),
		cmocka_unit_test(test_BDAT_03_long_lines_of_data_pass),
		cmocka_unit_test(long_parts_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
