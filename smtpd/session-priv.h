/*
 * Inside of the session, only for its files.  Each calls those before it, and
 * none calls back: acts.c, try.c, filters.c, state.c, reply.c, trace.c, path.c,
 * symbols.c, changes.c, rounds.c, txn.c, chunk.c, cmd_*.c, consult.c,
 * session.c.  Floor 2.
 */
#ifndef SMTPD_SESSION_PRIV_H
#define SMTPD_SESSION_PRIV_H

#include "common/base/mem.h"
#include "common/proto/esmtp.h"
#include "common/proto/incoming.h"
#include "common/proto/stats.h"
#include "smtpd/filters.h"
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
	SMTPD_S_DATA = 32,    /* message bytes arrive */
	SMTPD_S_OVER = 64,    /* CLOSE was requested */
	SMTPD_S_CHUNKS = 128  /* between two chunks of a message */
};
#define SMTPD_S_ANY                                                            \
	(SMTPD_S_HELLO | SMTPD_S_READY | SMTPD_S_MAIL | SMTPD_S_CHUNKS)

enum smtpd_wait {
	SMTPD_W_NOTHING,
	SMTPD_W_TLS,
	SMTPD_W_LARGE,
	SMTPD_W_RESULT,
	SMTPD_W_ETRN,
	SMTPD_W_FILE,	 /* for a body that filters are to see */
	SMTPD_W_FILTERS, /* with a whole message */
	SMTPD_W_COPY	 /* from the one file to the other */
};

enum smtpd_auth_step {
	SMTPD_A_NONE,
	SMTPD_A_PLAIN,
	SMTPD_A_LOGIN_USER,
	SMTPD_A_LOGIN_PASS,
	SMTPD_A_SCRAM_FIRST,
	SMTPD_A_SCRAM_FINAL,
	SMTPD_A_SCRAM_END /* the client has our signature and goes on */
};

enum smtpd_stage_id {
#define SMTPD_STAGE(sym, ...) SMTPD_STAGE_##sym,
#include "smtpd/stage.def"
};

/* A row of stage.def. */
struct smtpd_stage {
	enum smtpd_stage_id id;
	unsigned consulted; /* bits of consultants */
	enum hb_stage wire;
	enum smtpd_reply_id late;
	enum hb_stat refused;
	unsigned flags;
};
enum { SMTPD_STAGE_IS_LOGIN = 1, SMTPD_STAGE_IS_BESIDE = 2 };

/* Consultants, in the order in which they are asked. */
enum smtpd_consultant {
	SMTPD_C_SPACE,	  /* is there room for the message? */
	SMTPD_C_TURN,	  /* try.c: how long must a stranger wait? */
	SMTPD_C_ROUTER,
	SMTPD_C_PASSWORD, /* router, too */
	SMTPD_C_FILTERS,  /* the operator's mail filters */
	SMTPD_C_NOBODY
};

enum smtpd_try_state {
	SMTPD_T_NONE,
	SMTPD_T_ALONE, /* not before the tries before it have ended */
	SMTPD_T_LATE,  /* refused when its time is up */
	SMTPD_T_BEGUN  /* its end must be reported */
};

/* What a client waits for.  Lives in the arena of the session's questions. */
struct smtpd_question {
	struct smtpd_question *next;
	const struct smtpd_stage *stage;
	unsigned open; /* consultants still to ask, as bits; 0: answered */
	enum smtpd_consultant waits_for;
	uint64_t number; /* of the question to router */
	enum smtpd_try_state try_state;
	bool beside;	       /* asked while others were unanswered */
	struct hb_rcpt rcpt;   /* SMTPD_STAGE_RCPT */
	bool routed;	       /* it came with a source route */
	struct hb_span login;  /* SMTPD_STAGE_LOGIN: router's name for it */
	struct ipc_verdict verdict;
};

enum { SMTPD_ACTS_MAX = 16, SMTPD_ACTS_PER_STEP = 8 };
enum { SMTPD_OUT_STEP = 16384 }; /* bytes of replies after which input waits */

/* One message in transfer.  Buffers keep their memory for the next one. */
struct smtpd_txn {
	struct hb_buf sender; /* canonical */
	struct hb_buf mail_auth;
	struct hb_buf envid; /* of a DSN, xtext; with RET= */
	uint32_t ret;
	struct hb_arena *arena; /* of the recipients; NULL: none yet */
	struct hb_rcpt *rcpts;
	uint32_t n_rcpts, room; /* for queue */
	uint32_t n_taken;     /* answered with 250: n_rcpts and discarded ones */
	uint32_t body;
	uint32_t flags;	      /* HB_ENV_REQUIRETLS */
	uint64_t declared;    /* SIZE= */
	bool discard;	      /* the whole message */
	uint64_t id;
	struct hb_incoming in;
	size_t held; /* of it, in site->held */
	struct hb_buf trace; /* our own header fields */
	struct hb_buf rest; /* of a chunk: may be half a line */
	bool chunk_refused; /* and the client knows */
	bool begun, large;
	bool whole; /* all of it has come, and filters have seen it */
	size_t block; /* bytes since the data timer was set */
	/* Why it will be refused at its end: what we found, or the reply that
	 * queue gave before it (code 0: none). */
	enum smtpd_reply_id failed;
	uint32_t refused_code;
	char refused_status[16];
	enum hb_reason refused_reason;
	struct hb_buf refused_text;
};

/* The chunk under way. */
struct smtpd_chunk {
	bool open;
	bool last;
	uint64_t left; /* octets */
	enum smtpd_reply_id refused; /* NONE: it is part of the message */
};

struct smtpd_session {
	const struct smtpd_listener_conf *rules;
	struct smtpd_worker_conf *site;
	enum smtpd_state state;
	enum smtpd_wait wait;
	struct hb_buf out;
	struct smtpd_act *acts; /* SMTPD_ACTS_MAX; NULL: none */
	size_t n_acts, next_act;
	bool timer_set;
	int64_t timer_ms;

	char client[64];
	bool client_is_v6;
	bool relays; /* the client may relay */
	char helo[HB_MAX_DOMAIN + 1];
	bool esmtp;
	bool tls;
	char tls_word[32], tls_cipher[48], tls_kex[HB_KEX_TEXT];
	char tls_print[HB_PRINT_TEXT]; /* of the client's certificate */
	char user[257];
	bool skip_line; /* up to the next CRLF */
	bool behind;	/* bytes follow the current command */
	bool gone;
	enum smtpd_reply_id last_word; /* after the commit; NONE: continue */
	unsigned bad_commands;
	unsigned refused; /* commands, since a message was accepted */
	unsigned spare;	  /* pipelined ones after a refused MAIL */
	struct hb_buf login; /* of the try */

	enum smtpd_auth_step auth_step;
	const char *auth_mech;
	bool auth_usable; /* it could be valid */
	unsigned auth_failures;
	struct hb_buf secret; /* decoded response; wiped */
	struct hb_span auth_user, auth_password; /* in it, or in scram */
	struct hb_scram *scram; /* NULL: not this mechanism */
	unsigned char binding[HB_TLS_BINDING]; /* of the channel */
	bool has_binding;

	struct hb_arena *questions; /* NULL: none since the last was answered */
	struct smtpd_question *first, *last;
	unsigned n_questions; /* in the arena */
	unsigned messages; /* accepted */
	uint64_t bytes;	   /* of them */
	uint64_t etrn;	  /* number of the last one */
	unsigned n_etrn;  /* so far */
	bool put_off; /* the next command waits until all are answered */
	struct smtpd_txn txn;
	struct smtpd_chunk chunk;
	struct smtpd_filters *filters; /* NULL: none */
};

/* Acts and the timer, acts.c. */
struct smtpd_act *smtpd_add_act(struct smtpd_session *s,
    enum smtpd_act_kind kind);
void smtpd_set_timer(struct smtpd_session *s, int64_t ms);

/* Tries, try.c. */
/* Is what Q tries a login, not a recipient? */
bool smtpd_is_login(const struct smtpd_question *q);
/* Asks when Q may begin.  Returns false if not beside others. */
bool smtpd_try(struct smtpd_session *s, struct smtpd_question *q);
/* May the client relay, has it logged in, or is it a mail server's LMTP
 * client? */
bool smtpd_is_known(const struct smtpd_session *s);
/* How long Q waits when it was told to wait MS. */
int64_t smtpd_try_wait(const struct smtpd_session *s,
    struct smtpd_question *q, int64_t ms);
/* Q has its verdict. */
void smtpd_try_end(struct smtpd_session *s, struct smtpd_question *q);
/* A message was accepted. */
void smtpd_tried_mail(struct smtpd_session *s);

/* What the session holds, state.c. */
/* A new question is queued after the open ones; fill it. */
struct smtpd_question *smtpd_question(struct smtpd_session *s,
    enum smtpd_stage_id stage);
unsigned smtpd_unanswered(const struct smtpd_session *s);
/* What the message holds now counts for all sessions. */
void smtpd_txn_count_held(struct smtpd_session *s);
void smtpd_txn_reset(struct smtpd_session *s); /* ABORT if queue knows it */
void smtpd_txn_add_rcpt(struct smtpd_session *s, const struct hb_rcpt *r);
void smtpd_auth_end(struct smtpd_session *s); /* wipes */
void smtpd_close(struct smtpd_session *s);

/* Replies: output, the command timer, and a log record if it is a refusal. */
void smtpd_reply(struct smtpd_session *s, enum smtpd_reply_id id);
/* The same as an error that counts towards the end of the session. */
void smtpd_reply_bad(struct smtpd_session *s, enum smtpd_reply_id id);
/* A reply from elsewhere.  TEXT: unprintable bytes are replaced. */
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
/* The reply ID as a verdict. */
struct ipc_verdict smtpd_verdict(enum smtpd_reply_id id);
/* Replies as the verdict says, which is neither accept nor discard. */
void smtpd_reply_verdict(struct smtpd_session *s, const struct ipc_verdict *v);
/* What is wrong with a command: the reply, and text to append to it. */
struct smtpd_fault {
	enum smtpd_reply_id id; /* SMTPD_R_NONE: nothing */
	struct hb_span why;
};
/* Counts as an error. */
void smtpd_reply_fault(
    struct smtpd_session *s, const struct smtpd_fault *fault);

/* Greets, when the filters let the client in: greet.c. */
void smtpd_greet(struct smtpd_session *s);
/* LINE has no verb that we know: cmd_unknown.c. */
void smtpd_unknown(struct smtpd_session *s, struct hb_span line);

/* Our header fields, trace.c. */
struct hb_span smtpd_with_word(const struct smtpd_session *s);
void smtpd_trace_received(struct smtpd_session *s, struct hb_buf *out);

/* The transaction, txn.c. */
void smtpd_txn_start_data(struct smtpd_session *s);
/* The same for the first of some chunks; and the next of their octets, where
 * true and false mean the same as below. */
void smtpd_txn_start_chunks(struct smtpd_session *s);
bool smtpd_txn_octets(struct smtpd_session *s, struct hb_span in, size_t *used);
/* All octets have come.  False: not now, acts must be taken first. */
bool smtpd_txn_octets_end(struct smtpd_session *s);
/* Is it refused?  The rest need not be looked at. */
bool smtpd_txn_is_refused(const struct smtpd_txn *t);
/* Sets the timer when USED bytes complete a block. */
void smtpd_txn_count_block(struct smtpd_session *s, size_t used);
/* Replies why; EACH: for each recipient with LMTP. */
void smtpd_txn_reply_refused(struct smtpd_session *s, bool each);
/* Returns true if it processed part of IN; *USED is the number of bytes. */
bool smtpd_txn_input(struct smtpd_session *s, struct hb_span in, size_t *used);
void smtpd_txn_fail(struct smtpd_session *s, enum smtpd_reply_id why);
/* The same when the rest of the message has arrived: replies. */
void smtpd_txn_failed_at_end(struct smtpd_session *s);
void smtpd_txn_result(
    struct smtpd_session *s, const struct smtpd_reply_words *w);

/* The filters have seen the message. */
void smtpd_txn_filtered(struct smtpd_session *s);
/* A file to keep the body in is there. */
void smtpd_txn_has_file(struct smtpd_session *s);
/* Queue's file is there: the body goes into it; and it went. */
void smtpd_txn_copy(struct smtpd_session *s);
void smtpd_txn_copied(struct smtpd_session *s);

/* Chunks, chunk.c: begins one, as ARGS of BDAT say; WHY: it will be refused.
 * The reply comes behind its octets. */
void smtpd_chunk_start(struct smtpd_session *s, struct hb_span args,
    enum smtpd_reply_id why);
bool smtpd_chunk_input(struct smtpd_session *s, struct hb_span in,
    size_t *used);

struct smtpd_args {
	struct hb_addr path;
	struct hb_buf address; /* the path in canonical form; owned */
	struct hb_params params;
};
/* Parses ARGS of MAIL or RCPT.  For clients that may relay, brackets may be
 * missing, and names without domain get ours. */
struct smtpd_fault smtpd_read_args(const struct smtpd_session *s,
    enum hb_param_command of, struct hb_span args, struct smtpd_args *out);

/* The commands.  Continues an AUTH exchange. */
void smtpd_auth_line(struct smtpd_session *s, struct hb_span line);
bool smtpd_auth_is_offered(const struct smtpd_session *s);
/* Their names, a blank before each. */
void smtpd_auth_mechanisms(const struct smtpd_session *s, struct hb_buf *out);
/* The question to router at this point of the exchange, and its answer. */
void smtpd_auth_question(const struct smtpd_session *s, struct ipc_auth *a);
void smtpd_auth_answer(struct smtpd_session *s,
    const struct ipc_auth_result *r);
bool smtpd_tls_is_offered(const struct smtpd_session *s);
bool smtpd_etrn_is_offered(const struct smtpd_session *s);
/* Handlers; ARGS: the text after the verb, trimmed. */
#define SMTPD_VERB(name, handler, states, flags)                               \
	void smtpd_cmd_##handler(struct smtpd_session *s, struct hb_span args);
#include "smtpd/verb.def"

/* Questions, consult.c.  Continues as far as possible: asks, answers the
 * client. */
void smtpd_settle(struct smtpd_session *s);
/* Is the last question not sent yet?  Then no input is taken. */
bool smtpd_is_asking(const struct smtpd_session *s);
/* While questions are open: may one about a recipient be asked beside them? */
bool smtpd_may_ask_beside(const struct smtpd_session *s);
/* What is waited for does not come, or the wait for a turn has ended. */
void smtpd_questions_timeout(struct smtpd_session *s);
/* The filters have said what they think of the oldest question. */
void smtpd_filters_said(struct smtpd_session *s);
#define SMTPD_STAGE(sym, name, ...)                                            \
	void smtpd_answer_##name(struct smtpd_session *s,                      \
	    struct smtpd_question *q);
#include "smtpd/stage.def"

#endif
