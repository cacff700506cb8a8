/* The memory of downgrades: records, and the machine over a store that
 * answers late, not at all, or with damage. */
#include "tests/unit/unit.h"

#include "common/base/log.h"
#include "common/proto/stats.h"
#include "delivery/smtp/ledger.h"

enum { HOUR_MS = 60 * 60 * 1000, RECORDS = 8,
	PENDING = DLV_LEDGER_MOST + 1 };

/* A store with few records, one question at a time held back. */
static struct {
	struct {
		char name[64];
		struct hb_buf value;
	} records[RECORDS];
	struct dlv_ledger *ledger;
	struct dlv_ledger_domain *asked; /* HELD: not answered yet */
	bool hold, down, ours;
	unsigned loads, saves;
	struct {
		struct dlv_ledger_domain *d;
		bool load;
		int err; /* of a save */
	} pending[PENDING]; /* answered at the end of the turn */
	size_t npending;
	bool soon; /* so is the ledger called */
} store;
static int64_t now_ms;

static int64_t
clock_now(void)
{
	return now_ms;
}

static struct hb_buf *
record(struct hb_span name)
{
	for (size_t i = 0; i < RECORDS; i++) {
		char *at = store.records[i].name;

		if (at[0] == '\0')
			assert_int_equal(hb_span_copy(name, at, 64), 0);
		if (hb_span_eq(hb_span_str(at), name))
			return &store.records[i].value;
	}
	fail();
	return NULL;
}

static void
loaded(struct dlv_ledger_domain *d)
{
	const struct hb_buf *r;

	if (store.down) {
		dlv_ledger_loaded(d, HB_E_TEMP, HB_SPAN_NONE);
		return;
	}
	r = record(dlv_ledger_name(d));
	dlv_ledger_loaded(d, r->n == 0 ? HB_E_NOTFOUND : 0,
	    hb_buf_span(r));
}

static void
later(struct dlv_ledger_domain *d, bool load, int err)
{
	assert_true(store.npending < PENDING);
	store.pending[store.npending].d = d;
	store.pending[store.npending].load = load;
	store.pending[store.npending++].err = err;
}

static void
end_turn(void)
{
	for (size_t i = 0; i < store.npending; i++)
		if (store.pending[i].load)
			loaded(store.pending[i].d);
		else
			dlv_ledger_saved(store.pending[i].d,
			    store.pending[i].err);
	store.npending = 0;
	if (store.soon)
		dlv_ledger_turn(store.ledger);
	store.soon = false;
}

/* What was held. */
static void
answer(struct dlv_ledger_domain *d)
{
	loaded(d);
	end_turn();
}

static void
op_load(void *ctx, struct dlv_ledger_domain *d)
{
	store.loads++;
	if (store.hold)
		store.asked = d;
	else
		later(d, true, 0);
}

static void
op_save(void *ctx, struct dlv_ledger_domain *d, struct hb_span value)
{
	struct hb_buf *r;

	store.saves++;
	later(d, false, store.down ? HB_E_TEMP : 0);
	if (store.down)
		return;
	r = record(dlv_ledger_name(d));
	hb_buf_clear(r);
	hb_buf_add(r, value);
}

static void
op_soon(void *ctx)
{
	store.soon = true;
}

static bool
op_owns(void *ctx, struct hb_span domain)
{
	return store.ours;
}

static const struct dlv_ledger_ops ops = { .load = op_load, .save = op_save,
	.owns = op_owns, .now_ms = clock_now, .soon = op_soon };

static int
begin(void **state)
{
	memset(&store, 0, sizeof(store));
	store.ours = true;
	now_ms = INT64_C(1800000000000);
	store.ledger = dlv_ledger_new(&ops, NULL);
	return 0;
}

static int
over(void **state)
{
	dlv_ledger_free(&store.ledger);
	for (size_t i = 0; i < RECORDS; i++)
		hb_buf_free(&store.records[i].value);
	return 0;
}

/* Memory is lost, the store stays. */
static void
restart(void)
{
	dlv_ledger_free(&store.ledger);
	store.npending = 0;
	store.soon = false;
	store.ledger = dlv_ledger_new(&ops, NULL);
}

static void
note(const char *domain, const char *mx, enum hb_rank rank)
{
	dlv_ledger_note(store.ledger, hb_span_str(domain), hb_span_str(mx),
	    rank);
	end_turn();
}

static void
store_up(void)
{
	dlv_ledger_store_up(store.ledger);
	end_turn();
}

struct got {
	unsigned n;
	struct dlv_seen *seen;
};

static void
on_seen(void *ctx, struct dlv_seen *seen)
{
	struct got *g = ctx;

	g->n++;
	dlv_seen_release(&g->seen);
	g->seen = seen;
}

/* NULL: it is answered. */
static struct dlv_ledger_wait *
get(const char *domain, struct got *g)
{
	struct dlv_seen *seen =
	    dlv_ledger_cached(store.ledger, hb_span_str(domain));
	unsigned before = g->n, loads = store.loads;
	struct dlv_ledger_wait *w = dlv_ledger_get(store.ledger,
	    hb_span_str(domain), on_seen, g);

	assert_int_equal(g->n, before); /* never inside of the question */
	end_turn();
	if (seen != NULL)
		assert_true(store.loads == loads && g->seen == seen);
	dlv_seen_release(&seen);
	return g->n == before ? w : NULL;
}

static enum hb_rank
best(const char *domain, const char *mx)
{
	struct got g = { 0 };
	enum hb_rank r;

	assert_null(get(domain, &g));
	assert_int_equal(g.n, 1);
	assert_non_null(g.seen);
	r = dlv_seen_best(g.seen, hb_span_str(mx));
	dlv_seen_release(&g.seen);
	return r;
}

static void
the_best_counts_and_is_kept(void **state)
{
	assert_int_equal(best("a.test", "mx.a.test"), HB_RANK_NONE);
	note("a.test", "mx.a.test", HB_RANK_TLS);
	note("A.test", "MX.a.TEST", HB_RANK_STS);
	note("a.test", "mx.a.test", HB_RANK_PLAIN);
	note("a.test", "mx2.a.test", HB_RANK_PLAIN);
	note("a.test", "", HB_RANK_DANE);
	note("", "mx.a.test", HB_RANK_DANE);
	note("a.test", "mx.a.test", HB_RANK_NONE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(best("a.test", "mx.a.test"), HB_RANK_STS);
		assert_int_equal(best("a.TEST", "Mx2.A.test"), HB_RANK_PLAIN);
		/* never seen: the domain's best */
		assert_int_equal(best("a.test", "mx3.a.test"), HB_RANK_STS);
		assert_int_equal(best("b.test", "mx.a.test"), HB_RANK_NONE);
		restart();
	}
	assert_int_equal(store.saves, 3);
	assert_int_equal(dlv_seen_best(NULL, HB_SPAN("x")), HB_RANK_NONE);
}

static void
times_are_of_the_best(void **state)
{
	int64_t first = now_ms;
	struct got g = { 0 };

	note("a.test", "mx", HB_RANK_TLS);
	now_ms += HOUR_MS - 1;
	note("a.test", "mx", HB_RANK_TLS); /* too soon to be written */
	assert_int_equal(store.saves, 1);
	now_ms += 1;
	note("a.test", "mx", HB_RANK_PLAIN);
	assert_int_equal(store.saves, 1);
	note("a.test", "mx", HB_RANK_TLS);
	assert_int_equal(store.saves, 2);
	get("a.test", &g);
	assert_int_equal(g.seen->mx[0].sight.since_ms, first);
	assert_int_equal(g.seen->mx[0].sight.last_ms, now_ms);
	note("a.test", "mx", HB_RANK_STS);
	/* what was handed out does not change */
	assert_int_equal(g.seen->domain.best, HB_RANK_TLS);
	get("a.test", &g);
	assert_int_equal(g.seen->domain.since_ms, now_ms);
	dlv_seen_release(&g.seen);
}

static void
the_store_is_asked_once_for_all(void **state)
{
	struct got g[3] = { { 0 } };
	struct dlv_ledger_wait *w[3];

	note("a.test", "mx", HB_RANK_STS);
	restart();
	store.hold = true;
	store.loads = 0;
	for (size_t i = 0; i < 3; i++) {
		w[i] = get("a.test", &g[i]);
		assert_non_null(w[i]);
	}
	assert_int_equal(store.loads, 1);
	dlv_ledger_cancel(w[1]);
	answer(store.asked);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(g[i].n, i != 1);
	assert_int_equal(dlv_seen_best(g[2].seen, HB_SPAN("mx")), HB_RANK_STS);
	dlv_seen_release(&g[0].seen);
	dlv_seen_release(&g[2].seen);
	/* waiters that are left at the end are dropped without a word */
	assert_non_null(get("b.test", &g[0]));
	restart();
	assert_int_equal(g[0].n, 1);
}

static void
what_is_noted_before_the_answer_is_merged(void **state)
{
	note("a.test", "mx1", HB_RANK_DANE);
	note("a.test", "mx2", HB_RANK_TLS);
	restart();
	store.hold = true;
	note("a.test", "mx1", HB_RANK_TLS);
	note("a.test", "mx2", HB_RANK_STS);
	answer(store.asked);
	store.hold = false;
	restart();
	assert_int_equal(best("a.test", "mx1"), HB_RANK_DANE);
	assert_int_equal(best("a.test", "mx2"), HB_RANK_STS);
}

static void
a_store_that_cannot_be_read(void **state)
{
	struct got g = { 0 };

	note("a.test", "mx", HB_RANK_STS);
	restart();
	store.down = true;
	assert_null(get("a.test", &g));
	assert_int_equal(g.n, 1);
	assert_null(g.seen); /* said, and not taken for "never seen" */
	note("a.test", "mx", HB_RANK_TLS);
	note("a.test", "mx2", HB_RANK_DANE);
	assert_null(get("a.test", &g));
	assert_null(g.seen);
	store.down = false;
	store_up();
	restart();
	assert_int_equal(best("a.test", "mx"), HB_RANK_STS);
	assert_int_equal(best("a.test", "mx2"), HB_RANK_DANE);
}

static void
what_could_not_be_written_is_written_later(void **state)
{
	assert_int_equal(best("a.test", "mx"), HB_RANK_NONE);
	store.down = true;
	note("a.test", "mx", HB_RANK_STS);
	assert_int_equal(best("a.test", "mx"), HB_RANK_STS);
	store.down = false;
	store_up();
	assert_int_equal(store.saves, 2);
	store_up();
	assert_int_equal(store.saves, 2);
	restart();
	assert_int_equal(best("a.test", "mx"), HB_RANK_STS);
}

static void
another_worker_reads_again_and_writes_nothing(void **state)
{
	struct dlv_notes n = { .nmx = 0 };
	struct dlv_sight s = { HB_RANK_STS, 1, 1 };

	store.ours = false;
	note("a.test", "mx", HB_RANK_TLS);
	assert_int_equal(best("a.test", "mx"), HB_RANK_TLS);
	assert_int_equal(store.saves, 0);
	dlv_notes_add(&n, HB_SPAN("mx"), &s); /* the owner */
	dlv_notes_encode(&n, record(HB_SPAN("a.test")));
	assert_int_equal(best("a.test", "mx"), HB_RANK_TLS);
	now_ms += 60 * 1000;
	assert_int_equal(best("a.test", "mx"), HB_RANK_STS);
	note("a.test", "mx", HB_RANK_DANE);
	store_up();
	assert_int_equal(store.saves, 0);
}

static void
forgotten_is_forgotten(void **state)
{
	struct got g = { 0 };

	note("a.test", "mx", HB_RANK_STS);
	dlv_ledger_forget(store.ledger, HB_SPAN("A.test"));
	hb_buf_clear(record(HB_SPAN("a.test")));
	assert_int_equal(best("a.test", "mx"), HB_RANK_NONE);
	/* an answer that was under way is of the time before */
	note("a.test", "mx", HB_RANK_STS);
	restart();
	store.hold = true;
	assert_non_null(get("a.test", &g));
	dlv_ledger_forget(store.ledger, HB_SPAN("a.test"));
	answer(store.asked);
	assert_int_equal(g.n, 0);
	hb_buf_clear(record(HB_SPAN("a.test")));
	answer(store.asked);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.seen->domain.best, HB_RANK_NONE);
	dlv_seen_release(&g.seen);
	dlv_ledger_forget(store.ledger, HB_SPAN("never.test"));
}

/* The store could not remove it: then it is still so. */
static void
what_the_store_keeps_is_known_again(void **state)
{
	note("a.test", "mx", HB_RANK_STS);
	dlv_ledger_forget(store.ledger, HB_SPAN("a.test"));
	assert_int_equal(best("a.test", "mx"), HB_RANK_STS);
}

static void
ignore(void *ctx, enum hb_level level, struct hb_span record)
{
	hb_buf_add(ctx, record);
}

static void
a_damaged_record_is_said_and_replaced(void **state)
{
	struct hb_buf log = HB_BUF_INIT(0);

	hb_log_set_sink(ignore, &log);
	hb_buf_adds(record(HB_SPAN("a.test")), "\001\004nope");
	assert_int_equal(best("a.test", "mx"), HB_RANK_NONE);
	assert_non_null(memmem(log.p, log.n, "ev=store", 8));
	note("a.test", "mx", HB_RANK_TLS);
	restart();
	hb_buf_clear(&log);
	assert_int_equal(best("a.test", "mx"), HB_RANK_TLS);
	assert_int_equal(log.n, 0);
	hb_log_set_sink(NULL, NULL);
	hb_buf_free(&log);
}

static void
a_fall_is_logged_and_counted(void **state)
{
	struct hb_buf log = HB_BUF_INIT(0);
	uint64_t before = hb_stats[HB_STAT_DOWNGRADE];

	hb_log_set_sink(ignore, &log);
	dlv_ledger_fall(HB_SPAN("a.test"), HB_SPAN("mx.a.test"), HB_RANK_DANE,
	    HB_RANK_PLAIN, 0x12ab);
	assert_non_null(memmem(log.p, log.n,
	    "warn ev=downgrade domain=a.test from=dane to=plain mx=mx.a.test "
	    "msg=00000000000012ab\n", 84));
	assert_int_equal(hb_stats[HB_STAT_DOWNGRADE], before + 1);
	hb_log_set_sink(NULL, NULL);
	hb_buf_free(&log);
}

/* With more domains than are kept: those used last are, the others come from
 * the store again. */
static void
memory_is_bounded(void **state)
{
	struct got g = { 0 };
	unsigned loads;
	char name[32];

	store.ours = false; /* the little store takes no records */
	assert_int_equal(best("first.test", "mx"), HB_RANK_NONE);
	assert_int_equal(best("second.test", "mx"), HB_RANK_NONE);
	store.down = true;
	for (int i = 0; i < DLV_LEDGER_DOMAINS + 100; i++) {
		snprintf(name, sizeof(name), "d%d.test", i);
		note(name, "mx", HB_RANK_TLS);
		if (i % 1000 == 0)
			assert_int_equal(best("first.test", "mx"),
			    HB_RANK_NONE);
	}
	loads = store.loads;
	assert_int_equal(best("first.test", "mx"), HB_RANK_NONE);
	assert_int_equal(store.loads, loads);
	assert_null(get("second.test", &g));
	assert_int_equal(store.loads, loads + 1);
	assert_null(g.seen);
}

/* Domains that are new, N of them. */
static void
note_many(int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "d%d.test", i);
		note(name, "mx", HB_RANK_TLS);
	}
}

/* What only memory knows is not the first to go. */
static void
what_could_not_be_written_is_not_evicted(void **state)
{
	store.down = true;
	note("first.test", "mx", HB_RANK_STS);
	store.ours = false;
	note_many(2 * DLV_LEDGER_DOMAINS);
	store.down = false;
	store_up();
	store.ours = true;
	restart();
	assert_int_equal(best("first.test", "mx"), HB_RANK_STS);
}

static void
what_could_not_be_written_is_bounded_too(void **state)
{
	unsigned loads;

	store.down = true;
	note_many(DLV_LEDGER_MOST + 100);
	loads = store.loads;
	store_up();
	assert_int_equal(store.loads - loads, DLV_LEDGER_MOST);
}

/* Hosts: sixteen, by name; the one not seen for longest goes, and the domain's
 * best stays. */
static void
hosts_are_bounded(void **state)
{
	struct got g = { 0 };
	char name[32];

	for (int i = DLV_SEEN_MXS; i >= 0; i--) {
		snprintf(name, sizeof(name), "mx%02d", i);
		now_ms += HOUR_MS;
		note("a.test", name,
		    i == DLV_SEEN_MXS ? HB_RANK_DANE : HB_RANK_TLS);
	}
	restart();
	get("a.test", &g);
	assert_int_equal(g.seen->nmx, DLV_SEEN_MXS);
	for (size_t i = 0; i < g.seen->nmx; i++) {
		snprintf(name, sizeof(name), "mx%02zu", i);
		assert_span(g.seen->mx[i].name, name);
	}
	assert_int_equal(g.seen->domain.best, HB_RANK_DANE);
	assert_int_equal(dlv_seen_best(g.seen, HB_SPAN("mx16")), HB_RANK_DANE);
	dlv_seen_release(&g.seen);
}

static void
names_of_any_length(void **state)
{
	char name[HB_MAX_DOMAIN + 2];
	struct got g = { 0 };

	memset(name, 'a', sizeof(name));
	name[HB_MAX_DOMAIN + 1] = '\0';
	note("a.test", name, HB_RANK_DANE);
	note(name, "mx", HB_RANK_DANE);
	assert_int_equal(best(name, "mx"), HB_RANK_NONE);
	assert_int_equal(store.saves, 0);
	assert_int_equal(best("a.test", name), HB_RANK_NONE);
	name[HB_MAX_DOMAIN] = '\0';
	note("a.test", name, HB_RANK_DANE);
	restart();
	get("a.test", &g);
	assert_int_equal(g.seen->mx[0].name.n, HB_MAX_DOMAIN);
	dlv_seen_release(&g.seen);
}

/* --- the record --- */

static void
fill(struct dlv_notes *n)
{
	struct dlv_sight s = { HB_RANK_TLS, 1, 2 };

	*n = (struct dlv_notes){ .nmx = 0 };
	dlv_notes_add(n, HB_SPAN("mx2.a.test"), &s);
	s = (struct dlv_sight){ HB_RANK_DANE, INT64_C(1) << 40, INT64_MAX };
	dlv_notes_add(n, HB_SPAN("mx1.a.test"), &s);
}

static void
a_record_comes_back(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct dlv_notes n, got;

	fill(&n);
	dlv_notes_encode(&n, &b);
	assert_int_equal(dlv_notes_decode(at_page_end(hb_buf_span(&b)), &got),
	    0);
	assert_int_equal(got.domain.best, HB_RANK_DANE);
	assert_int_equal(got.domain.last_ms, INT64_MAX);
	assert_int_equal(got.nmx, 2);
	assert_span(got.mx[0].name, "mx1.a.test");
	assert_int_equal(got.mx[1].sight.best, HB_RANK_TLS);
	assert_int_equal(got.mx[1].sight.since_ms, 1);
	hb_buf_free(&b);
}

/* Of two that saw the same: from the first time to the last. */
static void
equal_sights_add_up(void **state)
{
	struct dlv_sight early = { HB_RANK_TLS, 1, 2 },
			 late = { HB_RANK_TLS, 3, 4 };

	for (int i = 0; i < 2; i++) {
		struct dlv_notes n = { .nmx = 0 };

		dlv_notes_add(&n, HB_SPAN("mx"), i == 0 ? &early : &late);
		dlv_notes_add(&n, HB_SPAN("mx"), i == 0 ? &late : &early);
		assert_int_equal(n.mx[0].sight.since_ms, 1);
		assert_int_equal(n.mx[0].sight.last_ms, 4);
		assert_int_equal(n.domain.since_ms, 1);
		assert_int_equal(n.domain.last_ms, 4);
	}
}

/* Cut anywhere it is no record, or (between two fields) a shorter one. */
static void
a_record_that_is_cut(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct dlv_notes n, got;

	fill(&n);
	dlv_notes_encode(&n, &b);
	for (size_t i = 0; i < b.n; i++)
		if (dlv_notes_decode(at_page_end(hb_span_head(hb_buf_span(&b),
		    i)), &got) == 0)
			assert_int_equal(got.nmx, 0);
	hb_buf_free(&b);
}

#define HOST(name) "\011\000\001\002" name "\002\003tls"
static void
records_good_and_bad(void **state)
{
	static const struct {
		const char *what;
		struct hb_span in;
		int want; /* hosts, or an error */
	} rows[] = {
		{ "empty", HB_SPAN(""), HB_E_SYNTAX },
		{ "rank alone", HB_SPAN("\001\003tls"), 0 },
		{ "rank of nothing", HB_SPAN("\001\004none"), HB_E_SYNTAX },
		{ "unknown rank", HB_SPAN("\001\004good"), HB_E_SYNTAX },
		{ "rank in capitals", HB_SPAN("\001\003TLS"), HB_E_SYNTAX },
		{ "rank too long", HB_SPAN("\001\021aaaaaaaaaaaaaaaaa"),
		    HB_E_RANGE },
		{ "unknown tag", HB_SPAN("\001\003tls\077\001x"), 0 },
		{ "tag twice", HB_SPAN("\001\003tls\001\003tls"),
		    HB_E_SYNTAX },
		{ "host", HB_SPAN("\001\003tls\004\013" HOST("ab")), 1 },
		{ "hosts", HB_SPAN("\001\003tls\004\026" HOST("ab") HOST("ac")),
		    2 },
		{ "host twice",
		    HB_SPAN("\001\003tls\004\026" HOST("ab") HOST("ab")),
		    HB_E_SYNTAX },
		{ "hosts out of order",
		    HB_SPAN("\001\003tls\004\026" HOST("ac") HOST("ab")),
		    HB_E_SYNTAX },
		{ "host cut", HB_SPAN("\001\003tls\004\012"
			"\011\000\001\002ab\002\003tl"), HB_E_MORE },
		{ "host shorter than said", HB_SPAN("\001\003tls\004\013"
			"\012\000\001\002ab\002\003tls"), HB_E_MORE },
		{ "half a length", HB_SPAN("\001\003tls\004\001\011"),
		    HB_E_MORE },
		{ "host without name", HB_SPAN("\001\003tls\004\007"
			"\005\000\002\003tls"), HB_E_SYNTAX },
		{ "host without rank", HB_SPAN("\001\003tls\004\006"
			"\004\000\001\002ab"), HB_E_SYNTAX },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct dlv_notes got;
		int r = dlv_notes_decode(at_page_end(rows[i].in), &got);

		if (r != (rows[i].want < 0 ? rows[i].want : 0) ||
		    (r == 0 && got.nmx != (size_t)rows[i].want))
			fail_msg("%s: %d", rows[i].what, r);
	}
}

static void
no_more_hosts_than_are_kept(void **state)
{
	struct hb_buf hosts = HB_BUF_INIT(0), b = HB_BUF_INIT(0);
	struct dlv_notes got;

	for (int i = 0; i <= DLV_SEEN_MXS; i++) {
		if (i >= DLV_SEEN_MXS - 1) {
			hb_buf_clear(&b);
			hb_buf_add(&b, HB_SPAN("\001\003tls\004"));
			if (hosts.n + 11 > 127)
				hb_buf_addf(&b, "%c", (char)(0x80 |
				    ((hosts.n + 11) & 0x7f)));
			hb_buf_addf(&b, "%c", (char)((hosts.n + 11) >> 7));
		}
		hb_buf_add(&hosts, HB_SPAN("\011\000\001\002"));
		hb_buf_addf(&hosts, "%02d\002\003tls", i);
		if (i < DLV_SEEN_MXS - 1)
			continue;
		hb_buf_add(&b, hb_buf_span(&hosts));
		assert_int_equal(dlv_notes_decode(hb_buf_span(&b), &got),
		    i < DLV_SEEN_MXS ? 0 : HB_E_RANGE);
	}
	hb_buf_free(&hosts);
	hb_buf_free(&b);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, over)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_best_counts_and_is_kept),
		TEST(times_are_of_the_best),
		TEST(the_store_is_asked_once_for_all),
		TEST(what_is_noted_before_the_answer_is_merged),
		TEST(a_store_that_cannot_be_read),
		TEST(what_could_not_be_written_is_written_later),
		TEST(another_worker_reads_again_and_writes_nothing),
		TEST(forgotten_is_forgotten),
		TEST(what_the_store_keeps_is_known_again),
		TEST(a_damaged_record_is_said_and_replaced),
		TEST(a_fall_is_logged_and_counted),
		TEST(memory_is_bounded),
		TEST(what_could_not_be_written_is_not_evicted),
		TEST(what_could_not_be_written_is_bounded_too),
		TEST(hosts_are_bounded),
		TEST(names_of_any_length),
		cmocka_unit_test(a_record_comes_back),
		cmocka_unit_test(equal_sights_add_up),
		cmocka_unit_test(a_record_that_is_cut),
		cmocka_unit_test(records_good_and_bad),
		cmocka_unit_test(no_more_hosts_than_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
