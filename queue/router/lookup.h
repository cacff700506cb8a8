/*
 * Lookups of local users (passwd through the pool, or a map), aliases and
 * logins.  Floor 3.  Answers about users are cached for a short time.
 */
#ifndef QUEUE_ROUTER_LOOKUP_H
#define QUEUE_ROUTER_LOOKUP_H

#include "common/io/map.h"
#include "common/proto/scram.h"
#include "queue/router/judge.h"
#include "queue/router/work.h"

struct rt_lookup;

struct rt_lookup *rt_lookup_new(struct hb_loop *l, const struct hb_conf *conf);
/* Who is asked for `auth dovecot`; borrowed. */
void rt_lookup_set_judge(struct rt_lookup *k, struct rt_judge *j);
/* The router is about to end: so do its children. */
void rt_lookup_stop(struct rt_lookup *k);
/* The same for `auth pam`: a pool by the parent. */
void rt_lookup_set_pam(struct rt_lookup *k, struct rt_pool *pam);
/* New configuration: opens the maps again and empties the cache. */
void rt_lookup_reconf(struct rt_lookup *k, const struct hb_conf *conf);

/*
 * Looks up Q: an alias or a user.  LANE: of the pool (queue/router/work.h).
 * RT_LATER: CB runs after this returned; otherwise the result is the answer and
 * CB does not run.
 */
enum rt_found rt_look_up(struct rt_lookup *k, unsigned lane,
    const struct rt_query *q, rt_found_fn cb, void *ctx) HB_MUSTCHECK;
/* Appends the value of `sender-login` for the address SENDER, or its domain. */
enum rt_found rt_lookup_sender(struct rt_lookup *k, struct hb_span sender,
    struct hb_buf *value) HB_MUSTCHECK;
/* Is there an `access' to be asked?  The keys of one question are asked after
 * one such call. */
bool rt_lookup_begin_access(struct rt_lookup *k);
/* The entry of KEY in `access'. */
enum rt_found rt_lookup_access(struct rt_lookup *k, struct hb_span key,
    struct hb_buf *value, struct hb_map_place *at) HB_MUSTCHECK;
/* Tells the operator, until the table changes: the entry RULE has a VALUE that
 * nobody understands. */
void rt_lookup_bad_access(struct rt_lookup *k, struct hb_span rule,
    struct hb_span value);
/* Is the password of M that of its user?  As above.  Who is in none of the files
 * of `auth passwd-file` is asked about at `auth dovecot` or `auth pam`, which may
 * have another name for him: USER, which must live until CB runs. */
enum rt_found rt_lookup_password(struct rt_lookup *k, unsigned lane,
    const struct ipc_auth *m, struct hb_buf *user, rt_found_fn cb,
    void *ctx) HB_MUSTCHECK;
/* The verifier of USER for SCRAM.  RT_NOTFOUND: *V is a false one, which looks
 * like a true one, as USER is unknown or has another kind of hash.  RT_TEMP: the
 * files cannot be read, or have no verifier. */
enum rt_found rt_lookup_verifier(struct rt_lookup *k, struct hb_span user,
    struct hb_scram_verifier *v) HB_MUSTCHECK;
/* Do the files, as they are now, have a verifier? */
bool rt_lookup_scram(struct rt_lookup *k);

#endif
