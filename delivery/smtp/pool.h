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

struct dlv_pool_env {
	struct hb_loop *loop;
	const struct hb_conf *conf; /* borrowed, until dlv_pool_reconf */
	struct hb_tls *tls;	    /* same */
	/* Asks the parent for the unix endpoint PATH of LMTP; the answer, for
	 * REF, is dlv_pool_endpoint. */
	void (*ask_endpoint)(void *ctx, uint32_t ref, struct hb_span path);
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
/* Makes or takes a connection, the caller's until dlv_connection_release.
 * REPORT never runs before this, or a call below, returns. */
struct dlv_connection *dlv_pool_open(struct dlv_pool *p,
    const struct dlv_target *t, dlv_report_fn report, void *ctx);
/* After READY or DONE.  TXN and BODY's bytes are borrowed until DONE or
 * CLOSED. */
void dlv_connection_mail(struct dlv_connection *l, const struct dlv_txn *txn,
    const struct sts_verdict *verdict, const struct dlv_body *body);
/* KEEP: it may serve the next message.  Data of a report lives until the
 * report's callback returns. */
void dlv_connection_release(
    struct dlv_connection **l, bool keep); /* accepts NULL inside */
/* The answer of the parent: FD is taken; -1 with an errno. */
void dlv_pool_endpoint(struct dlv_pool *p, uint32_t ref, int fd, int syserr);

#endif
