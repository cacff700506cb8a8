/*
 * What was seen of a TLS session; judged by sts/decide, shown in log, DSN,
 * reports and explain.  Floor 1.
 */
#ifndef HB_PROTO_TLSFACTS_H
#define HB_PROTO_TLSFACTS_H

#include "common/base/span.h"

enum hb_tls_state {
	HB_TLSF_UNKNOWN,      /* not looked yet */
	HB_TLSF_NOT_OFFERED,  /* EHLO without STARTTLS */
	HB_TLSF_REFUSED,      /* STARTTLS answered with something else than 220 */
	HB_TLSF_INJECTED,     /* bytes in clear behind the 220 */
	HB_TLSF_FAILED,	      /* handshake failed */
	HB_TLSF_DONE
};
/* First problem of the chain, in this order of weight. */
enum hb_chain_state {
	HB_CHAIN_NONE, /* no certificate */
	HB_CHAIN_OK,
	HB_CHAIN_UNTRUSTED,
	HB_CHAIN_SELF_SIGNED,
	HB_CHAIN_EXPIRED /* or not yet valid; else fine */
};
struct hb_tls_facts {
	enum hb_tls_state state;
	enum hb_chain_state chain;
	bool name_ok;	  /* a DNS-ID of the leaf matches the reference name */
	bool self_issued; /* shown to a person */
	int version;	  /* 12, 13; 0: none */
	int verify_code;  /* X509_V_ERR_*, 0 is fine */
	int64_t not_after_ms;
	char cipher[48];
	char reference[256]; /* name that was checked; the first one is sent as SNI */
	char subject[256];   /* first DNS-ID of the leaf, for people */
	char error[160];     /* text of a failure */
};

static inline bool
hb_tls_facts_verified(const struct hb_tls_facts *f)
{
	return f->state == HB_TLSF_DONE && f->chain == HB_CHAIN_OK &&
	    f->name_ok;
}

/* Log word: none, TLSv1.3/unverified, TLSv1.3/verified.  DST of 32 bytes. */
void hb_tls_facts_word(const struct hb_tls_facts *f, char dst[32]);

#endif
