/*
 * Trouble that only the operator can end: a file that cannot be read, a disk
 * that is full, a resolver that does not answer.  Floor 3.
 *
 * Whoever finds it says so each time it is seen, and says that it is over each
 * time all is well: what changes nothing costs a look at a short list.  The
 * parent hears of changes alone; it writes one record when trouble begins and
 * one when the last process that had it says that it is over, and `status`
 * shows what goes on in its first lines.
 */
#ifndef HB_IO_TROUBLE_H
#define HB_IO_TROUBLE_H

#include "common/base/log.h"

/* EV names the kind of trouble (HB_EV_MAP, HB_EV_SPOOL, ...), WHAT the file or
 * thing that it is about, TEXT what is wrong and where possible the remedy. */
void hb_trouble_begin(enum hb_event ev, struct hb_span what,
    struct hb_span text);
void hb_trouble_end(enum hb_event ev, struct hb_span what);
/* All of a kind is over: what is still so begins again where it is seen. */
void hb_trouble_end_all(enum hb_event ev);

/* FN hears of each change; ON is false when trouble ends.  Without FN nobody
 * hears of it. */
typedef void (*hb_trouble_fn)(void *ctx, enum hb_event ev, bool on,
    struct hb_span what, struct hb_span text);
void hb_trouble_tell(hb_trouble_fn fn, void *ctx);

#endif
