/*
 * An incoming message, from any door: SMTP, the maildrop, an import.  Floor 1,
 * pure.  RFC 5321 s4.4, s6.3, s6.4, RFC 6409 s8.
 *
 * One machine scans the bytes (datascan.h), enforces the limits, keeps the
 * header section and passes the body on.  At the end, hb_incoming_head makes
 * the header section that is stored: only there fields are added in front,
 * changed or removed.
 *
 * The header section is complete lines.  The empty line after them belongs to
 * the body: adding a field therefore adds only its bytes, and header section
 * and body, one after the other, are the message.
 */
#ifndef HB_PROTO_INCOMING_H
#define HB_PROTO_INCOMING_H

#include "common/proto/conf.h"
#include "common/proto/datascan.h"

/* Maximum of bytes that this server adds before a header section. */
enum { HB_INCOMING_OURS = 16384 };

struct hb_incoming_rules {
	uint64_t max_size;
	uint64_t max_header; /* bytes of the section as received */
	unsigned max_hops;
	bool lf_ends;	/* see datascan.h */
	bool no_dot;	/* see datascan.h: hb_incoming_end follows */
	bool counted;	/* see datascan.h */
	bool separates; /* a message without header gets the empty line */
};

/* For a message that a local command dropped: `sendmail -bs' enforced the
 * limits before it added a Received field. */
struct hb_incoming_rules hb_incoming_dropped(const struct hb_conf *c);

/* Faults of a message. */
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
	struct hb_buf fields; /* the header section as received */
	struct hb_buf head;   /* the one to store */
	struct hb_buf fixed;  /* the piece of the body, if lines are changed */
	bool header_big, separated;
	/* of the body, as passed on */
	uint64_t size;
	uint32_t crc;
};

/* M: zeroed, or used before. */
void hb_incoming_start(
    struct hb_incoming *m, const struct hb_incoming_rules *rules);
/* Forgets the bytes and keeps little of the memory. */
void hb_incoming_clear(struct hb_incoming *m);
void hb_incoming_free(struct hb_incoming *m);
/* Memory of a header section that is longer than usual; else 0. */
size_t hb_incoming_held(const struct hb_incoming *m);
/* Keeps no more of the header section.  The message cannot be taken then. */
void hb_incoming_give_up(struct hb_incoming *m);

struct hb_incoming_piece {
	size_t used;	     /* processed bytes of the input */
	struct hb_span body; /* next piece of the body */
	bool end;	     /* the final dot was found */
};
/* Takes as much of IN as it can; call it again with the rest while it used some
 * or returned a body.  BODY points into IN or M, and lives until the next
 * call. */
struct hb_incoming_piece hb_incoming_take(
    struct hb_incoming *m, struct hb_span in);
/* Nothing follows REST, which could not be taken. */
void hb_incoming_end(struct hb_incoming *m, struct hb_span rest);

/* The fault found so far; it is never cleared. */
enum hb_incoming_fault hb_incoming_fault(const struct hb_incoming *m);
/* Describes it for a log or a person; "" for GOOD. */
const char *hb_incoming_fault_text(const struct hb_incoming *m);
/* HB_ENV_* that the message itself causes. */
uint32_t hb_incoming_flags(const struct hb_incoming *m);

/* What this server adds to a header section. */
struct hb_incoming_fields {
	struct hb_span front; /* complete fields: Received */
	/* Submitted here, so missing fields are added: Date and Message-ID, and
	 * From if FROM, a mailbox, is not empty. */
	bool completes;
	struct hb_span from, hostname;
	int64_t date_ms;
	uint64_t id;
};
/* The header section to store; lives until M is started again. */
struct hb_span hb_incoming_head(
    struct hb_incoming *m, const struct hb_incoming_fields *f);

#endif
