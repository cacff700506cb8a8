/* xtext, RFC 3461 s4: values of ENVID, ORCPT and AUTH parameters.  Floor 1. */
#ifndef HB_PROTO_XTEXT_H
#define HB_PROTO_XTEXT_H

#include "common/base/buf.h"

/* Printable ASCII except "=", with "+" only before two upper-case hex
 * digits. */
bool hb_xtext_is_valid(struct hb_span s);
/* Decodes S and appends the result.  Returns 0, HB_E_SYNTAX or HB_E_LIMIT (of
 * the buffer). */
int hb_xtext_decode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;
/* Appends S as xtext.  Returns 0 or HB_E_LIMIT. */
int hb_xtext_encode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;

#endif
