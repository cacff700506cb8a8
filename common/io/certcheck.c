/* Checks of certificates and keys that the operator names.  Floor 3,
 * libcrypto. */
#include "config.h"

#include "common/io/certcheck.h"

#include <limits.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/base/err.h"
#include "common/base/timefmt.h"
#include "common/io/keysign.h"

/* Has S a PEM block whose name ends with NAME? */
static bool
has_block(struct hb_span s, const char *name)
{
	while (s.n > 0) {
		struct hb_span line = hb_span_trim(hb_span_cut(&s, '\n'));
		size_t n = strlen(name) + 5;

		if (line.n > n && memcmp(line.p, "-----BEGIN ", 11) == 0 &&
		    memcmp(line.p + line.n - n, name, n - 5) == 0)
			return true;
	}
	return false;
}

/* Seconds from now to T. */
static int64_t
seconds_to(const ASN1_TIME *t, int64_t now_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	ASN1_TIME *from = ASN1_TIME_set(NULL, now);
	int days = 0, s = 0;

	if (from != NULL)
		(void)ASN1_TIME_diff(&days, &s, from, t);
	ASN1_TIME_free(from);
	return (int64_t)days * 86400 + s;
}

static void
check_dates(const X509 *cert, const char *what, int64_t now_ms,
    struct hb_buf *out)
{
	int64_t begin = seconds_to(X509_get0_notBefore(cert), now_ms),
		end = seconds_to(X509_get0_notAfter(cert), now_ms);
	char day[HB_TIME_RFC3339_SIZE];

	hb_time_rfc3339(now_ms + (end < 0 ? end : begin) * 1000, day);
	if (end < 0)
		hb_buf_addf(out, "W 0 %s has expired on %.10s\n", what, day);
	else if (begin > 0)
		hb_buf_addf(out, "W 0 %s is not valid before %.10s\n", what,
		    day);
}

/* The number of certificates in PEM, or -1 when one is damaged.  Dates of the
 * first are looked at for WHAT. */
static int
count_certificates(struct hb_span pem, const char *what, int64_t now_ms,
    struct hb_buf *out)
{
	BIO *bio = pem.n <= INT_MAX && pem.n > 0
	    ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	int n = 0;
	X509 *cert;

	while (bio != NULL &&
	    (cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
		if (n++ == 0 && what != NULL)
			check_dates(cert, what, now_ms, out);
		X509_free(cert);
	}
	BIO_free(bio);
	if (bio != NULL &&
	    ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		n = -1;
	ERR_clear_error();
	return n;
}

static void
check_key(struct hb_span chain, struct hb_span key, struct hb_buf *out)
{
	struct hb_keyset *keys = hb_keyset_new();
	int r = hb_keyset_add(keys, key);

	if (r == HB_E_UNSUPPORTED)
		hb_buf_adds(out, "E 0 the key is of no kind that is taken: RSA "
		    "of 2048 bits or more, EC or Ed25519\n");
	else if (r < 0)
		hb_buf_adds(out, "E 0 the key cannot be read: it is damaged, "
		    "or has a passphrase\n");
	else if (!hb_keyset_fits(keys, 0, chain))
		hb_buf_adds(out, "E 0 the key is not the key of the first "
		    "certificate\n");
	hb_keyset_free(&keys);
}

void
hb_cert_check_pair(struct hb_span chain, struct hb_span key, int64_t now_ms,
    struct hb_buf *out)
{
	bool has_cert = has_block(chain, "CERTIFICATE"),
	     has_key = has_block(key, "PRIVATE KEY");

	if (!has_cert && !has_key && has_block(chain, "PRIVATE KEY") &&
	    has_block(key, "CERTIFICATE")) {
		hb_buf_adds(out, "E 0 certificate and key are swapped\n");
		return;
	}
	if (!has_cert)
		hb_buf_adds(out, "E 0 the file of the certificate holds no "
		    "certificate in PEM\n");
	else if (count_certificates(chain, "the certificate", now_ms, out) < 0)
		hb_buf_adds(out, "E 0 a certificate of the chain is "
		    "damaged\n");
	if (!has_key)
		hb_buf_adds(out, "E 0 the file of the key holds no private key "
		    "in PEM\n");
	else if (has_cert)
		check_key(chain, key, out);
}

void
hb_cert_check_roots(struct hb_span bundle, int64_t now_ms, struct hb_buf *out)
{
	int n = count_certificates(bundle, NULL, now_ms, out);

	if (n < 0)
		hb_buf_adds(out, "E 0 a certificate of it is damaged\n");
	else if (n == 0)
		hb_buf_adds(out, "E 0 it holds no certificate in PEM\n");
}
