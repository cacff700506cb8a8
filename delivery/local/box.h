/*
 * Delivers one message into a mailbox or to a command, as the recipient:
 * delivery/local/maildir.c into a Maildir, delivery/local/mbox.c into an mbox;
 * delivery/local/command.c runs a command; delivery/local/write.c is shared by
 * them.  Floor 3, blocking: each helper process does one delivery.
 */
#ifndef DELIVERY_LOCAL_BOX_H
#define DELIVERY_LOCAL_BOX_H

#include "delivery/local/text.h"

#define LOCAL_FULL "4.2.2" /* status: no room */

struct local_message {
	const struct hb_env *env;
	const struct hb_rcpt *rcpt;
	struct hb_span bytes; /* wire form: all of it, or all but: */
	int fd;		      /* a large body, otherwise -1 */
	const char *hostname;
	const char *home;
	int lock_tries; /* tries for a locked mailbox */
};

/* Each fills OUT: result, code, status, reason, text (into TEXT). */
void local_maildir(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text);
void local_mbox(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text);
/* Runs ARGV with the message as its input; interprets sysexits(3). */
void local_command(const struct local_message *m, char *const argv[],
    int64_t timeout_ms, struct hb_outcome *out, struct hb_buf *text);

#endif
