/*
 * Checks of certificates and keys that the operator names, before a role must
 * use them.  Floor 3, libcrypto; called by the key agent's program.
 */
#ifndef HB_IO_CERTCHECK_H
#define HB_IO_CERTCHECK_H

#include "common/base/buf.h"

/*
 * Appends a line to OUT for each finding: "E 0 TEXT" if it makes the pair
 * unusable, "W 0 TEXT" if the operator should know it.
 */
void hb_cert_check_pair(struct hb_span chain, struct hb_span key,
    int64_t now_ms, struct hb_buf *out);
void hb_cert_check_roots(struct hb_span bundle, int64_t now_ms,
    struct hb_buf *out);

#endif
