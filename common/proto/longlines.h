/*
 * Messages with lines that are too long for SMTP.  Floor 1, pure.  RFC 5322
 * s2.1.1, RFC 5321 s4.5.3.1.6; RFC 2045, RFC 2046.
 *
 * Messages are in wire form: lines end with CRLF, dots are stuffed.
 */
#ifndef HB_PROTO_LONGLINES_H
#define HB_PROTO_LONGLINES_H

#include "common/base/buf.h"

/* Bytes of the longest line, without CRLF and the stuffed dot. */
size_t hb_longest_line(struct hb_span wire);

/*
 * Appends the message to OUT and shortens its lines of more than
 * HB_MAX_MAIL_LINE bytes where the message may be changed:
 *
 *	- a field of the header is folded at a blank;
 *	- a body, or part of a multipart, of 7bit, 8bit, binary or no encoding
 *	  is made quoted-printable; one in base64 or quoted-printable is
 *	  broken as the encoding allows; a message/rfc822 is a message itself;
 *	- signed content (DKIM-Signature, ARC, multipart/signed), content
 *	  nested too deeply, and other message types stay.
 *
 * The meaning of the message stays the same.  Call hb_longest_line to see what
 * is left.
 */
void hb_shorten_lines(struct hb_span wire, struct hb_buf *out);

#endif
