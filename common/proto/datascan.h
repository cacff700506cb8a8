/*
 * Scanner of a message's bytes as they arrive: after DATA, or from a file
 * without final dot.  Floor 1, pure.  RFC 5321 s4.1.1.4, s4.5.2: only CRLF ends
 * a line, only CRLF.CRLF ends the message.  A bare CR or LF never ends
 * anything; it is recorded with all other faults (wire.h), and the message is
 * refused at its true end.
 *
 * With lf_ends a bare LF ends a line too and becomes CRLF: for submission by
 * logged-in users and for programs of the host, whose message is one
 * transaction of their own.  The end of the message stays CRLF.CRLF, byte for
 * byte: a line of one dot next to a bare LF is text and gets a second dot, so
 * that neither we nor the next server take it for the end.  Any other line
 * after a bare LF that begins with a dot gets one too: a sender of bare LFs saw
 * no line there.
 *
 * With counted the octets were counted (BDAT, RFC 3030 s2): no dot ends them
 * and none was put in front of a line, so each line that begins with one gets
 * it here.
 *
 * Each call takes a piece of the input and returns how many of its bytes belong
 * to the message.  Bytes that may begin the end, and incomplete lines of the
 * header section, are left for the next call.
 */
#ifndef HB_PROTO_DATASCAN_H
#define HB_PROTO_DATASCAN_H

#include "common/base/buf.h"
#include "common/proto/tlsrequired.h"
#include "common/proto/wire.h"

struct hb_datascan {
	struct hb_wire wire; /* of the accepted bytes, as stored */
	bool lf_ends;  /* set by the caller */
	bool no_dot;   /* the same: no final dot comes */
	bool counted;  /* the same: nor are dots stuffed */
	bool after_lf; /* the last line ended with a bare LF */
	bool mid_line; /* the last byte taken did not end a line */
	bool headers_over;
	bool no_headers; /* and had no line at all, not even the empty one */
	bool has_date, has_message_id, has_from;
	unsigned hops;	 /* Received fields */
	struct hb_tlsrequired tls_required;
	uint64_t bytes;	 /* accepted */
};

struct hb_data_piece {
	size_t body;  /* bytes at the front that belong to the message */
	size_t used;  /* processed bytes: body, and the final dot */
	bool end;     /* the final dot was found */
	bool headers_end; /* the header section ends after BODY */
	/* lf_ends, counted: BODY is one line, or a part of it, that must be changed */
	bool stuff; /* put a dot in front */
	bool lf;    /* it ends with a bare LF */
};

void hb_datascan_init(struct hb_datascan *d);
/* A piece ends where the header section ends: call again with the rest. */
struct hb_data_piece hb_datascan(struct hb_datascan *d,
    struct hb_span in);
/* Appends BODY, the bytes of PIECE, to OUT in the form to be stored. */
void hb_datascan_put(const struct hb_data_piece *piece, struct hb_span body,
    struct hb_buf *out);

#endif
