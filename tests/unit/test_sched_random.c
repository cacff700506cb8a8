/*
 * The scheduler in a world that plays dice: mail comes, routes are found late
 * or never, jobs end well, badly or hang, workers and router go down and up,
 * the operator holds, flushes, removes and changes the configuration.
 *
 * The scheduler is called after each event and at the time that it asked for,
 * and never else.  After each call nothing that could go may wait, and what
 * waits for a time has been asked for by then; in the end all mail is gone.
 *
 * HB_RANDOM_SEEDS=N plays that many games, HB_RANDOM_FIRST=N begins with that
 * one.
 */
#include "tests/unit/unit.h"

#include "queue/sched/sched-priv.h"
#include "tests/unit/dice.h"

enum {
	SEC = 1000,
	MINUTE = 60 * SEC,
	HOUR = 60 * MINUTE,
	WORKERS = 2,
	MSGS = 400,
	JOBS = 1024,
	ASKS = 256,
	EVENTS = 600
};

static struct {
	unsigned long seed;
	struct q_sched *s;
	int64_t now;
	uint64_t last_id;
	struct running {
		struct sched_job *job;
		int64_t until;
	} jobs[JOBS];
	size_t njobs;
	struct asked {
		uint64_t id;
		uint32_t idx;
		int64_t until;
	} asks[ASKS];
	size_t nasks;
	bool up[WORKERS + 1], router;
	bool kind; /* nothing fails any more */
} w;
static unsigned long sent, noticed; /* in all games */

static void HB_NORETURN
lost(const char *what)
{
	fail_msg("game %lu, at %lld ms: %s", w.seed, (long long)w.now, what);
	abort();
}

static struct q_sched_conf
any_conf(void)
{
	return (struct q_sched_conf){ .first_ms = MINUTE * (1 + roll(5)),
		.max_ms = HOUR * (1 + roll(4)),
		.lifetime_ms = HOUR * (int64_t)(2 + roll(40)),
		.warn_ms = roll(3) * HOUR,
		.host_memory_ms = roll(3) * HOUR,
		.max_connections = 1 + roll(4),
		.workers = WORKERS,
		.below = roll };
}

/* --- what the scheduler wants done --- */

static void
begin_job(struct sched_job *job)
{
	int64_t ms =
	    w.kind || chance(80) ? 1 + roll(3 * SEC) : 1 + roll(20 * MINUTE);

	if (!w.up[job->worker])
		lost("a job for a worker that is down");
	if (w.njobs == JOBS)
		lost("too many jobs");
	w.jobs[w.njobs++] = (struct running){ job, w.now + ms };
}

static void
begin_ask(const struct sched_rcpt *r)
{
	if (!w.router || w.nasks == Q_MAX_ASKS)
		lost("a question that nobody can answer");
	w.asks[w.nasks++] = (struct asked){ r->msg->id, r->idx,
		w.now + (chance(50) ? 0 : roll(5 * SEC)) };
}

static void
forget_if_empty(struct sched_msg *m)
{
	if (m->live == 0)
		q_sched_forget(w.s, m);
}

static void
make_dsn(struct sched_msg *m)
{
	struct sched_rcpt *failed[64];
	size_t n = q_sched_take_failed(w.s, m, failed, HB_ARRAY_LEN(failed));
	bool kept = w.kind || chance(80);

	for (size_t i = 0; i < n; i++)
		if (kept)
			q_sched_done(w.s, failed[i]);
		else
			q_sched_dsn_again(w.s, failed[i], w.now + SEC);
	noticed += kept;
	forget_if_empty(m);
}

/* As manager.c does after each event. */
static void
run(void)
{
	struct q_act act;

	for (int i = 0; i < 100000; i++) {
		q_sched_next(w.s, w.now, &act);
		switch (act.kind) {
		case Q_ACT_NONE:
			return;
		case Q_ACT_ASK:
			begin_ask(act.rcpt);
			break;
		case Q_ACT_JOB:
			begin_job(act.job);
			break;
		case Q_ACT_DSN:
			make_dsn(act.msg);
			break;
		case Q_ACT_WARN:
			break;
		}
	}
	lost("there is no end of it");
}

/* --- what happens --- */

static const struct hb_outcome later = { .result = HB_RESULT_DEFER,
	.reason = HB_REASON_REMOTE_REPLY,
	.text = { (const unsigned char *)"later", 5 } };

enum ending { DONE, DEFER, FAIL, UNREACHABLE, ENDINGS };

static void
end_rcpt(
    struct sched_job *job, struct sched_rcpt *r, enum ending how, int64_t line)
{
	if (how == DONE) {
		sent++;
		q_sched_done(w.s, r);
	} else if (how == FAIL || job->final) {
		q_sched_fail(w.s, r, &later, w.now);
	} else if (line > 0) {
		q_sched_wait(w.s, r, &later);
	} else {
		q_sched_defer(w.s, r, &later,
		    w.now +
			q_sched_backoff(w.s, r->attempts + 1u, job->jitter));
	}
}

static void
end_job(size_t i, enum ending how)
{
	struct sched_job *job = w.jobs[i].job;
	struct sched_msg *m = job->msg;
	int64_t line = 0;

	w.jobs[i] = w.jobs[--w.njobs];
	if (how == UNREACHABLE)
		line = q_sched_unreachable(w.s, job, &later, w.now);
	else
		q_sched_reached(w.s, job, how == DEFER);
	for (size_t k = 0; k < job->n; k++)
		if (job->rcpts[k] != NULL)
			end_rcpt(job, job->rcpts[k], how, line);
	q_sched_job_end(w.s, job);
	free(job);
	if (m != NULL)
		forget_if_empty(m);
}

static void
answer(size_t i)
{
	static const char *const routes[] = { "a", "b", "c", "d", "lx", "ly",
		"s" };
	struct asked a = w.asks[i];
	struct sched_msg *m = q_sched_find(w.s, a.id);
	struct sched_rcpt *r = m != NULL ? q_sched_find_rcpt(m, a.idx) : NULL;
	const char *text = routes[roll(HB_ARRAY_LEN(routes))];
	struct q_route to = { .key = hb_span_str(text),
		.route_n = strlen(text),
		.domain = hb_span_str(text),
		.local = text[0] == 'l',
		.spread = text[0] == 's' };

	w.asks[i] = w.asks[--w.nasks];
	if (r == NULL || r->state != Q_ASKED)
		return;
	if (w.kind || chance(90))
		q_sched_route(w.s, r, &to, w.now);
	else if (chance(50))
		q_sched_defer(w.s, r, &later, w.now + MINUTE);
	else
		q_sched_fail(w.s, r, &later, w.now);
}

static void
lose_router(void)
{
	w.router = false;
	q_sched_router(w.s, false);
	for (size_t i = 0; i < w.nasks; i++) {
		struct sched_msg *m = q_sched_find(w.s, w.asks[i].id);
		struct sched_rcpt *r =
		    m != NULL ? q_sched_find_rcpt(m, w.asks[i].idx) : NULL;

		if (r != NULL && r->state == Q_ASKED)
			q_sched_unask(w.s, r);
	}
	w.nasks = 0;
}

static void
lose_worker(unsigned n)
{
	w.up[n] = false;
	q_sched_worker(w.s, n, false);
	for (size_t i = w.njobs; i > 0; i--)
		if (w.jobs[i - 1].job->worker == n)
			end_job(i - 1, DEFER);
}

static void
all_up(void)
{
	w.router = true;
	q_sched_router(w.s, true);
	for (unsigned i = 0; i <= WORKERS; i++) {
		w.up[i] = true;
		q_sched_worker(w.s, i, true);
	}
}

static void
accept_mail(void)
{
	struct sched_msg *m;
	uint32_t n = chance(90) ? 1 + roll(3) : 50 + roll(150);

	m = q_sched_add(w.s, ++w.last_id, w.now, roll(1 << 20),
	    chance(10) ? Q_MF_LARGE : 0);
	for (uint32_t i = 0; i < n; i++)
		q_sched_rcpt(w.s, m, i, w.now);
}

static struct sched_msg *
any_msg(void)
{
	uint32_t cursor = w.s->msgs.used > 0 ? roll(w.s->msgs.used) : 0;

	return q_sched_walk(w.s, &cursor);
}

static void
flush(struct sched_msg *m)
{
	struct sched_rcpt *r;

	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		q_sched_flush(w.s, r, w.now);
}

static void
operate(void)
{
	struct sched_msg *m = any_msg();
	unsigned what = roll(5);

	if (m == NULL)
		return;
	if (what == 0)
		q_sched_hold(w.s, m);
	else if (what == 1)
		q_sched_release(w.s, m, w.now);
	else if (what == 2)
		q_sched_forget(w.s, m);
	else
		flush(m);
}

static void
happen(void)
{
	struct q_sched_conf c = any_conf();
	unsigned what = roll(100);

	if (what < 60 && w.s->msgs.live < MSGS)
		accept_mail();
	else if (what < 75)
		operate();
	else if (what < 80)
		lose_worker(roll(WORKERS + 1));
	else if (what < 84)
		lose_router();
	else if (what < 95)
		all_up();
	else
		q_sched_set_conf(w.s, &c);
}

/* --- checks: nothing more is done now --- */

static bool
has_room(unsigned i)
{
	const struct q_worker *k = &w.s->workers[i];

	return k->usable && k->bytes < Q_WORKER_BYTES &&
	       (i == WORKERS
		       ? k->young < Q_LOCAL_JOBS && k->jobs < Q_LOCAL_MOST
		       : k->young < Q_WORKER_JOBS && k->jobs < Q_WORKER_MOST);
}

static void
check_ready(const struct sched_rcpt *r, int64_t wake)
{
	const struct sched_dest *d = r->dest;
	unsigned most = d->local       ? Q_LOCAL_WINDOW
			: d->fails > 0 ? 1
				       : d->window;

	if (d->active >= most || !has_room(d->home))
		return;
	if ((r->flags & Q_RF_URGENT) != 0)
		lost("an urgent one could go");
	if (d->node.pos == 0)
		lost("one could go");
	if (wake > d->node.key)
		lost("a block has no end");
}

static void
check_rcpt(const struct sched_rcpt *r, int64_t wake)
{
	switch ((enum q_state)r->state) {
	case Q_NEW:
		if (r->when_ms <= w.now || wake > r->when_ms)
			lost("one that waits for a time is not seen to");
		break;
	case Q_DUE:
		if (w.router && w.nasks < Q_MAX_ASKS)
			lost("one could be asked for");
		break;
	case Q_READY:
		check_ready(r, wake);
		break;
	case Q_FAILED:
		if (r->node.pos == 0 || wake > r->node.key)
			lost("a notice is not seen to");
		break;
	case Q_DSN:
		lost("a notice was forgotten");
	case Q_ASKED:
	case Q_ACTIVE:
	case Q_HELD:
	case Q_STATE_COUNT:
		break;
	}
}

/* Of many that failed one stands for all. */
static void
check_msg(const struct sched_msg *m, int64_t wake)
{
	bool failed = false, seen = false;
	const struct sched_rcpt *r;

	TAILQ_FOREACH(r, &m->rcpts, of_msg) {
		if (r->state != Q_FAILED) {
			check_rcpt(r, wake);
			continue;
		}
		failed = true;
		seen = seen || (r->node.pos != 0 && wake <= r->node.key);
	}
	if (failed && !seen)
		lost("a notice is not seen to");
}

static void
check(void)
{
	int64_t wake = q_sched_wake(w.s);
	uint32_t cursor = 0;
	struct sched_msg *m;

	if (wake <= w.now)
		lost("it would spin");
	while ((m = q_sched_walk(w.s, &cursor)) != NULL)
		check_msg(m, wake);
}

/* --- the game --- */

/* Does what is due next, no later than END; false: nothing is. */
static bool
step(int64_t end)
{
	int64_t at = q_sched_wake(w.s);
	size_t job = w.njobs, asked = w.nasks;

	for (size_t i = 0; i < w.njobs; i++)
		if (w.jobs[i].until < at) {
			at = w.jobs[i].until;
			job = i;
		}
	for (size_t i = 0; i < w.nasks; i++)
		if (w.asks[i].until < at) {
			at = w.asks[i].until;
			asked = i;
		}
	if (at > end) {
		w.now = end;
		return false;
	}
	w.now = at > w.now ? at : w.now;
	if (asked < w.nasks)
		answer(asked);
	else if (job < w.njobs)
		end_job(job, w.kind ? DONE : (enum ending)roll(ENDINGS));
	run();
	check();
	return true;
}

static void
pass(int64_t ms)
{
	int64_t end = w.now + ms;

	while (step(end))
		continue;
}

static void
release_all(void)
{
	uint32_t cursor = 0;
	struct sched_msg *m;

	while ((m = q_sched_walk(w.s, &cursor)) != NULL)
		q_sched_release(w.s, m, w.now);
}

static void
play(unsigned long seed)
{
	struct q_sched_conf c;

	memset(&w, 0, sizeof(w));
	w.seed = seed;
	dice_seed(seed);
	w.now = 1000000;
	c = any_conf();
	w.s = q_sched_new(&c);
	all_up();
	for (int i = 0; i < EVENTS; i++) {
		pass(chance(70) ? roll(10 * SEC) : roll(2 * HOUR));
		happen();
		run();
		check();
	}
	w.kind = true;
	all_up();
	release_all();
	run();
	pass(50 * (int64_t)HOUR);
	if (w.s->msgs.live != 0 || w.njobs != 0)
		lost("mail is left");
	q_sched_free(&w.s);
}

static void
nothing_waits_that_could_go(void **state)
{
	unsigned long first = number_of("HB_RANDOM_FIRST", 0);
	unsigned long n = number_of("HB_RANDOM_SEEDS", 20);

	for (unsigned long i = 0; i < n; i++)
		play(first + i);
	assert_true(sent > 0 && noticed > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_waits_that_could_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
