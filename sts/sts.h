/*
 * MTA-STS policies of domains, for the delivery role.  Floor 3.  Discovery by
 * DNS and HTTPS, memory in front of the durable store, refresh in the
 * background; RFC 8461 s3, s5.  Judging a channel is sts/decide.h.
 *
 *	lookup -> cached and its TXT record still fresh -> answer
 *	       -> store -> TXT record -> fetch when the id is new -> flushed
 *	          to the store -> answer
 *
 * One lookup never waits for another domain's servers.
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
	int64_t build_ms; /* no honest clock is before it */
};

/* NULL only when libcurl cannot be set up.  ENV is copied. */
struct sts *sts_new(const struct sts_env *env);
/* Lookups that are under way are dropped without callback. */
void sts_free(struct sts **s); /* accepts NULL inside */
/* New configuration, resolver and roots; fetches under way are dropped and
 * started again. */
void sts_reconf(struct sts *s, const struct hb_conf *conf, struct hb_dns *dns,
    struct hb_tls *tls);

/*
 * REF is owned by the callback's taker (sts_ref_release), or NULL and WHY
 * says why there is no policy: STS_NO_RECORD, STS_BAD_RECORD, STS_DNS_TEMP,
 * STS_FETCH_*, STS_BAD_POLICY, STS_OFF: go on as without policy; STS_STORE:
 * what is kept cannot be read, sts_decide_* defers.  With REF, STS_DNS_TEMP,
 * STS_FETCH_* or STS_BAD_POLICY: there may be a newer one, which could not be
 * had.
 *
 * No ref has expired when it is handed out, unless the clock is implausible;
 * who decides later does it by the time of the look-up, or looks up again.
 *
 * DOMAIN: policy domain in A-labels, any case, no address literal.  CB never
 * runs before this returns; until it runs sts_lookup_cancel is possible.
 *
 * FLAGS: STS_FINAL: this is the last attempt, and a policy failure would be
 * final, so the TXT record is asked for anew (RFC 8461 s5.1); STS_FORCE.
 */
struct sts_lookup *sts_lookup(struct sts *s, struct hb_span domain,
    unsigned flags, sts_lookup_fn cb, void *ctx);
/* What sts_lookup without flags would say, if that is in memory.  REF is
 * owned by the caller.  False: it has to be looked up. */
bool sts_cached(struct sts *s, struct hb_span domain,
    struct sts_policy_ref **ref, enum hb_reason *why);

/* The clock was moved: what waits for a time is looked at again. */
void sts_clock_moved(struct sts *s);

/* For struct sts_channel: the clock cannot be right, or nothing says yet that
 * it is (sts/clock.h). */
bool sts_clock_implausible(const struct sts *s);
/* What the clock says, but never before a time that was right once. */
int64_t sts_least_ms(const struct sts *s);
/* The store can be asked from now on. */
void sts_store_up(struct sts *s);
/* The certificate of a mail host proved valid just now, in date by the
 * system's clock. */
void sts_clock_confirmed(struct sts *s);
/* Members for the answer to STATUS: policies, failing, clock. */
void sts_status(const struct sts *s, const struct hb_ctl *to);

/* For explain: how the last fetch went, and the TXT record as it was last
 * seen (NULL: nothing is known of the domain; borrowed until the next call). */
enum hb_reason sts_last_error(struct sts *s, struct hb_span domain);
const struct sts_txt_state *sts_last_txt(struct sts *s, struct hb_span domain);

/* Answers STS_LIST, STS_SHOW, STS_REFRESH, STS_EXPIRE, STS_FORGET, STS_EXPORT
 * and STS_IMPORT, now or later; false: Q is none of these.  CONTROL is
 * borrowed: tell of its loss. */
bool sts_ctl(struct sts *s, struct hb_peer *control, const struct ipc_ctl *q);
void sts_ctl_lost(struct sts *s, const struct hb_peer *control);
/* A policy that belongs to the answer of STS_IMPORT. */
void sts_import_row(
    struct sts *s, const struct hb_peer *control, const struct ipc_sts_row *m);

#endif
