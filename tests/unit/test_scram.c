/* SCRAM-SHA-256, RFC 7677: hashes, messages, verifiers. */
#include "tests/unit/unit.h"

#include "common/proto/base64.h"
#include "common/proto/scram.h"

/* RFC 7677 s3 */
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define FINAL "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE                            \
	",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNED "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
/* the same salt and password, from Python's hashlib */
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define VERIFIER "{SCRAM-SHA-256}4096," SALT "," STORED "," SERVER

static void
assert_hex(const unsigned char *got, const char *want)
{
	char text[2 * HB_SHA256 + 1];

	for (size_t i = 0; i < HB_SHA256; i++)
		snprintf(text + 2 * i, 3, "%02x", got[i]);
	assert_string_equal(text, want);
}

/* FIPS 180-4's examples; every length around the ends of blocks against the
 * same bytes in pieces. */
static void
sha256(void **state)
{
	unsigned char out[HB_SHA256], again[HB_SHA256], text[200];
	struct hb_sha256 c;

	hb_sha256(HB_SPAN(""), out);
	assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hb_sha256(HB_SPAN("abc"), out);
	assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hb_sha256(HB_SPAN("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
	assert_hex(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	hb_sha256_init(&c);
	for (unsigned i = 0; i < 1000000; i += 100) {
		memset(text, 'a', 100);
		hb_sha256_update(&c, hb_span(text, 100));
	}
	hb_sha256_final(&c, out);
	assert_hex(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	for (size_t n = 0; n <= sizeof(text); n++) {
		hb_sha256(hb_span(text, n), out);
		hb_sha256_init(&c);
		for (size_t i = 0; i < n; i++)
			hb_sha256_update(&c, hb_span(text + i, 1));
		hb_sha256_final(&c, again);
		assert_memory_equal(out, again, sizeof(out));
	}
}

/* RFC 4231, cases 2 and 6; RFC 7914 s11 (its first 32 octets). */
static void
hmac_and_pbkdf2(void **state)
{
	unsigned char out[HB_SHA256], key[131];

	hb_hmac_sha256(HB_SPAN("Jefe"),
	    HB_SPAN("what do ya want for nothing?"), out);
	assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	hb_hmac_sha256(hb_span(key, sizeof(key)), HB_SPAN("Test Using Larger "
	    "Than Block-Size Key - Hash Key First"), out);
	assert_hex(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	hb_pbkdf2_sha256(HB_SPAN("passwd"), HB_SPAN("salt"), 1, out);
	assert_hex(out, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

static struct hb_scram_verifier
verifier_of(const char *text)
{
	struct hb_scram_verifier v;

	assert_int_equal(hb_scram_verifier_parse(at_page_end(hb_span_str(text)),
	    &v), 0);
	return v;
}

/* RFC 7677 s3, message for message. */
static void
test_AUTH_01_scram_example(void **state)
{
	struct hb_scram_verifier v = verifier_of(VERIFIER);
	struct hb_scram *s = hb_scram_new(false);
	unsigned char signature[HB_SHA256];

	assert_int_equal(hb_scram_first(s, HB_SPAN(FIRST), true), 0);
	assert_span(hb_buf_span(&s->user), "user");
	hb_scram_challenge(s, hb_span(v.salt, v.n_salt), v.iterations,
	    HB_SPAN(NONCE));
	assert_span(hb_buf_span(&s->say), "r=rOprNGfwEbeRWgbNEkqO" NONCE ",s=" SALT
	    ",i=4096");
	assert_int_equal(hb_scram_final(s, HB_SPAN(FINAL), HB_SPAN_NONE), 0);
	assert_true(hb_scram_check(&v, hb_buf_span(&s->message), s->proof,
	    signature));
	hb_scram_signed(s, hb_span(signature, sizeof(signature)));
	assert_span(hb_buf_span(&s->say), SIGNED);
	s->proof[31] ^= 1;
	assert_false(hb_scram_check(&v, hb_buf_span(&s->message), s->proof,
	    signature));
	assert_true(hb_scram_is_password(&v, HB_SPAN("pencil")));
	assert_false(hb_scram_is_password(&v, HB_SPAN("pencils")));
	assert_false(hb_scram_is_password(&v, HB_SPAN_NONE));
	hb_scram_free(&s);
}

static void
test_AUTH_01_scram_first_messages(void **state)
{
	static const struct {
		const char *msg, *user; /* NULL: refused */
		bool plus, offered;
	} rows[] = {
		{ "n,,n=user,r=x", "user", false, true },
		{ "y,,n=user,r=x", "user", false, false },
		/* s6: it could bind and was not told that we can */
		{ "y,,n=user,r=x", NULL, false, true },
		{ "p=tls-exporter,,n=user,r=x", "user", true, true },
		{ "p=tls-exporter,,n=user,r=x", NULL, false, true },
		{ "p=tls-unique,,n=user,r=x", NULL, true, true },
		{ "p=,,n=user,r=x", NULL, true, true },
		{ "n,,n=user,r=x", NULL, true, true },
		{ "y,,n=user,r=x", NULL, true, true },
		{ "n,a=user,n=user,r=x", "user", false, true },
		{ "n,a=root,n=user,r=x", NULL, false, true },
		{ "n,user,n=user,r=x", NULL, false, true },
		{ "n,,n=a=2Cb=3Dc,r=x", "a,b=c", false, true },
		{ "n,,n=a=2c,r=x", NULL, false, true },
		{ "n,,n=a=,r=x", NULL, false, true },
		{ "n,,n=a=3,r=x", NULL, false, true },
		{ "n,,n=,r=x", NULL, false, true },
		{ "n,,n=user,r=", NULL, false, true },
		{ "n,,n=user,r=a b", NULL, false, true },
		{ "n,,n=user,r=\x7f", NULL, false, true },
		{ "n,,n=user,r=x,y=z", "user", false, true },
		{ "n,,m=x,n=user,r=x", NULL, false, true },
		{ "n,,r=x,n=user", NULL, false, true },
		{ "n,,n=user", NULL, false, true },
		{ "n,,", NULL, false, true },
		{ "n,", NULL, false, true },
		{ "n", NULL, false, true },
		{ "", NULL, false, true },
		{ ",,,,,,", NULL, false, true },
		{ "N,,n=user,r=x", NULL, false, true },
		{ "n,,n=us\xc3\xa9r,r=x", "us\xc3\xa9r", false, true },
	};
	char zero[] = "n,,n=us.r,r=x";

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_scram *s = hb_scram_new(rows[i].plus);
		int r = hb_scram_first(s, at_page_end(hb_span_str(rows[i].msg)),
		    rows[i].offered);

		assert_int_equal(r, rows[i].user != NULL ? 0 : HB_E_SYNTAX);
		if (r == 0)
			assert_span(hb_buf_span(&s->user), rows[i].user);
		hb_scram_free(&s);
	}
	for (size_t n = HB_SCRAM_FIRST; n <= HB_SCRAM_FIRST + 1; n++) {
		struct hb_scram *s = hb_scram_new(false);
		char *text = hb_malloc(n);

		memset(text, 'x', n);
		memcpy(text, "n,,n=user,r=", 12);
		assert_int_equal(hb_scram_first(s, hb_span(text, n), true),
		    n <= HB_SCRAM_FIRST ? 0 : HB_E_SYNTAX);
		free(text);
		hb_scram_free(&s);
	}
	zero[7] = '\0';
	{
		struct hb_scram *s = hb_scram_new(false);

		assert_int_equal(hb_scram_first(s, hb_span(zero,
		    sizeof(zero) - 1), true), HB_E_SYNTAX);
		hb_scram_free(&s);
	}
}

#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static void
test_AUTH_01_scram_final_messages(void **state)
{
	static const struct {
		const char *msg, *binding;
		bool plus, good;
	} rows[] = {
		{ "c=biws,r=xy,p=" PROOF, "", false, true },
		{ "c=biws,r=xy,e=1,p=" PROOF, "", false, true },
		{ "c=biws,r=xy,p=" PROOF ",", "", false, false },
		{ "c=biws,r=xy,p=" PROOF ",e=1", "", false, false },
		{ "c=biws,r=xz,p=" PROOF, "", false, false },
		{ "c=biws,r=x,p=" PROOF, "", false, false },
		{ "c=biws,r=,p=" PROOF, "", false, false },
		{ "c=eSws,r=xy,p=" PROOF, "", false, false },
		{ "c=,r=xy,p=" PROOF, "", false, false },
		{ "c=biwsYWJj,r=xy,p=" PROOF, "abc", false, false },
		{ "c=biws,r=xy,p=dHzb", "", false, false },
		{ "c=biws,r=xy,p=" PROOF "AAAA", "", false, false },
		{ "c=biws,r=xy,p=!" PROOF, "", false, false },
		{ "c=biws,r=xy", "", false, false },
		{ "r=xy,c=biws,p=" PROOF, "", false, false },
		{ "p=" PROOF, "", false, false },
		{ "", "", false, false },
		/* "p=tls-exporter,," and the binding */
		{ "c=cD10bHMtZXhwb3J0ZXIsLGFiYw==,r=xy,p=" PROOF, "abc", true,
		    true },
		{ "c=cD10bHMtZXhwb3J0ZXIsLGFiYw==,r=xy,p=" PROOF, "abd", true,
		    false },
		{ "c=cD10bHMtZXhwb3J0ZXIsLA==,r=xy,p=" PROOF, "abc", true,
		    false },
		{ "c=cD10bHMtZXhwb3J0ZXIsLA==,r=xy,p=" PROOF, "", true, false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_scram *s = hb_scram_new(rows[i].plus);
		struct hb_span first = rows[i].plus
		    ? HB_SPAN("p=tls-exporter,,n=u,r=x")
		    : HB_SPAN("n,,n=u,r=x");

		assert_int_equal(hb_scram_first(s, first, true), 0);
		hb_scram_challenge(s, HB_SPAN("salt"), 4096, HB_SPAN("y"));
		assert_int_equal(hb_scram_final(s,
		    at_page_end(hb_span_str(rows[i].msg)),
		    hb_span_str(rows[i].binding)),
		    rows[i].good ? 0 : HB_E_SYNTAX);
		hb_scram_free(&s);
	}
}

static void
verifiers(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ VERIFIER, true },
		{ "{scram-sha-256}1,YQ==," STORED "," SERVER, true },
		{ "{SCRAM-SHA-256}1000000,YQ==," STORED "," SERVER, true },
		{ "{SCRAM-SHA-256}1000001,YQ==," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}0,YQ==," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}-1,YQ==," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}4096,," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}4096,Y," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}4096,YQ==,YQ==," SERVER, false },
		{ "{SCRAM-SHA-256}4096,YQ==," STORED ",", false },
		{ "{SCRAM-SHA-256}4096,YQ==," STORED, false },
		{ VERIFIER ",x", false },
		{ "{SCRAM-SHA-1}4096,YQ==," STORED "," SERVER, false },
		{ "{SCRAM-SHA-256}", false },
		{ "", false },
	};
	struct hb_scram_verifier v;

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(hb_scram_verifier_parse(
		    at_page_end(hb_span_str(rows[i].text)), &v),
		    rows[i].good ? 0 : HB_E_SYNTAX);
}

/* An unknown login looks like one that exists: the same answer each time, the
 * same cost, another salt than the next one's; nothing is right for it. */
static void
test_AUTH_04_scram_of_nobody(void **state)
{
	struct hb_scram_verifier like = verifier_of(VERIFIER), a, b, c;
	unsigned char proof[HB_SHA256] = { 0 }, signature[HB_SHA256];

	hb_scram_verifier_fake(&like, HB_SPAN("nobody"), &a);
	hb_scram_verifier_fake(&like, HB_SPAN("NoBody"), &b);
	hb_scram_verifier_fake(&like, HB_SPAN("nobody2"), &c);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.iterations, like.iterations);
	assert_int_equal(a.n_salt, like.n_salt);
	assert_memory_not_equal(a.salt, c.salt, a.n_salt);
	assert_memory_not_equal(a.salt, like.salt, a.n_salt);
	assert_memory_not_equal(a.stored, c.stored, HB_SHA256);
	assert_false(hb_scram_check(&a, HB_SPAN("x"), proof, signature));
	assert_false(hb_scram_is_password(&a, HB_SPAN("pencil")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256),
		cmocka_unit_test(hmac_and_pbkdf2),
		cmocka_unit_test(test_AUTH_01_scram_example),
		cmocka_unit_test(test_AUTH_01_scram_first_messages),
		cmocka_unit_test(test_AUTH_01_scram_final_messages),
		cmocka_unit_test(verifiers),
		cmocka_unit_test(test_AUTH_04_scram_of_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
