/*
 * DNS answers, parsed from the wire (RFC 1035; bounds on everything).  Floor 1,
 * fuzzed.
 */
#ifndef HB_PROTO_DNSMSG_H
#define HB_PROTO_DNSMSG_H

#include "common/base/mem.h"

enum hb_dns_type {
	HB_DNS_A = 1,
	HB_DNS_NS = 2,
	HB_DNS_CNAME = 5,
	HB_DNS_PTR = 12,
	HB_DNS_MX = 15,
	HB_DNS_TXT = 16,
	HB_DNS_AAAA = 28,
	HB_DNS_TLSA = 52
};

struct hb_dns_rr {
	enum hb_dns_type type;
	uint16_t preference;	/* MX */
	/* NS, CNAME, PTR, MX: lower case, no final dot; "" is the root */
	struct hb_span name;
	/* A, AAAA: 4, 16 bytes; TXT: strings joined; TLSA: from its 4th byte */
	struct hb_span data;
	uint8_t tlsa_usage, tlsa_selector, tlsa_match;
};

enum hb_dns_status {
	HB_DNS_OK,	 /* at least one record of the requested type */
	HB_DNS_NODATA,	 /* the name exists, the type does not */
	HB_DNS_NXDOMAIN,
	HB_DNS_TEMP	 /* SERVFAIL, timeout, malformed, refused: no answer */
};

struct hb_dns_answer {
	enum hb_dns_status status;
	bool servfail;		/* TEMP: the server answered SERVFAIL */
	bool misread;		/* TEMP: it answered FORMERR or NOTIMP */
	/* The server lacks EDNS and was asked without it: a missing AD bit says
	 * nothing about signatures.  Set by the caller. */
	bool plain;
	bool ad; /* AD bit as received; the caller judges it */
	bool aliased;		/* a CNAME was followed */
	struct hb_span canonical; /* name at the end of the CNAME chain */
	struct hb_dns_rr *rr; /* of the requested type, in the answer's order */
	size_t n;
	uint32_t ttl_s; /* smallest; negative answers: by the SOA, RFC 2308 */
};

/*
 * Parses the answer MSG to (NAME, TYPE); NAME in lower case without final dot.
 * All data is copied to ARENA.  A malformed message gives status HB_DNS_TEMP
 * and returns HB_E_SYNTAX; otherwise 0.
 */
int hb_dnsmsg_parse(struct hb_span msg, struct hb_span name,
    enum hb_dns_type type, struct hb_arena *arena,
    struct hb_dns_answer *out) HB_MUSTCHECK;

#endif
