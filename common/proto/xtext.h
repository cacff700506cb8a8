/*
 * xtext, RFC 3461 s4: values of ENVID, ORCPT and AUTH parameters; and what stands
 * for it in ORCPT=utf-8;..., RFC 6533 s3.  Floor 1.
 */
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

/* utf-8-addr-unitext: the same characters without escapes of xtext, and UTF-8.
 * Only where SMTPUTF8 was said. */
bool hb_xtext_is_unitext(struct hb_span s);
/*
 * utf-8-addr-xtext: \x{HEX} is a character.  Appends S with these characters in
 * UTF-8; what is malformed, or may not stand in an address, stays as it is.
 */
void hb_xtext_unicode(struct hb_span s, struct hb_buf *out);
/* The way back: appends S, in UTF-8, without a byte above 127. */
void hb_xtext_ascii(struct hb_span s, struct hb_buf *out);

#endif
