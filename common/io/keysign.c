/* The key agent's keys.  Floor 3. */
#include "config.h"

#include "common/io/keysign.h"

#include <limits.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/keyid.h"

enum {
	SECURE_HEAP = 512 * 1024, /* bytes: some 80 keys of 4096 bits, twice */
	SECURE_LEAST = 32,        /* bytes of the smallest block in it */
	RSA_LEAST = 2048,         /* bits */
	SIGNATURE_MOST = 4096     /* bytes, as in ipc.def */
};

struct one_key {
	EVP_PKEY *pkey;
	unsigned char id[HB_KEY_ID]; /* once it is known by a certificate */
	bool known;
};

struct hb_keyset {
	struct one_key *keys;
	size_t n;
	struct hb_keyset *former; /* or NULL */
};

/* What may be done with which key. */
static const struct rule {
	enum hb_sign_alg alg;
	const char *type;
	int padding; /* 0: none */
	bool digest; /* signs a digest, not the message */
} rules[] = {
	{ HB_SIGN_RSA_PKCS1, "RSA", RSA_PKCS1_PADDING, true },
	{ HB_SIGN_RSA_PSS, "RSA", RSA_PKCS1_PSS_PADDING, true },
	{ HB_SIGN_ECDSA, "EC", 0, true },
	{ HB_SIGN_ED25519, "ED25519", 0, false },
};

/* Both names that OpenSSL gives to each digest. */
static const struct digest {
	const char *name, *other;
	size_t len;
} digests[] = {
	{ "SHA2-256", "SHA256", 32 },
	{ "SHA2-384", "SHA384", 48 },
	{ "SHA2-512", "SHA512", 64 },
};

struct hb_keyset *
hb_keyset_new(void)
{
	/* OpenSSL keeps private numbers there when it exists: locked, and
	 * not in core dumps.  Without it they are in ordinary memory. */
	if (!CRYPTO_secure_malloc_initialized())
		(void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_LEAST);
	return HB_NEW(struct hb_keyset);
}

void
hb_keyset_free(struct hb_keyset **k)
{
	if (*k == NULL)
		return;
	hb_keyset_forget(*k);
	for (size_t i = 0; i < (*k)->n; i++)
		EVP_PKEY_free((*k)->keys[i].pkey);
	free((*k)->keys);
	free(*k);
	*k = NULL;
}

static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	return -1;
}

static bool
is_usable(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= RSA_LEAST;
	return EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "ED25519");
}

int
hb_keyset_add(struct hb_keyset *k, struct hb_span pem)
{
	BIO *bio = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key;

	if (bio == NULL)
		return HB_E_SYNTAX;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (key == NULL)
		return HB_E_SYNTAX;
	if (!is_usable(key)) {
		EVP_PKEY_free(key);
		return HB_E_UNSUPPORTED;
	}
	k->keys = hb_realloc(k->keys, (k->n + 1) * sizeof(*k->keys));
	k->keys[k->n++] = (struct one_key){ .pkey = key };
	return 0;
}

/* The first certificate of CHAIN, owned, or NULL. */
static X509 *
leaf_of(struct hb_span chain)
{
	BIO *bio = chain.n <= INT_MAX
	    ? BIO_new_mem_buf(chain.p, (int)chain.n) : NULL;
	X509 *cert = bio != NULL
	    ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

bool
hb_keyset_fits(const struct hb_keyset *k, size_t key, struct hb_span chain)
{
	X509 *cert = key < k->n ? leaf_of(chain) : NULL;
	bool fits = cert != NULL &&
	    X509_check_private_key(cert, k->keys[key].pkey) == 1;

	X509_free(cert);
	ERR_clear_error();
	return fits;
}

void
hb_keyset_know(struct hb_keyset *k, size_t key, struct hb_span chain)
{
	X509 *cert = leaf_of(chain);

	if (cert != NULL && key < k->n)
		k->keys[key].known = hb_key_id(cert, k->keys[key].id);
	X509_free(cert);
	ERR_clear_error();
}

void
hb_keyset_follow(struct hb_keyset *k, struct hb_keyset **former)
{
	hb_keyset_forget(*former);
	hb_keyset_forget(k);
	k->former = *former;
	*former = NULL;
}

void
hb_keyset_forget(struct hb_keyset *k)
{
	hb_keyset_free(&k->former);
}

static EVP_PKEY *
find_key(const struct hb_keyset *k, const struct ipc_sign *req)
{
	/* one that no certificate is known of goes by its number */
	if (req->key < k->n && (req->id.n == 0 || !k->keys[req->key].known))
		return k->keys[req->key].pkey;
	for (; k != NULL; k = k->former)
		for (size_t i = 0; i < k->n; i++)
			if (k->keys[i].known && hb_span_eq(req->id,
			    hb_span(k->keys[i].id, HB_KEY_ID)))
				return k->keys[i].pkey;
	return NULL;
}

static const struct rule *
rule_for(const EVP_PKEY *key, unsigned alg)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rules); i++)
		if (rules[i].alg == alg && EVP_PKEY_is_a(key, rules[i].type))
			return &rules[i];
	return NULL;
}

static const struct digest *
digest_named(struct hb_span name)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(digests); i++)
		if (hb_span_eq(name, hb_span_str(digests[i].name)) ||
		    hb_span_eq(name, hb_span_str(digests[i].other)))
			return &digests[i];
	return NULL;
}

static bool
prepare(EVP_PKEY_CTX *ctx, const struct rule *rule, const struct digest *d,
    uint32_t salt_len)
{
	const EVP_MD *md = EVP_get_digestbyname(d->other);

	if (EVP_PKEY_sign_init(ctx) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
		return false;
	if (rule->padding != 0 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, rule->padding) != 1)
		return false;
	return rule->alg != HB_SIGN_RSA_PSS ||
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)salt_len) == 1;
}

/* Each returns the length of the signature in SIG, or 0. */
static size_t
sign_digest(EVP_PKEY *key, const struct rule *rule, const struct digest *d,
    const struct ipc_sign *req, unsigned char *sig)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	size_t n = SIGNATURE_MOST;

	if (ctx == NULL || !prepare(ctx, rule, d, req->salt_len) ||
	    EVP_PKEY_sign(ctx, sig, &n, req->data.p, req->data.n) != 1)
		n = 0;
	EVP_PKEY_CTX_free(ctx);
	return n;
}

static size_t
sign_message(EVP_PKEY *key, const struct ipc_sign *req, unsigned char *sig)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = SIGNATURE_MOST;

	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, req->data.p, req->data.n) != 1)
		n = 0;
	EVP_MD_CTX_free(ctx);
	return n;
}

int
hb_keyset_sign(
    const struct hb_keyset *k, const struct ipc_sign *req, struct hb_buf *sig)
{
	unsigned char out[SIGNATURE_MOST];
	const struct digest *d = digest_named(req->digest_name);
	const struct rule *rule;
	EVP_PKEY *key = find_key(k, req);
	size_t n;

	if (key == NULL)
		return HB_E_NOTFOUND;
	rule = rule_for(key, req->alg);
	if (rule == NULL || rule->digest != (d != NULL) ||
	    (d == NULL && req->digest_name.n > 0))
		return HB_E_PERM;
	if (req->data.n == 0 || (d != NULL && req->data.n != d->len))
		return HB_E_RANGE;
	n = d != NULL ? sign_digest(key, rule, d, req, out)
		      : sign_message(key, req, out);
	ERR_clear_error();
	return n > 0 ? hb_buf_put(sig, hb_span(out, n)) : HB_E_TEMP;
}

void
hb_keyset_answer(
    const struct hb_keyset *k, struct hb_peer *p, const struct ipc_sign *req)
{
	struct hb_buf sig = HB_BUF_INIT(SIGNATURE_MOST);
	struct ipc_signature answer = { .ref = req->ref };
	int r;

	if (hb_peer_pending(p) > 0) {
		hb_peer_violation(p, "a second request before the answer");
		return;
	}
	r = hb_keyset_sign(k, req, &sig);
	if (r < 0)
		HB_LOG(HB_LOG_WARN, HB_EV_TLS, hb_kv_str(HB_K_ACTION, "sign"),
		    hb_kv_int(HB_K_COUNT, req->key),
		    hb_kv_str(HB_K_ERROR, hb_strerror(r)));
	else
		answer.bytes = hb_buf_span(&sig);
	hb_peer_post(p, HB_IPC_SIGNATURE, &answer, -1);
	hb_buf_free(&sig);
}
