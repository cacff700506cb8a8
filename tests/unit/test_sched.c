/* The scheduler with a clock of the test's own: five days take milliseconds. */
#include "tests/unit/unit.h"

#include "queue/sched/clock.h"
#include "queue/sched/sched.h"

enum { SEC = 1000, MIN = 60 * SEC, HOUR = 60 * MIN, DAY = 24 * HOUR };

static struct q_sched *s;
static int64_t now;
static uint32_t draw; /* what the random source gives next */

static uint32_t
below(uint32_t n)
{
	return draw % n;
}

static struct q_sched_conf
conf(void)
{
	return (struct q_sched_conf){
		.first_ms = 5 * MIN,
		.max_ms = 4 * HOUR,
		.lifetime_ms = 5 * (int64_t)DAY,
		.host_memory_ms = DAY,
		.max_connections = 10,
		.workers = 2,
		.below = below,
	};
}

static void
start(const struct q_sched_conf *c)
{
	now = 1000000;
	draw = 0; /* no jitter */
	s = q_sched_new(c);
	for (unsigned w = 0; w <= c->workers; w++)
		q_sched_worker(s, w, true);
	q_sched_router(s, true);
}

static int
setup(void **state)
{
	struct q_sched_conf c = conf();

	start(&c);
	return 0;
}

static int
teardown(void **state)
{
	q_sched_free(&s);
	return 0;
}

static struct sched_msg *
add(uint64_t id, unsigned nrcpt)
{
	struct sched_msg *m = q_sched_add(s, id, now, 1000, 0);

	for (unsigned i = 0; i < nrcpt; i++)
		q_sched_rcpt(s, m, i, now);
	return m;
}

static void
route(struct sched_rcpt *r, const char *text)
{
	struct q_route to = {
		.key = hb_span_str(text),
		.route_n = strlen(text),
		.domain = hb_span_str(text),
		.local = text[0] == 'l',
		.spread = text[0] == 's',
	};

	q_sched_route(s, r, &to, now);
}

/* Answers each question with ROUTE until something else is to be done. */
static struct q_act
next(const char *to)
{
	struct q_act act;

	for (;;) {
		q_sched_next(s, now, &act);
		if (act.kind != Q_ACT_ASK)
			return act;
		route(act.rcpt, to);
	}
}

static struct sched_job *
next_job(const char *to)
{
	struct q_act act = next(to);

	return act.kind == Q_ACT_JOB ? act.job : NULL;
}

/* The job that is due. */
static struct sched_job *
due_job(const char *to)
{
	struct q_act act = next(to);

	assert_int_equal(act.kind, Q_ACT_JOB);
	return act.job;
}

static const struct hb_outcome refused = {
	.result = HB_RESULT_DEFER,
	.code = 450,
	.reason = HB_REASON_REMOTE_REPLY,
	.text = { (const unsigned char *)"later", 5 },
};
static const struct hb_outcome down = {
	.result = HB_RESULT_DEFER,
	.reason = HB_REASON_CONNECT_REFUSED,
};

static void
end_ok(struct sched_job *job)
{
	struct sched_msg *m = job->msg;

	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] != NULL)
			q_sched_done(s, job->rcpts[i]);
	q_sched_reached(s, job, false);
	q_sched_job_end(s, job);
	free(job);
	if (m->live == 0)
		q_sched_forget(s, m);
}

static void
end_defer(struct sched_job *job)
{
	q_sched_reached(s, job, false);
	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] != NULL)
			q_sched_defer(s, job->rcpts[i], &refused,
			    now + q_sched_backoff(s,
			    job->rcpts[i]->attempts + 1u, job->jitter));
	q_sched_job_end(s, job);
	free(job);
}

static int64_t
end_unreachable(struct sched_job *job)
{
	int64_t end = q_sched_unreachable(s, job, &down, now);

	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] != NULL)
			q_sched_wait(s, job->rcpts[i], &down);
	q_sched_job_end(s, job);
	free(job);
	return end;
}

static void
test_F_23_backoff_doubles_and_is_never_early(void **state)
{
	static const struct {
		unsigned attempts;
		uint8_t jitter;
		int64_t want;
	} rows[] = {
		{ 1, 0, 5 * MIN },
		{ 2, 0, 10 * MIN },
		{ 3, 0, 20 * MIN },
		{ 6, 0, 160 * MIN },
		{ 7, 0, 4 * HOUR },
		{ 65535, 0, 4 * HOUR },
		{ 1, 255, 337353 }, /* F-23: never before its time */
		{ 0, 0, 5 * MIN },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(q_sched_backoff(s, rows[i].attempts,
		    rows[i].jitter), rows[i].want);
}

/* SMTP-07: retried for the lifetime, a last time at its end. */
static void
five_days_of_retries_end_with_a_final_attempt(void **state)
{
	struct sched_msg *m = add(1, 1);
	int64_t from = now;
	unsigned attempts = 0;
	struct sched_job *job;

	for (;;) {
		job = due_job("mx://a");
		attempts++;
		if (job->final)
			break;
		end_defer(job);
		assert_null(next_job("mx://a"));
		assert_true(q_sched_wake(s) > now);
		now = q_sched_wake(s);
	}
	assert_int_equal(now, from + 5 * (int64_t)DAY);
	assert_int_equal(TAILQ_FIRST(&m->rcpts)->attempts, attempts - 1);
	/* 5+10+20+40+80+160 min, then every 4 h, and the last */
	assert_int_equal(attempts, 1 + 6 + (5 * 24 * 60 - 315) / 240 + 1);
	q_sched_fail(s, job->rcpts[0], &refused, now);
	q_sched_job_end(s, job);
	free(job);
	assert_int_equal(next("mx://a").kind, Q_ACT_DSN);
}

static void
recipients_of_a_message_travel_together_a_hundred_at_most(void **state)
{
	struct sched_msg *m = add(1, 250);
	struct sched_job *a = due_job("mx://a"), *b = due_job("mx://a"),
		     *c = due_job("mx://a");

	assert_int_equal(a->n, 100);
	assert_int_equal(b->n, 100);
	assert_int_equal(c->n, 50);
	assert_null(next_job("mx://a"));
	assert_int_equal(m->live, 250);
	end_ok(a);
	assert_int_equal(m->live, 150);
	end_ok(b);
	end_ok(c);
	assert_null(q_sched_find(s, 1));
}

static void
no_destination_starves_another(void **state)
{
	struct q_act act;
	unsigned seen_b = 0;

	for (uint64_t id = 1; id <= 40; id++)
		add(id, 1);
	for (;;) {
		q_sched_next(s, now, &act);
		if (act.kind != Q_ACT_ASK)
			break;
		route(act.rcpt, act.msg->id < 40 ? "lmtp:a" : "lmtp:b");
	}
	for (int i = 0; i < 2; i++) {
		struct hb_span to = sched_dest_route(act.job->dest);

		seen_b += to.p[to.n - 1] == 'b';
		end_ok(act.job);
		q_sched_next(s, now, &act);
	}
	assert_int_equal(seen_b, 1);
	while (act.kind == Q_ACT_JOB) {
		end_ok(act.job);
		q_sched_next(s, now, &act);
	}
	assert_null(q_sched_find(s, 1));
}

static unsigned
jobs_in_flight(struct sched_job **v, unsigned max, const char *to)
{
	unsigned n = 0;

	while (n < max && (v[n] = next_job(to)) != NULL)
		n++;
	return n;
}

static void
window_grows_on_success_and_halves_on_trouble(void **state)
{
	struct sched_job *v[20];
	unsigned n;

	for (uint64_t id = 1; id <= 100; id++)
		add(id, 1);
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, Q_FIRST_WINDOW);
	for (unsigned i = 0; i < n; i++)
		end_ok(v[i]);
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, 10); /* max-connections-per-destination */
	q_sched_reached(s, v[0], true);
	for (unsigned i = 0; i < n; i++) {
		q_sched_done(s, v[i]->rcpts[0]);
		q_sched_job_end(s, v[i]);
		free(v[i]);
	}
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, 5);
	for (unsigned i = 0; i < n; i++)
		end_ok(v[i]);
}

static void
unreachable_destination_is_probed_by_one_and_then_let_go(void **state)
{
	struct sched_job *v[20];
	struct hb_outcome o;
	int64_t end;
	unsigned n;

	for (uint64_t id = 1; id <= 100; id++)
		add(id, 1);
	n = jobs_in_flight(v, 20, "mx://a");
	end = end_unreachable(v[0]);
	assert_int_equal(end, now + 5 * MIN);
	for (unsigned i = 1; i < n; i++)
		assert_int_equal(end_unreachable(v[i]), end);
	assert_null(next_job("mx://a"));
	/* one that was never tried shows why it waits, and until when */
	q_last_outcome(q_rcpt_last(
	    TAILQ_FIRST(&q_sched_find(s, 99)->rcpts)), &o);
	assert_int_equal(o.reason, HB_REASON_CONNECT_REFUSED);
	assert_int_equal(q_rcpt_next_ms(
	    TAILQ_FIRST(&q_sched_find(s, 99)->rcpts)), end);
	/* so does one that came later */
	add(101, 1);
	assert_null(next_job("mx://a"));
	now = end;
	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 1);
	end = end_unreachable(v[0]);
	assert_int_equal(end, now + 10 * MIN);
	now = end;
	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 1);
	end_ok(v[0]);
	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 2);
	end_ok(v[0]);
	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 2);
	end_ok(v[0]);
	end_ok(v[1]);
}

static void
host_memory_bounds_how_long_a_destination_is_left_alone(void **state)
{
	struct q_sched_conf c = conf();
	struct sched_job *job;

	c.host_memory_ms = MIN;
	q_sched_set_conf(s, &c);
	add(1, 1);
	add(2, 1);
	job = due_job("mx://a");
	assert_int_equal(end_unreachable(job), now + MIN);
	assert_null(next_job("mx://a"));
	/* off: nothing is remembered, others are tried at once */
	c.host_memory_ms = 0;
	q_sched_set_conf(s, &c);
	now += MIN;
	job = due_job("mx://a");
	assert_non_null(job);
	assert_int_equal(q_sched_unreachable(s, job, &down, now), 0);
	end_ok(job);
	job = due_job("mx://a");
	assert_non_null(job);
	end_ok(job);
}

static void
lifetime_ends_behind_an_unreachable_destination_too(void **state)
{
	struct sched_job *v[20];
	unsigned n;

	add(1, 1);
	add(2, 1);
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, 2);
	end_unreachable(v[0]);
	end_unreachable(v[1]);
	now += 5 * (int64_t)DAY;
	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 1);
	assert_true(v[0]->final);
	q_sched_fail(s, v[0]->rcpts[0], &down, now);
	q_sched_job_end(s, v[0]);
	free(v[0]);
}

static void
flush(struct sched_msg *m)
{
	struct sched_rcpt *r;

	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		q_sched_flush(s, r, now);
}

/* The memory for the job is that of the line. */
static void
who_waits_in_a_line_is_in_no_job(void **state)
{
	struct sched_job *v[20];
	struct sched_msg *m[9];
	unsigned n = 0, jobs;

	for (unsigned i = 0; i < HB_ARRAY_LEN(m); i++)
		m[i] = add(i + 1, 1);
	jobs = jobs_in_flight(v, 20, "mx://a");
	assert_true(jobs > 0 && jobs + 1 < HB_ARRAY_LEN(m));
	for (unsigned i = 0; i < HB_ARRAY_LEN(m); i++) {
		struct sched_rcpt *r = TAILQ_FIRST(&m[i]->rcpts);

		if (r->state == Q_ACTIVE)
			assert_ptr_equal(q_rcpt_job(r)->msg, m[i]);
		else
			assert_null(q_rcpt_job(r));
		n += r->state == Q_ACTIVE;
	}
	assert_int_equal(n, jobs);
	while (n > 0)
		end_defer(v[--n]);
}

static void
flush_tries_each_that_waits_now(void **state)
{
	struct sched_job *v[20];
	struct sched_msg *a = add(1, 1), *b = add(2, 1), *c;

	assert_int_equal(jobs_in_flight(v, 20, "mx://a"), 2);
	end_unreachable(v[0]);
	end_unreachable(v[1]);
	c = add(3, 1);
	assert_int_equal(jobs_in_flight(v, 20, "mx://b"), 1);
	end_defer(v[0]);
	flush(a);
	flush(b);
	flush(c);
	assert_non_null(v[0] = next_job("mx://b"));
	assert_non_null(v[1] = next_job("mx://b"));
	assert_null(next_job("mx://b")); /* one probe at a time */
	assert_true(v[0]->flush);
	assert_true(v[1]->flush);
	end_defer(v[0]);
	end_defer(v[1]);
	assert_non_null(v[2] = next_job("mx://b"));
	end_ok(v[2]);
}

static void
held_message_waits_for_release(void **state)
{
	struct sched_msg *m = add(1, 2);
	struct sched_job *job;

	q_sched_hold(s, m);
	assert_null(next_job("mx://a"));
	assert_int_equal(q_sched_wake(s), INT64_MAX);
	q_sched_release(s, m, now);
	job = due_job("mx://a");
	assert_int_equal(job->n, 2);
	q_sched_hold(s, m); /* while it is active */
	end_defer(job);
	assert_int_equal(TAILQ_FIRST(&m->rcpts)->state, Q_HELD);
	assert_null(next_job("mx://a"));
	q_sched_forget(s, m);
}

static void
one_dsn_for_all_that_failed_together(void **state)
{
	struct sched_msg *m = add(1, 3);
	struct q_act act;
	struct sched_rcpt *out[8];

	for (int i = 0; i < 2; i++) {
		q_sched_next(s, now, &act);
		assert_int_equal(act.kind, Q_ACT_ASK);
		q_sched_fail(s, act.rcpt, &refused, now);
	}
	q_sched_next(s, now, &act); /* the third may fail as well */
	assert_int_equal(act.kind, Q_ACT_ASK);
	q_sched_defer(s, act.rcpt, &refused, now + MIN);
	q_sched_next(s, now, &act);
	assert_int_equal(act.kind, Q_ACT_DSN);
	assert_int_equal(q_sched_take_failed(s, m, out, 8), 2);
	q_sched_dsn_again(s, out[0], now + SEC);
	q_sched_done(s, out[1]);
	q_sched_next(s, now, &act);
	assert_int_equal(act.kind, Q_ACT_DSN);
	assert_int_equal(q_sched_take_failed(s, m, out, 8), 1);
	q_sched_done(s, out[0]);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	assert_int_equal(m->live, 1);
}

static void
dsn_does_not_wait_long_for_others(void **state)
{
	struct q_act act;

	add(1, 2);
	q_sched_next(s, now, &act);
	q_sched_fail(s, act.rcpt, &refused, now);
	q_sched_next(s, now, &act); /* asked, never answered */
	assert_int_equal(act.kind, Q_ACT_ASK);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	assert_int_equal(q_sched_wake(s), now + Q_DSN_WAIT_MS);
	now += Q_DSN_WAIT_MS;
	assert_int_equal(next("mx://a").kind, Q_ACT_DSN);
}

static void
delay_is_told_once(void **state)
{
	struct q_sched_conf c = conf();
	unsigned warned = 0;

	q_sched_free(&s);
	c.warn_ms = 4 * HOUR;
	start(&c);
	add(1, 3);
	while (now < 1000000 + 2 * DAY) {
		struct q_act act = next("mx://a");

		if (act.kind == Q_ACT_JOB) {
			end_defer(act.job);
		} else if (act.kind == Q_ACT_WARN) {
			assert_int_equal(now, 1000000 + 4 * HOUR);
			warned++;
		} else {
			now = q_sched_wake(s);
		}
	}
	assert_int_equal(warned, 1);
}

static void
start_with_warning(int64_t ms)
{
	struct q_sched_conf c = conf();

	q_sched_free(&s);
	c.warn_ms = ms;
	start(&c);
}

/* Those of its recipients that wait in a line stay there. */
static void
a_warning_passes_no_block(void **state)
{
	start_with_warning(2 * MIN);
	add(1, 1);
	end_unreachable(due_job("mx://a"));
	add(2, 3);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	now += 2 * MIN;
	assert_int_equal(next("mx://a").kind, Q_ACT_WARN);
	assert_int_equal(next("mx://a").kind, Q_ACT_WARN);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	now += 3 * MIN;
	end_ok(due_job("mx://a"));
}

static void
warn_twice(struct sched_msg *m)
{
	assert_int_equal(next("mx://a").kind, Q_ACT_WARN);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	q_sched_warn_again(s, m, now + 10 * SEC);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	assert_int_equal(q_sched_wake(s), now + 10 * SEC);
	now += 10 * SEC;
	assert_int_equal(next("mx://a").kind, Q_ACT_WARN);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	now += MIN;
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
}

/* One that waits for its time, one in a line, and one in a job. */
static void
a_warning_that_failed_comes_again(void **state)
{
	struct sched_job *job;
	struct sched_msg *m;

	start_with_warning(2 * MIN);
	m = add(1, 2);
	end_defer(due_job("mx://a"));
	now += 2 * MIN;
	warn_twice(m);
	q_sched_forget(s, m);
	m = add(2, 2);
	end_unreachable(due_job("mx://a"));
	now += 2 * MIN;
	warn_twice(m);
	q_sched_forget(s, m);
	now += 10 * MIN;
	m = add(3, 1);
	job = due_job("mx://a");
	m->flags |= Q_MF_NOWARN;
	now += 2 * MIN;
	q_sched_warn_again(s, m, now + 10 * SEC);
	assert_int_equal(next("mx://a").kind, Q_ACT_NONE);
	end_defer(job);
	assert_int_equal(next("mx://a").kind, Q_ACT_WARN);
}

static void
jobs_of_a_domain_stay_with_one_worker(void **state)
{
	struct sched_job *v[20];
	unsigned n;

	for (uint64_t id = 1; id <= 20; id++)
		add(id, 1);
	n = jobs_in_flight(v, 20, "mx://a");
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(v[i]->worker, v[0]->worker);
	for (unsigned i = 0; i < n; i++)
		end_ok(v[i]);
	for (uint64_t id = 21; id <= 40; id++)
		add(id, 1);
}

static void
a_busy_smarthost_spills_to_other_workers(void **state)
{
	struct sched_job *v[20];
	unsigned n, at[3] = { 0 };

	for (uint64_t id = 1; id <= 30; id++)
		add(id, 1);
	n = jobs_in_flight(v, 20, "smtp://a");
	for (unsigned i = 0; i < n; i++)
		end_ok(v[i]);
	n = jobs_in_flight(v, 20, "smtp://a");
	assert_int_equal(n, 10);
	for (unsigned i = 0; i < n; i++) {
		at[v[i]->worker]++;
		end_ok(v[i]);
	}
	assert_int_equal(at[0], 5);
	assert_int_equal(at[1], 5);
}

static void
bytes_on_their_way_to_a_worker_are_bounded(void **state)
{
	struct sched_job *v[20];
	unsigned n;

	for (uint64_t id = 1; id <= 5; id++) {
		struct sched_msg *m = q_sched_add(s, id, now,
		    Q_WORKER_BYTES / 2, 0);

		q_sched_rcpt(s, m, 0, now);
	}
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, 2);
	end_ok(v[0]);
	end_ok(v[1]);
	n = jobs_in_flight(v, 20, "mx://a");
	assert_int_equal(n, 2);
	end_ok(v[0]);
	end_ok(v[1]);
}

/* Starts jobs to domains of their own, up to MOST; how many could be. */
static unsigned
fill_worker(struct sched_job **v, unsigned most, const char *kind)
{
	static uint64_t id;
	unsigned n = 0;
	char to[32];

	while (n < most) {
		snprintf(to, sizeof(to), "%s%u.%u", kind, (unsigned)now, n);
		add(++id, 1);
		if ((v[n] = next_job(to)) == NULL)
			break;
		n++;
	}
	return n;
}

/* Destinations that hang, of a worker that has YOUNG jobs and MOST with old
 * ones, up to its bounds. */
static void
makes_place(const char *kind, const char *to, unsigned young, unsigned most)
{
	static struct sched_job *v[Q_WORKER_MOST + 1];
	struct q_sched_conf c = conf();
	unsigned n, more;

	q_sched_free(&s);
	c.workers = 1;
	start(&c);
	n = fill_worker(v, most + 1, kind);
	assert_int_equal(n, young);
	assert_int_equal(q_sched_wake(s), now + Q_OLD_MS);
	end_ok(v[--n]); /* one that is fast */
	v[n++] = next_job(to);
	assert_non_null(v[n - 1]);
	while (n < most) {
		now += Q_OLD_MS - 1;
		assert_null(next_job(to));
		now++;
		more = fill_worker(v + n, most + 1 - n, kind);
		assert_int_not_equal(more, 0);
		n += more;
	}
	assert_int_equal(n, most);
	now += Q_OLD_MS;
	assert_null(next_job(to));
	assert_int_not_equal(q_sched_wake(s), now);
	end_ok(v[0]); /* an old one, a young one */
	end_ok(v[n - 1]);
	assert_non_null(next_job(to));
	assert_non_null(next_job(to));
	assert_null(next_job(to));
}

static void
what_hangs_makes_place(void **state)
{
	makes_place("mx://", "mx://a", Q_WORKER_JOBS, Q_WORKER_MOST);
	makes_place("local:", "local:a", Q_LOCAL_JOBS, Q_LOCAL_MOST);
	assert_true((int)Q_LOCAL_MOST < (int)HB_MAX_HELPERS);
}

static void
nothing_goes_to_what_is_down(void **state)
{
	struct q_act act;
	struct sched_job *job;

	q_sched_router(s, false);
	add(1, 1);
	q_sched_next(s, now, &act);
	assert_int_equal(act.kind, Q_ACT_NONE);
	q_sched_router(s, true);
	q_sched_worker(s, 0, false);
	q_sched_worker(s, 1, false);
	assert_null(next_job("mx://a"));
	q_sched_worker(s, 0, true);
	q_sched_worker(s, 1, true);
	job = due_job("mx://a");
	assert_non_null(job);
	end_ok(job);
}

static void
claimed_recipients_are_not_tried_twice(void **state)
{
	struct sched_msg *m = add(1, 2);
	struct sched_job *claim = q_sched_claim(s, 1, 77), *job;

	assert_true(q_sched_claim_rcpt(s, claim, TAILQ_FIRST(&m->rcpts)));
	assert_false(q_sched_claim_rcpt(s, claim, TAILQ_FIRST(&m->rcpts)));
	assert_ptr_equal(q_sched_job(s, 77), claim);
	job = due_job("mx://a");
	assert_int_equal(job->n, 1);
	assert_int_equal(job->rcpts[0]->idx, 1);
	end_ok(job);
	end_ok(claim);
	assert_null(q_sched_find(s, 1));
}

static void
removed_message_leaves_its_jobs(void **state)
{
	struct sched_msg *m = add(1, 1);
	struct sched_job *job = due_job("mx://a");

	q_sched_forget(s, m);
	assert_null(job->msg);
	assert_null(job->rcpts[0]);
	q_sched_job_end(s, job);
	free(job);
	assert_null(q_sched_find(s, 1));
}

static void
walk_survives_changes(void **state)
{
	uint32_t cursor = 0;
	unsigned n = 0;
	struct sched_msg *m;

	for (uint64_t id = 1; id <= 2000; id++)
		add(id, 1);
	while ((m = q_sched_walk(s, &cursor)) != NULL) {
		n++;
		q_sched_forget(s, m);
	}
	assert_int_equal(n, 2000);
	cursor = 0;
	assert_null(q_sched_walk(s, &cursor));
}

static void
outcomes_that_are_equal_are_kept_once(void **state)
{
	struct q_lasts l = { 0 };
	struct hb_outcome o = refused, back;
	struct q_last *a = q_last_get(&l, &o), *b, *c;

	o.idx = 7;
	o.at_ms = 9;
	b = q_last_get(&l, &o);
	assert_ptr_equal(a, b);
	o.code = 451;
	c = q_last_get(&l, &o);
	assert_ptr_not_equal(a, c);
	q_last_outcome(c, &back);
	assert_int_equal(back.code, 451);
	assert_span(back.text, "later");
	assert_int_equal(l.rows.n, 2);
	q_last_put(&l, &a);
	q_last_put(&l, &b);
	q_last_put(&l, &c);
	assert_int_equal(l.rows.n, 0);
	assert_int_equal(l.bytes, 0);
	q_lasts_free(&l);
}

static void
heap_gives_the_earliest_first(void **state)
{
	struct q_heap h = { 0 };
	struct q_node v[500];
	uint32_t x = 1;
	int64_t before = -1;

	memset(v, 0, sizeof(v));
	for (size_t i = 0; i < 500; i++)
		q_heap_set(&h, &v[i], (x = x * 1103515245 + 12345) >> 16);
	for (size_t i = 0; i < 500; i += 3)
		q_heap_set(&h, &v[i], (x = x * 1103515245 + 12345) >> 16);
	for (size_t i = 0; i < 500; i += 7)
		q_heap_remove(&h, &v[i]);
	assert_int_equal(h.n, 500 - 72);
	while (q_heap_top(&h) != NULL) {
		assert_true(q_heap_top(&h)->key >= before);
		before = q_heap_top(&h)->key;
		q_heap_remove(&h, q_heap_top(&h));
	}
	q_heap_free(&h);
}

/* What a damaged record or a forgotten clock left behind. */
static void
a_start_brings_far_times_back(void **state)
{
	for (int anew = 0; anew <= 1; anew++) {
		struct sched_msg *m = add((uint64_t)anew + 1, 1);
		const struct hb_outcome o = { .result = HB_RESULT_DEFER };
		struct sched_job *job;
		int64_t wake;

		m->arrived_ms = now + 300 * (int64_t)DAY;
		q_sched_tried(s, TAILQ_FIRST(&m->rcpts), 3,
		    now + 300 * (int64_t)DAY, &o);
		q_sched_start(s, now, anew);
		assert_true(q_sched_expires(s, m) <= now + 5 * (int64_t)DAY);
		wake = q_sched_wake(s);
		assert_true(wake <= now + (anew ? 0 : 4 * (int64_t)HOUR));
		now = wake;
		job = due_job("a");
		assert_false(job->final);
		end_ok(job);
	}
}

struct clock_row {
	const char *name;
	struct q_stamp last;
	struct q_clocks now;
	int64_t starts_at; /* queue time, with the shift */
	bool is_known;
};

#define Y2026 (20700 * (int64_t)DAY)
#define Y2060 (33000 * (int64_t)DAY)
/* clang-format off */
static const struct clock_row clock_rows[] = {
	{ "new spool", { 0, 0, 0 }, { Y2026, 7, 0 }, Y2026, true },
	{ "new spool, before 1970", { 0, 0, 0 }, { -5, 7, 0 }, 1, true },
	{ "new spool in a lab", { 0, 0, 0 }, { Y2026, 7, DAY },
	    Y2026 + DAY, true },
	{ "an hour down", { Y2026, 0, 0 }, { Y2026 + HOUR, 7, 0 },
	    Y2026 + HOUR, true },
	{ "the most", { Y2026, 0, 0 }, { Y2026 + DAY, 7, 0 },
	    Y2026 + DAY, true },
	{ "longer", { Y2026, 0, 0 }, { Y2026 + DAY + 1, 7, 0 },
	    Y2026, false },
	{ "set back a little", { Y2026, 0, 0 }, { Y2026 - HOUR, 7, 0 },
	    Y2026, true },
	{ "set back", { Y2026, 0, 0 }, { Y2026 - HOUR - 1, 7, 0 },
	    Y2026, false },
	{ "1970 now", { Y2026, 0, 0 }, { DAY, 7, 0 }, Y2026, false },
	{ "2060 now", { Y2026, 0, 0 }, { Y2060, 7, 0 }, Y2026, false },
	{ "2060 all along", { Y2026, Y2060 - Y2026, 0 },
	    { Y2060 + HOUR, 7, 0 }, Y2026 + HOUR, true },
	{ "2060 no more", { Y2026, Y2060 - Y2026, 0 }, { Y2026, 7, 0 },
	    Y2026, false },
	{ "advanced while down", { Y2026, 0, 0 },
	    { Y2026 + HOUR, 7, 9 * (int64_t)DAY },
	    Y2026 + HOUR + 9 * (int64_t)DAY, true },
	{ "advanced before", { Y2026 + 9 * (int64_t)DAY, 0,
	    9 * (int64_t)DAY }, { Y2026 + HOUR, 7, 9 * (int64_t)DAY },
	    Y2026 + HOUR + 9 * (int64_t)DAY, true },
	{ "cannot be", { INT64_MAX, 0, 0 }, { Y2026, 7, 0 }, Y2026, true },
	{ "cannot be either", { Y2026, INT64_MIN, 0 }, { Y2026, 7, 0 },
	    Y2026, true },
};
/* clang-format on */

static void
queue_time_goes_on_where_it_was(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(clock_rows); i++) {
		const struct clock_row *r = &clock_rows[i];
		struct q_stamp old = { 5, 0, 0 };
		struct q_clock c = { 0 };
		bool is_known;

		q_clock_note(&c, &r->last);
		if (c.last.at_ms != 0)
			q_clock_note(&c, &old);
		is_known = q_clock_start(&c, &r->now, DAY);
		if (is_known != r->is_known ||
		    q_clock_stamp(&c, &r->now).at_ms != r->starts_at)
			fail_msg("%s", r->name);
	}
}

/* A jump moves the stamp's date, not its time. */
static void
queue_time_is_monotonic(void **state)
{
	struct q_clocks now_is = { Y2026, 1000, 0 };
	struct q_clock c = { 0 };
	struct q_stamp st;

	assert_true(q_clock_start(&c, &now_is, DAY));
	now_is = (struct q_clocks){ Y2060, 3000, 0 };
	st = q_clock_stamp(&c, &now_is);
	assert_int_equal(st.at_ms, Y2026 + 2000);
	assert_int_equal(st.off_ms, Y2060 - Y2026 - 2000);
	now_is.ahead_ms = DAY;
	st = q_clock_stamp(&c, &now_is);
	assert_int_equal(st.at_ms, Y2026 + 2000 + DAY);
	assert_int_equal(st.off_ms, Y2060 - Y2026 - 2000);
}

/* Every step on one recipient looks at no other: with 200000 of them, most of
 * which wait, the square of that would be hours. */
static void
test_A_2_one_of_many_recipients_costs_as_one_of_few(void **state)
{
	enum { N = 200000, BATCH = 500 };
	static const struct hb_outcome no = { .result = HB_RESULT_FAIL };
	struct sched_msg *m = add(1, N);
	struct sched_rcpt *out[BATCH];
	uint32_t last = 0;
	size_t n;

	for (uint32_t i = N; i-- > N / 2;)
		q_sched_fail(s, q_sched_find_rcpt(m, i), &no, now);
	while ((n = q_sched_take_failed(s, m, out, BATCH)) > 0) {
		last = out[0]->idx;
		for (size_t i = 0; i < n; i++) {
			assert_true(i == 0 || out[i]->idx == last + 1);
			last = out[i]->idx;
			q_sched_done(s, out[i]);
		}
	}
	assert_int_equal(m->live, N / 2);
	for (uint32_t i = N / 2; i-- > 1;)
		q_sched_done(s, q_sched_find_rcpt(m, i));
	assert_int_equal(q_sched_next_rcpt(m, 0)->idx, 0);
	assert_null(q_sched_next_rcpt(m, 1));
	assert_null(q_sched_find_rcpt(m, N / 2));
	assert_null(q_sched_find_rcpt(m, N * 4));
}

/* Failed ones stand in front inside, and where they were for who asks. */
static void
recipients_are_walked_in_order_of_their_numbers(void **state)
{
	static const struct hb_outcome no = { .result = HB_RESULT_FAIL };

	for (unsigned n = 3; n < 100; n += 40) {
		struct sched_msg *m = add(n, n);
		uint32_t at = 0;
		struct sched_rcpt *r;

		q_sched_fail(s, q_sched_find_rcpt(m, 1), &no, now);
		q_sched_done(s, q_sched_find_rcpt(m, 0));
		for (at = 1; (r = q_sched_next_rcpt(m, at)) != NULL; at++)
			assert_int_equal(r->idx, at);
		assert_int_equal(at, n);
	}
}

/* After a restart all are due at once: one call moves a part of them. */
static void
test_A_2_many_become_due_in_parts(void **state)
{
	struct q_sched_stats st;
	struct q_act act;
	unsigned calls = 0, moved = 0;

	add(1, 50000);
	q_sched_router(s, false);
	do {
		q_sched_next(s, now, &act);
		assert_int_equal(act.kind, Q_ACT_NONE);
		assert_true(act.moved < 10000);
		moved += act.moved;
		q_sched_stats(s, &st);
		assert_int_equal(st.state[Q_DUE], moved);
		assert_true(moved == 50000 || q_sched_wake(s) <= now);
		calls++;
	} while (act.moved > 0);
	assert_int_equal(moved, 50000);
	assert_true(calls > 5);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_A_2_many_become_due_in_parts),
		T(test_F_23_backoff_doubles_and_is_never_early),
		T(five_days_of_retries_end_with_a_final_attempt),
		T(recipients_of_a_message_travel_together_a_hundred_at_most),
		T(no_destination_starves_another),
		T(window_grows_on_success_and_halves_on_trouble),
		T(unreachable_destination_is_probed_by_one_and_then_let_go),
		T(host_memory_bounds_how_long_a_destination_is_left_alone),
		T(lifetime_ends_behind_an_unreachable_destination_too),
		T(who_waits_in_a_line_is_in_no_job),
		T(flush_tries_each_that_waits_now),
		T(held_message_waits_for_release),
		T(one_dsn_for_all_that_failed_together),
		T(dsn_does_not_wait_long_for_others),
		T(delay_is_told_once),
		T(a_warning_passes_no_block),
		T(a_warning_that_failed_comes_again),
		T(a_start_brings_far_times_back),
		T(queue_time_goes_on_where_it_was),
		T(queue_time_is_monotonic),
		T(jobs_of_a_domain_stay_with_one_worker),
		T(a_busy_smarthost_spills_to_other_workers),
		T(bytes_on_their_way_to_a_worker_are_bounded),
		T(what_hangs_makes_place),
		T(nothing_goes_to_what_is_down),
		T(claimed_recipients_are_not_tried_twice),
		T(removed_message_leaves_its_jobs),
		T(walk_survives_changes),
		T(outcomes_that_are_equal_are_kept_once),
		T(test_A_2_one_of_many_recipients_costs_as_one_of_few),
		T(recipients_are_walked_in_order_of_their_numbers),
		T(heap_gives_the_earliest_first),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
