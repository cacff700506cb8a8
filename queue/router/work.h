/*
 * Lookups that may block (NSS, password hashes, PAM), in children of the router
 * or of the parent with a time bound, so that nothing else waits (HACKING
 * "Roles").  Floor 3.
 *
 * Each pool has a few children; a request waits for a free one.  A child that
 * does not answer in time is killed and replaced, and its request is answered
 * RT_TEMP.
 */
#ifndef QUEUE_ROUTER_WORK_H
#define QUEUE_ROUTER_WORK_H

#include "common/io/loop.h"
#include "queue/router/rules.h"

struct rt_pool;

/* Requests wait in the lane of the process that sent them, and the lanes take
 * turns: a listener with endless requests delays only itself.  A request that
 * finds a thousand before it in its lane is answered RT_TEMP. */
enum { RT_LANE_OWN = 64, RT_LANES };

/* CHILDREN processes; each request is answered within TIMEOUT_MS. */
struct rt_pool *rt_pool_new(struct hb_loop *l, unsigned children,
    int64_t timeout_ms);
void rt_pool_free(struct rt_pool **p);
/* This process is about to end: its children end now.  No callback runs any
 * more. */
void rt_pool_stop(struct rt_pool *p);
/* The parent makes P's processes, one for each question: START asks for one, and
 * rt_pool_child brings its channel, or -errno. */
void rt_pool_by_parent(struct rt_pool *p,
    void (*start)(void *ctx, uint32_t ref), void *ctx);
void rt_pool_child(struct rt_pool *p, uint32_t ref, int fd);

/* Does the system know the account NAME?  RT_LATER: CB runs once, after this
 * returned.  RT_TEMP: too many are waiting, and CB does not run. */
enum rt_found rt_pool_user(struct rt_pool *p, unsigned lane,
    struct hb_span name, rt_found_fn cb, void *ctx) HB_MUSTCHECK;
/*
 * Is PASSWORD the one of HASH (crypt(5), or a verifier of SCRAM)?  If HASH is missing or locked, the
 * password is checked against USUAL (or a method of ours), which takes as long
 * and is never right: the time does not reveal which logins exist.
 */
struct rt_password {
	struct hb_span password, hash, usual;
};
enum rt_found rt_pool_password(struct rt_pool *p, unsigned lane,
    const struct rt_password *q, rt_found_fn cb, void *ctx) HB_MUSTCHECK;
/* Is the password of M right for PAM?  USER, which must live until CB runs, gets
 * PAM's name for the login. */
enum rt_found rt_pool_pam(struct rt_pool *p, unsigned lane,
    const struct ipc_auth *m, struct hb_buf *user, rt_found_fn cb,
    void *ctx) HB_MUSTCHECK;

#endif
