/*
 * DANE for one session, by OpenSSL's own verification.  Floor 3.  RFC 7671, RFC
 * 7672 s3.
 *
 * The context's callback, which accepts every certificate, is not used in such
 * a session: OpenSSL stops at the first fault, and its overall result is
 * authoritative.  The handshake continues anyway because the facts are judged
 * elsewhere.
 */
#include "config.h"

#include "common/io/tls-priv.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "common/proto/dane.h"

enum { USAGE_TA = 2, USAGE_EE = 3 }; /* RFC 7671 s5 */

static int
on_verify(int ok, X509_STORE_CTX *store)
{
	return ok;
}

/*
 * One that OpenSSL finds malformed is left out, RFC 7671 s9.  Without memory
 * nothing is a match: a strong record that is lost must not let a weak one
 * decide.  Starts at NO_MATCH, which is what no record at all comes to.
 */
static int
add_records(SSL *ssl, const struct hb_dane *d)
{
	int code = X509_V_ERR_DANE_NO_MATCH;

	for (size_t i = 0; i < d->n; i++) {
		const struct hb_tlsa *t = &d->rr[i];
		int r = t->data.n == 0
			    ? 0
			    : SSL_dane_tlsa_add(ssl, t->usage, t->selector,
				  t->match, t->data.p, t->data.n);

		ERR_clear_error();
		if (r < 0)
			return X509_V_ERR_OUT_OF_MEM;
		if (r > 0)
			code = X509_V_OK;
	}
	return code;
}

/* To OpenSSL an empty name is no name to check at all. */
static bool
set_names(SSL *ssl, const char *base, const struct hb_dane *d)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (base[0] == '\0' || SSL_dane_enable(ssl, base) <= 0)
		return false;
	/* RFC 7672 s3.2.3: `*' is the whole left label. */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; i < d->nnames; i++)
		if (X509_VERIFY_PARAM_add1_host(param, d->names[i], 0) != 1)
			return false;
	/* RFC 7672 s3.1.1 */
	(void)SSL_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	return true;
}

void
hb_tls_dane_start(struct hb_tls_facts *f, SSL *ssl, const struct hb_dane *d)
{
	SSL_set_verify(ssl, SSL_VERIFY_NONE, on_verify);
	f->dane = HB_DANE_NO;
	f->dane_digest = d->digest;
	f->verify_code = set_names(ssl, f->reference, d)
			     ? add_records(ssl, d)
			     : X509_V_ERR_DANE_NO_MATCH;
}

static enum hb_dane_match
match_of(SSL *ssl)
{
	uint8_t usage = UINT8_MAX;

	if (SSL_get_verify_result(ssl) != X509_V_OK ||
	    SSL_get0_dane_authority(ssl, NULL, NULL) < 0 ||
	    SSL_get0_dane_tlsa(ssl, &usage, NULL, NULL, NULL, NULL) < 0)
		return HB_DANE_NO;
	if (usage == USAGE_EE)
		return HB_DANE_EE;
	return usage == USAGE_TA ? HB_DANE_TA : HB_DANE_NO;
}

void
hb_tls_dane_done(struct hb_tls_facts *f, SSL *ssl)
{
	if (f->verify_code == X509_V_OK) { /* there is something to match */
		f->verify_code = (int)SSL_get_verify_result(ssl);
		f->dane = match_of(ssl);
	}
	if (f->dane != HB_DANE_NO)
		return;
	(void)snprintf(f->error, sizeof(f->error), "%s",
	    X509_verify_cert_error_string(f->verify_code));
}
