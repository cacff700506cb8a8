/*
 * The lock file of an mbox, PATH.lock.  Floor 3, blocking.
 *
 * It is made with O_EXCL; a program that finds it waits a moment.  A stale lock
 * is broken: at once if the process it names is dead on this host, or the
 * machine was restarted since; where that is unknown, if the file has not been
 * touched for as long as other programs wait too.  The breaker holds flock on
 * the file that it removes, so that of two breakers one removes it and the
 * other finds a new one.
 *
 * A lock file records what its helper was writing when it was killed.  The
 * breaker reads that record and copies it to its own lock file.
 */
#ifndef DELIVERY_LOCAL_LOCK_H
#define DELIVERY_LOCAL_LOCK_H

#include "delivery/local/text.h"

enum {
	LOCAL_LOCK_AGE_S = 300, /* of a lock that names no process of ours */
	/* Of a lock whose process seems to live: no helper lives longer, and
	 * the number may belong to another process by now. */
	LOCAL_LOCK_LIVE_S = 1800,
	LOCAL_LOCK_WAIT_MS = 100
};

struct local_lock {
	char *path;
	int fd;	   /* -1: the folder forbids it; only fcntl is used */
	int tries; /* left; waits for the mailbox's other locks count */
	char host[65], boot[40];
	struct local_holder left; /* record of what a dead helper was writing */
	struct hb_buf left_text;
};

/* 0; -EAGAIN: it is still locked, after TRIES; or another -errno.  TEXT then
 * describes the obstacle. */
int local_lock_take(struct local_lock *l, const char *mbox, int tries,
    struct hb_buf *text) HB_MUSTCHECK;
/* Waits before the next try.  Returns false when the time is up. */
bool local_lock_wait(struct local_lock *l);
/* A message that begins with the line FIRST is about to be written into the
 * mailbox described by MBOX.  0 or -errno. */
int local_lock_writing(struct local_lock *l, uint64_t device, uint64_t inode,
    uint64_t size, struct hb_span first) HB_MUSTCHECK;
/* Also cleans up after a failed local_lock_take. */
void local_lock_release(struct local_lock *l);

#endif
