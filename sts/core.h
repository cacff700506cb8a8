/*
 * The policies of all domains of one worker: waiting lookups, fetches and
 * cached policies.  Floor 2: requests to store, DNS and HTTPS go through
 * sts_core_ops; the caller passes answers and the time.  RFC 8461 s3.3, s5.1,
 * s10.2.  sts/fetch.h decides the next step of a domain.
 *
 * No answer comes before its question's call returns (HACKING "Answers"):
 * neither one to an op, nor one of ours.  A domain that was handed to an op
 * stays until its answer came or the core is freed.
 */
#ifndef STS_CORE_H
#define STS_CORE_H

#include "sts/cache.h"
#include "sts/clock.h"

struct sts_core;

struct sts_core_ops {
	/* Reads the store: sts_core_loaded. */
	void (*load)(void *ctx, struct sts_domain *d);
	/* Stores VALUE: sts_core_saved, unless LAZY. */
	void (*save)(
	    void *ctx, struct sts_domain *d, struct hb_span value, bool lazy);
	/* Queries the TXT record, ANEW: bypassing every cache.
	 * sts_core_txt. */
	void (*ask)(void *ctx, struct sts_domain *d, bool anew);
	/* Fetches the policy: sts_core_fetched. */
	void (*fetch)(void *ctx, struct sts_domain *d);
	/* Cancels that fetch: no answer follows. */
	void (*drop)(void *ctx, struct sts_domain *d);
	/* Lists the store: sts_core_row for each row, then sts_core_listed. */
	void (*list)(void *ctx, struct hb_span after, size_t count);
	/* Removes a record that expired long ago. */
	void (*remove)(void *ctx, struct hb_span name);
	bool (*owns)(void *ctx, struct hb_span name);
	/* Reads the newest good time: sts_core_clock_loaded. */
	void (*load_clock)(void *ctx);
	/* Stores VALUE as the newest good time; no answer. */
	void (*save_clock)(void *ctx, struct hb_span value);
	/* Requests a call of sts_core_tick in MS, replacing the previous
	 * request. */
	void (*alarm)(void *ctx, int64_t ms);
	/* Call sts_core_turn at the end of this turn. */
	void (*soon)(void *ctx);
};

/* Key of the newest good time in the table of policies: not a domain. */
#define STS_CLOCK_KEY HB_SPAN(".")

/* KEY: 16 random bytes.  BUILD_MS: a correct clock is never before it. */
struct sts_core *sts_core_new(const struct sts_core_ops *ops, void *ctx,
    const unsigned char key[16], int64_t build_ms);
void sts_core_free(struct sts_core **c);

/* Is NAME a key of the store: A-labels in lower case, no final dot? */
bool sts_is_name(struct hb_span name);

/* As sts_lookup in sts/sts.h; WHY as there. */
#define STS_FINAL 1u /* query the TXT record again, bypassing every cache */
/* Fetch now, even if a policy is known or a fetch failed a moment ago. */
#define STS_FORCE 2u
typedef void (*sts_lookup_fn)(
    void *ctx, struct sts_policy_ref *ref, enum hb_reason why);
struct sts_lookup *sts_core_lookup(struct sts_core *c, struct hb_span domain,
    unsigned flags, sts_lookup_fn cb, void *ctx, int64_t now_ms);
/* A lookup whose answer is known: no policy, and WHY. */
struct sts_lookup *sts_core_lookup_none(
    struct sts_core *c, enum hb_reason why, sts_lookup_fn cb, void *ctx);
/* As sts_cached in sts/sts.h. */
bool sts_core_cached(struct sts_core *c, struct hb_span domain, int64_t now_ms,
    struct sts_policy_ref **ref, enum hb_reason *why);
void sts_lookup_cancel(struct sts_lookup *l); /* accepts NULL */

/* Answers.  ERR: 0, HB_E_NOTFOUND, or another code if the store cannot be
 * read. */
void sts_core_loaded(struct sts_core *c, struct sts_domain *d, int err,
    struct hb_span value, int64_t now_ms);
void sts_core_saved(
    struct sts_core *c, struct sts_domain *d, int err, int64_t now_ms);
/* RECORDS: N records of the answer; TEMP: there was no answer. */
void sts_core_txt(struct sts_core *c, struct sts_domain *d, bool temp,
    const struct hb_span *records, size_t n, uint32_t ttl_s, int64_t now_ms);
/* WHY: HB_REASON_NONE with the BODY, or the failure with a text for the log
 * (may be NULL). */
void sts_core_fetched(struct sts_core *c, struct sts_domain *d,
    enum hb_reason why, struct hb_span body, const char *text, int64_t now_ms);
void sts_core_row(struct sts_core *c, struct hb_span name, struct hb_span value,
    int64_t now_ms);
void sts_core_listed(struct sts_core *c, int err);

/* Lookups are told their answers, fetches start. */
void sts_core_turn(struct sts_core *c);
/* Timed work: when the alarm says so, which asks for the next one; or before,
 * when something has changed. */
void sts_core_tick(struct sts_core *c, int64_t now_ms);
/* Turns the refresh of due policies on or off (at first it is off).  Fetches
 * for lookups go on in either case. */
void sts_core_refresh(struct sts_core *c, bool on);

/* The store's record was changed elsewhere, or REMOVED. */
void sts_core_forget(struct sts_core *c, struct hb_span domain, bool removed,
    int64_t now_ms);
/* VALUE was added to the store, or replaced an older record (THERE). */
void sts_core_imported(struct sts_core *c, struct hb_span domain,
    struct hb_span value, bool there, int64_t now_ms);
/* Failure of the domain's last fetch; HB_REASON_NONE if it succeeded. */
enum hb_reason sts_core_last_error(struct sts_core *c, struct hb_span domain);
/* Last state of the domain's TXT record; NULL if the domain is unknown.
 * Borrowed until the next call. */
const struct sts_txt_state *sts_core_last_txt(
    struct sts_core *c, struct hb_span domain);

/* Passes both clocks, before any other call: WALL_MS is without the lab's
 * shift, every NOW_MS is with it. */
void sts_core_clock(
    struct sts_core *c, int64_t wall_ms, int64_t mono_ms, int64_t now_ms);
void sts_core_clock_loaded(struct sts_core *c, int err, struct hb_span value);
/* The certificate of a mail host or policy host has just been found valid. */
void sts_core_clock_confirmed(struct sts_core *c);
/* Not GOOD: policies do not expire. */
enum sts_clock_state sts_core_clock_state(const struct sts_core *c);
/* NOW_MS, but never before a time that was once right: a state dated by it does
 * not expire too early, and one that expired then does not return. */
int64_t sts_core_least_ms(const struct sts_core *c, int64_t now_ms);

/* Policies of this worker in the store, and those of them that demand something
 * and whose last fetch failed.  Exact after each walk. */
struct sts_counts {
	uint64_t kept, failing;
	bool whole; /* the first walk is complete: not an estimate */
};
struct sts_counts sts_core_counts(const struct sts_core *c);

#endif
