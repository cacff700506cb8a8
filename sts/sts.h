/*
 * MTA-STS policies of domains, for the delivery role.  Floor 3.  Discovery by
 * DNS and HTTPS, a cache in front of the durable store, refresh in the
 * background; RFC 8461 s3, s5.  sts/decide.h judges a channel.
 *
 *	lookup -> cached and its TXT record still fresh -> answer
 *	       -> store -> TXT record -> fetch when the id is new -> flushed
 *	          to the store -> answer
 *
 * A lookup never waits for another domain's servers.
 */
#ifndef STS_STS_H
#define STS_STS_H

#include "common/io/ctlask.h"
#include "common/io/dns.h"
#include "common/io/loop.h"
#include "common/io/peer.h"
#include "common/io/store.h"
#include "common/io/tls.h"
#include "common/proto/conf.h"
#include "sts/core.h"

struct sts;

struct sts_env {
	struct hb_loop *loop;
	const struct hb_conf *conf; /* borrowed, until sts_reconf */
	struct hb_dns *dns;         /* borrowed, until sts_reconf */
	struct hb_tls *tls;         /* client side: its trusted roots; same */
	const struct hb_store_ops *ops;
	void *store; /* HB_TABLE_POLICY; keys are policy domains */
	int64_t build_ms; /* a correct clock is not before it */
};

/* NULL only if libcurl fails to start.  ENV is copied. */
struct sts *sts_new(const struct sts_env *env);
/* Cancels lookups in progress, without callback. */
void sts_free(struct sts **s); /* accepts NULL inside */
/* New configuration, resolver and roots; fetches in progress start again. */
void sts_reconf(struct sts *s, const struct hb_conf *conf, struct hb_dns *dns,
    struct hb_tls *tls);

/*
 * The callback owns REF (sts_ref_release), or REF is NULL and WHY says why
 * there is no policy: STS_NO_RECORD, STS_BAD_RECORD, STS_DNS_TEMP, STS_FETCH_*,
 * STS_BAD_POLICY, STS_OFF: proceed without policy; STS_STORE: the stored policy
 * cannot be read, sts_decide_* defers.  With REF, STS_DNS_TEMP, STS_FETCH_* or
 * STS_BAD_POLICY: a newer policy may exist but could not be fetched.
 *
 * No ref has expired when it is handed out, unless the clock is implausible; a
 * caller that decides later uses the time of the lookup, or looks up again.
 *
 * DOMAIN: policy domain in A-labels, any case, no address literal.  CB never
 * runs before this returns; until it runs sts_lookup_cancel is possible.
 *
 * FLAGS: STS_FINAL: this is the last attempt, and a policy failure would be
 * final, so the TXT record is queried again (RFC 8461 s5.1); STS_FORCE.
 */
struct sts_lookup *sts_lookup(struct sts *s, struct hb_span domain,
    unsigned flags, sts_lookup_fn cb, void *ctx);
/* What sts_lookup without flags would say, if that is in memory.  REF is
 * owned by the caller.  False: it has to be looked up. */
bool sts_cached(struct sts *s, struct hb_span domain,
    struct sts_policy_ref **ref, enum hb_reason *why);

/* The clock was moved: checks again all that waits for a time. */
void sts_clock_moved(struct sts *s);

/* For struct sts_channel: the clock cannot be right, or there is no evidence
 * yet that it is (sts/clock.h). */
bool sts_clock_implausible(const struct sts *s);
/* The clock's time, but never before a time that was once right. */
int64_t sts_least_ms(const struct sts *s);
/* The store is available from now on. */
void sts_store_up(struct sts *s);
/* The certificate of a mail host has just been found valid, in date by the
 * system's clock. */
void sts_clock_confirmed(struct sts *s);
/* Members for the answer to STATUS: policies, failing, clock. */
void sts_status(const struct sts *s, const struct hb_ctl *to);

/* For explain: result of the last fetch, and the last state of the TXT record
 * (NULL if the domain is unknown; borrowed until the next call). */
enum hb_reason sts_last_error(struct sts *s, struct hb_span domain);
const struct sts_txt_state *sts_last_txt(struct sts *s, struct hb_span domain);

/* Answers STS_LIST, STS_SHOW, STS_REFRESH, STS_EXPIRE, STS_FORGET, STS_EXPORT
 * and STS_IMPORT, now or later; false if Q is another request.  CONTROL is
 * borrowed: report its loss. */
bool sts_ctl(struct sts *s, struct hb_peer *control, const struct ipc_ctl *q);
void sts_ctl_lost(struct sts *s, const struct hb_peer *control);

#endif
