/*
 * Hash tables (uthash) whose keys may be names chosen by strangers.  Floor 0.
 * Keys are hashed with SipHash under a secret of this process, so that an
 * attacker cannot fill one bucket.  Include this, never uthash.h.  Running out
 * of memory aborts.
 */
#ifndef HB_BASE_TABLE_H
#define HB_BASE_TABLE_H

#include <stdlib.h>

#include "common/base/mem.h"

/* KEY: 16 random bytes.  Call it once, before the first table is made. */
void hb_table_seed(const unsigned char key[16]);
unsigned hb_table_hash(const void *key, size_t n);

#define HASH_FUNCTION(key, keylen, hashv)                                      \
	((hashv) = hb_table_hash((key), (keylen)))
#define uthash_malloc(n) hb_malloc(n)
#define uthash_fatal(what) HB_BUG(what)
#include <uthash.h>

#endif
