/*
 * TLS contexts.  Floor 3.  RFC 3207, RFC 8461 s7.2 (TLS 1.2 or later).
 */
#include "config.h"

#include "common/io/tls.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/mem.h"
#include "common/io/keyprov.h"
#include "common/io/tls-priv.h"

/*
 * TLS 1.2; the suites of 1.3 are all good.  A server's key only signs, so it
 * has no suites with RSA key transport.  Those with CBC come last: they are for
 * old mail servers, which would send in clear without them (hb_tls_listener).
 */
static const char server_suites[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:"
    "!aNULL:!AESCCM:!AESCCM8";
static const char client_suites[] =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:DHE+AESGCM:DHE+CHACHA20:"
    "RSA+AESGCM:RSA+AES:!aNULL";

/*
 * Groups for the key exchange.  From OpenSSL 3.5 on the hybrid one comes first,
 * but a share is sent for X25519 alone (the asterisk): a first flight of two
 * packets breaks some peers, which looks like an attack.  Whoever wants the
 * hybrid one asks for its share.  The slash: a server asks so too.
 * (OpenSSL's macro wants them without const.)
 */
static char groups[] = "X25519:P-256:X448:P-384:P-521:ffdhe2048:ffdhe3072";
static char hybrid_groups[] =
    "?X25519MLKEM768 / ?*X25519:?P-256:?X448:?P-384:?P-521:"
    "?ffdhe2048:?ffdhe3072";
enum { OPENSSL_WITH_HYBRID = 0x30500000 };

enum {
	FINITE_FIELD_MOST = 4096, /* bits */
	CLIENT_KEY_MOST = 8192	  /* bits: above it a check costs too much */
};

struct server_cert {
	SSL_CTX *ctx;
	X509 *leaf; /* in the context */
	char name[HB_TLS_NAME];	/* its first DNS-ID, or empty */
};

struct hb_tls {
	unsigned refs;
	struct server_cert *certs; /* client: one without leaf */
	size_t n;
	X509_STORE *store; /* client */
};

static void
say(struct hb_buf *err, const char *what, size_t index)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	hb_buf_addf(err, "%s %zu: %s", what, index + 1,
	    why != NULL ? why : "not usable");
	ERR_clear_error();
}

static struct hb_tls *
tls_alloc(size_t n)
{
	struct hb_tls *t = HB_NEW(struct hb_tls);

	t->refs = 1;
	t->n = n;
	t->certs = hb_calloc(n, sizeof(*t->certs));
	return t;
}

static void
unref(struct hb_tls *t)
{
	if (--t->refs > 0)
		return;
	for (size_t i = 0; i < t->n; i++)
		SSL_CTX_free(t->certs[i].ctx);
	free(t->certs);
	free(t);
}

void
hb_tls_free(struct hb_tls **t)
{
	if (*t == NULL)
		return;
	unref(*t);
	*t = NULL;
}

SSL *
hb_tls_new_ssl(struct hb_tls *t)
{
	SSL *ssl = SSL_new(t->certs[0].ctx);

	if (ssl == NULL)
		HB_BUG("out of memory");
	t->refs++;
	return ssl;
}

void
hb_tls_free_ssl(struct hb_tls *t, SSL *ssl)
{
	SSL_free(ssl);
	unref(t);
}

void *
hb_tls_store(struct hb_tls *t)
{
	return t->store;
}

char *
hb_tls_groups(unsigned long version)
{
	return version >= OPENSSL_WITH_HYBRID ? hybrid_groups : groups;
}

/* By the library that runs, not the one that we were built with. */
static bool
set_groups(SSL_CTX *ctx)
{
	return SSL_CTX_set1_groups_list(ctx,
	    hb_tls_groups(OpenSSL_version_num())) == 1;
}

/* What both sides have in common. */
static bool
set_up(SSL_CTX *ctx, enum hb_tls_version min, const char *suites)
{
	/* Many SMTP peers just close; SMTP itself tells where a message
	 * ends, so that nothing can be cut off unseen. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF |
				     SSL_OP_NO_RENEGOTIATION |
				     SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_security_level(ctx, 2);
	return set_groups(ctx) &&
	       SSL_CTX_set_cipher_list(ctx, suites) == 1 &&
	       SSL_CTX_set_min_proto_version(ctx,
		   min == HB_TLSVER_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1;
}

/* With a group that is known a short secret will do; with another one a
 * handshake over 10,000 bits takes a second. */
static bool
is_costly(const EVP_PKEY *group)
{
	char name[80];

	return EVP_PKEY_get_bits(group) > FINITE_FIELD_MOST &&
	       EVP_PKEY_get_group_name(group, name, sizeof(name), NULL) != 1;
}

static int (*usual_security)(
    const SSL *, const SSL_CTX *, int, int, int, void *, void *);

static int
on_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
    void *other, void *ex)
{
	if (op == SSL_SECOP_TMP_DH && other != NULL && is_costly(other))
		return 0;
	return usual_security(ssl, ctx, op, bits, nid, other, ex);
}

static void
set_security(SSL_CTX *ctx, int (*on)(const SSL *, const SSL_CTX *, int, int,
    int, void *, void *))
{
	if (usual_security == NULL)
		usual_security = SSL_CTX_get_security_callback(ctx);
	SSL_CTX_set_security_callback(ctx, on);
}

void
hb_tls_bound(void *ssl_ctx)
{
	set_security(ssl_ctx, on_security);
	SSL_CTX_clear_mode(ssl_ctx, SSL_MODE_AUTO_RETRY);
}

static BIO *
bio_of(struct hb_span pem)
{
	/* An empty file has no bytes to point to, which OpenSSL refuses. */
	const void *p = pem.n > 0 ? pem.p : (const void *)"";
	BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(p, (int)pem.n) : NULL;

	if (b == NULL)
		HB_BUG("out of memory");
	return b;
}

/* --- client --- */

/* The number of roots read; a damaged one ends it with 0. */
static size_t
add_roots(X509_STORE *store, struct hb_span pem)
{
	BIO *bio = bio_of(pem);
	size_t n = 0;
	X509 *cert;

	while ((cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
		n += X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return 0;
	ERR_clear_error();
	return n;
}

struct hb_tls *
hb_tls_client_new(const struct hb_span *bundles, size_t n,
    enum hb_tls_version min, struct hb_buf *err)
{
	struct hb_tls *t = tls_alloc(1);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	t->certs[0].ctx = ctx;
	if (ctx == NULL || !set_up(ctx, min, client_suites)) {
		say(err, "TLS client", 0);
		hb_tls_free(&t);
		return NULL;
	}
	hb_tls_bound(ctx);
	/* A session resumed would carry the judgement of another day. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, hb_tls_facts_on_verify);
	if (SSL_CTX_dane_enable(ctx) <= 0)
		HB_BUG("out of memory");
	t->store = SSL_CTX_get_cert_store(ctx);
	for (size_t i = 0; i < n; i++) {
		if (add_roots(t->store, bundles[i]) > 0)
			continue;
		say(err, "ca-file", i);
		hb_tls_free(&t);
		return NULL;
	}
	return t;
}

/* --- server --- */

/* A certificate beside those that SSL has, for clients that want its kind of
 * key. */
static bool
add_beside(SSL *ssl, const struct server_cert *c)
{
	STACK_OF(X509) *chain = NULL;

	return SSL_CTX_get0_chain_certs(c->ctx, &chain) == 1 &&
	    SSL_use_cert_and_key(ssl, c->leaf, SSL_CTX_get0_privatekey(c->ctx),
		chain, 1) == 1;
}

/* EX: the listener wants AEAD alone.  A list of its own would cost each session
 * half a KiB. */
static int
on_server_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits,
    int nid, void *other, void *ex)
{
	if (op == SSL_SECOP_CIPHER_SHARED && ex != NULL &&
	    SSL_CIPHER_is_aead(other) != 1)
		return 0;
	return usual_security(ssl, ctx, op, bits, nid, other, ex);
}

/* Another certificate, and what the listener wants. */
static void
use_context(SSL *ssl, SSL_CTX *ctx)
{
	void *ex = SSL_get0_security_ex_data(ssl);

	(void)SSL_set_SSL_CTX(ssl, ctx);
	SSL_set0_security_ex_data(ssl, ex);
}

static unsigned
kind_of(const struct server_cert *c)
{
	return EVP_PKEY_is_a(X509_get0_pubkey(c->leaf), "RSA") ? 1
	    : EVP_PKEY_is_a(X509_get0_pubkey(c->leaf), "EC")   ? 2
							       : 4;
}

/* Of each kind of key the first certificate that is good for NAME.  False:
 * there is none. */
static bool
choose(const struct hb_tls *t, SSL *ssl, const char *name)
{
	unsigned have = 0;

	for (size_t i = 0; i < t->n; i++) {
		const struct server_cert *c = &t->certs[i];
		unsigned kind = kind_of(c);

		if ((have & kind) != 0 ||
		    X509_check_host(c->leaf, name, 0, 0, NULL) != 1)
			continue;
		if (have == 0)
			use_context(ssl, c->ctx);
		else if (!add_beside(ssl, c))
			ERR_clear_error();
		have |= kind;
	}
	return have != 0;
}

/* RFC 8461 s7.1, RFC 7672 s8.1: an unknown name gets the first certificate;
 * most servers send no name. */
static int
choose_by_name(SSL *ssl, int *alert, void *arg)
{
	const struct hb_tls *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const char *first = t->certs[0].name;

	if (t->n > 1 && (name == NULL || !choose(t, ssl, name)) &&
	    first[0] != '\0')
		(void)choose(t, ssl, first);
	return SSL_TLSEXT_ERR_OK;
}

/* Whose certificate it is says its fingerprint: no authority is asked, and
 * nothing is refused but a key that would cost us seconds. */
static int
on_client_certificate(X509_STORE_CTX *store, void *arg)
{
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	EVP_PKEY *key = cert != NULL ? X509_get0_pubkey(cert) : NULL;

	if (key == NULL || EVP_PKEY_get_bits(key) > CLIENT_KEY_MOST) {
		X509_STORE_CTX_set_error(store,
		    X509_V_ERR_APPLICATION_VERIFICATION);
		return 0;
	}
	X509_STORE_CTX_set_error(store,
	    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	return 1;
}

static X509 *
read_cert(BIO *bio)
{
	X509 *cert = X509_new_ex(hb_keyprov_libctx(), HB_KEYPROV_PROPQ);

	if (cert != NULL && PEM_read_bio_X509(bio, &cert, NULL, NULL) != NULL)
		return cert;
	X509_free(cert);
	return NULL;
}

static bool
use_chain(SSL_CTX *ctx, STACK_OF(X509) * chain, uint32_t index,
    struct hb_keyclient *keys)
{
	X509 *leaf = sk_X509_shift(chain);
	EVP_PKEY *key =
	    leaf == NULL ? NULL : hb_keyprov_key(leaf, index, keys);
	bool ok = key != NULL &&
		  SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) == 1;

	EVP_PKEY_free(key);
	X509_free(leaf);
	return ok;
}

static bool
load_chain(
    SSL_CTX *ctx, struct hb_span pem, uint32_t index, struct hb_keyclient *keys)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	BIO *bio = bio_of(pem);
	X509 *cert;
	bool ok;

	if (chain == NULL)
		HB_BUG("out of memory");
	while ((cert = read_cert(bio)) != NULL)
		if (sk_X509_push(chain, cert) == 0)
			HB_BUG("out of memory");
	BIO_free(bio);
	ok = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (ok && sk_X509_num(chain) > 0)
		ERR_clear_error();
	ok = ok && use_chain(ctx, chain, index, keys);
	sk_X509_pop_free(chain, X509_free);
	return ok;
}

static bool
server_ctx(struct hb_tls *t, size_t i, struct hb_span chain,
    enum hb_tls_version min, struct hb_keyclient *keys)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(
	    hb_keyprov_libctx(), HB_KEYPROV_PROPQ, TLS_server_method());

	t->certs[i].ctx = ctx;
	if (ctx == NULL || !set_up(ctx, min, server_suites) ||
	    !load_chain(ctx, chain, (uint32_t)i, keys))
		return false;
	SSL_CTX_set_options(
	    ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	set_security(ctx, on_server_security);
	(void)SSL_CTX_set_dh_auto(ctx, 1);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, choose_by_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, t);
	SSL_CTX_set_cert_verify_callback(ctx, on_client_certificate, NULL);
	t->certs[i].leaf = SSL_CTX_get0_certificate(ctx);
	hb_tls_first_name(t->certs[i].leaf, t->certs[i].name);
	return true;
}

struct hb_tls *
hb_tls_server_new(const struct hb_span *chains, size_t n,
    enum hb_tls_version min, struct hb_keyclient *keys, struct hb_buf *err)
{
	struct hb_tls *t;

	if (n == 0 || hb_keyprov_libctx() == NULL) {
		say(err, n == 0 ? "no tls-certificate" : "key provider", 0);
		return NULL;
	}
	t = tls_alloc(n);
	for (size_t i = 0; i < n; i++) {
		if (server_ctx(t, i, chains[i], min, keys))
			continue;
		say(err, "tls-certificate", i);
		hb_tls_free(&t);
		return NULL;
	}
	return t;
}

size_t
hb_tls_chains(const struct hb_tls *t)
{
	return t->n;
}

const char *
hb_tls_name(const struct hb_tls *t, size_t i)
{
	return i < t->n ? t->certs[i].name : "";
}

bool
hb_tls_is_same(const struct hb_tls *t, const struct hb_tls *u, size_t i)
{
	return i < t->n && i < u->n &&
	    X509_cmp(t->certs[i].leaf, u->certs[i].leaf) == 0;
}

bool
hb_tls_validity(const struct hb_tls *t, size_t i, int64_t *from_ms,
    int64_t *to_ms)
{
	const X509 *leaf = i < t->n ? t->certs[i].leaf : NULL;

	return leaf != NULL &&
	    hb_tls_time(X509_get0_notBefore(leaf), from_ms) &&
	    hb_tls_time(X509_get0_notAfter(leaf), to_ms);
}
