/*
 * Connections of this worker: SMTP clients on sockets, idle ones that wait for
 * the next message, and the memory of unreachable hosts.  Floor 3.
 *
 * A connection is kept under its key (policy domain, mail host, address,
 * demands); it carries its facts and is judged again for each message.
 */
#ifndef DELIVERY_SMTP_POOL_H
#define DELIVERY_SMTP_POOL_H

#include "common/io/conn.h"
#include "common/proto/conf.h"
#include "delivery/smtp/attempt.h"

struct dlv_pool;
struct dlv_connection;

/* The parent is asked for a unix endpoint of LMTP; dlv_connection_endpoint
 * answers, unless the link is forgotten before. */
struct dlv_endpoint_ops {
	void (*ask)(void *ctx, struct dlv_connection *l, struct hb_span path);
	void (*forget)(void *ctx, const struct dlv_connection *l);
};

struct dlv_pool_env {
	struct hb_loop *loop;
	const struct hb_conf *conf; /* borrowed, until dlv_pool_reconf */
	struct hb_tls *tls;	    /* the same */
	const struct dlv_endpoint_ops *endpoints;
	void *ctx;
};
/* ENV is copied. */
struct dlv_pool *dlv_pool_new(const struct dlv_pool_env *env);
void dlv_pool_free(struct dlv_pool **p);
/* New configuration: idle connections are closed. */
void dlv_pool_reconf(struct dlv_pool *p, const struct hb_conf *conf,
    struct hb_tls *tls);
/* For status. */
size_t dlv_pool_connections(const struct dlv_pool *p);
size_t dlv_pool_idle(const struct dlv_pool *p);

/* Why connecting to ADDR failed a moment ago; NONE: it may be tried. */
enum hb_reason dlv_pool_why_down(struct dlv_pool *p, const struct hb_netaddr *addr);

/* The bytes of a message: BYTES, then LEN bytes of FD (-1: none). */
struct dlv_body {
	struct hb_span bytes;
	int fd;
	uint64_t len;
};

typedef void (*dlv_report_fn)(void *ctx, const struct dlv_connection_report *r);
/*
 * Makes a connection or takes a pooled one; *SLOT is set before the first
 * report, which may come before this returns.  The caller owns the link until
 * dlv_connection_release.
 */
void dlv_pool_open(struct dlv_pool *p, const struct dlv_target *t,
    struct dlv_connection **slot, dlv_report_fn report, void *ctx);
/* Call it after READY or DONE.  TXN and BODY's bytes are borrowed until DONE or
 * CLOSED. */
void dlv_connection_mail(struct dlv_connection *l, const struct dlv_txn *txn,
    const struct sts_verdict *verdict, const struct dlv_body *body);
/* KEEP: it may serve the next message.  Data of a report lives until the
 * report's callback returns. */
void dlv_connection_release(
    struct dlv_connection **l, bool keep); /* accepts NULL inside */
/* The parent's answer: takes FD; -1 with an errno. */
void dlv_connection_endpoint(struct dlv_connection *l, int fd, int syserr);

#endif
