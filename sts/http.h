/*
 * Fetches the policy of a domain over HTTPS.  RFC 8461 s3.2, s3.3.  Floor 3:
 * only this uses libcurl, on the loop, without threads and files.
 *
 * The URL is https://mta-sts.DOMAIN/.well-known/mta-sts.txt; we resolve its
 * host and pin the address; the certificate must chain to the shared roots and
 * name the host in a DNS-ID.  No redirect, proxy, cookie or HTTP cache; status
 * 200, type text/plain, 64 KiB, 60 s in all.
 */
#ifndef STS_HTTP_H
#define STS_HTTP_H

#include "common/io/dns.h"
#include "common/io/loop.h"
#include "common/io/tls.h"
#include "common/proto/conf.h"
#include "common/proto/envelope.h"

struct sts_http;
struct sts_http_get;

/* NULL: libcurl failed to start. */
struct sts_http *sts_http_new(struct hb_loop *l);
/* Cancels fetches in progress, without callback. */
void sts_http_free(struct sts_http **h);
/* Borrows all three until the next call; fetches in progress start again. */
void sts_http_use(struct sts_http *h, const struct hb_conf *conf,
    struct hb_dns *dns, struct hb_tls *tls);

/* WHY: HB_REASON_NONE with the BODY, or STS_FETCH_* with a TEXT for the log
 * (may be NULL).  Both live for the call. */
typedef void (*sts_http_fn)(
    void *ctx, enum hb_reason why, struct hb_span body, const char *text);
/* DOMAIN: letters, digits, '-', '_', '.'; at most HB_MAX_DOMAIN bytes.  CB
 * never runs before this returns. */
struct sts_http_get *sts_http_start(
    struct sts_http *h, struct hb_span domain, sts_http_fn cb, void *ctx);
void sts_http_cancel(struct sts_http_get *g); /* accepts NULL; no CB follows */

#endif
