/* Base64, as strict as RFC 4648 s4: RFC 4954 s4 allows no leniency.  Floor
 * 1. */
#ifndef HB_PROTO_BASE64_H
#define HB_PROTO_BASE64_H

#include "common/base/buf.h"

/* Decodes all of S, which must be padded with unused bits zero, and appends the
 * result.  Empty text gives no bytes.  Returns 0, HB_E_SYNTAX or HB_E_LIMIT (of
 * the buffer). */
int hb_base64_decode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;
/* Appends S as base64 in one line.  Returns 0 or HB_E_LIMIT. */
int hb_base64_encode(struct hb_span s, struct hb_buf *out) HB_MUSTCHECK;

#endif
