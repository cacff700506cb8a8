/*
 * Whose file of maildrop/ is next.  Floor 2, pure.
 *
 * Each local user has a queue of his own, and the users take turns, so that
 * a thousand files of one are no more than one in front of another's.  A
 * user who has had as much as the rate allows waits, and nobody else does.
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
/* False: USER has so many already that this one must be found again later.
 * A name that is known already is no other. */
bool q_turns_add(struct q_turns *t, uint32_t user, const char *name);
/* The next at NOW_MS (a monotonic clock), copied to NAME and forgotten.
 * False: none, or none may go yet. */
bool q_turns_next(struct q_turns *t, int64_t now_ms, char name[Q_TURN_NAME]);
size_t q_turns_count(const struct q_turns *t);
/* How long until the next one may go; -1: none waits. */
int64_t q_turns_wait(const struct q_turns *t, int64_t now_ms);

#endif
