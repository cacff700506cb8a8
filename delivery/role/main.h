/*
 * The parts of the delivery role's process.  Floor 4: glue between channels,
 * adaptors and machines.
 */
#ifndef DELIVERY_ROLE_MAIN_H
#define DELIVERY_ROLE_MAIN_H

#include <sys/queue.h>

#include "common/base/memo.h"
#include "common/io/ctlask.h"
#include "common/io/dns.h"
#include "common/io/rolemain.h"
#include "delivery/smtp/attempt.h"
#include "delivery/smtp/ledger.h"
#include "delivery/smtp/pool.h"
#include "sts/sts.h"

struct dlv_jobs;
struct dlv_store;
struct dlv_probe;

struct dlv_worker {
	struct hb_role_env *env;
	struct hb_dns *dns;
	struct hb_dns *last_dns; /* from before a reload: still answers */
	struct hb_timer *last_timer;
	struct hb_tls *tls;
	struct dlv_pool *pool;
	struct sts *sts;
	struct dlv_jobs *jobs;
	struct dlv_store *store;
	struct dlv_ledger *ledger;
	struct hb_hook *ledger_turn;
	struct hb_ctl_asks ledger_asks; /* of control */
	LIST_HEAD(, explain) explains; /* under way */
	struct dlv_probe *probe;
	struct hb_buf hosts;	/* hosts-file */
	struct hb_buf resolv;	/* resolv.conf */
	struct hb_timer *stop_timer;
	bool stopping;
};

/* --- a running attempt and what it waits for (delivery/role/task.c) --- */

struct dlv_task {
	struct hb_wait wait; /* for the first probe of the resolver */
	struct dlv_worker *worker;
	struct dlv_attempt *attempt;
	struct dlv_connection *link;
	struct sts_lookup *lookup;
	struct dlv_ledger_wait *memory;
	struct sts_policy_ref *ref; /* the policy it is judged by, or NULL */
	struct dlv_seen *seen;	    /* what the ledger holds, or NULL */
	LIST_HEAD(, dlv_question) questions;
	struct dlv_body body;
	void (*done)(struct dlv_task *t); /* may call dlv_task_stop */
};
/* ORDER and BODY's bytes are borrowed until dlv_task_stop. */
void dlv_task_start(struct dlv_task *t, const struct dlv_params *order,
    const struct dlv_body *body);
/* Cancels what is in progress and frees what the task holds. */
void dlv_task_stop(struct dlv_task *t);

/* --- jobs of queue (delivery/role/jobs.c) --- */

struct dlv_jobs *dlv_jobs_new(struct dlv_worker *w);
void dlv_jobs_free(struct dlv_jobs **j);
size_t dlv_jobs_running(const struct dlv_jobs *j);
/* None runs, and queue knows what came of all. */
bool dlv_jobs_are_over(const struct dlv_jobs *j);
/* The channel to queue is up: claims, kept results, CLAIMS_END. */
void dlv_jobs_queue_up(struct dlv_jobs *j);
void dlv_jobs_queue_drained(struct dlv_jobs *j);
/* The last job is over while the role is stopping. */
void dlv_worker_idle(struct dlv_worker *w);

/* --- durable values over the channel to queue (delivery/role/store.c) --- */

/* For a `store' from dlv_store_table. */
extern const struct hb_store_ops dlv_store_ops;
void *dlv_store_table(struct dlv_store *s, enum hb_table table);
struct dlv_store *dlv_store_new(struct hb_role_env *env);
void dlv_store_free(struct dlv_store **s);
/* Queue is lost: every request gets HB_E_TEMP. */
void dlv_store_lost(struct dlv_store *s);

/* --- the downgrade ledger (delivery/role/ledger.c) --- */

/* Makes ledger and ledger_asks; W's store must exist. */
void dlv_worker_ledger_setup(struct dlv_worker *w);
/* Answers LEDGER_LIST, LEDGER_SHOW, LEDGER_FORGET, now or later; false if Q is
 * another request. */
bool dlv_ledger_ctl(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q);

/* --- unix endpoints of LMTP (delivery/role/endpoint.c) --- */

void dlv_endpoint_ask(void *ctx, uint32_t ref, struct hb_span path);

/* --- trust in the resolver (delivery/role/trust.c) --- */

/* Probes begin at once.  W's conf and dns must exist. */
struct dlv_probe *dlv_probe_new(struct dlv_worker *w);
/* Call it before the dns is freed. */
void dlv_probe_free(struct dlv_probe **p);
/* W's conf or dns have changed; the old ones still exist. */
void dlv_probe_reconf(struct dlv_probe *p);
enum dlv_trust dlv_probe_trust(const struct dlv_probe *p);
/* T's attempt starts when a first round of probes is over, at the end of this
 * turn at the earliest. */
void dlv_probe_start(struct dlv_probe *p, struct dlv_task *t);
void dlv_probe_status(const struct dlv_probe *p, const struct hb_ctl *c);

/* --- explain (explain.c) --- */

/* EXPLAIN_ROUTE: arg route, arg2 the recipient's domain, flag 1: connect. */
#define DLV_EXPLAIN_FLAG_LIVE 1u
void dlv_explain(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q);
/* The whole answer for T, which has ended (explain_show.c). */
void dlv_explain_show(const struct hb_ctl *c, const struct dlv_task *t,
    const struct dlv_params *order);
/* Its explanations end; NULL: all. */
void dlv_explain_lost(struct dlv_worker *w, const struct hb_peer *control);

/* --- handlers of frames --- */

#define IPC_TAKES(from, to) /* what the key agent sends: keyclient.c */       \
	((from) != HB_TO(KEYAGENT) && (to) != HB_ANY &&                        \
	    ((to) & HB_TO(DELIVERY)) != 0)
#define IPC_CTX struct dlv_worker
#define IPC_ON(name) dlv_on_##name
#include "common/io/handlers.h"

#endif
