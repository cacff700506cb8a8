/*
 * Policies in a world of our own: clock, DNS, HTTPS and store are played by
 * this file, days pass in no time.
 */
#include "tests/unit/unit.h"

#include "common/base/log.h"
#include "common/proto/stats.h"
#include "sts/core.h"

#define MINUTE (INT64_C(60) * 1000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define START (INT64_C(1800000000) * 1000)

#define ENFORCE                                                                \
	"version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 864000\n"
#define TESTING                                                                \
	"version: STSv1\nmode: testing\nmx: mx.example\nmax_age: 864000\n"
#define NO_MODE "version: STSv1\nmode: none\nmax_age: 864000\n"

enum { ZONES = 4, KEPT = 8, PENDING = 4096 };

struct zone {
	const char *name, *txt[2], *policy;
	enum hb_reason why; /* fetch fails when policy is NULL */
	bool temp, slow;
	uint32_t ttl_s;
	unsigned asked, asked_anew, fetched;
};
struct kept {
	char name[300];
	struct hb_buf value;
};
enum kind { LOAD, SAVE, ASK, FETCH, LIST, CLOCK };
static struct {
	struct sts_core *core;
	int64_t now, jumped; /* the wall clock; of that by jumps */
	int64_t lab;         /* and what a lab adds */
	int64_t alarm;       /* monotonic; INT64_MAX: none */
	unsigned ticks;
	struct hb_buf clock;
	struct zone zones[ZONES];
	struct kept store[KEPT];
	bool store_down, store_full;
	bool soon; /* the core is to be called at the end of this turn */
	bool others_slow; /* the rest of the world has policies, slow ones */
	bool others_fail; /* or ones that cannot be fetched */
	struct pending {
		enum kind kind;
		struct sts_domain *d;
	} pending[PENDING];
	size_t npending;
	unsigned loads, saves, lists, most_fetches, clock_saves, waits_kept;
	char after[300];
	struct hb_buf log;
} w;

static int64_t
mono(void)
{
	return w.now - w.jumped;
}

/* Both clocks are told before each call, as sts.c does. */
static int64_t
now(void)
{
	sts_core_clock(w.core, w.now, mono(), w.now + w.lab);
	return w.now + w.lab;
}

static void
jump(int64_t ms)
{
	w.now += ms;
	w.jumped += ms;
}

static struct zone *
zone_of(const struct sts_domain *d)
{
	static struct zone other;

	for (size_t i = 0; i < ZONES; i++)
		if (w.zones[i].name != NULL &&
		    hb_span_eq(
			sts_domain_name(d), hb_span_str(w.zones[i].name)))
			return &w.zones[i];
	other = (struct zone){ .name = "",
		.ttl_s = 300,
		.slow = w.others_slow,
		.why = HB_REASON_STS_FETCH_DNS };
	if (w.others_slow || w.others_fail)
		other.txt[0] = "v=STSv1; id=1;";
	return &other;
}

static struct kept *
kept_of(struct hb_span name, bool make)
{
	for (size_t i = 0; i < KEPT; i++)
		if (hb_span_eq(name, hb_span_str(w.store[i].name)))
			return &w.store[i];
	for (size_t i = 0; make && i < KEPT; i++)
		if (w.store[i].name[0] == '\0') {
			assert_int_equal(hb_span_copy(name, w.store[i].name,
					     sizeof(w.store[i].name)),
			    0);
			return &w.store[i];
		}
	return NULL;
}

static void
later(enum kind kind, struct sts_domain *d)
{
	assert_true(w.npending < PENDING);
	w.pending[w.npending++] = (struct pending){ kind, d };
}

static struct pending
take_pending(size_t i)
{
	struct pending p = w.pending[i];

	w.npending--;
	memmove(&w.pending[i], &w.pending[i + 1],
	    (w.npending - i) * sizeof(p));
	return p;
}

static void
op_load(void *ctx, struct sts_domain *d)
{
	w.loads++;
	later(LOAD, d);
}

static bool
is_wait(struct hb_span value)
{
	struct sts_record r;

	assert_int_equal(sts_record_decode(value, &r), 0);
	return sts_record_is_wait(&r);
}

static void
op_save(void *ctx, struct sts_domain *d, struct hb_span value, bool lazy)
{
	w.saves++;
	if (is_wait(value))
		w.waits_kept++;
	if (!w.store_down && !w.store_full) {
		struct kept *k = kept_of(sts_domain_name(d), true);

		if (k == NULL && is_wait(value)) /* it may be lost */
			return;
		assert_non_null(k);
		hb_buf_clear(&k->value);
		hb_buf_add(&k->value, value);
	}
	if (!lazy)
		later(SAVE, d);
}

static void
op_ask(void *ctx, struct sts_domain *d, bool anew)
{
	zone_of(d)->asked++;
	zone_of(d)->asked_anew += anew;
	later(ASK, d);
}

static void
op_fetch(void *ctx, struct sts_domain *d)
{
	unsigned n = 1;

	zone_of(d)->fetched++;
	for (size_t i = 0; i < w.npending; i++)
		n += w.pending[i].kind == FETCH;
	if (n > w.most_fetches)
		w.most_fetches = n;
	later(FETCH, d);
}

static void
op_list(void *ctx, struct hb_span after, size_t count)
{
	assert_true(count >= KEPT);
	assert_int_equal(hb_span_copy(after, w.after, sizeof(w.after)), 0);
	w.lists++;
	later(LIST, NULL);
}

static void
op_remove(void *ctx, struct hb_span name)
{
	struct kept *k = kept_of(name, false);

	assert_non_null(k);
	k->name[0] = '\0';
}

static bool
op_owns(void *ctx, struct hb_span name)
{
	return !hb_span_eq(name, HB_SPAN("other.worker"));
}

static void
op_load_clock(void *ctx)
{
	later(CLOCK, NULL);
}

static void
op_save_clock(void *ctx, struct hb_span value)
{
	w.clock_saves++;
	hb_buf_clear(&w.clock);
	hb_buf_add(&w.clock, value);
}

static void
op_drop(void *ctx, struct sts_domain *d)
{
	for (size_t i = 0; i < w.npending; i++)
		if (w.pending[i].kind == FETCH && w.pending[i].d == d) {
			(void)take_pending(i);
			return;
		}
	fail_msg("no such fetch");
}

static void
op_alarm(void *ctx, int64_t ms)
{
	assert_true(ms > 0);
	w.alarm = mono() + ms;
}

static void
op_soon(void *ctx)
{
	w.soon = true;
}

static const struct sts_core_ops ops = { op_load, op_save, op_ask, op_fetch,
	op_drop, op_list, op_remove, op_owns, op_load_clock, op_save_clock,
	op_alarm, op_soon };

static void
end_turn(void)
{
	while (w.soon) {
		w.soon = false;
		now();
		sts_core_turn(w.core);
	}
}

static void
answer_txt(struct sts_domain *d)
{
	struct zone *z = zone_of(d);
	struct hb_span records[2];
	size_t n = 0;

	for (size_t i = 0; i < 2; i++)
		if (z->txt[i] != NULL)
			records[n++] = hb_span_str(z->txt[i]);
	sts_core_txt(w.core, d, z->temp, records, n, z->ttl_s, now());
}

static void
answer_list(void)
{
	for (size_t i = 0; i < KEPT && !w.store_down; i++)
		if (w.store[i].name[0] != '\0')
			sts_core_row(w.core, hb_span_str(w.store[i].name),
			    hb_buf_span(&w.store[i].value), now());
	sts_core_listed(w.core, w.store_down ? HB_E_TEMP : 0);
}

static void
answer_one(struct pending p)
{
	const struct zone *z = p.d != NULL ? zone_of(p.d) : NULL;
	struct kept *k;

	switch (p.kind) {
	case LOAD:
		k = kept_of(sts_domain_name(p.d), false);
		sts_core_loaded(w.core, p.d,
		    w.store_down ? HB_E_TEMP
		    : k != NULL  ? 0
				 : HB_E_NOTFOUND,
		    k != NULL ? hb_buf_span(&k->value) : HB_SPAN_NONE, now());
		break;
	case SAVE:
		sts_core_saved(
		    w.core, p.d, w.store_full ? HB_E_NOSPACE : 0, now());
		break;
	case ASK:
		answer_txt(p.d);
		break;
	case FETCH:
		sts_core_fetched(w.core, p.d,
		    z->policy != NULL ? HB_REASON_NONE : z->why,
		    hb_span_str(z->policy), NULL, now());
		break;
	case LIST:
		answer_list();
		break;
	case CLOCK:
		now();
		sts_core_clock_loaded(w.core,
		    w.store_down	? HB_E_TEMP
			: w.clock.n > 0 ? 0
					: HB_E_NOTFOUND,
		    hb_buf_span(&w.clock));
		break;
	}
	end_turn();
}

static struct pending
next_pending(void)
{
	assert_true(w.npending > 0);
	return take_pending(0);
}

static bool
is_held_up(struct pending p)
{
	return p.kind == FETCH && zone_of(p.d)->slow;
}

/* Answers what was asked, but for slow hosts. */
static void
pump(void)
{
	size_t i = 0;

	end_turn();
	while (i < w.npending) {
		if (is_held_up(w.pending[i])) {
			i++;
			continue;
		}
		answer_one(take_pending(i));
		i = 0;
	}
}

/* Time passes, with the ticks that were asked for and no others. */
static void
pass(int64_t ms)
{
	int64_t end = mono() + ms;

	while (now(), w.alarm <= end) {
		if (mono() < w.alarm)
			w.now += w.alarm - mono();
		w.alarm = INT64_MAX;
		w.ticks++;
		sts_core_tick(w.core, now());
		end_turn();
		pump();
	}
	w.now += end - mono();
	now();
}

static void
take_record(void *ctx, enum hb_level level, struct hb_span record)
{
	hb_buf_add(&w.log, record);
}

static bool
logged(const char *what)
{
	return memmem(w.log.p + w.log.off, w.log.n, what, strlen(what)) != NULL;
}

static unsigned
times_logged(const char *what)
{
	struct hb_span s = hb_buf_span(&w.log);
	unsigned n = 0;

	while (s.n > 0) {
		const unsigned char *at =
		    memmem(s.p, s.n, what, strlen(what));

		if (at == NULL)
			break;
		n++;
		s = hb_span_from(s, (size_t)(at - s.p) + 1);
	}
	return n;
}

static void
block_everything(void)
{
	w.zones[0].policy = NULL;
	w.zones[0].txt[0] = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CERT;
}

/* The process is new, the store is what it was. */
static void
restart(void)
{
	static const unsigned char key[16] = "0123456789abcde";

	sts_core_free(&w.core);
	w.npending = 0;
	w.alarm = INT64_MAX;
	w.core = sts_core_new(&ops, NULL, key, START - DAY);
	now();
	sts_core_refresh(w.core, true);
}

static int
setup(void **state)
{
	memset(&w, 0, sizeof(w));
	w.now = START;
	hb_log_set_sink(take_record, NULL);
	restart();
	w.zones[0] = (struct zone){ .name = "a.example",
		.ttl_s = 60,
		.txt = { "v=STSv1; id=1;" },
		.policy = ENFORCE };
	w.zones[1] = (struct zone){ .name = "b.example",
		.ttl_s = 60,
		.txt = { "v=STSv1; id=9;" },
		.policy = ENFORCE };
	return 0;
}

static int
teardown(void **state)
{
	sts_core_free(&w.core);
	for (size_t i = 0; i < KEPT; i++)
		hb_buf_free(&w.store[i].value);
	hb_buf_free(&w.log);
	hb_buf_free(&w.clock);
	return 0;
}

struct got {
	bool called;
	enum sts_mode mode;
	bool policy;
	char id[40];
	enum hb_reason why;
};

static void
take(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct got *g = ctx;

	assert_false(g->called);
	g->called = true;
	g->why = why;
	g->policy = ref != NULL;
	if (ref != NULL) {
		g->mode = ref->policy.mode;
		assert_int_equal(
		    hb_span_copy(ref->id, g->id, sizeof(g->id)), 0);
	}
	sts_ref_release(&ref);
}

static struct got
look_flags(const char *domain, unsigned flags)
{
	struct got g = { .called = false };

	sts_core_lookup(w.core, hb_span_str(domain), flags, take, &g, now());
	pump();
	assert_true(g.called);
	return g;
}

static void
expect_policy(const char *domain, enum sts_mode mode, const char *id)
{
	struct got g = look_flags(domain, 0);

	assert_true(g.policy);
	assert_int_equal(g.mode, mode);
	assert_string_equal(g.id, id);
}

static void
expect_none(const char *domain, enum hb_reason why)
{
	struct got g = look_flags(domain, 0);

	assert_false(g.policy);
	assert_string_equal(hb_reason_word(g.why), hb_reason_word(why));
}

static void
sts35_discovery_comes_before_the_answer(void **state)
{
	expect_policy("A.Example.", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].asked, 1);
	assert_int_equal(w.zones[0].fetched, 1);
	assert_true(logged("action=fetched"));
	expect_none("none.example", HB_REASON_STS_NO_RECORD);
}

static bool
is_cached(const char *domain, int64_t now_ms)
{
	struct sts_policy_ref *ref = NULL;
	enum hb_reason why;
	bool cached = sts_core_cached(
	    w.core, hb_span_str(domain), now_ms, &ref, &why);

	assert_int_equal(ref != NULL, cached && why == HB_REASON_NONE);
	sts_ref_release(&ref);
	return cached;
}

static void
warm_lookups_ask_nothing(void **state)
{
	struct got g = { .called = false };

	assert_false(is_cached("a.example", w.now));
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_true(is_cached("A.example", w.now + 59999));
	sts_core_lookup(
	    w.core, HB_SPAN("a.example"), 0, take, &g, w.now + 59999);
	assert_int_equal(w.npending, 0);
	assert_false(g.called); /* never inside of the question */
	end_turn();
	assert_true(g.called && g.policy);
	assert_false(is_cached("a.example", w.now + MINUTE));
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].asked, 2);
	assert_int_equal(w.zones[0].fetched, 1);
}

static void
sts06_txt_gone_or_bad_keeps_the_policy(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = NULL;
	w.now += HOUR;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=;";
	w.now += HOUR;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].temp = true;
	w.now += HOUR;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 1);
}

static void
sts04_two_records_are_none(void **state)
{
	w.zones[0].txt[1] = "v=STSv1; id=2;";
	expect_none("a.example", HB_REASON_STS_BAD_RECORD);
	assert_int_equal(w.zones[0].fetched, 0);
}

static void
sts16_failed_fetch_waits_five_minutes_per_id(void **state)
{
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_STATUS;
	expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	for (int i = 0; i < 4; i++) {
		w.now += 74 * 1000;
		expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	}
	assert_int_equal(w.zones[0].fetched, 1);
	w.now += 90 * 1000;
	expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	assert_int_equal(w.zones[0].fetched, 2);
	/* another id is another policy */
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = ENFORCE;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "2");
}

/* A restart loop is no reason to ask a broken policy host all the time. */
static void
sts16_back_off_outlives_the_process(void **state)
{
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_STATUS;
	expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	for (int i = 0; i < 4; i++) {
		restart();
		w.now += 74 * 1000;
		expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	}
	assert_int_equal(w.zones[0].fetched, 1);
	restart();
	w.now += 90 * 1000;
	expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	assert_int_equal(w.zones[0].fetched, 2);
	/* and it goes on growing */
	restart();
	w.now += 9 * MINUTE;
	expect_none("a.example", HB_REASON_STS_FETCH_STATUS);
	assert_int_equal(w.zones[0].fetched, 2);
	/* another id is another policy; then nothing is left of it */
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = ENFORCE;
	restart();
	expect_policy("a.example", STS_MODE_ENFORCE, "2");
	restart();
	expect_policy("a.example", STS_MODE_ENFORCE, "2");
	assert_int_equal(sts_core_last_error(w.core, HB_SPAN("a.example")),
	    HB_REASON_NONE);
}

static void
sts16_back_off_of_a_new_id_outlives_the_process(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CERT;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 2);
	restart();
	w.now += 4 * MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 2);
	/* STS-36: a newer one is had at once */
	w.zones[0].txt[0] = "v=STSv1; id=3;";
	w.zones[0].policy = ENFORCE;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "3");
}

/* It ends by itself, and who makes up a world of broken domains does not fill
 * the store with it. */
static void
sts16_back_off_that_is_kept_is_bounded(void **state)
{
	char name[32];

	w.others_fail = true;
	for (int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "d%d.test", i);
		expect_none(name, HB_REASON_STS_FETCH_DNS);
	}
	assert_in_range(w.waits_kept, 100, 1000);
	assert_int_equal(sts_core_counts(w.core).kept, 0);
	pass(20 * MINUTE);
	for (size_t i = 0; i < KEPT; i++)
		assert_int_equal(w.store[i].name[0], '\0');
	/* then there is room again */
	w.waits_kept = 0;
	expect_none("new.test", HB_REASON_STS_FETCH_DNS);
	assert_int_equal(w.waits_kept, 1);
	pass(MINUTE);
	assert_int_equal(sts_core_counts(w.core).kept, 0);
}

/* A worker that failed to fetch a policy does not wipe out what another one
 * has got meanwhile: it uses it. */
static void
sts16_back_off_replaces_no_policy(void **state)
{
	struct got g = { .called = false };
	struct kept *k;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	k = kept_of(HB_SPAN("a.example"), false);
	k->name[0] = 'x';
	restart();
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CONNECT;
	w.zones[0].slow = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	pump();
	assert_false(g.called);
	k->name[0] = 'a';
	w.zones[0].slow = false;
	pump();
	assert_true(g.called && g.policy);
	restart();
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
sts19_old_policy_holds_while_the_new_one_fails(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CERT;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 2);
	assert_true(logged("action=kept reason=sts-fetch-cert"));
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 2);
	w.zones[0].policy = "<html>";
	w.now += HOUR;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_true(logged("action=kept reason=sts-bad-policy"));
}

static void
sts36_new_id_is_honoured_at_once(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = TESTING;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_TESTING, "2");
	w.zones[0].txt[0] = "v=STSv1; id=3;";
	w.zones[0].policy = NO_MODE;
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_NONE, "3");
}

static void
sts29_final_lookup_asks_anew(void **state)
{
	struct got g;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = NO_MODE;
	g = look_flags("a.example", STS_FINAL);
	assert_true(g.policy);
	assert_int_equal(g.mode, STS_MODE_NONE);
	assert_int_equal(w.zones[0].asked_anew, 1);
}

static void
dns_trouble_is_tried_twice_more_then_mail_goes_on(void **state)
{
	struct got g = { .called = false };

	w.zones[0].temp = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	pump();
	pass(29 * 1000);
	assert_int_equal(w.zones[0].asked, 1);
	pass(2 * 1000);
	assert_int_equal(w.zones[0].asked, 2);
	assert_false(g.called);
	pass(30 * 1000);
	assert_int_equal(w.zones[0].asked, 3);
	assert_true(g.called);
	assert_false(g.policy);
	assert_int_equal(g.why, HB_REASON_STS_DNS_TEMP);
	assert_true(logged("reason=sts-dns-temporary count=1"));
	/* the next one does not wait again, and asks again */
	pass(31 * 1000);
	expect_none("a.example", HB_REASON_STS_DNS_TEMP);
	assert_int_equal(w.zones[0].asked, 4);
	w.zones[0].temp = false;
	pass(31 * 1000);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
dns_trouble_that_ends_is_waited_for(void **state)
{
	struct got g = { .called = false };

	w.zones[0].temp = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	pump();
	w.zones[0].temp = false;
	pass(31 * 1000);
	assert_true(g.called && g.policy);
}

/* Two domains without an answer; one of them is asked for once more by a
 * lookup that does not wait, and has a record that holds for a day. */
static void
dns_trouble_of_one_holds_up_no_other(void **state)
{
	struct got a = { .called = false }, b = { .called = false };

	w.zones[0].temp = w.zones[1].temp = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &a, now());
	pump();
	pass(1000);
	sts_core_lookup(w.core, HB_SPAN("b.example"), 0, take, &b, now());
	pump();
	w.zones[0].temp = w.zones[1].temp = false;
	w.zones[0].ttl_s = 86400;
	look_flags("a.example", STS_FINAL);
	assert_true(a.called && a.policy);
	pass(31 * 1000);
	assert_true(b.called && b.policy);
}

/* With another question in between, by which the time was reckoned anew. */
static void
dns_trouble_ends_though_the_clock_was_set(void **state)
{
	static const int64_t jumps[] = { -50 * MINUTE, 50 * MINUTE,
		-10 * 1000, 10 * 1000, -2 * DAY, 2 * DAY };

	for (size_t i = 0; i < HB_ARRAY_LEN(jumps); i++) {
		struct got g = { .called = false };

		teardown(NULL);
		setup(NULL);
		expect_none("other.example", HB_REASON_STS_NO_RECORD);
		w.zones[0].temp = true;
		sts_core_lookup(
		    w.core, HB_SPAN("a.example"), 0, take, &g, now());
		pump();
		pass(1000);
		jump(jumps[i]);
		w.zones[0].temp = false;
		expect_none("more.example", HB_REASON_STS_NO_RECORD);
		pass(31 * 1000);
		assert_true(g.called && g.policy);
	}
}

/* Each question for the TXT record gives another id, each policy host hangs,
 * and nothing may be kept: a lookup has its end all the same. */
static void
ids_that_change_with_each_look_hold_up_nobody(void **state)
{
	static const char *const ids[] = { "v=STSv1; id=1;", "v=STSv1; id=2;",
		"v=STSv1; id=3;", "v=STSv1; id=4;" };
	struct got g = { .called = false };

	w.zones[0].ttl_s = 0;
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_TIMEOUT;
	w.zones[0].slow = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	for (size_t i = 0; i < HB_ARRAY_LEN(ids); i++) {
		pump();
		if (g.called)
			break;
		w.zones[0].txt[0] = ids[i];
		w.now += 50 * 1000;
		w.zones[0].slow = false;
		while (w.npending > 0 && w.pending[0].kind != FETCH)
			answer_one(next_pending());
		answer_one(next_pending());
		w.zones[0].slow = true;
	}
	assert_true(g.called && !g.policy);
	assert_int_equal(g.why, HB_REASON_STS_FETCH_TIMEOUT);
	assert_in_range(w.zones[0].fetched, 1, 2);
}

/* `mta-sts off': what was asked before ends, and nobody stirs. */
static void
dns_trouble_ends_though_refreshing_does_not_run(void **state)
{
	struct got g = { .called = false };

	pass(HOUR);
	w.zones[0].temp = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	pump();
	sts_core_refresh(w.core, false);
	pass(61 * 1000);
	assert_true(g.called && !g.policy);
	w.lists = w.ticks = 0;
	pass(DAY);
	assert_int_equal(w.lists, 0);
	assert_in_range(w.ticks, 1, 24 * 6 + 1);
}

static void
sts20_refreshed_about_daily_whatever_the_txt_says(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = NULL;
	pass(MINUTE);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(16 * HOUR);
	assert_int_equal(w.zones[0].fetched, 1);
	pass(8 * HOUR);
	assert_int_equal(w.zones[0].fetched, 2);
	assert_true(logged("action=refreshed"));
	/* each good refresh makes it live on */
	pass(30 * DAY);
	assert_in_range(w.zones[0].fetched, 27, 45);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].asked, 3);
}

/* Fetched is when this id came first, refreshed when it came last. */
static void
sts20_a_refresh_extends_the_life(void **state)
{
	struct sts_record r;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(5 * DAY);
	assert_int_equal(sts_record_decode(hb_buf_span(&kept_of(
			     HB_SPAN("a.example"), false)->value), &r), 0);
	assert_int_equal(r.fetched_ms, START);
	assert_in_range(r.refreshed_ms, START + 3 * DAY, w.now);
	assert_int_equal(r.expires_ms, r.refreshed_ms + 10 * DAY);
}

static void
sts21_failed_refresh_warns_early_but_not_for_none(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[1].policy = NO_MODE;
	expect_policy("b.example", STS_MODE_NONE, "9");
	w.zones[0].policy = w.zones[1].policy = NULL;
	w.zones[0].why = w.zones[1].why = HB_REASON_STS_FETCH_TIMEOUT;
	pass(25 * HOUR);
	assert_true(logged("warn ev=policy domain=a.example action=kept "
			   "reason=sts-fetch-timeout"));
	assert_false(logged("warn ev=policy domain=b.example"));
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_in_range(w.zones[0].fetched, 3, 12);
}

/* Not once: with each try until it ends, and where the operator looks. */
static void
sts21_warnings_are_repeated_until_the_end(void **state)
{
	unsigned before;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	assert_int_equal(sts_core_counts(w.core).kept, 1);
	assert_int_equal(sts_core_counts(w.core).failing, 0);
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CERT;
	pass(2 * DAY);
	before = times_logged("warn ev=policy domain=a.example action=kept");
	assert_in_range(before, 3, 48);
	assert_int_equal(sts_core_counts(w.core).failing, 1);
	pass(6 * DAY);
	assert_in_range(
	    times_logged("warn ev=policy domain=a.example action=kept"),
	    before + 10, 200);
	restart();
	pass(MINUTE);
	assert_int_equal(sts_core_counts(w.core).kept, 1);
	assert_int_equal(sts_core_counts(w.core).failing, 1);
	w.zones[0].policy = ENFORCE;
	pass(6 * HOUR);
	assert_int_equal(sts_core_counts(w.core).failing, 0);
}

static void
expect_source(const char *domain, const char *source)
{
	struct kept *k = kept_of(hb_span_str(domain), false);
	struct sts_record r;

	assert_non_null(k);
	assert_int_equal(sts_record_decode(hb_buf_span(&k->value), &r), 0);
	assert_span(r.source, source);
}

/* What was imported is so until it was fetched here. */
static void
an_imported_policy_stays_one_while_fetches_fail(void **state)
{
	struct sts_record r = { .mode = STS_MODE_ENFORCE,
		.id = HB_SPAN("1"),
		.fetched_ms = START - 26 * HOUR,
		.refreshed_ms = START - 26 * HOUR,
		.tried_ms = START - 26 * HOUR,
		.expires_ms = START + DAY,
		.source = HB_SPAN("imported"),
		.text = hb_span_str(ENFORCE) };

	sts_record_encode(&r, &kept_of(HB_SPAN("a.example"), true)->value);
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CERT;
	pass(30 * MINUTE);
	assert_true(w.zones[0].fetched > 0);
	assert_true(w.saves > 0);
	expect_source("a.example", "imported");
	w.zones[0].policy = ENFORCE;
	pass(6 * HOUR);
	expect_source("a.example", "fetched");
}

/* Each failure of a policy is kept, counted and logged. */
static void
sts32_failures_are_reportable(void **state)
{
	static const enum hb_reason rows[] = { HB_REASON_STS_FETCH_DNS,
		HB_REASON_STS_FETCH_STATUS, HB_REASON_STS_FETCH_CERT,
		HB_REASON_STS_BAD_POLICY };
	uint64_t failed = hb_stats[HB_STAT_POLICY_FETCH_FAILED];

	w.zones[0].policy = NULL;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		restart();
		w.now += HOUR;
		w.zones[0].why = rows[i];
		expect_none("a.example", rows[i]);
		assert_int_equal(
		    sts_core_last_error(w.core, HB_SPAN("a.example")), rows[i]);
		assert_true(logged("ev=policy domain=a.example action=rejected"));
		hb_buf_clear(&w.log);
	}
	assert_int_equal(hb_stats[HB_STAT_POLICY_FETCH_FAILED] - failed,
	    HB_ARRAY_LEN(rows));
	/* no record, no failure */
	w.zones[0].txt[0] = NULL;
	pass(2 * HOUR);
	restart();
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
	assert_int_equal(sts_core_last_error(w.core, HB_SPAN("a.example")),
	    HB_REASON_NONE);
}

static void
sts20_refreshes_are_spread(void **state)
{
	int64_t least = INT64_MAX, most = 0, at;

	for (uint64_t jitter = 0; jitter < 5000; jitter += 7) {
		at = sts_refresh_at(0, 10 * DAY, jitter);
		least = at < least ? at : least;
		most = at > most ? at : most;
		/* well before a short life ends */
		assert_in_range(
		    sts_refresh_at(0, 2 * HOUR, jitter), HOUR, 75 * MINUTE);
	}
	assert_in_range(least, 17 * HOUR, 19 * HOUR);
	assert_in_range(most, 22 * HOUR, 23 * HOUR);
}

/* RFC 8461 s8.3: the domain publishes none, waits, and takes all away. */
static void
sts28_removal_through_none(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].txt[0] = "v=STSv1; id=2;";
	w.zones[0].policy = "version: STSv1\nmode: none\nmax_age: 86400\n";
	w.now += MINUTE;
	expect_policy("a.example", STS_MODE_NONE, "2");
	block_everything();
	pass(2 * DAY);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
	assert_false(logged("warn ev=policy domain=a.example action=kept"));
}

/* The policy for an id that failed comes with the id after it at once; the
 * id that failed waits for longer each time. */
static void
sts16_back_off_grows(void **state)
{
	struct sts_fetch_state f = { .failures = 0 };
	static const int64_t least[] = { 5, 10, 20, 40, 80, 160, 240, 240 };

	for (size_t i = 0; i < HB_ARRAY_LEN(least); i++) {
		sts_fetch_failed(&f, HB_SPAN("1"),
		    HB_REASON_STS_FETCH_STATUS, 1023, START);
		assert_in_range(f.retry_ms - START, least[i] * MINUTE,
		    least[i] * MINUTE * 5 / 4);
		assert_true(sts_fetch_must_wait(
		    &f, HB_SPAN("1"), START + least[i] * MINUTE - 1));
		assert_false(sts_fetch_must_wait(&f, HB_SPAN("2"), START));
	}
}

static void
sts13_expired_policy_no_longer_counts(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CONNECT;
	w.now += 10 * DAY - 1;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.now += 1;
	expect_none("a.example", HB_REASON_STS_FETCH_CONNECT);
	assert_true(logged("action=expired"));
	w.zones[0].policy = ENFORCE;
	w.now += DAY;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
expired_policy_is_looked_for_once_more_then_removed(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.now += 11 * DAY;
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CONNECT;
	pass(HOUR);
	assert_int_equal(w.zones[0].fetched, 2);
	assert_non_null(kept_of(HB_SPAN("a.example"), false));
	pass(35 * DAY);
	assert_null(kept_of(HB_SPAN("a.example"), false));
	assert_int_equal(w.zones[0].fetched, 2);
}

static void
policies_outlive_the_process(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	restart();
	w.zones[0].txt[0] = NULL; /* and everything is blocked now */
	w.zones[0].policy = NULL;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	restart();
	w.zones[0].temp = true;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 1);
}

/* Killed between fetch and flush: nobody had used it. */
static void
a_policy_is_durable_before_it_is_used(void **state)
{
	struct got g = { .called = false };

	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	while (w.npending > 0 && w.pending[0].kind != SAVE) {
		struct pending p = w.pending[0];

		w.npending--;
		memmove(&w.pending[0], &w.pending[1], w.npending * sizeof(p));
		answer_one(p);
	}
	assert_int_equal(w.npending, 1);
	assert_false(g.called);
	pump();
	assert_true(g.called && g.policy);
}

static void
store_trouble_is_not_no_policy(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	restart();
	w.store_down = true;
	expect_none("a.example", HB_REASON_STS_STORE);
	assert_int_equal(w.zones[0].asked, 1);
	w.store_down = false;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
a_full_store_does_not_weaken(void **state)
{
	w.store_full = true;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_true(logged("reason=sts-store"));
}

static void
a_damaged_record_is_discovered_again(void **state)
{
	struct kept *k = kept_of(HB_SPAN("a.example"), true);

	hb_buf_adds(&k->value, "\1\5garbage");
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_true(logged("reason=sts-store"));
}

static void
a_burst_makes_one_question_and_one_fetch(void **state)
{
	struct got g[1000] = { { .called = false } };

	for (size_t i = 0; i < 1000; i++)
		sts_core_lookup(
		    w.core, HB_SPAN("a.example"), 0, take, &g[i], now());
	pump();
	for (size_t i = 0; i < 1000; i++)
		assert_true(g[i].called && g[i].policy);
	assert_int_equal(w.zones[0].asked, 1);
	assert_int_equal(w.zones[0].fetched, 1);
	assert_int_equal(w.loads, 1);
}

static void
a_slow_host_holds_up_nobody_else(void **state)
{
	struct got g = { .called = false };

	w.zones[0].slow = true;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	pump();
	expect_policy("b.example", STS_MODE_ENFORCE, "9");
	assert_false(g.called);
	w.zones[0].slow = false;
	pump();
	assert_true(g.called && g.policy);
}

/* A refresh that hangs does not hold up the policy that is there. */
static void
a_slow_refresh_holds_up_nobody(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].slow = true;
	pass(25 * HOUR);
	assert_int_equal(w.zones[0].fetched, 2);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
look_at_many(struct got *g, size_t n)
{
	char name[40];

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%zu.example", i);
		sts_core_lookup(
		    w.core, hb_span_str(name), 0, take, &g[i], now());
	}
	pump();
}

static void
fetches_at_a_time_are_bounded(void **state)
{
	static struct got g[2000];

	memset(g, 0, sizeof(g));
	w.others_slow = true;
	look_at_many(g, HB_ARRAY_LEN(g));
	assert_int_equal(w.npending, 512);
	w.others_slow = false;
	pump();
	for (size_t i = 0; i < HB_ARRAY_LEN(g); i++)
		assert_true(g[i].called);
	assert_int_equal(w.most_fetches, 512);
}

/* More dead policy hosts than there are places: they make place, and are not
 * given up sooner for that. */
static void
dead_hosts_hold_up_nobody_else(void **state)
{
	static struct got g[600];
	struct got mine = { .called = false };

	memset(g, 0, sizeof(g));
	w.others_slow = true;
	look_at_many(g, HB_ARRAY_LEN(g));
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &mine, now());
	pump();
	assert_false(mine.called);
	pass(9 * 1000);
	assert_false(mine.called);
	pass(3 * 1000);
	assert_true(mine.called && mine.policy);
	for (size_t i = 0; i < HB_ARRAY_LEN(g); i++)
		assert_false(g[i].called);
	pass(45 * 1000);
	for (size_t i = 0; i < HB_ARRAY_LEN(g); i++)
		assert_false(g[i].called);
	pass(60 * 1000);
	assert_true(g[0].called && !g[0].policy);
	assert_int_equal(g[0].why, HB_REASON_STS_FETCH_TIMEOUT);
	/* one that was only slow gets its policy in its next turn */
	assert_false(g[HB_ARRAY_LEN(g) - 1].called);
	w.others_slow = false;
	pump();
	assert_true(g[HB_ARRAY_LEN(g) - 1].called);
	assert_int_equal(w.most_fetches, 512);
}

/* One address can hang for any number of made-up domains.  A worker carries
 * 2,000 jobs (Q_WORKER_MOST): who comes behind all the others has waited for
 * three turns of ten seconds when it is fetched. */
static void
a_horde_of_dead_hosts_costs_half_a_minute(void **state)
{
	static struct got g[1999];
	struct got mine = { .called = false };

	memset(g, 0, sizeof(g));
	w.others_slow = true;
	look_at_many(g, HB_ARRAY_LEN(g));
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &mine, now());
	pump();
	pass(29 * 1000);
	assert_false(mine.called);
	pass(5 * 1000);
	assert_true(mine.called && mine.policy);
	assert_int_equal(w.most_fetches, 512);
	/* what is known is not held up at all */
	mine.called = false;
	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &mine, now());
	end_turn();
	assert_true(mine.called && mine.policy);
}

/* Of two answers that are on their way the store's comes first. */
static void
what_was_forgotten_while_it_was_saved_stays_so(void **state)
{
	struct got g = { .called = false };
	struct pending save;

	sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &g, now());
	while (w.pending[0].kind != SAVE)
		answer_one(next_pending());
	save = next_pending();
	w.zones[0].txt[0] = NULL;
	op_remove(NULL, HB_SPAN("a.example"));
	sts_core_forget(w.core, HB_SPAN("a.example"), true, now());
	while (w.npending > 0)
		answer_one(next_pending());
	assert_true(g.called && !g.policy);
	answer_one(save);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

static void
cancelled_lookups_are_never_answered(void **state)
{
	struct got a = { .called = false }, b = { .called = false },
		   c = { .called = false };
	struct sts_lookup *la, *lc;

	la = sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &a, now());
	assert_non_null(
	    sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &b, now()));
	lc = sts_core_lookup(w.core, HB_SPAN("a.example"), 0, take, &c, now());
	sts_lookup_cancel(la);
	sts_lookup_cancel(lc);
	pump();
	assert_true(b.called && !a.called && !c.called);
}

struct chain {
	struct sts_lookup *other;
	struct got again;
	unsigned calls;
};

static void
cancel_other(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct chain *ch = ctx;

	sts_ref_release(&ref);
	ch->calls++;
	sts_lookup_cancel(ch->other);
	ch->other = NULL;
	sts_core_lookup(
	    w.core, HB_SPAN("a.example"), 0, take, &ch->again, now());
	assert_false(ch->again.called);
}

static void
callbacks_may_cancel_and_look_up(void **state)
{
	struct chain ch = { .calls = 0 };

	sts_core_lookup(
	    w.core, HB_SPAN("a.example"), 0, cancel_other, &ch, now());
	ch.other = sts_core_lookup(
	    w.core, HB_SPAN("a.example"), 0, cancel_other, &ch, now());
	pump();
	assert_int_equal(ch.calls, 1);
	assert_true(ch.again.called);
}

static void
a_policy_of_no_age_is_fetched_once_for_a_delivery(void **state)
{
	w.zones[0].policy = "version: STSv1\nmode: enforce\nmx: mx.example\n"
			    "max_age: 0\n";
	w.zones[0].ttl_s = 0;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.zones[0].fetched, 1);
}

static void
expect_clock(enum sts_clock_state want)
{
	now();
	assert_string_equal(sts_clock_word(sts_core_clock_state(w.core)),
	    sts_clock_word(want));
}

static void
clock_1970_at_start_expires_nothing(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	restart();
	jump(1000 - w.now);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_BEHIND);
	pass(2 * HOUR);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(times_logged("ev=clock state=behind"), 1);
	/* a time server is reached: nothing is suspect, and time has passed */
	jump(START + 11 * DAY - w.now);
	expect_clock(STS_CLOCK_GOOD);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

/* Killed the moment after the first policy was kept. */
static void
clock_is_kept_before_the_first_policy(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(w.clock_saves, 1);
	block_everything();
	restart();
	jump(5000 * DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
clock_2040_at_start_expires_nothing(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	restart();
	jump(5000 * DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_AHEAD);
	pass(3 * DAY);
	restart();
	pass(DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(times_logged("ev=clock state=ahead"), 2);
	assert_true(w.zones[0].fetched > 1);
	/* put right: all is as if it had not been */
	restart();
	jump(-5000 * DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_GOOD);
	pass(10 * DAY);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

static void
clock_after_a_long_switch_off_heals(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	restart();
	w.now += 60 * DAY;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_AHEAD);
	expect_policy("b.example", STS_MODE_ENFORCE, "9");
	expect_clock(STS_CLOCK_GOOD);
	assert_true(logged("warn ev=clock state=good"));
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
	/* the proof is kept */
	restart();
	pass(MINUTE);
	expect_clock(STS_CLOCK_GOOD);
}

static void
clock_of_a_mail_host_is_proof_too(void **state)
{
	pass(MINUTE);
	restart();
	w.now += 60 * DAY;
	pass(MINUTE);
	expect_clock(STS_CLOCK_AHEAD);
	sts_core_clock_confirmed(w.core);
	expect_clock(STS_CLOCK_GOOD);
	/* nothing proves a time before the program was made */
	jump(-400 * DAY);
	expect_clock(STS_CLOCK_BEHIND);
	sts_core_clock_confirmed(w.core);
	expect_clock(STS_CLOCK_BEHIND);
}

static void
clock_jumps_while_running_expire_nothing(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	jump(11 * DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_AHEAD);
	pass(DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	assert_int_equal(times_logged("ev=clock state=ahead"), 1);
	jump(-22 * DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_BEHIND);
	jump(11 * DAY);
	expect_clock(STS_CLOCK_GOOD);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(9 * DAY);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

/* The machine sleeps: both clocks go on, and the alarm stands still. */
static void
nap(int64_t ms)
{
	int64_t rest = w.alarm - mono();

	w.now += ms;
	w.alarm = mono() - 1;
	now();
	if (w.alarm < mono())
		w.alarm = mono() + rest;
}

static void
a_machine_that_slept_catches_up(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(11 * MINUTE);
	nap(2 * DAY);
	assert_in_range(w.alarm - mono(), 1, 1000);
	pass(MINUTE);
	assert_int_equal(w.zones[0].fetched, 2);
}

static void
clock_of_a_machine_that_slept_is_good(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	nap(9 * DAY);
	expect_clock(STS_CLOCK_GOOD);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	nap(2 * DAY);
	expect_clock(STS_CLOCK_GOOD);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

/* What the kernel says of it comes from the machine's own clock: as after a
 * long switch-off. */
static void
clock_after_a_long_sleep_needs_a_proof(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	nap(31 * DAY);
	expect_clock(STS_CLOCK_AHEAD);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(3 * DAY);
	expect_clock(STS_CLOCK_AHEAD);
	sts_core_clock_confirmed(w.core);
	expect_clock(STS_CLOCK_GOOD);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

static void
clock_small_steps_add_up(void **state)
{
	pass(MINUTE);
	jump(40 * MINUTE);
	expect_clock(STS_CLOCK_GOOD);
	pass(DAY);
	jump(40 * MINUTE);
	expect_clock(STS_CLOCK_AHEAD);
	restart();
	pass(MINUTE);
	expect_clock(STS_CLOCK_GOOD);
	/* a clock that stands still, too */
	for (int i = 0; i < 3; i++) {
		pass(25 * MINUTE);
		jump(-25 * MINUTE);
	}
	expect_clock(STS_CLOCK_BEHIND);
}

/* The very first start, nothing is known but when the program was made. */
static void
clock_before_the_build_is_no_clock(void **state)
{
	jump(-2 * DAY);
	pass(MINUTE);
	expect_clock(STS_CLOCK_BEHIND);
	assert_int_equal(w.clock_saves, 0);
	jump(2 * DAY);
	pass(MINUTE);
	expect_clock(STS_CLOCK_GOOD);
	assert_int_equal(w.clock_saves, 1);
}

/* Also where no policy is written for long. */
static void
clock_good_time_is_kept(void **state)
{
	pass(100 * DAY);
	assert_in_range(w.clock_saves, 2000, 2401);
	restart();
	w.now += 29 * DAY;
	pass(MINUTE);
	expect_clock(STS_CLOCK_GOOD);
	restart();
	w.now += 31 * DAY;
	pass(MINUTE);
	expect_clock(STS_CLOCK_AHEAD);
	restart();
	jump(-35 * DAY);
	pass(MINUTE);
	expect_clock(STS_CLOCK_BEHIND);
}

/* Several workers: what one has proved, the others read. */
static void
clock_proof_of_another_worker_counts(void **state)
{
	struct sts_record r = { .tried_ms = 0 };

	pass(MINUTE);
	restart();
	w.now += 60 * DAY;
	pass(5 * MINUTE);
	expect_clock(STS_CLOCK_AHEAD);
	r.tried_ms = w.now;
	hb_buf_clear(&w.clock);
	sts_record_encode(&r, &w.clock);
	pass(2 * MINUTE);
	expect_clock(STS_CLOCK_GOOD);
}

/* Deliberate, and never suspect: but time goes on. */
static void
clock_shift_of_a_lab_is_deliberate(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	pass(MINUTE);
	block_everything();
	w.lab += 9 * DAY;
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.lab += 40 * DAY;
	expect_clock(STS_CLOCK_GOOD);
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
	restart();
	pass(MINUTE);
	expect_clock(STS_CLOCK_GOOD);
}

/* A host that a lab's authority vouches for in 1970: the policy is dated
 * so that it lives on when the clock is put right. */
static void
clock_policies_are_not_dated_too_early(void **state)
{
	pass(MINUTE);
	restart();
	jump(1000 - w.now);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	expect_clock(STS_CLOCK_BEHIND);
	block_everything();
	jump(START + DAY - w.now);
	expect_clock(STS_CLOCK_GOOD);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
another_workers_rows_are_left_alone(void **state)
{
	struct kept *mine, *other;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	mine = kept_of(HB_SPAN("a.example"), false);
	other = kept_of(HB_SPAN("other.worker"), true);
	hb_buf_add(&other->value, hb_buf_span(&mine->value));
	restart();
	w.zones[2] = (struct zone){ .name = "other.worker", .policy = ENFORCE };
	pass(2 * DAY);
	assert_int_equal(w.zones[2].fetched, 0);
	assert_true(w.zones[0].fetched > 1);
}

/* What the worker that owns a domain does with its record. */
static void
owner_refreshes(const char *domain)
{
	struct kept *k = kept_of(hb_span_str(domain), false);
	struct hb_buf value = HB_BUF_INIT(0);
	struct sts_record r;

	assert_non_null(k);
	assert_int_equal(sts_record_decode(hb_buf_span(&k->value), &r), 0);
	r.refreshed_ms = r.tried_ms = w.now;
	r.expires_ms = w.now + 10 * DAY;
	sts_record_encode(&r, &value);
	hb_buf_free(&k->value);
	k->value = value;
}

static void
sts13_what_another_worker_refreshed_holds(void **state)
{
	w.zones[2] = (struct zone){ .name = "other.worker",
		.ttl_s = 60,
		.txt = { "v=STSv1; id=1;" },
		.policy = ENFORCE,
		.why = HB_REASON_STS_FETCH_CONNECT };
	expect_policy("other.worker", STS_MODE_ENFORCE, "1");
	pass(5 * DAY);
	owner_refreshes("other.worker");
	w.zones[2].policy = NULL; /* and from now on an attacker is there */
	pass(6 * DAY);
	expect_policy("other.worker", STS_MODE_ENFORCE, "1");
	pass(5 * DAY);
	expect_none("other.worker", HB_REASON_STS_FETCH_CONNECT);
	assert_true(logged("action=expired"));
}

static void
sts20_a_failed_refresh_does_not_undo_anothers(void **state)
{
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	owner_refreshes("a.example");
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_CONNECT;
	w.now += 9 * DAY;
	owner_refreshes("a.example");
	pass(2 * DAY);
	assert_true(w.zones[0].fetched > 1);
	restart();
	pass(DAY);
	expect_policy("a.example", STS_MODE_ENFORCE, "1");
}

static void
forced_refresh_and_forget(void **state)
{
	struct got g;

	expect_policy("a.example", STS_MODE_ENFORCE, "1");
	w.zones[0].policy = NULL;
	w.zones[0].why = HB_REASON_STS_FETCH_STATUS;
	g = look_flags("a.example", STS_FORCE);
	assert_true(g.policy);
	assert_int_equal(sts_core_last_error(w.core, HB_SPAN("a.example")),
	    HB_REASON_STS_FETCH_STATUS);
	w.zones[0].policy = TESTING;
	g = look_flags("a.example", STS_FORCE);
	assert_int_equal(g.mode, STS_MODE_TESTING);
	assert_int_equal(w.zones[0].fetched, 3);
	op_remove(NULL, HB_SPAN("a.example"));
	sts_core_forget(w.core, HB_SPAN("A.example"), true, now());
	w.zones[0].txt[0] = NULL;
	expect_none("a.example", HB_REASON_STS_NO_RECORD);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(sts35_discovery_comes_before_the_answer),
		T(warm_lookups_ask_nothing),
		T(sts06_txt_gone_or_bad_keeps_the_policy),
		T(sts04_two_records_are_none),
		T(sts16_failed_fetch_waits_five_minutes_per_id),
		T(sts16_back_off_outlives_the_process),
		T(sts16_back_off_of_a_new_id_outlives_the_process),
		T(sts16_back_off_that_is_kept_is_bounded),
		T(sts16_back_off_replaces_no_policy),
		T(sts19_old_policy_holds_while_the_new_one_fails),
		T(sts36_new_id_is_honoured_at_once),
		T(sts29_final_lookup_asks_anew),
		T(dns_trouble_is_tried_twice_more_then_mail_goes_on),
		T(dns_trouble_that_ends_is_waited_for),
		T(dns_trouble_of_one_holds_up_no_other),
		T(dns_trouble_ends_though_the_clock_was_set),
		T(ids_that_change_with_each_look_hold_up_nobody),
		T(dns_trouble_ends_though_refreshing_does_not_run),
		T(sts20_refreshed_about_daily_whatever_the_txt_says),
		T(sts20_a_refresh_extends_the_life),
		T(sts21_failed_refresh_warns_early_but_not_for_none),
		T(sts21_warnings_are_repeated_until_the_end),
		T(an_imported_policy_stays_one_while_fetches_fail),
		T(sts32_failures_are_reportable),
		T(sts20_refreshes_are_spread),
		T(sts28_removal_through_none),
		T(sts16_back_off_grows),
		T(sts13_expired_policy_no_longer_counts),
		T(expired_policy_is_looked_for_once_more_then_removed),
		T(policies_outlive_the_process),
		T(a_policy_is_durable_before_it_is_used),
		T(store_trouble_is_not_no_policy),
		T(a_full_store_does_not_weaken),
		T(a_damaged_record_is_discovered_again),
		T(a_burst_makes_one_question_and_one_fetch),
		T(a_slow_host_holds_up_nobody_else),
		T(a_slow_refresh_holds_up_nobody),
		T(fetches_at_a_time_are_bounded),
		T(dead_hosts_hold_up_nobody_else),
		T(a_horde_of_dead_hosts_costs_half_a_minute),
		T(what_was_forgotten_while_it_was_saved_stays_so),
		T(cancelled_lookups_are_never_answered),
		T(callbacks_may_cancel_and_look_up),
		T(a_policy_of_no_age_is_fetched_once_for_a_delivery),
		T(clock_1970_at_start_expires_nothing),
		T(clock_is_kept_before_the_first_policy),
		T(clock_2040_at_start_expires_nothing),
		T(clock_after_a_long_switch_off_heals),
		T(clock_of_a_mail_host_is_proof_too),
		T(clock_jumps_while_running_expire_nothing),
		T(a_machine_that_slept_catches_up),
		T(clock_of_a_machine_that_slept_is_good),
		T(clock_after_a_long_sleep_needs_a_proof),
		T(clock_small_steps_add_up),
		T(clock_before_the_build_is_no_clock),
		T(clock_good_time_is_kept),
		T(clock_proof_of_another_worker_counts),
		T(clock_shift_of_a_lab_is_deliberate),
		T(clock_policies_are_not_dated_too_early),
		T(another_workers_rows_are_left_alone),
		T(sts13_what_another_worker_refreshed_holds),
		T(sts20_a_failed_refresh_does_not_undo_anothers),
		T(forced_refresh_and_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
