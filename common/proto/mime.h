/*
 * MIME as the converters of bodies need it (longlines.h, sevenbit.h).  Floor 1,
 * pure.  RFC 2045, RFC 2046.  Lines are in wire form.
 */
#ifndef HB_PROTO_MIME_H
#define HB_PROTO_MIME_H

#include "common/base/buf.h"

enum { HB_MIME_BOUNDARY_MAX = 70 }; /* RFC 2046 s5.1.1 */

/* LINE without CRLF and the stuffed dot. */
struct hb_span hb_mime_text(struct hb_span line);
/* Appends TEXT as such a line. */
void hb_mime_put(struct hb_span text, struct hb_buf *out);

/* Content-Transfer-Encoding; NONE: 7bit, 8bit, binary. */
enum hb_mime_encoding {
	HB_MIME_NONE,
	HB_MIME_QP,
	HB_MIME_BASE64,
	HB_MIME_OTHER
};
enum hb_mime_encoding hb_mime_encoding(struct hb_span value);

/* The boundary in TYPE, the value of Content-Type.  Empty: it has none that can
 * be used. */
struct hb_span hb_mime_boundary(struct hb_span type);

/* What is LINE to a multipart with BOUNDARY?  RFC 2046 s5.1.1. */
enum hb_mime_delimiter { HB_MIME_TEXT, HB_MIME_OPENS, HB_MIME_CLOSES };
enum hb_mime_delimiter hb_mime_delimiter(
    struct hb_span line, struct hb_span boundary);

/* The charset of TEXT, as far as its bytes tell. */
const char *hb_mime_charset(struct hb_span text);

#endif
