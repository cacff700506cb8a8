/*
 * An attempt in a hostile world: the first bytes choose route, words of the
 * operator and of the sender, the rest is what DNS, stores, servers and the
 * network answer, now or later.  It must end, decide each recipient, and send
 * over nothing weaker than what was demanded.
 */
#include <stdlib.h>

#include "delivery/smtp/attempt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_LATE = 256, RCPTS = 3 };

struct question {
	size_t slot; /* SIZE_MAX: the policy; SIZE_MAX - 1: the ledger */
	enum hb_dns_type type;
};
struct fuzz {
	struct dlv_attempt *a;
	const uint8_t *data;
	size_t n;
	struct question late[MAX_LATE]; /* answered in time */
	size_t nlate;
	const struct sts_policy *policy;
	const struct dlv_seen *seen;
	struct hb_tls_facts facts;
	uint64_t digest; /* of the records of the connection */
	bool unmatched;	 /* they do not fit its certificate */
	bool open, mailing, sent, done;
	bool opening; /* then EVENT */
	enum dlv_connection_event event;
	const struct dlv_txn *txn;
};

static uint8_t
take(struct fuzz *f)
{
	if (f->n == 0)
		return 0;
	f->n--;
	return *f->data++;
}

/* --- answers --- */

static void
fill_records(struct hb_dns_rr *rr, enum hb_dns_type type, uint8_t kind)
{
	static unsigned char bytes[64] = { 10, 0, 0, 1 };
	static const char *const names[] = { "x.test", "m1.x.test",
		"m2.x.test", "" };

	for (size_t i = 0; i < 2; i++) {
		rr[i] = (struct hb_dns_rr){ .type = type,
			.name = hb_span_str(names[(kind + i) % 4]),
			.preference = kind % 3,
			.tlsa_usage = kind % 8 == 7 ? 1 : 2 + kind % 2,
			.tlsa_selector = kind / 8 % 2,
			.tlsa_match = kind % 16 == 15 ? 2 : 1 };
		rr[i].data = hb_span(bytes, type == HB_DNS_A ? 4
			: type == HB_DNS_AAAA		     ? 16
							     : 32);
	}
}

static const struct hb_dns_answer *
make_answer(struct fuzz *f, enum hb_dns_type type)
{
	static struct hb_dns_rr rr[2];
	static struct hb_dns_answer a;
	uint8_t how = take(f);

	a = (struct hb_dns_answer){ .status = (enum hb_dns_status)(how & 3),
		.ad = (how & 4) == 0, .aliased = (how & 8) != 0,
		.canonical = HB_SPAN("end.test"), .rr = rr };

	if ((how & 16) == 0) /* mostly there is something */
		a.status = HB_DNS_OK;
	if (a.status == HB_DNS_OK)
		a.n = (how & 32) != 0 ? 2 : 1;
	fill_records(rr, type, take(f));
	return &a;
}

static void
answer(struct fuzz *f, const struct question *q)
{
	if (q->slot == SIZE_MAX)
		dlv_attempt_policy(f->a, take(f) % 2 ? f->policy : NULL,
		    take(f) % 2 ? HB_REASON_STS_NO_RECORD
				: HB_REASON_STS_STORE);
	else if (q->slot == SIZE_MAX - 1)
		dlv_attempt_ledger(f->a, take(f) % 4 ? f->seen : NULL);
	else
		dlv_attempt_answer(f->a, q->slot, make_answer(f, q->type));
}

/* True: the answer is known now. */
static bool
put(struct fuzz *f, size_t slot, enum hb_dns_type type)
{
	if (take(f) % 2 == 0)
		return true;
	HB_ASSERT(f->nlate < MAX_LATE);
	f->late[f->nlate++] = (struct question){ slot, type };
	return false;
}

static bool
world_policy(void *w, struct hb_span domain, bool final,
    const struct sts_policy **policy, enum hb_reason *why)
{
	struct fuzz *f = w;

	if (!put(f, SIZE_MAX, HB_DNS_TXT))
		return false;
	*policy = take(f) % 2 ? f->policy : NULL;
	*why = take(f) % 2 ? HB_REASON_STS_NO_RECORD : HB_REASON_STS_STORE;
	return true;
}

static const struct dlv_seen *
world_ledger(void *w, struct hb_span domain)
{
	struct fuzz *f = w;

	return put(f, SIZE_MAX - 1, HB_DNS_TXT) ? f->seen : NULL;
}

static void
world_note(void *w, struct hb_span domain, struct hb_span mx, enum hb_rank r)
{
	HB_ASSERT(r > HB_RANK_NONE && r < HB_RANK_COUNT);
}

static const struct hb_dns_answer *
world_ask(void *w, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	HB_ASSERT(name.n > 0 && name.n <= HB_MAX_DOMAIN);
	return put(w, slot, type) ? make_answer(w, type) : NULL;
}

static size_t
world_hosts_file(void *w, struct hb_span name, struct hb_netaddr *out,
    size_t max)
{
	HB_ASSERT(max > 0);
	*out = (struct hb_netaddr){ 4, { 10, 0, 0, 9 }, 0 };
	return take(w) % 8 == 1;
}

static enum hb_reason
world_why_down(void *w, const struct hb_netaddr *addr)
{
	return take(w) % 8 == 1 ? HB_REASON_CONNECT_REFUSED : HB_REASON_NONE;
}

/* --- connections --- */

static void
report(struct fuzz *f, enum dlv_connection_event event)
{
	struct hb_outcome why = { .result = HB_RESULT_DEFER,
		.reason = HB_REASON_CONNECTION_LOST };
	struct dlv_connection_report r = { .event = event, .facts = &f->facts,
		.failure = &why, .reused = take(f) % 4 == 1,
		.in_doubt = f->mailing && take(f) % 2 == 1 };

	if (event == DLV_LINK_DONE && take(f) % 4 == 1)
		r.mail = &why;
	if (event == DLV_LINK_NO_CONNECT)
		r.facts = NULL;
	f->mailing = false;
	f->open = event == DLV_LINK_DONE || event == DLV_LINK_READY;
	dlv_attempt_connection(f->a, &r);
}

static void
world_open(void *w, const struct dlv_target *t)
{
	struct fuzz *f = w;
	uint8_t how = take(f), state = take(f), chain = take(f),
		dane = take(f);

	f->digest = t->dane != NULL ? t->dane->digest : 0;
	f->facts = (struct hb_tls_facts){
		.state = state % 2 ? HB_TLSF_DONE
				   : (enum hb_tls_state)(1 + state / 2 % 5),
		.chain = chain % 2 ? HB_CHAIN_OK
				   : (enum hb_chain_state)(chain / 2 % 5),
		.name_ok = (how & 8) == 0, .requiretls = (how & 16) == 0,
		.version = (how & 96) == 96 ? 11 : 13,
		.dane_digest = (how & 128) == 0 ? f->digest : 1,
		.dane = dane % 2 ? HB_DANE_EE
				 : (enum hb_dane_match)(dane / 2 % 4) };
	if (t->facts != NULL)
		f->facts = *t->facts;
	if (t->reference != NULL)
		(void)!hb_span_copy(hb_span_str(t->reference),
		    f->facts.reference, sizeof(f->facts.reference));
	f->unmatched = t->dane != NULL && (!hb_tls_facts_dane(&f->facts) ||
	    f->facts.dane_digest != f->digest);
	f->opening = true;
	f->event = how % 4 > 1 ? DLV_LINK_READY
	    : how % 4 == 1     ? DLV_LINK_CLOSED
			       : DLV_LINK_NO_CONNECT;
}

/* What has to hold, said without the code that judges. */
static void
check_channel(const struct fuzz *f)
{
	const struct sts_channel *ch = dlv_attempt_channel(f->a);
	bool tls = f->facts.state == HB_TLSF_DONE && f->facts.version >= 12;

	HB_ASSERT(f->open);
	HB_ASSERT(f->facts.state != HB_TLSF_INJECTED);
	if (ch->require_tls)
		HB_ASSERT(tls && f->facts.requiretls && !f->unmatched);
	if (!ch->tls_optional || ch->level == HB_TLS_DANE)
		HB_ASSERT(!f->unmatched);
	if (ch->level == HB_TLS_DANE)
		HB_ASSERT(f->digest != 0);
	if (ch->level == HB_TLS_ENCRYPT || ch->demand_verified ||
	    f->digest != 0)
		HB_ASSERT(tls || (ch->tls_optional &&
			ch->level == HB_TLS_MAY && !ch->demand_verified));
}

static void
world_mail(void *w, const struct dlv_txn *txn,
    const struct sts_verdict *v)
{
	struct fuzz *f = w;

	HB_ASSERT(v->action == STS_PROCEED && txn->nrcpt > 0);
	check_channel(f);
	f->sent = f->mailing = true;
	f->txn = txn;
}

static void
finish_mail(struct fuzz *f)
{
	bool done = take(f) % 4 != 1;

	for (size_t i = 0; i < f->txn->nrcpt; i++) {
		uint8_t how = take(f);
		struct hb_outcome r = {
			.result = (enum hb_result)(HB_RESULT_OK + how % 3),
			.code = how & 64 ? 452 : 250 };

		if (done || (how & 32) != 0)
			f->txn->rcpt[i].outcome = r;
	}
	report(f, done ? DLV_LINK_DONE : DLV_LINK_CLOSED);
}

static void
world_release(void *w, bool keep)
{
	struct fuzz *f = w;

	f->open = false;
}

static void
world_done(void *w)
{
	struct fuzz *f = w;

	HB_ASSERT(!f->done);
	f->done = true;
}

static enum dlv_trust
world_ad_trust(void *w)
{
	return (enum dlv_trust)((take(w) + 1) % 3);
}

static bool
world_clock_implausible(void *w)
{
	return take(w) % 8 == 1;
}

static int64_t
world_least_ms(void *w)
{
	return 1000;
}

static uint32_t
zero(uint32_t n)
{
	return 0;
}

static int64_t
now(void)
{
	return 1000;
}

static const struct dlv_world world = { .policy = world_policy,
	.ledger = world_ledger, .note = world_note, .ask = world_ask,
	.hosts_file = world_hosts_file,
	.why_down = world_why_down,
	.open = world_open, .mail = world_mail, .release = world_release,
	.done = world_done, .ad_trust = world_ad_trust,
	.clock_implausible = world_clock_implausible,
	.least_ms = world_least_ms, .random = zero,
	.now_ms = now };

/* --- the run --- */

static void
run(struct fuzz *f)
{
	dlv_attempt_start(f->a);
	while (!f->done) {
		struct question q;

		if (f->mailing) {
			finish_mail(f);
			continue;
		}
		if (f->opening) {
			f->opening = false;
			report(f, f->event);
			continue;
		}
		HB_ASSERT(f->nlate > 0);
		q = f->late[--f->nlate];
		answer(f, &q);
	}
}

static void
check_end(const struct fuzz *f)
{
	bool required = dlv_attempt_channel(f->a)->require_tls;

	for (size_t i = 0; i < RCPTS; i++) {
		const struct hb_outcome *o = dlv_attempt_outcome(f->a, i);

		HB_ASSERT(o->result != HB_RESULT_NONE);
		HB_ASSERT(o->tls.n > 0 && o->sts.n > 0);
		if (o->result == HB_RESULT_OK)
			HB_ASSERT(f->sent);
		if (!f->sent && o->result == HB_RESULT_FAIL)
			HB_ASSERT(o->status.n > 2 && o->status.p[0] == '5' &&
			    (o->status.p[2] != '7' || required));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const paths[] = { "mx://x.test",
		"smtp://m1.x.test", "smtp+tls://m1.x.test",
		"lmtp://m1.x.test:24", "smtp://10.0.0.1", "mx://x.test",
		"smtps://m1.x.test", "mx://x.test" };
	char name[] = "*";
	struct fuzz f = { .data = data, .n = n };
	struct hb_span pattern = HB_SPAN("m1.x.test");
	struct sts_policy policy = { .mode = (enum sts_mode)(take(&f) % 3),
		.expires_ms = 5000, .mx = &pattern, .nmx = 1 };
	struct hb_tls_policy word = { .pattern = name,
		.level = (enum hb_tls_level)(take(&f) % 6) };
	uint8_t how = take(&f);
	struct hb_listen everywhere = { .addr = { .port = 25 }, .any = true };
	struct hb_netaddr ours = { 4, { 10, 0, 0, 1 }, 0 };
	struct hb_conf conf = { .mta_sts = how & 1, .dane = how & 2,
		.listens = { &everywhere, how >> 7 },
		.interfaces = { &ours, 1 },
		.downgrade_memory = (enum hb_downgrade)(take(&f) % 3),
		.tls_policies = { &word, how >> 2 & 1 } };
	const struct hb_conf *now = &conf;
	struct dlv_seen seen = {
		.domain = { .best = (enum hb_rank)(take(&f) % 6) } };
	struct hb_env env = { .id = 1, .flags = (how & 8 ? HB_ENV_REQUIRETLS
		: 0u) | (how & 16 ? HB_ENV_TLS_OPTIONAL : 0u),
		.sender = how & 32 ? HB_SPAN_NONE : HB_SPAN("a@b.test") };
	struct dlv_rcpt rcpt[RCPTS] = { { .address = HB_SPAN("a@x.test") },
		{ .address = HB_SPAN("b@x.test") },
		{ .address = HB_SPAN("c@x.test") } };
	struct dlv_params order = { .domain = HB_SPAN("x.test"), .env = &env,
		.rcpt = rcpt, .nrcpt = RCPTS, .conf = &now,
		.final = how & 64 };

	order.route = hb_span_str(paths[take(&f) % 8]);
	f.policy = &policy;
	f.seen = &seen;
	f.a = dlv_attempt_new(&order, &world, &f);
	run(&f);
	check_end(&f);
	dlv_attempt_free(&f.a);
	return 0;
}
