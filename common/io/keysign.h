/*
 * The key agent's keys: signs, never exports.  Floor 3, libcrypto.  What may
 * be signed is decided here: a listed key, an algorithm that fits it, a
 * digest of the right length.
 */
#ifndef HB_IO_KEYSIGN_H
#define HB_IO_KEYSIGN_H

#include "common/io/peer.h"

struct hb_keyset;

/* The first set makes the locked memory that all keys are kept in. */
struct hb_keyset *hb_keyset_new(void);
void hb_keyset_free(struct hb_keyset **k);
/*
 * Adds the next key (the first is number 0): PEM, without passphrase; RSA of
 * 2048 bits or more, EC or Ed25519.  0, HB_E_SYNTAX, HB_E_UNSUPPORTED.
 */
int hb_keyset_add(struct hb_keyset *k, struct hb_span pem) HB_MUSTCHECK;
/* Whether key number KEY belongs to the first certificate of CHAIN (PEM). */
bool hb_keyset_fits(const struct hb_keyset *k, size_t key,
    struct hb_span chain);
/* Appends the signature to SIG.  0; HB_E_NOTFOUND (no such key), HB_E_PERM
 * (not allowed with it), HB_E_RANGE (digest), HB_E_TEMP. */
int hb_keyset_sign(const struct hb_keyset *k, const struct ipc_sign *req,
    struct hb_buf *sig) HB_MUSTCHECK;
/* Answers a SIGN frame of P.  A second request before the first answer is
 * taken breaks the protocol. */
void hb_keyset_answer(
    const struct hb_keyset *k, struct hb_peer *p, const struct ipc_sign *req);

#endif
