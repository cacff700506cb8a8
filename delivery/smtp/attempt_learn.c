/* Facts that an attempt needs before it tries a host.  Floor 2. */
#include "delivery/smtp/attempt-priv.h"

#include "common/base/log.h"

enum { /* of DNS questions */
	SLOT_MX = 0,
	SLOT_DANE = 1,
	SLOT_HOSTS = 2 /* then AAAA and A of each host */
};

/* --- the channel --- */

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
	if (a->route.kind == HB_ROUTE_MX && (*a->order.conf)->lab)
		return (uint16_t)(*a->order.conf)->smtp_port;
	return ports[a->route.kind];
}

bool
dlv_is_lmtp(const struct dlv_attempt *a)
{
	return a->route.kind == HB_ROUTE_LMTP ||
	    a->route.kind == HB_ROUTE_LMTP_UNIX;
}

/* The operator's word that sets published policies aside for less is logged
 * each time it counts. */
static void
log_exemption(const struct dlv_attempt *a, const struct hb_tls_policy *p)
{
	if (a->order.mode != DLV_SEND ||
	    (a->channel.mta_sts_off && a->channel.dane_off) ||
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

/* What the operator demands for the recipients' domain holds by whatever way
 * its mail goes; what he lets go there says nothing of another way.  A clock
 * that is not believed ends no demand, `encrypt' included, which is one and
 * an exemption: that one may end. */
static const struct hb_tls_policy *
demand_for(const struct hb_conf *conf, struct hb_span domain, int64_t now_ms,
    bool believed)
{
	const struct hb_tls_policy *p = hb_conf_tls_policy(
	    conf, domain, believed ? now_ms : 0, believed);

	return p != NULL && p->level > HB_TLS_MAY ? p : NULL;
}

const struct hb_tls_policy *
dlv_operator_word(const struct hb_conf *conf, const struct hb_route *route,
    struct hb_span domain, int64_t now_ms, bool believed)
{
	const struct hb_tls_policy *p;

	if (route->kind == HB_ROUTE_LMTP || route->kind == HB_ROUTE_LMTP_UNIX)
		return NULL;
	p = hb_conf_tls_policy(conf, route->host, now_ms, believed);
	if (p == NULL)
		p = demand_for(conf, route->host, now_ms, believed);
	return p != NULL ? p : demand_for(conf, domain, now_ms, believed);
}

/* A hand-over that no network sees. */
static bool
is_on_this_host(const struct hb_route *r)
{
	struct hb_netaddr addr;

	if (r->kind == HB_ROUTE_LMTP_UNIX)
		return true;
	return r->kind == HB_ROUTE_LMTP && r->literal &&
	    hb_netaddr_parse(r->host, &addr) == 0 &&
	    hb_netaddr_is_loopback(&addr);
}

bool
dlv_is_tagged(const struct dlv_attempt *a)
{
	const struct hb_env *e = a->order.env;

	return e != NULL && (e->flags & HB_ENV_REQUIRETLS) != 0 &&
	    !is_on_this_host(&a->route);
}

/* RFC 8689 s4.2.1: a DSN is not dropped because the next hop does not know
 * REQUIRETLS. */
static bool
is_tls_required(const struct dlv_attempt *a)
{
	return dlv_is_tagged(a) && a->order.env->sender.n > 0;
}

/* RFC 8689 s4.1: the parameter goes before the header field. */
static bool
is_tls_optional(const struct dlv_attempt *a)
{
	const struct hb_env *e = a->order.env;

	return e != NULL && (e->flags & HB_ENV_TLS_OPTIONAL) != 0 &&
	    (e->flags & HB_ENV_REQUIRETLS) == 0;
}

static void
add_demand(struct dlv_attempt *a, const struct hb_tls_policy *p)
{
	if (p != NULL && p->level > a->channel.at_least)
		a->channel.at_least = p->level;
}

/*
 * The policy domain is that of the next hop: the domain whose MX records are
 * used, or the host of the route (RFC 8461 s3.4).  An address has none.
 */
static void
set_channel(struct dlv_attempt *a)
{
	const struct hb_conf *conf = *a->order.conf;
	int64_t now = a->world->least_ms(a->w);
	bool believed = !a->world->clock_implausible(a->w);
	const struct hb_tls_policy *p;

	a->channel = (struct sts_channel){ .level = HB_TLS_MAY,
		.mta_sts_off = !conf->mta_sts,
		.dane_off = !conf->dane,
		.configured_hop = a->route.kind != HB_ROUTE_MX,
		.require_tls = is_tls_required(a),
		.tls_optional = is_tls_optional(a),
		.memory = conf->downgrade_memory,
		.demand_verified = a->route.kind == HB_ROUTE_SMTP_TLS ||
		    a->route.kind == HB_ROUTE_SMTPS };
	a->port = default_port(a);
	if (dlv_is_lmtp(a)) {
		a->channel.level = HB_TLS_NONE;
		return;
	}
	add_demand(a, demand_for(conf, a->order.domain, now, believed));
	if (!believed)
		add_demand(a, demand_for(conf, a->route.host, now, false));
	p = hb_conf_tls_policy(conf, a->route.host, now, believed);
	if (p != NULL) {
		a->channel.level = p->level;
		a->channel.names = hb_strs_keep(&p->names, a->arena);
		log_exemption(a, p);
	}
	if (!a->route.literal)
		HB_ASSERT(hb_span_copy(a->route.host, a->policy_domain,
			      sizeof(a->policy_domain)) == 0);
}

bool
dlv_learn_route(struct dlv_attempt *a)
{
	if (hb_route_parse(a->order.route, &a->route) < 0 ||
	    !hb_route_is_remote(a->route.kind) ||
	    a->route.host.n > HB_MAX_DOMAIN)
		return false;
	a->given = hb_conf_says_route(*a->order.conf, a->order.route);
	set_channel(a);
	return true;
}

/* --- policy, MX records, addresses --- */

static void
ask(struct dlv_attempt *a, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	const struct hb_dns_answer *known =
	    a->world->ask(a->w, slot, name, type);

	if (known != NULL)
		dlv_take_answer(a, slot, known);
	else
		a->waiting++;
}

static void
ask_policy(struct dlv_attempt *a)
{
	/* what may be returned at once has no later look at the policy */
	bool final = a->order.final || a->channel.require_tls;
	const struct sts_policy *policy;
	enum hb_reason why;

	if (a->policy_domain[0] == '\0' || !sts_needs_lookup(&a->channel))
		return;
	if (a->world->policy(a->w, hb_span_str(a->policy_domain), final,
		&policy, &why))
		dlv_take_policy(a, policy, why);
	else
		a->waiting++;
}

bool
dlv_is_remembered(const struct dlv_attempt *a)
{
	return a->policy_domain[0] != '\0' &&
	    a->channel.level != HB_TLS_NONE &&
	    a->channel.memory != HB_DOWNGRADE_OFF;
}

static void
ask_ledger(struct dlv_attempt *a)
{
	const struct dlv_seen *seen;

	if (!dlv_is_remembered(a))
		return;
	seen = a->world->ledger(a->w, hb_span_str(a->policy_domain));
	if (seen != NULL)
		dlv_take_ledger(a, seen);
	else
		a->waiting++;
}

/* Of the hosts from FROM on. */
static void
ask_addresses(struct dlv_attempt *a, size_t from)
{
	size_t n = a->mx.n;

	for (size_t i = from; i < n; i++) {
		struct hb_span name = hb_span_str(a->mx.hosts[i].name);

		ask(a, SLOT_HOSTS + 2 * i, name, HB_DNS_AAAA);
		ask(a, SLOT_HOSTS + 2 * i + 1, name, HB_DNS_A);
	}
}

static void
ask_first_addresses(struct dlv_attempt *a)
{
	a->trials = hb_arena_alloc(a->arena,
	    (a->mx.known + 1) * sizeof(*a->trials));
	ask_addresses(a, 0);
}

static void
take_literal(struct dlv_attempt *a)
{
	struct dlv_host *h = hb_arena_alloc(a->arena, sizeof(*h));

	a->mx = (struct dlv_mx){ .hosts = h, .n = 1, .known = 1,
		.result = HB_RESULT_OK };
	a->trials = hb_arena_alloc(a->arena, sizeof(*a->trials));
	h->naddr = 1;
	if (a->route.kind == HB_ROUTE_LMTP_UNIX)
		return;
	if (hb_netaddr_parse(a->route.host, &h->addr[0]) < 0 ||
	    hb_span_copy(a->route.host, h->name, sizeof(h->name)) < 0)
		a->mx.n = a->mx.known = h->naddr = 0;
	h->addr[0].port = a->port;
}

/* A named host: hosts-file before DNS; no MX look-up. */
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
		ask_first_addresses(a);
	else
		a->trials = hb_arena_alloc(a->arena, sizeof(*a->trials));
}

void
dlv_learn(struct dlv_attempt *a)
{
	ask_policy(a);
	ask_ledger(a);
	if (a->route.kind == HB_ROUTE_MX && !a->route.literal)
		ask(a, SLOT_MX, a->route.host, HB_DNS_MX);
	else if (a->route.literal || a->route.kind == HB_ROUTE_LMTP_UNIX)
		take_literal(a);
	else
		take_host(a);
}

/* An unsigned permanent DNS answer that contradicts an enforced policy or the
 * operator's demand may be spoofed.  Defer, or one forged packet could bounce
 * the mail. */
static bool
is_contradicted(const struct dlv_attempt *a)
{
	return a->mx.result == HB_RESULT_FAIL && !a->channel.mx_secure &&
	    (sts_is_proof_demanded(&a->channel) ||
		sts_is_enforced(&a->channel, a->policy_ms));
}

/* The mail's way is the operator's word: that the hop is not found, or takes
 * no mail, says nothing of the recipients. */
static bool
is_hop_unfit(const struct dlv_attempt *a)
{
	return a->mx.result == HB_RESULT_FAIL &&
	    ((a->route.kind != HB_ROUTE_MX && !a->route.literal) ||
		a->given);
}

static void
end_unfit(struct dlv_attempt *a)
{
	struct hb_outcome res =
	    dlv_own_outcome(HB_RESULT_DEFER, HB_REASON_HOP_UNKNOWN);

	if (a->mx.reason == HB_REASON_NULL_MX ||
	    a->mx.reason == HB_REASON_MX_SELF) {
		res.reason = a->mx.reason;
		res.text = hb_span_str(hb_reason_text(res.reason));
	}
	a->problem = dlv_make_outcome(a, &res);
	dlv_end(a);
}

bool
dlv_learn_more(struct dlv_attempt *a)
{
	size_t from = a->mx.n;

	if (!dlv_mx_more(&a->mx))
		return false;
	ask_addresses(a, from);
	return true;
}

void
dlv_learned(struct dlv_attempt *a)
{
	const struct dlv_mx *m = &a->mx;

	a->trust = a->world->ad_trust(a->w);
	a->channel.clock_implausible = a->world->clock_implausible(a->w);
	a->channel.mx_secure = a->trust == DLV_TRUST_YES &&
	    a->mx.records.known && a->mx.records.ad;
	dlv_mx_finish(&a->mx, *a->order.conf,
	    a->route.kind == HB_ROUTE_MX ? DLV_OWN_MX : DLV_OWN_HOP);
	if (is_hop_unfit(a))
		end_unfit(a);
	else if (is_contradicted(a))
		dlv_end_with(a, HB_RESULT_DEFER, HB_REASON_DNS_CONTRADICTED);
	else if (m->result != HB_RESULT_OK)
		dlv_end_with(a, m->result, m->reason);
	else if (a->ledger_lost && a->channel.memory == HB_DOWNGRADE_DEFER)
		dlv_end_with(a, HB_RESULT_DEFER, HB_REASON_STS_STORE);
	else
		a->step = DLV_STEP_NEXT;
}

void
dlv_take_policy(struct dlv_attempt *a, const struct sts_policy *policy,
    enum hb_reason why)
{
	a->channel.policy = policy;
	a->channel.no_policy = why;
	a->policy_ms = a->world->now_ms();
	/* by a clock that was not believed: that may change before the end */
	if (policy != NULL && policy->expires_ms <= a->policy_ms)
		a->policy_ms = policy->expires_ms - 1;
}

void
dlv_take_ledger(struct dlv_attempt *a, const struct dlv_seen *seen)
{
	a->seen = seen;
	a->ledger_lost = seen == NULL;
}

void
dlv_take_answer(struct dlv_attempt *a, size_t slot,
    const struct hb_dns_answer *answer)
{
	if (slot == SLOT_DANE) {
		dlv_dane_answer(&a->dane, answer);
		a->step = DLV_STEP_DANE;
	} else if (slot == SLOT_MX) {
		dlv_mx_begin(&a->mx, a->route.host, answer, a->world->random,
		    a->arena);
		ask_first_addresses(a);
	} else {
		dlv_mx_address(&a->mx, (slot - SLOT_HOSTS) / 2, answer,
		    a->port);
	}
}

/* --- one host --- */

/* A resolver that is trusted and says nothing, for want of EDNS, leaves all
 * open: whoever makes it fail must not turn DANE off where it was seen. */
static enum dlv_trust
trust_in_records(const struct dlv_attempt *a)
{
	bool mute = a->mx.records.plain || dlv_host(a)->address.plain;

	return a->trust == DLV_TRUST_YES && mute ? DLV_TRUST_UNKNOWN
						 : a->trust;
}

/* Why the host is not asked about; USABLE: it is. */
static enum hb_dane_state
why_unasked(const struct dlv_attempt *a)
{
	if (a->channel.dane_off)
		return HB_DANE_OFF;
	/* RFC 7672 s2.2: no DANE for address literals */
	if (!sts_needs_dane(&a->channel) || a->route.literal)
		return HB_DANE_UNASKED;
	switch (trust_in_records(a)) {
	case DLV_TRUST_YES:
		break;
	case DLV_TRUST_NO:
		return HB_DANE_UNTRUSTED;
	case DLV_TRUST_UNKNOWN:
		return a->channel.level == HB_TLS_DANE || a->ledger_lost ||
			a->trials[a->host].best == HB_RANK_DANE
		    ? HB_DANE_UNPROBED
		    : HB_DANE_UNTRUSTED;
	}
	/* RFC 7672 s2.2.1: no DANE behind insecure MX records (our choice) */
	return a->mx.records.known && !a->mx.records.ad ? HB_DANE_INSECURE
							: HB_DANE_USABLE;
}

static void
set_dane(struct dlv_attempt *a, const struct hb_dane *d)
{
	a->trials[a->host].dane = hb_dane_keep(d, a->arena);
	a->known = true;
	a->step = DLV_STEP_NEXT;
}

void
dlv_learn_host(struct dlv_attempt *a)
{
	const struct dlv_signed *mx = &a->mx.records;
	const struct dlv_host *h = dlv_host(a);
	struct dlv_dane_host q = { .name = h->name, .port = a->port,
		.address = h->address };
	struct hb_dane none = { .base = NULL };

	a->trials[a->host].best = dlv_seen_best(a->seen,
	    hb_span_str(h->name));
	none.state = why_unasked(a);
	if (none.state != HB_DANE_USABLE) {
		set_dane(a, &none);
		return;
	}
	if (mx->known && !h->implicit) {
		q.domain = a->policy_domain;
		q.expanded = mx->aliased ? mx->canonical : NULL;
	}
	dlv_dane_begin(&a->dane, &q, a->arena);
	a->step = DLV_STEP_DANE;
}

void
dlv_ask_dane(struct dlv_attempt *a)
{
	if (a->dane.question.n == 0) {
		set_dane(a, &a->dane.found);
		return;
	}
	a->step = DLV_STEP_WAIT;
	ask(a, SLOT_DANE, a->dane.question, dlv_dane_type(&a->dane));
}
