/*
 * Speaks for a local command that has ended: the client's side of the session
 * in which mail filters see what it dropped.  Floor 2: no I/O, no clock.
 *
 * It says EHLO, MAIL, each RCPT and DATA, one after the other as the replies
 * come; its owner says the message.  RFC 5321 s3.3, RFC 3461 s4.
 *
 *	GREETING -> HELLO -> MAIL -> RCPT, as many as there are -> DATA
 *	DATA --354--> MESSAGE, to the reply behind it
 *	any --a reply that ends it--> OVER
 */
#ifndef SMTPD_SPEAKER_H
#define SMTPD_SPEAKER_H

#include "common/proto/envelope.h"
#include "common/proto/reply.h"

enum smtpd_speaker_step {
	SMTPD_SAYS_NOTHING, /* it waits for the greeting */
	SMTPD_SAYS_HELLO,
	SMTPD_SAYS_MAIL,
	SMTPD_SAYS_RCPT,
	SMTPD_SAYS_DATA,
	SMTPD_SAYS_MESSAGE, /* its owner does, in wire form, with the dot */
	SMTPD_SAYS_OVER
};

struct smtpd_speaker {
	/* All borrowed. */
	const struct hb_env *env;
	const struct hb_rcpt *rcpts;
	size_t n;
	uint64_t size; /* of the message */
	/* A reply refused recipient R for good. */
	void (*refused)(void *ctx, const struct hb_rcpt *r,
	    const struct hb_reply *why);
	void *ctx;
	/* Its own; all zero at the start. */
	enum smtpd_speaker_step step;
	size_t at, taken; /* recipients */
	struct hb_buf out; /* what it says; its owner consumes it */
	struct hb_buf heard; /* of a line that is not complete */
	struct hb_reply reply; /* OVER: the one that ended it, code 0: none */
};

/* The session said this. */
void smtpd_speaker_hear(struct smtpd_speaker *s, struct hb_span output);
void smtpd_speaker_free(struct smtpd_speaker *s); /* not the struct */

#endif
