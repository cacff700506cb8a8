/*
 * The OpenSSL provider of keys that live in the key agent.  Floor 3.
 *
 * OpenSSL's own code handles the public part; one of our keys is that part and
 * a number.  The key refuses export as a private key, so that OpenSSL comes
 * here for its signatures, and this file sends the digest (Ed25519: the
 * message) to the agent.
 */
#include "config.h"

#include "common/io/keyprov.h"

#include <stdlib.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/keyclient.h"
#include "common/io/keyid.h"

#define PROVIDER "hauberk"
#define DEFAULT "provider=default"
/* Parameters of hb_keyprov_key to its own key management. */
#define PARAM_PUBLIC "hauberk-public"
#define PARAM_KEYS "hauberk-keys"
#define PARAM_INDEX "hauberk-index"
#define PARAM_ID "hauberk-id"

struct agent_key {
	const char *type;
	EVP_PKEY *pub;             /* of OpenSSL's own providers */
	struct hb_keyclient *keys; /* NULL: a public key, to compare with */
	uint32_t index;
	unsigned char id[HB_KEY_ID];
};

struct sign_ctx {
	struct agent_key *key; /* borrowed: its EVP_PKEY outlives this */
	char digest[32];       /* empty for Ed25519 */
	int padding, salt_len; /* RSA */
};

/* --- keys --- */

static void *
key_new(const char *type)
{
	struct agent_key *k = HB_NEW(struct agent_key);

	k->type = type;
	return k;
}

static OSSL_FUNC_keymgmt_new_fn rsa_new, ec_new, ed25519_new;

static void *
rsa_new(void *provctx)
{
	return key_new("RSA");
}

static void *
ec_new(void *provctx)
{
	return key_new("EC");
}

static void *
ed25519_new(void *provctx)
{
	return key_new("ED25519");
}

static OSSL_FUNC_keymgmt_free_fn key_free;
static void
key_free(void *data)
{
	struct agent_key *k = data;

	if (k == NULL)
		return;
	EVP_PKEY_free(k->pub);
	if (k->keys != NULL)
		hb_keyclient_unref(k->keys);
	free(k);
}

static OSSL_FUNC_keymgmt_has_fn key_has;
static int
key_has(const void *data, int selection)
{
	const struct agent_key *k = data;

	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return k->keys != NULL;
	return k->pub != NULL;
}

static OSSL_FUNC_keymgmt_match_fn key_match;
static int
key_match(const void *a, const void *b, int selection)
{
	const struct agent_key *x = a, *y = b;

	return EVP_PKEY_eq(x->pub, y->pub) == 1;
}

/* From hb_keyprov_key. */
static int
import_agent_key(struct agent_key *k, const OSSL_PARAM *pub,
    const OSSL_PARAM params[])
{
	const OSSL_PARAM *keys = OSSL_PARAM_locate_const(params, PARAM_KEYS),
	    *index = OSSL_PARAM_locate_const(params, PARAM_INDEX),
	    *id = OSSL_PARAM_locate_const(params, PARAM_ID);
	const void *p, *c, *name;
	size_t np, nc, n;

	if (!OSSL_PARAM_get_octet_ptr(pub, &p, &np) || keys == NULL ||
	    !OSSL_PARAM_get_octet_ptr(keys, &c, &nc) || index == NULL ||
	    !OSSL_PARAM_get_uint32(index, &k->index) || id == NULL ||
	    !OSSL_PARAM_get_octet_ptr(id, &name, &n) || n != sizeof(k->id))
		return 0;
	memcpy(k->id, name, n);
	memcpy(&k->pub, p, sizeof(k->pub));
	memcpy(&k->keys, c, sizeof(k->keys));
	if (!EVP_PKEY_up_ref(k->pub)) {
		k->pub = NULL;
		k->keys = NULL;
		return 0;
	}
	hb_keyclient_ref(k->keys);
	return 1;
}

/* The public part of a certificate's key, to be compared with ours. */
static int
import_public(struct agent_key *k, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *ctx =
	    EVP_PKEY_CTX_new_from_name(hb_keyprov_libctx(), k->type, DEFAULT);
	OSSL_PARAM *copy = OSSL_PARAM_dup(params);
	int ok =
	    ctx != NULL && copy != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &k->pub, EVP_PKEY_PUBLIC_KEY, copy) == 1;

	OSSL_PARAM_free(copy);
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static OSSL_FUNC_keymgmt_import_fn key_import;
static int
key_import(void *data, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *pub = OSSL_PARAM_locate_const(params, PARAM_PUBLIC);

	if (pub == NULL)
		return import_public(data, params);
	return import_agent_key(data, pub, params);
}

static OSSL_FUNC_keymgmt_export_fn key_export;
static int
key_export(void *data, int selection, OSSL_CALLBACK *cb, void *arg)
{
	struct agent_key *k = data;
	OSSL_PARAM *params = NULL;
	int ok;

	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return 0;
	ok = EVP_PKEY_todata(k->pub, EVP_PKEY_PUBLIC_KEY, &params) == 1 &&
	     cb(params, arg) == 1;
	OSSL_PARAM_free(params);
	return ok;
}

static OSSL_FUNC_keymgmt_import_types_fn key_types;
static const OSSL_PARAM *
key_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_ptr(PARAM_PUBLIC, NULL, 0),
		OSSL_PARAM_octet_ptr(PARAM_KEYS, NULL, 0),
		OSSL_PARAM_uint32(PARAM_INDEX, NULL),
		OSSL_PARAM_octet_ptr(PARAM_ID, NULL, 0),
		OSSL_PARAM_END,
	};

	return types;
}

static OSSL_FUNC_keymgmt_get_params_fn key_get_params;
static int
key_get_params(void *data, OSSL_PARAM params[])
{
	const struct agent_key *k = data;

	return EVP_PKEY_get_params(k->pub, params);
}

static OSSL_FUNC_keymgmt_gettable_params_fn key_gettable;
static const OSSL_PARAM *
key_gettable(void *provctx)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(
		    OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	return list;
}

static OSSL_FUNC_keymgmt_query_operation_name_fn ec_operation;
static const char *
ec_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

/* --- signatures --- */

static OSSL_FUNC_signature_newctx_fn sign_new;
static void *
sign_new(void *provctx, const char *propq)
{
	struct sign_ctx *s = HB_NEW(struct sign_ctx);

	s->padding = RSA_PKCS1_PADDING;
	s->salt_len = RSA_PSS_SALTLEN_DIGEST;
	return s;
}

static OSSL_FUNC_signature_freectx_fn sign_free;
static void
sign_free(void *ctx)
{
	free(ctx);
}

/* OpenSSL gives these as words, its callers as numbers. */
static const struct word {
	const char *key, *word;
	int value;
} words[] = {
	{ OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_PKCSV15,
	    RSA_PKCS1_PADDING },
	{ OSSL_SIGNATURE_PARAM_PAD_MODE, OSSL_PKEY_RSA_PAD_MODE_PSS,
	    RSA_PKCS1_PSS_PADDING },
	{ OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST,
	    RSA_PSS_SALTLEN_DIGEST },
};

/* 1: *V is set, or KEY is not among PARAMS. */
static int
get_choice(const OSSL_PARAM params[], const char *key, int *v)
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, key);
	const char *text;

	if (p == NULL)
		return 1;
	if (p->data_type == OSSL_PARAM_INTEGER)
		return OSSL_PARAM_get_int(p, v);
	if (!OSSL_PARAM_get_utf8_string_ptr(p, &text))
		return 0;
	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++) {
		if (strcmp(words[i].key, key) == 0 &&
		    strcmp(words[i].word, text) == 0) {
			*v = words[i].value;
			return 1;
		}
	}
	return 0;
}

static OSSL_FUNC_signature_set_ctx_params_fn sign_set_params;
static int
sign_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct sign_ctx *s = ctx;

	return params == NULL ||
	       (get_choice(
		    params, OSSL_SIGNATURE_PARAM_PAD_MODE, &s->padding) &&
		   get_choice(
		       params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &s->salt_len));
}

static OSSL_FUNC_signature_settable_ctx_params_fn sign_settable;
static const OSSL_PARAM *
sign_settable(void *ctx, void *provctx)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
		OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL),
		OSSL_PARAM_END,
	};

	return list;
}

static OSSL_FUNC_signature_digest_sign_init_fn sign_init;
static int
sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct sign_ctx *s = ctx;

	if (key != NULL)
		s->key = key;
	if (s->key == NULL || s->key->keys == NULL)
		return 0;
	if (hb_span_copy(hb_span_str(digest), s->digest, sizeof(s->digest)) < 0)
		return 0;
	return sign_set_params(ctx, params);
}

/* What the agent is asked for; false: nothing that it signs. */
static bool
choose_algorithm(
    const struct sign_ctx *s, size_t digest_len, struct ipc_sign *req)
{
	if (strcmp(s->key->type, "EC") == 0) {
		req->alg = HB_SIGN_ECDSA;
	} else if (strcmp(s->key->type, "ED25519") == 0) {
		req->alg = HB_SIGN_ED25519;
	} else if (s->padding == RSA_PKCS1_PADDING) {
		req->alg = HB_SIGN_RSA_PKCS1;
	} else if (s->padding == RSA_PKCS1_PSS_PADDING) {
		req->alg = HB_SIGN_RSA_PSS;
		req->salt_len = s->salt_len >= 0 ? (uint32_t)s->salt_len
						 : (uint32_t)digest_len;
		return s->salt_len >= RSA_PSS_SALTLEN_DIGEST;
	} else {
		return false;
	}
	return true;
}

static int
ask_agent(const struct sign_ctx *s, struct hb_span data, struct hb_buf *sig)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct ipc_sign req = { .key = s->key->index, .data = data,
		.id = hb_span(s->key->id, sizeof(s->key->id)) };

	if (s->digest[0] != '\0') {
		size_t n = 0;

		if (!EVP_Q_digest(hb_keyprov_libctx(), s->digest, DEFAULT,
			data.p, data.n, digest, &n))
			return HB_E_UNSUPPORTED;
		req.data = hb_span(digest, n);
		req.digest_name = hb_span_str(s->digest);
	}
	if (!choose_algorithm(s, req.data.n, &req))
		return HB_E_UNSUPPORTED;
	return hb_keyclient_sign(s->key->keys, &req, sig);
}

static OSSL_FUNC_signature_digest_sign_fn sign_digest;
static int
sign_digest(void *ctx, unsigned char *sig, size_t *siglen, size_t sigsize,
    const unsigned char *data, size_t len)
{
	struct sign_ctx *s = ctx;
	struct hb_buf out = HB_BUF_INIT(sigsize);
	int r;

	if (sig == NULL) {
		*siglen = (size_t)EVP_PKEY_get_size(s->key->pub);
		return 1;
	}
	r = ask_agent(s, hb_span(data, len), &out);
	if (r == 0) {
		memcpy(sig, out.p + out.off, out.n);
		*siglen = out.n;
	} else {
		ERR_raise_data(ERR_LIB_PROV, ERR_R_OPERATION_FAIL,
		    "key agent: %s", hb_strerror(r));
	}
	hb_buf_free(&out);
	return r == 0;
}

/* --- tables --- */

typedef void (*dispatch_fn)(void);

#define KEY_FUNCTIONS(new_fn)                                                  \
	{ OSSL_FUNC_KEYMGMT_NEW, (dispatch_fn)(new_fn) },                      \
	    { OSSL_FUNC_KEYMGMT_FREE, (dispatch_fn)key_free },                 \
	    { OSSL_FUNC_KEYMGMT_HAS, (dispatch_fn)key_has },                   \
	    { OSSL_FUNC_KEYMGMT_MATCH, (dispatch_fn)key_match },               \
	    { OSSL_FUNC_KEYMGMT_IMPORT, (dispatch_fn)key_import },             \
	    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (dispatch_fn)key_types },        \
	    { OSSL_FUNC_KEYMGMT_EXPORT, (dispatch_fn)key_export },             \
	    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (dispatch_fn)key_types },        \
	    { OSSL_FUNC_KEYMGMT_GET_PARAMS, (dispatch_fn)key_get_params },     \
	{                                                                      \
		OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (dispatch_fn)key_gettable   \
	}

static const OSSL_DISPATCH rsa_keys[] = { KEY_FUNCTIONS(rsa_new), { 0, NULL } };
static const OSSL_DISPATCH ec_keys[] = { KEY_FUNCTIONS(ec_new),
	{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (dispatch_fn)ec_operation },
	{ 0, NULL } };
static const OSSL_DISPATCH ed25519_keys[] = { KEY_FUNCTIONS(ed25519_new),
	{ 0, NULL } };
static const OSSL_DISPATCH signatures[] = { { OSSL_FUNC_SIGNATURE_NEWCTX,
						(dispatch_fn)sign_new },
	{ OSSL_FUNC_SIGNATURE_FREECTX, (dispatch_fn)sign_free },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (dispatch_fn)sign_init },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (dispatch_fn)sign_digest },
	{ OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (dispatch_fn)sign_set_params },
	{ OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (dispatch_fn)sign_settable },
	{ 0, NULL } };

#define PROPERTIES "provider=" PROVIDER
static const OSSL_ALGORITHM key_algorithms[] = { { "RSA", PROPERTIES, rsa_keys,
						     NULL },
	{ "EC", PROPERTIES, ec_keys, NULL },
	{ "ED25519", PROPERTIES, ed25519_keys, NULL },
	{ NULL, NULL, NULL, NULL } };
static const OSSL_ALGORITHM sign_algorithms[] = {
	{ "RSA", PROPERTIES, signatures, NULL },
	{ "ECDSA", PROPERTIES, signatures, NULL },
	{ "ED25519", PROPERTIES, signatures, NULL }, { NULL, NULL, NULL, NULL }
};

static OSSL_FUNC_provider_query_operation_fn query;
static const OSSL_ALGORITHM *
query(void *provctx, int operation, int *no_cache)
{
	*no_cache = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return key_algorithms;
	case OSSL_OP_SIGNATURE:
		return sign_algorithms;
	default:
		return NULL;
	}
}

static OSSL_provider_init_fn provider_init;
static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **provctx)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION, (dispatch_fn)query },
		{ 0, NULL }
	};
	static char context; /* OpenSSL wants something to hand round */

	*out = functions;
	*provctx = &context;
	return 1;
}

OSSL_LIB_CTX *
hb_keyprov_libctx(void)
{
	static OSSL_LIB_CTX *made;
	OSSL_LIB_CTX *ctx;

	if (made != NULL)
		return made;
	ctx = OSSL_LIB_CTX_new();
	if (ctx != NULL &&
	    OSSL_PROVIDER_add_builtin(ctx, PROVIDER, provider_init) == 1 &&
	    OSSL_PROVIDER_load(ctx, "default") != NULL &&
	    OSSL_PROVIDER_load(ctx, PROVIDER) != NULL) {
		made = ctx;
		return made;
	}
	OSSL_LIB_CTX_free(ctx);
	return NULL;
}

static const char *
type_of(const EVP_PKEY *pub)
{
	static const char *const types[] = { "RSA", "EC", "ED25519" };

	for (size_t i = 0; i < HB_ARRAY_LEN(types); i++)
		if (EVP_PKEY_is_a(pub, types[i]))
			return types[i];
	return NULL;
}

EVP_PKEY *
hb_keyprov_key(X509 *cert, uint32_t index, struct hb_keyclient *keys)
{
	EVP_PKEY *pub = X509_get0_pubkey(cert);
	const char *type = pub != NULL ? type_of(pub) : NULL;
	unsigned char id[HB_KEY_ID];
	/* Pointers to pointers: the values travel as bytes. */
	void *p = &pub, *k = &keys, *i = id;
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_ptr(PARAM_PUBLIC, &p, sizeof(pub)),
		OSSL_PARAM_octet_ptr(PARAM_KEYS, &k, sizeof(keys)),
		OSSL_PARAM_uint32(PARAM_INDEX, &index),
		OSSL_PARAM_octet_ptr(PARAM_ID, &i, sizeof(id)),
		OSSL_PARAM_END,
	};
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *key = NULL;

	if (type == NULL || !hb_key_id(cert, id))
		return NULL;
	ctx = EVP_PKEY_CTX_new_from_name(hb_keyprov_libctx(), type, PROPERTIES);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	return key;
}
