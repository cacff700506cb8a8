/* xtext, RFC 3461 s4: values of ENVID, ORCPT and AUTH parameters.  Floor 1. */
#ifndef HB_PROTO_XTEXT_H
#define HB_PROTO_XTEXT_H

#include "common/base/buf.h"

/* Printable ASCII but "=", with "+" only before two upper-case hex digits. */
bool hb_xtext_is_valid(struct hb_span s);
/* Appends what S means.  Returns 0, HB_E_SYNTAX, HB_E_LIMIT (the buffer's). */
int hb_xtext_decode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;
/* Appends S as xtext.  Returns 0 or HB_E_LIMIT. */
int hb_xtext_encode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;

#endif
