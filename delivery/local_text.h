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
 * when one holds a slash or control byte or begins with a dot, or for an
 * unknown %; HB_E_LIMIT (the buffer's).
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
 * mbox quotes lines that begin with any number of ">" and "From ".  Fed in
 * pieces of any size.
 */
struct local_filter {
	bool mbox;
	bool in_line;	/* past the first bytes of a line */
	bool dot;	/* a stuffed dot began the line */
	bool saw_cr;
	unsigned char start[8]; /* first bytes of a line, not decided yet */
	size_t n_start;
	unsigned long quotes; /* leading '>' already passed on hold */
};
void local_filter_init(struct local_filter *f, bool mbox);
void local_filter_feed(struct local_filter *f, struct hb_span in,
    struct hb_buf *out);
/* Ends the last line if it has no end. */
void local_filter_end(struct local_filter *f, struct hb_buf *out);

#endif
