/* UTF-8, RFC 3629.  Floor 0. */
#ifndef HB_BASE_UTF8_H
#define HB_BASE_UTF8_H

#include "common/base/span.h"

/* Bytes of the well-formed character at the front of S (1 for ASCII), or 0. */
size_t hb_utf8_length(struct hb_span s);

enum { HB_UTF8_MAX = 4 };
/* Writes character V to DST[HB_UTF8_MAX].  Bytes; 0: there is no such one. */
size_t hb_utf8_encode(uint32_t v, unsigned char *dst);
/* The number of CHARACTER, well-formed and nothing else. */
uint32_t hb_utf8_value(struct hb_span character);

/* Has S no byte above 127? */
bool hb_utf8_is_ascii(struct hb_span s);

/*
 * Is CHARACTER, well-formed, one that is not seen but changes what is: a
 * control character above 127, an end of a line or paragraph, a change of the
 * direction of writing?  Or none at all (a noncharacter)?  No address needs
 * one, and a terminal obeys some.
 */
bool hb_utf8_is_hidden(struct hb_span character);

#endif
