/*
 * The SMTP and LMTP client as a machine.  Floor 2: bytes and events in, actions
 * out.  RFC 5321, RFC 3207, RFC 2920, RFC 1870, RFC 6152, RFC 2033, RFC 8689.
 *
 *	connected -> GREETING -> EHLO -+-> STARTTLS -> (handshake) -> EHLO -+
 *	     | implicit TLS            |                                    |
 *	     +-> (handshake) -^        +-> HELO ----------------------------+
 *	                                                                    v
 *	     READY <- final reply <- body <- DATA, RCPT.., MAIL  <------- READY
 *	       +-> QUIT -> closed
 *
 * READY means that the channel is as good as it will get: its facts are judged
 * (sts/decide.h) and dlv_client_mail is called with the verdict, again for each
 * message.  There is no other way to MAIL FROM.
 *
 * An example run:  dlv_client_connected; act TIMER; input "220 x\r\n"; act SEND
 * "EHLO ..."; input "250 x\r\n"; act READY; dlv_client_mail; act SEND
 * "MAIL ..."; input "250 ok\r\n" ...; act BODY; dlv_client_body_sent; input
 * "250 ok\r\n"; act DONE.
 *
 * A reply that comes before its command was sent ends the session: a 250 that
 * arrives before the message was sent accepts no message.
 */
#ifndef DELIVERY_SMTP_CLIENT_H
#define DELIVERY_SMTP_CLIENT_H

#include "common/base/mem.h"
#include "common/proto/envelope.h"
#include "common/proto/tlsfacts.h"
#include "sts/decide.h"

struct dlv_client;

enum dlv_tls_use {
	DLV_TLS_NEVER,	 /* LMTP, and cleartext after a failed handshake */
	DLV_TLS_OFFERED, /* STARTTLS if it is offered */
	DLV_TLS_IMPLICIT /* handshake first, RFC 8314 s3 */
};
struct dlv_client_conf {
	const char *helo; /* borrowed for the client's life */
	bool lmtp;
	enum dlv_tls_use tls;
	bool demanded; /* cleartext is not allowed: no HELO */
	bool may_loop; /* a server named `helo' is ourselves */
	int64_t reply_ms;
};

/* An own DEFER or FAIL with the text and codes of REASON. */
struct hb_outcome dlv_own_outcome(enum hb_result result,
    enum hb_reason reason);

struct dlv_rcpt {
	uint32_t idx; /* within the message */
	struct hb_span address, orcpt; /* borrowed */
	uint32_t notify;
	/* Filled by the client: NONE, or the result and text of the server or
	 * the client itself, without host and channel.  Its bytes live until
	 * the next dlv_client_mail or dlv_client_free. */
	struct hb_outcome outcome;
	/* The server takes no more recipients with this message: "later", RFC
	 * 5321 s4.5.3.1.10.  Result DEFER. */
	bool surplus;
};
struct dlv_txn {
	const struct hb_env *env; /* borrowed until DONE or CLOSED */
	/* The same; those with UTF-8 in the local part stand last.  After DONE
	 * those without outcome are for another transaction: the server takes
	 * no more at a time (RFC 9422). */
	struct dlv_rcpt *rcpt;
	size_t nrcpt;		  /* at least 1 */
	bool utf8;		  /* set by the client: SMTPUTF8 is said */
	/* The message is tagged and the channel suits REQUIRETLS: send the
	 * parameter if the server lists it. */
	bool requiretls;
	bool encoded; /* the caller makes a message with 8-bit octets 7-bit */
	bool damaged; /* do not send the body: it could end early */
};

enum dlv_act_kind {
	DLV_ACT_NONE,
	DLV_ACT_SEND,	/* bytes */
	DLV_ACT_TIMER,	/* call dlv_client_timeout in MS; 0: cancel */
	DLV_ACT_TLS,	/* start the handshake; then dlv_client_tls_done */
	DLV_ACT_READY,	/* judge, then dlv_client_mail or _quit */
	/* Send the body, then ".\r\n", together; then call
	 * dlv_client_body_sent. */
	DLV_ACT_BODY,
	DLV_ACT_DONE,	/* the message is done; ready for the next */
	DLV_ACT_CLOSED	/* closed: close the connection */
};
struct dlv_act {
	enum dlv_act_kind kind;
	struct hb_span bytes; /* valid until the next call of any function */
	int64_t ms;
};

/* Returns owned. */
struct dlv_client *dlv_client_new(const struct dlv_client_conf *conf);
void dlv_client_free(struct dlv_client **c); /* accepts NULL inside */

void dlv_client_connected(struct dlv_client *c);
/* Returns how much of IN was used; pass the rest again with more. */
size_t dlv_client_input(struct dlv_client *c, struct hb_span in);
/* The handshake has ended, with or without success. */
void dlv_client_tls_done(struct dlv_client *c,
    const struct hb_tls_facts *facts);
/* The last octet of the body and its final dot was handed to the network: only
 * now can the message have been accepted. */
void dlv_client_body_sent(struct dlv_client *c);
void dlv_client_timeout(struct dlv_client *c);
/* The connection is gone. */
/* TLS_ERROR: of the broken session, for example an alert of the server; "" if
 * there is none. */
void dlv_client_lost(struct dlv_client *c, const char *tls_error);
/* We closed it: the rest of the body could end the message early. */
void dlv_client_damaged(struct dlv_client *c);
/* The same, but the message does not suit: it could not be made 7-bit. */
void dlv_client_unfit(struct dlv_client *c);
/* Call it only while ready.  VERDICT must be STS_PROCEED. */
void dlv_client_mail(struct dlv_client *c, const struct dlv_txn *txn,
    const struct sts_verdict *verdict);
/* QUIT, then CLOSED. */
void dlv_client_quit(struct dlv_client *c);

/* The next action; NONE: wait for an event. */
struct dlv_act dlv_client_next(struct dlv_client *c);

const struct hb_tls_facts *dlv_client_facts(const struct dlv_client *c);
/* Facts of an earlier connection whose handshake failed, if this one is made
 * without TLS: they are judged again. */
void dlv_client_set_facts(struct dlv_client *c,
    const struct hb_tls_facts *facts);
/* After CLOSED: why.  Its bytes live as long as the client. */
const struct hb_outcome *dlv_client_failure(const struct dlv_client *c);
/* The whole body was sent but its reply is missing: the message may have been
 * accepted, so no other host is tried with it. */
bool dlv_client_in_doubt(const struct dlv_client *c);
/* After DONE: the refusal of MAIL FROM, or NULL. */
const struct hb_outcome *dlv_client_mail_refusal(const struct dlv_client *c);
/* The server wants TLS, and cleartext was used because TLS did not work (the
 * reason).  Result DEFER. */
bool dlv_wants_tls(const struct hb_outcome *o);
/* Does a message with ENV need SMTPUTF8, whoever gets it? */
bool dlv_wants_utf8(const struct hb_env *env);
/* Must a message with ENV be made 7-bit for this server? */
bool dlv_client_wants_7bit(
    const struct dlv_client *c, const struct hb_env *env);
bool dlv_client_has_dsn(const struct dlv_client *c);
/* The server takes no other message over this connection, RFC 9422 s4. */
bool dlv_client_is_spent(const struct dlv_client *c);
bool dlv_client_is_ready(const struct dlv_client *c);

#endif
