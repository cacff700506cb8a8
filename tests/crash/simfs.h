/*
 * A file system in memory that can lose what was not flushed.  The crash
 * test's stand-in for the system calls of queue/spool/io.h.
 *
 * Each call that changes something is counted; at the chosen one the machine
 * stops (sim.crash_at) or the call fails once (sim.fail_at).
 */
#ifndef TESTS_CRASH_SIMFS_H
#define TESTS_CRASH_SIMFS_H

#include "common/base/buf.h"
#include "queue/spool/io.h"

/* What is left of unflushed writes after a crash. */
enum sim_loss {
	SIM_LOSE_ALL,
	SIM_KEEP_ALL,
	SIM_TEAR_LAST, /* the last write ends at any byte */
	SIM_SECTORS,   /* any sectors of any writes arrived */
	SIM_LOSSES
};

struct sim;
struct sim *sim_new(void);
void sim_free(struct sim **s);
/* The disk after the crash; SEED chooses among what may be left. */
struct sim *sim_after_crash(const struct sim *s, enum sim_loss loss,
    uint32_t seed);

struct q_io *sim_io(struct sim *s);
/* Number of the operation that crashes, or that fails with ERR; 0: none. */
void sim_crash_at(struct sim *s, unsigned op);
void sim_fail_at(struct sim *s, unsigned op, int err);
unsigned sim_ops(const struct sim *s);
bool sim_has_crashed(const struct sim *s);
void sim_set_avail(struct sim *s, uint64_t avail);
/* No file grows and none is made. */
void sim_set_full(struct sim *s, bool full);
size_t sim_count(const struct sim *s, const char *folder);
/* The durable bytes of a file, to be altered; NULL when there is none. */
struct hb_buf *sim_bytes(struct sim *s, const char *path);

#endif
