/*
 * hauberk-control: clients of the control socket on one side, requests to roles
 * on the other.  Floor 4.
 *
 * A client sends one request (ctlwire.h).  Its command asks roles; their
 * answers arrive as tokens and become jansson values; when all have answered
 * the command formats them.  The rows of a long answer (queue, sts list) are
 * formatted one by one and freed, and a role is not read from while the client
 * does not read.
 */
#ifndef HB_CONTROL_CONTROL_H
#define HB_CONTROL_CONTROL_H

#include <jansson.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/io/rolemain.h"
#include "common/proto/ctlcmd.h"
#include "common/proto/ctlwire.h"

enum {
	CTL_ASKS_MAX = 512,	 /* requests of one command: every role */
	CTL_PEERS_MAX = 512,
	CTL_TEXT_MAX = 1024,	 /* as ipc.def: closing line of a role */
	CTL_OUT_FULL = 256 << 10 /* unread bytes: the role is paused */
};

/* Tokens of one JSON value become a jansson value. */
enum { CTL_DEPTH = 16 };
struct ctl_tree {
	json_t *root, *open[CTL_DEPTH];
	unsigned depth;
	size_t bytes;
	bool whole;
	bool raw; /* strings keep bytes that are not UTF-8: never for JSON */
	/* Not NULL: the outermost value is an array; each of its elements is
	 * passed to this (V is borrowed) and freed. */
	void (*element)(void *ctx, json_t *v);
	/* May be NULL.  Receives an element that is an object with a long array
	 * in parts, while it grows, and the array's values are freed; in the
	 * end element() gets the rest. */
	void (*part)(void *ctx, json_t *v);
	void *ctx;
};
/* Returns NULL, or the error of the token. */
const char *ctl_tree_add(struct ctl_tree *t, const struct ipc_ctl_item *m);
void ctl_tree_free(struct ctl_tree *t);

struct ctl_client;

/* One request to one role. */
struct ctl_ask {
	TAILQ_ENTRY(ctl_ask) link;
	struct ctl_client *client; /* NULL: gone; the answer is discarded */
	struct hb_peer *peer;	   /* NULL: done */
	enum hb_role role;
	unsigned instance;
	uint32_t ref;
	struct ctl_tree tree;
	unsigned exit_code;
	char text[CTL_TEXT_MAX + 1];
};

struct ctl {
	struct hb_role_env *env;
	int listen_fd, log_fd; /* -1: none */
	struct hb_io *listen_io;
	TAILQ_HEAD(ctl_clients, ctl_client) clients;
	TAILQ_HEAD(ctl_asks, ctl_ask) asks; /* also of clients that are gone */
	size_t nclients;
	uint32_t next_ref;
	struct hb_peer *peers[CTL_PEERS_MAX];
	size_t npeers;
	struct hb_timer *stop_timer;
	int64_t stop_at_ms; /* monotonic */
};

struct ctl_cmd {
	void (*begin)(struct ctl_client *c);
	/* All requests are answered: ask more, or format and exit. */
	void (*finish)(struct ctl_client *c);
	/* A row of a long answer. */
	void (*element)(struct ctl_client *c, json_t *v);
	int64_t patience_ms; /* without a sign of life; 0: the default */
	/* A part of a long row; the rest goes to element(). */
	void (*part)(struct ctl_client *c, json_t *v);
	/* What it may wait for long; NULL: nothing. */
	const char *(*waits_for)(const struct ctl_client *c);
};
extern const struct ctl_cmd ctl_cmds[HB_CMD_COUNT];

struct ctl_client {
	TAILQ_ENTRY(ctl_client) link;
	struct ctl *ctl;
	int fd;
	uid_t uid;
	struct hb_buf user; /* the same as the envelope has it */
	bool owner; /* root, or the user who runs the daemon */
	struct hb_io *io;
	struct hb_timer *timer;
	struct hb_hook *write; /* at the end of the turn */
	int64_t alive_ms; /* monotonic: last sign of life */
	unsigned told;	  /* notices of the wait that it was sent */
	struct hb_buf in, out;
	struct hb_buf text; /* formatted, not in OUT yet */
	bool leaving;	    /* the exit code is in OUT */
	bool too_slow;	    /* to be closed: reads too little */
	/* the request */
	struct hb_ctl_question q;
	enum hb_ctl_cmd cmd_no;
	const struct ctl_cmd *cmd;
	struct hb_span args[HB_CTL_WORDS];
	size_t nargs;
	struct ctl_ask *asks[CTL_ASKS_MAX];
	size_t nasks, waiting;
	/* state of commands between their steps */
	size_t rows;
	bool row_is_open;     /* parts of it were sent */
	bool mailq;	      /* queue: in sendmail's form */
	void *state;	      /* of the command, owned; or NULL */
	void (*free_state)(struct ctl_client *c);
	/* imports: reads the data after the request */
	void (*input)(struct ctl_client *c);
	struct hb_buf more;
	bool held; /* paused for now */
};

/* clients */
void ctl_client_new(struct ctl *ctl, int fd);
void ctl_client_free(struct ctl_client **c);

/* output to a client */
/* Ends the answer with the exit code; the client is freed later. */
void ctl_exit(struct ctl_client *c, unsigned code);
/* A line for standard error. */
void ctl_err(struct ctl_client *c, const char *text);
/* Sends the text in c->text if it is long, or ALL of it. */
void ctl_push(struct ctl_client *c, bool all);
/* Stops or starts reading from the client. */
void ctl_hold(struct ctl_client *c, bool held);
/* Updates the events to wait for: reading and writing. */
void ctl_want(struct ctl_client *c);
bool ctl_client_is_full(const struct ctl_client *c);

/* questions */
/* Asks ROLE's INSTANCE.  If it is down, that is its answer. */
void ctl_ask(struct ctl_client *c, enum hb_role role, unsigned instance,
    const struct ipc_ctl *q);
/* Asks every role of the mask; with STREAM each row goes to the command's
 * element(). */
void ctl_ask_all(struct ctl_client *c, uint32_t roles,
    const struct ipc_ctl *q, bool stream);
void ctl_asks_drop(struct ctl_client *c);
void ctl_peer_lost(struct ctl *ctl, struct hb_peer *p);
/* Stops or starts reading from P, depending on its clients. */
void ctl_balance(struct ctl *ctl, struct hb_peer *p);
/* The first answer with a value and exit code 0, or NULL. */
struct ctl_ask *ctl_first_good(const struct ctl_client *c);
/* Exits with the worst code, with the roles' texts on standard error. */
void ctl_exit_worst(struct ctl_client *c);

/* formatting into c->text */
void ctl_add(struct ctl_client *c, const char *text); /* our own text */
void ctl_addf(struct ctl_client *c, const char *fmt, ...) HB_PRINTF(2, 3);
/* Text from outside: control characters are shown as \xNN. */
void ctl_safe(struct hb_buf *out, struct hb_span s);
void ctl_add_safe(struct ctl_client *c, struct hb_span s);
/* TEXT with members of OBJ inserted: common/control/page.h has the format. */
void ctl_add_text(struct ctl_client *c, const json_t *obj, const char *text);
/* NAME without the final dot that DNS names may have. */
struct hb_span ctl_without_dot(struct hb_span name);
void ctl_add_json(struct ctl_client *c, const json_t *v, size_t flags);
struct hb_span ctl_string(const json_t *v); /* empty if it is not a string */
struct hb_span ctl_member(const json_t *obj, const char *key);
/* A JSON string; what is not UTF-8 becomes U+FFFD. */
json_t *ctl_utf8_string(struct hb_span s);

/* one request to each role of the verb */
void ctl_begin_plain(struct ctl_client *c);
/* Row by row. */
void ctl_begin_rows(struct ctl_client *c);

/* the outermost array of a long answer */
void ctl_rows_begin(struct ctl_client *c);
void ctl_rows_add(struct ctl_client *c, const json_t *v);
void ctl_rows_end(struct ctl_client *c);

/* commands */
void ctl_status_finish(struct ctl_client *c);
void ctl_stats_begin(struct ctl_client *c);
void ctl_stats_finish(struct ctl_client *c);
void ctl_queue_begin(struct ctl_client *c);
void ctl_queue_element(struct ctl_client *c, json_t *v);
void ctl_queue_part(struct ctl_client *c, json_t *v);
void ctl_queue_finish(struct ctl_client *c);
void ctl_show_finish(struct ctl_client *c);
void ctl_explain_begin(struct ctl_client *c);
void ctl_explain_finish(struct ctl_client *c);
const char *ctl_explain_waits_for(const struct ctl_client *c);
void ctl_sts_list_element(struct ctl_client *c, json_t *v);
void ctl_sts_list_finish(struct ctl_client *c);
void ctl_sts_finish(struct ctl_client *c);
void ctl_sts_export_begin(struct ctl_client *c);
void ctl_sts_export_element(struct ctl_client *c, json_t *v);
void ctl_import_begin(struct ctl_client *c);
void ctl_import_finish(struct ctl_client *c);
void ctl_export_begin(struct ctl_client *c);
void ctl_export_element(struct ctl_client *c, json_t *v);
void ctl_export_finish(struct ctl_client *c);
void ctl_move_import_begin(struct ctl_client *c);
void ctl_move_import_element(struct ctl_client *c, json_t *v);
void ctl_move_import_finish(struct ctl_client *c);
void ctl_sessions_element(struct ctl_client *c, json_t *v);
void ctl_sessions_finish(struct ctl_client *c);
void ctl_ledger_element(struct ctl_client *c, json_t *v);
void ctl_ledger_list_finish(struct ctl_client *c);
void ctl_ledger_finish(struct ctl_client *c);
void ctl_trace_begin(struct ctl_client *c);
void ctl_trace_finish(struct ctl_client *c);

/* handlers of frames */
#define IPC_TAKES(from, to) ((to) != HB_ANY && ((to) & HB_TO(CONTROL)) != 0)
#define IPC_CTX struct ctl
#define IPC_ON(name) ctl_on_##name
#include "common/io/handlers.h"

#endif
