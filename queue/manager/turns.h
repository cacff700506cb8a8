/*
 * Which file of maildrop/ is next.  Floor 2, pure.
 *
 * Each local user has a queue, and the users take turns, so that a thousand
 * files of one user delay another's by no more than one.  A user who has used
 * up the rate waits, and no other user does.
 */
#ifndef QUEUE_MANAGER_TURNS_H
#define QUEUE_MANAGER_TURNS_H

#include "common/base/span.h"
#include "common/proto/maildrop.h"

enum {
	Q_TURN_NAME = HB_DROP_NAME_MAX + 1,
	Q_TURNS_PER_USER = 1000 /* names known at a time */
};

struct q_turns;

struct q_turns *q_turns_new(void); /* owned */
void q_turns_free(struct q_turns **t);
/* COUNT files in PER_MS for each user; 0: any number. */
void q_turns_rate(struct q_turns *t, unsigned count, int64_t per_ms);
/* Returns false if USER has so many names already that this one must be found
 * again later.  A name that is known already is not added again. */
bool q_turns_add(struct q_turns *t, uint32_t user, const char *name);
/* The next file at NOW_MS (a monotonic clock), copied to NAME and forgotten.
 * Returns false if there is none, or none is due yet. */
bool q_turns_next(struct q_turns *t, int64_t now_ms, char name[Q_TURN_NAME]);
size_t q_turns_count(const struct q_turns *t);
/* Time until the next one is due; -1: none waits. */
int64_t q_turns_wait(const struct q_turns *t, int64_t now_ms);

#endif
