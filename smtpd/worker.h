/*
 * A listener process: its listeners, its connections and their shared state.
 * Floor 4, only for smtpd/main.c, worker.c, proxy.c, client.c, frames.c.
 */
#ifndef SMTPD_WORKER_H
#define SMTPD_WORKER_H

#include <sys/queue.h>

#include "common/io/conn.h"
#include "common/io/counters.h"
#include "common/io/ctlreply.h"
#include "common/io/penalty.h"
#include "common/io/rolemain.h"
#include "smtpd/session.h"

enum {
	SMTPD_INPUT_MAX = 65536,	     /* of one connection */
	SMTPD_OUTPUT_MAX = 65536,	     /* unread replies: pause it */
	SMTPD_QUEUE_FULL = 8 * 1024 * 1024,  /* bytes waiting: pause clients */
	SMTPD_REF_BITS = 20
};

struct smtpd_listener {
	struct smtpd_worker *worker;
	uint32_t index; /* number of the directive */
	int fd;
	struct hb_io *io;
	SLIST_ENTRY(smtpd_listener) link;
};

/* What has the place of a connection: the first member of a struct of its
 * owner's, who casts back. */
struct smtpd_source {
	uint32_t drop; /* queue's number of it */
	/* What it says now.  Nothing: it waits for a reply, or its turn. */
	struct hb_span (*input)(struct smtpd_source *s);
	void (*consume)(struct smtpd_source *s, size_t n);
	void (*hear)(struct smtpd_source *s, struct hb_span output);
	/* It needs the session no more. */
	bool (*is_over)(const struct smtpd_source *s);
	void (*end)(struct smtpd_source *s); /* frees it */
};

struct smtpd_client {
	struct smtpd_worker *worker;
	struct smtpd_listener_conf *rules;
	struct smtpd_session *session;
	struct hb_conn *conn; /* NULL: closed, its commit still counts */
	struct smtpd_source *source; /* in its place; NULL: none */
	struct hb_netaddr addr;
	uint32_t index;	   /* in worker->clients */
	uint32_t txn;	   /* of the transaction in queue; 0: none */
	int file;	   /* of a large message, or -1 */
	bool counted, paused, busy, tls_due;
	bool said_all; /* no more input comes */
	uint32_t counter; /* slot in the shared table */
	int64_t since_ms; /* wall clock */
	int64_t deadline_ms, expires_ms; /* monotonic; 0: none */
	struct smtpd_lookup *lookup; /* under way, or NULL */
	int64_t tls_ms; /* the handshake waits until then; 0: no wait */
	struct smtpd_filterio **filters; /* by number; NULL: none yet */
	int kept[2];	    /* files that keep a body, or -1 */
	unsigned kept_file; /* the one that is asked for, or copied */
	uint32_t kept_ref;  /* of the question to queue; 0: none */
	uint64_t copied;
	struct hb_timer *copy; /* NULL: not needed yet */
};

/* What is known of a filter. */
struct smtpd_filter_state {
	uint64_t sessions, failures;
	bool down;
	int64_t since_ms; /* wall clock; 0: nobody asked it yet */
};

struct smtpd_worker {
	struct hb_role_env *env;
	struct smtpd_worker_conf site;
	struct smtpd_listener_conf **rules; /* one per listen directive */
	size_t n_rules;
	SLIST_HEAD(, smtpd_listener) listeners;
	struct hb_dns *dns; /* lookup.c; NULL: nothing was asked yet */
	struct smtpd_zone *zones;
	struct hb_buf resolv; /* resolv.conf */
	LIST_HEAD(, smtpd_arrival) arrivals; /* proxy.c */
	struct hb_keyclient *keys;
	struct hb_tls *tls;
	struct hb_counters *counters;
	struct smtpd_client **clients;
	size_t n_slots, n_clients;
	uint32_t *free_slots; /* stack */
	size_t n_free;
	struct hb_timer *sweep, *certs;
	LIST_HEAD(, smtpd_filterio) leaving; /* connections to filters */
	struct smtpd_filter_state *filter_states; /* one per milter line */
	struct hb_buf scratch; /* records on their way into a frame */
	bool stuck; /* queue cannot record results */
	bool stopping;
	int64_t stop_at_ms;
	uint64_t sessions; /* since the start */
};

/* worker.c */
/* Of no listener, for what local commands submit; has one reference. */
struct smtpd_listener_conf *smtpd_worker_local_rules(
    const struct smtpd_worker *w);
int smtpd_worker_configure(struct smtpd_worker *w, struct hb_buf *err);
void smtpd_worker_listen(struct smtpd_worker *w, uint32_t index, int fd);
/* Closes all listeners. */
void smtpd_worker_unlisten(struct smtpd_worker *w);
void smtpd_worker_stop(struct smtpd_worker *w);
/* Calls FN for each client; FN may end it. */
void smtpd_worker_each(struct smtpd_worker *w,
    void (*fn)(struct smtpd_client *c));
/* The client that REF (or a transaction's number) belongs to, or NULL. */
struct smtpd_client *smtpd_worker_find(struct smtpd_worker *w, uint64_t ref);
void smtpd_worker_start_sweep(struct smtpd_worker *w);

/* certs.c: other certificates are in use, or the same ones again. */
void smtpd_certs_changed(struct smtpd_worker *w);
/* Logs which certificates came for those BEFORE. */
void smtpd_certs_tell(const struct smtpd_worker *w,
    const struct hb_tls *before);
/* For `status': those in use and the days left of them. */
void smtpd_certs_answer(const struct smtpd_worker *w, const struct hb_ctl *c);

/* A connection that was accepted. */
struct smtpd_caller {
	struct smtpd_listener_conf *rules; /* borrowed */
	int fd;
	struct hb_netaddr addr;
	bool nameless; /* a balancer that did not say whose it is */
};

/* proxy.c: connections of balancers, until their PROXY header is there. */
/* Takes the descriptor. */
void smtpd_proxy_wait(struct smtpd_worker *w, const struct smtpd_caller *who);
/* Ends those that waited too long. */
void smtpd_proxy_tick(struct smtpd_worker *w);
/* Closes them all. */
void smtpd_proxy_stop(struct smtpd_worker *w);

/* sessions.c: answers `hauberkctl sessions`. */
void smtpd_sessions_ctl(const struct smtpd_worker *w, const struct hb_ctl *c);

/* lookup.c: asks DNS about a client.  ANSWERED runs behind each event that the
 * session got. */
void smtpd_lookup_begin(struct smtpd_client *c,
    const struct smtpd_origin_wants *wants,
    void (*answered)(struct smtpd_client *c));
/* Answers what is still open, as if nobody had answered. */
void smtpd_lookup_give_up(struct smtpd_client *c);
void smtpd_lookup_end(struct smtpd_client *c);
/* Another configuration; no question is under way. */
void smtpd_lookup_reset(struct smtpd_worker *w);

/* client.c */
/* Takes the descriptor. */
void smtpd_client_new(struct smtpd_worker *w, const struct smtpd_caller *who);
/* A session for SOURCE, which it takes: what LOCAL submitted. */
struct smtpd_client *smtpd_client_local(struct smtpd_worker *w,
    struct smtpd_source *source, const struct smtpd_local *local);
/* It may be over, and gone, afterwards. */
void smtpd_client_begin(struct smtpd_client *c);
/* Passes input to the session and carries out its acts, until it rests. */
void smtpd_client_run(struct smtpd_client *c);
/* After a pause: the output that it waited for is drained. */
void smtpd_client_go_on(struct smtpd_client *c);
/* Checks the deadlines. */
void smtpd_client_tick(struct smtpd_client *c);
void smtpd_client_free(struct smtpd_client *c);
/* The NUMBER of a question with the way back to C; a number for a transaction.
 * The worker counts them, not the client: the next client gets the same slot,
 * and a late answer to the old one must not reach it. */
uint64_t smtpd_client_ref(const struct smtpd_client *c, uint64_t number);
uint32_t smtpd_client_txn(struct smtpd_client *c);

/* frames.c: what other roles send (smtpd_on_frame), and acts for them. */
#define IPC_TAKES(from, to) /* what the key agent sends: keyclient.c */       \
	((from) != HB_TO(KEYAGENT) && (to) != HB_ANY &&                        \
	    ((to) & HB_TO(SMTPD)) != 0)
#define IPC_CTX struct smtpd_worker
#define IPC_ON(name) smtpd_on_##name
#include "common/io/handlers.h"
void smtpd_frames_act(struct smtpd_client *c, const struct smtpd_act *a);
/* Queue has no transaction of C any more: nor has C its file. */
void smtpd_frames_end(struct smtpd_client *c);

/* filterio.c: connections to filters (smtpd_on_endpoint).  True: it did
 * something. */
bool smtpd_filterio_take(struct smtpd_client *c);
/* Passes one packet to the session. */
bool smtpd_filterio_feed(struct smtpd_client *c);
/* True: C was run, and may be gone. */
bool smtpd_filterio_tick(struct smtpd_client *c, int64_t now_ms);
void smtpd_filterio_sweep(struct smtpd_worker *w);
void smtpd_filterio_free(struct smtpd_client *c);
/* For `status': all filters, and whether they answer. */
void smtpd_filterio_answer(const struct smtpd_worker *w,
    const struct hb_ctl *c);

/* The same for files that keep a body. */
void smtpd_kept_act(struct smtpd_client *c, const struct smtpd_act *a);
void smtpd_kept_end(struct smtpd_client *c);

void smtpd_rules_drop(struct smtpd_listener_conf *r);

#endif
