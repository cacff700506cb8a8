/*
 * Text for people, wrapped into lines.  Floor 0.
 */
#ifndef HB_BASE_PROSE_H
#define HB_BASE_PROSE_H

#include "common/base/buf.h"

enum { HB_PROSE_WIDTH = 72 }; /* columns */

/*
 * Appends TEXT to OUT, an unbounded buffer, as lines of at most HB_PROSE_WIDTH
 * columns (a UTF-8 sequence counts as one) that begin with INDENT and end with
 * EOL.  Lines are broken only at blanks: a longer word gets a line of its own.
 * Blanks at both ends are dropped; two blanks inside a line are kept.
 */
void hb_prose_wrap(struct hb_buf *out, struct hb_span text, const char *indent,
    const char *eol);

#endif
