/* Shared by the files of the core.  Floor 2. */
#ifndef STS_CORE_PRIV_H
#define STS_CORE_PRIV_H

#include "common/base/log.h"
#include "common/proto/stats.h"
#include "sts/core.h"

enum {
	WALK_PAUSE_MS = 10 * 60 * 1000, /* between walks */
	WAIT_MIN_MS = 100               /* between any two steps */
};

struct sts_queue {
	struct sts_domains list;
	size_t n;
};

struct sts_core {
	const struct sts_core_ops *ops;
	void *ctx;
	struct sts_cache cache;
	struct hb_wait told; /* lookups with an answer, to be told this turn */
	struct sts_queue wanted, background; /* fetches to be started */
	struct sts_queue active;             /* under way, the oldest first */
	unsigned running_background;
	/* TXT records to be asked for again, the earliest first */
	struct sts_domains retries;
	int64_t alarm_ms; /* monotonic, that was asked for; INT64_MAX: none */
	struct sts_clock clock;
	int64_t mono_ms, shift_ms; /* as passed last; the lab's */
	int64_t skew_ms;	   /* the caller's time minus mono_ms */
	bool moved;		   /* the clock did: check all that waits */
	bool clock_asked, clock_loaded;
	int64_t clock_asked_ms, clock_kept_ms; /* monotonic; in the store */
	uint64_t without_answer; /* times mail went on without a TXT answer */
	/* the walk through the store */
	bool walks, walking;
	int64_t walk_ms; /* the next step; monotonic */
	size_t walk_rows;
	bool walked_once;
	/* of the last complete walk, and so far of the current one */
	struct sts_counts counts, counting;
	unsigned char walk_after[HB_MAX_DOMAIN]; /* the last row's name */
	size_t walk_after_n;
	/* rows without a policy: at most, met by this walk, stored since it
	 * began */
	size_t waits, waits_met, waits_new;
};

/* --- core.c --- */

/* Has it expired?  Always false while the clock is not trusted. */
bool sts_core_is_over(
    const struct sts_core *c, int64_t expires_ms, int64_t now_ms);
/* RFC 8461 s3.2: a policy lives at most max_age after the fetch.  The store is
 * read again: another worker may have refreshed the policy meanwhile. */
void sts_core_drop_expired(
    struct sts_core *c, struct sts_domain *d, int64_t now_ms);
/* Takes the next step of D, if a lookup waits for it. */
void sts_core_advance(struct sts_core *c, struct sts_domain *d, int64_t now_ms);
/* Call it after each change to the work of sts_core_tick or its time. */
void sts_core_set_alarm(struct sts_core *c);
/* Answers all who wait for D with REF (borrowed; NULL: none), at the end of
 * the turn. */
void sts_core_answer(struct sts_core *c, struct sts_domain *d,
    struct sts_policy_ref *ref, enum hb_reason why);
/* NAME in lower case without final dot; false: nothing that DNS and a URL
 * could ask for. */
bool sts_core_canonical(
    struct hb_span name, unsigned char dst[HB_MAX_DOMAIN], struct hb_span *out);
/* Counts and logs ACTION, one of HB_STAT_POLICY_*, for the policy that D holds;
 * TEXT may be NULL. */
void sts_core_log(const struct sts_domain *d, enum hb_level level,
    enum hb_stat action, enum hb_reason why, const char *text);

/* --- core_fetch.c --- */

/* Queues the fetch of D's policy with the id ID of its TXT record: a domain
 * with a waiting lookup goes first. */
void sts_core_want_fetch(
    struct sts_core *c, struct sts_domain *d, struct hb_span id);
/* As many as there are places for, at the end of a turn. */
void sts_core_start_fetches(struct sts_core *c);
/* Are all places taken while a lookup waits for one? */
bool sts_core_is_place_wanted(const struct sts_core *c);

/* --- core_store.c --- */

/* Load the stored policy into D unless D already has a newer one. */
void sts_core_adopt(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, int64_t now_ms);
/* LAZY: no lookup waits for it. */
void sts_core_save(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, bool lazy);
/* R was written by a worker whose clock was good. */
void sts_core_note_time(struct sts_core *c, const struct sts_record *r);

/* --- core_walk.c --- */

/* Lists the next rows if it is time; returns in how many ms it will be. */
void sts_core_scan(struct sts_core *c);
int64_t sts_core_scan_rest(const struct sts_core *c);

/* --- core_count.c --- */

/* The store now has another record of D, or none. */
void sts_core_count(
    struct sts_core *c, struct sts_domain *d, bool stored, bool failing);
void sts_core_count_name(
    struct sts_core *c, struct hb_span name, int kept, int failing);
/* The walk reads a record; the walk has ended. */
void sts_core_count_row(struct sts_core *c, const struct sts_record *r);
void sts_core_count_end(struct sts_core *c);
bool sts_core_is_failing(const struct sts_record *r);

/* --- core_clock.c --- */

/* Call it with each tick. */
void sts_core_clock_tick(struct sts_core *c);
/* Stores a good time, once an hour, and before the first policy. */
void sts_core_clock_keep(struct sts_core *c);
/* Reads the newest good time, unless it was read already. */
void sts_core_clock_load(struct sts_core *c);

#endif
