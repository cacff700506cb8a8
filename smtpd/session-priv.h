/*
 * Inside of the session: for smtpd/session.c, cmd_*.c, txn.c, trace.c,
 * reply.c alone.  Floor 2.
 */
#ifndef SMTPD_SESSION_PRIV_H
#define SMTPD_SESSION_PRIV_H

#include "common/base/mem.h"
#include "common/proto/esmtp.h"
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
	SMTPD_W_LARGE,
	SMTPD_W_RESULT
};

enum smtpd_auth_step {
	SMTPD_A_NONE,
	SMTPD_A_PLAIN,
	SMTPD_A_LOGIN_USER,
	SMTPD_A_LOGIN_PASS
};

enum smtpd_stage {
#define SMTPD_STAGE(sym, name, consulted) SMTPD_STAGE_##sym,
#include "smtpd/stage.def"
};

/* Who is consulted, in this order. */
enum smtpd_consultant {
	SMTPD_C_SPACE,	  /* is there room for the message? */
	SMTPD_C_TURN,	  /* try.c: how long has a stranger to wait? */
	SMTPD_C_ROUTER,
	SMTPD_C_PASSWORD, /* router, too */
	SMTPD_C_NOBODY
};

enum smtpd_try_state {
	SMTPD_T_NONE,
	SMTPD_T_ALONE, /* not before what was tried before it has ended */
	SMTPD_T_LATE,  /* it is refused when the time is over */
	SMTPD_T_BEGUN  /* its end has to be told */
};

/* What a client waits for.  Lives in the arena of the session's questions. */
struct smtpd_question {
	struct smtpd_question *next;
	enum smtpd_stage stage;
	unsigned open; /* consultants to be asked, as bits; 0: answered */
	enum smtpd_consultant waits_for;
	uint64_t number; /* of what router was asked */
	enum smtpd_try_state try_state;
	bool beside;	       /* asked while others were not answered */
	struct hb_rcpt rcpt;   /* SMTPD_STAGE_RCPT */
	bool routed;	       /* it came with a source route */
	struct hb_span login;  /* SMTPD_STAGE_LOGIN: as router names it */
	struct ipc_verdict verdict;
};

enum { SMTPD_ACTS_MAX = 16, SMTPD_ACTS_PER_STEP = 8 };
enum { SMTPD_OUT_STEP = 16384 }; /* bytes of replies, then input waits */

/* One message on its way.  Buffers keep their memory for the next one. */
struct smtpd_txn {
	struct hb_buf sender; /* canonical */
	struct hb_buf mail_auth;
	struct hb_arena *arena; /* of the recipients; NULL: none yet */
	struct hb_rcpt *rcpts;
	uint32_t n_rcpts, room; /* for queue */
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
	struct hb_buf login; /* of the try */

	enum smtpd_auth_step auth_step;
	const char *auth_mech;
	bool auth_usable; /* it could be true */
	unsigned auth_failures;
	struct hb_buf secret; /* decoded response; wiped */
	struct hb_span auth_user, auth_password; /* in it */

	struct hb_arena *questions; /* NULL: none since the last was answered */
	struct smtpd_question *first, *last;
	unsigned n_questions; /* in the arena */
	bool put_off; /* the next command waits until all are answered */
	struct smtpd_txn txn;
};

/* Replies: output, the command timer, and the log where it is a refusal. */
void smtpd_reply(struct smtpd_session *s, enum smtpd_reply_id id);
/* The same as an error that counts towards the end of the session. */
void smtpd_reply_bad(struct smtpd_session *s, enum smtpd_reply_id id);
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
void smtpd_close(struct smtpd_session *s);

/* Questions, consult.c.  A new one is put behind those that are open; fill it,
 * then settle. */
struct smtpd_question *smtpd_question(struct smtpd_session *s,
    enum smtpd_stage stage);
/* Goes on with what can go on: asks, answers the client. */
void smtpd_settle(struct smtpd_session *s);
/* WHO Q waits for says V, and the session settles. */
void smtpd_say(struct smtpd_session *s, struct smtpd_question *q,
    const struct ipc_verdict *v);
/* The last question is not on its way yet: no input is taken. */
bool smtpd_is_asking(const struct smtpd_session *s);
unsigned smtpd_unanswered(const struct smtpd_session *s);
/* Questions are open: may a recipient be asked about beside them? */
bool smtpd_may_ask_beside(const struct smtpd_session *s);
/* What the first question waits for is over, or does not come. */
void smtpd_questions_timeout(struct smtpd_session *s);
void smtpd_questions_drop(struct smtpd_session *s);
#define SMTPD_STAGE(sym, name, consulted)                                      \
	void smtpd_answer_##name(struct smtpd_session *s,                      \
	    struct smtpd_question *q);
#include "smtpd/stage.def"

/* Tries, try.c: asks when Q may begin.  False: not beside the others. */
bool smtpd_try(struct smtpd_session *s, struct smtpd_question *q);
/* It may relay, it has logged in, or it is a mail server's LMTP client. */
bool smtpd_is_known(const struct smtpd_session *s);
/* The wait for the turn is over. */
void smtpd_try_over(struct smtpd_session *s, struct smtpd_question *q);
/* Q has its verdict. */
void smtpd_try_end(struct smtpd_session *s, struct smtpd_question *q);
/* A message was taken. */
void smtpd_tried_mail(struct smtpd_session *s);

/* The transaction, txn.c. */
void smtpd_txn_reset(struct smtpd_session *s); /* ABORT if queue knows it */
void smtpd_txn_free(struct smtpd_txn *t);
void smtpd_txn_add_rcpt(struct smtpd_session *s, const struct hb_rcpt *r);
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
void smtpd_auth_end(struct smtpd_session *s); /* wipes */
bool smtpd_auth_is_offered(const struct smtpd_session *s);
bool smtpd_tls_is_offered(const struct smtpd_session *s);
/* The reply ID as a verdict. */
struct ipc_verdict smtpd_verdict(enum smtpd_reply_id id);
/* Replies as the verdict, which is not accept or discard, says. */
void smtpd_reply_verdict(struct smtpd_session *s, const struct ipc_verdict *v);
/* What is wrong with a command: the reply, and words behind its text. */
struct smtpd_fault {
	enum smtpd_reply_id id; /* SMTPD_R_NONE: nothing */
	struct hb_span why;
};
/* Counts as an error. */
void smtpd_reply_fault(
    struct smtpd_session *s, const struct smtpd_fault *fault);

struct smtpd_args {
	struct hb_addr path;
	struct hb_buf address; /* the path in canonical form; owned */
	struct hb_params params;
};
/* ARGS of MAIL or RCPT.  Where the client may relay, brackets may be missing,
 * and names without domain get ours. */
struct smtpd_fault smtpd_read_args(const struct smtpd_session *s,
    enum smtpd_stage stage, struct hb_span args, struct smtpd_args *out);
/* Forgets what EHLO, AUTH and the transaction brought. */
void smtpd_forget(struct smtpd_session *s);

/* Handlers; ARGS: what follows the verb, trimmed. */
#define SMTPD_VERB(name, handler, states, flags)                               \
	void smtpd_cmd_##handler(struct smtpd_session *s, struct hb_span args);
#include "smtpd/verb.def"

#endif
