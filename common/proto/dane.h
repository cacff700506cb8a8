/*
 * DANE records of one mail host, RFC 7672 s2.2, RFC 7671.  Floor 1.  Looked up
 * by delivery/smtp/dane.h, judged by sts/decide.h, compared with a certificate
 * by common/io/conn.h.
 */
#ifndef HB_PROTO_DANE_H
#define HB_PROTO_DANE_H

#include "common/base/mem.h"
#include "common/proto/dnsmsg.h"

/* X(symbol, word, sentence) */
#define HB_DANE_STATES(X)                                                      \
	X(OFF, "off", "DANE is off here by the operator's word")               \
	X(UNASKED, "unasked", "there was no need to ask")                      \
	X(UNTRUSTED, "untrusted", "no resolver is trusted to say what is signed") \
	X(UNPROBED, "unprobed", "whether the resolver can be trusted is not known yet") \
	X(INSECURE, "insecure", "DNS does not sign the way to this host")      \
	X(NONE, "secure-none", "DNS is signed and holds no DANE records for it") \
	X(UNUSABLE, "secure-unusable", "it has DANE records, none of a usable kind") \
	X(USABLE, "secure-usable", "it has DANE records")                      \
	X(ERROR, "error", "a DNS lookup failed, or its answer was forged")

enum hb_dane_state {
#define X(sym, word, text) HB_DANE_##sym,
	HB_DANE_STATES(X)
#undef X
	HB_DANE_STATE_COUNT
};
/* Never NULL. */
const char *hb_dane_word(enum hb_dane_state s);
const char *hb_dane_text(enum hb_dane_state s);

enum { HB_DANE_NAMES = 4 };

struct hb_tlsa {
	uint8_t usage, selector, match;
	struct hb_span data;
};

struct hb_dane {
	enum hb_dane_state state;
	/* USABLE, UNUSABLE: the TLSA base domain, which is SNI and the first
	 * reference name (RFC 7672 s3.2.2, s8.1); otherwise NULL. */
	const char *base;
	/* USABLE: all reference names for usage 2, BASE first. */
	const char *names[HB_DANE_NAMES];
	size_t nnames;
	/* USABLE: all usable records.  An answer may hold a few thousand; a
	 * subset would be a different demand. */
	const struct hb_tlsa *rr;
	size_t n;
	/* Digest of base, names and records: a session that was compared with
	 * other records proves nothing.  Never 0 if USABLE. */
	uint64_t digest;
};

/* Can T be compared with a certificate?  Usages 2 and 3, selectors 0 and 1,
 * matching types 0 to 2 with data of the right length (RFC 7672 s3.1). */
bool hb_tlsa_usable(const struct hb_tlsa *t);
/* Copies the usable records of RR into ARENA and sets state and digest.  The
 * caller sets base and names before.  Data is borrowed. */
void hb_dane_take(struct hb_dane *d, const struct hb_dns_rr *rr, size_t n,
    struct hb_arena *arena);
/* A copy that lives in ARENA. */
const struct hb_dane *hb_dane_keep(
    const struct hb_dane *d, struct hb_arena *arena);

#endif
