/*
 * The downgrade ledger: the best channel ever seen to each policy domain and to
 * each of its mail hosts.  Floor 2: requests to the store and for the time go
 * through struct dlv_ledger_ops.
 *
 *	get -> in memory -> answer
 *	    -> store, one question for all who wait -> answer
 *	note: raises in memory, then in the store, whose flush nobody awaits
 *
 * Bounded: DLV_LEDGER_DOMAINS in memory, where the least recently used is
 * evicted (the store keeps it; one that the store could not take stays, up to
 * DLV_LEDGER_MOST), and DLV_SEEN_MXS hosts per domain.  A forgotten host counts
 * as never seen, for which the domain's best applies: no expectation falls.
 *
 * The worker that owns a domain is authoritative.  Another one (a destination
 * that spills over) reads the store again each minute and writes nothing.
 */
#ifndef DELIVERY_SMTP_LEDGER_H
#define DELIVERY_SMTP_LEDGER_H

#include "delivery/smtp/seen.h"

/* Domains in memory; and the maximum while the store accepts nothing. */
enum { DLV_LEDGER_DOMAINS = 50000, DLV_LEDGER_MOST = 2 * DLV_LEDGER_DOMAINS };

struct dlv_ledger;
struct dlv_ledger_domain;
struct dlv_ledger_wait;

/* No answer comes before its question's call returns (HACKING "Answers").  A
 * domain that was handed over stays until its answer came or the ledger is
 * freed. */
struct dlv_ledger_ops {
	/* Reads the store: dlv_ledger_loaded. */
	void (*load)(void *ctx, struct dlv_ledger_domain *d);
	/* Stores VALUE, without a flush: dlv_ledger_saved. */
	void (*save)(void *ctx, struct dlv_ledger_domain *d,
	    struct hb_span value);
	bool (*owns)(void *ctx, struct hb_span domain);
	int64_t (*now_ms)(void);
	/* Call dlv_ledger_turn at the end of this turn. */
	void (*soon)(void *ctx);
};

struct dlv_ledger *dlv_ledger_new(const struct dlv_ledger_ops *ops, void *ctx);
void dlv_ledger_free(struct dlv_ledger **l); /* accepts NULL inside */

/*
 * The callback owns SEEN (dlv_seen_release).  NULL: the store cannot be read
 * now; with `downgrade-memory defer' the mail waits.  For a domain never seen,
 * its best is NONE.
 */
typedef void (*dlv_ledger_fn)(void *ctx, struct dlv_seen *seen);
/* DOMAIN: policy domain in A-labels, any case.  CB never runs before this
 * returns; until it runs the question can be cancelled. */
struct dlv_ledger_wait *dlv_ledger_get(struct dlv_ledger *l,
    struct hb_span domain, dlv_ledger_fn cb, void *ctx);
void dlv_ledger_cancel(struct dlv_ledger_wait *w); /* accepts NULL */
/* What is in memory, owned; NULL: it has to be asked for. */
struct dlv_seen *dlv_ledger_cached(struct dlv_ledger *l,
    struct hb_span domain);
/* Tells the answers of this turn. */
void dlv_ledger_turn(struct dlv_ledger *l);

/* A message was sent to MX over a channel of this rank: raises, never
 * lowers. */
void dlv_ledger_note(struct dlv_ledger *l, struct hb_span domain,
    struct hb_span mx, enum hb_rank rank);

/* Logs and counts ev=downgrade: the channel to MX is TO, below the best seen,
 * FROM.  MSG: message id. */
void dlv_ledger_fall(struct hb_span domain, struct hb_span mx,
    enum hb_rank from, enum hb_rank to, uint64_t msg);

/* Answers of the store.  ERR: 0, HB_E_NOTFOUND (loaded), or it failed. */
void dlv_ledger_loaded(struct dlv_ledger_domain *d, int err,
    struct hb_span value);
void dlv_ledger_saved(struct dlv_ledger_domain *d, int err);
/* The store is there again: what it did not take is written once more. */
void dlv_ledger_store_up(struct dlv_ledger *l);
/* The store's record is about to be removed: forgets the domain in memory
 * too. */
void dlv_ledger_forget(struct dlv_ledger *l, struct hb_span domain);

struct hb_span dlv_ledger_name(const struct dlv_ledger_domain *d);

#endif
