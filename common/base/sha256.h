/*
 * SHA-256 (FIPS 180-4), HMAC (RFC 2104) and PBKDF2 with it (RFC 8018), for
 * passwords of SCRAM: the processes that check them link no library for it.
 * Floor 0.
 */
#ifndef HB_BASE_SHA256_H
#define HB_BASE_SHA256_H

#include "common/base/span.h"

enum { HB_SHA256 = 32, HB_SHA256_BLOCK = 64 };

struct hb_sha256 {
	uint32_t h[8];
	unsigned char tail[HB_SHA256_BLOCK];
	size_t ntail;
	uint64_t total;
};

void hb_sha256_init(struct hb_sha256 *c);
void hb_sha256_update(struct hb_sha256 *c, struct hb_span s);
void hb_sha256_final(struct hb_sha256 *c, unsigned char out[HB_SHA256]);
void hb_sha256(struct hb_span s, unsigned char out[HB_SHA256]);

void hb_hmac_sha256(struct hb_span key, struct hb_span s,
    unsigned char out[HB_SHA256]);
/* One block of PBKDF2: Hi of RFC 5802 s2.2. */
void hb_pbkdf2_sha256(struct hb_span password, struct hb_span salt,
    uint32_t iterations, unsigned char out[HB_SHA256]);

#endif
