/*
 * Troubles that only the operator can end: an unreadable file, a full disk, a
 * resolver that does not answer.  Floor 3.
 *
 * Code that detects a trouble reports it each time it sees it, and reports its
 * end each time all is well: a report without change costs only a look at a
 * short list.  The parent receives only changes; it writes one record when a
 * trouble begins and one when the last process that had it reports its end, and
 * the first lines of `status` show the current ones.
 */
#ifndef HB_IO_TROUBLE_H
#define HB_IO_TROUBLE_H

#include "common/base/log.h"

/* EV names the kind of trouble (HB_EV_MAP, HB_EV_SPOOL, ...), WHAT the file or
 * thing concerned, TEXT the problem and, where possible, the remedy. */
void hb_trouble_begin(enum hb_event ev, struct hb_span what,
    struct hb_span text);
void hb_trouble_end(enum hb_event ev, struct hb_span what);
/* Ends all troubles of a kind: those that persist begin again where they are
 * seen. */
void hb_trouble_end_all(enum hb_event ev);

/* Calls FN for each change; ON is false when a trouble ends.  Without FN
 * changes are not reported. */
typedef void (*hb_trouble_fn)(void *ctx, enum hb_event ev, bool on,
    struct hb_span what, struct hb_span text);
void hb_trouble_tell(hb_trouble_fn fn, void *ctx);

#endif
