/* Durable values for delivery: STORE_* over queue/spool/store.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/base/err.h"

enum { VALUE_MAX = 100000 };

static void
send_done(struct hb_peer *p, uint32_t ref, int err)
{
	struct ipc_store_done m = { .ref = ref, .error = (uint32_t)-err };

	hb_peer_post(p, HB_IPC_STORE_DONE, &m, -1);
}

/* A worker that asks for more than it reads is not heard until it has. */
static void
hold_back(struct hb_peer *p)
{
	if (hb_peer_pending(p) >= Q_PEER_BYTES)
		hb_peer_pause(p, true);
}

void
q_on_store_get(struct q *q, struct hb_peer *p, const struct ipc_store_get *m)
{
	struct ipc_store_value out = { .ref = m->ref, .key = m->key };
	struct hb_buf value = HB_BUF_INIT(VALUE_MAX);
	int err = q->store == NULL ? HB_E_IO : q_store_get(q->store,
	    (enum hb_table)m->table, m->key, &value);

	if (err < 0 && err != HB_E_NOTFOUND) {
		send_done(p, m->ref, err);
	} else {
		out.found = err == 0;
		out.value = hb_buf_span(&value);
		hb_peer_post(p, HB_IPC_STORE_VALUE, &out, -1);
		hold_back(p);
	}
	hb_buf_free(&value);
}

/* Whom to tell that a value is durable.  The worker may be another by then,
 * whose question of that number is another one. */
struct put {
	struct q *q;
	unsigned instance;
	uint64_t channel;
	uint32_t ref;
};

static void
on_put(void *ctx, int err)
{
	struct put *put = ctx;
	struct hb_peer *p = put->q->delivery[put->instance].peer;

	if (hb_peer_is(p, put->channel))
		send_done(p, put->ref, err);
	free(put);
}

void
q_on_store_put(struct q *q, struct hb_peer *p, const struct ipc_store_put *m)
{
	struct put *put;

	if (q->store == NULL || hb_peer_instance(p) >= q->workers) {
		send_done(p, m->ref, HB_E_IO);
		return;
	}
	put = HB_NEW(struct put);
	*put = (struct put){ q, hb_peer_instance(p), hb_peer_number(p),
		m->ref };
	q_store_put(q->store, (enum hb_table)m->table, m->key, m->value,
	    m->lazy != 0, on_put, put);
}

struct list {
	struct hb_peer *peer;
	uint32_t ref;
};

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct list *l = ctx;
	struct ipc_store_value m = { .ref = l->ref, .found = 1, .key = key,
		.value = value };

	hb_peer_post(l->peer, HB_IPC_STORE_VALUE, &m, -1);
}

void
q_on_store_list(struct q *q, struct hb_peer *p, const struct ipc_store_list *m)
{
	struct list l = { p, m->ref };
	int n = q->store == NULL ? HB_E_IO : q_store_list(q->store,
	    (enum hb_table)m->table, m->after, m->count, on_row, &l);

	send_done(p, m->ref, n < 0 ? n : 0);
	hold_back(p);
}
