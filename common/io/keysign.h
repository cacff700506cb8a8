/*
 * The key agent's keys: they sign and are never exported.  Floor 3, libcrypto.
 * This file decides what may be signed: with a listed key, an algorithm that
 * fits it, a digest of the right length.
 */
#ifndef HB_IO_KEYSIGN_H
#define HB_IO_KEYSIGN_H

#include "common/io/peer.h"

struct hb_keyset;

/* The first set allocates the locked memory that holds all keys. */
struct hb_keyset *hb_keyset_new(void);
void hb_keyset_free(struct hb_keyset **k);
/*
 * Adds the next key (the first is number 0): PEM, without passphrase; RSA of
 * 2048 bits or more, EC or Ed25519.  0, HB_E_SYNTAX, HB_E_UNSUPPORTED.
 */
int hb_keyset_add(struct hb_keyset *k, struct hb_span pem) HB_MUSTCHECK;
/* Does key number KEY belong to the first certificate of CHAIN (PEM)? */
bool hb_keyset_fits(const struct hb_keyset *k, size_t key,
    struct hb_span chain);
/*
 * A certificate is renewed in one role after the other, and handshakes go on
 * meanwhile.  So a signature is asked for by the public key: key number KEY is
 * that of CHAIN, and the keys of FORMER (taken) sign until they are forgotten.
 */
void hb_keyset_know(struct hb_keyset *k, size_t key, struct hb_span chain);
void hb_keyset_follow(struct hb_keyset *k, struct hb_keyset **former);
void hb_keyset_forget(struct hb_keyset *k);
/* Appends the signature to SIG.  0; HB_E_NOTFOUND (no such key), HB_E_PERM (the
 * key may not sign this), HB_E_RANGE (digest), HB_E_TEMP. */
int hb_keyset_sign(const struct hb_keyset *k, const struct ipc_sign *req,
    struct hb_buf *sig) HB_MUSTCHECK;
/* Answers a SIGN frame of P.  A second request before the first answer was
 * taken violates the protocol. */
void hb_keyset_answer(
    const struct hb_keyset *k, struct hb_peer *p, const struct ipc_sign *req);

#endif
