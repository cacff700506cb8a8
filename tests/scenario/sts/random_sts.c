/*
 * The core of sts in a world that plays dice: nobody may wait for nothing.
 *
 * Answers need no time, come late, or with trouble; lookups are given up; policies
 * are forgotten and imported; clocks jump; the store and the refreshing go off
 * and on.  The core is called when it has asked for it, and never else.  What
 * is checked after each step:
 *
 *	a domain that a lookup waits for has a question under way, or had one a
 *	moment ago (30 s: DNS is asked again), or there is no place for fetches
 *	each lookup is answered once, within its time, not while it is asked,
 *	and not after a cancel
 *	fetches are as many as the core thinks, and no more than it may make
 *
 * HB_RANDOM_SEEDS=N plays that many games of each kind, HB_RANDOM_FIRST=N
 * begins with that one.
 */
#include "tests/unit/unit.h"

#include "common/base/log.h"
#include "sts/core-priv.h"
#include "tests/unit/dice.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define START (INT64_C(1800000000) * 1000)

enum {
	DOMAINS = 1500,
	PENDING = 4000,
	LOOKS = 4000,
	FETCHES = 512,
	BACKGROUND = 16,
	/* 30 s, and five when the clock goes back by these in between; clocks
	 * are slewed by less than a second */
	QUIET_MS = 38 * 1000,
	/* all questions one after the other, each at its slowest and DNS
	 * without an answer twice; in a crowd also the wait for a place */
	LOOK_MS = 400 * 1000,
	CROWD_MS = 900 * 1000,
	NESTED = 3 /* lookups from inside of answers */
};

enum kind { LOAD, SAVE, ASK, FETCH, LIST, CLOCK, KINDS };
/* how long the slowest answer takes */
static const int64_t slowest[KINDS] = { [LOAD] = 2 * SECOND,
	[SAVE] = 2 * SECOND,
	[ASK] = 10 * SECOND,
	[FETCH] = MINUTE,
	[LIST] = 2 * SECOND,
	[CLOCK] = 2 * SECOND };

enum txt { TXT_GOOD, TXT_NONE, TXT_BAD, TXT_TEMP, TXTS };

struct name {
	char text[32];
	enum txt txt;
	bool fetchable;
	uint32_t ttl_s;
	unsigned id;
	struct hb_buf stored; /* empty: nothing */
	unsigned under_way, waiting;
	int64_t quiet_since; /* while nothing is under way */
};

struct look {
	bool used, waiting, calling; /* calling: sts_core_lookup runs */
	struct sts_lookup *l;
	struct name *name;
	int64_t until_ms;
};

/* What kind of a world it is. */
struct game {
	const char *what;
	unsigned names;
	int64_t pause_ms, length_ms; /* between two actions, at most; all */
	unsigned early;              /* of 100 answers need no time */
	unsigned trouble;            /* of 100 answers are none */
	bool hangs;                  /* fetches take their time */
};

static struct {
	const struct game *game;
	unsigned long seed;
	struct sts_core *core;
	int64_t mono, ahead, lab, alarm; /* ahead: of mono, the wall clock */
	bool store_down, refreshing;
	struct name names[DOMAINS];
	struct pending {
		enum kind kind;
		struct sts_domain *d;
		struct name *name;
		int64_t at;
	} pending[PENDING];
	size_t npending, nfetches;
	struct look looks[LOOKS];
	struct hb_buf clock;
	char after[HB_MAX_DOMAIN + 1];
	size_t count;
	unsigned nested;
	bool soon; /* the core is to be called at the end of this turn */
} w;
static unsigned long answered, cancelled; /* in all games */

static void HB_NORETURN
lost(const char *what, const struct name *n)
{
	fail_msg("%s, game %lu, at %lld ms: %s (%s)", w.game->what, w.seed,
	    (long long)w.mono, what, n != NULL ? n->text : "-");
	abort();
}

static int64_t
now(void)
{
	sts_core_clock(
	    w.core, w.mono + w.ahead, w.mono, w.mono + w.ahead + w.lab);
	return w.mono + w.ahead + w.lab;
}

static int64_t
patience(void)
{
	return w.game->hangs ? CROWD_MS : LOOK_MS;
}

static struct name *
name_of(struct hb_span text)
{
	for (size_t i = 0; i < w.game->names; i++)
		if (hb_span_eq(text, hb_span_str(w.names[i].text)))
			return &w.names[i];
	lost("a name that is none", NULL);
}

static struct name *
any_name(void)
{
	return &w.names[roll(w.game->names)];
}

/* --- questions --- */

static void
begin(struct name *n)
{
	if (n != NULL)
		n->under_way++;
}

static void
end(struct name *n)
{
	if (n == NULL)
		return;
	if (--n->under_way == 0)
		n->quiet_since = w.mono;
}

static struct pending
take(size_t i)
{
	struct pending p = w.pending[i];

	w.pending[i] = w.pending[--w.npending];
	w.nfetches -= p.kind == FETCH;
	end(p.name);
	return p;
}

static void
question(enum kind kind, struct sts_domain *d)
{
	struct name *n = d != NULL ? name_of(sts_domain_name(d)) : NULL;
	int64_t slow = slowest[kind];
	struct pending p = { kind, d, n, w.mono };

	if (kind == FETCH && w.nfetches == FETCHES)
		lost("too many fetches", n);
	begin(n);
	w.nfetches += kind == FETCH;
	if (w.npending == PENDING)
		lost("too many questions", n);
	if (kind == FETCH && w.game->hangs && !chance(5))
		p.at += slow;
	else if (!chance(w.game->early))
		p.at += roll((uint32_t)(chance(80) ? SECOND : slow)) + 1;
	w.pending[w.npending++] = p;
}

static void
op_load(void *ctx, struct sts_domain *d)
{
	question(LOAD, d);
}

static void
op_save(void *ctx, struct sts_domain *d, struct hb_span value, bool lazy)
{
	struct name *n = name_of(sts_domain_name(d));

	if (!w.store_down) {
		hb_buf_clear(&n->stored);
		hb_buf_add(&n->stored, value);
	}
	if (!lazy)
		question(SAVE, d);
}

static void
op_ask(void *ctx, struct sts_domain *d, bool anew)
{
	question(ASK, d);
}

static void
op_fetch(void *ctx, struct sts_domain *d)
{
	question(FETCH, d);
}

static void
op_drop(void *ctx, struct sts_domain *d)
{
	for (size_t i = 0; i < w.npending; i++)
		if (w.pending[i].kind == FETCH && w.pending[i].d == d) {
			(void)take(i);
			return;
		}
	lost("no such fetch", NULL);
}

static void
op_list(void *ctx, struct hb_span after, size_t count)
{
	assert_int_equal(hb_span_copy(after, w.after, sizeof(w.after)), 0);
	w.count = count;
	question(LIST, NULL);
}

static void
op_remove(void *ctx, struct hb_span name)
{
	hb_buf_clear(&name_of(name)->stored);
}

static bool
op_owns(void *ctx, struct hb_span name)
{
	return name.p[0] != 'o';
}

static void
op_load_clock(void *ctx)
{
	question(CLOCK, NULL);
}

static void
op_save_clock(void *ctx, struct hb_span value)
{
	if (w.store_down)
		return;
	hb_buf_clear(&w.clock);
	hb_buf_add(&w.clock, value);
}

static void
op_alarm(void *ctx, int64_t ms)
{
	assert_true(ms > 0);
	w.alarm = w.mono + ms;
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

/* --- answers --- */

static void
answer_load(const struct pending *p)
{
	int err = p->name->stored.n > 0 ? 0 : HB_E_NOTFOUND;

	if (w.store_down || chance(w.game->trouble))
		err = HB_E_TEMP;
	sts_core_loaded(w.core, p->d, err,
	    err == 0 ? hb_buf_span(&p->name->stored) : HB_SPAN_NONE, now());
}

static void
answer_txt(const struct pending *p)
{
	const struct name *n = p->name;
	bool temp = n->txt == TXT_TEMP || chance(w.game->trouble);
	char text[64];
	struct hb_span record = HB_SPAN("v=STSv1; id=;");

	if (n->txt != TXT_BAD) {
		snprintf(text, sizeof(text), "v=STSv1; id=%u;", n->id);
		record = hb_span_str(text);
	}
	sts_core_txt(w.core, p->d, temp, &record,
	    temp || n->txt == TXT_NONE ? 0 : 1, n->ttl_s, now());
}

static void
answer_fetch(const struct pending *p)
{
	static const char *const policies[] = {
		"version: STSv1\nmode: enforce\nmx: mx.test\nmax_age: 864000\n",
		"version: STSv1\nmode: testing\nmx: mx.test\nmax_age: 100\n",
		"version: STSv1\nmode: none\nmax_age: 0\n", "nothing"
	};
	bool good = p->name->fetchable && !chance(w.game->trouble);

	sts_core_fetched(w.core, p->d,
	    good ? HB_REASON_NONE : HB_REASON_STS_FETCH_CONNECT,
	    hb_span_str(policies[p->name->id % HB_ARRAY_LEN(policies)]), NULL,
	    now());
}

static void
answer_list(void)
{
	size_t n = 0;
	int err = w.store_down || chance(w.game->trouble) ? HB_E_TEMP : 0;

	/* names are made in their order */
	for (size_t i = 0; err == 0 && i < w.game->names && n < w.count; i++) {
		const struct name *m = &w.names[i];

		if (m->stored.n == 0 || strcmp(m->text, w.after) <= 0)
			continue;
		sts_core_row(w.core, hb_span_str(m->text),
		    hb_buf_span(&m->stored), now());
		n++;
		if (chance(10))
			err = HB_E_LIMIT;
	}
	now();
	sts_core_listed(w.core, err);
}

static void
answer(struct pending p)
{
	switch (p.kind) {
	case LOAD:
		answer_load(&p);
		break;
	case SAVE:
		sts_core_saved(w.core, p.d,
		    chance(w.game->trouble) ? HB_E_NOSPACE : 0, now());
		break;
	case ASK:
		answer_txt(&p);
		break;
	case FETCH:
		answer_fetch(&p);
		break;
	case LIST:
		answer_list();
		break;
	case CLOCK:
		now();
		sts_core_clock_loaded(w.core,
		    w.store_down    ? HB_E_TEMP
		    : w.clock.n > 0 ? 0
				    : HB_E_NOTFOUND,
		    hb_buf_span(&w.clock));
		break;
	case KINDS:
		break;
	}
}

/* --- lookups --- */

/* Something happened to N: what waits may have to begin again. */
static void
more_time(const struct name *n)
{
	for (size_t i = 0; i < LOOKS; i++)
		if (w.looks[i].waiting && (n == NULL || w.looks[i].name == n))
			w.looks[i].until_ms = w.mono + patience();
}

static struct look *
new_look(void)
{
	for (size_t i = 0; i < LOOKS; i++)
		if (!w.looks[i].used)
			return &w.looks[i];
	lost("too many lookups", NULL);
}

static void act(void);

static void
on_policy(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct look *k = ctx;

	sts_ref_release(&ref);
	if (!k->waiting)
		lost("an answer that is one too many", k->name);
	if (k->calling)
		lost("an answer inside of its question", k->name);
	k->waiting = k->used = false;
	k->name->waiting--;
	answered++;
	if (w.nested < NESTED && chance(20)) {
		w.nested++;
		act();
		w.nested--;
	}
}

static void
look_up(struct name *n)
{
	static const unsigned flags[] = { 0, 0, 0, 0, 0, 0, STS_FINAL,
		STS_FORCE };
	unsigned how = flags[roll(HB_ARRAY_LEN(flags))];
	struct look *k = new_look();

	if (how != 0)
		more_time(n);
	*k = (struct look){ .used = true,
		.waiting = true,
		.calling = true,
		.name = n,
		.until_ms = w.mono + patience() };
	if (n->waiting++ == 0 && n->under_way == 0)
		n->quiet_since = w.mono;
	k->l = sts_core_lookup(
	    w.core, hb_span_str(n->text), how, on_policy, k, now());
	k->calling = false;
}

static void
give_up(void)
{
	size_t first = roll(LOOKS);

	for (size_t i = 0; i < LOOKS; i++) {
		struct look *k = &w.looks[(first + i) % LOOKS];

		if (!k->waiting || k->calling)
			continue;
		sts_lookup_cancel(k->l);
		k->waiting = k->used = false;
		k->name->waiting--;
		cancelled++;
		return;
	}
}

/* --- what happens in the world --- */

static void
change(struct name *n)
{
	static const uint32_t ttls[] = { 0, 1, 60, 3600, 86400 };

	n->txt = (enum txt)(chance(60) ? TXT_GOOD : roll(TXTS));
	n->fetchable = chance(70);
	n->ttl_s = ttls[roll(HB_ARRAY_LEN(ttls))];
	n->id += chance(50);
	more_time(n);
}

static void
forget(struct name *n)
{
	bool removed = chance(50);

	if (removed)
		hb_buf_clear(&n->stored);
	more_time(n);
	sts_core_forget(w.core, hb_span_str(n->text), removed, now());
}

static void
import(struct name *n)
{
	struct hb_buf value = HB_BUF_INIT(0);
	bool there = n->stored.n > 0;
	struct sts_record r = { .mode = STS_MODE_ENFORCE,
		.id = HB_SPAN("imported"),
		.fetched_ms = now() - HOUR,
		.refreshed_ms = now() - HOUR,
		.tried_ms = now() - HOUR,
		.expires_ms = now() + (chance(50) ? DAY : MINUTE),
		.source = HB_SPAN("imported"),
		.text = HB_SPAN("version: STSv1\nmode: enforce\nmx: mx.test\n"
				"max_age: 864000\n") };

	sts_record_encode(&r, &value);
	more_time(n);
	sts_core_imported(
	    w.core, hb_span_str(n->text), hb_buf_span(&value), there, now());
	hb_buf_free(&n->stored);
	n->stored = value;
}

static void
move_clock(void)
{
	static const int64_t steps[] = { 400, 5 * SECOND, 40 * SECOND,
		50 * MINUTE, 2 * HOUR, 2 * DAY, 400 * DAY };
	int64_t step = steps[roll(HB_ARRAY_LEN(steps))];

	more_time(NULL);
	/* one that goes back by less than has passed since DNS was asked makes
	 * the 30 s as much longer */
	for (size_t i = 0; i < w.game->names; i++)
		w.names[i].quiet_since = w.mono + 30 * SECOND;
	if (chance(20))
		w.lab += step;
	else if (w.ahead > START)
		w.ahead -= step;
	else
		w.ahead += step;
	if (chance(50))
		now(); /* else it is noticed later */
}

static void
switch_store(void)
{
	w.store_down = !w.store_down && chance(50);
	if (!w.store_down) /* as sts_store_up does */
		sts_core_tick(w.core, now());
}

/* Another resolver: all that is asked is asked again. */
static void
reload(void)
{
	more_time(NULL);
	for (size_t i = 0; i < w.npending; i++) {
		struct pending *p = &w.pending[i];

		if (p->kind == ASK)
			p->at = w.mono + 1 + roll((uint32_t)slowest[ASK]);
	}
	w.refreshing = chance(70);
	now();
	sts_core_refresh(w.core, w.refreshing);
}

static void
act(void)
{
	unsigned what = roll(100);

	if (what < 60)
		look_up(any_name());
	else if (what < 72)
		give_up();
	else if (what < 82)
		change(any_name());
	else if (what < 88)
		forget(any_name());
	else if (what < 92)
		import(any_name());
	else if (what < 95)
		move_clock();
	else if (what < 97)
		switch_store();
	else if (what < 98)
		reload();
	else if (what < 99)
		sts_core_clock_confirmed(w.core);
	else
		(void)sts_core_last_txt(w.core, hb_span_str(any_name()->text));
}

/* --- checks --- */

static void
check_counts(void)
{
	if (w.core->active.n != w.nfetches)
		lost("the core miscounts its fetches", NULL);
	if (w.core->running_background > BACKGROUND)
		lost("too many fetches in the background", NULL);
}

/* Nothing will happen before AT: is that soon enough for all? */
static void
check_waits(int64_t at)
{
	bool crowded = w.nfetches == FETCHES;

	for (size_t i = 0; i < w.game->names; i++) {
		const struct name *n = &w.names[i];

		if (n->waiting > 0 && n->under_way == 0 && !crowded &&
		    at - n->quiet_since > QUIET_MS)
			lost("nothing is done for who waits", n);
	}
}

static void
check_times(void)
{
	for (size_t i = 0; i < LOOKS; i++)
		if (w.looks[i].waiting && w.looks[i].until_ms < w.mono)
			lost("a lookup is late", w.looks[i].name);
}

/* --- the game --- */

static size_t
next_answer(void)
{
	size_t best = 0;

	for (size_t i = 1; i < w.npending; i++)
		if (w.pending[i].at < w.pending[best].at)
			best = i;
	return best;
}

/* Makes the next thing happen that is due before END; false: nothing is. */
static bool
step(int64_t end_ms)
{
	size_t i = next_answer();
	int64_t at = w.npending > 0 ? w.pending[i].at : INT64_MAX;
	bool tick = w.alarm <= at;

	if (tick)
		at = w.alarm;
	check_waits(at < end_ms ? at : end_ms);
	if (at > end_ms) {
		w.mono = end_ms;
		return false;
	}
	w.mono = at > w.mono ? at : w.mono;
	if (tick) {
		w.alarm = INT64_MAX;
		sts_core_tick(w.core, now());
	} else {
		answer(take(i));
	}
	end_turn();
	check_counts();
	return true;
}

static void
pass(int64_t ms)
{
	int64_t end_ms = w.mono + ms;

	while (step(end_ms))
		continue;
}

static size_t
count_waiting(void)
{
	size_t n = 0;

	for (size_t i = 0; i < LOOKS; i++)
		n += w.looks[i].waiting;
	return n;
}

static void
no_log(void *ctx, enum hb_level level, struct hb_span record)
{
}

static void
set_up(const struct game *g, unsigned long seed)
{
	static const unsigned char key[16] = "0123456789abcde";

	memset(&w, 0, sizeof(w));
	w.game = g;
	w.seed = seed;
	dice_seed(seed);
	w.mono = 1 + roll(1000000);
	w.ahead = START - w.mono;
	w.alarm = INT64_MAX;
	for (size_t i = 0; i < g->names; i++) {
		snprintf(w.names[i].text, sizeof(w.names[i].text),
		    "%c%04zu.test", i < g->names / 8 * 7 ? 'd' : 'o', i);
		change(&w.names[i]);
	}
	w.core = sts_core_new(&ops, NULL, key, START - DAY);
	now();
	sts_core_refresh(w.core, true);
}

static void
tear_down(void)
{
	sts_core_free(&w.core);
	for (size_t i = 0; i < DOMAINS; i++)
		hb_buf_free(&w.names[i].stored);
	hb_buf_free(&w.clock);
}

static void
play(const struct game *g, unsigned long seed)
{
	int64_t over;

	set_up(g, seed);
	over = w.mono + g->length_ms;
	while (w.mono < over) {
		pass(roll((uint32_t)(chance(30) && g->pause_ms > SECOND
					 ? SECOND
					 : g->pause_ms)));
		act();
		end_turn();
		check_times();
	}
	if (seed % 4 != 0) { /* else some still wait when all is freed */
		w.nested = NESTED;
		pass(patience() + SECOND);
		check_times();
		assert_int_equal(count_waiting(), 0);
	}
	tear_down();
}

/* In the quiet ones no other event rescues what was forgotten. */
static const struct game games[] = {
	{ "alone", 1, 200 * SECOND, 12 * HOUR, 30, 20, false },
	{ "quiet", 3, 100 * SECOND, 8 * HOUR, 30, 10, false },
	{ "early", 5, 20 * SECOND, 2 * HOUR, 90, 20, false },
	{ "no answers", 8, 20 * SECOND, 2 * HOUR, 10, 70, false },
	{ "busy", 60, 1 * SECOND, 20 * MINUTE, 20, 5, false },
	{ "crowd", 1400, 20, 80 * SECOND, 20, 5, true },
};

static void
nobody_waits_for_nothing(void **state)
{
	unsigned long first = number_of("HB_RANDOM_FIRST", 0);
	unsigned long n = number_of("HB_RANDOM_SEEDS", 10);

	hb_log_set_sink(no_log, NULL);
	for (size_t g = 0; g < HB_ARRAY_LEN(games); g++)
		for (unsigned long i = 0; i < n; i++)
			play(&games[g], first + i);
	assert_true(answered > 0 && cancelled > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_waits_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
