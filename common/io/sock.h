/*
 * Sockets and addresses of the system.  Floor 3.  Errors here are -errno; the
 * caller adds the context.
 */
#ifndef HB_IO_SOCK_H
#define HB_IO_SOCK_H

#include <sys/socket.h>

#include "common/proto/netaddr.h"

/* Fills SS; returns its length, 0 if A has no family. */
socklen_t hb_sock_from_netaddr(const struct hb_netaddr *a,
    struct sockaddr_storage *ss);
/* Returns false for families other than IPv4 and IPv6.  An IPv4-mapped address
 * becomes IPv4. */
bool hb_sock_to_netaddr(const struct sockaddr_storage *ss, socklen_t len,
    struct hb_netaddr *out);

/* The same for an address from getifaddrs, which may be NULL; without port. */
bool hb_sock_of_interface(const struct sockaddr *sa, struct hb_netaddr *out);

/* Each returns a descriptor (close-on-exec, non-blocking), or -errno. */
int hb_sock_stream(const struct hb_netaddr *like) HB_MUSTCHECK;
/* Bound and listening; an IPv6 socket accepts no IPv4. */
int hb_sock_listen(const struct hb_netaddr *a) HB_MUSTCHECK;
/* Connected, or -errno at once (EAGAIN: the other side's queue is full). */
int hb_sock_unix_connect(const char *path, int type) HB_MUSTCHECK;
/* Replaces a leftover socket of that name; MODE as chmod. */
int hb_sock_unix_listen(const char *path, unsigned mode) HB_MUSTCHECK;

/* A stream pair, both ends close-on-exec and non-blocking.  0 or -errno. */
int hb_sock_pair(int fd[2]) HB_MUSTCHECK;
int hb_sock_set_nonblock(int fd) HB_MUSTCHECK;
/* Sends small writes at once.  Failure is harmless and not reported. */
void hb_sock_set_nodelay(int fd);

#endif
