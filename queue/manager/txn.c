/*
 * Messages from smtpd: collected per channel and transaction, made durable,
 * only then 250.  Floor 4.  RFC 5321 s4.2.5, s6.1.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/table.h"
#include "common/proto/incoming.h"
#include "common/proto/intake.h"
#include "common/proto/wire.h"
#include "queue/spool/io.h"

enum { RCPTS_SLACK = 100000, FUTURE_MS = 60000 };

struct txn_key {
	unsigned instance;
	uint32_t txn;
};

/* What an open transaction takes besides its bytes. */
enum { TXN_COST = 5000 };

enum { HEAD_MAX = HB_MAX_HEADER_BYTES + HB_INCOMING_OURS };

struct q_txn {
	UT_hash_handle hh;
	struct txn_key key;
	struct q *q;
	struct hb_peer *peer; /* NULL: lost */
	struct hb_arena *arena;
	struct hb_env env;
	struct hb_rcpt *rcpts; /* malloc, while they come */
	struct hb_rcpt *kept;  /* in the arena, from the commit on */
	size_t n, cap;
	struct hb_buf body, head;
	struct hb_wire wire, head_wire; /* of them so far */
	size_t charged; /* of q->txn_bytes */
	bool large, committed;
	bool listed; /* in q->txns: not when its channel is gone */
};

static struct q_txn *
find(struct q *q, struct hb_peer *p, uint32_t no)
{
	struct txn_key k = { .instance = hb_peer_instance(p), .txn = no };
	struct q_txn *t;

	HASH_FIND(hh, q->txns, &k, sizeof(k), t);
	return t;
}

static void
drop(struct q_txn *t, struct hb_buf *b)
{
	t->q->txn_bytes -= b->n;
	t->charged -= b->n;
	hb_buf_free(b);
}

/* May N more bytes be kept for mail that is being received? */
static bool
charge(struct q_txn *t, size_t n)
{
	if (t->q->txn_bytes + n > t->q->txn_max)
		return false;
	t->q->txn_bytes += n;
	t->charged += n;
	return true;
}

static void
txn_free(struct q_txn *t)
{
	if (t->listed)
		HASH_DEL(t->q->txns, t);
	drop(t, &t->body);
	drop(t, &t->head);
	t->q->txn_bytes -= t->charged;
	hb_arena_free(&t->arena);
	free(t->rcpts);
	free(t);
}

/* Ends the transaction without keeping anything. */
static void
abandon(struct q_txn *t)
{
	if (t->large)
		q_spool_large_discard(t->q->spool, t->env.id);
	txn_free(t);
}

static void
refuse(struct q_txn *t, int err)
{
	enum hb_reason why = err == HB_E_NOSPACE || err == HB_E_LIMIT
	    ? HB_REASON_NOSPACE
	    : err == HB_E_CORRUPT ? HB_REASON_INTAKE_DAMAGED
				  : HB_REASON_STORE_FAILED;
	struct ipc_txn_result m = { .txn = t->key.txn, .reason = why,
		.code = hb_reason_code(why, HB_RESULT_DEFER),
		.status = hb_span_str(hb_reason_status(why, HB_RESULT_DEFER)),
		.text = hb_span_str(hb_reason_text(why)) };
	struct hb_peer *p = t->peer;

	abandon(t);
	if (p != NULL)
		hb_peer_post(p, HB_IPC_TXN_RESULT, &m, -1);
}

void
q_on_txn_begin(struct q *q, struct hb_peer *p, const struct ipc_txn_begin *m)
{
	struct hb_arena *arena = hb_arena_new();
	struct q_txn *t;
	struct hb_env env;

	if (hb_tlv_decode(&hb_env_record, m->env, &env) < 0 || env.id == 0 ||
	    hb_intake_env(&env, arena) < 0 || find(q, p, m->txn) != NULL) {
		hb_arena_free(&arena);
		hb_peer_violation(p, "malformed begin of a message");
		return;
	}
	t = HB_NEW(struct q_txn);
	t->q = q;
	t->peer = p;
	t->key = (struct txn_key){ hb_peer_instance(p), m->txn };
	t->arena = arena;
	t->env = env;
	t->env.flags &= HB_ENV_SMTPUTF8 | HB_ENV_REQUIRETLS | HB_ENV_LOCAL |
	    HB_ENV_HELD;
	t->env.parent = 0;
	t->body = HB_BUF_INIT(2 * HB_MAX_LARGE_MESSAGE);
	t->head = HB_BUF_INIT(HEAD_MAX);
	hb_wire_init(&t->wire);
	hb_wire_init(&t->head_wire);
	t->listed = true;
	HASH_ADD(hh, q->txns, key, sizeof(t->key), t);
	if (!charge(t, TXN_COST + m->env.n))
		refuse(t, HB_E_LIMIT);
}

/* Frames of a transaction that was refused already may still come. */
static struct q_txn *
open_txn(struct q *q, struct hb_peer *p, uint32_t no)
{
	struct q_txn *t = find(q, p, no);

	return t != NULL && !t->committed ? t : NULL;
}

void
q_on_txn_rcpt(struct q *q, struct hb_peer *p, const struct ipc_txn_rcpt *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);
	struct hb_rcpt r, kept;

	if (t == NULL)
		return;
	if (hb_tlv_decode(&hb_rcpt_record, m->rcpt, &r) < 0 ||
	    t->n == RCPTS_SLACK ||
	    hb_intake_rcpt(&r, t->arena, &kept, &t->env.flags) < 0) {
		hb_peer_violation(p, "malformed recipient");
		return;
	}
	if (!charge(t, 2 * sizeof(r) + m->rcpt.n)) {
		refuse(t, HB_E_LIMIT);
		return;
	}
	if (t->n == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 4;
		t->rcpts = hb_realloc(t->rcpts, t->cap * sizeof(*t->rcpts));
	}
	kept.idx = (uint32_t)t->n;
	t->rcpts[t->n++] = kept;
}

/* smtpd refuses such bytes itself, and says what it sent: one that passes them
 * on, or errs, is broken, or not ours any more.  No other mail of it is harmed
 * by that. */
static void
refuse_damaged(struct q_txn *t, const char *why)
{
	HB_LOG(HB_LOG_ERROR, HB_EV_CORRUPT, hb_kv_id(HB_K_MSG, t->env.id),
	    hb_kv_str(HB_K_PEER, hb_role_name(HB_ROLE_SMTPD)),
	    hb_kv_int(HB_K_INSTANCE, (int64_t)t->key.instance),
	    hb_kv_str(HB_K_ERROR, why));
	refuse(t, HB_E_CORRUPT);
}

/* BYTES, the next of B, whose form WIRE follows. */
static void
take_bytes(struct q_txn *t, struct hb_buf *b, struct hb_wire *wire,
    struct hb_span bytes)
{
	unsigned faults = hb_wire_feed(wire, bytes) & HB_WIRE_FAULTS;

	if (faults != 0)
		refuse_damaged(t, hb_wire_fault(faults));
	else if (!charge(t, bytes.n) || hb_buf_put(b, bytes) < 0)
		refuse(t, HB_E_LIMIT);
}

void
q_on_txn_data(struct q *q, struct hb_peer *p, const struct ipc_txn_data *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);

	if (t == NULL)
		return;
	if (t->large || t->body.n + m->bytes.n > t->body.max) {
		hb_peer_violation(p, "body bytes that belong into the file");
		return;
	}
	take_bytes(t, &t->body, &t->wire, m->bytes);
}

void
q_on_txn_head(struct q *q, struct hb_peer *p, const struct ipc_txn_head *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);

	if (t != NULL)
		take_bytes(t, &t->head, &t->head_wire, m->bytes);
}

void
q_on_txn_large(struct q *q, struct hb_peer *p, const struct ipc_txn_large *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);
	struct ipc_txn_large_fd out = { .txn = m->txn };
	int file = -1, err;

	if (t == NULL || t->large)
		return;
	err = q_spool_large_create(t->q->spool, t->env.id, &file);
	t->large = err == 0;
	if (err == 0)
		err = q_write_all(file, hb_buf_span(&t->body));
	if (err == 0)
		err = hb_peer_send(p, HB_IPC_TXN_LARGE_FD, &out, file);
	if (file >= 0)
		close(file);
	if (err < 0)
		refuse(t, err);
	else
		drop(t, &t->body);
}

/* Nothing of it is kept here: the file lives as long as smtpd has it open. */
void
q_on_txn_keep(struct q *q, struct hb_peer *p, const struct ipc_txn_keep *m)
{
	struct ipc_txn_keep_fd out = { .txn = m->txn };
	int file = -1, err = q_spool_kept_create(q->spool, m->id, &file);

	if (err < 0)
		out.error = err == HB_E_NOSPACE ? ENOSPC : EIO;
	hb_peer_post(p, HB_IPC_TXN_KEEP_FD, &out, file);
	if (file >= 0)
		close(file);
}

static void
on_durable(void *ctx, int err)
{
	struct q_txn *t = ctx;
	struct ipc_txn_result ok = { .txn = t->key.txn, .code = 250,
		.status = HB_SPAN("2.0.0"), .reason = HB_REASON_OK };

	if (err < 0) {
		t->large = false; /* the spool removed it */
		refuse(t, err);
		return;
	}
	if (t->peer != NULL)
		hb_peer_post(t->peer, HB_IPC_TXN_RESULT, &ok, -1);
	q_accept(t->q, t->arena, &t->env, t->kept, t->n);
	t->arena = NULL;
	txn_free(t);
}

/* What is wrong with the whole, or NULL.  The spool looks at a large file. */
static const char *
fault_of(struct q_txn *t, const struct ipc_txn_commit *m)
{
	unsigned seen = hb_wire_end(&t->head_wire);

	if (t->n == 0)
		return "it has no recipient";
	if (!t->large && t->body.n != m->size)
		return "its size is not as announced";
	if (!t->large && hb_crc32c(0, hb_buf_span(&t->body)) != m->crc)
		return "its checksum is not as announced";
	if (!t->large)
		seen |= hb_wire_end(&t->wire);
	return (seen & HB_WIRE_FAULTS) != 0 ? hb_wire_fault(seen) : NULL;
}

static void
complete_env(struct q_txn *t, const struct ipc_txn_commit *m)
{
	struct hb_env *e = &t->env;

	q_env_head(e, hb_buf_span(&t->head), t->arena);
	e->size = t->head.n + m->size;
	e->flags = hb_env_one_tls_flag(e->flags |
	    (m->flags & (HB_ENV_8BIT | HB_ENV_DOTTED | HB_ENV_TLS_OPTIONAL)));
	if (t->large)
		e->flags |= HB_ENV_LARGE;
	if (e->arrived_ms <= 0 || e->arrived_ms > hb_now_ms() + FUTURE_MS)
		e->arrived_ms = hb_now_ms();
	q_stamp_env(t->q, e);
	/* the same recipient twice is one */
	t->n = q_rcpts_unique(t->rcpts, t->n);
	t->kept = hb_arena_alloc(t->arena, t->n * sizeof(*t->rcpts));
	memcpy(t->kept, t->rcpts, t->n * sizeof(*t->rcpts));
}

void
q_on_txn_commit(struct q *q, struct hb_peer *p, const struct ipc_txn_commit *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);
	const char *fault = t != NULL ? fault_of(t, m) : NULL;
	struct q_body body;
	int err;

	if (t == NULL)
		return;
	if (fault != NULL) {
		refuse_damaged(t, fault);
		return;
	}
	complete_env(t, m);
	body = (struct q_body){ .head = hb_buf_span(&t->head),
		.bytes = hb_buf_span(&t->body),
		.large = t->large, .size = m->size, .crc = m->crc };
	t->committed = true;
	err = q_spool_add(t->q->spool, &t->env, t->kept, t->n, &body,
	    on_durable, t);
	drop(t, &t->body);
	drop(t, &t->head);
	if (err < 0)
		refuse(t, err);
}

void
q_on_txn_abort(struct q *q, struct hb_peer *p, const struct ipc_txn_abort *m)
{
	struct q_txn *t = open_txn(q, p, m->txn);

	if (t != NULL)
		abandon(t);
}

void
q_txns_lost(struct q *q, struct hb_peer *p)
{
	struct q_txn *t, *tmp;

	HASH_ITER(hh, q->txns, t, tmp) {
		if (t->peer != p)
			continue;
		if (!t->committed) {
			abandon(t);
			continue;
		}
		t->peer = NULL;
		t->listed = false;
		HASH_DEL(q->txns, t);
	}
}

void
q_txns_free(struct q *q)
{
	struct q_txn *t, *tmp;

	HASH_ITER(hh, q->txns, t, tmp)
		txn_free(t);
}
