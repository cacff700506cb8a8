/*
 * The SMTP server session as a machine.  Floor 2: no I/O, no clock.  Driven by
 * smtpd/worker.c, the scenario tests and the fuzz target.
 *
 *	START --220, with implicit TLS after the handshake--> HELLO
 *	START --554--> REFUSED, which takes QUIT alone
 *	HELLO --EHLO--> READY --MAIL--> MAIL --DATA, 354--> DATA
 *	DATA --final dot, result--> READY
 *	MAIL --RSET, EHLO--> READY
 *	READY, MAIL --STARTTLS, handshake--> HELLO
 *	any --QUIT, 421, connection lost--> OVER
 *
 * While an answer is pending (smtpd_session_input then takes nothing but more
 * recipients, which are asked about together) the input stays with the caller.
 * Replies therefore leave in the order of commands, and bytes after STARTTLS
 * are detected.
 *
 * Example: input "EHLO x\r\n" makes output "250-...".  Input "MAIL FROM:<a@b>"
 * makes the act CHECK; the caller asks router, passes the answer to
 * smtpd_session_verdict, which makes output "250 2.1.0 ...".
 *
 * After each call the caller takes the output and all acts before it drops the
 * input: spans of acts point into both.  RFC 5321, 1870, 2034, 2920, 3207,
 * 4954, 6152, 6409, 2033, 1985.
 */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

#include "common/proto/conf.h"
#include "common/proto/ipc.h"
#include "common/proto/tlsfacts.h"
#include "smtpd/msgid.h"

/* Configuration of one listener.  Shared by its sessions. */
struct smtpd_listener_conf {
	unsigned refs; /* for the owner's use */
	char hostname[HB_MAX_DOMAIN + 1];
	enum hb_listen_kind kind;
	unsigned listen; /* number of the directive */
	enum hb_demand tls, auth;
	bool implicit_tls;
	bool local; /* a program of this host: sendmail -bs */
	char origin[HB_MAX_DOMAIN + 1]; /* domain of names without one */
	uint64_t max_size;
	uint64_t max_header;
	unsigned max_recipients, max_hops;
	int64_t command_ms, data_ms;
	const struct hb_filters *filters; /* NULL: none; in the arena */
	struct hb_arena *arena;
};

/* Current state of the process.  Shared by all sessions, kept up to date. */
struct smtpd_worker_conf {
	int64_t now_ms;	    /* for trace headers and message ids */
	uint64_t space;	    /* room that queue has for new mail, in bytes */
	bool queue_up;
	bool tls_ready;	    /* a TLS context exists */
	bool scram;	    /* there are logins with verifiers */
	bool names;	    /* of clients are looked up */
	bool names_decide;  /* `access': who asks router waits for the name */
	bool dnsbl;	    /* there are zones that list clients */
	bool greylist;
	struct smtpd_msgid ids, sessions;
	uint64_t bytes;	    /* of accepted messages, for `status` */
	uint64_t refs;	    /* numbers of questions and transactions so far */
	unsigned beside;    /* questions beside others of their session */
	size_t held;	    /* bytes of long header sections, all sessions */
	size_t filtered;    /* the same of bodies that filters are to see */
};

enum smtpd_act_kind {
	SMTPD_ACT_STARTTLS, /* after the output is written */
	SMTPD_ACT_CHECK,    /* ask router; the verdict comes with its ref */
	SMTPD_ACT_AUTH,	    /* the same; has a password: do not keep it */
	SMTPD_ACT_BEGIN,    /* envelope and all recipients to queue */
	SMTPD_ACT_DATA,	    /* body to queue, or to the file after LARGE */
	SMTPD_ACT_LARGE,    /* ask queue for a file */
	SMTPD_ACT_HEAD,	    /* header section to queue: COMMIT follows */
	SMTPD_ACT_COMMIT,
	SMTPD_ACT_ABORT,
	SMTPD_ACT_ETRN,	    /* ask queue; the result comes with its ref */
	SMTPD_ACT_GREY,	    /* the same */
	SMTPD_ACT_ORIGIN,   /* ask DNS about the client, once a session */
	SMTPD_ACT_KEEP_OPEN, /* ask queue for a file to keep a body in */
	SMTPD_ACT_KEEP_WRITE,
	SMTPD_ACT_KEEP_READ, /* smtpd_session_read brings the bytes */
	SMTPD_ACT_KEEP_COPY, /* all of it to the file after LARGE */
	SMTPD_ACT_KEEP_END,  /* such files are not needed any more */
	SMTPD_ACT_TRY,	    /* smtpd_session_turn reports when it may begin */
	SMTPD_ACT_TRIED,    /* result of the try */
	SMTPD_ACT_CLOSE	    /* after the output is written */
};
/* Things that a stranger may not try without limit. */
enum smtpd_tried {
	SMTPD_TRIED_DONE,
	SMTPD_TRIED_BAD,
	SMTPD_TRIED_OPEN,
	/* no ends of a try: */
	SMTPD_TRIED_MAIL,  /* a stranger's mail was accepted */
	SMTPD_TRIED_ERRORS /* a stranger's session ends for its errors */
};
struct smtpd_try {
	bool is_login; /* otherwise a recipient */
	struct hb_span login;
	enum smtpd_tried end; /* SMTPD_ACT_TRIED */
	unsigned n; /* of them; SMTPD_ACT_TRY: of the session, not ended */
};
/* Each has its event, within SMTPD_ORIGIN_MS. */
struct smtpd_origin_wants {
	bool name, listing;
};
enum { SMTPD_ORIGIN_MS = 5000 };
/* A file that a body is kept in while filters see it. */
struct smtpd_keep {
	unsigned file; /* 0 or 1 */
	uint64_t id;   /* of the message */
	struct hb_span data;
	uint64_t at;
	size_t n;
};
struct smtpd_act {
	enum smtpd_act_kind kind;
	union {
		struct ipc_check check;
		struct ipc_auth auth;
		struct hb_env begin; /* then smtpd_session_rcpt */
		struct hb_span data; /* DATA, HEAD */
		struct ipc_txn_commit commit;
		struct ipc_etrn etrn;
		struct ipc_grey grey;
		struct smtpd_keep keep;
		struct smtpd_try attempt;
		struct smtpd_origin_wants origin;
	};
};

/* Who submitted a message on this host, by a command that has ended. */
struct smtpd_local {
	uint32_t uid;
	int64_t dropped_ms;
};

struct smtpd_session;

/* RULES and SITE are borrowed for the session's life; CLIENT: its address. */
struct smtpd_session *smtpd_session_new(const struct smtpd_listener_conf *rules,
    struct smtpd_worker_conf *site, struct hb_span client, bool client_is_v6);
void smtpd_session_free(struct smtpd_session **s);
/* The client may relay: it is not a stranger, and its paths may lack brackets
 * and domains. */
void smtpd_session_relays(struct smtpd_session *s);
/* It takes in what LOCAL submitted, borrowed for the session's life.  Router is
 * not asked: whom a command wants to write to is found out when it is sent. */
void smtpd_session_local(struct smtpd_session *s,
    const struct smtpd_local *local);

/* How to greet. */
enum smtpd_greeting {
	SMTPD_GREET_OK,
	SMTPD_GREET_EARLY,    /* the client talked first: 554 */
	SMTPD_GREET_BUSY,     /* max-sessions: 421 */
	SMTPD_GREET_TOO_MANY, /* max-sessions-per-client: 421 */
	SMTPD_GREET_TOO_FAST, /* max-rate-per-client: 421 */
	SMTPD_GREET_ERRORS,   /* of the network, in sessions before: 421 */
	SMTPD_GREET_STUCK,    /* results cannot be recorded: 421 */
	SMTPD_GREET_NO_HEADER /* of a balancer (PROXY protocol): 421 */
};
/* Greets; with implicit TLS it waits for the handshake first. */
void smtpd_session_start(struct smtpd_session *s, enum smtpd_greeting how);

/* Returns how many bytes of IN were processed.  Call it again with the rest
 * while it returns more than zero or made acts. */
size_t smtpd_session_input(struct smtpd_session *s, struct hb_span in);
/* Does it wait for nothing but the client? */
bool smtpd_session_wants_input(const struct smtpd_session *s);

/* Events.  An unexpected one changes nothing. */
void smtpd_session_tls(struct smtpd_session *s,
    const struct hb_tls_facts *facts);
void smtpd_session_verdict(struct smtpd_session *s,
    const struct ipc_verdict *v);
void smtpd_session_auth(struct smtpd_session *s,
    const struct ipc_auth_result *r);
/* The requested try may begin in MS; or SMTPD_TURN_NONE: it may not;
 * SMTPD_TURN_ALONE: not beside others, ask again when they have ended. */
enum { SMTPD_TURN_NONE = -1, SMTPD_TURN_ALONE = -2 };
void smtpd_session_turn(struct smtpd_session *s, int64_t ms);
/* What DNS says of the client.  NAME: its name, which has its address; empty:
 * it has none, or it was not learnt.  WHY: why its mail is refused, the text of
 * the reply; empty: it is not. */
void smtpd_session_named(struct smtpd_session *s, struct hb_span name);
void smtpd_session_listed(struct smtpd_session *s, struct hb_span why);
/* The answer of greylisting. */
void smtpd_session_grey(struct smtpd_session *s,
    const struct ipc_grey_result *r);
/* R: NULL: queue cannot be asked, or does not answer. */
void smtpd_session_etrn(struct smtpd_session *s,
    const struct ipc_etrn_result *r);
void smtpd_session_large(struct smtpd_session *s); /* the file is open */
void smtpd_session_result(struct smtpd_session *s,
    const struct ipc_txn_result *r);
/* The file of a large message could not be written. */
void smtpd_session_write_failed(struct smtpd_session *s, bool no_space);
void smtpd_session_router_up(struct smtpd_session *s); /* asks again */

/* Filters.  Where the session is, for filters; before its start. */
void smtpd_session_place(struct smtpd_session *s,
    const struct hb_netaddr *local, uint16_t client_port);
/* How many there are, and what number N wants of its owner (milter.h). */
size_t smtpd_session_filters(const struct smtpd_session *s);
struct smtpd_milter *smtpd_session_filter(struct smtpd_session *s, size_t n);
/* Events of number N.  Input: returns bytes used; again while it used some. */
void smtpd_session_filter_connected(struct smtpd_session *s, size_t n);
size_t smtpd_session_filter_input(struct smtpd_session *s, size_t n,
    struct hb_span in);
void smtpd_session_filter_drained(struct smtpd_session *s, size_t n);
void smtpd_session_filter_lost(struct smtpd_session *s, size_t n,
    const char *why);
/* The file to keep a body in is there; bytes of it, when they were asked for;
 * it was copied.  If that fails: smtpd_session_write_failed. */
void smtpd_session_kept(struct smtpd_session *s);
void smtpd_session_read(struct smtpd_session *s, struct hb_span bytes);
void smtpd_session_copied(struct smtpd_session *s);
/* Closes without a reply while a commit is in progress. */
void smtpd_session_queue_lost(struct smtpd_session *s);
void smtpd_session_timeout(struct smtpd_session *s);
void smtpd_session_stop(struct smtpd_session *s); /* 421, but not in a commit */
void smtpd_session_expired(struct smtpd_session *s); /* session-timeout */
/* The connection is gone. */
void smtpd_session_closed(struct smtpd_session *s);

/* Output since the last call of hb_buf_clear on it. */
struct hb_buf *smtpd_session_output(struct smtpd_session *s);
/* The next act; returns false if there is none. */
bool smtpd_session_act(struct smtpd_session *s, struct smtpd_act *out);
/* Returns true if the timer was set since the last call: *MS from now (0:
 * none). */
bool smtpd_session_timer(struct smtpd_session *s, int64_t *ms);
/* Recipient IDX (from 0) of the transaction; returns false if there is none. */
bool smtpd_session_rcpt(const struct smtpd_session *s, uint32_t idx,
    struct hb_rcpt *out);

/* Does it receive message bytes?  These are subject to queue's
 * back-pressure. */
bool smtpd_session_in_data(const struct smtpd_session *s);
/* For who lists sessions.  Texts are borrowed, "" if there is none. */
struct smtpd_session_view {
	uint64_t id; /* in the log: session= */
	const char *state, *client, *helo, *user, *tls;
	unsigned messages; /* accepted */
	uint64_t bytes;	   /* of them */
};
struct smtpd_session_view smtpd_session_view(const struct smtpd_session *s);
bool smtpd_session_is_over(const struct smtpd_session *s);

#endif
