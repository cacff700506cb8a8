/*
 * A self-signed certificate for a server without one.  Floor 3, libcrypto.  RFC
 * 5280 s4.1, s4.2.1.6: the name is a DNS-ID.
 */
#include "config.h"

#include "common/io/tls.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/base/err.h"
#include "common/base/limits.h"

enum { DAY_S = 86400, VALID_DAYS = 3650, SERIAL_BYTES = 16 };

static bool
set_serial(X509 *cert)
{
	unsigned char raw[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool ok;

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	/* Positive and not zero. */
	raw[0] = (unsigned char)((raw[0] & 0x7f) | 0x40);
	n = BN_bin2bn(raw, sizeof(raw), NULL);
	ok = n != NULL &&
	     BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return ok;
}

/* A clock that is a little behind ours still takes it. */
static bool
set_times(X509 *cert, int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000);

	return X509_time_adj_ex(X509_getm_notBefore(cert), -1, 0, &now) !=
		   NULL &&
	       X509_time_adj_ex(
		   X509_getm_notAfter(cert), VALID_DAYS, 0, &now) != NULL;
}

/* The common name of 64 bytes at most is for people. */
static bool
set_subject(X509 *cert, struct hb_span name)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	struct hb_span cn = hb_span_head(name, 64);

	return X509_NAME_add_entry_by_txt(
		   subject, "CN", MBSTRING_ASC, cn.p, (int)cn.n, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, subject) == 1;
}

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool
set_names(X509 *cert, const char *name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();
	bool ok = names != NULL && one != NULL && text != NULL &&
		  ASN1_STRING_set(text, name, -1) == 1 &&
		  sk_GENERAL_NAME_push(names, one) > 0;

	if (ok) {
		GENERAL_NAME_set0_value(one, GEN_DNS, text);
		ok = X509_add1_ext_i2d(
			 cert, NID_subject_alt_name, names, 0, 0) == 1;
	} else {
		ASN1_IA5STRING_free(text);
		GENERAL_NAME_free(one);
	}
	GENERAL_NAMES_free(names);
	return ok;
}

static bool
fill(X509 *cert, EVP_PKEY *key, const char *name, int64_t now_ms)
{
	return X509_set_version(cert, X509_VERSION_3) == 1 &&
	       set_serial(cert) && set_times(cert, now_ms) &&
	       set_subject(cert, hb_span_str(name)) &&
	       X509_set_pubkey(cert, key) == 1 && set_names(cert, name) &&
	       add_extension(
		   cert, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(
		   cert, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") &&
	       X509_sign(cert, key, EVP_sha256()) > 0;
}

static int
take_pem(BIO *bio, struct hb_buf *out)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	return n > 0 ? hb_buf_put(out, hb_span(p, (size_t)n)) : HB_E_TLS;
}

static int
write_pem(
    X509 *cert, EVP_PKEY *key, struct hb_buf *cert_out, struct hb_buf *key_out)
{
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_secmem());
	int r = HB_E_TLS;

	if (a != NULL && b != NULL && PEM_write_bio_X509(a, cert) == 1 &&
	    PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1) {
		r = take_pem(a, cert_out);
		if (r == 0)
			r = take_pem(b, key_out);
	}
	BIO_free(a);
	BIO_free(b);
	return r;
}

int
hb_tls_self_signed(const char *name, int64_t now_ms, struct hb_buf *cert_out,
    struct hb_buf *key_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	int r = HB_E_TLS;

	if (hb_span_str(name).n == 0 || hb_span_str(name).n > HB_MAX_DOMAIN)
		r = HB_E_RANGE;
	else if (key != NULL && cert != NULL && fill(cert, key, name, now_ms))
		r = write_pem(cert, key, cert_out, key_out);
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return r;
}
