/*
 * Hooks, shared by both loops.  Floor 3.  loop.c is the loop over libevent;
 * looppoll.c the one over poll, for a role that is linked without libevent.
 */
#ifndef HB_IO_LOOP_PRIV_H
#define HB_IO_LOOP_PRIV_H

#include "common/io/loop.h"

/* The first member of both structs hb_loop. */
struct hb_hooks {
	struct hb_hook *armed; /* run at the end of this turn */
};

/* Call it at the end of a turn; the first call starts the first turn. */
void hb_turn_ended(void);
void hb_hooks_run(struct hb_hooks *l);
void hb_hooks_free(struct hb_hooks *l);

#endif
