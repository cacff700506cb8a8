/*
 * `explain` as a page for someone who never read an RFC.  Floor 4, pure: the
 * object that `hauberkctl --json explain' prints in, text out.
 */
#ifndef HB_DAEMON_CONTROL_EXPLAIN_TEXT_H
#define HB_DAEMON_CONTROL_EXPLAIN_TEXT_H

#include <jansson.h>

#include "common/base/buf.h"

/*
 * Appends the page to OUT, an unbounded buffer: lines of at most 72 columns
 * (but for single words that are longer).  Times are told from the member
 * "time".  What came from outside is made harmless, as ctl_safe does.
 */
void ctl_explain_page(struct hb_buf *out, const json_t *e);

/* Adds "why", and with ADVICE "change", for the member "reason" of OBJ. */
void ctl_explain_why(json_t *obj, bool advice);

#endif
