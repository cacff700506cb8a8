/*
 * SipHash-2-4, the keyed checksum of the spool and of hash tables that hold
 * remote names.  Floor 0.  Incremental: init, any number of updates, final.
 */
#ifndef HB_BASE_HASH_H
#define HB_BASE_HASH_H

#include "common/base/span.h"

struct hb_siphash {
	uint64_t v0, v1, v2, v3;
	unsigned char tail[8];
	size_t ntail;
	uint64_t total;
};

/* KEY: 16 secret bytes. */
void hb_siphash_init(struct hb_siphash *h, const unsigned char key[16]);
void hb_siphash_update(struct hb_siphash *h, struct hb_span s);
uint64_t hb_siphash_final(struct hb_siphash *h);
uint64_t hb_siphash(const unsigned char key[16], struct hb_span s);

/* Index of the delivery worker, out of N (N > 0), that owns a policy domain
 * given in lower case.  Queue sends the domain's mail there, and only that
 * worker refreshes its policy. */
unsigned hb_home_worker(struct hb_span domain, unsigned n);

/*
 * CRC-32C, against accidental damage (a large body in transit), not against an
 * attacker.  Start with 0; pass the last result on.
 */
uint32_t hb_crc32c(uint32_t crc, struct hb_span s);

#endif
