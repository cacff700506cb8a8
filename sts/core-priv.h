/* What the files of the core share.  Floor 2. */
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
	int64_t mono_ms, shift_ms; /* as told last; the lab's */
	int64_t skew_ms;	   /* of the time that is told, to that */
	bool moved;		   /* the clock was: look at all that waits */
	bool clock_asked, clock_loaded;
	int64_t clock_asked_ms, clock_kept_ms; /* monotonic; in the store */
	uint64_t without_answer; /* times mail went on without a TXT answer */
	/* the walk through the store */
	bool walks, walking;
	int64_t walk_ms; /* the next step; monotonic */
	size_t walk_rows;
	bool walked_once;
	/* of the last whole walk, and what this one has met */
	struct sts_counts counts, counting;
	unsigned char walk_after[HB_MAX_DOMAIN]; /* the last row's name */
	size_t walk_after_n;
	/* rows without a policy: at most, met by this walk, put since it began */
	size_t waits, waits_met, waits_new;
};

/* core.c */

/* Is that time over?  Never while the clock is wrong. */
bool sts_core_is_over(
    const struct sts_core *c, int64_t expires_ms, int64_t now_ms);
/* RFC 8461 s3.2: not longer than max_age after the fetch.  The store is read
 * again: another worker may have refreshed the policy meanwhile. */
void sts_core_drop_expired(
    struct sts_core *c, struct sts_domain *d, int64_t now_ms);
/* The next step of D, if anybody waits for it. */
void sts_core_advance(struct sts_core *c, struct sts_domain *d, int64_t now_ms);
/* After each change of what sts_core_tick has to do, and when. */
void sts_core_set_alarm(struct sts_core *c);
/* Answers all who wait for D with REF (borrowed; NULL: none), at the end of
 * the turn. */
void sts_core_answer(struct sts_core *c, struct sts_domain *d,
    struct sts_policy_ref *ref, enum hb_reason why);
/* NAME in lower case without final dot; false: nothing that DNS and a URL
 * could ask for. */
bool sts_core_canonical(
    struct hb_span name, unsigned char dst[HB_MAX_DOMAIN], struct hb_span *out);
/* Counts and logs ACTION, one of HB_STAT_POLICY_*, of what D holds; TEXT may be
 * NULL. */
void sts_core_log(const struct sts_domain *d, enum hb_level level,
    enum hb_stat action, enum hb_reason why, const char *text);

/* core_fetch.c */

/* Fetches the policy of D that its TXT record calls ID, when it is its turn:
 * who is waited for goes first. */
void sts_core_want_fetch(
    struct sts_core *c, struct sts_domain *d, struct hb_span id);
/* As many as there are places for, at the end of a turn. */
void sts_core_start_fetches(struct sts_core *c);
/* All places are taken, and somebody waits for one. */
bool sts_core_is_place_wanted(const struct sts_core *c);

/* core_store.c */

/* What the store knows of D becomes what D holds, unless D knows better. */
void sts_core_adopt(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, int64_t now_ms);
/* LAZY: nobody waits for it. */
void sts_core_save(struct sts_core *c, struct sts_domain *d,
    const struct sts_record *r, bool lazy);
/* A worker whose clock was good wrote R. */
void sts_core_note_time(struct sts_core *c, const struct sts_record *r);

/* core_walk.c */

/* Asks for the next rows, when it is time; in how many ms that is. */
void sts_core_scan(struct sts_core *c);
int64_t sts_core_scan_rest(const struct sts_core *c);

/* core_count.c */

/* The store has another record of D now, or none. */
void sts_core_count(
    struct sts_core *c, struct sts_domain *d, bool stored, bool failing);
void sts_core_count_name(
    struct sts_core *c, struct hb_span name, int kept, int failing);
/* The walk meets a record; it has come to its end. */
void sts_core_count_row(struct sts_core *c, const struct sts_record *r);
void sts_core_count_end(struct sts_core *c);
bool sts_core_is_failing(const struct sts_record *r);

/* core_clock.c */

/* With each tick. */
void sts_core_clock_tick(struct sts_core *c);
/* Writes down a good time, once an hour, and before the first policy. */
void sts_core_clock_keep(struct sts_core *c);
/* Reads the newest good time, unless that was done. */
void sts_core_clock_load(struct sts_core *c);

#endif
