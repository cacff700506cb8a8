/* UTF-8, RFC 3629.  Floor 0. */
#ifndef HB_BASE_UTF8_H
#define HB_BASE_UTF8_H

#include "common/base/span.h"

/* Bytes of the well-formed character at the front of S (1 for ASCII), or 0. */
size_t hb_utf8_length(struct hb_span s);

#endif
