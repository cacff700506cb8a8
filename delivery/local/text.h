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
	struct hb_span home;	/* %h, and ~ at the front */
	struct hb_span address; /* %a */
};

/*
 * Replaces %u %d %h %a, %% and a leading ~ of TEMPLATE; appends to OUT.  In a
 * path (IS_PATH) user, domain and address must be single names: HB_E_SYNTAX
 * when one holds a slash or control byte or begins with a dot; for an unknown
 * %, the operator's mistake, HB_E_UNSUPPORTED; HB_E_LIMIT (the buffer's).
 */
int local_expand(struct hb_span template, const struct local_vars *vars,
    bool is_path, struct hb_buf *out) HB_MUSTCHECK;

/*
 * A Maildir name that no other delivery ever uses: time, microseconds and
 * process as usual, and 64 random bits, since a container may hand out the
 * same times and process numbers again.  "/" and ":" of HOST are escaped.
 */
void local_unique(int64_t now_us, int pid, uint64_t random, const char *host,
    struct hb_buf *out);

/* Do sender and recipient fit into lines?  Else they must not be written. */
bool local_may_be_head(const struct hb_env *env, const struct hb_rcpt *rcpt);
/* The lines in front of the message: Return-Path and Delivered-To (RFC 5321
 * s4.4), line ends LF. */
void local_head(const struct hb_env *env, const struct hb_rcpt *rcpt,
    struct hb_buf *out);

/* The line that begins a message in an mbox: "From sender date". */
void local_from_line(const struct hb_env *env, int64_t now_ms,
    struct hb_buf *out);

/*
 * Turns wire form (CRLF, stuffed dots) into what mailboxes hold (LF), and for
 * mbox quotes lines that begin with any number of ">" and "From ".  Leaves out
 * each Return-Path of the header section, folded lines and all: final delivery
 * writes the one that is true (RFC 5321 s4.4).  Delivered-To stays: loops are
 * found by it.  Fed in pieces of any size.
 */
enum { LOCAL_HOLD = 32 }; /* bytes: "Return-Path" and blanks before the colon */
struct local_filter {
	bool mbox;
	bool header;	/* no empty line yet */
	bool field;	/* this line of the header has a colon, or is folded */
	bool drop;	/* this line is left out */
	bool in_line;	/* past the first bytes of a line */
	bool dot;	/* its stuffed dot is gone */
	bool saw_cr;
	unsigned char start[LOCAL_HOLD]; /* first bytes of a line, not decided */
	size_t n_start;
	unsigned long quotes; /* leading '>' already passed on hold */
};
void local_filter_init(struct local_filter *f, bool mbox);
void local_filter_feed(struct local_filter *f, struct hb_span in,
    struct hb_buf *out);
/* Ends the last line if it has no end. */
void local_filter_end(struct local_filter *f, struct hb_buf *out);

/*
 * What a lock file says.  Others write their process number, "PID" or
 * "PID:HOST", or nothing.  Ours goes on where they stop reading:
 *
 *	PID
 *	hauberk HOST BOOT
 *	DEVICE INODE SIZE
 *	From sender date
 *
 * The last two lines are there while a message is written: the mailbox, its
 * size before, and the line that the message begins with.
 */
enum { LOCAL_HOLDER_MAX = 2048 }; /* bytes of it that are read */
struct local_holder {
	uint64_t pid; /* 0: it does not say */
	bool ours;
	struct hb_span host; /* empty: it does not say */
	struct hb_span boot; /* ours: tells the lives of the machine apart */
	bool writing;
	uint64_t device, inode, size;
	struct hb_span first; /* with its line end */
};
/* Spans point into TEXT.  What cannot be understood is as good as absent. */
void local_holder_parse(struct hb_span text, struct local_holder *h);
/* For a lock of ours. */
void local_holder_put(const struct local_holder *h, struct hb_buf *out);

/*
 * Is what stands behind the old end of an mbox the work of one delivery of
 * ours, and nobody else's?  It begins with the line FIRST, and no other "From "
 * is in it but those that we quote.  To be asked before it is cut off: another
 * program may have added a message to the half one.
 */
struct local_scan {
	struct hb_span first;
	size_t at;	      /* bytes of it seen */
	size_t matched;	      /* of "From " */
	unsigned char before; /* the byte in front of the match */
	bool foreign;
};
void local_scan_feed(struct local_scan *s, struct hb_span in);

#endif
