/* Facts about a TLS session.  Floor 3.  RFC 8461 s4.2, RFC 9525 s6. */
#include "config.h"

#include "common/io/tls-priv.h"

#include <stdio.h>
#include <time.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

enum { LEAST_BITS = 112 }; /* of security: RSA of 2048 */

static enum hb_chain_state
weigh(int code)
{
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return HB_CHAIN_EXPIRED;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return HB_CHAIN_SELF_SIGNED;
	default:
		return HB_CHAIN_UNTRUSTED;
	}
}

static void
note_problem(struct hb_tls_facts *f, int code)
{
	enum hb_chain_state problem = weigh(code);

	/* The heavier ones stand first in the enum. */
	if (f->chain > HB_CHAIN_OK && f->chain <= problem)
		return;
	f->chain = problem;
	f->verify_code = code;
}

int
hb_tls_facts_on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (!ok)
		note_problem(
		    SSL_get_app_data(ssl), X509_STORE_CTX_get_error(store));
	return 1;
}

/* For people: bytes that are no printable ASCII are shown as `?'. */
static void
put_text(char *dst, size_t size, const unsigned char *p, size_t n)
{
	size_t i;

	for (i = 0; i < n && i < size - 1; i++)
		dst[i] = p[i] > ' ' && p[i] < 0x7f ? (char)p[i] : '?';
	dst[i] = '\0';
}

/* False: there is no room for it. */
static bool
add_name(struct hb_tls_facts *f, const ASN1_STRING *s)
{
	static const char more[] = " ...";
	size_t used = strlen(f->names), n = (size_t)ASN1_STRING_length(s);

	if (used == 0)
		put_text(f->subject, sizeof(f->subject),
		    ASN1_STRING_get0_data(s), n);
	if (used + 1 + n + sizeof(more) > sizeof(f->names)) {
		(void)snprintf(
		    f->names + used, sizeof(f->names) - used, "%s", more);
		return false;
	}
	if (used > 0)
		f->names[used++] = ' ';
	put_text(f->names + used, n + 1, ASN1_STRING_get0_data(s), n);
	return true;
}

void
hb_tls_first_name(X509 *cert, char dst[HB_TLS_NAME])
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	dst[0] = '\0';
	for (int i = 0; dst[0] == '\0' && i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(
		    sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS)
			put_text(dst, HB_TLS_NAME, ASN1_STRING_get0_data(s),
			    (size_t)ASN1_STRING_length(s));
	}
	GENERAL_NAMES_free(names);
}

static void
note_names(struct hb_tls_facts *f, X509 *cert)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool room = true;

	for (int i = 0; room && i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *s = GENERAL_NAME_get0_value(
		    sk_GENERAL_NAME_value(names, i), &type);

		if (type == GEN_DNS)
			room = add_name(f, s);
	}
	GENERAL_NAMES_free(names);
}

static void
note_issuer(struct hb_tls_facts *f, const X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	if (bio == NULL)
		HB_BUG("out of memory");
	/* What is no printable ASCII is escaped. */
	(void)X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0,
	    XN_FLAG_RFC2253 & ~(unsigned long)XN_FLAG_DN_REV);
	n = BIO_read(bio, f->issuer, sizeof(f->issuer) - 1);
	f->issuer[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

/* RFC 9525 s6.3: a DNS-ID, a wildcard only as the whole left label; the
 * common name never counts. */
static bool
name_matches(X509 *cert, const char *name)
{
	return name[0] != '\0' && X509_check_host(cert, name, 0,
				      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
					  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
				      NULL) == 1;
}

bool
hb_tls_time(const ASN1_TIME *time, int64_t *ms)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

/* For people. */
static void
describe(struct hb_tls_facts *f, X509 *cert)
{
	(void)hb_tls_time(X509_get0_notAfter(cert), &f->not_after_ms);
	note_names(f, cert);
	note_issuer(f, cert);
}

/* Without DANE. */
static void
note_chain(struct hb_tls_facts *f, X509 *cert, long verify)
{
	if (f->chain == HB_CHAIN_NONE)
		f->chain = HB_CHAIN_OK;
	if (f->chain == HB_CHAIN_OK && verify != X509_V_OK)
		note_problem(f, (int)verify);
	f->name_ok = name_matches(cert, f->reference);
	if (f->chain != HB_CHAIN_OK)
		(void)snprintf(f->error, sizeof(f->error), "%s",
		    X509_verify_cert_error_string(f->verify_code));
}

/* The group; with TLS 1.2 there may be none with a name. */
static void
note_kex(struct hb_tls_facts *f, SSL *ssl)
{
	long id = SSL_get_negotiated_group(ssl);
	const char *name = id > 0 ? SSL_group_to_name(ssl, (int)id) : NULL;
	EVP_PKEY *key = NULL;

	if (name == NULL && SSL_get_peer_tmp_key(ssl, &key) == 1)
		(void)snprintf(f->kex, sizeof(f->kex), "dhe%d",
		    EVP_PKEY_get_bits(key));
	else
		(void)snprintf(f->kex, sizeof(f->kex), "%s",
		    name != NULL ? name : "rsa");
	EVP_PKEY_free(key);
}

/* A key that can be guessed proves nobody. */
static void
note_print(struct hb_tls_facts *f, const X509 *cert)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_PKEY_get_security_bits(X509_get0_pubkey(cert)) < LEAST_BITS ||
	    X509_digest(cert, EVP_sha256(), md, &n) != 1)
		return;
	for (unsigned i = 0; i < n && i < (sizeof(f->print) - 1) / 2; i++)
		(void)snprintf(f->print + 2 * i, 3, "%02x", md[i]);
}

/* RFC 9266 s2, s4.2: before TLS 1.3 only with the extended master secret. */
static void
note_binding(struct hb_tls_facts *f, SSL *ssl)
{
	static const char label[] = "EXPORTER-Channel-Binding";

	f->has_binding = SSL_is_server(ssl) &&
	    (f->version >= 13 || SSL_get_extms_support(ssl) == 1) &&
	    SSL_export_keying_material(ssl, f->binding, sizeof(f->binding),
		label, sizeof(label) - 1, NULL, 0, 0) == 1;
}

void
hb_tls_facts_done(struct hb_tls_facts *f, SSL *ssl)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);

	f->state = HB_TLSF_DONE;
	f->version = SSL_version(ssl) == TLS1_3_VERSION ? 13 : 12;
	(void)snprintf(
	    f->cipher, sizeof(f->cipher), "%s", SSL_get_cipher_name(ssl));
	f->bits = (unsigned)SSL_get_cipher_bits(ssl, NULL);
	note_kex(f, ssl);
	note_binding(f, ssl);
	if (cert != NULL)
		describe(f, cert);
	if (cert != NULL && SSL_is_server(ssl))
		note_print(f, cert);
	if (f->dane != HB_DANE_UNTRIED)
		hb_tls_dane_done(f, ssl);
	else if (cert != NULL)
		note_chain(f, cert, SSL_get_verify_result(ssl));
	X509_free(cert);
}

bool
hb_tls_facts_named(SSL *ssl, const char *name)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	bool yes = cert != NULL && name_matches(cert, name);

	X509_free(cert);
	return yes;
}

void
hb_tls_facts_failed(struct hb_tls_facts *f, const char *why)
{
	f->state = HB_TLSF_FAILED;
	(void)snprintf(f->error, sizeof(f->error), "%s", why);
}
