/*
 * Local delivery, the pure part: templates, Maildir names, the form of a
 * message in a mailbox.  Floor 2.
 */
#ifndef DELIVERY_LOCAL_TEXT_H
#define DELIVERY_LOCAL_TEXT_H

#include "common/proto/envelope.h"

struct local_vars {
	struct hb_span user;	/* %u */
	struct hb_span domain;	/* %d */
	struct hb_span home;	/* %h, and a leading ~ */
	struct hb_span address; /* %a */
};

/*
 * Replaces %u %d %h %a, %% and a leading ~ of TEMPLATE; appends to OUT.  In a
 * path (IS_PATH) user, domain and address must be single names: HB_E_SYNTAX if
 * one contains a slash or control byte or begins with a dot; HB_E_UNSUPPORTED
 * for an unknown %, the operator's mistake; HB_E_LIMIT (of the buffer).
 */
int local_expand(struct hb_span template, const struct local_vars *vars,
    bool is_path, struct hb_buf *out) HB_MUSTCHECK;

/*
 * A Maildir name that is unique to one delivery: time, microseconds and process
 * as usual, and 64 random bits because a container may reuse times and process
 * numbers.  "/" and ":" of HOST are escaped.
 */
void local_unique(int64_t now_us, int pid, uint64_t random, const char *host,
    struct hb_buf *out);

/* Do sender and recipient fit into lines?  Otherwise they must not be
 * written. */
bool local_may_be_head(const struct hb_env *env, const struct hb_rcpt *rcpt);
/* The lines before the message: Return-Path and Delivered-To (RFC 5321 s4.4),
 * line ends LF. */
void local_head(const struct hb_env *env, const struct hb_rcpt *rcpt,
    struct hb_buf *out);

/* The line that begins a message in an mbox: "From sender date". */
void local_from_line(const struct hb_env *env, int64_t now_ms,
    struct hb_buf *out);

/*
 * Converts wire form (CRLF, stuffed dots) into mailbox form (LF), and for mbox
 * quotes lines that begin with any number of ">" and "From ".  Omits each
 * Return-Path of the header section with its folded lines: final delivery
 * writes the true one (RFC 5321 s4.4).  Delivered-To stays: it detects loops.
 * Accepts pieces of any size.
 */
enum { LOCAL_HOLD = 32 }; /* bytes: "Return-Path" and blanks before the colon */
struct local_filter {
	bool mbox;
	bool header;	/* no empty line yet */
	bool field;	/* this line of the header has a colon, or is folded */
	bool drop;	/* this line is omitted */
	bool in_line;	/* past the first bytes of a line */
	bool dot;	/* its stuffed dot was removed */
	bool saw_cr;
	unsigned char start[LOCAL_HOLD]; /* first bytes of a line, undecided */
	size_t n_start;
	unsigned long quotes; /* leading '>' already passed on hold */
};
void local_filter_init(struct local_filter *f, bool mbox);
void local_filter_feed(struct local_filter *f, struct hb_span in,
    struct hb_buf *out);
/* Terminates the last line if necessary. */
void local_filter_end(struct local_filter *f, struct hb_buf *out);

/*
 * Content of a lock file.  Other programs write their process number, "PID" or
 * "PID:HOST", or nothing.  Ours continues where they stop reading:
 *
 *	PID
 *	hauberk HOST BOOT
 *	DEVICE INODE SIZE
 *	From sender date
 *
 * The last two lines exist while a message is written: the mailbox, its size
 * before, and the first line of the message.
 */
enum { LOCAL_HOLDER_MAX = 2048 }; /* bytes of it that are read */
struct local_holder {
	uint64_t pid; /* 0: not given */
	bool ours;
	struct hb_span host; /* empty: not given */
	struct hb_span boot; /* ours: identifies the boot of the machine */
	bool writing;
	uint64_t device, inode, size;
	struct hb_span first; /* with its line end */
};
/* Spans point into TEXT.  Unreadable parts count as absent. */
void local_holder_parse(struct hb_span text, struct local_holder *h);
/* For a lock of ours. */
void local_holder_put(const struct local_holder *h, struct hb_buf *out);

/*
 * Are the bytes after the old end of an mbox those of one delivery of ours, and
 * nothing else?  They begin with the line FIRST and contain no other "From "
 * except those that we quote.  Ask before cutting them off: another program may
 * have appended a message to the half one.
 */
struct local_scan {
	struct hb_span first;
	size_t at;	      /* bytes of it read */
	size_t matched;	      /* of "From " */
	unsigned char before; /* the byte before the match */
	bool foreign;
};
void local_scan_feed(struct local_scan *s, struct hb_span in);

#endif
