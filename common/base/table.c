/* The keyed hash of tables.  Floor 0. */
#include "common/base/table.h"

#include <string.h>

#include "common/base/hash.h"

static unsigned char table_key[16];

void
hb_table_seed(const unsigned char key[16])
{
	memcpy(table_key, key, sizeof(table_key));
}

unsigned
hb_table_hash(const void *key, size_t n)
{
	uint64_t v = hb_siphash(table_key, hb_span(key, n));

	return (unsigned)(v ^ v >> 32);
}
