/*
 * The policies of all domains of one worker: who waits for what, what is
 * fetched when, what is kept.  Floor 2: questions to store, DNS and HTTPS
 * leave through sts_core_ops, answers and the time come in by calls.
 * RFC 8461 s3.3, s5.1, s10.2.  sts/fetch.h decides the next step of a domain.
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
	/* Read the store: sts_core_loaded. */
	void (*load)(void *ctx, struct sts_domain *d);
	/* Keep VALUE: sts_core_saved, unless LAZY. */
	void (*save)(
	    void *ctx, struct sts_domain *d, struct hb_span value, bool lazy);
	/* Ask for the TXT record, ANEW: past every cache.  sts_core_txt. */
	void (*ask)(void *ctx, struct sts_domain *d, bool anew);
	/* Fetch the policy: sts_core_fetched. */
	void (*fetch)(void *ctx, struct sts_domain *d);
	/* End that fetch: no answer follows. */
	void (*drop)(void *ctx, struct sts_domain *d);
	/* List the store: sts_core_row for each, then sts_core_listed. */
	void (*list)(void *ctx, struct hb_span after, size_t count);
	/* Drop a record that is long dead. */
	void (*remove)(void *ctx, struct hb_span name);
	bool (*owns)(void *ctx, struct hb_span name);
	/* Read the newest good time: sts_core_clock_loaded. */
	void (*load_clock)(void *ctx);
	/* Keep VALUE as the newest good time; no answer. */
	void (*save_clock)(void *ctx, struct hb_span value);
	/* Call sts_core_tick in MS, in place of what was said before. */
	void (*alarm)(void *ctx, int64_t ms);
	/* Call sts_core_turn at the end of this turn. */
	void (*soon)(void *ctx);
};

/* Key of the newest good time in the table of policies: no domain. */
#define STS_CLOCK_KEY HB_SPAN(".")

/* KEY: 16 random bytes.  BUILD_MS: no honest clock is before it. */
struct sts_core *sts_core_new(const struct sts_core_ops *ops, void *ctx,
    const unsigned char key[16], int64_t build_ms);
void sts_core_free(struct sts_core **c);

/* Is NAME a key of the store: A-labels in lower case, no final dot? */
bool sts_is_name(struct hb_span name);

/* As sts_lookup in sts/sts.h; WHY as there. */
#define STS_FINAL 1u /* ask for the TXT record anew, past every cache */
/* Fetch now, whatever is known and however it failed a moment ago. */
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

/* Answers.  ERR: 0, HB_E_NOTFOUND, or the store cannot be read. */
void sts_core_loaded(struct sts_core *c, struct sts_domain *d, int err,
    struct hb_span value, int64_t now_ms);
void sts_core_saved(
    struct sts_core *c, struct sts_domain *d, int err, int64_t now_ms);
/* RECORDS: of the answer, N of them; TEMP: there was no answer. */
void sts_core_txt(struct sts_core *c, struct sts_domain *d, bool temp,
    const struct hb_span *records, size_t n, uint32_t ttl_s, int64_t now_ms);
/* WHY: HB_REASON_NONE with the BODY, or what failed, with a text for the
 * log (may be NULL). */
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
/* Policies are refreshed when they are due, or (as at first) not.  What was
 * asked by a lookup goes on in either case. */
void sts_core_refresh(struct sts_core *c, bool on);

/* The store's record was changed by another hand, or REMOVED. */
void sts_core_forget(struct sts_core *c, struct hb_span domain, bool removed,
    int64_t now_ms);
/* VALUE was put into the store in place of nothing, or of an older record
 * (THERE). */
void sts_core_imported(struct sts_core *c, struct hb_span domain,
    struct hb_span value, bool there, int64_t now_ms);
/* Of the last fetch of the domain, HB_REASON_NONE if it was good. */
enum hb_reason sts_core_last_error(struct sts_core *c, struct hb_span domain);
/* What was last seen of the domain's TXT record; NULL: nothing is known of the
 * domain.  Borrowed until the next call. */
const struct sts_txt_state *sts_core_last_txt(
    struct sts_core *c, struct hb_span domain);

/* What the clocks say, before any other call: WALL_MS is without the lab's
 * shift, every NOW_MS is with it. */
void sts_core_clock(
    struct sts_core *c, int64_t wall_ms, int64_t mono_ms, int64_t now_ms);
void sts_core_clock_loaded(struct sts_core *c, int err, struct hb_span value);
/* A certificate of a mail host or policy host proved valid just now. */
void sts_core_clock_confirmed(struct sts_core *c);
/* Not GOOD: policies do not expire. */
enum sts_clock_state sts_core_clock_state(const struct sts_core *c);
/* NOW, but never before a time that was right once: what is dated so does not
 * end too early, what ended then is not back. */
int64_t sts_core_least_ms(const struct sts_core *c, int64_t now_ms);

/* Policies of this worker in the store, and those of them that demand
 * something and whose last fetch failed.  Exact after each walk. */
struct sts_counts {
	uint64_t kept, failing;
	bool whole; /* the first walk is done: no estimate */
};
struct sts_counts sts_core_counts(const struct sts_core *c);

#endif
