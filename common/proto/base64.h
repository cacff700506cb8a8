/* Base64, strictly as RFC 4648 s4: RFC 4954 s4 wants no leniency.  Floor 1. */
#ifndef HB_PROTO_BASE64_H
#define HB_PROTO_BASE64_H

#include "common/base/buf.h"

/* Appends what S means.  All of S, padded, unused bits zero.  The empty text
 * gives no bytes.  Returns 0, HB_E_SYNTAX, HB_E_LIMIT (the buffer's). */
int hb_base64_decode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;
/* Appends S as base64, one line.  Returns 0 or HB_E_LIMIT. */
int hb_base64_encode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;

#endif
