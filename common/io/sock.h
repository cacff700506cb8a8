/*
 * Addresses as values to and from struct sockaddr.  Floor 3.  Used by the
 * adaptors that own sockets.
 */
#ifndef HB_IO_SOCK_H
#define HB_IO_SOCK_H

#include <sys/socket.h>

#include "common/proto/netaddr.h"

/* Fills OUT and returns its length; 0 when A has no family. */
socklen_t hb_sock_from_netaddr(
    const struct hb_netaddr *a, struct sockaddr_storage *out);
/* False when the address is neither IPv4 nor IPv6. */
bool hb_sock_to_netaddr(
    const struct sockaddr_storage *sa, socklen_t len, struct hb_netaddr *out);

#endif
