/*
 * Hash tables (uthash) whose keys may be names that strangers chose: hashed
 * with SipHash under a key of this process, so that nobody can aim at one
 * bucket.  Floor 0.  Include this, never uthash.h.  Out of memory aborts.
 */
#ifndef HB_BASE_TABLE_H
#define HB_BASE_TABLE_H

#include <stdlib.h>

#include "common/base/mem.h"

/* KEY: 16 random bytes.  Before the first table is made, and once. */
void hb_table_seed(const unsigned char key[16]);
unsigned hb_table_hash(const void *key, size_t n);

#define HASH_FUNCTION(key, keylen, hashv)                                      \
	((hashv) = hb_table_hash((key), (keylen)))
#define uthash_malloc(n) hb_malloc(n)
#define uthash_fatal(what) HB_BUG(what)
#include <uthash.h>

#endif
