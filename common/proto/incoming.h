/*
 * A message on its way in, whatever its door: SMTP, the maildrop, an import.
 * Floor 1, pure.  RFC 5321 s4.4, s6.3, s6.4, RFC 6409 s8.
 *
 * One machine looks at the bytes (datascan.h), holds them to the limits, keeps
 * the header section and hands the body on.  When all has come,
 * hb_incoming_head makes the header section that is kept: the one place where
 * a field is put in front, changed or taken out.
 *
 * The header section is complete lines.  The empty line behind them belongs to
 * the body: so one field more is these bytes and no others, and header section
 * and body, one behind the other, are the message.
 */
#ifndef HB_PROTO_INCOMING_H
#define HB_PROTO_INCOMING_H

#include "common/proto/conf.h"
#include "common/proto/datascan.h"

/* The most that this server puts in front of a header section. */
enum { HB_INCOMING_OURS = 16384 };

struct hb_incoming_rules {
	uint64_t max_size;
	uint64_t max_header; /* bytes of the section as it comes */
	unsigned max_hops;
	bool lf_ends;	/* see datascan.h */
	bool no_dot;	/* see datascan.h: hb_incoming_end follows */
	bool separates; /* a message without header gets the empty line */
};

/* Of what a local command drops: `sendmail -bs' held it to the limits before it
 * put a Received in front. */
struct hb_incoming_rules hb_incoming_dropped(const struct hb_conf *c);

/* What is wrong with a message. */
enum hb_incoming_fault {
	HB_INCOMING_GOOD,
	HB_INCOMING_BARE, /* CR, LF or a line of one dot */
	HB_INCOMING_NUL,
	HB_INCOMING_LONG, /* a line */
	HB_INCOMING_UNENDED,
	HB_INCOMING_BIG,
	HB_INCOMING_HEADER_BIG,
	HB_INCOMING_HOPS
};

struct hb_incoming {
	struct hb_incoming_rules rules;
	struct hb_datascan scan;
	struct hb_buf fields; /* the header section as it came */
	struct hb_buf head;   /* as it is kept */
	struct hb_buf fixed;  /* the piece of the body, where it had bare LFs */
	bool header_big, separated;
	/* of the body, as it was handed on */
	uint64_t size;
	uint32_t crc;
};

/* M: zeroed, or used before. */
void hb_incoming_start(
    struct hb_incoming *m, const struct hb_incoming_rules *rules);
/* Forgets the bytes; what is kept of the memory is little. */
void hb_incoming_clear(struct hb_incoming *m);
void hb_incoming_free(struct hb_incoming *m);

struct hb_incoming_piece {
	size_t used;	     /* bytes of the input that are done with */
	struct hb_span body; /* the next ones of the body */
	bool end;	     /* the final dot stood there */
};
/* Takes what it can of IN; call it again with the rest while it used
 * something or has a body.  BODY points into IN or M, and lives until the
 * next call. */
struct hb_incoming_piece hb_incoming_take(
    struct hb_incoming *m, struct hb_span in);
/* Nothing follows REST, which could not be taken. */
void hb_incoming_end(struct hb_incoming *m, struct hb_span rest);

/* What is wrong so far; once it is, nothing makes it good again. */
enum hb_incoming_fault hb_incoming_fault(const struct hb_incoming *m);
/* Says that for a log or a person; "" for GOOD. */
const char *hb_incoming_fault_text(const struct hb_incoming *m);
/* HB_ENV_* that the message itself brings. */
uint32_t hb_incoming_flags(const struct hb_incoming *m);

/* What this server adds to a header section. */
struct hb_incoming_fields {
	struct hb_span front; /* whole fields: Received */
	/* Submitted here, so what is missing is added: Date and Message-ID,
	 * and From if FROM, a mailbox, is not empty. */
	bool completes;
	struct hb_span from, hostname;
	int64_t date_ms;
	uint64_t id;
};
/* The header section that is kept, until M is started again. */
struct hb_span hb_incoming_head(
    struct hb_incoming *m, const struct hb_incoming_fields *f);

#endif
