/* `hauberkctl sts ...` over a real channel; DNS and the store are played. */
#include "tests/unit/unit.h"

#include <sys/socket.h>

#include "common/io/ctlreply.h"
#include "sts/sts.h"
#include "tests/unit/nodns.h"

#define TEXT                                                                   \
	"version: STSv1\nmode: testing\nmx: a.example\nmx: *.b.example\n"      \
	"max_age: 600\n"

static struct {
	struct hb_loop *loop;
	struct hb_conf conf;
	struct sts *sts;
	struct hb_peer *delivery, *control;
	struct {
		char key[80];
		struct hb_buf value;
	} rows[250];
	size_t nrows;
	struct hb_buf out; /* the answer as text */
	unsigned exit, ended;
	char text[128];
	int depth;
	struct hb_timer *stop;
} w;

/* Nothing is in the DNS, and no TLS is spoken here. */

void *
hb_tls_store(struct hb_tls *t)
{
	return t;
}

void
hb_tls_bound(void *ssl_ctx)
{
}

static void
answer_dns(void *query)
{
	struct hb_dns_answer a = { .status = HB_DNS_NXDOMAIN, .ttl_s = 60 };
	struct hb_dns_query q = *(struct hb_dns_query *)query;

	free(query);
	q.cb(q.ctx, &a);
}

struct hb_dns_query *
hb_dns_ask(struct hb_dns *d, struct hb_span name, enum hb_dns_type type,
    hb_dns_fn cb, void *ctx)
{
	return later_dns(w.loop, answer_dns, name, type, cb, ctx);
}

/* The store: rows in order of their keys.  A question is answered at the end
 * of the turn. */

struct question {
	char key[80]; /* of GET, or after which LIST begins */
	size_t count;
	hb_store_got_fn got;
	hb_store_row_fn row;
	hb_store_done_fn done;
	void *ctx;
};

static void
answer_get(const struct question *q)
{
	for (size_t i = 0; i < w.nrows; i++)
		if (strcmp(w.rows[i].key, q->key) == 0) {
			q->got(q->ctx, 0, hb_buf_span(&w.rows[i].value));
			return;
		}
	q->got(q->ctx, HB_E_NOTFOUND, HB_SPAN_NONE);
}

static void
answer_list(struct question *q)
{
	for (size_t i = 0; i < w.nrows && q->count > 0; i++) {
		struct hb_span key = hb_span_str(w.rows[i].key);

		if (key.n == 0 || hb_span_cmp(key, hb_span_str(q->key)) <= 0)
			continue;
		q->row(q->ctx, key, hb_buf_span(&w.rows[i].value));
		q->count--;
	}
	q->done(q->ctx, 0);
}

static void
answer(void *arg)
{
	struct question q = *(struct question *)arg;

	free(arg);
	if (q.got != NULL)
		answer_get(&q);
	else if (q.row != NULL)
		answer_list(&q);
	else
		q.done(q.ctx, 0);
}

static void
question(struct hb_span key, const struct question *q)
{
	struct question *kept = HB_NEW(struct question);

	*kept = *q;
	assert_int_equal(
	    hb_span_copy(key, kept->key, sizeof(kept->key)), 0);
	later(w.loop, answer, kept);
}

static void
store_get(void *store, struct hb_span key, hb_store_got_fn cb, void *ctx)
{
	question(key, &(struct question){ .got = cb, .ctx = ctx });
}

static void
store_put(void *store, struct hb_span key, struct hb_span value, bool lazy,
    hb_store_done_fn cb, void *ctx)
{
	for (size_t i = 0; i < w.nrows; i++) {
		if (!hb_span_eq(hb_span_str(w.rows[i].key), key))
			continue;
		hb_buf_clear(&w.rows[i].value);
		hb_buf_add(&w.rows[i].value, value);
		if (value.n == 0)
			w.rows[i].key[0] = '\0';
	}
	question(key, &(struct question){ .done = cb, .ctx = ctx });
}

static void
store_list(void *store, struct hb_span after, size_t count,
    hb_store_row_fn row, hb_store_done_fn done, void *ctx)
{
	question(after, &(struct question){
	    .count = count, .row = row, .done = done, .ctx = ctx });
}

static bool
store_owns(void *store, struct hb_span domain)
{
	return !hb_span_eq(domain, HB_SPAN("other.worker"));
}

static const struct hb_store_ops ops = { store_get, store_put, store_list,
	store_owns };

static void
keep(const char *key)
{
	struct sts_record r = { .mode = STS_MODE_TESTING,
		.id = HB_SPAN("7"),
		.fetched_ms = 1000,
		.expires_ms = INT64_MAX,
		.refreshed_ms = 2000,
		.tried_ms = 3000,
		.last_error = HB_SPAN("sts-fetch-timeout"),
		.source = HB_SPAN("fetched"),
		.text = HB_SPAN(TEXT) };

	snprintf(w.rows[w.nrows].key, sizeof(w.rows[0].key), "%s", key);
	sts_record_encode(&r, &w.rows[w.nrows++].value);
}

/* No policy, but a wait before the next fetch. */
static void
keep_wait(const char *key)
{
	struct sts_record r = { .tried_ms = 3000,
		.last_error = HB_SPAN("sts-fetch-timeout"),
		.failed_id = HB_SPAN("7"),
		.retry_ms = INT64_MAX,
		.failures = 1 };

	snprintf(w.rows[w.nrows].key, sizeof(w.rows[0].key), "%s", key);
	sts_record_encode(&r, &w.rows[w.nrows++].value);
}

/* --- control's side --- */

static void
on_item(const struct ipc_ctl_item *m)
{
	hb_buf_addf(&w.out, "%.*s=", HB_SPAN_ARG(m->key));
	if (m->kind == HB_ITEM_OBJECT || m->kind == HB_ITEM_ARRAY) {
		w.depth++;
		hb_buf_adds(&w.out, m->kind == HB_ITEM_ARRAY ? "[" : "{");
	} else if (m->kind == HB_ITEM_CLOSE) {
		w.depth--;
		hb_buf_adds(&w.out, "/ ");
	} else if (m->kind == HB_ITEM_STR) {
		hb_buf_addf(&w.out, "%.*s ", HB_SPAN_ARG(m->str));
	} else if (m->kind == HB_ITEM_NULL) {
		hb_buf_adds(&w.out, "null ");
	} else {
		hb_buf_addf(&w.out, "%lld ", (long long)m->num);
	}
}

static void
on_end(const struct ipc_ctl_end *m)
{
	assert_int_equal(m->ref, 42);
	w.exit = m->exit;
	w.ended++;
	assert_int_equal(hb_span_copy(m->text, w.text, sizeof(w.text)), 0);
	hb_loop_stop(w.loop);
}

static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	fail_msg("%s", why);
}

static bool
control_on(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (type == HB_IPC_CTL_ITEM)
		on_item(&m->ctl_item);
	else if (type == HB_IPC_CTL_END)
		on_end(&m->ctl_end);
	else
		return false;
	return true;
}

static const struct hb_peer_ops control_ops = { control_on, on_close, NULL };
static const struct hb_peer_ops delivery_ops = { NULL, on_close, NULL };

static void
on_stop(void *ctx)
{
	hb_loop_stop(ctx);
}

static int
setup(void **state)
{
	int sv[2];

	memset(&w, 0, sizeof(w));
	w.conf.mta_sts = true;
	w.loop = hb_loop_new();
	w.stop = hb_timer_new(w.loop, on_stop, w.loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	w.delivery = hb_peer_new(w.loop, sv[0], HB_ROLE_DELIVERY,
	    HB_ROLE_CONTROL, 0, &delivery_ops, NULL);
	w.control = hb_peer_new(w.loop, sv[1], HB_ROLE_CONTROL,
	    HB_ROLE_DELIVERY, 0, &control_ops, NULL);
	w.sts = sts_new(&(struct sts_env){
	    .loop = w.loop, .conf = &w.conf, .ops = &ops, .build_ms = 1 });
	assert_non_null(w.sts);
	return 0;
}

static int
teardown(void **state)
{
	sts_free(&w.sts);
	hb_timer_free(&w.stop);
	hb_peer_free(&w.delivery);
	hb_peer_free(&w.control);
	hb_loop_free(&w.loop);
	hb_buf_free(&w.out);
	for (size_t i = 0; i < w.nrows; i++)
		hb_buf_free(&w.rows[i].value);
	return 0;
}

static void
ask(const struct ipc_ctl *q, unsigned code)
{
	hb_buf_clear(&w.out);
	w.ended = 0;
	assert_true(sts_ctl(w.sts, w.delivery, q));
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.exit, code);
	assert_int_equal(w.depth, 0);
}

static void
run(enum hb_ctl_verb verb, const char *arg, unsigned code)
{
	ask(&(struct ipc_ctl){ .ref = 42, .verb = verb,
		.arg = hb_span_str(arg) }, code);
}

static size_t
count(const char *what)
{
	size_t n = 0;

	for (struct hb_span s = hb_buf_span(&w.out); s.n >= strlen(what);
	     s = hb_span_from(s, 1))
		n += memcmp(s.p, what, strlen(what)) == 0;
	return n;
}

static void
show_has_the_fields_of_the_interface(void **state)
{
	keep("a.test");
	run(HB_CTL_STS_SHOW, "A.test", 0);
	assert_span(hb_buf_span(&w.out),
	    "={domain=a.test id=7 mode=testing "
	    "mx=[=a.example =*.b.example =/ max_age=600 fetched=1000 "
	    "expires=9223372036854775807 refreshed=2000 "
	    "last_error=sts-fetch-timeout source=fetched =/ ");
	run(HB_CTL_STS_SHOW, "b.test", 1);
	assert_string_equal(w.text, "no policy is kept for this domain");
	run(HB_CTL_STS_SHOW, "", 1);
}

static void
list_goes_through_all_slices(void **state)
{
	char key[32];

	for (unsigned i = 0; i < 230; i++) {
		snprintf(key, sizeof(key), "d%03u.test", i);
		keep(key);
	}
	keep("other.worker");
	run(HB_CTL_STS_LIST, NULL, 0);
	assert_int_equal(count("domain="), 230);
	assert_int_equal(count("domain=d229.test "), 1);
	run(HB_CTL_STS_FORGET, "d001.test", 0);
	run(HB_CTL_STS_LIST, NULL, 0);
	assert_int_equal(count("domain="), 229);
}

static void
expire_and_forget_reach_memory_and_store(void **state)
{
	keep("a.test");
	run(HB_CTL_STS_EXPIRE, "a.test", 0);
	run(HB_CTL_STS_SHOW, "a.test", 0);
	assert_int_equal(count("expires=9223372036854775807"), 0);
	run(HB_CTL_STS_FORGET, "a.test", 0);
	run(HB_CTL_STS_SHOW, "a.test", 1);
	run(HB_CTL_STS_FORGET, "a.test", 1);
}

/* What is kept to spare a policy host is no policy; forgetting ends it. */
static void
waits_are_not_listed_and_can_be_forgotten(void **state)
{
	keep("a.test");
	keep_wait("w.test");
	run(HB_CTL_STS_LIST, NULL, 0);
	assert_int_equal(count("domain="), 1);
	run(HB_CTL_STS_SHOW, "w.test", 1);
	assert_string_equal(w.text, "no policy is kept for this domain");
	run(HB_CTL_STS_EXPIRE, "w.test", 1);
	run(HB_CTL_STS_FORGET, "w.test", 0);
	run(HB_CTL_STS_FORGET, "w.test", 1);
}

static void
took(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	*(bool *)ctx = ref != NULL;
	sts_ref_release(&ref);
	hb_loop_stop(w.loop);
}

static bool
has_policy(const char *domain)
{
	bool has = false;

	sts_lookup(w.sts, hb_span_str(domain), 0, took, &has);
	assert_int_equal(hb_loop_run(w.loop), 0);
	return has;
}

/* A smarthost that spilled: its policy is in the memory of every worker. */
static void
forget_reaches_the_copies_of_other_workers(void **state)
{
	keep("other.worker");
	assert_true(has_policy("other.worker"));
	run(HB_CTL_STS_SHOW, "other.worker", 1); /* its owner says it */
	assert_string_equal(w.text, "");
	run(HB_CTL_STS_FORGET, "other.worker", 0);
	assert_false(has_policy("other.worker"));
	/* another worker was faster */
	keep("a.test");
	assert_true(has_policy("a.test"));
	w.rows[w.nrows - 1].key[0] = '\0';
	run(HB_CTL_STS_FORGET, "a.test", 1);
	assert_false(has_policy("a.test"));
}

static void
status_counts_policies(void **state)
{
	struct hb_ctl to = { w.delivery, 42 };

	keep("a.test");
	keep("b.test");
	keep("other.worker");
	run(HB_CTL_STS_LIST, NULL, 0);
	hb_buf_clear(&w.out);
	hb_timer_set(w.stop, 300);
	assert_int_equal(hb_loop_run(w.loop), 0);
	hb_ctl_object(&to, NULL);
	sts_status(w.sts, &to);
	hb_ctl_close(&to);
	hb_ctl_end(&to, 0, NULL);
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_span(hb_buf_span(&w.out),
	    "={policies=2 policies_failing=2 policies_counting=0 clock=good =/ ");
}

static void
refresh_says_what_failed(void **state)
{
	run(HB_CTL_STS_REFRESH, "a.test", 1);
	assert_string_equal(w.text,
	    "the domain publishes no mail security policy (MTA-STS)");
	w.conf.mta_sts = false;
	run(HB_CTL_STS_REFRESH, "a.test", 1);
	assert_string_equal(w.text, hb_reason_text(HB_REASON_STS_OFF));
}

static void
import(const char *domain, const struct sts_record *r, unsigned code,
    const char *says)
{
	struct ipc_ctl q = { .ref = 42, .verb = HB_CTL_STS_IMPORT,
		.arg = hb_span_str(domain) };
	struct hb_buf value = HB_BUF_INIT(0);

	if (r != NULL)
		sts_record_encode(r, &value);
	q.value = hb_buf_span(&value);
	ask(&q, code);
	assert_string_equal(w.text, says);
	hb_buf_free(&value);
}

static void
an_import_never_replaces_a_newer_policy(void **state)
{
	int64_t now = hb_now_ms();
	struct sts_record r = { .id = HB_SPAN("8"), .fetched_ms = 1000,
		.refreshed_ms = now, .tried_ms = now, .expires_ms = INT64_MAX,
		.source = HB_SPAN("imported"), .text = HB_SPAN(TEXT) };

	(void)state;
	keep("a.test");
	keep_wait("w.test");
	import("A.test", &r, 0, "imported");
	run(HB_CTL_STS_SHOW, "a.test", 0);
	assert_int_equal(count("id=8 mode=testing"), 1);
	assert_int_equal(count("source=imported"), 1);
	/* no longer than its max_age */
	assert_int_equal(count("expires=9223372036854775807"), 0);
	r.id = HB_SPAN("9");
	import("a.test", &r, 0, "kept");
	run(HB_CTL_STS_SHOW, "a.test", 0);
	assert_int_equal(count("id=8 "), 1);
	import("w.test", &r, 0, "imported");
	run(HB_CTL_STS_SHOW, "w.test", 0);
}

static void
an_import_says_what_is_wrong(void **state)
{
	int64_t now = hb_now_ms();
	struct sts_record r = { .id = HB_SPAN("8"), .fetched_ms = 1000,
		.refreshed_ms = 2000, .expires_ms = INT64_MAX,
		.text = HB_SPAN(TEXT) };
	static const char order[] = "fetched and refreshed are not in this "
				    "order, or ahead of the clock";

	(void)state;
	import("", &r, 1, "not a domain name");
	import("b c.test", &r, 1, "not a domain name in A-labels");
	import("other.worker", &r, 1,
	    "the workers are being changed: try again");
	import("a.test", NULL, 1, "not a policy");
	import("a.test", &r, 1, "the policy has expired");
	r.refreshed_ms = now + 7200 * 1000;
	import("a.test", &r, 1, order);
	r.refreshed_ms = 999;
	import("a.test", &r, 1, order);
	r.text = HB_SPAN("version: STSv1\n");
	import("a.test", &r, 1, "not a policy");
}

static void
other_questions_are_not_taken(void **state)
{
	struct ipc_ctl q = { .verb = HB_CTL_QUEUE };

	assert_false(sts_ctl(w.sts, w.delivery, &q));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(show_has_the_fields_of_the_interface),
		T(list_goes_through_all_slices),
		T(expire_and_forget_reach_memory_and_store),
		T(waits_are_not_listed_and_can_be_forgotten),
		T(forget_reaches_the_copies_of_other_workers),
		T(status_counts_policies),
		T(refresh_says_what_failed),
		T(an_import_never_replaces_a_newer_policy),
		T(an_import_says_what_is_wrong),
		T(other_questions_are_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
