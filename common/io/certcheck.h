/*
 * Certificates and keys that the operator names, looked at before a role has
 * to use them.  Floor 3, libcrypto; called by the key agent's program.
 */
#ifndef HB_IO_CERTCHECK_H
#define HB_IO_CERTCHECK_H

#include "common/base/buf.h"

/*
 * OUT gets a line for each finding: "E 0 TEXT" for what cannot be used, "W 0
 * TEXT" for what the operator should know.
 */
void hb_cert_check_pair(struct hb_span chain, struct hb_span key,
    int64_t now_ms, struct hb_buf *out);
void hb_cert_check_roots(struct hb_span bundle, int64_t now_ms,
    struct hb_buf *out);

#endif
