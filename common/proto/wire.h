/*
 * The body of a message in wire form: the bytes between DATA's 354 and the
 * final dot.  Floor 1, pure.  RFC 5321 s4.1.1.4, s4.5.2.
 *
 * Every way in calls this one check before a message is kept, and delivery
 * calls it again for the octets it is about to send.  A body with one of
 * HB_WIRE_UNSAFE could end early at the next server, or at one that is lax
 * about line ends; the rest would be read there as commands.
 */
#ifndef HB_PROTO_WIRE_H
#define HB_PROTO_WIRE_H

#include "common/base/span.h"

#define HB_WIRE_DOT 1u	  /* a line that is one dot */
#define HB_WIRE_CR 2u	  /* a CR without LF */
#define HB_WIRE_LF 4u	  /* an LF without CR */
#define HB_WIRE_NUL 8u	  /* some servers drop it: ".NUL" becomes a dot */
#define HB_WIRE_LONG 16u  /* a line above HB_MAX_TEXT_LINE */
#define HB_WIRE_UNENDED 32u /* the last line is not terminated */
/* No faults, but facts. */
#define HB_WIRE_8BIT 64u    /* a byte above 127 */
#define HB_WIRE_DOTTED 128u /* a line begins with a dot */

#define HB_WIRE_UNSAFE (HB_WIRE_DOT | HB_WIRE_CR | HB_WIRE_LF | HB_WIRE_NUL)
#define HB_WIRE_FAULTS (HB_WIRE_UNSAFE | HB_WIRE_LONG | HB_WIRE_UNENDED)

struct hb_wire {
	unsigned seen; /* HB_WIRE_* */
	uint64_t dots; /* lines that begin with one */
	size_t line;   /* bytes of the current line */
	bool cr;       /* the last byte was a CR */
	bool lone;     /* the current line is a dot so far */
};

void hb_wire_init(struct hb_wire *w);
/* Feeds the next bytes of the body, cut anywhere.  Returns what was seen so
 * far, HB_WIRE_*. */
unsigned hb_wire_feed(struct hb_wire *w, struct hb_span in);
/* Ends the body.  Returns all that was seen. */
unsigned hb_wire_end(struct hb_wire *w);

/* Describes the fault for a log or a person; "" if there is none. */
const char *hb_wire_fault(unsigned seen);

#endif
