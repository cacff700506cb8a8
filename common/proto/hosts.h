/*
 * The texts of hosts(5) and resolv.conf(5).  Floor 1.  Lines that make no
 * sense are passed over, as libc does.
 */
#ifndef HB_PROTO_HOSTS_H
#define HB_PROTO_HOSTS_H

#include "common/proto/netaddr.h"

/* Addresses of NAME (case-blind) in TEXT, at most MAX; returns how many. */
size_t hb_hosts_find(struct hb_span text, struct hb_span name,
    struct hb_netaddr *out, size_t max);
/* The nameserver lines of TEXT, port 0; returns how many. */
size_t hb_resolv_servers(struct hb_span text, struct hb_netaddr *out,
    size_t max);

#endif
