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
		cmocka_unit_test(long_parts_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
