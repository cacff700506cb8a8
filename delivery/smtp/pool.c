/*
 * Connections to other servers, with one client machine each, and their next
 * users.  Floor 3.
 */
#include "config.h"

#include "delivery/smtp/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/memo.h"
#include "common/proto/wire.h"
#include "delivery/smtp/encoder.h"

enum {
	MAX_IDLE = 64,
	IDLE_MS = 5000,
	CLOSE_MS = 5000,
	MAX_INPUT = 65536,
	MAX_DOWN = 4096,
	CHUNKS_MS = 3600000
};

/* What is remembered of a host for a while: that it could not be connected
 * to, and why; or that BDAT failed there. */
struct down {
	struct hb_memo_entry memo;
	struct hb_netaddr addr;
	enum hb_reason why;
	int64_t until_ms; /* by hb_age_ms */
};

enum link_state {
	L_CONNECTING,
	L_WAITING, /* until a connection that leaves is gone */
	L_TAKEN, /* was idle: its owner is to be told that it is ready */
	L_BUSY,
	L_IDLE,
	L_LEAVING, /* no owner: QUIT is on its way */
	L_CLOSING, /* no client any more: the last bytes are */
	L_GONE	   /* closed: freed at the end of the turn */
};

struct dlv_connection {
	LIST_ENTRY(dlv_connection) link;
	struct dlv_pool *pool;
	enum link_state state;
	struct hb_conn *conn;
	struct dlv_client *client;
	struct hb_timer *timer;
	struct hb_hook *turn;
	unsigned messages;
	bool reused;	 /* this owner took it from the pool */
	bool outdated;	 /* there was a reload since it was opened */
	bool woken;	 /* WAITING no more */
	bool lost; /* the connection is gone */
	uint32_t ref; /* of the question for an endpoint; 0: none */
	bool body_due;	 /* the body is not all out */
	size_t unsent;	 /* of it, at the last look */
	struct dlv_body body;
	struct dlv_encoder *encoder; /* NULL: the body goes as it is */

	dlv_report_fn report; /* NULL: no owner */
	void *ctx;

	struct dlv_target target; /* its strings are in the arena */
	struct hb_arena *arena;
};

struct dlv_pool {
	struct dlv_pool_env env;
	LIST_HEAD(, dlv_connection) links;
	size_t nlinks, nidle;
	uint32_t last_ref;
	struct hb_memo down, no_chunks;
};

/* --- hosts that are down --- */

static struct down *
find_down(struct hb_memo *m, const struct hb_netaddr *addr)
{
	return (struct down *)hb_memo_find(m, hb_span(addr, sizeof(*addr)));
}

static void
free_down(struct hb_memo_entry *e)
{
	free(e);
}

enum hb_reason
dlv_pool_why_down(struct dlv_pool *p, const struct hb_netaddr *addr)
{
	const struct down *d = find_down(&p->down, addr);

	return d != NULL && d->until_ms > hb_age_ms() ? d->why
						      : HB_REASON_NONE;
}

static void
remember(struct hb_memo *m, const struct hb_netaddr *addr,
    enum hb_reason why, int64_t ms)
{
	struct down *d = find_down(m, addr);

	if (ms == 0 || addr->family == 0)
		return;
	if (d == NULL) {
		d = HB_NEW(struct down);
		d->addr = *addr;
		hb_memo_add(m, &d->memo, hb_span(&d->addr, sizeof(d->addr)),
		    0);
	}
	d->why = why;
	d->until_ms = hb_age_ms() + ms;
}

static bool
has_no_chunks(struct dlv_pool *p, const struct hb_netaddr *addr)
{
	const struct down *d = find_down(&p->no_chunks, addr);

	return d != NULL && d->until_ms > hb_age_ms();
}

/* --- links --- */

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
same_place(const struct dlv_target *a, const struct dlv_target *b)
{
	return a->addr.family == b->addr.family &&
	    hb_netaddr_eq(&a->addr, &b->addr) &&
	    hb_span_eq(a->path, b->path) &&
	    same_text(a->policy_domain, b->policy_domain);
}

/* Queue counts jobs.  A connection whose job is over may still be on its way
 * out, and counts for the server until it is gone. */
static bool
is_full(const struct dlv_pool *p, const struct dlv_target *t)
{
	size_t n = 0;
	bool leaving = false;
	const struct dlv_connection *l;

	LIST_FOREACH(l, &p->links, link) {
		if (!same_place(&l->target, t) || l->state == L_GONE ||
		    (l->state == L_WAITING && !l->woken))
			continue;
		n++;
		leaving |= l->state == L_LEAVING || l->state == L_CLOSING;
	}
	return leaving && n >= p->env.conf->max_connections_per_destination;
}

/* The one that waits longest for a connection to where GONE went. */
static void
wake_next(struct dlv_pool *p, const struct dlv_target *gone)
{
	struct dlv_connection *l, *first = NULL;

	LIST_FOREACH(l, &p->links, link)
		if (l->state == L_WAITING && !l->woken &&
		    same_place(&l->target, gone))
			first = l;
	if (first == NULL)
		return;
	first->woken = true;
	hb_timer_set(first->timer, 0);
}

static void
set_state(struct dlv_connection *l, enum link_state state)
{
	if (l->state == L_IDLE)
		l->pool->nidle--;
	if (state == L_IDLE)
		l->pool->nidle++;
	l->state = state;
}

static void
free_link(struct dlv_connection *l)
{
	LIST_REMOVE(l, link);
	l->pool->nlinks--;
	hb_conn_free(&l->conn);
	dlv_client_free(&l->client);
	dlv_encoder_free(&l->encoder);
	hb_timer_free(&l->timer);
	hb_hook_free(&l->turn);
	hb_arena_free(&l->arena);
	free(l);
}

/* The socket is closed now, for a body's file is its owner's; what was
 * reported lives on until the end of the turn. */
static void
close_link(struct dlv_connection *l)
{
	if (l->state == L_GONE)
		return;
	set_state(l, L_GONE);
	l->report = NULL;
	hb_timer_clear(l->timer);
	hb_conn_free(&l->conn);
	wake_next(l->pool, &l->target);
	hb_hook_arm(l->turn);
}

static void
tell(struct dlv_connection *l, const struct dlv_connection_report *r)
{
	if (l->report != NULL)
		l->report(l->ctx, r);
}

static void
tell_client(struct dlv_connection *l, enum dlv_connection_event event)
{
	struct dlv_connection_report r = { .event = event,
		.facts = dlv_client_facts(l->client),
		.failure = dlv_client_failure(l->client),
		.reused = l->reused,
		.in_doubt = dlv_client_in_doubt(l->client),
		.spent = dlv_client_is_spent(l->client),
		.again = dlv_client_is_counted(l->client) &&
		    dlv_client_chunks_failed(l->client),
		.dsn = dlv_client_has_dsn(l->client) };

	if (event == DLV_LINK_DONE)
		r.mail = dlv_client_mail_refusal(l->client);
	if (dlv_client_chunks_failed(l->client))
		remember(&l->pool->no_chunks, &l->target.addr,
		    HB_REASON_REMOTE_REPLY, CHUNKS_MS);
	tell(l, &r);
}

static void
start_tls(struct dlv_connection *l)
{
	struct hb_tls_facts f = { .state = HB_TLSF_FAILED };
	struct hb_tls_want want = { .name = l->target.reference,
		.dane = l->target.dane };
	int err = hb_conn_tls_client(l->conn, l->pool->env.tls, &want);

	if (err == 0)
		return;
	if (err == HB_E_STATE)
		f.state = HB_TLSF_INJECTED;
	dlv_client_tls_done(l->client, &f);
}

/* The next piece of a body that is made 7-bit; the final dot behind the last.
 * The rest of one that cannot be made is not sent. */
static void
send_encoded(struct dlv_connection *l)
{
	struct hb_buf out = HB_BUF_INIT(0);
	int r = dlv_encoder_next(l->encoder, &l->body, &out);

	l->body_due = true;
	l->unsent = SIZE_MAX; /* it moves */
	if (r == HB_E_UNSUPPORTED)
		dlv_client_unfit(l->client);
	else if (r < 0)
		dlv_client_damaged(l->client);
	else
		hb_conn_write(l->conn, hb_buf_span(&out));
	hb_buf_free(&out);
}

/* The last line of a small body may have no end. */
static bool
is_unended(const struct dlv_body *b)
{
	struct hb_span tail = hb_span_from(b->bytes,
	    b->bytes.n >= 2 ? b->bytes.n - 2 : 0);

	return b->fd < 0 && b->bytes.n > 0 &&
	    !hb_span_eq(tail, HB_SPAN("\r\n"));
}

/* Body and final dot in one write: RFC 5321 s4.1.1.4, and no 40 ms of a
 * delayed acknowledgement. */
static void
send_body(struct dlv_connection *l)
{
	const struct dlv_body *b = &l->body;
	bool counted = dlv_client_is_counted(l->client);

	if (l->encoder != NULL) {
		send_encoded(l);
		return;
	}
	hb_conn_write(l->conn, hb_span_from(b->bytes, counted ? 1 : 0));
	if (b->fd >= 0)
		hb_conn_write_body(l->conn, b->fd, 0, b->len);
	else if (is_unended(b))
		hb_conn_write(l->conn, HB_SPAN("\r\n"));
	if (!counted)
		hb_conn_write(l->conn, HB_SPAN(".\r\n"));
	l->body_due = true;
	l->unsent = hb_conn_pending(l->conn);
}

/* Lets the last bytes (QUIT, close_notify) out before the end; but not the
 * rest of a body: its file is closed with the message, and whoever answered
 * before it was out is not to get it whole. */
static void
on_closed(struct dlv_connection *l)
{
	set_state(l, L_LEAVING);
	tell_client(l, DLV_LINK_CLOSED);
	l->report = NULL;
	if (l->lost || l->body_due) {
		close_link(l);
		return;
	}
	l->state = L_CLOSING;
	hb_timer_set(l->timer, CLOSE_MS);
	hb_conn_shutdown(l->conn);
}

static void
perform(struct dlv_connection *l, const struct dlv_act *act)
{
	switch (act->kind) {
	case DLV_ACT_SEND:
		hb_conn_write(l->conn, act->bytes);
		break;
	case DLV_ACT_TIMER:
		if (act->ms > 0)
			hb_timer_set(l->timer, act->ms);
		else
			hb_timer_clear(l->timer);
		break;
	case DLV_ACT_TLS:
		start_tls(l);
		break;
	case DLV_ACT_READY:
		tell_client(l, DLV_LINK_READY);
		break;
	case DLV_ACT_BODY:
		send_body(l);
		break;
	case DLV_ACT_DONE:
		l->messages++;
		tell_client(l, DLV_LINK_DONE);
		break;
	case DLV_ACT_CLOSED:
		on_closed(l);
		break;
	case DLV_ACT_NONE:
		break;
	}
}

/* Performs what the client wants.  From inside of a report it is not called:
 * what that leaves to do is done when it returns, by the loop here. */
static void
drive(struct dlv_connection *l)
{
	while (l->state != L_GONE) {
		struct dlv_act act = dlv_client_next(l->client);

		if (act.kind == DLV_ACT_NONE)
			break;
		perform(l, &act);
	}
}

static void
on_turn(void *ctx)
{
	struct dlv_connection *l = ctx;

	if (l->state == L_GONE) {
		free_link(l);
		return;
	}
	if (l->state == L_TAKEN) {
		set_state(l, L_BUSY);
		tell_client(l, DLV_LINK_READY);
	}
	drive(l);
}

/* --- events of the connection --- */

static void
no_connect_with(
    struct dlv_connection *l, enum hb_reason reason, struct hb_span text)
{
	struct hb_outcome why = dlv_own_outcome(HB_RESULT_DEFER, reason);
	struct dlv_connection_report r = { .event = DLV_LINK_NO_CONNECT,
		.failure = &why };

	why.text = text;
	remember(&l->pool->down, &l->target.addr, reason,
	    l->pool->env.conf->host_memory);
	tell(l, &r);
	close_link(l);
}

static void
on_connected(void *ctx)
{
	struct dlv_connection *l = ctx;
	struct down *d = find_down(&l->pool->down, &l->target.addr);

	if (d != NULL)
		hb_memo_drop(&l->pool->down, &d->memo);
	set_state(l, L_BUSY);
	dlv_client_connected(l->client);
	drive(l);
}

static void
on_input(void *ctx)
{
	struct dlv_connection *l = ctx;

	hb_conn_consume(l->conn,
	    dlv_client_input(l->client, hb_conn_input(l->conn)));
	drive(l);
}

/* The first name of the target that the certificate is for, or NULL. */
static const char *
name_found(const struct dlv_connection *l)
{
	const struct hb_strs *names = l->target.names;

	if (l->target.reference == NULL)
		return NULL;
	if (hb_conn_tls_named(l->conn, l->target.mx))
		return l->target.mx;
	for (size_t i = 0; names != NULL && i < names->n; i++)
		if (hb_conn_tls_named(l->conn, names->v[i]))
			return names->v[i];
	return NULL;
}

static void
on_tls(void *ctx, const struct hb_tls_facts *facts)
{
	struct dlv_connection *l = ctx;
	struct hb_tls_facts f = *facts;
	const char *name = facts->state == HB_TLSF_DONE && !facts->name_ok &&
		l->target.dane == NULL
	    ? name_found(l) : NULL;

	if (name != NULL)
		f.name_ok = hb_span_copy(hb_span_str(name), f.reference,
				sizeof(f.reference)) == 0;
	dlv_client_tls_done(l->client, &f);
	drive(l);
}

/* All is written. */
static void
on_drain(void *ctx)
{
	struct dlv_connection *l = ctx;

	if (!l->body_due)
		return;
	if (l->encoder != NULL && !dlv_encoder_is_done(l->encoder)) {
		send_encoded(l);
	} else {
		l->body_due = false;
		dlv_encoder_free(&l->encoder);
		dlv_client_body_sent(l->client);
	}
	drive(l);
}

static void
no_connect(struct dlv_connection *l, enum hb_reason reason)
{
	no_connect_with(l, reason, hb_span_str(hb_reason_text(reason)));
}

static enum hb_reason
connect_reason(int syserr)
{
	if (syserr == ECONNREFUSED)
		return HB_REASON_CONNECT_REFUSED;
	if (syserr == ETIMEDOUT)
		return HB_REASON_CONNECT_TIMEOUT;
	return HB_REASON_CONNECT_FAILED;
}

static void
on_close(void *ctx, int err, int syserr)
{
	struct dlv_connection *l = ctx;

	l->lost = true;
	if (l->state == L_CONNECTING) {
		no_connect(l, connect_reason(syserr));
		return;
	}
	if (l->state == L_CLOSING) {
		close_link(l);
		return;
	}
	if (err == HB_E_CORRUPT)
		dlv_client_damaged(l->client);
	else
		dlv_client_lost(l->client, hb_conn_tls_error(l->conn));
	drive(l);
}

static const struct hb_conn_ops conn_ops = {
	.on_connected = on_connected,
	.on_input = on_input,
	.on_tls = on_tls,
	.on_drain = on_drain,
	.on_close = on_close,
};

static const struct hb_netaddr *
source_for(const struct dlv_pool *p, const struct hb_netaddr *to)
{
	const struct hb_addrs *s = &p->env.conf->source_address;

	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].family == to->family)
			return &s->v[i];
	return NULL;
}

static void
connect_link(struct dlv_connection *l)
{
	struct dlv_pool *p = l->pool;
	const struct hb_netaddr *to = &l->target.addr;

	set_state(l, L_CONNECTING);
	hb_timer_set(l->timer, p->env.conf->connect_timeout);
	if (to->family == 0)
		p->env.ask_endpoint(p->env.ctx, l->ref = ++p->last_ref,
		    l->target.path);
	else
		l->conn = hb_conn_connect(p->env.loop, to, source_for(p, to),
		    MAX_INPUT, &conn_ops, l);
}

/* While a body goes out, time counts from its last progress. */
static bool
is_progressing(struct dlv_connection *l)
{
	size_t left = hb_conn_pending(l->conn);
	bool moved = l->body_due && left < l->unsent;

	l->unsent = left;
	return moved;
}

static void
on_timer(void *ctx)
{
	struct dlv_connection *l = ctx;

	if (l->state == L_WAITING) {
		connect_link(l);
	} else if (l->state == L_CONNECTING) {
		no_connect(l, HB_REASON_CONNECT_TIMEOUT);
	} else if (l->state == L_CLOSING) {
		close_link(l);
	} else if (l->state == L_IDLE) {
		set_state(l, L_LEAVING);
		dlv_client_quit(l->client);
		drive(l);
	} else if (is_progressing(l)) {
		hb_timer_set(l->timer, l->pool->env.conf->reply_timeout);
	} else {
		dlv_client_timeout(l->client);
		drive(l);
	}
}

/* --- opening --- */

static const char *
keep_text(struct dlv_connection *l, const char *s)
{
	return s == NULL ? NULL : hb_arena_cstr(l->arena, hb_span_str(s));
}

static struct dlv_connection *
new_link(struct dlv_pool *p, const struct dlv_target *t)
{
	struct dlv_connection *l = HB_NEW(struct dlv_connection);
	struct dlv_client_conf cc = { .helo = p->env.conf->hostname,
		.lmtp = t->lmtp, .tls = t->tls, .demanded = t->demanded,
		.may_loop = t->may_loop,
		.no_chunks = t->no_chunks || has_no_chunks(p, &t->addr),
		.reply_ms = p->env.conf->reply_timeout };

	l->pool = p;
	l->arena = hb_arena_new();
	l->body.fd = -1;
	l->target = *t;
	l->target.path = hb_arena_span(l->arena, t->path);
	l->target.policy_domain = keep_text(l, t->policy_domain);
	l->target.mx = keep_text(l, t->mx);
	l->target.reference = keep_text(l, t->reference);
	if (t->names != NULL)
		l->target.names = hb_strs_keep(t->names, l->arena);
	l->target.facts = NULL; /* the client has them */
	if (t->dane != NULL)
		l->target.dane = hb_dane_keep(t->dane, l->arena);
	cc.helo = keep_text(l, cc.helo); /* outlives a reload */
	l->client = dlv_client_new(&cc);
	if (t->facts != NULL)
		dlv_client_set_facts(l->client, t->facts);
	l->timer = hb_timer_new(p->env.loop, on_timer, l);
	l->turn = hb_hook_new(p->env.loop, on_turn, l);
	LIST_INSERT_HEAD(&p->links, l, link);
	p->nlinks++;
	return l;
}

static uint64_t
dane_digest(const struct dlv_target *t)
{
	return t->dane != NULL ? t->dane->digest : 0;
}

static bool
same_target(const struct dlv_target *a, const struct dlv_target *b)
{
	return a->tls == b->tls && a->demanded == b->demanded &&
	    a->require_tls == b->require_tls && a->lmtp == b->lmtp &&
	    dane_digest(a) == dane_digest(b) && same_place(a, b) &&
	    same_text(a->mx, b->mx) && same_text(a->reference, b->reference);
}

static struct dlv_connection *
find_idle(struct dlv_pool *p, const struct dlv_target *t)
{
	struct dlv_connection *l;

	if (t->fresh || t->facts != NULL || p->nidle == 0)
		return NULL;
	LIST_FOREACH(l, &p->links, link)
		if (l->state == L_IDLE && same_target(&l->target, t) &&
		    hb_conn_is_quiet(l->conn))
			return l;
	return NULL;
}

void
dlv_pool_endpoint(struct dlv_pool *p, uint32_t ref, int fd, int syserr)
{
	struct dlv_connection *l;

	LIST_FOREACH(l, &p->links, link)
		if (l->ref == ref && l->state == L_CONNECTING)
			break;
	if (l == NULL) { /* given up meanwhile */
		if (fd >= 0)
			close(fd);
		return;
	}
	if (fd < 0) {
		/* Behind a socket of this host is the operator's own
		 * program. */
		struct hb_buf text = HB_BUF_INIT(0);

		hb_buf_addf(&text, "%s: %.*s: %s",
		    hb_reason_text(HB_REASON_BACKEND),
		    HB_SPAN_ARG(l->target.path), strerror(syserr));
		no_connect_with(l, HB_REASON_BACKEND, hb_buf_span(&text));
		hb_buf_free(&text);
		return;
	}
	l->conn = hb_conn_attach(l->pool->env.loop, fd, MAX_INPUT, &conn_ops,
	    l);
	on_connected(l);
}

/* Connects now, or as soon as the server has room; after a while in any
 * case. */
struct dlv_connection *
dlv_pool_open(struct dlv_pool *p, const struct dlv_target *t,
    dlv_report_fn report, void *ctx)
{
	struct dlv_connection *l = find_idle(p, t);
	bool reused = l != NULL, full = !reused && is_full(p, t);

	if (!reused)
		l = new_link(p, t);
	l->report = report;
	l->ctx = ctx;
	l->reused = reused;
	if (reused) {
		hb_timer_clear(l->timer);
		set_state(l, L_TAKEN);
		hb_hook_arm(l->turn);
	} else if (full) {
		set_state(l, L_WAITING);
		hb_timer_set(l->timer, p->env.conf->connect_timeout);
	} else {
		connect_link(l);
	}
	return l;
}

/* The body was looked at where it came in, and yet: one that ended early here
 * would let its sender speak in our session, and shift the replies to the
 * mail of others.  The end of a last line is no matter, see send_body. */
static bool
is_damaged(const struct dlv_body *body)
{
	struct hb_wire w;

	hb_wire_init(&w);
	(void)hb_wire_feed(&w, body->bytes);
	return (hb_wire_end(&w) & HB_WIRE_UNSAFE) != 0;
}

/* Says how BDAT counts the body, unless it is to go by DATA. */
static void
count_octets(const struct dlv_body *b, struct dlv_txn *txn)
{
	if ((txn->env->flags & HB_ENV_DOTTED) != 0 || txn->encoded ||
	    b->bytes.n < 2)
		return;
	txn->first = b->bytes.p[0];
	txn->octets = b->bytes.n + (b->fd >= 0 ? b->len : 0) +
	    (is_unended(b) ? 2 : 0);
}

void
dlv_connection_mail(struct dlv_connection *l, const struct dlv_txn *txn,
    const struct sts_verdict *verdict, const struct dlv_body *body)
{
	struct dlv_txn checked = *txn;

	l->body = *body;
	checked.damaged = is_damaged(body);
	dlv_encoder_free(&l->encoder);
	if (dlv_client_wants_7bit(l->client, txn->env))
		l->encoder = dlv_encoder_new(body);
	checked.encoded = l->encoder != NULL;
	count_octets(body, &checked);
	dlv_client_mail(l->client, &checked, verdict);
	hb_hook_arm(l->turn);
}

static bool
may_idle(const struct dlv_connection *l)
{
	return l->state == L_BUSY && dlv_client_is_ready(l->client) &&
	    !dlv_client_is_spent(l->client) && !l->outdated && !l->body_due && l->messages <
		l->pool->env.conf->max_messages_per_connection &&
	    l->pool->nidle < MAX_IDLE;
}

void
dlv_connection_release(struct dlv_connection **lp, bool keep)
{
	struct dlv_connection *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	l->report = NULL;
	if (keep && may_idle(l)) {
		set_state(l, L_IDLE);
		hb_timer_set(l->timer, IDLE_MS);
		return;
	}
	if ((l->state == L_BUSY || l->state == L_TAKEN) &&
	    dlv_client_is_ready(l->client) && !l->body_due) {
		set_state(l, L_LEAVING);
		dlv_client_quit(l->client);
		hb_hook_arm(l->turn);
	} else if (l->state != L_LEAVING) {
		close_link(l);
	}
}

/* --- life --- */

struct dlv_pool *
dlv_pool_new(const struct dlv_pool_env *env)
{
	struct dlv_pool *p = HB_NEW(struct dlv_pool);

	p->env = *env;
	p->down = (struct hb_memo){ .max = MAX_DOWN, .free = free_down };
	p->no_chunks = p->down;
	return p;
}

void
dlv_pool_reconf(struct dlv_pool *p, const struct hb_conf *conf,
    struct hb_tls *tls)
{
	struct dlv_connection *l;

	p->env.conf = conf;
	p->env.tls = tls;
	LIST_FOREACH(l, &p->links, link) {
		l->outdated = true;
		if (l->state != L_IDLE)
			continue;
		set_state(l, L_LEAVING);
		dlv_client_quit(l->client);
		drive(l);
	}
}

void
dlv_pool_free(struct dlv_pool **pp)
{
	struct dlv_pool *p = *pp;

	if (p == NULL)
		return;
	while (!LIST_EMPTY(&p->links))
		free_link(LIST_FIRST(&p->links));
	hb_memo_clear(&p->down);
	hb_memo_clear(&p->no_chunks);
	free(p);
	*pp = NULL;
}

size_t
dlv_pool_connections(const struct dlv_pool *p)
{
	return p->nlinks;
}

size_t
dlv_pool_idle(const struct dlv_pool *p)
{
	return p->nidle;
}
