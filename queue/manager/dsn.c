/*
 * DSNs: sent when a recipient failed permanently, waits for long, or has the
 * message and that is to be told (RFC 3461).  Floor 4.
 * A DSN is durable before its cause is marked as reported: a crash between the
 * two makes a second DSN, never none.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>
#include <unistd.h>

#include "queue/manager/dsn_text.h"

enum { AGAIN_MS = 10000 };

/* A DSN being made. */
struct dsn {
	struct q *q;
	struct hb_arena *arena; /* owns this, and the DSN's envelope */
	enum q_dsn_kind kind;
	uint64_t id; /* of the message it is about */
	struct hb_span to;
	bool of_list; /* TO is the owner of a list */
	uint32_t *idx; /* its recipients, but of DELAYED */
	size_t n;
	size_t bytes; /* of its recipients */
	struct q_dsn_rcpt *rcpts;
	struct hb_env env;
	struct hb_rcpt rcpt;
	struct hb_buf head, body;
};

static void
dsn_free(struct dsn *n)
{
	struct hb_arena *a = n->arena;

	hb_buf_free(&n->head);
	hb_buf_free(&n->body);
	hb_arena_free(&a);
}

static struct dsn *
dsn_new(struct q *q, struct sched_msg *m, enum q_dsn_kind kind, size_t most)
{
	struct hb_arena *a = hb_arena_new();
	struct dsn *n = hb_arena_alloc(a, sizeof(*n));

	n->q = q;
	n->arena = a;
	n->kind = kind;
	n->id = m->id;
	n->idx = hb_arena_alloc(a, most * sizeof(*n->idx));
	n->rcpts = hb_arena_alloc(a, most * sizeof(*n->rcpts));
	n->head = n->body = HB_BUF_INIT(0);
	return n;
}

/* Recipients whose DSN could not be kept are told of later. */
static void
put_back(struct dsn *n)
{
	struct sched_msg *m = q_sched_find(n->q->sched, n->id);

	if (m != NULL && n->kind == Q_DSN_DELAYED)
		q_sched_warn_again(n->q->sched, m, q_now(n->q) + AGAIN_MS);
	for (size_t i = 0; i < n->n && m != NULL; i++) {
		struct sched_rcpt *r = q_sched_find_rcpt(m, n->idx[i]);

		if (r != NULL && r->state == Q_DSN)
			q_sched_dsn_again(n->q->sched, r,
			    q_now(n->q) + AGAIN_MS);
	}
	q_kick(n->q);
}

/* What is recorded of the place of a recipient that was delivered. */
static struct hb_span
place(struct dsn *n, struct sched_msg *m, uint32_t idx)
{
	struct q_envelope *h =
	    n->kind == Q_DSN_SUCCESS ? q_envelope_get(n->q, m) : NULL;
	const struct hb_rcpt *rcpt = h != NULL ? q_envelope_rcpt(h, idx) : NULL;

	return rcpt != NULL ? q_delivered_place(m, rcpt) : HB_SPAN_NONE;
}

static void
mark_told(struct dsn *n, struct sched_msg *m)
{
	struct q_change *c = hb_calloc(n->n + 1, sizeof(*c));
	struct hb_outcome *o = hb_calloc(n->n + 1, sizeof(*o));
	size_t k = 0;

	for (size_t i = 0; i < n->n; i++) {
		struct sched_rcpt *r = q_sched_find_rcpt(m, n->idx[i]);

		if (r == NULL || r->state != Q_DSN)
			continue;
		o[k] = n->rcpts[i].outcome;
		c[k] = (struct q_change){ .kind = Q_CHANGE_DONE,
			.idx = r->idx, .outcome = &o[k],
			.route = place(n, m, r->idx) };
		k++;
		q_sched_done(n->q->sched, r);
	}
	if (k > 0)
		q_record(n->q, n->id, c, k, NULL, NULL);
	free(c);
	free(o);
	q_finish_if_empty(n->q, m);
}

static const struct {
	enum hb_event event;
	enum hb_stat stat;
} kinds[] = {
	[Q_DSN_FAILED] = { HB_EV_BOUNCE, HB_STAT_NOTICE_FAILURE },
	[Q_DSN_DELAYED] = { HB_EV_DELAY, HB_STAT_NOTICE_DELAY },
	[Q_DSN_SUCCESS] = { HB_EV_RECEIPT, HB_STAT_NOTICE_SUCCESS },
};

static void
on_durable(void *ctx, int err)
{
	struct dsn *n = ctx;
	struct q_change warned = { .kind = Q_CHANGE_WARNED };
	struct sched_msg *m = q_sched_find(n->q->sched, n->id);
	struct hb_arena *a;
	struct hb_rcpt *rcpt;

	if (err < 0) {
		put_back(n);
		dsn_free(n);
		return;
	}
	if (m != NULL && n->kind != Q_DSN_DELAYED)
		mark_told(n, m);
	else if (m != NULL)
		q_record(n->q, n->id, &warned, 1, NULL, NULL);
	HB_LOG(HB_LOG_INFO, kinds[n->kind].event,
	    hb_kv_id(HB_K_MSG, n->id), hb_kv_id(HB_K_NOTICE, n->env.id),
	    hb_kv_span(HB_K_TO, n->to),
	    hb_kv_span(HB_K_MESSAGE_ID, n->env.message_id),
	    hb_kv_int(HB_K_NRCPT, (int64_t)n->n));
	q_trace_add(n->q, n->id, "notice", 0, HB_SPAN_NONE, NULL);
	hb_stat(kinds[n->kind].stat);
	/* The DSN is a message like any other. */
	a = hb_arena_new();
	rcpt = hb_arena_alloc(a, sizeof(*rcpt));
	hb_record_copy(a, &hb_rcpt_record, &n->rcpt, rcpt);
	n->env.message_id = hb_arena_span(a, n->env.message_id);
	q_accept(n->q, a, &n->env, rcpt, 1);
	dsn_free(n);
}

static void
keep(struct dsn *n)
{
	struct q_body body = { .head = hb_buf_span(&n->head),
		.bytes = hb_buf_span(&n->body) };
	int err;

	q_env_head(&n->env, body.head, n->arena);
	n->env.size = n->head.n + n->body.n;
	n->rcpt = (struct hb_rcpt){ .address = n->to,
		.notify = HB_NOTIFY_NEVER };
	err = q_spool_add(n->q->spool, &n->env, &n->rcpt, 1, &body, on_durable,
	    n);
	if (err == 0)
		return;
	put_back(n);
	dsn_free(n);
}

/* DSN-07, RFC 3461 s4.3: headers alone when asked for, when nothing failed,
 * or when the message is long.  RFC 8689 s5: and whatever was asked for of
 * one that demands TLS. */
static bool
returns_whole(const struct dsn *n, const struct sched_msg *m,
    const struct hb_env *env, const struct q_content *c)
{
	return n->kind == Q_DSN_FAILED &&
	    (n->of_list || env->ret != HB_RET_HDRS) &&
	    (env->flags & HB_ENV_REQUIRETLS) == 0 &&
	    c->head.n + c->body.n == m->size && m->size <= Q_DSN_FULL;
}

static void
write_dsn(struct dsn *n, struct sched_msg *m, const struct hb_env *about,
    const struct q_content *c)
{
	struct q_dsn d = {
		.kind = n->kind,
		.hostname = hb_span_str(n->q->env->conf->hostname),
		.id = q_new_id(n->q, Q_DSN_INSTANCE),
		.parent = n->id,
		.to = n->to,
		.envid = n->of_list ? HB_SPAN_NONE : about->envid,
		.now_ms = hb_now_ms(),
		.arrived_ms = about->arrived_ms,
		.retry_until_ms = q_date(n->q,
		    q_sched_expires(n->q->sched, m)),
		.rcpts = n->rcpts,
		.n = n->n,
		.head = c->head,
		.body = c->body,
		.whole = returns_whole(n, m, about, c),
		.utf8 = (about->flags & HB_ENV_SMTPUTF8) != 0,
	};
	uint32_t flags;

	hb_random(&d.nonce, sizeof(d.nonce));
	flags = q_dsn_write(&d, &n->head, &n->body);
	n->env = (struct hb_env){ .id = d.id, .arrived_ms = d.now_ms,
		.flags = flags | HB_ENV_DSN |
		    (about->flags & HB_ENV_REQUIRETLS),
		.body = HB_BODY_7BIT,
		.parent = n->id };
	q_stamp_env(n->q, &n->env);
}

static void
on_content(void *ctx, int err, const struct q_content *c)
{
	struct dsn *n = ctx;
	struct sched_msg *m = q_sched_find(n->q->sched, n->id);
	struct q_envelope *h = m != NULL ? q_envelope_get(n->q, m) : NULL;

	(void)err; /* nothing of it is returned then */
	if (c->fd >= 0)
		close(c->fd);
	if (h == NULL) {
		put_back(n);
		dsn_free(n);
		return;
	}
	write_dsn(n, m, &h->env, c);
	keep(n);
}

static void
start(struct dsn *n)
{
	q_spool_content(n->q->spool, n->id, on_content, n);
}

static void
add_rcpt(struct dsn *n, const struct sched_rcpt *r, const struct hb_rcpt *rcpt)
{
	struct q_dsn_rcpt *d = &n->rcpts[n->n];
	struct hb_outcome o;

	q_last_outcome(q_rcpt_last(r), &o);
	d->address = hb_arena_span(n->arena, rcpt->address);
	d->original = hb_arena_span(n->arena, rcpt->original);
	d->orcpt = hb_arena_span(n->arena, rcpt->orcpt);
	hb_record_copy(n->arena, &hb_outcome_record, &o, &d->outcome);
	if (d->outcome.at_ms == 0)
		d->outcome.at_ms = hb_now_ms();
	n->bytes += q_dsn_rcpt_bytes(d);
	n->idx[n->n++] = r->idx;
}

static struct hb_span
return_path(const struct q_envelope *h, const struct hb_rcpt *rcpt)
{
	return rcpt->owner.n > 0 ? rcpt->owner : h->env.sender;
}

static bool
is_full(const struct dsn *n)
{
	return n->bytes >= Q_DSN_RCPT_BYTES;
}

static enum q_dsn_kind
kind_of(const struct sched_rcpt *r)
{
	struct hb_outcome o;

	q_last_outcome(q_rcpt_last(r), &o);
	return o.result == HB_RESULT_OK ? Q_DSN_SUCCESS : Q_DSN_FAILED;
}

/* Is it about R too?  The first decides of what kind it is, and for whom. */
static bool
takes(struct dsn *n, const struct q_envelope *h, const struct sched_rcpt *r,
    const struct hb_rcpt *rcpt)
{
	if (n->n == 0) {
		n->kind = kind_of(r);
		n->to = hb_arena_span(n->arena, return_path(h, rcpt));
		n->of_list = rcpt->owner.n > 0;
	}
	return !is_full(n) && kind_of(r) == n->kind &&
	    n->of_list == (rcpt->owner.n > 0) &&
	    hb_span_eq(n->to, return_path(h, rcpt));
}

/* One DSN goes to one return path and holds so much; others have their turn
 * after it. */
void
q_dsn_ended(struct q *q, struct sched_msg *m)
{
	size_t most = m->failed < Q_DSN_RCPTS ? m->failed : Q_DSN_RCPTS;
	struct dsn *n = dsn_new(q, m, Q_DSN_FAILED, most);
	struct sched_rcpt **v = hb_calloc(most, sizeof(struct sched_rcpt *));
	size_t found = q_sched_take_failed(q->sched, m, v, most);
	struct q_envelope *h = q_envelope_get(q, m);

	for (size_t i = 0; i < found; i++) {
		struct hb_rcpt *rcpt =
		    h != NULL ? q_envelope_rcpt(h, v[i]->idx) : NULL;

		if (rcpt != NULL && takes(n, h, v[i], rcpt))
			add_rcpt(n, v[i], rcpt);
		else
			q_sched_dsn_again(q->sched, v[i], q_now(q) +
			    (rcpt != NULL ? 0 : AGAIN_MS));
	}
	free(v);
	if (n->n > 0)
		start(n);
	else
		dsn_free(n);
}

/* RFC 3461 s5.2.5: only to who asked for it, or asked for nothing. */
static bool
wants_warning(const struct hb_rcpt *rcpt)
{
	return rcpt->notify == 0 || (rcpt->notify & HB_NOTIFY_DELAY) != 0;
}

void
q_dsn_delayed(struct q *q, struct sched_msg *m)
{
	size_t most = m->live < Q_DSN_RCPTS ? m->live : Q_DSN_RCPTS;
	struct q_envelope *h = q_envelope_get(q, m);
	struct sched_rcpt *r;
	struct dsn *n;

	if (h == NULL || h->env.sender.n == 0)
		return;
	n = dsn_new(q, m, Q_DSN_DELAYED, most);
	n->to = hb_arena_span(n->arena, h->env.sender);
	TAILQ_FOREACH(r, &m->rcpts, of_msg) {
		struct hb_rcpt *rcpt;

		if (n->n == most || is_full(n))
			break;
		rcpt = q_envelope_rcpt(h, r->idx);
		if (rcpt != NULL && rcpt->owner.n == 0 && wants_warning(rcpt) &&
		    r->state != Q_FAILED && r->state != Q_DSN)
			add_rcpt(n, r, rcpt);
	}
	if (n->n > 0)
		start(n);
	else
		dsn_free(n);
}
