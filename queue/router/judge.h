/*
 * The connection to the server of `auth dovecot`, which judges passwords.  Floor
 * 3.  One connection, made when it is needed; questions run side by side.
 */
#ifndef QUEUE_ROUTER_JUDGE_H
#define QUEUE_ROUTER_JUDGE_H

#include "common/io/loop.h"
#include "queue/router/dovecot.h"

struct rt_judge;

/* CONNECT asks the parent for a connection to PATH; rt_judge_endpoint brings
 * it. */
struct rt_judge *rt_judge_new(struct hb_loop *l,
    void (*connect)(void *ctx, uint32_t ref, const char *path), void *ctx);
/* Where the server is from now on; NULL: nowhere.  Borrowed. */
void rt_judge_set_path(struct rt_judge *j, const char *path);
void rt_judge_free(struct rt_judge **j);

/* Is the password of M right?  RT_LATER: CB runs once, within a bounded time,
 * and USER, which must live until then, has the server's name for the login.
 * RT_TEMP: too many wait. */
enum rt_found rt_judge_ask(struct rt_judge *j, const struct ipc_auth *m,
    struct hb_buf *user, rt_found_fn cb, void *ctx) HB_MUSTCHECK;
/* FD, or -errno. */
void rt_judge_endpoint(struct rt_judge *j, uint32_t ref, int fd);

#endif
