/*
 * The whole of sts/ against real HTTPS on loopback: https_server.py plays the
 * policy hosts; DNS, roots and the store are played by this file.
 */
#include "tests/unit/unit.h"

#include <signal.h>
#include <sys/wait.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/io/ctlreply.h"
#include "sts/sts.h"
#include "tests/unit/nodns.h"
#include "tests/unit/nostore.h"

static struct {
	struct hb_loop *loop;
	struct hb_conf conf;
	struct sts *sts;
	X509_STORE *roots;
	pid_t server;
	int server_in;
	char folder[64];
	unsigned waiting, unanswered;
	char kept[64][80]; /* names in the store */
	size_t nkept;
} w;

/* --- roots --- */

void
hb_tls_bound(void *ssl_ctx)
{
}

void *
hb_tls_store(struct hb_tls *t)
{
	return w.roots;
}

static X509_STORE *
load_roots(void)
{
	char path[80];
	X509_STORE *store = X509_STORE_new();
	X509 *ca;
	FILE *f;

	snprintf(path, sizeof(path), "%s/ca.pem", w.folder);
	f = fopen(path, "r");
	assert_non_null(f);
	ca = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	assert_non_null(ca);
	assert_int_equal(X509_STORE_add_cert(store, ca), 1);
	X509_free(ca);
	return store;
}

/* DNS: every name has a TXT record and lives at 127.0.0.1, but for some */

static void
answer_dns(void *query)
{
	static const unsigned char here[] = { 127, 0, 0, 1 },
				   nobody[] = { 127, 0, 0, 99 };
	struct hb_dns_query q = *(struct hb_dns_query *)query;
	struct hb_span name = hb_span_str(q.name);
	struct hb_dns_rr rr = { .type = q.type };
	struct hb_dns_answer a = {
		.status = HB_DNS_OK, .rr = &rr, .n = 1, .ttl_s = 60
	};

	free(query);
	if (hb_span_eq(name, HB_SPAN("_mta-sts.mute.test"))) {
		w.unanswered++;
		a = (struct hb_dns_answer){ .status = HB_DNS_TEMP };
	} else if (q.type == HB_DNS_TXT) {
		assert_true(
		    hb_span_has_prefix_nocase(name, HB_SPAN("_mta-sts.")));
		rr.data = HB_SPAN("v=STSv1; id=20260101;");
	} else if (q.type == HB_DNS_A &&
		   !hb_span_eq(name, HB_SPAN("mta-sts.nodns.test"))) {
		rr.data = hb_span(
		    hb_span_eq(name, HB_SPAN("mta-sts.refused.test")) ? nobody
								      : here,
		    4);
	} else {
		a = (struct hb_dns_answer){ .status = HB_DNS_NODATA };
	}
	q.cb(q.ctx, &a);
}

struct hb_dns_query *
hb_dns_ask(struct hb_dns *d, struct hb_span name, enum hb_dns_type type,
    hb_dns_fn cb, void *ctx)
{
	return later_dns(w.loop, answer_dns, name, type, cb, ctx);
}

/* --- the store remembers names --- */

static void
store_put(void *store, struct hb_span key, struct hb_span value, bool lazy,
    hb_store_done_fn cb, void *ctx)
{
	/* a back-off may be lost, a policy may not */
	if (!lazy) {
		assert_true(value.n > 0 && w.nkept < HB_ARRAY_LEN(w.kept));
		assert_int_equal(hb_span_copy(key, w.kept[w.nkept++],
				     sizeof(w.kept[0])), 0);
	}
	nostore_later(store, NULL, cb, ctx);
}

static const struct hb_store_ops store_ops = { nostore_get, store_put,
	nostore_list, NULL };

/* --- the server --- */

static unsigned
start_server(void)
{
	const char *src = getenv("HB_SRCDIR");
	char script[4096], line[16] = "";
	int in[2], out[2];
	FILE *f;

	snprintf(script, sizeof(script),
	    "%s/tests/scenario/sts/https_server.py", src != NULL ? src : "..");
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	w.server = fork();
	assert_true(w.server >= 0);
	if (w.server == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl(HB_PYTHON, HB_PYTHON, script, w.folder, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w.server_in = in[1];
	f = fdopen(out[0], "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	return (unsigned)strtoul(line, NULL, 10);
}

static int
setup(void **state)
{
	snprintf(w.folder, sizeof(w.folder), "/tmp/https_sts.XXXXXX");
	assert_non_null(mkdtemp(w.folder));
	w.conf.mta_sts = w.conf.lab = true;
	w.conf.policy_port = start_server();
	w.roots = load_roots();
	w.loop = hb_loop_new();
	w.sts = sts_new(&(struct sts_env){ .loop = w.loop,
	    .conf = &w.conf,
	    .ops = &store_ops,
	    .store = w.loop,
	    .build_ms = 1 });
	assert_non_null(w.sts);
	return 0;
}

static int
teardown(void **state)
{
	char command[96];

	sts_free(&w.sts);
	hb_loop_free(&w.loop);
	X509_STORE_free(w.roots);
	close(w.server_in);
	waitpid(w.server, NULL, 0);
	snprintf(command, sizeof(command), "rm -r %s", w.folder);
	return system(command);
}

struct row {
	const char *domain;
	enum hb_reason want; /* NONE: a policy */
	bool called, policy;
	enum hb_reason why;
};

static void
take(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct row *r = ctx;

	r->called = true;
	r->policy = ref != NULL;
	r->why = why;
	sts_ref_release(&ref);
	if (--w.waiting == 0)
		hb_loop_stop(w.loop);
}

static bool
was_kept(const char *domain)
{
	for (size_t i = 0; i < w.nkept; i++)
		if (strcmp(w.kept[i], domain) == 0)
			return true;
	return false;
}

static void
check(struct row *rows, size_t n)
{
	w.waiting = (unsigned)n;
	for (size_t i = 0; i < n; i++)
		sts_lookup(
		    w.sts, hb_span_str(rows[i].domain), 0, take, &rows[i]);
	assert_int_equal(hb_loop_run(w.loop), 0);
	for (size_t i = 0; i < n; i++) {
		print_message("%s\n", rows[i].domain);
		assert_true(rows[i].called);
		assert_string_equal(
		    hb_reason_word(rows[i].why), hb_reason_word(rows[i].want));
		assert_int_equal(
		    rows[i].policy, rows[i].want == HB_REASON_NONE);
		assert_int_equal(was_kept(rows[i].domain), rows[i].policy);
	}
}

/* All at once: nobody waits for another, the slow one least of all. */
static void
sts07_sts08_sts14_sts15_sts17_sts33_policy_hosts(void **state)
{
	/* clang-format off */
	struct row rows[] = {
		{ .domain = "good.test" },
		{ .domain = "chunked.test" },
		{ .domain = "charset.test" },
		{ .domain = "wild.test" },
		{ .domain = "largest.test" },
		{ .domain = "redirect.test", .want = HB_REASON_STS_FETCH_STATUS },
		{ .domain = "missing.test", .want = HB_REASON_STS_FETCH_STATUS },
		{ .domain = "teapot.test", .want = HB_REASON_STS_FETCH_STATUS },
		{ .domain = "toolong.test", .want = HB_REASON_STS_FETCH_SIZE },
		{ .domain = "toochunked.test", .want = HB_REASON_STS_FETCH_SIZE },
		{ .domain = "longhead.test", .want = HB_REASON_STS_FETCH_HTTP },
		{ .domain = "longtail.test", .want = HB_REASON_STS_FETCH_HTTP },
		{ .domain = "html.test", .want = HB_REASON_STS_FETCH_TYPE },
		{ .domain = "notype.test", .want = HB_REASON_STS_FETCH_TYPE },
		{ .domain = "badpolicy.test", .want = HB_REASON_STS_BAD_POLICY },
		{ .domain = "garbage.test", .want = HB_REASON_STS_FETCH_HTTP },
		{ .domain = "nothing.test", .want = HB_REASON_STS_FETCH_HTTP },
		{ .domain = "cnonly.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "cnother.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "partial.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "parent.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "selfsigned.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "expired.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "future.test", .want = HB_REASON_STS_FETCH_CERT },
		{ .domain = "nodns.test", .want = HB_REASON_STS_FETCH_DNS },
		{ .domain = "refused.test", .want = HB_REASON_STS_FETCH_CONNECT },
	};
	/* clang-format on */
	int64_t start;

	hb_clock_refresh();
	start = hb_mono_ms();
	check(rows, HB_ARRAY_LEN(rows));
	hb_clock_refresh();
	assert_true(hb_mono_ms() - start < 30 * 1000);
}

static void
sts17_a_minute_is_enough(void **state)
{
	struct row rows[] = { { .domain = "slow.test",
	    .want = HB_REASON_STS_FETCH_TIMEOUT } };
	int64_t start;

	hb_clock_refresh();
	start = hb_mono_ms();
	check(rows, HB_ARRAY_LEN(rows));
	hb_clock_refresh();
	assert_in_range(hb_mono_ms() - start, 59 * 1000, 70 * 1000);
}

static void
off_makes_no_lookup(void **state)
{
	struct row r = { .domain = "good.test" };

	w.conf.mta_sts = false;
	w.waiting = 1;
	assert_non_null(sts_lookup(w.sts, HB_SPAN("good.test"), 0, take, &r));
	assert_false(r.called);
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_true(r.called && !r.policy);
	assert_int_equal(r.why, HB_REASON_STS_OFF);
	w.conf.mta_sts = true;
}

/* What is under way when the configuration changes starts again. */
static void
reload_starts_again(void **state)
{
	struct row rows[] = { { .domain = "good.test.good.test",
	    .want = HB_REASON_STS_FETCH_CERT } };

	w.waiting = 1;
	sts_lookup(w.sts, hb_span_str(rows[0].domain), 0, take, &rows[0]);
	w.conf.policy_address =
	    (struct hb_netaddr){ .family = 4, .b = { 127, 0, 0, 1 } };
	sts_reconf(w.sts, &w.conf, NULL, NULL);
	assert_int_equal(hb_loop_run(w.loop), 0);
	assert_int_equal(rows[0].why, rows[0].want);
}

static void
stop_loop(void *ctx)
{
	hb_loop_stop(ctx);
}

/* Who waits for another question about the TXT record is not forgotten when
 * policies are switched off. */
static void
switched_off_under_a_lookup(void **state)
{
	struct row r = { .domain = "mute.test" };
	struct hb_timer *t = hb_timer_new(w.loop, stop_loop, w.loop);

	w.waiting = 1;
	assert_non_null(sts_lookup(w.sts, HB_SPAN("mute.test"), 0, take, &r));
	w.conf.mta_sts = false;
	sts_reconf(w.sts, &w.conf, NULL, NULL);
	for (int i = 0; i < 3 && !r.called; i++) {
		if (i > 0)
			hb_clock_set_ahead(hb_clock_ahead() + 31 * 1000);
		sts_clock_moved(w.sts);
		hb_timer_set(t, 500);
		assert_int_equal(hb_loop_run(w.loop), 0);
	}
	assert_true(r.called && !r.policy);
	assert_int_equal(r.why, HB_REASON_STS_DNS_TEMP);
	assert_int_equal(w.unanswered, 3);
	hb_timer_free(&t);
	hb_clock_set_ahead(0);
	w.conf.mta_sts = true;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    sts07_sts08_sts14_sts15_sts17_sts33_policy_hosts),
		cmocka_unit_test(off_makes_no_lookup),
		cmocka_unit_test(reload_starts_again),
		cmocka_unit_test(switched_off_under_a_lookup),
		cmocka_unit_test(sts17_a_minute_is_enough),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
