/*
 * Text for people: words put into lines.  Floor 0.
 */
#ifndef HB_BASE_PROSE_H
#define HB_BASE_PROSE_H

#include "common/base/buf.h"

enum { HB_PROSE_WIDTH = 72 }; /* columns */

/*
 * Appends TEXT to OUT, an unbounded buffer, as lines of at most
 * HB_PROSE_WIDTH columns (UTF-8 sequences count as one) that begin with
 * INDENT and end with EOL.  Lines are broken at blanks alone: a word that is
 * longer has a line of its own.  Blanks at the ends are dropped; where TEXT
 * has two blanks inside a line, they stay.
 */
void hb_prose_wrap(struct hb_buf *out, struct hb_span text, const char *indent,
    const char *eol);

#endif
