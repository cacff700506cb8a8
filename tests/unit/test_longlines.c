/* Lines too long for SMTP: quoted-printable, and what is made of messages. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "common/proto/longlines.h"
#include "common/proto/qp.h"
#include "tests/unit/qp.h"

static void
test_F_29_qp_lines(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "\r\n" },
		{ "a", "a\r\n" },
		{ "a=b", "a=3Db\r\n" },
		{ "a ", "a=20\r\n" },
		{ "a\t", "a=09\r\n" },
		{ "a b\tc", "a b\tc\r\n" },
		{ ".a.", "=2Ea.\r\n" },
		{ ".", "=2E\r\n" },
		{ "\xc3\xa4\r\n\x7f", "=C3=A4=0D=0A=7F\r\n" },
#define TEN "0123456789"
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN
		{ SEVENTY "123456", SEVENTY "123456\r\n" },
		{ SEVENTY "1234567", SEVENTY "12345=\r\n67\r\n" },
		{ SEVENTY "12345.7", SEVENTY "12345=\r\n=2E7\r\n" },
		{ SEVENTY "123=", SEVENTY "123=3D\r\n" },
		{ SEVENTY "1234=", SEVENTY "1234=\r\n=3D\r\n" },
		{ SEVENTY "12345 ", SEVENTY "12345=\r\n=20\r\n" },
		{ SEVENTY "12345--b", SEVENTY "12345=\r\n=2D-b\r\n" },
		{ SEVENTY "12345From ", SEVENTY "12345=\r\n=46rom=20\r\n" },
		{ "--b", "--b\r\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0), back = HB_BUF_INIT(0);

		hb_qp_line(at_page_end(hb_span_str(rows[i].in)), &out);
		if (!hb_span_eq(hb_buf_span(&out), hb_span_str(rows[i].want)))
			fail_msg("%s: %.*s", rows[i].in, (int)out.n,
			    (const char *)out.p);
		assert_true(qp_decode(hb_buf_span(&out), &back));
		hb_buf_truncate(&back, back.n - 2);
		assert_span(hb_buf_span(&back), rows[i].in);
		hb_buf_free(&out);
		hb_buf_free(&back);
	}
}

static void
test_F_29_qp_of_every_byte(void **state)
{
	unsigned char all[1024];
	struct hb_buf out = HB_BUF_INIT(0), back = HB_BUF_INIT(0);

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)(i * 7 + i / 256);
	for (size_t n = 0; n < sizeof(all); n++) {
		struct hb_span in = hb_span(all + sizeof(all) - n, n);

		hb_buf_clear(&out);
		hb_buf_clear(&back);
		hb_qp_line(in, &out);
		assert_true(qp_decode(hb_buf_span(&out), &back));
		assert_true(hb_span_eq(hb_span_head(hb_buf_span(&back), n),
		    in));
		assert_int_equal(back.n, n + 2);
	}
	hb_buf_free(&out);
	hb_buf_free(&back);
}

/* In rows: L is a line of 1000 "x", B one of 1000 "A", W 500 times "w ",
 * Q 1000 "=41". */
static void
expand(const char *row, struct hb_buf *out)
{
	for (; *row != '\0'; row++)
		for (int i = 0; i < 1000; i++) {
			const char *part = *row == 'L'	? "x"
			    : *row == 'B'		? "A"
			    : *row == 'Q'		? "=41"
			    : *row == 'W'		? (i & 1) != 0 ? " " : "w"
							: NULL;

			if (part == NULL) {
				hb_buf_add(out, hb_span(row, 1));
				break;
			}
			hb_buf_adds(out, part);
		}
}

static void
shorten(const char *row, struct hb_buf *out)
{
	struct hb_buf in = HB_BUF_INIT(0);

	expand(row, &in);
	hb_shorten_lines(at_page_end(hb_buf_span(&in)), out);
	hb_buf_free(&in);
}

/* A message whose body was made quoted-printable: its header, and the text. */
static void
test_F_29_a_text_is_encoded(void **state)
{
	static const struct {
		const char *in, *header, *text;
	} rows[] = {
		{ "subject: s\r\n\r\nL\r\n..dot\r\nb \r\n",
		    "subject: s\r\nContent-Transfer-Encoding: quoted-printable"
		    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		    "charset=us-ascii\r\n\r\n", "L\r\n.dot\r\nb \r\n" },
		{ "subject: s\r\n\r\nL\xc3\xa4\r\n",
		    "subject: s\r\nContent-Transfer-Encoding: quoted-printable"
		    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		    "charset=utf-8\r\n\r\n", "L\xc3\xa4\r\n" },
		{ "subject: s\r\n\r\nL\xe4\r\n",
		    "subject: s\r\nContent-Transfer-Encoding: quoted-printable"
		    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		    "charset=unknown-8bit\r\n\r\n", "L\xe4\r\n" },
		{ "subject: s\r\n\r\nL\xed\xa0\x80\r\n",
		    "subject: s\r\nContent-Transfer-Encoding: quoted-printable"
		    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
		    "charset=unknown-8bit\r\n\r\n", "L\xed\xa0\x80\r\n" },
		{ "MIME-Version: 1.0\r\ncontent-transfer-encoding:\r\n 8bit"
		  "\r\ncontent-type: text/html\r\n\r\nL\r\n",
		    "MIME-Version: 1.0\r\ncontent-type: text/html\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
		    "L\r\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0), back = HB_BUF_INIT(0),
			      want = HB_BUF_INIT(0);
		size_t n = strlen(rows[i].header);

		shorten(rows[i].in, &out);
		assert_span(hb_span_head(hb_buf_span(&out), n),
		    rows[i].header);
		assert_true(qp_decode(hb_span_from(hb_buf_span(&out), n),
		    &back));
		expand(rows[i].text, &want);
		assert_true(hb_span_eq(hb_buf_span(&back),
		    hb_buf_span(&want)));
		hb_buf_free(&out);
		hb_buf_free(&back);
		hb_buf_free(&want);
	}
}

#define MIXED "content-type: multipart/mixed;\r\n boundary=\"b\"\r\n\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"

/* What stands in front of the first encoded line, and whether any line is
 * still long. */
static void
test_F_29_what_is_touched_and_what_not(void **state)
{
	static const struct {
		const char *in, *front;
		bool still;
	} rows[] = {
		{ "subject: s\r\n\r\nshort\r\n", "subject: s\r\n\r\nshort\r\n", false },
		{ "subject: W\r\n\r\nb\r\n", "subject: w w", false },
		{ "subject: L\r\n\r\nb\r\n", "subject:\r\n xxx", true },
		{ "dkim-signature: s\r\n\r\nL\r\n", "dkim-signature: s\r\n\r\nxxx", true },
		{ "content-type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nL\r\n--b--\r\n", "content-type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nxxx", true },
		{ "content-type: message/partial\r\n\r\nL\r\n", "content-type: message/partial\r\n\r\nxxx", true },
		{ "content-transfer-encoding: x-own\r\n\r\nL\r\n", "content-transfer-encoding: x-own\r\n\r\nxxx", true },
		{ "content-transfer-encoding: base64\r\n\r\nB\r\n", "content-transfer-encoding: base64\r\n\r\nAAA", false },
		{ "content-transfer-encoding: quoted-printable\r\n\r\nQ\r\n", "content-transfer-encoding: quoted-printable\r\n\r\n=41=41", false },
		{ MIXED "--b\r\nsubject: no\r\n\r\nhi\r\n--b\r\n\r\nL\r\n--b--\r\nend\r\n", MIXED "--b\r\nsubject: no\r\n\r\nhi\r\n--b\r\n" QP "\r\nxxx", false },
		{ MIXED "--b\r\ncontent-type: message/rfc822\r\n\r\nsubject: in\r\n\r\nL\r\n--b--\r\n", MIXED "--b\r\ncontent-type: message/rfc822\r\n\r\nsubject: in\r\n" QP "\r\nxxx", false },
		{ "content-type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nsubject: in\r\n\r\nL\r\n--b--\r\n", "content-type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nsubject: in\r\n" QP "\r\nxxx", false },
		{ MIXED "--b\r\n\r\nL", MIXED "--b\r\n" QP "\r\nxxx", false },
		{ "content-type: multipart/mixed\r\n\r\nL\r\n", "content-type: multipart/mixed\r\n\r\nxxx", true },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);
		size_t n = strlen(rows[i].front);
		struct hb_span got;

		shorten(rows[i].in, &out);
		got = hb_buf_span(&out);
		if (!hb_span_eq(hb_span_head(got, n),
			hb_span_str(rows[i].front)) ||
		    (hb_longest_line(got) > HB_MAX_MAIL_LINE) !=
			rows[i].still)
			fail_msg("%s: %.*s", rows[i].in, (int)out.n,
			    (const char *)out.p);
		hb_buf_free(&out);
	}
}

static void
test_F_29_ends_of_parts_stay(void **state)
{
	struct hb_buf out = HB_BUF_INIT(0);
	static const char end[] = "x\r\n--b--\r\nend\r\n";

	shorten(MIXED "--b\r\n\r\nL\r\n--b--\r\nend\r\n", &out);
	assert_true(out.n > sizeof(end));
	assert_span(hb_span_from(hb_buf_span(&out), out.n - strlen(end)), end);
	hb_buf_free(&out);
}

static void
test_F_29_the_bound_itself(void **state)
{
	struct hb_buf in = HB_BUF_INIT(0), out = HB_BUF_INIT(0);

	hb_buf_adds(&in, "\r\n.");
	for (int i = 0; i < HB_MAX_MAIL_LINE; i++)
		hb_buf_adds(&in, i == 0 ? "." : "x");
	hb_buf_adds(&in, "\r\n");
	assert_int_equal(hb_longest_line(hb_buf_span(&in)), HB_MAX_MAIL_LINE);
	hb_shorten_lines(hb_buf_span(&in), &out);
	assert_true(hb_span_eq(hb_buf_span(&in), hb_buf_span(&out)));
	hb_buf_truncate(&in, in.n - 2);
	hb_buf_adds(&in, "x\r\n");
	hb_buf_clear(&out);
	hb_shorten_lines(hb_buf_span(&in), &out);
	assert_true(hb_longest_line(hb_buf_span(&out)) <= 76);
	hb_buf_free(&in);
	hb_buf_free(&out);
}

/* Lines that are made delimit no parts, wherever TAIL stands in one. */
static void
test_A_27_no_new_parts(void **state)
{
	static const char *const encodings[] = { "8bit", "quoted-printable",
		"base64" };

	for (size_t i = 0; i < 3 * 80; i++) {
		struct hb_buf in = HB_BUF_INIT(0), once = HB_BUF_INIT(0),
			      twice = HB_BUF_INIT(0);

		hb_buf_addf(&in, "Content-Type: multipart/mixed; boundary=b\r\n"
		    "\r\n--b\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		    encodings[i % 3]);
		for (size_t k = 0; k < 1000 + i / 3; k++)
			hb_buf_adds(&in, "A");
		hb_buf_adds(&in, "--b\r\n--b--\r\n");
		hb_shorten_lines(hb_buf_span(&in), &once);
		assert_null(memmem(once.p + once.off + 60, once.n - 60,
		    "\r\n--b\r\n", 7));
		assert_true(hb_longest_line(hb_buf_span(&once)) < 100);
		hb_shorten_lines(hb_buf_span(&once), &twice);
		assert_true(hb_span_eq(hb_buf_span(&once),
		    hb_buf_span(&twice)));
		hb_buf_free(&in);
		hb_buf_free(&once);
		hb_buf_free(&twice);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_F_29_qp_lines),
		cmocka_unit_test(test_A_27_no_new_parts),
		cmocka_unit_test(test_F_29_qp_of_every_byte),
		cmocka_unit_test(test_F_29_a_text_is_encoded),
		cmocka_unit_test(test_F_29_what_is_touched_and_what_not),
		cmocka_unit_test(test_F_29_ends_of_parts_stay),
		cmocka_unit_test(test_F_29_the_bound_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
