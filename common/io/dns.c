/*
 * One c-ares channel per server, with one try each.  This file decides which
 * server is asked next and how long to wait: with ARES_FLAG_NOCHECKRESP (needed
 * to see a SERVFAIL at all) c-ares does not move to the next server by itself.
 */
#include "config.h"

#include "common/io/dns.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <ares.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/memo.h"
#include "common/base/table.h"
#include "common/proto/domain.h"
#include "common/proto/edns.h"
#include "common/proto/hosts.h"
#include "common/proto/stats.h"

enum {
	/* Sent at once; more would overflow a socket's buffer on either side
	 * and cost seconds of waiting for answers that are lost. */
	BURST = 32,
	BURST_MS = 2,
	BURST_MOST = 200, /* after a long turn of the loop */
	TRY_MS = 2500,
	TRIES = 4, /* over all servers: ten seconds in all */
	PROBE_TRIES = 2,
	MAX_CACHE = 4000,
	MAX_CACHE_BYTES = 4 * 1024 * 1024,
	MAX_CACHED_BYTES = 64 * 1024, /* a longer answer is not kept */
	MAX_TTL_S = 86400,
	MAX_NEGATIVE_TTL_S = 900,
	EDNS_BYTES = 1232,
	OPT_BYTES = 11, /* of the record, the last of a question */
	MAX_SOCKETS = ARES_GETSOCK_MAXNUM
};

struct dns_key {
	char name[HB_MAX_DOMAIN + 1];
	uint16_t type;
};

struct cached {
	struct hb_memo_entry memo;
	struct dns_key key;
	struct hb_dns_answer answer; /* its bytes stand behind */
	int64_t until_ms;	     /* by hb_age_ms */
	unsigned char bytes[];
};

struct hb_dns_query {
	struct hb_wait wait;
	hb_dns_fn cb;
	void *ctx;
};

/* A question under way, and everybody who waits for it. */
struct dns_query {
	UT_hash_handle hh;
	struct dns_key key;
	struct hb_dns *dns;
	struct hb_wait waits;
	enum hb_dns_status refused; /* not OK: it is not sent at all */
	unsigned char *packet; /* of c-ares */
	int len;
	unsigned tries;
	/* c-ares, which knows no such rule as ours, may fail before ares_send
	 * returns: it did. */
	bool sending, failed;
	bool stored;  /* still in the table */
	bool servfail;	     /* was the last answer */
	struct server *server; /* that was asked last */
	bool with_opt;	     /* it was */
	bool at_once;	     /* again, and without */
	struct server *only; /* a probe: it alone is asked, nothing is kept */
	STAILQ_ENTRY(dns_query) link; /* not sent yet */
};
STAILQ_HEAD(dns_queries, dns_query);

struct dns_sock {
	int fd;
	struct hb_io *io;
	struct server *server;
};

struct server {
	struct hb_dns *dns;
	struct hb_netaddr addr;
	ares_channel channel;
	struct hb_timer *timer;
	struct dns_sock socks[MAX_SOCKETS];
	struct hb_edns edns;
	bool flag_lost; /* c-ares has taken its EDNS flag back */
};

struct hb_dns {
	struct hb_loop *loop;
	struct server servers[HB_MAX_RESOLVERS];
	size_t nservers;
	struct hb_memo cache;
	struct dns_query *questions;
	struct dns_queries asked; /* in this turn */
	struct hb_hook *turn;
	struct dns_queries held; /* to be sent a little later */
	unsigned burst;		 /* to be sent until PACE runs */
	int64_t paced_ms;		   /* monotonic */
	struct hb_timer *pace;
	bool closing;
};

/* --- events between c-ares and the loop --- */

static void
arm(struct server *s)
{
	struct timeval tv, *t = ares_timeout(s->channel, NULL, &tv);

	if (t == NULL)
		hb_timer_clear(s->timer);
	else
		hb_timer_set(s->timer,
		    (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
}

static void
on_ready(void *ctx, unsigned what)
{
	struct dns_sock *k = ctx;
	struct server *s = k->server;
	int fd = k->fd;

	ares_process_fd(s->channel,
	    (what & HB_IO_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    (what & HB_IO_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	arm(s);
}

static void
on_timer(void *ctx)
{
	struct server *s = ctx;

	ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm(s);
}

static struct dns_sock *
find_sock(struct server *s, int fd)
{
	struct dns_sock *empty = NULL;

	for (size_t i = 0; i < MAX_SOCKETS; i++) {
		if (s->socks[i].io != NULL && s->socks[i].fd == fd)
			return &s->socks[i];
		if (s->socks[i].io == NULL && empty == NULL)
			empty = &s->socks[i];
	}
	return empty;
}

/* c-ares tells which sockets it watches; a server has two at most (UDP and
 * TCP). */
static void
on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct server *s = ctx;
	struct dns_sock *k = find_sock(s, fd);

	if (k == NULL)
		return;
	if (!readable && !writable) {
		hb_io_free(&k->io);
		return;
	}
	if (k->io == NULL) {
		*k = (struct dns_sock){ .fd = fd, .server = s };
		k->io = hb_io_new(s->dns->loop, fd, on_ready, k);
	}
	hb_io_want(k->io, (readable ? HB_IO_READ : 0) |
		(writable ? HB_IO_WRITE : 0));
}

/* --- cache --- */

static size_t
bytes_of(const struct hb_dns_answer *a)
{
	size_t n = a->canonical.n;

	for (size_t i = 0; i < a->n; i++)
		n += a->rr[i].name.n + a->rr[i].data.n;
	return n;
}

static struct hb_span
keep_span(unsigned char **at, struct hb_span s)
{
	struct hb_span kept = hb_span(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

static size_t
size_of(const struct hb_dns_answer *a)
{
	return sizeof(struct cached) + _Alignof(struct hb_dns_rr) +
	    a->n * sizeof(*a->rr) + bytes_of(a);
}

/* One piece of memory: head, records, bytes. */
static struct cached *
new_cached(const struct dns_key *key, const struct hb_dns_answer *from)
{
	size_t rrs = from->n * sizeof(*from->rr);
	size_t gap = _Alignof(struct hb_dns_rr);
	struct cached *c = hb_calloc(1, size_of(from));
	unsigned char *at = c->bytes + gap -
	    (uintptr_t)c->bytes % gap;

	c->key = *key;
	c->answer = *from;
	c->answer.rr = (struct hb_dns_rr *)(void *)at;
	at += rrs;
	c->answer.canonical = keep_span(&at, from->canonical);
	for (size_t i = 0; i < from->n; i++) {
		c->answer.rr[i] = from->rr[i];
		c->answer.rr[i].name = keep_span(&at, from->rr[i].name);
		c->answer.rr[i].data = keep_span(&at, from->rr[i].data);
	}
	return c;
}

static void
free_cached(struct hb_memo_entry *e)
{
	free(e);
}

/* What is too old stays, for somebody may look at it: until put_cached, which
 * no callback leads to. */
static struct cached *
find_cached(struct hb_dns *d, const struct dns_key *key)
{
	struct cached *c = (struct cached *)hb_memo_find(&d->cache,
	    hb_span(key, sizeof(*key)));

	return c != NULL && c->until_ms > hb_age_ms() ? c : NULL;
}

static uint32_t
lifetime_s(const struct hb_dns_answer *a)
{
	uint32_t most = a->status == HB_DNS_OK ? MAX_TTL_S
					       : MAX_NEGATIVE_TTL_S;

	if (a->status == HB_DNS_TEMP)
		return 0;
	return a->ttl_s < most ? a->ttl_s : most;
}

static void
put_cached(struct hb_dns *d, const struct dns_key *key,
    const struct hb_dns_answer *answer)
{
	uint32_t life = lifetime_s(answer);
	struct hb_memo_entry *old = hb_memo_find(&d->cache,
	    hb_span(key, sizeof(*key)));
	struct cached *c;

	if (old != NULL)
		hb_memo_drop(&d->cache, old);
	/* Compressed names are many times longer here than on the wire. */
	if (life == 0 || size_of(answer) > MAX_CACHED_BYTES)
		return;
	c = new_cached(key, answer);
	c->until_ms = hb_age_ms() + (int64_t)life * 1000;
	hb_memo_add(&d->cache, &c->memo, hb_span(&c->key, sizeof(c->key)),
	    size_of(answer));
}

/* --- questions --- */

static void
free_question(struct dns_query *q)
{
	if (q->stored)
		HASH_DEL(q->dns->questions, q);
	ares_free_string(q->packet);
	free(q);
}

static bool
is_awaited(const struct dns_query *q)
{
	return hb_waits_first(&q->waits) != NULL;
}

static void
tell_one(struct hb_wait *wait, const void *answer)
{
	struct hb_dns_query *w = (struct hb_dns_query *)wait;

	w->cb(w->ctx, answer);
	free(w);
}

static void
tell(struct dns_query *q, const struct hb_dns_answer *answer)
{
	/* A waiter may ask the same again: that is a new question. */
	if (q->stored)
		HASH_DEL(q->dns->questions, q);
	q->stored = false;
	hb_waits_each(&q->waits, tell_one, answer);
	free_question(q);
}

static void
tell_failure(struct dns_query *q)
{
	struct hb_dns_answer none = { .status = HB_DNS_TEMP,
		.servfail = q->servfail,
		.canonical = hb_span_str(q->key.name) };

	tell(q, &none);
}

static void on_reply(void *ctx, int status, int timeouts, unsigned char *buf,
    int len);

/* OPT is the last record of the packet, and the only one behind the
 * question. */
static int
packet_len(struct dns_query *q)
{
	q->packet[11] = q->with_opt;
	return q->with_opt ? q->len : q->len - OPT_BYTES;
}

static void
send_one(struct dns_query *q)
{
	struct hb_dns *d = q->dns;
	struct server *s = &d->servers[q->tries++ % d->nservers];

	if (q->only != NULL)
		s = q->only;
	if (q->at_once)
		s = q->server;
	q->server = s;
	q->with_opt = !q->at_once && hb_edns_next(&s->edns, hb_age_ms());
	hb_random(q->packet, 2); /* a new id each time */
	q->failed = false;
	q->sending = true;
	ares_send(s->channel, q->packet, packet_len(q), on_reply, q);
	q->sending = false;
	arm(s);
}

/* Asks the next server that can be asked; false: none is left. */
static bool
send_try(struct dns_query *q)
{
	unsigned most = q->only != NULL ? PROBE_TRIES : TRIES;

	while (q->tries < most) {
		send_one(q);
		if (!q->failed)
			return true;
		q->at_once = false;
	}
	hb_stat(HB_STAT_DNS_FAILED);
	return false;
}

static void
finish(struct dns_query *q, const struct hb_dns_answer *answer)
{
	if (q->only == NULL)
		put_cached(q->dns, &q->key, answer);
	tell(q, answer);
}

/* c-ares asks again by itself, without OPT, after a FORMERR that has none, and
 * tells only by the loss of its flag. */
static bool
is_flag_lost(struct server *s)
{
	struct ares_options o;
	int mask;

	if (s->flag_lost)
		return true;
	if (ares_save_options(s->channel, &o, &mask) != ARES_SUCCESS)
		return false;
	s->flag_lost = (o.flags & ARES_FLAG_EDNS) == 0;
	ares_destroy_options(&o);
	return s->flag_lost;
}

static void
log_edns(const struct server *s)
{
	bool missing = hb_edns_is_missing(&s->edns);
	char addr[HB_NETADDR_TEXT];

	hb_netaddr_format(&s->addr, addr);
	HB_LOG(missing ? HB_LOG_WARN : HB_LOG_INFO, HB_EV_DNS,
	    hb_kv_str(HB_K_ACTION, "edns"), hb_kv_str(HB_K_ADDR, addr),
	    hb_kv_str(HB_K_STATE, missing ? "no" : "yes"),
	    hb_kv_str(HB_K_TEXT, missing
		? "the resolver does not take questions with EDNS: it is "
		  "asked without, and DANE cannot be had"
		: "the resolver takes questions with EDNS"));
}

/* What the reply says of the server; MSG may be empty. */
static void
learn_edns(struct dns_query *q, struct hb_span msg, struct hb_dns_answer *a)
{
	struct server *s = q->server;
	bool good = a->status != HB_DNS_TEMP;
	bool bare = good && q->with_opt && msg.n > 11 && msg.p[10] == 0 &&
	    msg.p[11] == 0 && is_flag_lost(s);

	a->plain = good && (bare || !q->with_opt);
	if (hb_edns_heard(&s->edns, q->with_opt && !bare, bare || q->at_once,
		good ? HB_EDNS_GOOD : a->misread ? HB_EDNS_FORMAT
						 : HB_EDNS_TROUBLE,
		hb_age_ms()))
		log_edns(s);
	q->at_once = a->misread && q->with_opt;
}

static void
on_reply(void *ctx, int status, int timeouts, unsigned char *buf, int len)
{
	struct dns_query *q = ctx;
	struct hb_dns_answer answer = { .status = HB_DNS_TEMP };
	struct hb_arena *arena;

	if (q->sending) {
		q->failed = true;
		return;
	}
	if (q->dns->closing || status == ARES_EDESTRUCTION ||
	    !is_awaited(q)) { /* nobody waits any longer */
		tell_failure(q);
		return;
	}
	arena = hb_arena_new();
	if (status == ARES_SUCCESS && buf != NULL && len > 0 &&
	    hb_dnsmsg_parse(hb_span(buf, (size_t)len),
		hb_span_str(q->key.name), (enum hb_dns_type)q->key.type, arena,
		&answer) < 0)
		HB_LOG(HB_LOG_DEBUG, HB_EV_DNS,
		    hb_kv_str(HB_K_NAME, q->key.name),
		    hb_kv_str(HB_K_ERROR, "malformed answer"));
	learn_edns(q, hb_span(buf, buf != NULL && len > 0 ? (size_t)len : 0),
	    &answer);
	q->servfail = answer.servfail;
	if (answer.status != HB_DNS_TEMP)
		finish(q, &answer);
	else if (!send_try(q))
		tell_failure(q);
	hb_arena_free(&arena);
}

/* --- a steady stream --- */

static struct dns_query *
take_first(struct dns_queries *list)
{
	struct dns_query *q = STAILQ_FIRST(list);

	if (q != NULL)
		STAILQ_REMOVE_HEAD(list, link);
	return q;
}

static void
send_held(struct hb_dns *d)
{
	struct dns_query *q;

	while (d->burst > 0 && (q = take_first(&d->held)) != NULL) {
		if (!is_awaited(q)) {
			free_question(q);
			continue;
		}
		d->burst--;
		if (!send_try(q))
			tell_failure(q);
	}
}

static void
on_pace(void *ctx)
{
	struct hb_dns *d = ctx;
	int64_t room = (hb_mono_ms() - d->paced_ms) * BURST / BURST_MS;

	d->paced_ms = hb_mono_ms();
	d->burst = room < BURST	       ? BURST
	    : room > BURST_MOST ? BURST_MOST
				: (unsigned)room;
	if (!STAILQ_EMPTY(&d->held))
		hb_timer_set(d->pace, BURST_MS);
	send_held(d);
}

/* --- asking --- */

static bool
make_key(struct hb_span name, enum hb_dns_type type, struct dns_key *key)
{
	memset(key, 0, sizeof(*key));
	name = hb_domain_dotless(name);
	if (name.n == 0 || name.n >= sizeof(key->name))
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f ||
		    name.p[i] == '\\')
			return false;
		key->name[i] = (char)hb_lower(name.p[i]);
	}
	key->type = (uint16_t)type;
	return true;
}

/* False: c-ares finds that it is no name.  AD is set: RFC 6840 s5.7. */
static bool
make_packet(struct dns_query *q)
{
	const char *name = q->key.name[0] != '\0' ? q->key.name : ".";

	if (ares_create_query(name, 1 /* IN */, q->key.type, 0, 1, &q->packet,
		&q->len, EDNS_BYTES) != ARES_SUCCESS)
		return false;
	q->packet[3] |= 0x20;
	return true;
}

static void
refuse(struct dns_query *q, enum hb_dns_status status)
{
	struct hb_dns_answer a = { .status = status };

	tell(q, &a);
}

static void
start(struct hb_dns *d, struct dns_query *q)
{
	struct cached *c = q->only == NULL ? find_cached(d, &q->key) : NULL;

	if (q->refused != HB_DNS_OK)
		refuse(q, q->refused);
	else if (c != NULL)
		tell(q, &c->answer);
	else if (d->nservers == 0)
		refuse(q, HB_DNS_TEMP);
	else if (!make_packet(q))
		refuse(q, q->only != NULL ? HB_DNS_TEMP : HB_DNS_NXDOMAIN);
	else
		STAILQ_INSERT_TAIL(&d->held, q, link);
}

/* What was asked in this turn.  What is asked from inside of an answer is for
 * the next one. */
static void
on_turn(void *ctx)
{
	struct hb_dns *d = ctx;
	struct dns_queries asked = STAILQ_HEAD_INITIALIZER(asked);
	struct dns_query *q;

	STAILQ_CONCAT(&asked, &d->asked);
	while ((q = take_first(&asked)) != NULL)
		start(d, q);
	if (!STAILQ_EMPTY(&d->held) && !hb_timer_is_set(d->pace)) {
		/* a while of rest */
		d->burst = BURST;
		d->paced_ms = hb_mono_ms();
		hb_timer_set(d->pace, BURST_MS);
	}
	send_held(d);
}

static struct dns_query *
new_question(struct hb_dns *d, const struct dns_key *key,
    enum hb_dns_status refused)
{
	struct dns_query *q = HB_NEW(struct dns_query);

	*q = (struct dns_query){ .key = *key, .dns = d, .refused = refused };
	hb_waits_init(&q->waits);
	STAILQ_INSERT_TAIL(&d->asked, q, link);
	hb_hook_arm(d->turn);
	return q;
}

static struct hb_dns_query *
add_waiter(struct dns_query *q, hb_dns_fn cb, void *ctx)
{
	struct hb_dns_query *w = HB_NEW(struct hb_dns_query);

	w->cb = cb;
	w->ctx = ctx;
	hb_waits_add(&q->waits, &w->wait);
	return w;
}

struct hb_dns_query *
hb_dns_ask(struct hb_dns *d, struct hb_span name, enum hb_dns_type type,
    hb_dns_fn cb, void *ctx)
{
	struct dns_key key;
	struct dns_query *q = NULL;

	if (!make_key(name, type, &key))
		return add_waiter(new_question(d, &key, HB_DNS_NXDOMAIN), cb,
		    ctx);
	HASH_FIND(hh, d->questions, &key, sizeof(key), q);
	if (q == NULL) {
		q = new_question(d, &key, HB_DNS_OK);
		HASH_ADD(hh, d->questions, key, sizeof(q->key), q);
		q->stored = true;
	}
	return add_waiter(q, cb, ctx);
}

struct hb_dns_query *
hb_dns_probe(struct hb_dns *d, size_t server, struct hb_span name,
    enum hb_dns_type type, hb_dns_fn cb, void *ctx)
{
	bool root = hb_span_eq(name, HB_SPAN("."));
	struct dns_key key = { .type = (uint16_t)type };
	bool fit = server < d->nservers &&
	    (root || make_key(name, type, &key));
	struct dns_query *q = new_question(d, &key, fit ? HB_DNS_OK
							: HB_DNS_TEMP);

	if (fit)
		q->only = &d->servers[server];
	return add_waiter(q, cb, ctx);
}

const struct hb_dns_answer *
hb_dns_cached(struct hb_dns *d, struct hb_span name, enum hb_dns_type type)
{
	struct dns_key key;
	const struct cached *c = make_key(name, type, &key)
	    ? find_cached(d, &key) : NULL;

	return c != NULL ? &c->answer : NULL;
}

bool
hb_dns_lacks_edns(const struct hb_dns *d)
{
	for (size_t i = 0; i < d->nservers; i++)
		if (hb_edns_is_missing(&d->servers[i].edns))
			return true;
	return false;
}

bool
hb_dns_server(const struct hb_dns *d, size_t server, struct hb_netaddr *out)
{
	if (server >= d->nservers)
		return false;
	*out = d->servers[server].addr;
	return true;
}

void
hb_dns_cancel(struct hb_dns_query *w)
{
	if (w == NULL)
		return;
	hb_waits_remove(&w->wait);
	free(w);
}

void
hb_dns_forget(struct hb_dns *d, struct hb_span name, enum hb_dns_type type)
{
	struct dns_key key;
	struct cached *c;

	if (make_key(name, type, &key) && (c = find_cached(d, &key)) != NULL)
		c->until_ms = 0;
}

/* --- life --- */

/*
 * Everything that c-ares would else read from resolv.conf or the environment
 * is said, so that it opens no file.
 */
static int
open_channel(struct server *s)
{
	struct in_addr none = { htonl(INADDR_LOOPBACK) };
	struct ares_options o = { .flags = ARES_FLAG_NOCHECKRESP |
		    ARES_FLAG_EDNS | ARES_FLAG_NOALIASES | ARES_FLAG_NOSEARCH,
		.timeout = TRY_MS, .tries = 1, .ndots = 1,
		.servers = &none, .nservers = 1,
		.ednspsz = EDNS_BYTES, .sock_state_cb = on_socket_state,
		.sock_state_cb_data = s };
	struct ares_addr_port_node node = { .udp_port = s->addr.port,
		.tcp_port = s->addr.port };
	char lookups[] = "b";

	o.lookups = lookups;
	if (ares_init_options(&s->channel, &o,
		ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
		    ARES_OPT_NDOTS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
		    ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST | ARES_OPT_EDNSPSZ |
		    ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return HB_E_IO;
	node.family = s->addr.family == 4 ? AF_INET : AF_INET6;
	memcpy(&node.addr, s->addr.b, s->addr.family == 4 ? 4 : 16);
	if (ares_set_servers_ports(s->channel, &node) == ARES_SUCCESS)
		return 0;
	ares_destroy(s->channel);
	return HB_E_IO;
}

static int
add_server(struct hb_dns *d, const struct hb_netaddr *addr)
{
	struct server *s = &d->servers[d->nservers];
	int err;

	s->dns = d;
	s->addr = *addr;
	if (s->addr.port == 0)
		s->addr.port = 53;
	if ((err = open_channel(s)) < 0)
		return err;
	s->timer = hb_timer_new(d->loop, on_timer, s);
	d->nservers++;
	return 0;
}

static int
add_servers(struct hb_dns *d, const struct hb_conf *conf,
    struct hb_span resolv)
{
	struct hb_netaddr found[HB_MAX_RESOLVERS];
	const struct hb_netaddr *from = conf->resolvers.v;
	size_t n = conf->resolvers.n;
	int err = 0;

	if (n == 0) {
		n = hb_resolv_servers(resolv, found, HB_MAX_RESOLVERS);
		from = found;
	}
	for (size_t i = 0; i < n && i < HB_MAX_RESOLVERS && err == 0; i++)
		err = add_server(d, &from[i]);
	return err;
}

struct hb_dns *
hb_dns_new(struct hb_loop *l, const struct hb_conf *conf,
    struct hb_span resolv, struct hb_buf *err)
{
	struct hb_dns *d;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		hb_buf_adds(err, "c-ares cannot be initialised");
		return NULL;
	}
	d = HB_NEW(struct hb_dns);
	d->loop = l;
	d->cache = (struct hb_memo){ .max = MAX_CACHE,
		.max_size = MAX_CACHE_BYTES, .free = free_cached };
	STAILQ_INIT(&d->asked);
	STAILQ_INIT(&d->held);
	d->turn = hb_hook_new(l, on_turn, d);
	d->pace = hb_timer_new(l, on_pace, d);
	if (add_servers(d, conf, resolv) < 0) {
		hb_buf_adds(err, "c-ares cannot use the resolvers");
		hb_dns_free(&d);
	}
	return d;
}

void
hb_dns_free(struct hb_dns **dp)
{
	struct hb_dns *d = *dp;
	struct dns_query *q;

	if (d == NULL)
		return;
	d->closing = true;
	hb_timer_free(&d->pace);
	for (size_t i = 0; i < d->nservers; i++) {
		ares_destroy(d->servers[i].channel);
		hb_timer_free(&d->servers[i].timer);
	}
	while ((q = take_first(&d->asked)) != NULL ||
	    (q = take_first(&d->held)) != NULL)
		tell_failure(q);
	hb_memo_clear(&d->cache);
	hb_hook_free(&d->turn);
	free(d);
	ares_library_cleanup();
	*dp = NULL;
}
