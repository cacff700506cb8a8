/*
 * Packets of sendmail's protocol for mail filters, from the server's side.
 * Floor 1, pure.  Versions 2 to 6.
 *
 * A packet is a length of four octets (the most significant first), a letter
 * and its data.  The server sends a step of the session and waits for one
 * answer; behind the end of a message the filter may send changes in front of
 * its answer.  All that a filter says is checked here: what could not stand in
 * a message or in a reply is no packet.
 */
#ifndef HB_PROTO_MILTER_H
#define HB_PROTO_MILTER_H

#include "common/base/buf.h"
#include "common/base/limits.h"

enum {
	HB_MILTER_OLDEST = 2,
	HB_MILTER_VERSION = 6,
	HB_MILTER_FRAME = 4,	 /* octets of the length */
	HB_MILTER_CHUNK = 65535, /* most data that filters take */
	HB_MILTER_LINES = 32	 /* of a reply to the client */
};

/* What a filter may change. */
enum {
	HB_MILTER_MAY_ADD_FIELDS = 0x1,
	HB_MILTER_MAY_BODY = 0x2,
	HB_MILTER_MAY_ADD_RCPT = 0x4,
	HB_MILTER_MAY_DELETE_RCPT = 0x8,
	HB_MILTER_MAY_CHANGE_FIELDS = 0x10,
	HB_MILTER_MAY_QUARANTINE = 0x20,
	HB_MILTER_MAY_SENDER = 0x40,
	HB_MILTER_MAY_ADD_RCPT_ARGS = 0x80,
	HB_MILTER_MAY_SYMBOLS = 0x100,
	HB_MILTER_MAY_ALL = 0x1ff
};

/* Other things to agree on; those of steps are below. */
enum {
	HB_MILTER_CAN_SKIP = 0x400,
	HB_MILTER_WANTS_REFUSED = 0x800, /* recipients, too */
	HB_MILTER_KEEPS_SPACE = 0x100000 /* in front of a field's value */
};

/* Moments at which symbols are sent, as filters number them. */
enum hb_milter_moment {
	HB_MILTER_AT_CONNECT,
	HB_MILTER_AT_HELO,
	HB_MILTER_AT_MAIL,
	HB_MILTER_AT_RCPT,
	HB_MILTER_AT_DATA,
	HB_MILTER_AT_END,
	HB_MILTER_AT_EOH,
	HB_MILTER_MOMENTS
};

/*
 * The steps, in the order of a session; the last five are a message.
 * symbol, word in the log, letter, flag: not wanted, flag: not answered, oldest
 * version, moment (MOMENTS: no symbols)
 */
#define HB_MILTER_STEPS(X)                                                     \
	X(CONNECT, "connect", 'C', 0x1, 0x1000, 2, HB_MILTER_AT_CONNECT)       \
	X(HELO, "helo", 'H', 0x2, 0x2000, 2, HB_MILTER_AT_HELO)                \
	X(UNKNOWN, "unknown", 'U', 0x100, 0x20000, 3, HB_MILTER_MOMENTS)       \
	X(MAIL, "mail", 'M', 0x4, 0x4000, 2, HB_MILTER_AT_MAIL)                \
	X(RCPT, "rcpt", 'R', 0x8, 0x8000, 2, HB_MILTER_AT_RCPT)                \
	X(DATA, "data", 'T', 0x200, 0x10000, 4, HB_MILTER_AT_DATA)             \
	X(FIELD, "header", 'L', 0x20, 0x80, 2, HB_MILTER_MOMENTS)              \
	X(EOH, "eoh", 'N', 0x40, 0x40000, 2, HB_MILTER_AT_EOH)                 \
	X(BODY, "body", 'B', 0x10, 0x80000, 2, HB_MILTER_MOMENTS)              \
	X(END, "eom", 'E', 0, 0, 2, HB_MILTER_AT_END)
enum hb_milter_step {
#define X(sym, word, letter, no, silent, since, moment) HB_MILTER_##sym,
	HB_MILTER_STEPS(X)
#undef X
	HB_MILTER_STEP_COUNT
};
struct hb_milter_step_info {
	const char *word;
	char letter;
	uint32_t unwanted, silent, since;
	enum hb_milter_moment moment;
};
struct hb_milter_step_info hb_milter_step_info(enum hb_milter_step step);
/* All flags of steps and of the things above. */
uint32_t hb_milter_all_steps(void);

/*
 * What a filter says.  symbol, letter, form of its data, what it must have
 * been allowed
 */
#define HB_MILTER_SAYINGS(X)                                                   \
	X(CONTINUE, 'c', NOTHING, 0)                                           \
	X(ACCEPT, 'a', NOTHING, 0)                                             \
	X(REJECT, 'r', NOTHING, 0)                                             \
	X(TEMPFAIL, 't', NOTHING, 0)                                           \
	X(DISCARD, 'd', NOTHING, 0)                                            \
	X(WORDS, 'y', TEXT, 0)                                                 \
	X(SHUTDOWN, '4', NOTHING, 0)                                           \
	X(CONN_FAIL, 'f', NOTHING, 0)                                          \
	X(SKIP, 's', NOTHING, 0)                                               \
	X(PROGRESS, 'p', NOTHING, 0)                                           \
	X(ADD_FIELD, 'h', FIELD, HB_MILTER_MAY_ADD_FIELDS)                     \
	X(INSERT_FIELD, 'i', NUMBERED, HB_MILTER_MAY_ADD_FIELDS)               \
	X(CHANGE_FIELD, 'm', NUMBERED, HB_MILTER_MAY_CHANGE_FIELDS)            \
	X(SENDER, 'e', PATH, HB_MILTER_MAY_SENDER)                             \
	X(ADD_RCPT, '+', TEXT, HB_MILTER_MAY_ADD_RCPT)                         \
	X(ADD_RCPT_ARGS, '2', PATH, HB_MILTER_MAY_ADD_RCPT_ARGS)               \
	X(DELETE_RCPT, '-', TEXT, HB_MILTER_MAY_DELETE_RCPT)                   \
	X(REPLACE_BODY, 'b', BYTES, HB_MILTER_MAY_BODY)                        \
	X(QUARANTINE, 'q', TEXT, HB_MILTER_MAY_QUARANTINE)
enum hb_milter_saying {
#define X(sym, letter, form, allowed) HB_MILTER_SAYS_##sym,
	HB_MILTER_SAYINGS(X)
#undef X
	HB_MILTER_SAYING_COUNT
};

struct hb_milter_packet {
	char letter;
	struct hb_span data; /* points into the input */
};
/* Reads the packet at the front of IN.  Returns bytes used, 0: its end is not
 * there yet, or HB_E_SYNTAX (empty), HB_E_RANGE (too long). */
int hb_milter_packet(struct hb_span in, struct hb_milter_packet *out)
    HB_MUSTCHECK;

/* Spans point into the packet. */
struct hb_milter_says {
	enum hb_milter_saying what;
	uint32_t allowed; /* HB_MILTER_MAY_* that it needs */
	uint32_t index;	  /* of INSERT_FIELD, CHANGE_FIELD */
	struct hb_span name;
	/* Text, value, address, bytes.  Lines of a value end with LF or CRLF,
	 * and each but the first begins with a blank. */
	struct hb_span value;
	struct hb_span args; /* ESMTP parameters of a path */
};
/* Returns 0, or HB_E_SYNTAX, HB_E_UNSUPPORTED (no such letter). */
int hb_milter_says(const struct hb_milter_packet *p,
    struct hb_milter_says *out) HB_MUSTCHECK;

/* A reply to the client: "550 5.7.1 no", or some lines of that kind. */
struct hb_milter_words {
	unsigned code; /* 400 to 599 */
	struct hb_span status; /* may be empty */
};
/* Reads VALUE; appends its text to TEXT, an LF between two lines.  Returns 0
 * or HB_E_SYNTAX. */
int hb_milter_words(struct hb_span value, struct hb_milter_words *out,
    struct hb_buf *text) HB_MUSTCHECK;

/* What both agree on. */
struct hb_milter_terms {
	uint32_t version;
	uint32_t may;	/* HB_MILTER_MAY_* */
	uint32_t steps; /* flags of steps, and CAN_SKIP and its like */
	/* Names of symbols with blanks between them; NULL: not given. */
	struct hb_span symbols[HB_MILTER_MOMENTS];
};
/* The filter's answer to OFFER.  Returns 0, HB_E_SYNTAX, or HB_E_UNSUPPORTED:
 * it demands what was not offered. */
int hb_milter_terms(const struct hb_milter_packet *p,
    const struct hb_milter_terms *offer, struct hb_milter_terms *out)
    HB_MUSTCHECK;
/* Appends OFFER, the first packet. */
void hb_milter_put_offer(const struct hb_milter_terms *offer,
    struct hb_buf *out);

/* Writes a packet: begin, data, end with what begin returned. */
size_t hb_milter_begin(struct hb_buf *out, char letter);
void hb_milter_end(struct hb_buf *out, size_t begun);
/* Data: a text with its NUL.  NULs inside would end it: they are left out. */
void hb_milter_put_text(struct hb_buf *out, struct hb_span text);
/* A packet without data. */
void hb_milter_put(struct hb_buf *out, char letter);

/* Where the client is. */
struct hb_milter_client {
	struct hb_span name; /* or its address in brackets */
	struct hb_span address; /* text */
	bool is_v6;
	uint16_t port;
};
void hb_milter_put_client(struct hb_buf *out,
    const struct hb_milter_client *c);
/* A field: VALUE as it stands behind the colon, folded with CRLF; KEEPS: with
 * the space in front of it. */
void hb_milter_put_field(struct hb_buf *out, struct hb_span name,
    struct hb_span value, bool keeps);

#endif
