/*
 * The durable store, which queue keeps: numbered requests over the channel to
 * queue, answers to their callbacks.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/table.h"
#include "common/io/workers.h"

struct store_request {
	UT_hash_handle hh;
	uint32_t ref;
	hb_store_got_fn got; /* GET */
	hb_store_row_fn row; /* LIST */
	hb_store_done_fn done; /* PUT, LIST */
	void *ctx;
};

/* What users of one table hold for a store. */
struct table {
	struct dlv_store *store;
	enum hb_table number;
};

struct dlv_store {
	struct hb_role_env *env;
	struct table tables[HB_TABLE_COUNT];
	struct store_request *asked;
	struct store_request *unsent; /* they fail at the end of the turn */
	struct hb_hook *turn;
	uint32_t last_ref;
	unsigned workers; /* of delivery, all together */
};

static void
fail(const struct store_request *q, int err)
{
	if (q->got != NULL)
		q->got(q->ctx, err, HB_SPAN_NONE);
	else
		q->done(q->ctx, err);
}

static struct store_request *
take(struct dlv_store *s, uint32_t ref)
{
	struct store_request *q;

	HASH_FIND(hh, s->asked, &ref, sizeof(ref), q);
	if (q != NULL)
		HASH_DEL(s->asked, q);
	return q;
}

/* Sends MSG, whose ref is *REF; the answer goes to WHAT's callbacks. */
static void
ask(struct dlv_store *s, enum hb_ipc_type type, const void *msg, uint32_t *ref,
    const struct store_request *what)
{
	struct hb_peer *queue = hb_role_peer(s->env, HB_ROLE_QUEUE, 0);
	struct store_request *q = HB_NEW(struct store_request);

	*q = *what;
	q->ref = *ref = ++s->last_ref;
	if (queue != NULL && hb_peer_send(queue, type, msg, -1) == 0) {
		HASH_ADD(hh, s->asked, ref, sizeof(q->ref), q);
		return;
	}
	HASH_ADD(hh, s->unsent, ref, sizeof(q->ref), q);
	hb_hook_arm(s->turn);
}

static void
store_get(void *store, struct hb_span key, hb_store_got_fn cb, void *ctx)
{
	const struct table *t = store;
	struct ipc_store_get m = { .table = t->number, .key = key };
	struct store_request what = { .got = cb, .ctx = ctx };

	ask(t->store, HB_IPC_STORE_GET, &m, &m.ref, &what);
}

static void
store_put(void *store, struct hb_span key, struct hb_span value, bool lazy,
    hb_store_done_fn cb, void *ctx)
{
	const struct table *t = store;
	struct ipc_store_put m = { .table = t->number, .key = key,
		.value = value, .lazy = lazy };
	struct store_request what = { .done = cb, .ctx = ctx };

	ask(t->store, HB_IPC_STORE_PUT, &m, &m.ref, &what);
}

static void
store_list(void *store, struct hb_span after, size_t count,
    hb_store_row_fn row, hb_store_done_fn done, void *ctx)
{
	const struct table *t = store;
	struct ipc_store_list m = { .table = t->number, .after = after,
		.count = (uint32_t)(count < 1000 ? count : 1000) };
	struct store_request what = { .row = row, .done = done, .ctx = ctx };

	ask(t->store, HB_IPC_STORE_LIST, &m, &m.ref, &what);
}

static bool
store_owns(void *store, struct hb_span domain)
{
	const struct dlv_store *s = ((const struct table *)store)->store;

	return hb_home_worker(domain, s->workers) == s->env->instance;
}

const struct hb_store_ops dlv_store_ops = {
	.get = store_get,
	.put = store_put,
	.list = store_list,
	.owns = store_owns,
};

void
dlv_on_store_value(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_store_value *m)
{
	struct dlv_store *s = w->store;
	struct store_request *q;

	HASH_FIND(hh, s->asked, &m->ref, sizeof(m->ref), q);
	if (q == NULL) /* asked of the queue before this one */
		return;
	if (q->row != NULL) {
		q->row(q->ctx, m->key, m->value);
		return;
	}
	if (q->got == NULL)
		return;
	HASH_DEL(s->asked, q);
	q->got(q->ctx, m->found != 0 ? 0 : HB_E_NOTFOUND, m->value);
	free(q);
}

void
dlv_on_store_done(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_store_done *m)
{
	struct store_request *q = take(w->store, m->ref);

	if (q == NULL)
		return;
	/* a GET that could not be answered ends with DONE too */
	fail(q, m->error == 0 ? 0 : -(int)m->error);
	free(q);
}

/* Callbacks may ask again. */
static void
drop_all(struct store_request **asked, bool tell)
{
	struct store_request *list = *asked, *q, *next;

	*asked = NULL;
	HASH_ITER(hh, list, q, next) {
		HASH_DEL(list, q);
		if (tell)
			fail(q, HB_E_TEMP);
		free(q);
	}
}

void
dlv_store_lost(struct dlv_store *s)
{
	drop_all(&s->asked, true);
}

static void
on_turn(void *ctx)
{
	struct dlv_store *s = ctx;

	drop_all(&s->unsent, true);
}

struct dlv_store *
dlv_store_new(struct hb_role_env *env)
{
	struct dlv_store *s = HB_NEW(struct dlv_store);

	s->env = env;
	for (unsigned i = 0; i < HB_TABLE_COUNT; i++)
		s->tables[i] = (struct table){ s, (enum hb_table)i };
	s->turn = hb_hook_new(env->loop, on_turn, s);
	s->workers = hb_worker_count(env->conf->workers.delivery);
	return s;
}

void *
dlv_store_table(struct dlv_store *s, enum hb_table table)
{
	return &s->tables[table];
}

void
dlv_store_free(struct dlv_store **sp)
{
	struct dlv_store *s = *sp;

	if (s == NULL)
		return;
	drop_all(&s->asked, false);
	drop_all(&s->unsent, false);
	hb_hook_free(&s->turn);
	free(s);
	*sp = NULL;
}
