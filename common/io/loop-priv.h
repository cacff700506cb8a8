/*
 * What both loops share: hooks.  Floor 3.  loop.c is the loop over libevent;
 * looppoll.c that over poll, of a role that is linked without it.
 */
#ifndef HB_IO_LOOP_PRIV_H
#define HB_IO_LOOP_PRIV_H

#include "common/io/loop.h"

/* The first member of either struct hb_loop. */
struct hb_hooks {
	struct hb_hook *armed; /* run at the end of this turn */
};

/* A turn has ended; the first call begins the first one. */
void hb_turn_ended(void);
void hb_hooks_run(struct hb_hooks *l);
void hb_hooks_free(struct hb_hooks *l);

#endif
