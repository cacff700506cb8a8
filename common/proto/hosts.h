/*
 * The formats of hosts(5) and resolv.conf(5).  Floor 1.  Malformed lines are
 * skipped, as libc does.
 */
#ifndef HB_PROTO_HOSTS_H
#define HB_PROTO_HOSTS_H

#include "common/proto/netaddr.h"

/* Finds up to MAX addresses of NAME (any case) in TEXT; returns how many. */
size_t hb_hosts_find(struct hb_span text, struct hb_span name,
    struct hb_netaddr *out, size_t max);
/* Parses the nameserver lines of TEXT, port 0; returns how many. */
size_t hb_resolv_servers(struct hb_span text, struct hb_netaddr *out,
    size_t max);

#endif
