/*
 * Quoted-printable.  Floor 1, pure.  RFC 2045 s6.7.
 */
#ifndef HB_PROTO_QP_H
#define HB_PROTO_QP_H

#include "common/base/buf.h"

/*
 * Appends LINE (any bytes, without its CRLF) as one or more lines of at most 76
 * bytes, each with CRLF.  None of them begins with a dot, so that none must be
 * stuffed, and none ends in a blank.
 */
void hb_qp_line(struct hb_span line, struct hb_buf *out);

#endif
