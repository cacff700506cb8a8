/*
 * Facts observed of a TLS session; judged by sts/decide, shown in log, DSN,
 * reports and explain.  Floor 1.
 */
#ifndef HB_PROTO_TLSFACTS_H
#define HB_PROTO_TLSFACTS_H

#include "common/base/span.h"

enum hb_tls_state {
	HB_TLSF_UNKNOWN,      /* not examined yet */
	HB_TLSF_NOT_OFFERED,  /* EHLO without STARTTLS */
	HB_TLSF_REFUSED,      /* STARTTLS got a reply other than 220 */
	HB_TLSF_INJECTED,     /* cleartext bytes after the 220 */
	HB_TLSF_FAILED,	      /* handshake failed */
	HB_TLSF_DONE
};
/* First problem of the chain, in this order of weight. */
enum hb_chain_state {
	HB_CHAIN_NONE, /* no certificate */
	HB_CHAIN_OK,
	HB_CHAIN_UNTRUSTED,
	HB_CHAIN_SELF_SIGNED,
	HB_CHAIN_EXPIRED /* or not yet valid; otherwise fine */
};
/* How the certificate matched the host's DANE records, RFC 7672 s3.1. */
enum hb_dane_match {
	HB_DANE_UNTRIED, /* there were no usable records */
	HB_DANE_NO,	 /* matches none of them, or not by name and date */
	HB_DANE_EE,	 /* usage 3 */
	HB_DANE_TA	 /* usage 2 */
};
enum { HB_KEX_TEXT = 32, HB_PRINT_TEXT = 65, HB_TLS_BINDING = 32 };
struct hb_tls_facts {
	enum hb_tls_state state;
	/* As a server: tls-exporter, RFC 9266, for who logs in. */
	bool has_binding;
	unsigned char binding[HB_TLS_BINDING];
	bool cut; /* FAILED: a network failure, or the peer fell silent */
	/* With DANE records these two are not checked: NONE, false. */
	enum hb_chain_state chain;
	bool name_ok;	  /* a DNS-ID of the leaf matches the reference name */
	enum hb_dane_match dane;
	uint64_t dane_digest; /* struct hb_dane's, of the records compared */
	bool requiretls; /* EHLO inside TLS lists REQUIRETLS, RFC 8689 s2 */
	int version;	  /* 12, 13; 0: none */
	int verify_code;  /* X509_V_ERR_*, 0 is fine */
	int64_t not_after_ms;
	char cipher[48];
	unsigned bits; /* of the cipher */
	char kex[HB_KEX_TEXT]; /* group of the key exchange */
	/* Of the client's certificate, SHA-256 in hexadecimal, or empty. */
	char print[HB_PRINT_TEXT];
	/* The name that was checked; the first one is sent as SNI. */
	char reference[256];
	char subject[256];   /* first DNS-ID of the leaf, for people */
	/* All its DNS-IDs, separated by spaces; " ..." if there is no room for
	 * more. */
	char names[384];
	char issuer[256];    /* distinguished name, for people */
	char error[160];     /* text of the failure */
};

/* The kinds of channel, from worst to best: X(symbol, word). */
#define HB_RANKS(X)                                                            \
	X(NONE, "none") /* never seen */                                       \
	X(PLAIN, "plain")                                                      \
	X(TLS, "tls")                                                          \
	X(VERIFIED, "verified") /* chain and name */                           \
	X(STS, "sts")		/* and by an enforced policy */               \
	X(DANE, "dane")
enum hb_rank {
#define X(sym, word) HB_RANK_##sym,
	HB_RANKS(X)
#undef X
	HB_RANK_COUNT
};
const char *hb_rank_word(enum hb_rank r); /* never NULL */

static inline bool
hb_tls_facts_dane(const struct hb_tls_facts *f)
{
	return f->state == HB_TLSF_DONE &&
	    (f->dane == HB_DANE_EE || f->dane == HB_DANE_TA);
}

static inline bool
hb_tls_facts_verified(const struct hb_tls_facts *f)
{
	return f->state == HB_TLSF_DONE && f->chain == HB_CHAIN_OK &&
	    f->name_ok;
}

/* Text for the log: none, TLSv1.3/unverified, /verified or /dane.  DST of 32
 * bytes. */
void hb_tls_facts_word(const struct hb_tls_facts *f, char dst[32]);

#endif
