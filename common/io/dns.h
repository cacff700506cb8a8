/*
 * DNS queries through c-ares.  Floor 3.  Every query sets AD; equal queries in
 * progress are sent once; answers, negative ones too, are cached by TTL in
 * bounded memory.  A server without EDNS is asked without it
 * (common/proto/edns.h).
 */
#ifndef HB_IO_DNS_H
#define HB_IO_DNS_H

#include "common/io/loop.h"
#include "common/proto/conf.h"
#include "common/proto/dnsmsg.h"

struct hb_dns;
struct hb_dns_query;

/* RESOLV: content of resolv.conf, used if CONF names no resolver.  Only the
 * first HB_MAX_RESOLVERS count.  Returns NULL and fills ERR if c-ares fails. */
struct hb_dns *hb_dns_new(struct hb_loop *l, const struct hb_conf *conf,
    struct hb_span resolv, struct hb_buf *err);
/* First answers queries in progress with HB_DNS_TEMP. */
void hb_dns_free(struct hb_dns **d); /* accepts NULL inside */

/* ANSWER lives until the callback returns. */
typedef void (*hb_dns_fn)(void *ctx, const struct hb_dns_answer *answer);
/* CB never runs before this returns; until it runs the query can be cancelled.
 * What is cached, can be no name (NXDOMAIN), or cannot be asked (TEMP) is
 * answered at the end of the turn, the rest within ten seconds or so. */
struct hb_dns_query *hb_dns_ask(struct hb_dns *d, struct hb_span name,
    enum hb_dns_type type, hb_dns_fn cb, void *ctx);
/* What is cached, until the end of the turn; NULL: it has to be asked for. */
const struct hb_dns_answer *hb_dns_cached(struct hb_dns *d,
    struct hb_span name, enum hb_dns_type type);
/* Asks the server of that number alone, whatever is cached, and keeps nothing
 * of the answer.  NAME "." is the root.  CB as above. */
struct hb_dns_query *hb_dns_probe(struct hb_dns *d, size_t server,
    struct hb_span name, enum hb_dns_type type, hb_dns_fn cb, void *ctx);
/* Does some server reject queries with EDNS?  Its answers are plain. */
bool hb_dns_lacks_edns(const struct hb_dns *d);
/* Returns false if there is no server with that number. */
bool hb_dns_server(
    const struct hb_dns *d, size_t server, struct hb_netaddr *out);
void hb_dns_cancel(struct hb_dns_query *q); /* accepts NULL; no CB follows */
/* Drops the cached answer: the next query is sent. */
void hb_dns_forget(struct hb_dns *d, struct hb_span name,
    enum hb_dns_type type);

#endif
