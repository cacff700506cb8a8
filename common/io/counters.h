/*
 * Totals that all listener processes share: sessions, sessions of one client,
 * new sessions of one client in a time.  Floor 3.
 *
 * The parent makes the table (a memory file) and passes it with COUNTERS.
 * Each worker writes its own part only and adds up all parts; it counts
 * itself before it looks, so that two workers at the same moment never admit
 * more than the limit.  The parent empties the part of a worker that died.
 * A client is an IPv4 address or an IPv6 /64.
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

/* The parent's side: a table for WORKERS processes.  Returns its descriptor
 * and fills SIZE, or -errno. */
int hb_counters_create(unsigned workers, unsigned max_sessions,
    uint64_t *size) HB_MUSTCHECK;

/* Takes FD.  SELF: the caller's number among the workers; the parent gives 0
 * and only uses hb_counters_forget and hb_counters_sessions.  NULL when FD
 * is no such table. */
struct hb_counters *hb_counters_map(int fd, uint64_t size, unsigned self);
void hb_counters_unmap(struct hb_counters **c);

/* A session of CLIENT begins (family 0: only the total counts).  On
 * HB_ADMIT_OK *SLOT is what hb_counters_leave wants; otherwise nothing is
 * counted. */
enum hb_admit hb_counters_enter(struct hb_counters *c,
    const struct hb_netaddr *client, const struct hb_conf *limits,
    int64_t now_ms, uint32_t *slot);
void hb_counters_leave(struct hb_counters *c, uint32_t slot);

unsigned hb_counters_sessions(const struct hb_counters *c);
void hb_counters_forget(struct hb_counters *c, unsigned worker);

#endif
