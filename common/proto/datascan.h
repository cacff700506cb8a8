/*
 * The bytes of a message, as they come: behind DATA, or out of a file that has
 * no final dot.  Floor 1, pure.  RFC 5321 s4.1.1.4, s4.5.2: only CRLF ends a line, only CRLF.CRLF ends the message.  A bare CR
 * or LF never ends anything; it is remembered with all else that is wrong
 * (wire.h), and the message refused when its true end has come.
 *
 * With lf_ends a bare LF ends a line too, and becomes CRLF: for submission by
 * those who logged in and for programs of the host, whose message is one
 * transaction of their own.  The end of the message stays CRLF.CRLF, byte for
 * byte: a line of one dot next to a bare LF is text and gets a second dot, so
 * neither we nor who comes behind us takes it for the end.  Any other line
 * behind a bare LF that begins with a dot gets one too: who writes bare LF
 * knew of no line there.
 *
 * Each call takes a piece of the input and says how many of its bytes belong
 * to the message.  Bytes that may be the beginning of the end, and in the
 * header section incomplete lines, are left for the next call.
 */
#ifndef HB_PROTO_DATASCAN_H
#define HB_PROTO_DATASCAN_H

#include "common/base/buf.h"
#include "common/proto/tlsrequired.h"
#include "common/proto/wire.h"

struct hb_datascan {
	struct hb_wire wire; /* of what was taken, as it is kept */
	bool lf_ends;  /* set by the caller */
	bool no_dot;   /* the same: no final dot comes */
	bool after_lf; /* the last line ended with a bare LF */
	bool mid_line; /* the last byte taken did not end a line */
	bool headers_over;
	bool no_headers; /* and had no line at all, not even the empty one */
	bool has_date, has_message_id, has_from;
	unsigned hops;	 /* Received fields */
	struct hb_tlsrequired tls_required;
	uint64_t bytes;	 /* taken */
};

struct hb_data_piece {
	size_t body;  /* bytes at the front that belong to the message */
	size_t used;  /* bytes done with: body, and the final dot */
	bool end;     /* the final dot stood there */
	bool headers_end; /* the header section ends behind BODY */
	/* lf_ends: BODY is one line, or a part of it, that is to be changed */
	bool stuff; /* a dot belongs in front */
	bool lf;    /* it ends with a bare LF */
};

void hb_datascan_init(struct hb_datascan *d);
/* A piece ends where the header section does: call again with the rest. */
struct hb_data_piece hb_datascan(struct hb_datascan *d,
    struct hb_span in);
/* Appends BODY, the bytes of PIECE, to OUT as they are to be kept. */
void hb_datascan_put(const struct hb_data_piece *piece, struct hb_span body,
    struct hb_buf *out);

#endif
