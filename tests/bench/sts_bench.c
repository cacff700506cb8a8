/*
 * The decision about a delivery where the policy is cached: sts_cached,
 * sts_decide_mx and sts_decide_tls, as delivery does.  The loop runs in a
 * child in strict seccomp mode, where any system call but write and exit is
 * death: what is measured makes none.
 *
 *	sts_bench [DOMAINS] [ROUNDS]
 */
#include "config.h"

#include <linux/seccomp.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/loop.h"
#include "sts/decide.h"
#include "sts/sts.h"
#include "tests/unit/nodns.h"
#include "tests/unit/nostore.h"

#define TXT "v=STSv1; id=20260101T000000;"

/* DNS and the store are played; no TLS is spoken. */

void
hb_tls_bound(void *ssl_ctx)
{
	(void)ssl_ctx;
}

void *
hb_tls_store(struct hb_tls *t)
{
	return t;
}

static struct hb_loop *loop;

static void
answer_dns(void *query)
{
	struct hb_dns_query q = *(struct hb_dns_query *)query;
	struct hb_dns_rr rr = { .data = HB_SPAN(TXT) };
	struct hb_dns_answer a = { .status = HB_DNS_OK, .rr = &rr, .n = 1,
		.ttl_s = 3600 };

	free(query);
	q.cb(q.ctx, &a);
}

struct hb_dns_query *
hb_dns_ask(struct hb_dns *d, struct hb_span name, enum hb_dns_type type,
    hb_dns_fn cb, void *ctx)
{
	(void)d;
	return later_dns(loop, answer_dns, name, type, cb, ctx);
}

struct question {
	char key[HB_MAX_DOMAIN + 1];
	hb_store_got_fn cb;
	void *ctx;
};

static void
answer_get(void *arg)
{
	struct question q = *(struct question *)arg;
	struct hb_span key = hb_span_str(q.key);
	struct hb_buf text = HB_BUF_INIT(0), value = HB_BUF_INIT(0);
	struct sts_record r = { .mode = STS_MODE_ENFORCE,
		.id = HB_SPAN("20260101T000000"),
		.fetched_ms = hb_now_ms(), .refreshed_ms = hb_now_ms(),
		.tried_ms = hb_now_ms(),
		.expires_ms = hb_now_ms() + INT64_C(604800000),
		.source = HB_SPAN("fetched") };

	free(arg);
	hb_buf_addf(&text, "version: STSv1\nmode: enforce\nmx: mx1.%.*s\n"
	    "mx: mx2.%.*s\nmx: *.mail.%.*s\nmax_age: 604800\n",
	    HB_SPAN_ARG(key), HB_SPAN_ARG(key), HB_SPAN_ARG(key));
	r.text = hb_buf_span(&text);
	sts_record_encode(&r, &value);
	if (hb_span_eq(key, STS_CLOCK_KEY))
		q.cb(q.ctx, HB_E_NOTFOUND, HB_SPAN_NONE);
	else
		q.cb(q.ctx, 0, hb_buf_span(&value));
	hb_buf_free(&text);
	hb_buf_free(&value);
}

static void
store_get(void *store, struct hb_span key, hb_store_got_fn cb, void *ctx)
{
	struct question *q = HB_NEW(struct question);

	*q = (struct question){ .cb = cb, .ctx = ctx };
	HB_ASSERT(hb_span_copy(key, q->key, sizeof(q->key)) == 0);
	later(store, answer_get, q);
}

static const struct hb_store_ops ops = { store_get, nostore_put,
	nostore_list, NULL };

static void
took(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	(void)why;
	*(struct sts_policy_ref **)ctx = ref;
	hb_loop_stop(loop);
}

/* One delivery's decision; 1 where it may go on. */
static unsigned
decide(struct sts *s, const char *domain, struct hb_tls_facts *facts)
{
	struct sts_policy_ref *ref = NULL;
	enum hb_reason why;
	struct sts_channel ch = { .level = HB_TLS_MAY };
	struct sts_host host = { .name = facts->reference };
	unsigned good = 0;

	if (!sts_cached(s, hb_span_str(domain), &ref, &why)) {
		sts_lookup(s, hb_span_str(domain), 0, took, &ref);
		if (hb_loop_run(loop) < 0)
			return 0;
	}
	if (ref == NULL)
		return 0;
	ch.policy = &ref->policy;
	ch.clock_implausible = sts_clock_implausible(s);
	if (sts_decide_mx(&ch, &host, hb_now_ms()).action == STS_PROCEED)
		good = sts_decide_tls(&ch, &host, facts, hb_now_ms()).action ==
		    STS_PROCEED;
	sts_ref_release(&ref);
	return good;
}

enum { NAME = 48 };

static unsigned
pass(struct sts *s, char (*names)[NAME], size_t n, struct hb_tls_facts *facts)
{
	unsigned good = 0;
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		at = (at + 7919) % n; /* not in the order of memory */
		memcpy(facts->reference, "mx1.", 4);
		memcpy(facts->reference + 4, names[at], NAME);
		good += decide(s, names[at], facts);
	}
	return good;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* In the child: the count of good decisions goes to FD. */
static void
measured(struct sts *s, char (*names)[NAME], size_t n, size_t rounds, int fd)
{
	static struct hb_tls_facts facts = { .state = HB_TLSF_DONE,
		.chain = HB_CHAIN_OK, .name_ok = true, .version = 13 };
	uint64_t good = 0;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		syscall(SYS_exit, 1);
	for (size_t i = 0; i < rounds; i++)
		good += pass(s, names, n, &facts);
	if (write(fd, &good, sizeof(good)) != sizeof(good))
		syscall(SYS_exit, 1);
	syscall(SYS_exit, 0);
}

int
main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 50000;
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 20;
	char(*names)[NAME] = calloc(n, NAME);
	struct hb_conf conf = { .mta_sts = true };
	struct hb_loop *l = loop = hb_loop_new();
	struct sts_env env = { .loop = l, .conf = &conf, .ops = &ops,
		.store = l, .build_ms = 1 };
	struct hb_tls_facts facts = { .state = HB_TLSF_DONE,
		.chain = HB_CHAIN_OK, .name_ok = true, .version = 13 };
	struct sts *s = sts_new(&env);
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	int p[2], status;
	uint64_t good = 0;
	double start;
	pid_t child;

	for (size_t i = 0; i < n; i++)
		snprintf(names[i], NAME, "customer%07zu.example", i);
	(void)pass(s, names, n, &facts); /* warms */
	printf("%zu domains, %.0f bytes each\n", n,
	    (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) /
		(double)n);
	if (pipe(p) != 0)
		return 1;
	fflush(stdout);
	start = seconds();
	child = fork();
	if (child == 0)
		measured(s, names, n, rounds, p[1]);
	waitpid(child, &status, 0);
	start = seconds() - start;
	if (status != 0 || read(p[0], &good, sizeof(good)) != sizeof(good) ||
	    good != n * rounds) {
		printf("%s: %llu of %zu decisions were to proceed\n",
		    WIFSIGNALED(status) ? "a system call was made" : "failed",
		    (unsigned long long)good, n * rounds);
		return 1;
	}
	printf("%zu decisions, %.0f ns each, no system call\n", n * rounds,
	    start * 1e9 / (double)(n * rounds));
	sts_free(&s);
	hb_loop_free(&env.loop);
	free(names);
	return 0;
}
