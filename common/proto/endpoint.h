/*
 * The unix sockets that the configuration names, numbered.  Floor 1.  Roles in
 * a jail ask the parent for a connection by number (ENDPOINT_GET) and can reach
 * no other socket.
 */
#ifndef HB_PROTO_ENDPOINT_H
#define HB_PROTO_ENDPOINT_H

#include "common/proto/conf.h"

/* Path of endpoint INDEX; points into C.  0 or HB_E_NOTFOUND. */
int hb_endpoint_path(const struct hb_conf *c, unsigned index,
    struct hb_span *path) HB_MUSTCHECK;
/* Number of the endpoint at PATH.  0 or HB_E_NOTFOUND. */
int hb_endpoint_find(const struct hb_conf *c, struct hb_span path,
    unsigned *index) HB_MUSTCHECK;
/* Is it one of `milter', the only ones that smtpd gets? */
bool hb_endpoint_is_filter(const struct hb_conf *c, unsigned index);
/* The path in "/PATH", "unix:/PATH" or "lmtp:/PATH"; empty if TEXT does not
 * name a unix socket. */
struct hb_span hb_endpoint_unix(struct hb_span text);

#endif
