/* One connection: drives its session.  Floor 4. */
#include "config.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/sock.h"
#include "common/proto/stats.h"
#include "smtpd/worker.h"

enum { CLOSE_MS = 10000 }; /* for the last words to leave */

uint64_t
smtpd_client_ref(const struct smtpd_client *c, uint64_t number)
{
	return number << SMTPD_REF_BITS | c->index;
}

uint32_t
smtpd_client_txn(struct smtpd_client *c)
{
	uint32_t n = (uint32_t)smtpd_client_ref(c, ++c->worker->site.refs);

	return n >> SMTPD_REF_BITS != 0 ? n : smtpd_client_txn(c);
}

/* --- slots --- */

static uint32_t
take_slot(struct smtpd_worker *w)
{
	size_t n = w->n_slots;

	if (w->n_free > 0)
		return w->free_slots[--w->n_free];
	if (n % 64 == 0) {
		w->clients = hb_realloc(w->clients,
		    (n + 64) * sizeof(struct smtpd_client *));
		w->free_slots = hb_realloc(w->free_slots,
		    (n + 64) * sizeof(uint32_t));
	}
	w->n_slots++;
	return (uint32_t)n;
}

static void
log_session(const struct smtpd_client *c, enum hb_event ev)
{
	char text[HB_NETADDR_TEXT];

	if (hb_log_level() < HB_LOG_DEBUG)
		return;
	hb_netaddr_format(&c->addr, text);
	HB_LOG(HB_LOG_DEBUG, ev, hb_kv_str(HB_K_CLIENT, text),
	    hb_kv_int(HB_K_PORT, c->addr.port),
	    hb_kv_id(HB_K_SESSION, smtpd_session_view(c->session).id));
}

void
smtpd_client_free(struct smtpd_client *c)
{
	struct smtpd_worker *w = c->worker;

	log_session(c, HB_EV_DISCONNECT);
	smtpd_lookup_end(c);
	if (c->source != NULL)
		c->source->end(c->source);
	hb_conn_free(&c->conn);
	smtpd_filterio_free(c);
	smtpd_session_free(&c->session);
	smtpd_rules_drop(c->rules);
	if (c->counted)
		hb_counters_leave(w->counters, c->counter);
	smtpd_frames_end(c);
	smtpd_kept_end(c);
	w->clients[c->index] = NULL;
	w->free_slots[w->n_free++] = c->index;
	w->n_clients--;
	free(c);
	if (w->stopping && w->n_clients == 0)
		hb_role_exit(w->env);
}

/* --- acts --- */

/* Once the command itself is no longer in the input: what is there then came
 * in clear behind it. */
static void
start_tls(struct smtpd_client *c)
{
	struct hb_tls *tls = c->worker->tls;
	/* programs of people ask them which certificate they want to show;
	 * old mail servers without AEAD would come in clear */
	bool mx = c->rules->kind == HB_LISTEN_SMTP;
	struct hb_tls_listener how = { c->rules->listen, mx, !mx };

	c->tls_due = false;
	c->tls_ms = 0;
	if (c->conn == NULL)
		return;
	hb_conn_pause(c->conn, false);
	if (tls == NULL || hb_conn_tls_server(c->conn, tls, &how) < 0) {
		HB_LOG(HB_LOG_INFO, HB_EV_TLS,
		    hb_kv_str(HB_K_ERROR,
			tls == NULL ? "no certificate"
				    : "bytes in clear behind STARTTLS"));
		smtpd_session_closed(c->session);
	}
}

/* How long T has to wait; negative: it is not to be done. */
static int64_t
wait_for(struct smtpd_client *c, const struct hb_try *t)
{
	static const enum hb_stat delayed[] = {
		[HB_TRY_LOGIN] = HB_STAT_DELAYED_LOGIN,
		[HB_TRY_RCPT] = HB_STAT_DELAYED_RCPT,
		[HB_TRY_TLS] = HB_STAT_DELAYED_TLS,
	};
	int64_t ms = 0;

	if (c->worker->counters != NULL)
		ms = hb_penalty_begin(c->worker->counters, t, hb_mono_ms());
	if (ms != 0)
		hb_stat(ms > 0 ? delayed[t->kind] : HB_STAT_TRIES_REFUSED);
	return ms;
}

static struct hb_try
try_of(const struct smtpd_client *c, const struct smtpd_try *a)
{
	return (struct hb_try){
		.kind = a->is_login ? HB_TRY_LOGIN : HB_TRY_RCPT,
		.client = &c->addr,
		.login = a->login,
	};
}

static void
begin_try(struct smtpd_client *c, const struct smtpd_try *a)
{
	struct hb_try t = try_of(c, a);
	bool alone = a->n > 0 && c->worker->counters != NULL &&
	    !hb_penalty_is_free(c->worker->counters, &t, a->n, hb_mono_ms());

	smtpd_session_turn(c->session,
	    alone ? SMTPD_TURN_ALONE : wait_for(c, &t));
}

/* Is its network kept out for the errors of sessions before? */
static bool
is_kept_out(const struct smtpd_client *c)
{
	struct hb_try t = { .kind = HB_TRY_SESSION, .client = &c->addr };

	return c->worker->counters != NULL &&
	    c->rules->kind != HB_LISTEN_LMTP &&
	    !hb_penalty_is_free(c->worker->counters, &t, 0, hb_mono_ms()) &&
	    !hb_conf_relays_for(c->worker->env->conf, &c->addr);
}

static void
end_try(struct smtpd_client *c, const struct smtpd_try *a)
{
	static const enum hb_try_end ends[] = {
		[SMTPD_TRIED_DONE] = HB_TRY_DONE,
		[SMTPD_TRIED_BAD] = HB_TRY_BAD,
		[SMTPD_TRIED_OPEN] = HB_TRY_OPEN,
		[SMTPD_TRIED_MAIL] = HB_TRY_MAIL,
	};
	struct hb_try t = try_of(c, a);

	if (a->end == SMTPD_TRIED_ERRORS) {
		if (c->worker->counters != NULL)
			hb_penalty_session(c->worker->counters, &c->addr,
			    hb_mono_ms());
		return;
	}
	for (unsigned i = 0; c->worker->counters != NULL && i < a->n; i++)
		hb_penalty_end(c->worker->counters, &t, ends[a->end],
		    hb_mono_ms());
}

static void
act(struct smtpd_client *c, const struct smtpd_act *a)
{
	switch (a->kind) {
	case SMTPD_ACT_STARTTLS:
		c->tls_due = true;
		return;
	case SMTPD_ACT_TRY:
		begin_try(c, &a->attempt);
		return;
	case SMTPD_ACT_TRIED:
		end_try(c, &a->attempt);
		return;
	case SMTPD_ACT_ORIGIN:
		smtpd_lookup_begin(c, &a->origin, smtpd_client_run);
		return;
	case SMTPD_ACT_CLOSE:
		if (c->conn != NULL)
			hb_conn_shutdown(c->conn);
		c->deadline_ms = hb_mono_ms() + CLOSE_MS;
		return;
	case SMTPD_ACT_CHECK:
	case SMTPD_ACT_AUTH:
	case SMTPD_ACT_BEGIN:
	case SMTPD_ACT_DATA:
	case SMTPD_ACT_LARGE:
	case SMTPD_ACT_HEAD:
	case SMTPD_ACT_COMMIT:
	case SMTPD_ACT_ABORT:
	case SMTPD_ACT_ETRN:
	case SMTPD_ACT_GREY:
		smtpd_frames_act(c, a);
		return;
	case SMTPD_ACT_KEEP_OPEN:
	case SMTPD_ACT_KEEP_WRITE:
	case SMTPD_ACT_KEEP_READ:
	case SMTPD_ACT_KEEP_COPY:
	case SMTPD_ACT_KEEP_END:
		smtpd_kept_act(c, a);
		return;
	}
}

static void
send_output(struct smtpd_client *c)
{
	struct hb_buf *out = smtpd_session_output(c->session);

	if (out->n == 0)
		return;
	if (c->conn != NULL)
		hb_conn_write(c->conn, hb_buf_span(out));
	else if (c->source != NULL)
		c->source->hear(c->source, hb_buf_span(out));
	hb_buf_clear(out);
}

/* Takes all that the session asks for; true: there was something. */
static bool
take_acts(struct smtpd_client *c)
{
	struct smtpd_act a;
	bool any = false;
	int64_t ms;

	send_output(c);
	while (smtpd_session_act(c->session, &a)) {
		act(c, &a);
		send_output(c);
		any = true;
	}
	any = smtpd_filterio_take(c) || any;
	if (smtpd_session_timer(c->session, &ms) &&
	    !smtpd_session_is_over(c->session))
		c->deadline_ms = hb_mono_ms() + ms;
	return any;
}

/* Each handshake costs a signature.  One that has to wait is not read. */
static void
tls_turn(struct smtpd_client *c)
{
	struct hb_try t = { .kind = HB_TRY_TLS, .client = &c->addr };
	bool may_wait = c->conn != NULL && hb_conn_input(c->conn).n == 0 &&
	    !hb_conf_relays_for(c->worker->env->conf, &c->addr);
	int64_t ms = may_wait ? wait_for(c, &t) : 0;

	if (ms == 0) {
		start_tls(c);
	} else if (ms > 0) {
		c->tls_ms = hb_mono_ms() + ms;
		hb_conn_pause(c->conn, true);
	} else {
		c->tls_due = false;
		smtpd_session_closed(c->session);
	}
}

/* Of the connection, or of what is in its place. */
static struct hb_span
input_of(struct smtpd_client *c)
{
	return c->source != NULL ? c->source->input(c->source)
				 : hb_conn_input(c->conn);
}

static void
consume(struct smtpd_client *c, size_t n)
{
	if (c->source != NULL)
		c->source->consume(c->source, n);
	else
		hb_conn_consume(c->conn, n);
}

/* Replies are not read, or queue cannot take more: this one waits until its
 * connection or queue's channel is drained. */
static bool
must_wait(struct smtpd_client *c)
{
	struct hb_peer *q = hb_role_peer(c->worker->env, HB_ROLE_QUEUE, 0);
	bool full = smtpd_session_in_data(c->session) && q != NULL &&
	    hb_peer_pending(q) >= SMTPD_QUEUE_FULL;

	if (!full && (c->conn == NULL ||
	    hb_conn_pending(c->conn) < SMTPD_OUTPUT_MAX))
		return false;
	c->paused = true;
	if (c->conn != NULL)
		hb_conn_pause(c->conn, true);
	return true;
}

static void
feed(struct smtpd_client *c)
{
	size_t used;
	bool acted;

	do {
		if ((c->conn == NULL && c->source == NULL) ||
		    smtpd_session_is_over(c->session) || must_wait(c))
			return;
		used = smtpd_session_input(c->session, input_of(c));
		acted = take_acts(c);
		if (used > 0)
			consume(c, used);
		if (c->tls_due && c->tls_ms == 0) {
			tls_turn(c);
			take_acts(c);
		}
	} while (used > 0 || acted);
	if (c->said_all && smtpd_session_wants_input(c->session)) {
		smtpd_session_closed(c->session);
		take_acts(c);
	}
}

void
smtpd_client_run(struct smtpd_client *c)
{
	HB_ASSERT(!c->busy); /* no event comes inside of another */
	c->busy = true;
	c->worker->site.now_ms = hb_now_ms();
	take_acts(c);
	while (smtpd_filterio_feed(c))
		take_acts(c);
	feed(c);
	if (c->source != NULL && c->source->is_over(c->source)) {
		smtpd_session_closed(c->session);
		take_acts(c);
	}
	c->busy = false;
	if (c->conn == NULL && smtpd_session_is_over(c->session))
		smtpd_client_free(c);
}

void
smtpd_client_tick(struct smtpd_client *c)
{
	int64_t now = hb_mono_ms();

	if (smtpd_filterio_tick(c, now))
		return;
	if (c->tls_ms != 0 && now >= c->tls_ms) {
		start_tls(c);
	} else if (c->deadline_ms != 0 && now >= c->deadline_ms) {
		c->deadline_ms = 0;
		if (smtpd_session_is_over(c->session)) {
			smtpd_client_free(c);
			return;
		}
		smtpd_session_timeout(c->session);
	} else if (c->expires_ms != 0 && now >= c->expires_ms) {
		c->expires_ms = 0;
		smtpd_session_expired(c->session);
	} else {
		return;
	}
	smtpd_client_run(c);
}

/* --- events of the connection --- */

static void
on_input(void *ctx)
{
	smtpd_client_run(ctx);
}

static void
on_tls(void *ctx, const struct hb_tls_facts *facts)
{
	struct smtpd_client *c = ctx;

	smtpd_session_tls(c->session, facts);
	smtpd_client_run(c);
}

void
smtpd_client_go_on(struct smtpd_client *c)
{
	if (!c->paused || (c->conn == NULL && c->source == NULL))
		return;
	c->paused = false;
	if (c->conn != NULL)
		hb_conn_pause(c->conn, c->tls_ms != 0); /* see tls_turn */
	smtpd_client_run(c);
}

static void
on_drain(void *ctx)
{
	smtpd_client_go_on(ctx);
}

/* A client that pipelines to the end may close its half of the connection
 * behind QUIT (Exim does): what it has said is answered, then it ends. */
static void
on_close(void *ctx, int err, int syserr)
{
	struct smtpd_client *c = ctx;

	if (err == 0 && !smtpd_session_is_over(c->session)) {
		c->said_all = true;
		smtpd_client_run(c);
		return;
	}
	hb_conn_free(&c->conn);
	smtpd_session_closed(c->session);
	smtpd_client_run(c);
}

static const struct hb_conn_ops conn_ops = {
	.on_input = on_input,
	.on_tls = on_tls,
	.on_drain = on_drain,
	.on_close = on_close,
};

/* --- the beginning --- */

static enum smtpd_greeting
admit(struct smtpd_client *c)
{
	struct smtpd_worker *w = c->worker;

	if (w->counters == NULL)
		return SMTPD_GREET_OK;
	switch (hb_counters_enter(w->counters, &c->addr, w->env->conf,
	    hb_mono_ms(), &c->counter)) {
	case HB_ADMIT_TOTAL:
		return SMTPD_GREET_BUSY;
	case HB_ADMIT_CLIENT:
		return SMTPD_GREET_TOO_MANY;
	case HB_ADMIT_RATE:
		return SMTPD_GREET_TOO_FAST;
	case HB_ADMIT_OK:
		break;
	}
	c->counted = true;
	return SMTPD_GREET_OK;
}

/* Before anything is counted, and after. */
static enum smtpd_greeting
refusal(struct smtpd_client *c, const struct smtpd_caller *who)
{
	if (who->nameless)
		return SMTPD_GREET_NO_HEADER;
	if (c->worker->stuck)
		return SMTPD_GREET_STUCK;
	if (is_kept_out(c))
		return SMTPD_GREET_ERRORS;
	return admit(c);
}

/* RFC 5321 s4.3.1: a client waits for the greeting.  Nothing was sent yet,
 * so what is there already came too early. */
static enum smtpd_greeting
greeting(struct smtpd_client *c, const struct smtpd_caller *who)
{
	enum smtpd_greeting how = refusal(c, who);
	char one;

	if (how == SMTPD_GREET_OK && !c->rules->implicit_tls &&
	    recv(who->fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return SMTPD_GREET_EARLY;
	return how;
}

/* Filters hear where the client came to. */
static void
tell_place(struct smtpd_client *c, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct hb_netaddr local = { 0 };

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    !hb_sock_to_netaddr(&ss, len, &local))
		local.family = 0;
	smtpd_session_place(c->session, &local, c->addr.port);
}

static struct smtpd_client *
client_new(struct smtpd_worker *w, struct smtpd_listener_conf *rules,
    const struct hb_netaddr *addr)
{
	struct smtpd_client *c = HB_NEW(struct smtpd_client);
	char text[HB_NETADDR_TEXT];

	c->worker = w;
	c->addr = *addr;
	c->file = c->kept[0] = c->kept[1] = -1;
	c->since_ms = hb_now_ms();
	c->rules = rules;
	c->index = take_slot(w);
	w->clients[c->index] = c;
	w->n_clients++;
	w->sessions++;
	hb_netaddr_format(&c->addr, text);
	c->session = smtpd_session_new(c->rules, &w->site, hb_span_str(text),
	    c->addr.family == 6);
	return c;
}

/* As sendmail has it, what is submitted here comes from this host. */
struct smtpd_client *
smtpd_client_local(struct smtpd_worker *w, struct smtpd_source *source,
    const struct smtpd_local *local)
{
	struct smtpd_client *c;
	struct hb_netaddr addr;

	if (hb_netaddr_parse(HB_SPAN("127.0.0.1"), &addr) < 0)
		HB_BUG("127.0.0.1 is no address");
	c = client_new(w, smtpd_worker_local_rules(w), &addr);
	c->source = source;
	smtpd_session_local(c->session, local);
	smtpd_session_place(c->session, &addr, 0);
	return c;
}

void
smtpd_client_begin(struct smtpd_client *c)
{
	smtpd_session_start(c->session, SMTPD_GREET_OK);
	smtpd_worker_start_sweep(c->worker);
	smtpd_client_run(c);
}

void
smtpd_client_new(struct smtpd_worker *w, const struct smtpd_caller *who)
{
	struct smtpd_client *c = client_new(w, who->rules, &who->addr);
	enum smtpd_greeting how;

	c->rules->refs++;
	how = greeting(c, who);
	if (hb_conf_relays_for(w->env->conf, &c->addr))
		smtpd_session_relays(c->session);
	if (c->rules->filters != NULL)
		tell_place(c, who->fd);
	hb_sock_set_nodelay(who->fd);
	c->conn = hb_conn_accept(w->env->loop, who->fd, SMTPD_INPUT_MAX, &conn_ops,
	    c);
	if (w->env->conf->session_timeout > 0)
		c->expires_ms = hb_mono_ms() + w->env->conf->session_timeout;
	log_session(c, HB_EV_CONNECT);
	smtpd_session_start(c->session, how);
	smtpd_client_run(c);
	smtpd_worker_start_sweep(w);
}
