/*
 * `explain` as a page for readers who never read an RFC.  Floor 4, pure: takes
 * the object of `hauberkctl --json explain', returns text.
 */
#ifndef HB_CONTROL_EXPLAIN_TEXT_H
#define HB_CONTROL_EXPLAIN_TEXT_H

#include <jansson.h>

#include "common/base/buf.h"

/*
 * Appends the page to OUT, an unbounded buffer: lines of at most 72 columns
 * (except for longer words).  Times are relative to the member "time".  Text
 * from outside is made harmless, as by ctl_safe.
 */
void ctl_explain_page(struct hb_buf *out, const json_t *e);

/* Adds "why", and with ADVICE "change", for the member "reason" of OBJ. */
void ctl_explain_why(json_t *obj, bool advice);

#endif
