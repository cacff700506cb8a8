/*
 * What exists here: local users (passwd through the pool, or a map), aliases,
 * logins.  Floor 3.  Answers about users are remembered for a short time.
 */
#ifndef QUEUE_ROUTER_LOOKUP_H
#define QUEUE_ROUTER_LOOKUP_H

#include "common/io/map.h"
#include "queue/router/work.h"

struct rt_lookup;

struct rt_lookup *rt_lookup_new(struct hb_loop *l, const struct hb_conf *conf);
/* New configuration: maps are opened anew, what was remembered is gone. */
void rt_lookup_reconf(struct rt_lookup *k, const struct hb_conf *conf);

/* Is there a mailbox LOCAL at DOMAIN?  CB may run before this returns.  LANE:
 * of the pool (queue/router/work.h). */
void rt_lookup_user(struct rt_lookup *k, unsigned lane, struct hb_span local,
    struct hb_span domain, rt_found_fn cb, void *ctx);
/* The value of an alias.  0, HB_E_NOTFOUND, HB_E_TEMP. */
int rt_lookup_alias(struct rt_lookup *k, struct hb_span key,
    struct hb_buf *value) HB_MUSTCHECK;
/* Is PASSWORD that of USER in one of the `auth passwd-file`s? */
void rt_lookup_password(struct rt_lookup *k, unsigned lane,
    struct hb_span user, struct hb_span password, rt_found_fn cb, void *ctx);

#endif
