/* SipHash-2-4 and CRC-32C.  Floor 0. */
#include "common/base/hash.h"

#include "common/base/bytes.h"

static uint64_t
rotl(uint64_t x, unsigned b)
{
	return x << b | x >> (64 - b);
}

#define INLINE static inline __attribute__((always_inline))

INLINE void
sip_round(struct hb_siphash *h)
{
	h->v0 += h->v1;
	h->v1 = rotl(h->v1, 13) ^ h->v0;
	h->v0 = rotl(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = rotl(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = rotl(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = rotl(h->v1, 17) ^ h->v2;
	h->v2 = rotl(h->v2, 32);
}

INLINE void
sip_word(struct hb_siphash *h, uint64_t m)
{
	h->v3 ^= m;
	sip_round(h);
	sip_round(h);
	h->v0 ^= m;
}

void
hb_siphash_init(struct hb_siphash *h, const unsigned char key[16])
{
	uint64_t k0 = hb_get_le64(key), k1 = hb_get_le64(key + 8);

	*h = (struct hb_siphash){
		.v0 = k0 ^ UINT64_C(0x736f6d6570736575),
		.v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
		.v2 = k0 ^ UINT64_C(0x6c7967656e657261),
		.v3 = k1 ^ UINT64_C(0x7465646279746573),
	};
}

/* Whole words of S; a local copy stays in registers. */
static size_t
sip_words(struct hb_siphash *h, struct hb_span s)
{
	struct hb_siphash v = *h;
	size_t i = 0;

	for (; s.n - i >= 8; i += 8)
		sip_word(&v, hb_get_le64(s.p + i));
	h->v0 = v.v0;
	h->v1 = v.v1;
	h->v2 = v.v2;
	h->v3 = v.v3;
	return i;
}

void
hb_siphash_update(struct hb_siphash *h, struct hb_span s)
{
	size_t i = 0;

	h->total += s.n;
	while (h->ntail > 0 && i < s.n) {
		h->tail[h->ntail++] = s.p[i++];
		if (h->ntail == 8) {
			sip_word(h, hb_get_le64(h->tail));
			h->ntail = 0;
		}
	}
	i += sip_words(h, hb_span_from(s, i));
	while (i < s.n)
		h->tail[h->ntail++] = s.p[i++];
}

uint64_t
hb_siphash_final(struct hb_siphash *h)
{
	uint64_t last = h->total << 56;

	for (size_t i = 0; i < h->ntail; i++)
		last |= (uint64_t)h->tail[i] << (8 * i);
	sip_word(h, last);
	h->v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

uint64_t
hb_siphash(const unsigned char key[16], struct hb_span s)
{
	struct hb_siphash h;

	hb_siphash_init(&h, key);
	hb_siphash_update(&h, s);
	return hb_siphash_final(&h);
}

/* Not secret: it only spreads. */
unsigned
hb_home_worker(struct hb_span domain, unsigned n)
{
	static const unsigned char key[16] = "delivery workers";

	return (unsigned)(hb_siphash(key, domain) % n);
}

/* Slicing by eight: table[k][b] advances byte b by k more zero bytes. */
static uint32_t crc_table[8][256];

static uint32_t
crc_by_table(uint32_t crc, const unsigned char *p, size_t words)
{
	for (; words > 0; words--, p += 8) {
		uint64_t w = hb_get_le64(p) ^ crc;

		crc = 0;
		for (int k = 7; k >= 0; k--, w >>= 8)
			crc ^= crc_table[k][w & 0xff];
	}
	return crc;
}

#if defined(__x86_64__)
/* Several times as fast: large bodies are checked three times. */
__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const unsigned char *p, size_t words)
{
	uint64_t c = crc;

	for (; words > 0; words--, p += 8)
		c = __builtin_ia32_crc32di(c, hb_get_le64(p));
	return (uint32_t)c;
}
#endif

static uint32_t (*crc_words)(uint32_t crc, const unsigned char *p,
    size_t words);

static void
crc_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ UINT32_C(0x82f63b78) : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] = crc_table[k - 1][i] >> 8 ^
			    crc_table[0][crc_table[k - 1][i] & 0xff];
	crc_words = crc_by_table;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		crc_words = crc_by_instruction;
#endif
}

uint32_t
hb_crc32c(uint32_t crc, struct hb_span s)
{
	size_t words = s.n / 8;

	if (crc_words == NULL)
		crc_init();
	crc = ~crc;
	if (words > 0)
		crc = crc_words(crc, s.p, words);
	for (size_t i = words * 8; i < s.n; i++)
		crc = crc >> 8 ^ crc_table[0][(crc ^ s.p[i]) & 0xff];
	return ~crc;
}
