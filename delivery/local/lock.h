/*
 * The lock file of an mbox, PATH.lock.  Floor 3, blocking.
 *
 * It is made with O_EXCL, and whoever finds it there waits a moment.  One
 * whose holder is gone is broken: at once when the process it names is dead on
 * this host, or the machine was started since; where that cannot be told, when
 * nobody has touched it for as long as other programs wait too.  The breaker
 * holds flock on the very file that it removes, so that of two breakers one
 * removes it and the other finds a new one.
 *
 * What a helper of ours was writing when it was killed is in its lock file.
 * Who breaks that learns it, and writes it into its own.
 */
#ifndef DELIVERY_LOCAL_LOCK_H
#define DELIVERY_LOCAL_LOCK_H

#include "delivery/local/text.h"

enum {
	LOCAL_LOCK_AGE_S = 300, /* of a lock that names no process of ours */
	/* Of one whose process seems to live: no helper lives longer, and the
	 * number may be another's by now. */
	LOCAL_LOCK_LIVE_S = 1800,
	LOCAL_LOCK_WAIT_MS = 100
};

struct local_lock {
	char *path;
	int fd;	   /* -1: the folder lets us make none; fcntl has to do */
	int tries; /* left; waits for other locks of the mailbox count too */
	char host[65], boot[40];
	struct local_holder left; /* writing: what a dead helper left */
	struct hb_buf left_text;
};

/* 0; -EAGAIN: somebody else has it, after TRIES; or another -errno.  TEXT then
 * says what stands in the way. */
int local_lock_take(struct local_lock *l, const char *mbox, int tries,
    struct hb_buf *text) HB_MUSTCHECK;
/* Waits before the next try.  False: it was long enough. */
bool local_lock_wait(struct local_lock *l);
/* A message that begins with the line FIRST is now written into the mailbox
 * that is as MBOX says.  0 or -errno. */
int local_lock_writing(struct local_lock *l, uint64_t device, uint64_t inode,
    uint64_t size, struct hb_span first) HB_MUSTCHECK;
/* Takes what local_lock_take left, too. */
void local_lock_release(struct local_lock *l);

#endif
