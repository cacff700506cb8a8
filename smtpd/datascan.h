/*
 * The bytes behind DATA, as they come.  Floor 2: pure.  RFC 5321 s4.1.1.4,
 * s4.5.2: only CRLF ends a line, only CRLF.CRLF ends the message.  A bare CR
 * or LF never ends anything; it is remembered with all else that is wrong
 * (wire.h), and the message refused when its true end has come.
 *
 * Each call takes a piece of the input and says how many of its bytes belong
 * to the message.  Bytes that may be the beginning of the end, and in the
 * header section incomplete lines, are left for the next call.
 */
#ifndef SMTPD_DATASCAN_H
#define SMTPD_DATASCAN_H

#include "common/base/span.h"
#include "common/proto/tlsrequired.h"
#include "common/proto/wire.h"

struct smtpd_datascan {
	struct hb_wire wire; /* of what was taken */
	bool mid_line; /* the last byte taken did not end a line */
	bool headers_over;
	bool has_date, has_message_id;
	unsigned hops;	 /* Received fields */
	struct hb_tlsrequired tls_required;
	uint64_t bytes;	 /* taken */
};

struct smtpd_piece {
	size_t body;  /* bytes at the front that belong to the message */
	size_t used;  /* bytes done with: body, and the final dot */
	bool end;     /* the final dot stood there */
	bool headers_end; /* the header section ends behind BODY */
	bool no_headers;  /* and had no line at all, not even the empty one */
};

void smtpd_datascan_init(struct smtpd_datascan *d);
/* A piece ends where the header section does: call again with the rest. */
struct smtpd_piece smtpd_datascan(struct smtpd_datascan *d,
    struct hb_span in);

#endif
