/* SHA-256, HMAC and PBKDF2.  Floor 0.  See common/base/sha256.h. */
#include "common/base/sha256.h"

#include "common/base/mem.h"

static const uint32_t round_key[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t
ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

static uint32_t
get_be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void
put_be32(unsigned char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* FIPS 180-4 s6.2.2 */
static void
compress(uint32_t h[8], const unsigned char *block)
{
	uint32_t w[64], v[8];

	for (unsigned i = 0; i < 16; i++)
		w[i] = get_be32(block + 4 * i);
	for (unsigned i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] +
		    (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
		    (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, h, sizeof(v));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t t1 = v[7] + round_key[i] + w[i] +
		    (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
		    ((v[4] & v[5]) ^ (~v[4] & v[6]));
		uint32_t t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
		    ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(v[0]));
		v[4] += t1;
		v[0] = t1 + t2;
	}
	for (unsigned i = 0; i < 8; i++)
		h[i] += v[i];
}

void
hb_sha256_init(struct hb_sha256 *c)
{
	*c = (struct hb_sha256){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372,
		0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
}

void
hb_sha256_update(struct hb_sha256 *c, struct hb_span s)
{
	c->total += s.n;
	while (s.n > 0) {
		struct hb_span part = hb_span_head(s, sizeof(c->tail) - c->ntail);

		memcpy(c->tail + c->ntail, part.p, part.n);
		c->ntail += part.n;
		s = hb_span_from(s, part.n);
		if (c->ntail < sizeof(c->tail))
			return;
		compress(c->h, c->tail);
		c->ntail = 0;
	}
}

void
hb_sha256_final(struct hb_sha256 *c, unsigned char out[HB_SHA256])
{
	static const unsigned char pad[HB_SHA256_BLOCK] = { 0x80 };
	uint64_t bits = c->total * 8;
	size_t n = (c->ntail < 56 ? 56 : 120) - c->ntail;
	unsigned char length[8];

	put_be32(length, (uint32_t)(bits >> 32));
	put_be32(length + 4, (uint32_t)bits);
	hb_sha256_update(c, hb_span(pad, n));
	hb_sha256_update(c, hb_span(length, sizeof(length)));
	for (unsigned i = 0; i < 8; i++)
		put_be32(out + 4 * i, c->h[i]);
	hb_wipe(c, sizeof(*c));
}

void
hb_sha256(struct hb_span s, unsigned char out[HB_SHA256])
{
	struct hb_sha256 c;

	hb_sha256_init(&c);
	hb_sha256_update(&c, s);
	hb_sha256_final(&c, out);
}

/* A key of HMAC, hashed: each use of it goes on from here. */
struct keyed {
	struct hb_sha256 inner, outer;
};

static void
set_key(struct keyed *k, struct hb_span key)
{
	unsigned char pad[HB_SHA256_BLOCK] = { 0 };

	if (key.n > sizeof(pad))
		hb_sha256(key, pad);
	else if (key.n > 0)
		memcpy(pad, key.p, key.n);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	hb_sha256_init(&k->inner);
	hb_sha256_update(&k->inner, hb_span(pad, sizeof(pad)));
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	hb_sha256_init(&k->outer);
	hb_sha256_update(&k->outer, hb_span(pad, sizeof(pad)));
	hb_wipe(pad, sizeof(pad));
}

static void
hmac(const struct keyed *k, struct hb_span a, struct hb_span b,
    unsigned char out[HB_SHA256])
{
	struct hb_sha256 c = k->inner;

	hb_sha256_update(&c, a);
	hb_sha256_update(&c, b);
	hb_sha256_final(&c, out);
	c = k->outer;
	hb_sha256_update(&c, hb_span(out, HB_SHA256));
	hb_sha256_final(&c, out);
}

void
hb_hmac_sha256(struct hb_span key, struct hb_span s,
    unsigned char out[HB_SHA256])
{
	struct keyed k;

	set_key(&k, key);
	hmac(&k, s, HB_SPAN_NONE, out);
	hb_wipe(&k, sizeof(k));
}

void
hb_pbkdf2_sha256(struct hb_span password, struct hb_span salt,
    uint32_t iterations, unsigned char out[HB_SHA256])
{
	static const unsigned char first[4] = { 0, 0, 0, 1 };
	unsigned char u[HB_SHA256];
	struct keyed k;

	set_key(&k, password);
	hmac(&k, salt, hb_span(first, sizeof(first)), u);
	memcpy(out, u, sizeof(u));
	for (uint32_t i = 1; i < iterations; i++) {
		hmac(&k, hb_span(u, sizeof(u)), HB_SPAN_NONE, u);
		for (size_t j = 0; j < sizeof(u); j++)
			out[j] ^= u[j];
	}
	hb_wipe(u, sizeof(u));
	hb_wipe(&k, sizeof(k));
}
