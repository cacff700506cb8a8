/*
 * An attempt in a world of the test's own: two mail hosts m1 and m2, one
 * address each.  LINKS is what comes of each connection, in order:
 *	v verified TLS   u unverified TLS   n no STARTTLS   r STARTTLS refused
 *	f handshake failed   c cannot be connected   l lost before ready
 * and, after a channel that is good, of the message:
 *	+ taken   5 refused   4 MAIL refused for now   ? lost after the body
 * OPENED is what was opened: 1, 2, and a minus behind when without TLS.
 */
#include "unit.h"

#include "delivery/attempt.h"

struct fake {
	struct dlv_attempt *a;
	const struct sts_policy *policy;
	const char *links;
	struct hb_buf opened;
	struct hb_tls_facts facts;
	size_t mails;
	bool done;
	bool no_dns; /* MX is not known now, the policy never */
	enum dlv_trust trust;
};

static void
report(struct fake *f, enum dlv_link_event event, enum hb_reason reason,
    bool in_doubt)
{
	struct dlv_result why = { .result = HB_RESULT_DEFER,
		.reason = reason };
	struct dlv_link_report r = { .event = event, .facts = &f->facts,
		.failure = &why, .in_doubt = in_doubt };

	if (event == DLV_LINK_DONE && reason != HB_REASON_NONE)
		r.mail = &why;
	dlv_attempt_link(f->a, &r);
}

static void
fake_policy(void *w, struct dlv_attempt *a, struct hb_span domain, bool final)
{
	struct fake *f = w;

	(void)final;
	assert_span(domain, "x.test");
	if (!f->no_dns)
		dlv_attempt_policy(a, f->policy, HB_REASON_STS_NO_RECORD);
}

static void
fake_ask(void *w, struct dlv_attempt *a, size_t slot, struct hb_span name,
    enum hb_dns_type type)
{
	const struct fake *f = w;
	unsigned char b[4] = { 10, 0, 0, name.p[1] };
	struct hb_dns_rr mx[2] = { { .type = HB_DNS_MX, .preference = 1,
		.name = HB_SPAN("m1.x.test") }, { .type = HB_DNS_MX,
		.preference = 2, .name = HB_SPAN("m2.x.test") } };
	struct hb_dns_rr addr = { .type = HB_DNS_A, .data = { b, 4 } };
	struct hb_dns_answer r = { .status = HB_DNS_OK };

	if (f->no_dns)
		r.status = HB_DNS_TEMP;
	r.rr = type == HB_DNS_MX ? mx : &addr;
	r.n = type == HB_DNS_MX ? 2 : 1;
	if (type == HB_DNS_AAAA)
		r = (struct hb_dns_answer){ .status = HB_DNS_NODATA };
	dlv_attempt_answer(a, slot, &r);
}

static size_t
fake_hosts(void *w, struct hb_span name, struct hb_netaddr *out, size_t max)
{
	(void)w;
	(void)name;
	(void)out;
	(void)max;
	return 0;
}

static bool
fake_down(void *w, const struct hb_netaddr *addr)
{
	(void)w;
	(void)addr;
	return false;
}

static void
set_facts(struct fake *f, char what)
{
	f->facts = (struct hb_tls_facts){ .state = HB_TLSF_DONE,
		.chain = HB_CHAIN_OK, .version = 13 };
	f->facts.name_ok = what == 'v';
	if (what == 'n')
		f->facts.state = HB_TLSF_NOT_OFFERED;
	else if (what == 'r')
		f->facts.state = HB_TLSF_REFUSED;
	else if (what == 'f')
		f->facts.state = HB_TLSF_FAILED;
}

static void
fake_open(void *w, struct dlv_attempt *a, const struct dlv_target *t)
{
	struct fake *f = w;
	char what = *f->links;

	(void)a;
	assert_int_not_equal(what, '\0');
	f->links++;
	assert_string_equal(t->reference, t->mx);
	hb_buf_addf(&f->opened, "%c%s", t->mx[1],
	    t->tls == DLV_TLS_NEVER ? "-" : "");
	if (t->facts != NULL)
		f->facts = *t->facts;
	else
		set_facts(f, what);
	assert_int_equal(hb_span_copy(hb_span_str(t->reference),
		f->facts.reference, sizeof(f->facts.reference)), 0);
	if (what == 'c')
		report(f, DLV_LINK_NO_CONNECT, HB_REASON_CONNECT_REFUSED,
		    false);
	else if (what == 'f')
		report(f, DLV_LINK_CLOSED, HB_REASON_TLS_HANDSHAKE, false);
	else if (what == 'l')
		report(f, DLV_LINK_CLOSED, HB_REASON_CONNECTION_LOST, false);
	else
		report(f, DLV_LINK_READY, HB_REASON_NONE, false);
}

static void
fake_mail(void *w, struct dlv_attempt *a, const struct dlv_txn *txn,
    const struct sts_verdict *v)
{
	struct fake *f = w;
	char what = *f->links++;

	(void)a;
	assert_int_equal(v->action, STS_PROCEED);
	f->mails++;
	for (size_t i = 0; i < txn->nrcpt && what != '?'; i++)
		txn->rcpt[i].result = (struct dlv_result){
			.result = what == '+' ? HB_RESULT_OK
				: what == '5' ? HB_RESULT_FAIL
					      : HB_RESULT_DEFER,
			.reason = HB_REASON_REMOTE_REPLY };
	if (what == '?')
		report(f, DLV_LINK_CLOSED, HB_REASON_CONNECTION_LOST, true);
	else
		report(f, DLV_LINK_DONE, what == '4' ? HB_REASON_REMOTE_REPLY
						     : HB_REASON_NONE, false);
}

static void
fake_release(void *w, struct dlv_attempt *a, bool keep)
{
	(void)w;
	(void)a;
	(void)keep;
}

static void
fake_done(void *w, struct dlv_attempt *a)
{
	struct fake *f = w;

	(void)a;
	f->done = true;
}

static uint32_t
zero(uint32_t n)
{
	(void)n;
	return 0;
}

static int64_t
now(void)
{
	return 1000;
}

static enum dlv_trust
fake_trust(void *w)
{
	const struct fake *f = w;

	return f->trust;
}

static const struct dlv_world world = {
	.policy = fake_policy,
	.ask = fake_ask,
	.hosts_file = fake_hosts,
	.is_down = fake_down,
	.open = fake_open,
	.mail = fake_mail,
	.release = fake_release,
	.done = fake_done,
	.ad_trust = fake_trust,
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
	{ "nobody answers", STS_MODE_COUNT, "", "cc", "12", HB_RESULT_DEFER, HB_REASON_CONNECT_REFUSED, 0, true },
	{ "lost: the next", STS_MODE_COUNT, "", "lv+", "12", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 1, false },
	{ "MAIL refused for now: the next", STS_MODE_COUNT, "", "v4v+", "12", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 2, false },
	{ "MAIL refused for now, the next fails in TLS: clear", STS_MODE_COUNT, "", "v4fn+", "122-", HB_RESULT_OK, HB_REASON_REMOTE_REPLY, 2, false },
	{ "MAIL refused for now, the next lost before ready", STS_MODE_COUNT, "", "v4l", "12", HB_RESULT_DEFER, HB_REASON_CONNECTION_LOST, 1, false },
	{ "refused is refused", STS_MODE_COUNT, "", "v5", "1", HB_RESULT_FAIL, HB_REASON_REMOTE_REPLY, 1, false },
	{ "in doubt: no other host", STS_MODE_COUNT, "", "v?", "1", HB_RESULT_DEFER, HB_REASON_CONNECTION_LOST, 1, false },
};
// clang-format on

static void
run_row(const struct attempt_row *r)
{
	struct hb_span pattern = hb_span_str(r->patterns);
	struct sts_policy policy = { .mode = r->mode, .expires_ms = 5000,
		.mx = &pattern, .nmx = 1 };
	struct hb_conf conf = { .mta_sts = true };
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_self self = { .hostname = "me.test" };
	struct dlv_order order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &conf, .self = &self };
	struct fake f = { .links = r->links,
		.policy = r->mode == STS_MODE_COUNT ? NULL : &policy };

	print_message("%s\n", r->name);
	f.a = dlv_attempt_new(&order, &world, &f);
	dlv_attempt_start(f.a);
	assert_true(f.done);
	assert_string_equal(f.links, "");
	assert_span(hb_buf_span(&f.opened), r->opened);
	assert_int_equal(f.mails, r->mails);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->res.result, r->result);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->res.reason, r->reason);
	assert_int_equal(dlv_attempt_unreachable(f.a), r->unreachable);
	dlv_attempt_free(&f.a);
	hb_buf_free(&f.opened);
}

static void
test_attempts(void **state)
{
	(void)state;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		run_row(&rows[i]);
}

static void
policy_is_not_waited_for_without_hosts(void **state)
{
	struct hb_conf conf = { .mta_sts = true };
	struct hb_env env = { .id = 1 };
	struct dlv_rcpt rcpt = { .address = HB_SPAN("a@x.test") };
	struct dlv_self self = { .hostname = "me.test" };
	struct dlv_order order = { .route = HB_SPAN("mx://x.test"),
		.domain = HB_SPAN("x.test"), .env = &env, .rcpt = &rcpt,
		.nrcpt = 1, .conf = &conf, .self = &self };
	struct fake f = { .links = "", .no_dns = true };

	(void)state;
	f.a = dlv_attempt_new(&order, &world, &f);
	dlv_attempt_start(f.a);
	assert_true(f.done);
	assert_int_equal(dlv_attempt_outcome(f.a, 0)->res.reason,
	    HB_REASON_DNS_TEMP);
	dlv_attempt_free(&f.a);
	f.done = false;
	order.mode = DLV_EXPLAIN;
	f.a = dlv_attempt_new(&order, &world, &f);
	dlv_attempt_start(f.a);
	assert_false(f.done);
	dlv_attempt_policy(f.a, NULL, HB_REASON_STS_DNS_TEMP);
	assert_true(f.done);
	dlv_attempt_free(&f.a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(policy_is_not_waited_for_without_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
