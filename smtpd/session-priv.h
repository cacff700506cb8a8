/*
 * Inside of the session: for smtpd/session.c, cmd_*.c, txn.c, trace.c,
 * reply.c alone.  Floor 2.
 */
#ifndef SMTPD_SESSION_PRIV_H
#define SMTPD_SESSION_PRIV_H

#include "common/proto/address.h"
#include "common/proto/incoming.h"
#include "smtpd/session.h"

enum smtpd_reply_id {
#define SMTPD_REPLY(sym, code, status, reason, text) SMTPD_R_##sym,
#include "smtpd/reply.def"
	SMTPD_R_COUNT
};

enum smtpd_state {
	SMTPD_S_START = 1,    /* not greeted: implicit TLS */
	SMTPD_S_REFUSED = 2,  /* greeted with 554 */
	SMTPD_S_HELLO = 4,    /* waits for EHLO */
	SMTPD_S_READY = 8,
	SMTPD_S_MAIL = 16,    /* a transaction: sender, maybe recipients */
	SMTPD_S_DATA = 32,    /* message bytes come */
	SMTPD_S_OVER = 64     /* CLOSE was asked for */
};
#define SMTPD_S_ANY (SMTPD_S_HELLO | SMTPD_S_READY | SMTPD_S_MAIL)

enum smtpd_wait {
	SMTPD_W_NOTHING,
	SMTPD_W_TLS,
	SMTPD_W_VERDICT,
	SMTPD_W_AUTH,
	SMTPD_W_LARGE,
	SMTPD_W_RESULT,
	SMTPD_W_TURN /* a login or recipient is not looked at yet */
};

enum smtpd_auth_step {
	SMTPD_A_NONE,
	SMTPD_A_PLAIN,
	SMTPD_A_LOGIN_USER,
	SMTPD_A_LOGIN_PASS
};

enum smtpd_try_state {
	SMTPD_T_NONE,
	SMTPD_T_LATE, /* it is refused when the time is over */
	SMTPD_T_BEGUN /* its end has to be told */
};

enum { SMTPD_ACTS_MAX = 16, SMTPD_ACTS_PER_STEP = 8 };
enum { SMTPD_OUT_STEP = 16384 }; /* bytes of replies, then input waits */

/* One message on its way.  Buffers keep their memory for the next one. */
struct smtpd_txn {
	struct hb_buf sender; /* canonical */
	struct hb_buf mail_auth;
	struct hb_buf rcpts;  /* canonical addresses, one after the other */
	struct hb_buf ends;   /* uint32_t: where each of them ends */
	struct hb_buf asked;  /* recipient that router is asked about */
	bool asked_routed;    /* it came with a source route */
	uint32_t n_rcpts;     /* for queue */
	uint32_t n_taken;     /* answered with 250: n_rcpts and discarded ones */
	uint32_t body;
	uint32_t flags;	      /* HB_ENV_REQUIRETLS */
	uint64_t declared;    /* SIZE= */
	bool discard;	      /* all of it */
	uint64_t id;
	struct hb_incoming in;
	struct hb_buf trace; /* our own header fields */
	bool begun, large;
	size_t block; /* bytes since the data timer was set */
	/* Why it will be refused at its end; QUEUE's own words below. */
	enum smtpd_reply_id failed;
	uint32_t refused_code;
	char refused_status[16];
	enum hb_reason refused_reason;
	struct hb_buf refused_text;
};

struct smtpd_session {
	const struct smtpd_listener_conf *rules;
	struct smtpd_worker_conf *site;
	enum smtpd_state state;
	enum smtpd_wait wait;
	struct hb_buf out;
	struct smtpd_act acts[SMTPD_ACTS_MAX];
	size_t n_acts, next_act;
	bool timer_set;
	int64_t timer_ms;

	char client[64];
	bool client_is_v6;
	bool relays; /* the client may relay */
	char helo[HB_MAX_DOMAIN + 1];
	bool esmtp;
	bool tls;
	char tls_word[32], tls_cipher[48];
	char user[257];
	bool skip_line; /* up to the next CRLF */
	bool behind;	/* bytes stand behind the command under work */
	bool gone;
	enum smtpd_reply_id last_word; /* after the commit; NONE: go on */
	unsigned bad_commands;
	unsigned refused; /* commands, since a message was taken */
	unsigned spare;	  /* pipelined ones behind a refused MAIL */

	enum smtpd_try_state try_state;
	bool try_login; /* else a recipient */
	struct hb_buf login; /* of the try */

	enum smtpd_auth_step auth_step;
	const char *auth_mech;
	bool auth_usable; /* it could be true */
	unsigned auth_failures;
	struct hb_buf secret; /* decoded response; wiped */
	struct hb_span auth_user, auth_password; /* in it */

	enum hb_stage asked; /* what router is asked */
	struct smtpd_txn txn;
};

/* Replies: output, the command timer, and the log where it is a refusal. */
void smtpd_reply(struct smtpd_session *s, enum smtpd_reply_id id);
/* The same as an error that counts towards the end of the session. */
void smtpd_reply_bad(struct smtpd_session *s, enum smtpd_reply_id id);
/* The same with WHY behind its text. */
void smtpd_reply_bad_why(struct smtpd_session *s, enum smtpd_reply_id id,
    const char *why);
/* And closes. */
void smtpd_reply_close(struct smtpd_session *s, enum smtpd_reply_id id);
/* A reply made elsewhere.  TEXT: bytes that are not printable are replaced. */
struct smtpd_reply_words {
	uint32_t code;
	struct hb_span status, text;
	enum hb_reason reason;
};
void smtpd_reply_words(
    struct smtpd_session *s, const struct smtpd_reply_words *w);
/* Appends one line of a greeting or EHLO reply. */
void smtpd_put_line(struct smtpd_session *s, unsigned code, char sep,
    struct hb_span text);

struct smtpd_act *smtpd_add_act(struct smtpd_session *s,
    enum smtpd_act_kind kind);
void smtpd_set_timer(struct smtpd_session *s, int64_t ms);
/* Asks router about STAGE; ask_again: the same question. */
void smtpd_ask(struct smtpd_session *s, enum hb_stage stage);
void smtpd_ask_auth(struct smtpd_session *s);
void smtpd_close(struct smtpd_session *s);

/* Tries, try.c: waits for the turn, then smtpd_auth_turn or smtpd_rcpt_turn
 * is called. */
void smtpd_try(struct smtpd_session *s, bool is_login);
/* It may relay, it has logged in, or it is a mail server's LMTP client. */
bool smtpd_is_known(const struct smtpd_session *s);
void smtpd_try_over(struct smtpd_session *s); /* the wait for the turn */
void smtpd_tried(struct smtpd_session *s, enum smtpd_tried end);
/* A message was taken. */
void smtpd_tried_mail(struct smtpd_session *s);
void smtpd_auth_turn(struct smtpd_session *s, bool late);
void smtpd_rcpt_turn(struct smtpd_session *s, bool late);

/* The transaction, txn.c. */
void smtpd_txn_reset(struct smtpd_session *s); /* ABORT if queue knows it */
void smtpd_txn_free(struct smtpd_txn *t);
void smtpd_txn_add_rcpt(struct smtpd_session *s);
void smtpd_txn_start_data(struct smtpd_session *s);
/* Returns true if it did something with IN; *USED bytes of it are done. */
bool smtpd_txn_input(struct smtpd_session *s, struct hb_span in, size_t *used);
void smtpd_txn_fail(struct smtpd_session *s, enum smtpd_reply_id why);
/* The same when nothing more of the message is awaited: replies. */
void smtpd_txn_failed_at_end(struct smtpd_session *s);
void smtpd_txn_result(
    struct smtpd_session *s, const struct smtpd_reply_words *w);

/* Our header fields, trace.c. */
struct hb_span smtpd_with_word(const struct smtpd_session *s);
void smtpd_trace_received(struct smtpd_session *s, struct hb_buf *out);

/* Continues an AUTH exchange. */
void smtpd_auth_line(struct smtpd_session *s, struct hb_span line);
void smtpd_auth_done(struct smtpd_session *s,
    const struct ipc_auth_result *r);
void smtpd_auth_end(struct smtpd_session *s); /* wipes */
bool smtpd_auth_is_offered(const struct smtpd_session *s);
bool smtpd_tls_is_offered(const struct smtpd_session *s);
/* Answers of router to MAIL and RCPT. */
void smtpd_mail_verdict(struct smtpd_session *s, const struct ipc_verdict *v);
void smtpd_rcpt_verdict(struct smtpd_session *s, const struct ipc_verdict *v);
/* Replies as the verdict, which is not accept or discard, says. */
void smtpd_reply_verdict(struct smtpd_session *s, const struct ipc_verdict *v);
/*
 * ARGS of MAIL or RCPT, whose PREFIX is "FROM:" or "TO:": the canonical path
 * into OUT.  Where the client may relay, brackets may be missing, and names
 * without domain get ours.  False after the reply, with BAD as its id.
 */
bool smtpd_take_path(struct smtpd_session *s, struct hb_span args,
    struct hb_span prefix, enum smtpd_reply_id bad, struct hb_buf *out,
    struct hb_span *params);
/* Forgets what EHLO, AUTH and the transaction brought. */
void smtpd_forget(struct smtpd_session *s);

/* Handlers; ARGS: what follows the verb, trimmed. */
#define SMTPD_VERB(name, handler, states, flags)                               \
	void smtpd_cmd_##handler(struct smtpd_session *s, struct hb_span args);
#include "smtpd/verb.def"

#endif
