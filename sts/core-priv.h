/* What the files of the core share.  Floor 2. */
#ifndef STS_CORE_PRIV_H
#define STS_CORE_PRIV_H

#include "sts/core.h"

struct sts_queue {
	struct sts_domain *head, **tail;
	size_t n;
};

struct sts_core {
	const struct sts_core_ops *ops;
	void *ctx;
	struct sts_cache cache;
	struct sts_queue wanted, background; /* fetches to be started */
	struct sts_queue active;	     /* under way, the oldest first */
	unsigned running, running_background;
	bool starting;
	struct sts_domain *retry_head, **retry_tail;
	struct sts_clock clock;
	int64_t mono_ms, shift_ms; /* as told last; the lab's */
	bool clock_asked, clock_loaded;
	int64_t clock_asked_ms, clock_kept_ms; /* monotonic; in the store */
	uint64_t without_answer; /* times mail went on without a TXT answer */
	/* the walk through the store */
	bool walking;
	int64_t walked_ms, walk_ms; /* no step in between */
	size_t walk_rows;
	bool walked_once;
	/* of the last whole walk, and what this one has met */
	struct sts_counts counts, counting;
	unsigned char walk_after[HB_MAX_DOMAIN]; /* the last row's name */
	size_t walk_after_n;
};

/* The store has another record of D now, or none. */
void sts_core_count(
    struct sts_core *c, struct sts_domain *d, bool stored, bool failing);
void sts_core_count_name(
    struct sts_core *c, struct hb_span name, int kept, int failing);
/* The walk meets a record; it has come to its end. */
void sts_core_count_row(struct sts_core *c, const struct sts_record *r);
void sts_core_count_end(struct sts_core *c);
bool sts_core_is_failing(const struct sts_record *r);

/* With each tick. */
void sts_core_clock_tick(struct sts_core *c);
/* Writes down a good time, once an hour, and before the first policy. */
void sts_core_clock_keep(struct sts_core *c);
/* Reads the newest good time, unless that was done. */
void sts_core_clock_load(struct sts_core *c);

#endif
