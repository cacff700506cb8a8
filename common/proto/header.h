/*
 * The header section of a message in wire form.  Floor 1.  RFC 5322 s2.2.  The
 * caller passes one line at a time with its CRLF and never a line of the body.
 */
#ifndef HB_PROTO_HEADER_H
#define HB_PROTO_HEADER_H

#include "common/base/buf.h"
#include "common/base/limits.h"

enum hb_header_line {
	HB_HEADER_FIELD,    /* begins a field */
	HB_HEADER_FOLDED,   /* continues the field before it */
	HB_HEADER_END,	    /* the empty line */
	HB_HEADER_GARBAGE   /* not a field; some take it for the body */
};

/* Classifies LINE of a header section; its CRLF may be missing. */
enum hb_header_line hb_header_classify(struct hb_span line);
/* Field name of a line that begins a field, without ":" and blanks. */
struct hb_span hb_header_name(struct hb_span line);
/* The value after the colon, without blanks at both ends. */
struct hb_span hb_header_value(struct hb_span line);
bool hb_header_is(struct hb_span line, const char *name);
/* The lines at the front of SECTION that belong to its first one. */
struct hb_span hb_header_field(struct hb_span section);
/* The value of the first field NAME of SECTION, still folded; empty if it is
 * missing. */
struct hb_span hb_header_find(struct hb_span section, const char *name);

/* The Message-ID of SECTION in ROOM, for logs and listings: printable,
 * truncated if it is too long; empty if it is missing. */
struct hb_span hb_message_id(
    struct hb_span section, unsigned char room[HB_MAX_MESSAGE_ID]);
/* Are they equal, with or without < and >?  An empty one equals nothing. */
bool hb_message_id_eq(struct hb_span a, struct hb_span b);

#endif
