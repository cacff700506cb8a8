/*
 * Numbers as bytes, the least significant first: in frames between processes,
 * in files and in the spool.  Floor 0.
 */
#ifndef HB_BASE_BYTES_H
#define HB_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Written out, compilers make one load of each. */
static inline uint32_t
hb_get_le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	    (uint32_t)p[3] << 24;
}

static inline uint64_t
hb_get_le64(const unsigned char *p)
{
	return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
	    (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
	    (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
	    (uint64_t)p[7] << 56;
}

/* Of N bytes, 8 at most. */
static inline uint64_t
hb_get_le(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

static inline void
hb_put_le(unsigned char *p, uint64_t v, size_t n)
{
	for (; n > 0; n--, v >>= 8)
		*p++ = (unsigned char)v;
}

#endif
