/*
 * What a key is called between the roles: the SHA-256 of the public key, as the
 * certificate has it.  Floor 3, libcrypto.
 */
#ifndef HB_IO_KEYID_H
#define HB_IO_KEYID_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { HB_KEY_ID = 32 };

static inline bool
hb_key_id(const X509 *cert, unsigned char id[HB_KEY_ID])
{
	unsigned n = 0;

	return X509_pubkey_digest(cert, EVP_sha256(), id, &n) == 1 &&
	    n == HB_KEY_ID;
}

#endif
