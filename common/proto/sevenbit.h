/*
 * A message with 8-bit octets for a server that takes none, or with binary data
 * for a queue that keeps lines.  Floor 1, pure.  RFC 6152 s3, RFC 3030 s3;
 * RFC 2045, RFC 2046.
 *
 * Messages are in wire form and pass as they come: at most 64 KiB are kept.
 * Each leaf part with such octets is made quoted-printable (text) or base64
 * (the rest); one longer than what is kept is encoded in any case.  Who decodes
 * it gets the same octets.  Other parts stay as they are.
 *
 * Not converted (HB_E_UNSUPPORTED): octets above 127 in a header section, in
 * multipart/signed or multipart/encrypted, S/MIME or PGP, in a preamble or
 * epilogue, in what is encoded already, in other types of messages than
 * message/rfc822, and nested too deeply.  A DKIM-Signature stops nothing: a
 * signature that does not verify counts as none (RFC 6376 s6.1), and a message
 * that comes back does not arrive at all.
 *
 * Of binary data (BINARYMIME) the octets come as they were counted: no dots are
 * stuffed, neither here nor in what goes out, CRLF alone ends a line, and the
 * last line may have no end.  Each leaf part whose encoding is "binary" becomes
 * base64, and no octet of it is another when it is decoded; text too, for a
 * line end is an octet there.  Nothing else is changed, and nothing is refused
 * here: what binary data is left (signed, encrypted, not marked) is a fault of
 * the message like any other.
 */
#ifndef HB_PROTO_SEVENBIT_H
#define HB_PROTO_SEVENBIT_H

#include "common/base/buf.h"
#include "common/proto/mime.h"

enum { HB_SEVENBIT_DEPTH = 8, HB_SEVENBIT_GROUP = 57 };

struct hb_sevenbit {
	int state;
	struct hb_buf line; /* begun */
	/* of the entity under way */
	struct hb_buf type;	/* value of Content-Type */
	struct hb_buf encoding; /* the field, as it came */
	struct hb_buf hold;	/* the body, until it is decided */
	int field;		/* a folded line belongs to it */
	bool has_type, has_version;
	bool is_message; /* no part of another one */
	bool by_digest;	 /* without a type it is a message */
	bool opaque;	 /* not ours to understand */
	bool is_binary;	 /* its encoding */
	/* base64 */
	unsigned char group[HB_SEVENBIT_GROUP];
	size_t n_group;
	bool crlf_due; /* of the last line, if the body goes on */
	/* multiparts around it */
	struct {
		char boundary[HB_MIME_BOUNDARY_MAX];
		size_t n;
		bool is_digest;
	} around[HB_SEVENBIT_DEPTH];
	size_t depth;
	bool changed;
	bool octets;   /* counted: binary data */
	bool mid_line; /* of one that is too long to be kept */
};

void hb_sevenbit_start(struct hb_sevenbit *m); /* zeroed, or used before */
void hb_sevenbit_start_octets(struct hb_sevenbit *m); /* the same */
void hb_sevenbit_free(struct hb_sevenbit *m);
/* Takes IN, the next bytes, and appends what can be sent to OUT.  0 or
 * HB_E_UNSUPPORTED: it cannot be converted. */
int hb_sevenbit_feed(struct hb_sevenbit *m, struct hb_span in,
    struct hb_buf *out) HB_MUSTCHECK;
int hb_sevenbit_end(struct hb_sevenbit *m, struct hb_buf *out) HB_MUSTCHECK;

#endif
