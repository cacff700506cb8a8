/*
 * The queue manager's state and the interfaces of its files.  Floor 4.
 *
 *	queuetime.c  the scheduler's time
 *	message.c  messages that come and go, and what all files use
 *	durable.c  changes that must become durable
 *	envelopes.c  envelopes in memory
 *	rules.h    what follows from a route, a result or a setting
 *	places.h   mailboxes that a message was written to
 *	txn.c      messages from smtpd
 *	room.c     room on the disk, told to smtpd
 *	expand.c   questions to router; pieces.c long answers on their way to
 *	           the disk
 *	outcome.c  what comes of an attempt; blame.c what the operator has to
 *	           mend
 *	job.h      jobs: load.c the message that goes out, local.c jobs at
 *	           helpers, job.c jobs at delivery workers
 *	dsn.c      DSNs
 *	intake.c   a message from a file, for drop.c or import.c
 *	drop.c     messages from the maildrop; drop_file.c their files;
 *	           drop_filter.c those that go by the mail filters;
 *	           drop_find.c, turns.c which is next
 *	storage.c  STORE_* of delivery
 *	greylist.c  GREY of smtpd; grey.h its rules
 *	ctl.c      questions of control; listing.h what walks the queue:
 *	           listing.c, verbs.c what is done at each message; show.c one
 *	           message; trace.c recent events of a message
 *	export.c   mail that waits leaves for another host
 *	import.c   and comes in
 *	manager.c  start and end, scheduler actions, peers; main.c the role
 */
#ifndef QUEUE_MANAGER_ROLE_H
#define QUEUE_MANAGER_ROLE_H

#include <sys/queue.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/rolemain.h"
#include "common/proto/route.h"
#include "common/proto/stats.h"
#include "queue/sched/clock.h"
#include "queue/manager/places.h"
#include "queue/sched/sched.h"
#include "queue/spool/spool.h"
#include "queue/spool/store.h"

struct q_ask;
struct q_job;
struct q_txn;
struct q_drop;
struct q_trace;
struct q_greylist;

enum {
	Q_ENVELOPES_MAX = 2048,  /* envelopes kept in memory */
	Q_ENVELOPES_MIN = 64,    /* that stay, however many recipients */
	Q_ENVELOPE_RCPTS = 100000, /* recipients of the others together */
	Q_RESCUE_MS = 1000,      /* between tries to record an outcome */
	Q_CLAIMS_MS = 2000,      /* wait for claims after a start */
	Q_STOP_MS = 10000,       /* wait for results when stopping */
	Q_PEER_BYTES = 8 << 20,  /* waiting output that stops new jobs */
	Q_TXN_BYTES = 256 << 20, /* mail being received, in total */
	Q_DSN_RCPTS = 500,       /* recipients in one DSN */
	Q_DSN_FULL = 50000,      /* a longer message is not returned whole */
	Q_DSN_INSTANCE = 255,    /* in the ids of messages generated here */
	Q_DROP_INSTANCE = 254
};

/* Envelope and recipients of a live message. */
struct q_envelope {
	TAILQ_ENTRY(q_envelope) link;
	struct sched_msg *msg;
	struct hb_arena *arena; /* owns all below */
	struct hb_env env;
	struct hb_rcpt *rcpts; /* sorted by idx */
	size_t n, room;
	struct q_places *places; /* of those with a route; NULL: not made */
};
TAILQ_HEAD(q_envelopes, q_envelope);

TAILQ_HEAD(q_jobs, q_job);

struct q_delivery {
	struct q *q;
	unsigned instance;
	struct hb_peer *peer; /* NULL: down */
	struct hb_timer *claims; /* runs while claims are awaited */
	bool ready;
	size_t loading; /* bytes of jobs whose messages are being read */
};

struct q_recordlist;
TAILQ_HEAD(q_asklist, q_ask);

struct q {
	struct hb_role_env *env;
	struct hb_loop *loop;
	struct q_flush *flush;
	struct q_spool *spool;
	struct q_store *store;
	struct q_sched *sched;
	struct q_clock clock;
	int64_t off_ms; /* of the wall clock, as logged last */
	struct hb_hook *hook;	/* runs the scheduler at the end of a turn */
	struct hb_timer *timer; /* and when something is due */
	struct hb_timer *gate;	/* at start: claims of all workers come first */
	bool gated, stopping, paused;
	bool blamed[HB_REASON_COUNT]; /* reported to the operator */
	bool stuck;	/* results cannot be recorded */
	bool low;	/* the disk is low; reported too */
	uint64_t room;	/* bytes for new mail, as measured last */
	struct hb_timer *room_timer;
	struct q_greylist *greylist; /* NULL: off */
	struct hb_timer *stop;
	int64_t stop_at_ms; /* monotonic */

	struct hb_peer *router, *control;
	struct q_delivery *delivery; /* one for each worker */
	unsigned workers;
	struct hb_peer *smtpd[256]; /* by instance */

	struct q_envelopes envelopes;
	size_t nenvelopes, envelope_rcpts;
	struct q_reading *reading; /* an envelope, in slices; or NULL */
	struct q_jobs jobs;
	struct q_jobs dirty; /* have results to settle */
	struct q_txn *txns;   /* uthash */
	size_t txn_bytes, txn_max; /* of mail being received */
	struct hb_rows asks; /* questions to router */
	struct hb_rows pieces; /* parts of answers on their way to the disk */
	struct q_asklist split;	/* long answers, recorded in pieces */
	struct hb_timer *split_timer;
	uint32_t next_ref;
	uint16_t next_id;
	struct q_recordlist *records;
	struct q_drop *drop;
	struct q_trace *trace;
	TAILQ_HEAD(q_listings, q_listing) listings;
	TAILQ_HEAD(q_exports, q_export) exports;
	TAILQ_HEAD(q_imports, q_import) imports;
	uint64_t accepted; /* messages, since the start */
};

/* queuetime.c */
void q_time_start(struct q *q);
void q_time_watch(struct q *q); /* says it when the wall clock was set */
/* Queue time: the scheduler's.  As a date of the wall clock. */
int64_t q_now(const struct q *q);
int64_t q_date(const struct q *q, int64_t queue_ms);
struct q_stamp q_stamp(const struct q *q);
/* Before it is added to the spool. */
void q_stamp_env(const struct q *q, struct hb_env *env);

/* message.c */
void q_kick(struct q *q);
/* Does it get jobs? */
void q_worker_update(struct q *q, const struct q_delivery *d); /* run the scheduler at the end of this turn */
uint64_t q_new_id(struct q *q, unsigned instance);
/* What ENV says of HEAD, its header section: length, and Message-ID (in A). */
void q_env_head(struct hb_env *env, struct hb_span head, struct hb_arena *a);
/* A message became durable.  Takes ARENA, which owns the rest. */
void q_accept(struct q *q, struct hb_arena *arena, const struct hb_env *env,
    struct hb_rcpt *rcpts, size_t n);
/* The same for a message that waited elsewhere, with its changes there. */
void q_accept_moved(struct q *q, struct hb_arena *arena,
    const struct hb_env *env, struct hb_rcpt *rcpts, size_t n,
    const struct q_change *c, size_t nc);
/* ENV as the members of a list get it, whose return path is OWNER. */
void q_env_of_list(struct hb_env *env, struct hb_span owner);
/* Forgets a message whose end is recorded or being recorded. */
void q_forget(struct q *q, struct sched_msg *m);
/* Records the end of M if nothing of it is left. */
void q_finish_if_empty(struct q *q, struct sched_msg *m);
/* Of the spool's replay (q_spool_ops). */
void q_replay_message(void *ctx, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n);
void q_replay_change(void *ctx, uint64_t id, const struct q_change *c);

/* durable.c */
/* DONE runs when the changes are durable, never before this returns; they are
 * tried again until then.  DONE may be NULL.  Outcomes with a recipient are
 * reported then. */
void q_record(struct q *q, uint64_t id, const struct q_change *c, size_t n,
    void (*done)(void *ctx), void *ctx);
/* The number of the next record; are all records before that number durable,
 * and their outcomes in the log? */
uint64_t q_records_next(struct q *q);
bool q_records_are_told(struct q *q, uint64_t before);
/* Before the spool closes, which makes what waits durable: all is told. */
void q_records_close(struct q *q);
void q_records_free(struct q *q);

/* envelopes.c */
void q_envelope_put(struct q *q, struct sched_msg *m, struct hb_arena *arena,
    const struct hb_env *env, struct hb_rcpt *rcpts, size_t n);
/* NULL: the spool cannot read it (damaged).  Borrowed until the next call. */
struct q_envelope *q_envelope_get(struct q *q, struct sched_msg *m);
/* False: M has so many recipients that its envelope is read in slices, of which
 * this call did one: ask again in the next turn.  True: q_envelope_get is
 * quick, or says that it cannot be read. */
bool q_envelope_ready(struct q *q, struct sched_msg *m);
void q_reading_end(struct q *q); /* forgets what was read so far */
struct hb_rcpt *q_envelope_rcpt(const struct q_envelope *h, uint32_t idx);
/* Adds a copy of R, of which nothing is recorded yet.  Pointers to recipients
 * of H become invalid. */
void q_envelope_add(struct q *q, struct q_envelope *h,
    const struct hb_rcpt *r);
/* Does a recipient other than number SELF already have the place of R? */
bool q_envelope_taken(
    struct q *q, struct q_envelope *h, const struct hb_rcpt *r, uint32_t self);
/* A recipient of H now has a route. */
void q_envelope_routed(
    struct q_envelope *h, struct hb_rcpt *r, struct hb_span route);
void q_envelope_drop(struct q *q, struct sched_msg *m);
/* `deliver` has changed. */
void q_envelope_reload(struct q *q);

/* expand.c */
/* False: its envelope is being read; the scheduler gives R again. */
bool q_ask(struct q *q, struct sched_rcpt *r);
void q_asks_init(struct q *q);
void q_asks_lost(struct q *q); /* the router is gone */
void q_asks_free(struct q *q);

/* pieces.c: parts of what an address expands to, on their way to the disk */
struct q_part {
	HB_ROW(key);
	uint64_t id;
	uint32_t idx; /* of the address in message ID */
	uint32_t first, count; /* numbers of the recipients of this part */
	bool is_on_way;
};
/* P, borrowed until its end, is recorded next. */
void q_piece_begin(struct q *q, struct q_part *p);
void q_piece_end(struct q *q, struct q_part *p);
/* Its recipients go with the address, which was removed or bounced.  No place
 * of them is taken from another recipient of the message. */
void q_piece_take_back(struct q *q, const struct q_part *p);
/* R is removed or has its outcome; call it before that is recorded. */
void q_pieces_leave(struct q *q, const struct sched_rcpt *r);

/* outcome.c */
/* One recipient's outcome outside of a job (expansion, routes that end here),
 * recorded; M may be gone afterwards. */
void q_outcome(struct q *q, struct sched_rcpt *r, const struct hb_outcome *o);
/* RCPT, which may be NULL, waits for O: reports a mistake to the operator, and
 * the end of one when no mail waits for it any more. */
void q_blame(struct q *q, const struct hb_rcpt *rcpt,
    const struct hb_outcome *o);
void q_blame_end(struct q *q);
/* Is a DSN about RCPT wanted, and may it be sent?  OF: HB_NOTIFY_FAILURE or
 * HB_NOTIFY_SUCCESS. */
bool q_wants_dsn(const struct sched_msg *m, const struct hb_env *env,
    const struct hb_rcpt *rcpt, uint32_t of);
/* The route of RCPT that is to be recorded with its delivery.  An expanded
 * recipient has it on the disk; another one's matters where one more may lead
 * to the same place. */
struct hb_span q_delivered_place(const struct sched_msg *m,
    const struct hb_rcpt *rcpt);

/* dsn.c */
void q_dsn_ended(struct q *q, struct sched_msg *m);
void q_dsn_delayed(struct q *q, struct sched_msg *m);

/* txn.c */
void q_txns_lost(struct q *q, struct hb_peer *p);
void q_txns_free(struct q *q);

/* room.c */
void q_room_start(struct q *q);
/* As the configuration says: it begins, or ends. */
void q_greylist_start(struct q *q);
void q_room_seen(struct q *q, uint64_t bytes); /* a new measurement */
void q_tell_space(struct q *q, struct hb_peer *p);

/* drop_find.c */
/* DIR: maildrop as seen now, before any chroot. */
struct hb_ctl;
struct q_drop *q_drop_new(struct hb_loop *loop, const char *dir);
void q_drop_start(struct q *q, struct q_drop *d, const char *root);
void q_drop_free(struct q_drop **d);
void q_drop_status(const struct q_drop *d, const struct hb_ctl *c);

/* drop_filter.c: drops that smtpd has, for filters. */
struct q_drop_file;
/* The drop NUMBER of P has a transaction; NULL: it cannot have one. */
struct q_drop_file *q_drop_begin(struct q *q, const struct hb_peer *p,
    uint32_t number);
void q_drop_complete(const struct q_drop_file *f, struct hb_env *e,
    struct hb_arena *a);
/* Recipients that filters refused; borrowed. */
const struct hb_rcpt *q_drop_refused(const struct q_drop_file *f, size_t *n);
/* What became of the transaction.  F may be gone. */
void q_drop_durable(struct q_drop_file *f);
void q_drop_failed(struct q_drop_file *f);
void q_drops_lost(struct q *q, const struct hb_peer *p);

/* manager.c */
/* State without peers; the spool is replayed.  ROOT: its folder as seen from
 * here.  NULL: ERR says why. */
struct q *q_new(struct hb_role_env *env, const char *root,
    struct hb_buf *err);
void q_free(struct q **q);
void q_reload(struct q *q);
void q_stop(struct q *q); /* hb_role_exit follows */
void q_peer_up(struct q *q, struct hb_peer *p);
void q_peer_lost(struct q *q, struct hb_peer *p);
void q_peer_drained(struct q *q, struct hb_peer *p);
void q_open_gate(struct q *q);

/* ctl.c */
void q_ctl(struct q *q, struct hb_peer *control, const struct ipc_ctl *c);

/* listing.c */
void q_listings_lost(struct q *q, struct hb_peer *asker);

/* export.c */
void q_export(struct q *q, const struct hb_ctl *c);
void q_exports_lost(struct q *q, struct hb_peer *control);
/* The export REF of CONTROL was cancelled. */
void q_export_end(struct q *q, struct hb_peer *control, uint32_t ref);

/* import.c */
void q_import(struct q *q, const struct hb_ctl *c);
void q_imports_lost(struct q *q, struct hb_peer *control);

/* trace.c */
struct q_event {
	uint64_t id;
	int64_t at_ms;
	const char *what; /* static text */
	uint32_t idx;
	enum hb_result result;
	enum hb_reason reason;
	const char *dane; /* static; "": none */
	uint32_t code;
	/* As far as it fits: the log's data of a delivery. */
	char rcpt[64], mx[64], addr[48], tls[24], sts[12], status[12];
	char text[96]; /* of "accepted": the Message-ID */
};
void q_trace_add(struct q *q, uint64_t id, const char *what, uint32_t idx,
    struct hb_span rcpt, const struct hb_outcome *o);
/* The message of ENV came in. */
void q_trace_accept(struct q *q, const struct hb_env *env);
/* The newest message with this Message-ID; 0: none is remembered. */
uint64_t q_trace_find(const struct q *q, struct hb_span message_id);
/* Says what came of an attempt, in the log and to trace.  The one place that
 * does: when it is durable, or can never be. */
void q_tell_outcome(struct q *q, uint64_t id, int64_t delay_ms,
    const struct hb_rcpt *rcpt, const struct hb_outcome *o);
/* The next event of ID at or after *CURSOR (start with 0), or NULL. */
const struct q_event *q_trace_next(const struct q *q, uint64_t id,
    size_t *cursor);


/* Handlers of frames. */
#define IPC_TAKES(from, to) ((to) != HB_ANY && ((to) & HB_TO(QUEUE)) != 0)
#define IPC_CTX struct q
#define IPC_ON(name) q_on_##name
#include "common/io/handlers.h"

#endif
