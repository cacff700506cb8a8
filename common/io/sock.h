/*
 * Sockets and addresses of the system.  Floor 3.  Errors are -errno here:
 * the caller says what it was about.
 */
#ifndef HB_IO_SOCK_H
#define HB_IO_SOCK_H

#include <sys/socket.h>

#include "common/proto/netaddr.h"

/* Fills SS; returns its length, 0 when A has no family. */
socklen_t hb_sock_from_netaddr(const struct hb_netaddr *a,
    struct sockaddr_storage *ss);
/* False for families other than IPv4 and IPv6.  A mapped IPv4 address is
 * given as IPv4. */
bool hb_sock_to_netaddr(const struct sockaddr_storage *ss, socklen_t len,
    struct hb_netaddr *out);

/* The same for an address as getifaddrs tells it, perhaps NULL; no port. */
bool hb_sock_of_interface(const struct sockaddr *sa, struct hb_netaddr *out);

/* Each returns a descriptor (close-on-exec, non-blocking), or -errno. */
int hb_sock_stream(const struct hb_netaddr *like) HB_MUSTCHECK;
/* Bound and listening; an IPv6 socket takes no IPv4. */
int hb_sock_listen(const struct hb_netaddr *a) HB_MUSTCHECK;
/* Connected, or -errno at once (EAGAIN: the other side's queue is full). */
int hb_sock_unix_connect(const char *path, int type) HB_MUSTCHECK;
/* Replaces a socket of that name that is left over; MODE as chmod. */
int hb_sock_unix_listen(const char *path, unsigned mode) HB_MUSTCHECK;

/* A stream pair, both ends close-on-exec and non-blocking.  0 or -errno. */
int hb_sock_pair(int fd[2]) HB_MUSTCHECK;
int hb_sock_set_nonblock(int fd) HB_MUSTCHECK;
/* Small writes leave at once.  Failure is harmless and not told. */
void hb_sock_set_nodelay(int fd);

#endif
