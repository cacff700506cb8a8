/*
 * On-disk format of the spool: segment headers, record heads and payloads.
 * Floor 1, pure.
 *
 * A segment begins with two equal headers (at 0 and Q_HEADER_COPY), records
 * follow from Q_SEG_START, each padded to 8 bytes.  All integers are
 * little-endian.  A segment header:
 *
 *	 0 magic (4)	 4 generation (4)	 8 size of the file (4)
 *	12 secret (16)	28 format (4)		32 CRC-32C of bytes 0..31
 *
 * It keeps this form in every format.  A record head, 48 bytes:
 *
 *	 0 magic (4)	 4 payload bytes (4)	 8 generation (4)
 *	12 type (1)	13 zero (3)		16 sequence (8)
 *	24 message id (8)
 *	32 SipHash of bytes 0..31	40 SipHash of bytes 0..39 and payload
 *
 * Both hashes use the secret of the segment's generation, so that neither an
 * old record nor one planted in a body can pass.  The first one also proves the
 * length and id of a damaged payload and makes a search for the next record
 * cheap.
 */
#ifndef QUEUE_SPOOL_RECORD_H
#define QUEUE_SPOOL_RECORD_H

#include "queue/spool/change.h"

enum {
	Q_HEADER_SIZE = 64,
	Q_HEADER_COPY = 4096,
	Q_SEG_START = 8192,
	Q_REC_HEAD = 48,
	Q_REC_ALIGN = 8,
	Q_KEY_SIZE = 16,
	Q_REC_MAX = 1 << 30 /* payload bytes */
};

enum q_rec_type {
	Q_REC_SEALS = 1, /* ends of the older segments */
	Q_REC_MESSAGE,	 /* envelope, recipients, header section, body */
	Q_REC_CHANGES,	 /* changes of one message */
	Q_REC_MOVE,	 /* a message again with all its changes: replaces */
	Q_REC_FINISHED,	 /* no record of a message is needed any more */
	Q_REC_TYPES
};

/* Number of the on-disk format: a change that older code would misread takes
 * the next number.  Format 1 had none: its check was in that place. */
enum { Q_FORMAT_UNNUMBERED = 1, Q_FORMAT = 2 };

struct q_header {
	uint32_t format; /* q_header_encode writes Q_FORMAT */
	uint32_t gen;  /* counts uses of all segments; never 0 */
	uint32_t size; /* bytes of the segment file */
	unsigned char key[Q_KEY_SIZE];
};
/* DST: Q_SEG_START bytes, both copies. */
void q_header_encode(const struct q_header *h, unsigned char *dst);
/* SRC: the first Q_SEG_START bytes.  Decodes the newer of the valid copies.  0,
 * HB_E_CORRUPT, HB_E_UNSUPPORTED (a valid header of another format). */
int q_header_decode(struct hb_span src, struct q_header *h) HB_MUSTCHECK;

struct q_rec_head {
	uint32_t len, gen;
	enum q_rec_type type;
	uint64_t seq, id;
};
/* Size of a record with LEN payload bytes. */
static inline uint32_t
q_rec_total(uint32_t len)
{
	return (Q_REC_HEAD + len + Q_REC_ALIGN - 1) & ~(uint32_t)7;
}
/* Appends head, PAYLOAD and padding.  h->len is PAYLOAD's. */
void q_rec_append(const struct q_rec_head *h,
    const unsigned char key[Q_KEY_SIZE], struct hb_span payload,
    struct hb_buf *out);
/*
 * Decodes the head at the start of IN, for generation GEN.  0, HB_E_CORRUPT,
 * HB_E_MORE: IN is shorter than a head.
 */
int q_rec_head_decode(struct hb_span in, const unsigned char key[Q_KEY_SIZE],
    uint32_t gen, struct q_rec_head *h) HB_MUSTCHECK;
/* Checks the record at the start of IN, whose head is H.  0, HB_E_MORE, or
 * HB_E_CORRUPT (the payload was altered). */
int q_rec_check(struct hb_span in, const unsigned char key[Q_KEY_SIZE],
    const struct q_rec_head *h, struct hb_span *payload) HB_MUSTCHECK;
/* First offset at or after FROM (both multiples of 8) where a head of GEN may
 * begin; in.n if there is none. */
size_t q_rec_search(struct hb_span in, size_t from, uint32_t gen);

/* A list: each item has its length before it (4 bytes). */
struct q_list {
	struct hb_span rest;
	uint32_t left;
};
/* 1: *ITEM is the next; 0: no more; HB_E_CORRUPT. */
int q_list_next(struct q_list *l, struct hb_span *item) HB_MUSTCHECK;

/* Payload of MESSAGE and MOVE. */
struct q_message {
	struct hb_span env; /* hb_env record */
	struct q_list rcpts, changes;
	bool large;
	uint32_t crc;	/* of the file of a large one */
	uint64_t size;	/* of the body */
	struct hb_span head; /* the header section, complete lines */
	struct hb_span body; /* after it; empty if it has a file */
	size_t head_at; /* offset of HEAD in the payload */
};
int q_message_decode(struct hb_span payload, struct q_message *m) HB_MUSTCHECK;

/* Builds such a payload: begin, items of the first list, then of the second,
 * end.  HB_E_RANGE: a field exceeds its bound. */
struct q_message_writer {
	struct hb_buf *out;
	size_t count_at;
	uint32_t count;
};
struct q_message_info {
	bool large;
	uint32_t crc;
	uint64_t size; /* of the body */
	size_t head;
};
void q_message_begin(struct q_message_writer *w, struct hb_buf *out,
    const struct q_message_info *info, struct hb_span env);
void q_message_item(struct q_message_writer *w, struct hb_span item);
/* Call it after the recipients and before the changes. */
void q_message_changes(struct q_message_writer *w);
/* BODY: empty if it has a file. */
void q_message_end(struct q_message_writer *w, struct hb_span head,
    struct hb_span body);

/* Encodes one change (a TLV record). */
int q_change_encode(const struct q_change *c, struct hb_buf *out) HB_MUSTCHECK;
/* What a change names, as it is within its bytes. */
struct q_change_coded {
	struct hb_span rcpt, outcome;
};
/* Decodes all of a change but these two: C has neither. */
int q_change_peek(struct hb_span in, struct q_change *c,
    struct q_change_coded *coded) HB_MUSTCHECK;
/* RCPT and OUTCOME store what *c points to. */
struct q_change_store {
	struct hb_rcpt rcpt;
	struct hb_outcome outcome;
};
int q_change_decode(struct hb_span in, struct q_change *c,
    struct q_change_store *store) HB_MUSTCHECK;

/* Payload of CHANGES: a list of changes. */
int q_changes_decode(struct hb_span payload, struct q_list *l) HB_MUSTCHECK;
int q_changes_encode(const struct q_change *c, size_t n,
    struct hb_buf *out) HB_MUSTCHECK;

/*
 * Payload of FINISHED: voids records of the id up to sequence UPTO.  GENS are
 * the generations with such records: once all of them are gone the FINISHED
 * record itself is not needed.
 */
struct q_finished {
	uint64_t upto;
	size_t ngens;
	struct hb_span gens; /* 4 bytes each: q_u32_at */
};
void q_finished_begin(uint64_t upto, struct hb_buf *out);
void q_finished_gen(uint32_t gen, struct hb_buf *out);
int q_finished_decode(struct hb_span payload,
    struct q_finished *f) HB_MUSTCHECK;

/* Payload of SEALS: pairs of generation and end. */
void q_seals_add(struct hb_buf *out, uint32_t gen, uint32_t end);
/* Stores the end of GEN in *END; returns false if it is not listed. */
bool q_seals_find(struct hb_span payload, uint32_t gen, uint32_t *end);

uint32_t q_u32_at(struct hb_span s, size_t index);

#endif
