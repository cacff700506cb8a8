#include "delivery/attempt.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"

enum { SLOT_MX = 0, SLOT_HOSTS = 1 }; /* then A and AAAA of each host */

enum step {
	STEP_LEARN,	/* policy, MX, addresses */
	STEP_NEXT,	/* choose a host and an address */
	STEP_WAIT,	/* for the connection */
	STEP_JUDGE,	/* the connection is ready */
	STEP_END,
	STEP_ENDED
};

struct dlv_attempt {
	struct dlv_order order;
	const struct dlv_world *world;
	void *w;
	struct hb_arena *arena;

	struct hb_route route;
	char policy_domain[HB_MAX_DOMAIN + 1];
	struct sts_channel channel;
	struct dlv_mx mx;
	struct dlv_trial *trials;
	uint16_t port;
	unsigned waiting; /* answers to policy and DNS questions */

	enum step step;
	bool running, again; /* an answer came before its question returned */
	size_t host, addr;   /* being tried */
	bool plain;	     /* this address again without TLS */
	bool fresh;	     /* this address again, not from the pool */
	struct hb_tls_facts facts;
	char addr_text[HB_NETADDR_TEXT];
	struct sts_verdict verdict;

	struct dlv_txn txn;
	size_t *index; /* of each recipient of txn in the order */
	struct dlv_outcome *outcome;
	struct dlv_outcome problem;
	bool policy_problem; /* problem is a verdict: not overwritten */
	bool connected;	     /* some host was */
	bool tried;	     /* a connection was asked for */
};

static void run(struct dlv_attempt *a);

/* --- outcomes ----------------------------------------------------------- */

/* The host that is being tried. */
static const struct dlv_host *
host(const struct dlv_attempt *a)
{
	HB_ASSERT(a->host < a->mx.n);
	return &a->mx.hosts[a->host];
}

/* Its name; "" before the first and after the last. */
static const char *
host_name(const struct dlv_attempt *a)
{
	return a->host < a->mx.n ? a->mx.hosts[a->host].name : "";
}

/* As sts/decide sees it. */
static struct sts_host
judged_host(const struct dlv_attempt *a)
{
	return (struct sts_host){ .name = host(a)->name,
		.implicit = host(a)->implicit };
}

static const char *
keep(struct dlv_attempt *a, const char *s)
{
	return hb_arena_cstr(a->arena, hb_span_str(s));
}

/* RES with where and over what it came. */
static struct dlv_outcome
make_outcome(struct dlv_attempt *a, const struct dlv_result *res)
{
	char tls[32];
	struct dlv_outcome o = { .res = *res, .mx = host_name(a),
		.addr = keep(a, a->addr_text),
		.sts = a->verdict.sts_word != NULL ? a->verdict.sts_word
						   : "none" };

	hb_tls_facts_word(&a->facts, tls);
	o.tls = keep(a, tls);
	o.res.text = hb_arena_span(a->arena, res->text);
	return o;
}

/* Why the attempt comes to nothing, unless something better is found.  A
 * policy's word is kept before a connection's trouble. */
static void
note_problem(struct dlv_attempt *a, const struct dlv_result *res, bool policy)
{
	if (a->policy_problem && !policy)
		return;
	a->problem = make_outcome(a, res);
	a->policy_problem = policy;
}

static void
set_status(struct dlv_result *res, const char *status)
{
	HB_ASSERT(hb_span_copy(hb_span_str(status), res->status,
		      sizeof(res->status)) == 0);
}

static const char *
policy_status(enum hb_reason r)
{
	/* RFC 3463 s3.8: 4.7.5 cryptographic failure, 4.7.0 other */
	switch (hb_reason_tlsrpt(r)[0]) {
	case 'c':
		return "4.7.5";
	default:
		return r == HB_REASON_TLS_HANDSHAKE ||
			r == HB_REASON_TLS_VERSION
		    ? "4.7.5"
		    : "4.7.0";
	}
}

/* A verdict that does not let the message through: always for now. */
static void
note_verdict(struct dlv_attempt *a, const struct sts_verdict *v)
{
	char text[HB_MAX_DOMAIN + 512];
	struct dlv_result res = { .result = HB_RESULT_DEFER,
		.reason = v->reason, .code = 451 };
	int n = snprintf(text, sizeof(text), "%s: %s%s%s%s",
	    host_name(a), hb_reason_text(v->reason),
	    a->facts.error[0] != '\0' ? " (" : "", a->facts.error,
	    a->facts.error[0] != '\0' ? ")" : "");

	set_status(&res, policy_status(v->reason));
	res.text = hb_span(text, n < 0 ? 0
		: (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	a->verdict = *v;
	note_problem(a, &res, true);
}

static void
note_trial(struct dlv_attempt *a, const struct sts_verdict *v)
{
	struct dlv_trial *t = &a->trials[a->host];

	t->judged = true;
	t->verdict = *v;
	if (a->facts.state != HB_TLSF_UNKNOWN) {
		t->facts = a->facts;
		hb_tls_facts_word(&a->facts, t->tls);
	}
	t->text = hb_arena_span(a->arena, hb_span_str(a->facts.error));
}

/* RES for each recipient that is not decided yet. */
static void
settle(struct dlv_attempt *a, const struct dlv_outcome *o)
{
	for (size_t i = 0; i < a->order.nrcpt; i++)
		if (a->outcome[i].res.result == HB_RESULT_NONE)
			a->outcome[i] = *o;
}

static void
end(struct dlv_attempt *a)
{
	a->step = STEP_END;
}

static void
end_with(struct dlv_attempt *a, enum hb_result result, enum hb_reason reason,
    unsigned code, const char *status)
{
	struct dlv_result res = { .result = result, .reason = reason,
		.code = code, .text = hb_span_str(hb_reason_text(reason)) };

	set_status(&res, status);
	a->problem = make_outcome(a, &res);
	end(a);
}

/* --- learning ----------------------------------------------------------- */

static uint16_t
default_port(const struct dlv_attempt *a)
{
	static const uint16_t ports[HB_ROUTE_COUNT] = {
#define X(sym, prefix, number) [HB_ROUTE_##sym] = (number),
		HB_ROUTES(X)
#undef X
	};

	if (a->route.port != 0)
		return a->route.port;
	if (a->route.kind == HB_ROUTE_MX && a->order.conf->lab)
		return (uint16_t)a->order.conf->smtp_port;
	return ports[a->route.kind];
}

static bool
is_lmtp(const struct dlv_attempt *a)
{
	return a->route.kind == HB_ROUTE_LMTP ||
	    a->route.kind == HB_ROUTE_LMTP_UNIX;
}

static const struct hb_strs *
keep_names(struct dlv_attempt *a, const struct hb_strs *from)
{
	struct hb_strs *to = hb_arena_alloc(a->arena, sizeof(*to));

	to->v = hb_arena_alloc(a->arena, (from->n + 1) * sizeof(*to->v));
	for (to->n = 0; to->n < from->n; to->n++)
		to->v[to->n] = hb_arena_cstr(a->arena,
		    hb_span_str(from->v[to->n]));
	return to;
}

/* The operator's word that sets published policies aside for less is logged
 * each time it counts. */
static void
log_exemption(const struct dlv_attempt *a, const struct hb_tls_policy *p)
{
	if (a->order.mode != DLV_SEND || a->channel.mta_sts_off ||
	    a->channel.demand_verified ||
	    (p->level != HB_TLS_NONE && p->level != HB_TLS_ENCRYPT))
		return;
	HB_LOG(HB_LOG_INFO, HB_EV_POLICY,
	    hb_kv_id(HB_K_MSG, a->order.env->id),
	    hb_kv_span(HB_K_DOMAIN, a->route.host),
	    hb_kv_str(HB_K_ACTION, "exempted"),
	    hb_kv_str(HB_K_MODE, hb_tls_level_word(p->level)),
	    hb_kv_str(HB_K_REASON, hb_reason_word(HB_REASON_OPERATOR)),
	    hb_kv_if(p->reason != NULL,
		hb_kv_str(HB_K_TEXT, p->reason != NULL ? p->reason : "")));
}

/*
 * The policy domain is that of the next hop: the domain whose MX records are
 * used, or the host of the route (RFC 8461 s3.4).  An address has none.
 */
static void
set_channel(struct dlv_attempt *a)
{
	const struct hb_conf *conf = a->order.conf;
	int64_t now = a->world->now_ms();
	const struct hb_tls_policy *p;

	a->channel = (struct sts_channel){ .level = HB_TLS_MAY,
		.mta_sts_off = !conf->mta_sts,
		.clock_implausible = a->order.clock_implausible,
		.demand_verified = a->route.kind == HB_ROUTE_SMTP_TLS ||
		    a->route.kind == HB_ROUTE_SMTPS };
	a->port = default_port(a);
	if (is_lmtp(a)) {
		a->channel.level = HB_TLS_NONE;
		return;
	}
	p = hb_conf_tls_policy(conf, a->route.host, now);
	if (p == NULL && a->route.kind != HB_ROUTE_MX)
		p = hb_conf_tls_policy(conf, a->order.domain, now);
	if (p != NULL) {
		a->channel.level = p->level;
		a->channel.names = keep_names(a, &p->names);
		log_exemption(a, p);
	}
	if (!a->route.literal)
		HB_ASSERT(hb_span_copy(a->route.host, a->policy_domain,
			      sizeof(a->policy_domain)) == 0);
}

static void
ask(struct dlv_attempt *a, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	a->waiting++;
	a->world->ask(a->w, a, slot, name, type);
}

static void
ask_policy(struct dlv_attempt *a)
{
	if (a->policy_domain[0] == '\0' || !sts_needs_lookup(&a->channel))
		return;
	a->waiting++;
	a->world->policy(a->w, a, hb_span_str(a->policy_domain),
	    a->order.final);
}

static void
ask_addresses(struct dlv_attempt *a)
{
	size_t n = a->mx.n;

	a->trials = hb_arena_alloc(a->arena, (n + 1) * sizeof(*a->trials));
	for (size_t i = 0; i < n; i++) {
		struct hb_span name = hb_span_str(a->mx.hosts[i].name);

		ask(a, SLOT_HOSTS + 2 * i, name, HB_DNS_AAAA);
		ask(a, SLOT_HOSTS + 2 * i + 1, name, HB_DNS_A);
	}
}

static void
take_literal(struct dlv_attempt *a)
{
	struct dlv_host *h = hb_arena_alloc(a->arena, sizeof(*h));

	a->mx = (struct dlv_mx){ .hosts = h, .n = 1, .result = HB_RESULT_OK };
	a->trials = hb_arena_alloc(a->arena, sizeof(*a->trials));
	h->naddr = 1;
	if (a->route.kind == HB_ROUTE_LMTP_UNIX)
		return;
	if (hb_netaddr_parse(a->route.host, &h->addr[0]) < 0 ||
	    hb_span_copy(a->route.host, h->name, sizeof(h->name)) < 0)
		a->mx.n = h->naddr = 0;
	h->addr[0].port = a->port;
}

/* A named host: hosts-file before DNS; no MX look-up, no check for self. */
static void
take_host(struct dlv_attempt *a)
{
	struct dlv_host *h;

	dlv_mx_single(&a->mx, a->route.host, a->arena);
	if (a->mx.n == 0) {
		a->trials = hb_arena_alloc(a->arena, sizeof(*a->trials));
		return;
	}
	h = &a->mx.hosts[0];
	h->naddr = a->world->hosts_file(a->w, a->route.host, h->addr,
	    HB_MAX_HOST_ADDRESSES);
	for (size_t i = 0; i < h->naddr; i++)
		h->addr[i].port = a->port;
	if (h->naddr == 0)
		ask_addresses(a);
	else
		a->trials = hb_arena_alloc(a->arena, sizeof(*a->trials));
}

static void
learn(struct dlv_attempt *a)
{
	/* One more than is awaited, so that an early answer ends nothing. */
	a->waiting = 1;
	ask_policy(a);
	if (a->route.kind == HB_ROUTE_MX && !a->route.literal)
		ask(a, SLOT_MX, a->route.host, HB_DNS_MX);
	else if (a->route.literal || a->route.kind == HB_ROUTE_LMTP_UNIX)
		take_literal(a);
	else
		take_host(a);
	a->waiting--;
}

static void
learned(struct dlv_attempt *a)
{
	const struct dlv_mx *m = &a->mx;

	dlv_mx_finish(&a->mx,
	    a->route.kind == HB_ROUTE_MX ? a->order.self : NULL);
	if (m->result != HB_RESULT_OK)
		end_with(a, m->result, m->reason, m->code, m->status);
	else
		a->step = STEP_NEXT;
}

void
dlv_attempt_policy(struct dlv_attempt *a, const struct sts_policy *policy,
    enum hb_reason why)
{
	a->channel.policy = policy;
	a->channel.no_policy = why;
	a->waiting--;
	run(a);
}

void
dlv_attempt_answer(struct dlv_attempt *a, size_t slot,
    const struct hb_dns_answer *answer)
{
	if (slot == SLOT_MX) {
		dlv_mx_begin(&a->mx, a->route.host, answer, a->world->random,
		    a->arena);
		ask_addresses(a);
	} else {
		dlv_mx_address(&a->mx, (slot - SLOT_HOSTS) / 2, answer,
		    a->port);
	}
	a->waiting--;
	run(a);
}

/* --- trying ------------------------------------------------------------- */

static void
next_address(struct dlv_attempt *a)
{
	a->addr++;
	a->plain = a->fresh = false;
	a->facts = (struct hb_tls_facts){ .state = HB_TLSF_UNKNOWN };
	a->step = STEP_NEXT;
}

static void
next_host(struct dlv_attempt *a)
{
	next_address(a);
	a->host++;
	a->addr = 0;
}

static enum dlv_tls_use
tls_use(const struct dlv_attempt *a)
{
	if (is_lmtp(a) || a->plain)
		return DLV_TLS_NEVER;
	if (a->route.kind == HB_ROUTE_SMTPS)
		return DLV_TLS_IMPLICIT;
	return a->channel.level == HB_TLS_NONE && !a->channel.demand_verified
	    ? DLV_TLS_NEVER
	    : DLV_TLS_OFFERED;
}

/* Would the verdict on clear text be no? */
static bool
is_tls_demanded(const struct dlv_attempt *a)
{
	struct hb_tls_facts none = { .state = HB_TLSF_NOT_OFFERED };
	struct sts_host h = judged_host(a);

	return sts_decide_tls(&a->channel, &h, &none,
	    a->world->now_ms()).action != STS_PROCEED;
}

static void
open_link(struct dlv_attempt *a)
{
	const struct dlv_host *h = host(a);
	struct sts_host judged = judged_host(a);
	struct dlv_target t = { .addr = h->addr[a->addr],
		.path = a->route.rest, .policy_domain = a->policy_domain,
		.mx = h->name, .tls = tls_use(a), .lmtp = is_lmtp(a),
		.fresh = a->fresh,
		.facts = a->plain ? &a->facts : NULL };

	if (!a->route.literal) {
		t.reference = sts_reference_name(&a->channel, &judged);
		t.names = a->channel.names;
	}
	t.demanded = t.tls != DLV_TLS_NEVER && is_tls_demanded(a);
	a->tried = true;
	a->step = STEP_WAIT;
	a->world->open(a->w, a, &t);
}

static void
note_down(struct dlv_attempt *a)
{
	struct dlv_result down = { .result = HB_RESULT_DEFER,
		.reason = HB_REASON_HOST_DOWN, .code = 451,
		.status = "4.4.1",
		.text = hb_span_str(hb_reason_text(HB_REASON_HOST_DOWN)) };

	a->tried = true;
	note_problem(a, &down, false);
}

static void
try_address(struct dlv_attempt *a)
{
	const struct hb_netaddr *addr = &host(a)->addr[a->addr];

	a->addr_text[0] = '\0';
	if (addr->family != 0)
		hb_netaddr_format(addr, a->addr_text);
	if (a->order.mode == DLV_SEND && !a->order.flush &&
	    addr->family != 0 && a->world->is_down(a->w, addr)) {
		note_down(a);
		next_address(a);
		return;
	}
	open_link(a);
}

/* The host is judged by its name before anything is sent to it. */
static void
try_host(struct dlv_attempt *a)
{
	struct sts_host h = judged_host(a);
	struct sts_verdict v;

	if (a->addr == 0 && !a->plain && !a->fresh) {
		a->addr_text[0] = '\0';
		v = sts_decide_mx(&a->channel, &h, a->world->now_ms());
		a->verdict = v;
		note_trial(a, &v);
		if (v.action == STS_DEFER) {
			note_verdict(a, &v);
			end(a);
			return;
		}
		if (v.action == STS_SKIP) {
			note_verdict(a, &v);
			next_host(a);
			return;
		}
	}
	if (a->order.mode == DLV_EXPLAIN)
		next_host(a);
	else
		try_address(a);
}

static void
choose(struct dlv_attempt *a)
{
	if (a->host >= a->mx.n)
		end(a);
	else if (a->addr >= host(a)->naddr)
		next_host(a);
	else
		try_host(a);
}

/* --- judging and sending ------------------------------------------------ */

/* The recipients that are not decided yet make the transaction. */
static bool
fill_txn(struct dlv_attempt *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->order.nrcpt; i++) {
		if (a->outcome[i].res.result != HB_RESULT_NONE)
			continue;
		a->txn.rcpt[n] = a->order.rcpt[i];
		a->index[n++] = i;
	}
	a->txn.nrcpt = n;
	a->txn.env = a->order.env;
	return n > 0;
}

static void
judge(struct dlv_attempt *a)
{
	struct sts_host h = judged_host(a);
	struct sts_verdict v = sts_decide_tls(&a->channel, &h, &a->facts,
	    a->world->now_ms());
	bool mail = v.action == STS_PROCEED && a->order.mode == DLV_SEND;

	a->verdict = v;
	note_trial(a, &v);
	if (mail && fill_txn(a)) {
		a->step = STEP_WAIT;
		a->world->mail(a->w, a, &a->txn, &v);
		return;
	}
	a->world->release(a->w, a, false);
	if (v.action != STS_PROCEED)
		note_verdict(a, &v);
	if (v.action == STS_DEFER || mail)
		end(a);
	else if (v.action == STS_SKIP)
		next_address(a);
	else /* explain: this host would do, what of the next? */
		next_host(a);
}

/*
 * The connection ended before its facts could be used.  A handshake that
 * failed is a fact: where policy lets clear text through, the same address
 * is tried once more without TLS.
 */
static void
closed_early(struct dlv_attempt *a, const struct dlv_link_report *r)
{
	enum hb_tls_state seen = a->facts.state;
	bool tls_failed = !a->plain && (seen == HB_TLSF_FAILED ||
	    seen == HB_TLSF_INJECTED || seen == HB_TLSF_REFUSED);
	struct sts_host h = judged_host(a);
	struct sts_verdict v;

	if (!tls_failed) {
		note_problem(a, r->failure, false);
		next_address(a);
		return;
	}
	v = sts_decide_tls(&a->channel, &h, &a->facts, a->world->now_ms());
	note_trial(a, &v);
	if (v.action == STS_PROCEED &&
	    a->route.kind != HB_ROUTE_SMTPS) {
		a->plain = true;
		a->step = STEP_NEXT;
		return;
	}
	note_verdict(a, &v);
	if (v.action == STS_DEFER)
		end(a);
	else
		next_address(a);
}

/* Takes what the client decided; returns how many are still open. */
static size_t
take_results(struct dlv_attempt *a, bool dsn)
{
	size_t left = 0;

	for (size_t i = 0; i < a->txn.nrcpt; i++) {
		const struct dlv_result *res = &a->txn.rcpt[i].result;
		struct dlv_outcome *o = &a->outcome[a->index[i]];

		if (res->result == HB_RESULT_NONE) {
			left++;
			continue;
		}
		*o = make_outcome(a, res);
		o->dsn = dsn;
	}
	return left;
}

/* RFC 5321 s4.5.3.1.10: 452 to the recipients beyond a server's limit; they
 * go in a transaction of their own. */
static bool
reopen_surplus(struct dlv_attempt *a)
{
	size_t ok = 0, surplus = 0;

	for (size_t i = 0; i < a->txn.nrcpt; i++)
		ok += a->txn.rcpt[i].result.result == HB_RESULT_OK;
	if (ok == 0)
		return false;
	for (size_t i = 0; i < a->txn.nrcpt; i++) {
		if (a->txn.rcpt[i].result.code != 452)
			continue;
		a->outcome[a->index[i]].res.result = HB_RESULT_NONE;
		surplus++;
	}
	return surplus > 0;
}

static void
message_done(struct dlv_attempt *a, const struct dlv_link_report *r)
{
	if (r->mail != NULL && r->mail->result == HB_RESULT_DEFER) {
		/* not this host, not now: perhaps the next */
		note_problem(a, r->mail, false);
		a->txn.nrcpt = 0;
		a->world->release(a->w, a, true);
		next_host(a);
		return;
	}
	take_results(a, r->dsn);
	if (reopen_surplus(a)) {
		a->step = STEP_JUDGE;
		return;
	}
	a->world->release(a->w, a, true);
	end(a);
}

static void
closed_in_mail(struct dlv_attempt *a, const struct dlv_link_report *r)
{
	struct dlv_outcome lost;

	if (take_results(a, false) == 0) {
		end(a);
		return;
	}
	if (r->in_doubt) { /* it may have been taken: only time helps */
		lost = make_outcome(a, r->failure);
		settle(a, &lost);
		end(a);
		return;
	}
	note_problem(a, r->failure, false);
	next_address(a);
}

static void
closed(struct dlv_attempt *a, const struct dlv_link_report *r)
{
	bool mailing = a->txn.nrcpt > 0;

	a->world->release(a->w, a, false);
	if (r->reused && !r->in_doubt) {
		/* an idle connection had died: that says nothing of the host */
		if (mailing)
			take_results(a, false);
		a->txn.nrcpt = 0;
		a->fresh = true;
		a->step = STEP_NEXT;
	} else if (mailing) {
		closed_in_mail(a, r);
		a->txn.nrcpt = 0;
	} else {
		closed_early(a, r);
	}
}

void
dlv_attempt_link(struct dlv_attempt *a, const struct dlv_link_report *r)
{
	if (r->facts != NULL)
		a->facts = *r->facts;
	if (r->event != DLV_LINK_NO_CONNECT)
		a->connected = true;
	switch (r->event) {
	case DLV_LINK_READY:
		a->txn.nrcpt = 0;
		a->step = STEP_JUDGE;
		break;
	case DLV_LINK_DONE:
		message_done(a, r);
		break;
	case DLV_LINK_NO_CONNECT:
		a->world->release(a->w, a, false);
		a->trials[a->host].text = hb_arena_span(a->arena,
		    r->failure->text);
		note_problem(a, r->failure, false);
		next_address(a);
		break;
	case DLV_LINK_CLOSED:
		closed(a, r);
		break;
	}
	run(a);
}

/* --- the machine -------------------------------------------------------- */

static void
finish(struct dlv_attempt *a)
{
	settle(a, &a->problem);
	a->step = STEP_ENDED;
	a->world->done(a->w, a);
}

/* Without hosts the policy is not waited for: after trouble of DNS that takes
 * a minute.  An explanation wants to show it. */
static bool
is_hopeless(const struct dlv_attempt *a)
{
	return a->order.mode == DLV_SEND &&
	    a->mx.result != HB_RESULT_NONE && a->mx.result != HB_RESULT_OK;
}

/* Returns whether something was done; false: wait for an answer. */
static bool
advance(struct dlv_attempt *a)
{
	switch (a->step) {
	case STEP_LEARN:
		if (a->waiting > 0 && !is_hopeless(a))
			return false;
		learned(a);
		return true;
	case STEP_NEXT:
		choose(a);
		return true;
	case STEP_JUDGE:
		judge(a);
		return true;
	case STEP_WAIT:
	case STEP_END:
	case STEP_ENDED:
		break;
	}
	return false;
}

/* Answers may come while a question is being asked: they only mark that
 * there is more to do, so that the stack stays flat. */
static void
run(struct dlv_attempt *a)
{
	if (a->running) {
		a->again = true;
		return;
	}
	a->running = true;
	do {
		a->again = false;
		while (advance(a))
			;
	} while (a->again);
	a->running = false;
	if (a->step == STEP_END)
		finish(a); /* may free the attempt */
}

static bool
read_route(struct dlv_attempt *a)
{
	return hb_route_parse(a->order.route, &a->route) == 0 &&
	    hb_route_is_remote(a->route.kind) &&
	    a->route.host.n <= HB_MAX_DOMAIN;
}

void
dlv_attempt_start(struct dlv_attempt *a)
{
	a->running = true;
	if (!read_route(a)) {
		end_with(a, HB_RESULT_FAIL, HB_REASON_ROUTE_ERROR, 550,
		    "5.4.4");
	} else {
		set_channel(a);
		learn(a);
	}
	a->running = false;
	run(a);
}

struct dlv_attempt *
dlv_attempt_new(const struct dlv_order *order, const struct dlv_world *world,
    void *w)
{
	struct dlv_attempt *a = HB_NEW(struct dlv_attempt);
	size_t n = order->nrcpt + 1;

	a->order = *order;
	a->world = world;
	a->w = w;
	a->arena = hb_arena_new();
	a->outcome = hb_arena_alloc(a->arena, n * sizeof(*a->outcome));
	a->txn.rcpt = hb_arena_alloc(a->arena, n * sizeof(*a->txn.rcpt));
	a->index = hb_arena_alloc(a->arena, n * sizeof(*a->index));
	return a;
}

void
dlv_attempt_free(struct dlv_attempt **ap)
{
	if (*ap == NULL)
		return;
	hb_arena_free(&(*ap)->arena);
	free(*ap);
	*ap = NULL;
}

const struct dlv_outcome *
dlv_attempt_outcome(const struct dlv_attempt *a, size_t rcpt)
{
	return &a->outcome[rcpt];
}

bool
dlv_attempt_unreachable(const struct dlv_attempt *a)
{
	return a->tried && !a->connected && !a->policy_problem;
}

const struct dlv_mx *
dlv_attempt_mx(const struct dlv_attempt *a)
{
	return &a->mx;
}

const struct dlv_trial *
dlv_attempt_trial(const struct dlv_attempt *a, size_t i)
{
	return &a->trials[i];
}

const struct sts_channel *
dlv_attempt_channel(const struct dlv_attempt *a)
{
	return &a->channel;
}

const char *
dlv_attempt_policy_domain(const struct dlv_attempt *a)
{
	return a->policy_domain;
}

const struct dlv_outcome *
dlv_attempt_problem(const struct dlv_attempt *a)
{
	return &a->problem;
}
