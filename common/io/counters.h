/*
 * Totals that all listener processes share: sessions, sessions of one client,
 * new sessions of one client in a time.  Floor 3.
 *
 * The parent makes the table, a memory file for each worker's part, and passes
 * them with COUNTERS: to each worker its own part, and those of the others as
 * files that it can only read.  A worker that was taken over can lie about its
 * own sessions, never about another's.  Each adds up all parts; it counts
 * itself before it looks, so that two workers at the same moment never admit
 * more than the limit.  The parent empties the part of a worker that died.
 * A client is an IPv4 address or an IPv6 /64.
 *
 * The penalties (penalty.h) stand in the same parts.
 */
#ifndef HB_IO_COUNTERS_H
#define HB_IO_COUNTERS_H

#include "common/proto/conf.h"

struct hb_counters;

enum hb_admit {
	HB_ADMIT_OK,
	HB_ADMIT_TOTAL,	 /* max-sessions */
	HB_ADMIT_CLIENT, /* max-sessions-per-client */
	HB_ADMIT_RATE	 /* max-rate-per-client */
};

/* The parent's side: parts for WORKERS processes; NULL: errno says why. */
struct hb_counters *hb_counters_create(unsigned workers,
    unsigned max_sessions);
unsigned hb_counters_workers(const struct hb_counters *c);
uint64_t hb_counters_size(const struct hb_counters *c);
/* The descriptor of PART for the worker READER; it stays the table's. */
int hb_counters_fd(const struct hb_counters *c, unsigned part,
    unsigned reader);
/* A worker died: its sessions are over.  ALL: it misbehaved, so its penalties
 * are not believed either. */
void hb_counters_forget(struct hb_counters *c, unsigned worker, bool all);

/* A worker's side: takes FD, which is PART, as the worker SELF.  Its own part
 * comes first and makes *C.  0, or -EINVAL: it is no such file. */
int hb_counters_add(struct hb_counters **c, int fd, uint64_t size,
    unsigned part, unsigned self) HB_MUSTCHECK;
void hb_counters_free(struct hb_counters **c);

/* A session of CLIENT begins (family 0: only the total counts).  On
 * HB_ADMIT_OK *SLOT is what hb_counters_leave wants; otherwise nothing is
 * counted. */
enum hb_admit hb_counters_enter(struct hb_counters *c,
    const struct hb_netaddr *client, const struct hb_conf *limits,
    int64_t now_ms, uint32_t *slot);
void hb_counters_leave(struct hb_counters *c, uint32_t slot);

unsigned hb_counters_sessions(const struct hb_counters *c);

#endif
