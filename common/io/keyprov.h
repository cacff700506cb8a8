/*
 * Keys that live in the key agent, as OpenSSL sees them.  Private to common/io.
 * A built-in provider holds the public part and requests each signature from
 * the key client.
 */
#ifndef HB_IO_KEYPROV_H
#define HB_IO_KEYPROV_H

#include "common/io/tls.h"

struct ossl_lib_ctx_st;
struct evp_pkey_st;
struct x509_st;

/* The library context of the provider, made at first use; NULL on failure.
 * Fetches from it need HB_KEYPROV_PROPQ. */
struct ossl_lib_ctx_st *hb_keyprov_libctx(void);
#define HB_KEYPROV_PROPQ "?provider=default"

/*
 * Returns an owned key whose public part is that of CERT (RSA, EC or Ed25519)
 * and whose signatures are made by the agent: by the key of CERT, which is its
 * number INDEX.  NULL on failure.
 */
struct evp_pkey_st *hb_keyprov_key(
    struct x509_st *cert, uint32_t index, struct hb_keyclient *keys);

#endif
