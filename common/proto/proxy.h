/*
 * The header of HAProxy's PROXY protocol, versions 1 (text) and 2 (binary): a
 * balancer says in front of a connection whose it is.  Floor 1.
 */
#ifndef HB_PROTO_PROXY_H
#define HB_PROTO_PROXY_H

#include "common/proto/netaddr.h"

struct hb_proxy {
	/* The client, with port.  Family 0: the balancer speaks for itself
	 * (LOCAL: it looks whether we live), or cannot name the client
	 * (UNKNOWN, UNSPEC, unix sockets). */
	struct hb_netaddr client;
};

/*
 * Returns the bytes of the header at the front of IN; 0: its end is missing,
 * and all of IN belongs to it; HB_E_SYNTAX: there is none, HB_E_LIMIT: it is
 * longer than HB_MAX_PROXY_HEADER.
 */
int hb_proxy_parse(struct hb_span in, struct hb_proxy *out) HB_MUSTCHECK;

#endif
