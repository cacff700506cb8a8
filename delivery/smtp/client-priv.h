/*
 * Shared by the files of the client: client.c (the session, the events and its
 * life), client_txn.c (the transaction), client_act.c (what it does and how it
 * ends).  Floor 2.
 */
#ifndef DELIVERY_SMTP_CLIENT_PRIV_H
#define DELIVERY_SMTP_CLIENT_PRIV_H

#include "common/proto/reply.h"
#include "delivery/smtp/client.h"

enum { DLV_CLIENT_ACTS = 16 };

enum client_state {
	S_NEW,
	S_GREETING,
	S_EHLO,
	S_HELO,
	S_STARTTLS,
	S_HANDSHAKE,
	S_READY,
	S_RSET,
	S_MAIL,
	S_RCPT,
	S_DATA,
	S_BODY,	 /* the message is on its way out */
	S_FINAL, /* all of it is out */
	S_QUIT,
	S_CLOSED,
	S_COUNT
};

/* EHLO keywords that are acted upon. */
#define EXTENSIONS(X)                                                          \
	X(STARTTLS)                                                            \
	X(PIPELINING)                                                          \
	X(SIZE)                                                                \
	X(8BITMIME)                                                            \
	X(CHUNKING)                                                            \
	X(DSN)                                                                 \
	X(SMTPUTF8)                                                            \
	X(REQUIRETLS)                                                          \
	X(LIMITS)
enum extension {
#define X(word) EXT_##word,
	EXTENSIONS(X)
#undef X
	EXT_COUNT
};

struct dlv_client_act {
	enum dlv_act_kind kind;
	size_t len; /* SEND */
	int64_t ms; /* TIMER */
};

struct dlv_client {
	struct dlv_client_conf conf;
	enum client_state state;
	struct hb_reply reply;
	struct hb_tls_facts facts;
	uint32_t offered; /* 1 << enum extension */
	uint64_t size_limit; /* 0: none said */
	/* RFC 9422, 0: none said: recipients of a message, MAIL commands of a
	 * session; MAIL commands so far */
	uint64_t rcpt_limit, mail_limit, mails;
	bool is_self;

	struct hb_buf out; /* bytes of the SEND acts that wait */
	struct dlv_client_act acts[DLV_CLIENT_ACTS];
	size_t nacts, consumed; /* consumed: of out, at the next call */

	struct dlv_txn txn;
	size_t sent, at; /* commands of the group; the reply awaited */
	bool *accepted;	 /* of each recipient */
	size_t naccepted;
	size_t unsent; /* recipients behind those of txn: beyond the limit */
	struct hb_outcome mail; /* the refusal of MAIL */
	bool lone_dot;		/* 354 though nobody is to get it */
	bool counted;		/* by BDAT */
	bool chunks_failed;
	bool in_doubt;
	/* The reply under way began when none was owed, or before the message
	 * was out. */
	bool early;
	bool spoiled; /* no other message over this connection */
	bool begun;   /* MAIL was said */
	bool used;    /* and in a transaction before this one */
	bool needs_rset;
	struct hb_arena *arena; /* of the transaction */

	struct hb_outcome failure;
	struct hb_arena *failure_arena;
};

static inline bool
dlv_client_offers(const struct dlv_client *c, enum extension e)
{
	return (c->offered >> e & 1) != 0;
}

static inline bool
dlv_client_has_chunks(const struct dlv_client *c)
{
	return dlv_client_offers(c, EXT_CHUNKING) && !c->conf.no_chunks &&
	    !c->chunks_failed;
}

/* --- client_act.c --- */

void dlv_client_act(struct dlv_client *c, enum dlv_act_kind kind, size_t len,
    int64_t ms);
void dlv_client_timer(struct dlv_client *c, int64_t ms);
void dlv_client_say(struct dlv_client *c, const char *fmt, ...)
    HB_PRINTF(2, 3);
/* One command whose parts may be long. */
void dlv_client_say_parts(struct dlv_client *c, const char *verb,
    struct hb_span part, const char *end);
void dlv_client_await(struct dlv_client *c, enum client_state state);
struct hb_outcome dlv_remote_result(const struct hb_reply *r,
    struct hb_arena *arena);
/* The session is over; what is not decided stays so. */
void dlv_client_close_with(struct dlv_client *c, struct hb_outcome why);
void dlv_client_break_off(struct dlv_client *c, enum hb_reason reason);
/* A reply that belongs to nothing: from now on nobody knows which command a
 * reply is for.  What waits to be sent is not. */
void dlv_client_out_of_step(struct dlv_client *c);
/* The server refuses the session: a polite end, nothing waited for. */
void dlv_client_refused(struct dlv_client *c);

/* --- client_txn.c --- */

/* The reply of a state from S_RSET to S_FINAL. */
void dlv_client_txn_reply(struct dlv_client *c);
/* A server may refuse a message before it has all of it; it cannot take one.
 * What is left of it is not sent, and no other follows. */
void dlv_client_body_reply(struct dlv_client *c);
/* Gives RES to each recipient of which nothing is known yet. */
void dlv_client_settle(struct dlv_client *c, const struct hb_outcome *res);

#endif
