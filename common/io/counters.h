/*
 * Totals shared by all listener processes: sessions, sessions per client, new
 * sessions per client in a period.  Floor 3.
 *
 * The parent makes the table, a memory file for each worker's part, and passes
 * the files with COUNTERS: its own part to each worker, and the other parts as
 * read-only files.  A compromised worker can lie about its own sessions, never
 * about those of another.  Each worker adds up all parts; it counts itself
 * before it checks, so that two workers at the same moment never admit more
 * than the limit.  The parent clears the part of a worker that died.  A client
 * is an IPv4 address or an IPv6 /64.
 *
 * The same parts hold the penalties (penalty.h).
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

/* Parent: makes parts for WORKERS processes; NULL with errno set on failure. */
struct hb_counters *hb_counters_create(unsigned workers,
    unsigned max_sessions);
unsigned hb_counters_workers(const struct hb_counters *c);
uint64_t hb_counters_size(const struct hb_counters *c);
/* Descriptor of PART for the worker READER, owned by the table. */
int hb_counters_fd(const struct hb_counters *c, unsigned part,
    unsigned reader);
/* Clears the sessions of a worker that died.  ALL: it misbehaved, so its
 * penalties are dropped too. */
void hb_counters_forget(struct hb_counters *c, unsigned worker, bool all);

/* Worker: takes FD, which is PART, as the worker SELF.  Its own part comes
 * first and makes *C.  0, or -EINVAL if FD is not such a file. */
int hb_counters_add(struct hb_counters **c, int fd, uint64_t size,
    unsigned part, unsigned self) HB_MUSTCHECK;
void hb_counters_free(struct hb_counters **c);

/* Begins a session of CLIENT (family 0: only the total counts).  After
 * HB_ADMIT_OK pass *SLOT to hb_counters_leave; otherwise nothing is counted. */
enum hb_admit hb_counters_enter(struct hb_counters *c,
    const struct hb_netaddr *client, const struct hb_conf *limits,
    int64_t now_ms, uint32_t *slot);
void hb_counters_leave(struct hb_counters *c, uint32_t slot);

unsigned hb_counters_sessions(const struct hb_counters *c);

#endif
