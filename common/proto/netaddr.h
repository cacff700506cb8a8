/*
 * IPv4 and IPv6 addresses as values.  Floor 1: no socket headers.  Adaptors
 * convert them to sockaddr (common/io/sock.h).
 */
#ifndef HB_PROTO_NETADDR_H
#define HB_PROTO_NETADDR_H

#include "common/base/buf.h"

struct hb_netaddr {
	uint8_t family; /* 4, 6; 0: none */
	uint8_t b[16];	/* network order; 4 or 16 bytes used */
	uint16_t port;
};
struct hb_cidr {
	struct hb_netaddr net;
	uint8_t bits;
};

#define HB_NETADDR_TEXT 56 /* "[v6]:port" and NUL */

/* "192.0.2.1" or "2001:db8::1" (no brackets, no zone).  0 or HB_E_SYNTAX. */
int hb_netaddr_parse(struct hb_span s, struct hb_netaddr *out) HB_MUSTCHECK;
/* "ADDR", "ADDR:PORT", "[v6]", "[v6]:PORT"; "*:PORT" gives family 0. */
int hb_netaddr_parse_port(struct hb_span s, struct hb_netaddr *out) HB_MUSTCHECK;
/* "ADDR/BITS" or "ADDR". */
int hb_cidr_parse(struct hb_span s, struct hb_cidr *out) HB_MUSTCHECK;
/* Without port; IPv4-mapped IPv6 is shown and matched as IPv4. */
void hb_netaddr_format(const struct hb_netaddr *a, char dst[HB_NETADDR_TEXT]);
/* With port, IPv6 in brackets. */
void hb_netaddr_format_port(const struct hb_netaddr *a,
    char dst[HB_NETADDR_TEXT]);
void hb_cidr_format(const struct hb_cidr *c, char dst[HB_NETADDR_TEXT]);
bool hb_netaddr_eq(const struct hb_netaddr *a, const struct hb_netaddr *b); /* ports too */
/* 127.0.0.0/8, ::1 */
bool hb_netaddr_is_loopback(const struct hb_netaddr *a);
/* 0.0.0.0, :: */
bool hb_netaddr_is_unspecified(const struct hb_netaddr *a);
/* Turns ::ffff:a.b.c.d into a.b.c.d; returns true if A was such an address. */
bool hb_netaddr_unmap(struct hb_netaddr *a);
bool hb_cidr_has(const struct hb_cidr *c, const struct hb_netaddr *a);

#endif
