/*
 * An attempt in a world of the test's own: two mail hosts m1 and m2, one
 * address each.  LINKS is what comes of each connection, in order:
 *	v verified TLS   u unverified TLS   n no STARTTLS   r STARTTLS refused
 *	f handshake failed   F cut off in it   R 421 to STARTTLS
 *	c cannot be connected   l lost before ready
 *	V as v, and REQUIRETLS   d, D as v, V by DANE records
 *	i idle since another message, verified, and dead when it is used
 * and, after a channel that is good, of the message:
 *	+ taken   5 refused   4 MAIL refused for now   ? lost after the body
 *	t refused for want of TLS
 * OPENED is what was opened: 1, 2, and a minus behind when without TLS.
 */
#include "unit.h"

#include "common/proto/stats.h"
#include "delivery/smtp/attempt.h"

struct moment {
	int64_t ms;
	bool implausible;
};

struct fake {
	struct dlv_attempt *a;
	const struct sts_policy *policy;
	const char *links;
	struct hb_buf opened;
	struct hb_tls_facts facts;
	size_t mails;
	struct hb_outcome reply; /* of a host, to all recipients */
	bool requiretls; /* of the last of them */
	bool done;
	enum hb_reason down; /* of all hosts */
	bool jump; /* of the clock, when a host is connected to */
	const struct moment *then; /* the clock, from that on */
	bool idle; /* the connection was, until it was opened */
	bool no_dns; /* MX is not known now, the policy never */
	bool explains; /* connections are to be new ones */
	enum dlv_trust trust;
	bool clock_implausible;
	int64_t good_ms; /* newest time that was right */
	/* MX records: S signed, i not, a signed and the domain an alias; 0:
	 * the domain has none, signed; n, N no such domain, signed, not;
	 * . a null MX record */
	char mx;
	/* Of m1, m2: TLSA records: 3 usable, 0 unusable, - none, e error, i
	 * not even the address is signed, ? never an answer */
	const char *tlsa;
	unsigned asked; /* questions about TLSA records */
	unsigned looked; /* times the policy was asked for */
	bool final; /* the last time so */
	const struct dlv_seen *seen; /* by the ledger; NULL: lost */
	struct hb_buf noted;
	bool late; /* nothing is known when it is asked for */
	/* Answers that are due. */
	bool policy_due, ledger_due, report_due;
	struct question {
		size_t slot;
		enum hb_dns_type type;
		char name[64];
	} questions[8];
	size_t nquestions;
	enum dlv_connection_event event;
	enum hb_reason reason;
	bool in_doubt;
};

static int64_t now_ms = 1000;

/* Comes when the attempt has returned. */
static void
report(struct fake *f, enum dlv_connection_event event, enum hb_reason reason,
    bool in_doubt)
{
	assert_false(f->report_due);
	f->report_due = true;
	f->event = event;
	f->reason = reason;
	f->in_doubt = in_doubt;
}

static void
send_report(struct fake *f)
{
	struct hb_outcome why = { .result = HB_RESULT_DEFER,
		.reason = f->reason };
	struct dlv_connection_report r = { .event = f->event,
		.facts = &f->facts, .failure = &why,
		.in_doubt = f->in_doubt };

	f->report_due = false;
	if (f->event == DLV_LINK_NO_CONNECT)
		r.facts = NULL;
	r.reused = f->idle;
	if (f->event == DLV_LINK_DONE && f->reason != HB_REASON_NONE)
		r.mail = &why;
	dlv_attempt_connection(f->a, &r);
}

static bool
fake_policy(void *w, struct hb_span domain, bool final,
    const struct sts_policy **policy, enum hb_reason *why)
{
	struct fake *f = w;

	f->looked++;
	f->final = final;
	assert_span(domain, "x.test");
	f->policy_due = f->late && !f->no_dns;
	*policy = f->policy;
	*why = HB_REASON_STS_NO_RECORD;
	return !f->late && !f->no_dns;
}

static const struct dlv_seen *
fake_ledger(void *w, struct hb_span domain)
{
	struct fake *f = w;

	assert_span(domain, "x.test");
	f->ledger_due = f->late || f->seen == NULL;
	return f->ledger_due ? NULL : f->seen;
}

static void
fake_note(void *w, struct hb_span domain, struct hb_span mx, enum hb_rank rank)
{
	struct fake *f = w;

	assert_span(domain, "x.test");
	hb_buf_addf(&f->noted, "%c=%s ", mx.p[1], hb_rank_word(rank));
}

static unsigned char tlsa_data[32] = { 1 };

/* NAME: _25._tcp.m1.x.test */
static const struct hb_dns_answer *
answer_tlsa(struct fake *f, struct hb_span name)
{
	char what = name.p[9] == 'm' ? f->tlsa[name.p[10] - '1']
				     : f->tlsa[0];
	static struct hb_dns_rr rr;
	static struct hb_dns_answer r;

	rr = (struct hb_dns_rr){ .type = HB_DNS_TLSA, .tlsa_selector = 1,
		.tlsa_match = 1, .data = { tlsa_data, 32 } };
	r = (struct hb_dns_answer){ .status = HB_DNS_OK, .ad = true,
		.rr = &rr, .n = 1 };
	f->asked++;
	assert_true(hb_span_has_prefix_nocase(name, HB_SPAN("_25._tcp.")));
	rr.tlsa_usage = (uint8_t)(what - '0');
	if (what == 'e')
		r = (struct hb_dns_answer){ .status = HB_DNS_TEMP };
	else if (what == '-')
		r = (struct hb_dns_answer){ .status = HB_DNS_NODATA,
			.ad = true };
	return what != '?' ? &r : NULL;
}

static const struct hb_dns_answer *
answer_of(struct fake *f, struct hb_span name, enum hb_dns_type type)
{
	static unsigned char b[4];
	static struct hb_dns_rr mx[2], addr;
	static struct hb_dns_answer r;

	memcpy(b, (unsigned char[]){ 10, 0, 0, name.p[1] }, 4);
	mx[0] = (struct hb_dns_rr){ .type = HB_DNS_MX, .preference = 1,
		.name = HB_SPAN("m1.x.test") };
	mx[1] = (struct hb_dns_rr){ .type = HB_DNS_MX, .preference = 2,
		.name = HB_SPAN("m2.x.test") };
	addr = (struct hb_dns_rr){ .type = HB_DNS_A, .data = { b, 4 } };
	r = (struct hb_dns_answer){ .status = HB_DNS_OK };
	if (f->no_dns)
		r.status = HB_DNS_TEMP;
	r.rr = type == HB_DNS_MX ? mx : &addr;
	r.n = type == HB_DNS_MX ? 2 : 1;
	if (type == HB_DNS_TLSA)
		return answer_tlsa(f, name);
	r.canonical = name;
	if (type == HB_DNS_MX)
		r.ad = f->mx == 'S' || f->mx == 'a' || f->mx == '0';
	else if (f->tlsa != NULL)
		r.ad = f->tlsa[name.p[0] == 'm' ? name.p[1] - '1' : 0] != 'i';
	if (type == HB_DNS_MX && f->mx == 'a') {
		r.aliased = true;
		r.canonical = HB_SPAN("real.test");
	}
	if (type == HB_DNS_MX && f->mx == '0')
		r = (struct hb_dns_answer){ .status = HB_DNS_NODATA,
			.ad = true, .canonical = name };
	if (type == HB_DNS_MX && (f->mx == 'n' || f->mx == 'N'))
		r = (struct hb_dns_answer){ .status = HB_DNS_NXDOMAIN,
			.ad = f->mx == 'n', .canonical = name };
	if (type == HB_DNS_MX && f->mx == '.') {
		mx[0] = (struct hb_dns_rr){ .type = HB_DNS_MX };
		r.n = 1;
	}
	if (type == HB_DNS_AAAA)
		r = (struct hb_dns_answer){ .status = HB_DNS_NODATA };
	return &r;
}

static const struct hb_dns_answer *
fake_ask(void *w, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	struct fake *f = w;
	struct question *q = &f->questions[f->nquestions];

	if (!f->late)
		return answer_of(f, name, type);
	assert_true(f->nquestions++ < HB_ARRAY_LEN(f->questions));
	q->slot = slot;
	q->type = type;
	assert_int_equal(hb_span_copy(name, q->name, sizeof(q->name)), 0);
	return NULL;
}

static void
answer_question(struct fake *f)
{
	struct question q = f->questions[0];
	const struct hb_dns_answer *r =
	    answer_of(f, hb_span_str(q.name), q.type);

	memmove(f->questions, f->questions + 1,
	    --f->nquestions * sizeof(f->questions[0]));
	if (r != NULL)
		dlv_attempt_answer(f->a, q.slot, r);
}

/* Runs until nothing is due. */
static void
start(struct fake *f)
{
	dlv_attempt_start(f->a);
	while (!f->done) {
		if (f->nquestions > 0) {
			answer_question(f);
		} else if (f->policy_due) {
			f->policy_due = false;
			dlv_attempt_policy(f->a, f->policy,
			    HB_REASON_STS_NO_RECORD);
		} else if (f->ledger_due) {
			f->ledger_due = false;
			dlv_attempt_ledger(f->a, f->seen);
		} else if (f->report_due) {
			send_report(f);
		} else {
			break;
		}
	}
}

/* m9 is in the hosts file. */
static size_t
fake_hosts(void *w, struct hb_span name, struct hb_netaddr *out, size_t max)
{
	assert_true(max > 0);
	if (!hb_span_eq(name, HB_SPAN("m9.x.test")))
		return 0;
	*out = (struct hb_netaddr){ 4, { 10, 0, 0, 9 }, 0 };
	return 1;
}

static enum hb_reason
fake_down(void *w, const struct hb_netaddr *addr)
{
	const struct fake *f = w;

	return f->down;
}

static void
set_facts(struct fake *f, char what)
{
	f->facts = (struct hb_tls_facts){ .state = HB_TLSF_DONE,
		.chain = HB_CHAIN_OK, .version = 13 };
	f->facts.name_ok = what == 'v' || what == 'V' || what == 'i';
	f->facts.requiretls = what == 'V' || what == 'D';
	if (what == 'n')
		f->facts.state = HB_TLSF_NOT_OFFERED;
	else if (what == 'r' || what == 'R')
		f->facts.state = HB_TLSF_REFUSED;
	else if (what == 'f' || what == 'F')
		f->facts.state = HB_TLSF_FAILED;
	f->facts.cut = what == 'F';
}

static void
fake_open(void *w, const struct dlv_target *t)
{
	struct fake *f = w;
	char what = *f->links;

	if (f->jump) {
		now_ms = 10000;
		f->clock_implausible = true;
	}
	if (f->then != NULL) {
		now_ms = f->then->ms;
		f->clock_implausible = f->then->implausible;
	}
	assert_int_not_equal(what, '\0');
	/* not the one that had just died */
	assert_int_equal(t->fresh, f->explains || f->idle);
	f->links++;
	if (t->reference != NULL)
		assert_string_equal(t->reference, t->mx);
	if (what == 'd' || what == 'D')
		assert_non_null(t->dane);
	hb_buf_addf(&f->opened, "%c%s", t->mx[0] != '\0' ? t->mx[1] : 'u',
	    t->tls == DLV_TLS_NEVER ? "-" : "");
	if (t->facts != NULL)
		f->facts = *t->facts;
	else
		set_facts(f, what);
	if (t->dane != NULL) {
		f->facts.dane_digest = t->dane->digest;
		f->facts.dane = what == 'd' || what == 'D' ? HB_DANE_EE
							   : HB_DANE_NO;
	}
	if (t->reference != NULL)
		assert_int_equal(hb_span_copy(hb_span_str(t->reference),
			f->facts.reference, sizeof(f->facts.reference)), 0);
	f->idle = what == 'i';
	if (what == 'c')
		report(f, DLV_LINK_NO_CONNECT, HB_REASON_CONNECT_REFUSED,
		    false);
	else if (what == 'f' || what == 'F' || what == 'R')
		report(f, DLV_LINK_CLOSED, HB_REASON_TLS_HANDSHAKE, false);
	else if (what == 's')
		report(f, DLV_LINK_CLOSED, HB_REASON_MX_SELF, false);
	else if (what == 'l' || what == 'i')
		report(f, DLV_LINK_CLOSED, HB_REASON_CONNECTION_LOST, false);
	else
		report(f, DLV_LINK_READY, HB_REASON_NONE, false);
}

static void
fake_mail(void *w, const struct dlv_txn *txn,
    const struct sts_verdict *v)
{
	struct fake *f = w;
	char what = *f->links++;

	assert_int_equal(v->action, STS_PROCEED);
	f->mails++;
	f->requiretls = txn->requiretls;
	for (size_t i = 0; i < txn->nrcpt && what != '?'; i++)
		txn->rcpt[i].outcome = (struct hb_outcome){
			.result = what == '+' ? HB_RESULT_OK
				: what == '5' || f->reply.code > 0
				? HB_RESULT_FAIL : HB_RESULT_DEFER,
			.code = f->reply.code,
			.from_remote = what == 't' ? 1 : f->reply.from_remote,
			.reason = what == 't' ? HB_REASON_STARTTLS_REFUSED
					      : HB_REASON_REMOTE_REPLY };
	/* as the client says it: those with UTF-8 are the last ones */
	for (size_t i = 0; i < txn->nrcpt && what == '8'; i++)
		txn->rcpt[i].outcome = txn->rcpt[i].address.p[0] < 0x80
		    ? (struct hb_outcome){ .result = HB_RESULT_OK }
		    : dlv_own_outcome(HB_RESULT_FAIL, HB_REASON_NO_SMTPUTF8);
	for (size_t i = 0; i < txn->nrcpt && what == 'a'; i++)
		txn->rcpt[i].outcome.status = f->reply.status;
	if (what == '?')
		report(f, DLV_LINK_CLOSED, HB_REASON_CONNECTION_LOST, true);
	else
		report(f, DLV_LINK_DONE, what == '4' ? HB_REASON_REMOTE_REPLY
						     : HB_REASON_NONE, false);
}

static void
fake_release(void *w, bool keep)
{
}

static void
fake_done(void *w)
{
	struct fake *f = w;

	f->done = true;
}

static uint32_t
zero(uint32_t n)
{
	return 0;
}

static int64_t
now(void)
{
	return now_ms;
}

static enum dlv_trust
fake_trust(void *w)
{
	const struct fake *f = w;

	return f->trust;
}

static bool
fake_clock(void *w)
{
	const struct fake *f = w;

	return f->clock_implausible;
}

static int64_t
fake_least(void *w)
{
	const struct fake *f = w;

	return f->good_ms > now_ms ? f->good_ms : now_ms;
}

static const struct dlv_world world = {
	.policy = fake_policy,
	.ledger = fake_ledger,
	.note = fake_note,
	.ask = fake_ask,
	.hosts_file = fake_hosts,
	.why_down = fake_down,
	.open = fake_open,
	.mail = fake_mail,
	.release = fake_release,
	.done = fake_done,
	.ad_trust = fake_trust,
	.clock_implausible = fake_clock,
	.least_ms = fake_least,
	.random = zero,
	.now_ms = now,
};

struct attempt_row {
	const char *name;
	enum sts_mode mode; /* COUNT: no policy */
	const char *patterns, *links, *opened;
	enum hb_result result;
	enum hb_reason reason;
	size_t mails;
	bool unreachable;
};

// clang-format off
static const struct attempt_row rows[] = {
	{ "no policy, no TLS", STS_MODE_COUNT, "", "n+", "1", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "no policy, handshake fails: clear", STS_MODE_COUNT, "", "fn+", "11-", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "no policy, refused: goes on", STS_MODE_COUNT, "", "r+", "1", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "STS-25 enforce met", STS_MODE_ENFORCE, "*.x.test", "v+", "1", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "STS-26 stripped twice: defer", STS_MODE_ENFORCE, "*.x.test", "nn", "12", HB_RESULT_DEFER, HB_REASON_NO_STARTTLS, 0, false },
	{ "STS-26 refused: next, then defer", STS_MODE_ENFORCE, "*.x.test", "rc", "12", HB_RESULT_DEFER, HB_REASON_STARTTLS_REFUSED, 0, false },
	{ "STS-26 handshake fails: never clear", STS_MODE_ENFORCE, "*.x.test", "ff", "12", HB_RESULT_DEFER, HB_REASON_TLS_HANDSHAKE, 0, false },
	{ "STS-25 wrong name, second good", STS_MODE_ENFORCE, "*.x.test", "uv+", "12", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "STS-24 first not listed", STS_MODE_ENFORCE, "m2.x.test", "v+", "2", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "STS-24 none listed: not connected to", STS_MODE_ENFORCE, "y.test", "", "", HB_RESULT_DEFER, HB_REASON_MX_MISMATCH, 0, false },
	{ "STS-27 testing delivers", STS_MODE_TESTING, "y.test", "n+", "1", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "STS-28 none", STS_MODE_NONE, "", "n+", "1", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "F-2 it bears our name: nobody who is worse", STS_MODE_COUNT, "", "s", "1", HB_RESULT_DEFER, HB_REASON_MX_SELF, 0, false },
	{ "F-2 we are the backup", STS_MODE_COUNT, "", "cs", "12", HB_RESULT_DEFER, HB_REASON_CONNECT_REFUSED, 0, false },
	{ "nobody answers", STS_MODE_COUNT, "", "cc", "12", HB_RESULT_DEFER, HB_REASON_CONNECT_REFUSED, 0, true },
	{ "lost: the next", STS_MODE_COUNT, "", "lv+", "12", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "MAIL refused for now: the next", STS_MODE_COUNT, "", "v4v+", "12", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 2, false },
	{ "MAIL refused for now, the next fails in TLS: clear", STS_MODE_COUNT, "", "v4fn+", "122-", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 2, false },
	{ "MAIL refused for now, the next lost before ready", STS_MODE_COUNT, "", "v4l", "12", HB_RESULT_DEFER, HB_REASON_CONNECTION_LOST, 1, false },
	{ "F-4 STARTTLS refused, TLS wanted: next, then defer", STS_MODE_COUNT, "", "rtrt", "12", HB_RESULT_DEFER, HB_REASON_STARTTLS_REFUSED, 2, false },
	{ "F-4 handshake fails, TLS wanted: the next", STS_MODE_COUNT, "", "fntv+", "11-2", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 2, false },
	{ "F-11 cut behind the handshake: clear", STS_MODE_COUNT, "", "Fn+", "11-", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "F-11 cut behind the handshake, a policy: never clear", STS_MODE_ENFORCE, "*.x.test", "FF", "12", HB_RESULT_DEFER, HB_REASON_TLS_HANDSHAKE, 0, false },
	{ "refused is refused", STS_MODE_COUNT, "", "v5", "1", HB_RESULT_FAIL, HB_REASON_REMOTE_REPLY, 1, false },
	{ "in doubt: no other host", STS_MODE_COUNT, "", "v?", "1", HB_RESULT_DEFER, HB_REASON_CONNECTION_LOST, 1, false },
};
// clang-format on

static void
run_row(const struct attempt_row *r, bool late)
{
	struct hb_span pattern = hb_span_str(r->patterns);
	struct sts_policy policy = { .mode = r->mode, .expires_ms = 5000,
		.mx = &pattern, .nmx = 1 };
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = r->links, .late = late,
		.policy = r->mode == STS_MODE_COUNT ? NULL : &policy };

	print_message("%s\n", r->name);
	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_string_equal(f.links, "");
	assert_span(hb_buf_span(&f.opened), r->opened);
	assert_int_equal(f.mails, r->mails);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->result, r->result);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->reason, r->reason);
	assert_int_equal(dlv_attempt_unreachable(f.a), r->unreachable);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

/* What a host without SMTPUTF8 cannot take is for the next one, and returned
 * when there is none; while one is in trouble it waits. */
static void
test_EAI_02_another_host_may_take_it(void **state)
{
	static const struct {
		const char *links, *opened;
		enum hb_result utf8, ascii;
		enum hb_reason reason;
		size_t mails;
	} wants[] = {
		{ "v8v+", "12", HB_RESULT_OK, HB_RESULT_OK,
		    HB_REASON_REMOTE_REPLY, 2 },
		{ "v8v8", "12", HB_RESULT_FAIL, HB_RESULT_OK,
		    HB_REASON_NO_SMTPUTF8, 2 },
		{ "v8c", "12", HB_RESULT_DEFER, HB_RESULT_OK,
		    HB_REASON_CONNECT_REFUSED, 1 },
		{ "cv8", "12", HB_RESULT_DEFER, HB_RESULT_OK,
		    HB_REASON_CONNECT_REFUSED, 1 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(wants); i++) {
		struct hb_conf conf = { .mta_sts = true };
		const struct hb_conf *now = &conf;
		struct hb_env env = { .id = 1 };
		struct dlv_rcpt rcpt[] = {
			{ .address = HB_SPAN("\xc3\xa4@x.test") },
			{ .idx = 1, .address = HB_SPAN("a@x.test") } };
		struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
			.domain = HB_SPAN("x.test"), .env = &env, .rcpt = rcpt,
			.nrcpt = 2, .conf = &now };
		struct fake f = { .links = wants[i].links };

		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		assert_string_equal(f.links, "");
		assert_span(hb_buf_span(&f.opened), wants[i].opened);
		assert_int_equal(f.mails, wants[i].mails);
		assert_int_equal(dlv_attempt_outcome(f.a, 0)->result,
		    wants[i].utf8);
		assert_int_equal(dlv_attempt_outcome(f.a, 0)->reason,
		    wants[i].reason);
		assert_int_equal(dlv_attempt_outcome(f.a, 1)->result,
		    wants[i].ascii);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

/* S-9: the memory of a host knows what had happened. */
static void
test_S_9_memory_keeps_the_reason(void **state)
{
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = "", .down = HB_REASON_CONNECT_TIMEOUT };
	const struct hb_outcome *res;

	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	res = dlv_attempt_outcome(f.a, 0);
	assert_int_equal(res->reason, HB_REASON_CONNECT_TIMEOUT);
	assert_int_equal(res->remembered, 1);
	assert_int_equal(hb_outcome_reason(res), HB_REASON_HOST_DOWN);
	dlv_attempt_free(&f.a);
}

/* S-7: what the operator's own hop says of us, and what a stranger's host
 * says. */
static void
test_S_7_a_hop_that_wants_a_login(void **state)
{
	static const struct {
		unsigned code;
		const char *status;
		enum hb_result result; /* of a smarthost */
		enum hb_reason reason;
	} replies[] = {
		{ 530, "5.7.0", HB_RESULT_DEFER, HB_REASON_LOGIN_NEEDED },
		{ 534, "5.7.9", HB_RESULT_DEFER, HB_REASON_LOGIN_NEEDED },
		{ 535, "5.7.8", HB_RESULT_DEFER, HB_REASON_LOGIN_NEEDED },
		{ 538, "5.7.11", HB_RESULT_DEFER, HB_REASON_LOGIN_NEEDED },
		{ 550, "5.7.1", HB_RESULT_FAIL, HB_REASON_HOP_DENIED },
		{ 550, "5.1.1", HB_RESULT_FAIL, HB_REASON_REMOTE_REPLY },
	};
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	char route[] = "mx://x.test";

	for (size_t i = 0; i < 2 * HB_ARRAY_LEN(replies); i++) {
		size_t k = i / 2;
		bool given = i % 2 > 0;
		struct fake f = { .links = "va", .reply = { .from_remote = 1,
			.code = replies[k].code,
			.status = hb_span_str(replies[k].status) } };
		const struct hb_outcome *res;

		conf.smarthost.route = given ? route : NULL;
		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		res = dlv_attempt_outcome(f.a, 0);
		assert_int_equal(res->result,
		    given ? replies[k].result : HB_RESULT_FAIL);
		assert_int_equal(res->reason,
		    given ? replies[k].reason : HB_REASON_REMOTE_REPLY);
		assert_span(res->status, replies[k].status);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

static void
test_attempts(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		for (int late = 0; late < 2; late++)
			run_row(&rows[i], late);
}

struct channel_row {
	const char *name;
	char mx;
	const char *tlsa;
	enum hb_tls_level level;
	enum sts_mode mode;	/* COUNT: no policy; all hosts are listed */
	uint32_t flags;		/* of the envelope */
	const char *links, *opened;
	enum hb_result result;
	enum hb_reason reason;
	unsigned code;
	const char *status;
	unsigned asked; /* TLSA questions */
	const char *dane; /* log word of the outcome */
};

#define R(x) HB_REASON_##x
#define DEFERRED(x, st) HB_RESULT_DEFER, R(x), 451, (st)
#define GONE HB_RESULT_OK, R(REMOTE_REPLY), 0, ""
#define RETURNED(x, code, st) HB_RESULT_FAIL, R(x), (code), (st)
#define MAY HB_TLS_MAY, STS_MODE_COUNT
#define ENFORCE HB_TLS_MAY, STS_MODE_ENFORCE
#define RTLS HB_ENV_REQUIRETLS

// clang-format off
static const struct channel_row channels[] = {
	{ "DANE-08 records match", 'S', "33", MAY, 0, "d+", "1", GONE, 1, "secure-usable" },
	{ "DANE-08 mismatch: the next", 'S', "33", MAY, 0, "vd+", "12", GONE, 2, "secure-usable" },
	{ "DANE-08 mismatch: STS saves nothing", 'S', "33", ENFORCE, 0, "vv", "12", DEFERRED(DANE_MISMATCH, "4.7.0"), 2, "secure-usable" },
	{ "DANE-08 no TLS: the next, then defer", 'S', "33", MAY, 0, "nn", "12", DEFERRED(NO_STARTTLS, "4.7.0"), 2, "secure-usable" },
	{ "DANE-08 handshake fails: never clear", 'S', "33", MAY, 0, "ff", "12", DEFERRED(TLS_HANDSHAKE, "4.7.5"), 2, "secure-usable" },
	{ "DANE-09 unusable: TLS is enough", 'S', "00", MAY, 0, "u+", "1", GONE, 1, "secure-unusable" },
	{ "DANE-09 unusable: no TLS is not", 'S', "00", MAY, 0, "nu+", "12", GONE, 2, "secure-unusable" },
	{ "DANE-10 none: clear text", 'S', "--", MAY, 0, "n+", "1", GONE, 1, "secure-none" },
	{ "DANE-10 none: STS decides", 'S', "--", ENFORCE, 0, "nv+", "12", GONE, 2, "secure-none" },
	{ "DANE-01 error: the host is not connected to", 'S', "e3", MAY, 0, "d+", "2", GONE, 2, "secure-usable" },
	{ "DANE-01 errors everywhere: defer", 'S', "ee", MAY, 0, "", "", DEFERRED(DANE_DNS, "4.7.0"), 2, "error" },
	{ "a backup's silent name server holds nobody up", 'S', "3?", MAY, 0, "d+", "1", GONE, 1, "secure-usable" },
	{ "DANE-03 records at the second do not draw it", 'S', "-3", MAY, 0, "n+", "1", GONE, 1, "secure-none" },
	{ "DANE-03 insecure MX: not asked", 'i', "33", MAY, 0, "n+", "1", GONE, 0, "insecure" },
	{ "DANE-05 insecure address: not asked", 'S', "i3", MAY, 0, "n+", "1", GONE, 0, "insecure" },
	{ "DANE-04 no MX: the domain itself", '0', "3", MAY, 0, "d+", ".", GONE, 1, "secure-usable" },
	{ "DANE-17 mandatory, records", 'S', "33", HB_TLS_DANE, STS_MODE_COUNT, 0, "d+", "1", GONE, 1, "secure-usable" },
	{ "DANE-17 mandatory, none", 'S', "--", HB_TLS_DANE, STS_MODE_COUNT, 0, "", "", DEFERRED(DANE_REQUIRED, "4.7.0"), 2, "secure-none" },
	{ "DANE-17 mandatory, insecure MX", 'i', "33", HB_TLS_DANE, STS_MODE_COUNT, 0, "", "", DEFERRED(DANE_REQUIRED, "4.7.0"), 0, "insecure" },
	{ "operator's verify: not asked", 'S', "33", HB_TLS_VERIFY, STS_MODE_COUNT, 0, "v+", "1", GONE, 0, "unasked" },
	{ "RTLS-04 good by chain", 'S', "--", MAY, RTLS, "V+", "1", GONE, 1, "secure-none" },
	{ "RTLS-04 good by DANE", 'S', "33", MAY, RTLS, "D+", "1", GONE, 1, "secure-usable" },
	{ "RTLS-03 good by STS", 'i', "--", ENFORCE, RTLS, "V+", "1", GONE, 0, "insecure" },
	{ "RTLS-05 REQUIRETLS on the second", 'S', "--", MAY, RTLS, "vV+", "12", GONE, 2, "secure-none" },
	{ "RTLS-05 REQUIRETLS nowhere", 'S', "--", MAY, RTLS, "vv", "12", RETURNED(REQUIRETLS_MISSING, 550, "5.7.30"), 2, "secure-none" },
	{ "RTLS-05 names without proof", 'i', "--", MAY, RTLS, "", "", RETURNED(MX_UNPROVEN, 550, "5.7.30"), 0, "insecure" },
	{ "RTLS-05 testing is no proof", 'i', "--", HB_TLS_MAY, STS_MODE_TESTING, RTLS, "", "", RETURNED(MX_UNPROVEN, 550, "5.7.30"), 0, "insecure" },
	{ "RTLS-05 no TLS anywhere", 'S', "--", MAY, RTLS, "nr", "12", RETURNED(STARTTLS_REFUSED, 523, "5.7.10"), 2, "secure-none" },
	{ "RTLS-05 handshakes fail", 'S', "--", MAY, RTLS, "ff", "12", RETURNED(TLS_HANDSHAKE, 523, "5.7.10"), 2, "secure-none" },
	{ "RTLS-05 no TLS, bad certificate", 'S', "--", MAY, RTLS, "nu", "12", RETURNED(CERT_NAME, 550, "5.7.30"), 2, "secure-none" },
	{ "RTLS-05 records do not match", 'S', "33", MAY, RTLS, "VV", "12", RETURNED(DANE_MISMATCH, 550, "5.7.30"), 2, "secure-usable" },
	{ "RTLS-06 one not reached: wait", 'S', "--", MAY, RTLS, "vc", "12", DEFERRED(REQUIRETLS_MISSING, "4.7.0"), 2, "secure-none" },
	{ "RTLS-06 one lost: wait", 'S', "--", MAY, RTLS, "lv", "12", DEFERRED(REQUIRETLS_MISSING, "4.7.0"), 2, "secure-none" },
	{ "RTLS-06 cut off in the handshake: wait", 'S', "--", MAY, RTLS, "fF", "12", DEFERRED(TLS_HANDSHAKE, "4.7.5"), 2, "secure-none" },
	{ "RTLS-06 421 to STARTTLS: wait", 'S', "--", MAY, RTLS, "Rf", "12", DEFERRED(TLS_HANDSHAKE, "4.7.5"), 2, "secure-none" },
	{ "RTLS-06 MAIL refused for now: wait", 'S', "--", MAY, RTLS, "V4v", "12", DEFERRED(REQUIRETLS_MISSING, "4.7.0"), 2, "secure-none" },
	{ "RTLS-06 TLSA look-up fails: wait", 'S', "e-", MAY, RTLS, "v", "2", DEFERRED(REQUIRETLS_MISSING, "4.7.0"), 2, "secure-none" },
	{ "RTLS-07 TLS-Required: No beats DANE", 'S', "33", MAY, HB_ENV_TLS_OPTIONAL, "v+", "1", GONE, 1, "secure-usable" },
	{ "RTLS-07 and an error of DNS", 'S', "e3", MAY, HB_ENV_TLS_OPTIONAL, "n+", "1", GONE, 1, "error" },
	{ "RTLS-07 and a policy", 'i', "--", ENFORCE, HB_ENV_TLS_OPTIONAL, "fn+", "11-", GONE, 0, "insecure" },
	{ "RTLS-07 not the operator", 'S', "33", HB_TLS_DANE, STS_MODE_COUNT, HB_ENV_TLS_OPTIONAL, "vd+", "12", GONE, 2, "secure-usable" },
	{ "RTLS-07 nothing is lowered with REQUIRETLS", 'S', "ee", MAY, RTLS | HB_ENV_TLS_OPTIONAL, "", "", DEFERRED(DANE_DNS, "4.7.0"), 2, "error" },
	{ "RTLS-07 not with REQUIRETLS", 'S', "33", MAY, RTLS | HB_ENV_TLS_OPTIONAL, "VD+", "12", GONE, 2, "secure-usable" },
	{ "RTLS-06 refused by the server is the server's word", 'S', "--", MAY, RTLS, "V5", "1", HB_RESULT_FAIL, R(REMOTE_REPLY), 0, "", 1, "secure-none" },
};
// clang-format on

static void
run_channel(const struct channel_row *r)
{
	struct hb_span pattern = HB_SPAN("*.x.test");
	struct sts_policy policy = { .mode = r->mode, .expires_ms = 5000,
		.mx = &pattern, .nmx = 1 };
	char pattern_text[] = "x.test";
	struct hb_tls_policy word = { .pattern = pattern_text,
		.level = r->level };
	struct hb_conf conf = { .mta_sts = true, .dane = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1, .flags = r->flags,
		.sender = HB_SPAN("a@b.test") };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = r->links, .mx = r->mx, .tlsa = r->tlsa,
		.trust = DLV_TRUST_YES,
		.policy = r->mode == STS_MODE_COUNT ? NULL : &policy };
	const struct hb_outcome *o;

	print_message("%s\n", r->name);
	if (r->level != HB_TLS_MAY) {
		conf.tls_policies.v = &word;
		conf.tls_policies.n = 1;
	}
	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_string_equal(f.links, "");
	assert_span(hb_buf_span(&f.opened), r->opened);
	o = dlv_attempt_outcome(f.a, 0);
	assert_int_equal(o->result, r->result);
	assert_string_equal(hb_reason_word(o->reason),
	    hb_reason_word(r->reason));
	assert_int_equal(o->code, r->code);
	assert_span(o->status, r->status);
	assert_int_equal(f.asked, r->asked);
	assert_int_equal(f.requiretls, f.mails > 0 && (r->flags & RTLS) != 0);
	assert_string_equal(hb_dane_word(o->dane), r->dane);
	/* STS-29: a look at the id goes before what is final */
	assert_int_equal(f.final, (r->flags & RTLS) != 0 &&
	    r->level == HB_TLS_MAY);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

static void
test_DANE_18_channels(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(channels); i++)
		run_channel(&channels[i]);
}

/* A DSN about such a message goes where no other would; the parameter is
 * said where it may be. */
static void
test_RTLS_01_09_a_dsn_says_it_where_the_channel_suits(void **state)
{
	static const struct {
		char mx;
		const char *tlsa, *links;
		bool says;
	} cases[] = {
		{ 'S', "--", "V+", true },  { 'S', "33", "D+", true },
		{ 'S', "--", "v+", false }, { 'S', "--", "u+", false },
		{ 'i', "--", "V+", false }, { 'S', "--", "n+", false },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		struct hb_conf conf = { .mta_sts = true, .dane = true };
		const struct hb_conf *now = &conf;
		struct hb_env env = { .id = 1, .flags = RTLS };
		struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
		struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
			.domain = HB_SPAN("x.test"), .env = &env,
			.rcpt = &rcpt, .nrcpt = 1, .conf = &now };
		struct fake f = { .links = cases[i].links, .mx = cases[i].mx,
			.tlsa = cases[i].tlsa, .trust = DLV_TRUST_YES };

		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		assert_int_equal(f.mails, 1);
		assert_int_equal(f.requiretls, cases[i].says);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

struct route_row {
	const char *name, *route, *sender, *tlsa;
	enum dlv_trust trust;
	uint32_t flags;
	const char *links, *opened;
	enum hb_result result;
	enum hb_reason reason;
	const char *dane;
};

#define BY(w) DLV_TRUST_##w
#define DONE HB_RESULT_OK, R(REMOTE_REPLY)

// clang-format off
static const struct route_row routes[] = {
	{ "smarthost with records", "smtp://m1.x.test", "a@b", "3", BY(YES), 0, "d+", "1", DONE, "secure-usable" },
	{ "smarthost, mismatch", "smtp://m1.x.test", "a@b", "3", BY(YES), 0, "v", "1", HB_RESULT_DEFER, R(DANE_MISMATCH), "secure-usable" },
	{ "smarthost, insecure", "smtp://m1.x.test", "a@b", "i", BY(YES), 0, "n+", "1", DONE, "insecure" },
	{ "DANE-07 literal: never", "smtp://10.0.0.1", "a@b", "3", BY(YES), 0, "n+", "0", DONE, "unasked" },
	{ "in the hosts file: no word of DNS", "smtp://m9.x.test", "a@b", "3", BY(YES), 0, "n+", "9", DONE, "insecure" },
	{ "the route demands a chain: not asked", "smtp+tls://m1.x.test", "a@b", "3", BY(YES), 0, "v+", "1", DONE, "unasked" },
	{ "DANE-02 resolver not trusted", "smtp://m1.x.test", "a@b", "3", BY(NO), 0, "n+", "1", DONE, "untrusted" },
	{ "DANE-02 not known if trusted", "smtp://m1.x.test", "a@b", "3", BY(UNKNOWN), 0, "n+", "1", DONE, "untrusted" },
	{ "DANE-02 MX records", "mx://x.test", "a@b", "33", BY(NO), 0, "n+", "1", DONE, "untrusted" },
	{ "RTLS-03 not trusted proves no name", "mx://x.test", "a@b", "33", BY(NO), RTLS, "", "", HB_RESULT_FAIL, R(MX_UNPROVEN), "untrusted" },
	{ "RTLS-06 not known if trusted: wait", "mx://x.test", "a@b", "33", BY(UNKNOWN), RTLS, "", "", HB_RESULT_DEFER, R(MX_UNPROVEN), "untrusted" },
	{ "RTLS-06 nor if DANE vouches for the certificate: wait", "smtp://m1.x.test", "a@b", "3", BY(UNKNOWN), RTLS, "u", "1", HB_RESULT_DEFER, R(CERT_NAME), "untrusted" },
	{ "RTLS-06 no answer of the resolver brings TLS", "smtp://m1.x.test", "a@b", "3", BY(UNKNOWN), RTLS, "n", "1", HB_RESULT_FAIL, R(NO_STARTTLS), "untrusted" },
	{ "RTLS-03 a configured hop needs no proof", "smtp://m1.x.test", "a@b", "i", BY(NO), RTLS, "V+", "1", DONE, "untrusted" },
	{ "RTLS-04 but its certificate", "smtp://m1.x.test", "a@b", "i", BY(NO), RTLS, "u", "1", HB_RESULT_FAIL, R(CERT_NAME), "untrusted" },
	{ "RTLS-09 empty return path: not demanded", "smtp://m1.x.test", "", "i", BY(NO), RTLS, "n+", "1", DONE, "untrusted" },
	{ "RTLS-08 LMTP as ever", "lmtp://m1.x.test:24", "a@b", "3", BY(YES), 0, "n+", "1-", DONE, "unasked" },
	{ "RTLS-08 LMTP, required and good", "lmtp://m1.x.test:24", "a@b", "3", BY(YES), RTLS, "V+", "1", DONE, "unasked" },
	{ "RTLS-08 LMTP, required and missing", "lmtp://m1.x.test:24", "a@b", "3", BY(YES), RTLS, "v", "1", HB_RESULT_FAIL, R(REQUIRETLS_MISSING), "unasked" },
	{ "RTLS-08 LMTP, required, no TLS", "lmtp://m1.x.test:24", "a@b", "3", BY(YES), RTLS, "n", "1", HB_RESULT_FAIL, R(NO_STARTTLS), "unasked" },
	{ "RTLS-09 LMTP, a notice: TLS where it is offered", "lmtp://m1.x.test:24", "", "3", BY(YES), RTLS, "n+", "1", DONE, "unasked" },
	{ "RTLS-09 LMTP, a notice: clear where it fails", "lmtp://m1.x.test:24", "", "3", BY(YES), RTLS, "fn+", "11-", DONE, "unasked" },
	{ "RTLS-08 nor is loopback", "lmtp://127.0.0.1:24", "a@b", "3", BY(YES), RTLS, "n+", "2-", DONE, "unasked" },
	{ "RTLS-08 any other address is one", "lmtp://10.0.0.1:24", "a@b", "3", BY(YES), RTLS, "n", "0", HB_RESULT_FAIL, R(NO_STARTTLS), "unasked" },
	{ "RTLS-08 a unix socket is no network", "lmtp:/run/x", "a@b", "3", BY(YES), RTLS, "n+", "u-", DONE, "unasked" },
};
// clang-format on

static void
run_route(const struct route_row *r, struct hb_tls_policies words)
{
	struct hb_conf conf = { .dane = true, .tls_policies = words };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1, .flags = r->flags,
		.sender = hb_span_str(r->sender) };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = hb_span_str(r->route),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = r->links, .mx = 'S', .tlsa = r->tlsa,
		.trust = r->trust };
	const struct hb_outcome *o;

	print_message("%s\n", r->name);
	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_string_equal(f.links, "");
	assert_span(hb_buf_span(&f.opened), r->opened);
	o = dlv_attempt_outcome(f.a, 0);
	assert_string_equal(hb_reason_word(o->reason),
	    hb_reason_word(r->reason));
	assert_int_equal(o->result, r->result);
	assert_string_equal(hb_dane_word(o->dane), r->dane);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

static void
test_routes(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(routes); i++)
		run_route(&routes[i], (struct hb_tls_policies){ NULL, 0 });
}

// clang-format off
static const struct route_row mandatory_routes[] = {
	{ "DANE-17 mandatory, not known if trusted", "smtp://m1.x.test", "a@b", "3", BY(UNKNOWN), 0, "", "", HB_RESULT_DEFER, R(DANE_UNPROBED), "unprobed" },
	{ "RTLS-06 DANE is mandatory, not known if trusted: wait", "smtp://m1.x.test", "a@b", "3", BY(UNKNOWN), RTLS, "", "", HB_RESULT_DEFER, R(DANE_UNPROBED), "unprobed" },
	{ "DANE-17 mandatory, not trusted", "smtp://m1.x.test", "a@b", "3", BY(NO), 0, "", "", HB_RESULT_DEFER, R(DANE_REQUIRED), "untrusted" },
};
// clang-format on

/* What a resolver that has not answered yet may still say is waited for. */
static void
test_DANE_17_mandatory_for_a_route(void **state)
{
	char every[] = "*";
	struct hb_tls_policy word = { .pattern = every,
		.level = HB_TLS_DANE };

	for (size_t i = 0; i < HB_ARRAY_LEN(mandatory_routes); i++)
		run_route(&mandatory_routes[i],
		    (struct hb_tls_policies){ &word, 1 });
}

struct memory_row {
	const char *name;
	enum hb_downgrade memory;
	enum hb_rank best; /* of m1; COUNT: the ledger is lost */
	enum dlv_trust trust;
	const char *tlsa, *links, *opened;
	enum hb_result result;
	enum hb_reason reason;
	const char *noted;
	uint64_t fell; /* events */
};

#define MEMORY(x) HB_DOWNGRADE_##x
#define BEST(x) HB_RANK_##x

// clang-format off
static const struct memory_row memories[] = {
	{ "noted for the next time", MEMORY(WARN), BEST(NONE), BY(YES), "33", "d+", "1", DONE, "1=dane ", 0 },
	{ "noted even when the message is refused", MEMORY(WARN), BEST(NONE), BY(YES), "--", "v5", "1", HB_RESULT_FAIL, R(REMOTE_REPLY), "1=verified ", 0 },
	{ "off: nothing is noted", MEMORY(OFF), BEST(DANE), BY(YES), "--", "n+", "1", DONE, "", 0 },
	{ "a fall goes on and is told", MEMORY(WARN), BEST(VERIFIED), BY(YES), "--", "u+", "1", DONE, "1=tls ", 1 },
	{ "a fall waits", MEMORY(DEFER), BEST(VERIFIED), BY(YES), "--", "uc", "12", HB_RESULT_DEFER, R(DOWNGRADE), "", 1 },
	{ "a host never seen counts by the domain", MEMORY(DEFER), BEST(VERIFIED), BY(YES), "--", "uv+", "12", DONE, "2=verified ", 1 },
	{ "no fall", MEMORY(DEFER), BEST(TLS), BY(YES), "--", "u+", "1", DONE, "1=tls ", 0 },
	{ "handshake fails, then clear: one fall", MEMORY(WARN), BEST(TLS), BY(YES), "--", "fn+", "11-", DONE, "1=plain ", 1 },
	{ "a mismatch is a fall too", MEMORY(WARN), BEST(DANE), BY(YES), "3-", "vc", "12", HB_RESULT_DEFER, R(DANE_MISMATCH), "", 1 },
	{ "not known if trusted: waits where DANE was seen", MEMORY(WARN), BEST(DANE), BY(UNKNOWN), "33", "", "", HB_RESULT_DEFER, R(DANE_UNPROBED), "", 0 },
	{ "not known if trusted: no DANE seen", MEMORY(WARN), BEST(VERIFIED), BY(UNKNOWN), "33", "v+", "1", DONE, "1=verified ", 0 },
	{ "not trusted: goes on and is told", MEMORY(WARN), BEST(DANE), BY(NO), "33", "v+", "1", DONE, "1=verified ", 1 },
	{ "ledger lost: goes on", MEMORY(WARN), BEST(COUNT), BY(YES), "--", "n+", "1", DONE, "1=plain ", 0 },
	{ "ledger lost: waits", MEMORY(DEFER), BEST(COUNT), BY(YES), "--", "", "", HB_RESULT_DEFER, R(STS_STORE), "", 0 },
	{ "ledger lost, not known if trusted: waits", MEMORY(WARN), BEST(COUNT), BY(UNKNOWN), "33", "", "", HB_RESULT_DEFER, R(DANE_UNPROBED), "", 0 },
};
// clang-format on

static void
run_memory(const struct memory_row *r)
{
	struct dlv_seen seen = { .domain = { .best = r->best } };
	struct hb_conf conf = { .dane = true, .downgrade_memory = r->memory };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = r->links, .mx = 'S', .tlsa = r->tlsa,
		.trust = r->trust,
		.seen = r->best == HB_RANK_COUNT ? NULL : &seen };
	uint64_t before = hb_stats[HB_STAT_DOWNGRADE];
	const struct hb_outcome *o;

	print_message("%s\n", r->name);
	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_string_equal(f.links, "");
	assert_span(hb_buf_span(&f.opened), r->opened);
	assert_span(hb_buf_span(&f.noted), r->noted);
	o = dlv_attempt_outcome(f.a, 0);
	assert_string_equal(hb_reason_word(o->reason),
	    hb_reason_word(r->reason));
	assert_int_equal(o->result, r->result);
	assert_int_equal(hb_stats[HB_STAT_DOWNGRADE] - before, r->fell);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
	hb_buf_free(&f.noted);
}

static void
test_memory_of_downgrades(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(memories); i++)
		run_memory(&memories[i]);
}

static void
policy_is_not_waited_for_without_hosts(void **state)
{
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = "", .no_dns = true };

	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->reason,
	    HB_REASON_DNS_TEMP);
	dlv_attempt_free(&f.a);
	f.done = false;
	order.mode = DLV_EXPLAIN;
	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_false(f.done);
	dlv_attempt_policy(f.a, NULL, HB_REASON_STS_DNS_TEMP);
	assert_true(f.done);
	dlv_attempt_free(&f.a);
}

/* DNS says for good that there is nowhere to go: who forges that must not
 * destroy mail while a policy speaks against it. */
static void
what_dns_denies_and_a_policy_says(void **state)
{
	static const struct {
		char mx;
		bool policy, mta_sts;
		enum dlv_trust trust;
		enum hb_result result;
		enum hb_reason reason;
	} denied[] = {
		{ '.', false, true, DLV_TRUST_NO, HB_RESULT_FAIL,
		    HB_REASON_NULL_MX },
		{ '.', true, true, DLV_TRUST_NO, HB_RESULT_DEFER,
		    HB_REASON_DNS_CONTRADICTED },
		{ '.', true, false, DLV_TRUST_NO, HB_RESULT_FAIL,
		    HB_REASON_NULL_MX },
		{ 'N', true, true, DLV_TRUST_YES, HB_RESULT_DEFER,
		    HB_REASON_DNS_CONTRADICTED },
		{ 'n', true, true, DLV_TRUST_NO, HB_RESULT_DEFER,
		    HB_REASON_DNS_CONTRADICTED },
		/* signed, and checked by one who is trusted */
		{ 'n', true, true, DLV_TRUST_YES, HB_RESULT_FAIL,
		    HB_REASON_DNS_NXDOMAIN },
	};
	struct hb_span pattern = HB_SPAN("*.x.test");
	struct sts_policy policy = { .mode = STS_MODE_ENFORCE,
		.expires_ms = 5000, .mx = &pattern, .nmx = 1 };
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };

	for (size_t i = 0; i < HB_ARRAY_LEN(denied); i++) {
		struct hb_conf conf = { .mta_sts = denied[i].mta_sts };
		const struct hb_conf *now = &conf;
		struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
			.domain = HB_SPAN("x.test"), .env = &env,
			.rcpt = &rcpt, .nrcpt = 1, .conf = &now };
		struct fake f = { .links = "", .mx = denied[i].mx,
			.trust = denied[i].trust,
			.policy = denied[i].policy ? &policy : NULL };
		const struct hb_outcome *o;

		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		o = dlv_attempt_outcome(f.a, 0);
		assert_int_equal(o->result, denied[i].result);
		assert_string_equal(hb_reason_word(o->reason),
		    hb_reason_word(denied[i].reason));
		dlv_attempt_free(&f.a);
	}
}

/* What was seen on a connection that had died says nothing of the next. */
static void
facts_of_a_dead_connection(void **state)
{
	struct hb_conf conf = { .dane = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("smtp://m1.x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = "ic" };

	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	assert_true(f.done);
	assert_span(hb_buf_span(&f.opened), "11");
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->reason,
	    HB_REASON_CONNECT_REFUSED);
	assert_span(dlv_attempt_outcome(f.a, 0)->tls, "none");
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

/* What the look-up gave goes on to hold for the attempt, whatever the clock
 * says later: nobody has asked what the domain publishes now. */
static void
test_STS_19_policy_holds_for_an_attempt(void **state)
{
	static const struct {
		const char *what;
		struct moment first, then;
	} cases[] = {
		{ "it ends", { 1000, false }, { 10000, false } },
		{ "the clock goes ahead", { 1000, false }, { 10000, true } },
		{ "it was ahead, and is put right", { 10000, true },
		    { 1000, false } },
		{ "it was ahead, and proves right", { 10000, true },
		    { 10000, false } },
		{ "it was behind, and is put right", { 10, true },
		    { 10000, false } },
	};
	struct hb_span pattern = HB_SPAN("*.x.test");
	struct sts_policy policy = { .mode = STS_MODE_ENFORCE,
		.expires_ms = 5000, .mx = &pattern, .nmx = 1 };
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };

	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		struct fake f = { .links = "nn", .policy = &policy,
			.clock_implausible = cases[i].first.implausible,
			.then = &cases[i].then };

		print_message("%s\n", cases[i].what);
		now_ms = cases[i].first.ms;
		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		now_ms = 1000;
		assert_true(f.done);
		assert_int_equal(f.mails, 0);
		assert_int_equal(dlv_attempt_outcome(f.a, 0)->reason,
		    HB_REASON_NO_STARTTLS);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

/* Before what a policy causes is final its id is looked at once more. */
static void
test_STS_22_29_policy_is_asked_for(void **state)
{
	static const struct {
		const char *route;
		bool final;
		unsigned looked;
	} cases[] = {
		{ "mx://x.test", false, 1 },
		{ "mx://x.test", true, 1 },
		{ "smtp://10.0.0.1", false, 0 },
		{ "smtp://10.0.0.1", true, 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		struct hb_conf conf = { .mta_sts = true };
		const struct hb_conf *now = &conf;
		struct hb_env env = { .id = 1 };
		struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
		struct dlv_params order = {
			.route = hb_span_str(cases[i].route),
			.domain = HB_SPAN("x.test"), .env = &env,
			.rcpt = &rcpt, .nrcpt = 1, .conf = &now,
			.final = cases[i].final };
		struct fake f = { .links = "v+" };

		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		assert_int_equal(f.looked, cases[i].looked);
		assert_int_equal(f.final, f.looked > 0 && cases[i].final);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

/* Explain: every host is looked at, each anew, and no mail is offered; a host
 * that would do and cannot be talked to is told from one that would not. */
static void
explain_looks_at_every_host(void **state)
{
	static const struct {
		const char *links, *opened;
		enum sts_action action[2];
		enum hb_reason reason[2], trouble[2];
	} hosts[] = {
		{ "vv", "12", { STS_PROCEED, STS_PROCEED },
		    { HB_REASON_STS_OK, HB_REASON_STS_OK },
		    { HB_REASON_NONE, HB_REASON_NONE } },
		{ "cn", "12", { STS_PROCEED, STS_SKIP },
		    { HB_REASON_STS_OK, HB_REASON_NO_STARTTLS },
		    { HB_REASON_CONNECT_REFUSED, HB_REASON_NONE } },
		{ "lv", "12", { STS_PROCEED, STS_PROCEED },
		    { HB_REASON_STS_OK, HB_REASON_STS_OK },
		    { HB_REASON_CONNECTION_LOST, HB_REASON_NONE } },
		{ "fu", "12", { STS_SKIP, STS_SKIP },
		    { HB_REASON_TLS_HANDSHAKE, HB_REASON_CERT_NAME },
		    { HB_REASON_NONE, HB_REASON_NONE } },
	};
	struct hb_span pattern = HB_SPAN("*.x.test");
	struct sts_policy policy = { .mode = STS_MODE_ENFORCE,
		.expires_ms = 5000, .mx = &pattern, .nmx = 1 };
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct dlv_params order = { .mode = DLV_EXPLAIN_LIVE,
		.route = HB_SPAN("mx://x.test"), .domain = HB_SPAN("x.test"),
		.conf = &now };

	for (size_t i = 0; i < HB_ARRAY_LEN(hosts); i++) {
		struct fake f = { .links = hosts[i].links, .policy = &policy,
			.explains = true };

		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		assert_true(f.done);
		assert_int_equal(f.mails, 0);
		assert_span(hb_buf_span(&f.opened), hosts[i].opened);
		for (size_t h = 0; h < 2; h++) {
			const struct dlv_mx_result *t =
			    dlv_attempt_trial(f.a, h);

			assert_int_equal(t->verdict.action, hosts[i].action[h]);
			assert_int_equal(t->verdict.reason, hosts[i].reason[h]);
			assert_int_equal(t->trouble, hosts[i].trouble[h]);
		}
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

/* The verdict let the message through: what it demands is said, whatever the
 * clock is now. */
static void
test_RTLS_01_said_though_the_clock_jumps(void **state)
{
	struct hb_span pattern = HB_SPAN("*.x.test");
	struct sts_policy policy = { .mode = STS_MODE_ENFORCE,
		.expires_ms = 5000, .mx = &pattern, .nmx = 1 };
	struct hb_conf conf = { .mta_sts = true };
	const struct hb_conf *now = &conf;
	struct hb_env env = { .id = 1, .flags = RTLS,
		.sender = HB_SPAN("a@b.test") };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_params order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &now };
	struct fake f = { .links = "V+", .policy = &policy, .mx = 'i',
		.jump = true };

	f.a = dlv_attempt_new(&order, &world, &f);
	start(&f);
	now_ms = 1000;
	assert_true(f.done);
	assert_int_equal(f.mails, 1);
	assert_true(f.requiretls);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

/* A word that ends: `encrypt' is a demand and an exemption.  Neither does a
 * clock that is not believed end the one, nor revive the other. */
static void
words_that_end_by_a_clock_not_believed(void **state)
{
	static const struct {
		const char *name, *route;
		enum hb_tls_level word;
		int64_t until_ms, good_ms;
		bool doubt;
		enum hb_tls_level level, at_least;
	} ends[] = {
		{ "counts", "mx://x.test", HB_TLS_ENCRYPT, 2000, 0, false,
		    HB_TLS_ENCRYPT, HB_TLS_ENCRYPT },
		{ "over", "mx://x.test", HB_TLS_ENCRYPT, 500, 0, false,
		    HB_TLS_MAY, HB_TLS_NONE },
		{ "over, in doubt", "mx://x.test", HB_TLS_ENCRYPT, 500, 0,
		    true, HB_TLS_MAY, HB_TLS_ENCRYPT },
		{ "of a smarthost", "smtp://x.test", HB_TLS_ENCRYPT, 500, 0,
		    true, HB_TLS_MAY, HB_TLS_ENCRYPT },
		{ "a demand alone", "mx://x.test", HB_TLS_VERIFY, 500, 0,
		    true, HB_TLS_VERIFY, HB_TLS_VERIFY },
		{ "an exemption alone", "mx://x.test", HB_TLS_NONE, 500, 0,
		    true, HB_TLS_MAY, HB_TLS_NONE },
		{ "set back, was over", "mx://x.test", HB_TLS_ENCRYPT, 2000,
		    3000, true, HB_TLS_MAY, HB_TLS_ENCRYPT },
		{ "set back, was not", "mx://x.test", HB_TLS_ENCRYPT, 4000,
		    3000, true, HB_TLS_ENCRYPT, HB_TLS_ENCRYPT },
		{ "set back, exempted", "mx://x.test", HB_TLS_NONE, 2000, 3000,
		    true, HB_TLS_MAY, HB_TLS_NONE },
	};
	char pattern[] = "x.test";

	for (size_t i = 0; i < HB_ARRAY_LEN(ends); i++) {
		struct hb_tls_policy word = { .pattern = pattern,
			.level = ends[i].word, .until_ms = ends[i].until_ms };
		struct hb_conf conf = { .tls_policies = { &word, 1 } };
		const struct hb_conf *now = &conf;
		struct dlv_params order = { .mode = DLV_EXPLAIN,
			.route = hb_span_str(ends[i].route),
			.domain = HB_SPAN("y.test"), .conf = &now };
		struct fake f = { .links = "", .mx = 'i', .explains = true,
			.clock_implausible = ends[i].doubt,
			.good_ms = ends[i].good_ms };
		const struct sts_channel *ch;

		print_message("%s\n", ends[i].name);
		if (strncmp(ends[i].route, "mx:", 3) == 0)
			order.domain = HB_SPAN("x.test");
		f.a = dlv_attempt_new(&order, &world, &f);
		start(&f);
		ch = dlv_attempt_channel(f.a);
		assert_int_equal(ch->level, ends[i].level);
		assert_int_equal(ch->at_least, ends[i].at_least);
		dlv_attempt_free(&f.a);
		hb_buf_free(&f.opened);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_S_9_memory_keeps_the_reason),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_EAI_02_another_host_may_take_it),
		cmocka_unit_test(test_S_7_a_hop_that_wants_a_login),
		cmocka_unit_test(test_DANE_18_channels),
		cmocka_unit_test(
		    test_RTLS_01_09_a_dsn_says_it_where_the_channel_suits),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_DANE_17_mandatory_for_a_route),
		cmocka_unit_test(test_memory_of_downgrades),
		cmocka_unit_test(policy_is_not_waited_for_without_hosts),
		cmocka_unit_test(what_dns_denies_and_a_policy_says),
		cmocka_unit_test(facts_of_a_dead_connection),
		cmocka_unit_test(test_STS_19_policy_holds_for_an_attempt),
		cmocka_unit_test(test_RTLS_01_said_though_the_clock_jumps),
		cmocka_unit_test(words_that_end_by_a_clock_not_believed),
		cmocka_unit_test(test_STS_22_29_policy_is_asked_for),
		cmocka_unit_test(explain_looks_at_every_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
