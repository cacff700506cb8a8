/* Hosts, connections and their judgement.  Floor 2. */
#include "common/base/utf8.h"
#include "delivery/smtp/attempt-priv.h"

enum { SMTP = 25 };

/* --- trying --- */

static void
forget_facts(struct dlv_attempt *a)
{
	a->facts = (struct hb_tls_facts){ .state = HB_TLSF_UNKNOWN };
}

static void
next_address(struct dlv_attempt *a)
{
	a->addr++;
	a->turn = DLV_TURN_FIRST;
	forget_facts(a);
	a->step = DLV_STEP_NEXT;
}

static void
next_host(struct dlv_attempt *a)
{
	next_address(a);
	a->host++;
	a->addr = 0;
	a->known = false;
}

static void
note_reach(struct dlv_attempt *a, enum dlv_reach reach)
{
	if (a->reach < reach)
		a->reach = reach;
}

static enum dlv_tls_use
tls_use(const struct dlv_attempt *a)
{
	const struct sts_channel *ch = &a->channel;

	if (a->turn == DLV_TURN_PLAIN)
		return DLV_TLS_NEVER;
	if (a->route.kind == HB_ROUTE_SMTPS)
		return DLV_TLS_IMPLICIT;
	/* LMTP goes without, but for such a message and DSNs about it */
	if (ch->require_tls || (dlv_is_lmtp(a) && dlv_is_tagged(a)))
		return DLV_TLS_OFFERED;
	return ch->level == HB_TLS_NONE && ch->at_least <= HB_TLS_MAY &&
		!ch->demand_verified
	    ? DLV_TLS_NEVER
	    : DLV_TLS_OFFERED;
}

/* As things are now: the trust in the clock may have changed since. */
static struct sts_channel
channel_now(const struct dlv_attempt *a)
{
	struct sts_channel ch = a->channel;

	ch.clock_implausible = a->world->clock_implausible(a->w);
	return ch;
}

static struct sts_verdict
judge_mx(const struct dlv_attempt *a, const struct sts_host *h)
{
	struct sts_channel ch = channel_now(a);

	return sts_decide_mx(&ch, h, a->policy_ms);
}

static struct sts_verdict
judge_tls(const struct dlv_attempt *a, const struct sts_host *h,
    const struct hb_tls_facts *facts)
{
	struct sts_channel ch = channel_now(a);

	return sts_decide_tls(&ch, h, facts, a->policy_ms);
}

/* Would the verdict on clear text be no? */
static bool
is_tls_demanded(const struct dlv_attempt *a)
{
	struct hb_tls_facts none = { .state = HB_TLSF_NOT_OFFERED };
	struct sts_host h = dlv_judged_host(a);

	return judge_tls(a, &h, &none).action != STS_PROCEED;
}

static void
open_link(struct dlv_attempt *a)
{
	const struct dlv_host *h = dlv_host(a);
	struct sts_host judged = dlv_judged_host(a);
	struct dlv_target t = { .addr = h->addr[a->addr],
		.path = a->route.rest, .policy_domain = a->policy_domain,
		.mx = h->name, .tls = tls_use(a), .lmtp = dlv_is_lmtp(a),
		.require_tls = a->channel.require_tls,
		/* behind another port a second server may have our name */
		.may_loop = a->route.kind == HB_ROUTE_MX && a->port == SMTP,
		/* what a host shows now is what is to be explained */
		.fresh = a->turn == DLV_TURN_FRESH ||
		    a->order.mode == DLV_EXPLAIN_LIVE,
		.facts = a->turn == DLV_TURN_PLAIN ? &a->facts : NULL };

	if (!a->route.literal) {
		t.reference = sts_reference_name(&a->channel, &judged);
		t.names = a->channel.names;
	}
	if (judged.dane != NULL && judged.dane->state == HB_DANE_USABLE)
		t.dane = judged.dane;
	t.demanded = t.tls != DLV_TLS_NEVER && is_tls_demanded(a);
	note_reach(a, DLV_REACH_TRIED);
	a->step = DLV_STEP_WAIT;
	a->world->open(a->w, &t);
}

static void
note_down(struct dlv_attempt *a, enum hb_reason why)
{
	struct hb_outcome down =
	    dlv_own_outcome(HB_RESULT_DEFER, HB_REASON_HOST_DOWN);

	down.reason = why;
	down.remembered = 1;
	down.text = hb_span_str(hb_reason_text(why));
	note_reach(a, DLV_REACH_TRIED);
	dlv_note_trouble(a, &down);
}

static void
try_address(struct dlv_attempt *a)
{
	const struct hb_netaddr *addr = &dlv_host(a)->addr[a->addr];
	enum hb_reason down = HB_REASON_NONE;

	a->addr_text[0] = '\0';
	if (addr->family != 0)
		hb_netaddr_format(addr, a->addr_text);
	if (a->order.mode == DLV_SEND && !a->order.flush && addr->family != 0)
		down = a->world->why_down(a->w, addr);
	if (down != HB_REASON_NONE) {
		note_down(a, down);
		next_address(a);
		return;
	}
	open_link(a);
}

/* The host is judged by its name before anything is sent to it. */
static void
try_host(struct dlv_attempt *a)
{
	struct sts_host h = dlv_judged_host(a);
	struct sts_verdict v;

	if (a->addr == 0 && a->turn == DLV_TURN_FIRST) {
		a->addr_text[0] = '\0';
		v = judge_mx(a, &h);
		a->verdict = v;
		dlv_note_trial(a, &v);
		if (v.action == STS_DEFER) {
			dlv_note_refusal(a, &v);
			dlv_end(a);
			return;
		}
		if (v.action == STS_SKIP) {
			dlv_note_refusal(a, &v);
			next_host(a);
			return;
		}
	}
	if (a->order.mode == DLV_EXPLAIN)
		next_host(a);
	else
		try_address(a);
}

void
dlv_choose(struct dlv_attempt *a)
{
	if (a->host >= a->mx.n)
		dlv_end_of_hosts(a);
	else if (a->addr >= dlv_host(a)->naddr)
		next_host(a);
	else if (!a->known)
		dlv_learn_host(a);
	else
		try_host(a);
}

/* --- judging and sending --- */

/* RFC 8689 s2: the parameter belongs to a session that suits it.  The verdict
 * has said so, but of the channel of a DSN, which need not. */
static bool
says_requiretls(const struct dlv_attempt *a)
{
	struct sts_host h = dlv_judged_host(a);
	struct sts_channel ch = channel_now(a);

	if (a->channel.require_tls)
		return true;
	return dlv_is_tagged(a) &&
	    sts_suits_requiretls(&ch, &h, &a->facts, a->policy_ms);
}

/* Recipients that are not decided yet: those with UTF-8, or the others. */
static void
add_open(struct dlv_attempt *a, bool ascii)
{
	for (size_t i = 0; i < a->order.nrcpt; i++) {
		if (a->outcome[i].result != HB_RESULT_NONE ||
		    hb_utf8_is_ascii(a->order.rcpt[i].address) != ascii)
			continue;
		a->txn.rcpt[a->txn.nrcpt] = a->order.rcpt[i];
		a->index[a->txn.nrcpt++] = i;
	}
}

/* They make the transaction. */
static bool
fill_txn(struct dlv_attempt *a)
{
	a->txn.nrcpt = 0;
	add_open(a, true);
	add_open(a, false);
	a->txn.env = a->order.env;
	a->txn.requiretls = says_requiretls(a);
	return a->txn.nrcpt > 0;
}

void
dlv_judge(struct dlv_attempt *a)
{
	struct sts_host h = dlv_judged_host(a);
	struct sts_verdict v = judge_tls(a, &h, &a->facts);
	bool mail = v.action == STS_PROCEED && a->order.mode == DLV_SEND;

	a->verdict = v;
	dlv_note_trial(a, &v);
	if (a->txn.nrcpt == 0) /* else it goes on with more recipients */
		dlv_note_fall(a, &v);
	if (mail && fill_txn(a)) {
		if (dlv_is_remembered(a))
			a->world->note(a->w, hb_span_str(a->policy_domain),
			    hb_span_str(dlv_host(a)->name), v.rank);
		a->step = DLV_STEP_WAIT;
		a->world->mail(a->w, &a->txn, &v);
		return;
	}
	a->world->release(a->w, false);
	if (v.action != STS_PROCEED)
		dlv_note_refusal(a, &v);
	if (v.action == STS_DEFER || mail)
		dlv_end(a);
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
closed_early(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	enum hb_tls_state seen = a->facts.state;
	bool tls_failed = a->turn != DLV_TURN_PLAIN && (seen == HB_TLSF_FAILED ||
	    seen == HB_TLSF_INJECTED || seen == HB_TLSF_REFUSED);
	struct sts_host h = dlv_judged_host(a);
	struct sts_verdict v;

	if (!tls_failed) {
		dlv_note_trouble(a, r->failure);
		next_address(a);
		return;
	}
	v = judge_tls(a, &h, &a->facts);
	dlv_note_trial(a, &v);
	if (v.action == STS_PROCEED &&
	    a->route.kind != HB_ROUTE_SMTPS) {
		a->turn = DLV_TURN_PLAIN;
		a->step = DLV_STEP_NEXT;
		return;
	}
	dlv_note_fall(a, &v);
	dlv_note_refusal(a, &v);
	/* RTLS-06: cut off, or 421: no answer on TLS */
	a->unsettled = a->unsettled || a->facts.cut || seen == HB_TLSF_REFUSED;
	if (v.action == STS_DEFER)
		dlv_end(a);
	else
		next_address(a);
}

/*
 * An address that is ours though no interface has it (behind NAT): neither
 * this host nor one that is not better gets the message, RFC 5321 s5.1.  What
 * was said in clear may be forged: it waits.
 */
static void
found_self(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	if (a->host == 0) /* else what kept the better ones counts */
		dlv_note_trouble(a, r->failure);
	if (a->order.mode == DLV_SEND)
		a->mx.n = a->host + 1;
	next_host(a);
}

/* Takes what the client decided; returns how many are still open. */
static size_t
take_results(struct dlv_attempt *a, bool dsn)
{
	size_t left = 0;

	for (size_t i = 0; i < a->txn.nrcpt; i++) {
		const struct hb_outcome *res = &a->txn.rcpt[i].outcome;
		struct hb_outcome *o = &a->outcome[a->index[i]];

		if (res->result == HB_RESULT_NONE) {
			left++;
			continue;
		}
		*o = dlv_make_outcome(a, res);
		o->dsn_capable = dsn;
		o->handed = dlv_is_lmtp(a) ? HB_HANDED_DELIVERED
					   : HB_HANDED_RELAYED;
	}
	return left;
}

/* The recipients beyond a server's limit go in a transaction of their own. */
static bool
reopen_surplus(struct dlv_attempt *a)
{
	size_t ok = 0, surplus = 0;

	for (size_t i = 0; i < a->txn.nrcpt; i++)
		ok += a->txn.rcpt[i].outcome.result == HB_RESULT_OK;
	if (ok == 0)
		return false;
	for (size_t i = 0; i < a->txn.nrcpt; i++) {
		if (!a->txn.rcpt[i].surplus)
			continue;
		a->outcome[a->index[i]].result = HB_RESULT_NONE;
		surplus++;
	}
	return surplus > 0;
}

/* Recipients that this host does not take, as it has no SMTPUTF8, are open again
 * when all is done here: another host may.  How many. */
static size_t
reopen_utf8(struct dlv_attempt *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->order.nrcpt; i++) {
		struct hb_outcome *o = &a->outcome[i];

		if (o->reason != HB_REASON_NO_SMTPUTF8)
			continue;
		dlv_note_lack(a, o);
		*o = (struct hb_outcome){ .result = HB_RESULT_NONE };
		n++;
	}
	return n;
}

/* The refusal of all recipients that speaks of the channel; NULL: some were
 * taken, or refused for another cause. */
static const struct hb_outcome *
wanted_tls(const struct dlv_attempt *a)
{
	for (size_t i = 0; i < a->txn.nrcpt; i++)
		if (a->txn.rcpt[i].outcome.result != HB_RESULT_NONE &&
		    !dlv_wants_tls(&a->txn.rcpt[i].outcome))
			return NULL;
	return &a->txn.rcpt[0].outcome;
}

/* With the recipients that are left, over this connection or, when it is SPENT,
 * over another one to the same host. */
static void
go_on(struct dlv_attempt *a, bool spent)
{
	if (!spent) {
		a->step = DLV_STEP_JUDGE;
		return;
	}
	a->world->release(a->w, true);
	a->txn.nrcpt = 0;
	forget_facts(a);
	a->turn = DLV_TURN_FRESH;
	a->step = DLV_STEP_NEXT;
}

static void
message_done(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	const struct hb_outcome *tls = wanted_tls(a);
	size_t left;
	bool more;

	if (tls != NULL || (r->mail != NULL &&
			       r->mail->result == HB_RESULT_DEFER)) {
		/* not this host, not now: perhaps the next */
		dlv_note_trouble(a, tls != NULL ? tls : r->mail);
		a->txn.nrcpt = 0;
		a->world->release(a->w, tls == NULL);
		if (tls != NULL)
			next_address(a);
		else
			next_host(a);
		return;
	}
	left = take_results(a, r->dsn);
	more = left > 0 && left < a->txn.nrcpt; /* each time some are decided */
	if (reopen_surplus(a) || more) {
		go_on(a, r->spent);
		return;
	}
	a->world->release(a->w, true);
	if (reopen_utf8(a) == 0) {
		dlv_end(a);
		return;
	}
	a->txn.nrcpt = 0;
	next_host(a);
}

static void
closed_in_mail(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	struct hb_outcome lost;
	size_t left = take_results(a, false);

	if (left + reopen_utf8(a) == 0) {
		dlv_end(a);
		return;
	}
	if (r->in_doubt) { /* it may have been taken: only time helps */
		lost = dlv_make_outcome(a, r->failure);
		dlv_settle(a, &lost);
		dlv_end(a);
		return;
	}
	dlv_note_trouble(a, r->failure);
	next_address(a);
}

static void
closed(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	bool mailing = a->txn.nrcpt > 0;

	a->world->release(a->w, false);
	if (r->reused && !r->in_doubt) {
		/* an idle connection had died: that says nothing of the host */
		if (mailing)
			take_results(a, false);
		a->txn.nrcpt = 0;
		forget_facts(a);
		a->turn = DLV_TURN_FRESH;
		a->step = DLV_STEP_NEXT;
	} else if (mailing) {
		closed_in_mail(a, r);
		a->txn.nrcpt = 0;
	} else if (r->failure->reason == HB_REASON_MX_SELF) {
		found_self(a, r);
	} else {
		closed_early(a, r);
	}
}

void
dlv_take_report(struct dlv_attempt *a, const struct dlv_connection_report *r)
{
	if (r->facts != NULL)
		a->facts = *r->facts;
	if (r->event != DLV_LINK_NO_CONNECT)
		note_reach(a, DLV_REACH_CONNECTED);
	switch (r->event) {
	case DLV_LINK_READY:
		a->txn.nrcpt = 0;
		a->step = DLV_STEP_JUDGE;
		break;
	case DLV_LINK_DONE:
		message_done(a, r);
		break;
	case DLV_LINK_NO_CONNECT:
		a->world->release(a->w, false);
		dlv_note_trouble(a, r->failure);
		next_address(a);
		break;
	case DLV_LINK_CLOSED:
		closed(a, r);
		break;
	}
}
