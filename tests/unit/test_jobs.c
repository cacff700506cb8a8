/*
 * Jobs of a delivery worker: what queue is told of them, and when.  Attempts
 * are played: they end when the test says so.
 */
#include "unit.h"

#include <sys/socket.h>

#include "common/io/peer.h"
#include "delivery/role/main.h"

enum { JOBS = 400, RCPTS = 100, SLICE = 500, OCTETS = 500 };

struct world {
	struct hb_loop *loop;
	struct hb_timer *timer;
	struct hb_role_env env;
	struct hb_conf conf;
	struct dlv_worker worker;
	struct hb_peer *queue, *other; /* ours, and queue's end of it */
	struct dlv_task *task[JOBS];
	size_t ntasks;
	size_t results, claims, done, ends; /* as queue has them */
	size_t since; /* results of this job */
	bool lost, idle;
};
static struct world *world;
static char long_text[OCTETS];

/* --- what is played --- */

struct hb_peer *
hb_role_peer(const struct hb_role_env *env, enum hb_role role, unsigned instance)
{
	return world->queue;
}

void
dlv_worker_idle(struct dlv_worker *w)
{
	world->idle = true;
}

void
dlv_task_start(struct dlv_task *t, const struct dlv_params *order,
    const struct dlv_body *body)
{
	world->task[world->ntasks++] = t;
}

void
dlv_task_stop(struct dlv_task *t)
{
}

const struct hb_outcome *
dlv_attempt_outcome(const struct dlv_attempt *a, size_t i)
{
	static struct hb_outcome o = { .result = HB_RESULT_OK,
		.status = HB_SPAN("2.0.0") };

	o.text = hb_span_str(long_text);
	return &o;
}

bool
dlv_attempt_unreachable(const struct dlv_attempt *a)
{
	return false;
}

const struct hb_outcome *
dlv_attempt_problem(const struct dlv_attempt *a)
{
	static const struct hb_outcome none;

	return &none;
}

/* --- queue's end --- */

static bool
on_queue(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	struct world *w = ctx;

	if (type == HB_IPC_JOB_RESULT) {
		w->results++;
		w->since++;
	} else if (type == HB_IPC_JOB_CLAIM) {
		w->claims++;
	} else if (type == HB_IPC_JOB_DONE) {
		assert_int_equal(w->since, RCPTS);
		w->since = 0;
		w->done++;
	} else if (type == HB_IPC_CLAIMS_END) {
		w->ends++;
		hb_peer_set_state(p, HB_CHANNEL_SERVING);
	}
	return true;
}

static bool
on_frame(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	return false;
}

static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct world *w = ctx;

	w->lost = true;
}

static void
on_drain(void *ctx, struct hb_peer *p)
{
	struct world *w = ctx;

	dlv_jobs_queue_drained(w->worker.jobs);
}

/* --- the world --- */

static void
stop(void *ctx)
{
	struct world *w = ctx;

	hb_loop_stop(w->loop);
}

static void
pump(struct world *w, int64_t ms)
{
	hb_timer_set(w->timer, ms);
	assert_int_equal(hb_loop_run(w->loop), 0);
}

static void
new_queue(struct world *w)
{
	static const struct hb_peer_ops ours = { .on = on_frame,
		.on_close = on_close, .on_drain = on_drain };
	static const struct hb_peer_ops theirs = { .on = on_queue,
		.on_close = on_close };
	int fd[2];

	hb_peer_free(&w->queue);
	hb_peer_free(&w->other);
	assert_int_equal(socketpair(AF_UNIX,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	w->queue = hb_peer_new(w->loop, fd[0], HB_ROLE_DELIVERY,
	    HB_ROLE_QUEUE, 0, &ours, w);
	w->other = hb_peer_new(w->loop, fd[1], HB_ROLE_QUEUE,
	    HB_ROLE_DELIVERY, 0, &theirs, w);
	hb_peer_set_state(w->other, HB_CHANNEL_CLAIMING);
	w->results = w->claims = w->done = w->ends = w->since = 0;
	dlv_jobs_queue_up(w->worker.jobs);
}

static void
give_job(struct world *w, uint32_t no)
{
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_env env = { .id = no };
	struct ipc_job job = { .job = no, .route = HB_SPAN("smtp:mx.example"),
		.domain = HB_SPAN("example.org") };
	struct ipc_job_start start = { .job = no };

	assert_true(hb_tlv_encode(&hb_env_record, &env, &rec) >= 0);
	job.env = hb_buf_span(&rec);
	dlv_on_job(&w->worker, w->queue, &job);
	for (uint32_t i = 0; i < RCPTS; i++) {
		struct hb_rcpt r = { .idx = i,
			.address = HB_SPAN("someone@example.org") };
		struct ipc_job_rcpt m = { .job = no };

		hb_buf_clear(&rec);
		assert_true(hb_tlv_encode(&hb_rcpt_record, &r, &rec) >= 0);
		m.rcpt = hb_buf_span(&rec);
		dlv_on_job_rcpt(&w->worker, w->queue, &m);
	}
	hb_buf_free(&rec);
	dlv_on_job_start(&w->worker, w->queue, &start);
}

static int
setup(void **state)
{
	struct world *w = HB_NEW(struct world);

	world = *state = w;
	memset(long_text, 0, sizeof(long_text));
	w->loop = hb_loop_new();
	w->timer = hb_timer_new(w->loop, stop, w);
	w->env.loop = w->loop;
	w->worker.env = &w->env;
	w->worker.jobs = dlv_jobs_new(&w->worker);
	new_queue(w);
	pump(w, 10);
	assert_int_equal(w->ends, 1);
	for (uint32_t i = 0; i < JOBS; i++)
		give_job(w, i + 1);
	assert_int_equal(w->ntasks, JOBS);
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	dlv_jobs_free(&w->worker.jobs);
	hb_peer_free(&w->queue);
	hb_peer_free(&w->other);
	hb_timer_free(&w->timer);
	hb_loop_free(&w->loop);
	free(w);
	return 0;
}

static void
end_all(struct world *w)
{
	for (size_t i = 0; i < w->ntasks; i++)
		w->task[i]->done(w->task[i]);
}

/* What one turn of ours sends, which queue does not read, is a slice. */
static void
one_turn_sends_a_slice(struct world *w)
{
	hb_peer_pause(w->other, true);
	pump(w, 0);
	hb_peer_pause(w->other, false);
	hb_peer_flush(w->queue, 0);
}

static void
all_arrive(struct world *w)
{
	for (int i = 0; i < 500 && w->done + w->claims / RCPTS < JOBS; i++)
		pump(w, 10);
	pump(w, 10);
	assert_false(w->lost);
}

/* --- tests --- */

static void
test_A_37_results_go_out_in_slices(void **state)
{
	struct world *w = *state;
	size_t told;

	end_all(w);
	one_turn_sends_a_slice(w);
	told = w->results;
	pump(w, 0);
	assert_in_range(w->results, told, told + 2 * SLICE);
	assert_true(w->results < JOBS * RCPTS);
	all_arrive(w);
	assert_int_equal(w->results, JOBS * RCPTS);
	assert_int_equal(w->done, JOBS);
}

/* A queue that is busy gets what its channel holds, and loses nothing. */
static void
test_A_37_results_wait_for_a_busy_queue(void **state)
{
	struct world *w = *state;

	memset(long_text, 'x', sizeof(long_text) - 1);
	end_all(w);
	hb_peer_pause(w->other, true);
	pump(w, 300);
	assert_false(w->lost);
	assert_int_equal(w->results, 0);
	hb_peer_pause(w->other, false);
	all_arrive(w);
	assert_int_equal(w->results, JOBS * RCPTS);
	assert_int_equal(w->done, JOBS);
}

/* Some ended, some still run, and queue died while it heard of them. */
static void
test_A_37_a_new_queue_hears_of_all(void **state)
{
	struct world *w = *state;

	w->ntasks = JOBS / 2;
	end_all(w);
	pump(w, 0);
	new_queue(w);
	pump(w, 0);
	assert_int_equal(w->ends, 0);
	new_queue(w);
	all_arrive(w);
	assert_int_equal(w->results, JOBS / 2 * RCPTS);
	assert_int_equal(w->done, JOBS / 2);
	assert_int_equal(w->claims, JOBS / 2 * RCPTS);
	assert_int_equal(w->ends, 1);
}

/* Who ends while his claims go out is told once more, with his results. */
static void
test_A_37_a_claimed_job_that_ends_is_told(void **state)
{
	struct world *w = *state;

	new_queue(w);
	pump(w, 0);
	end_all(w);
	for (int i = 0; i < 500 && w->done < JOBS; i++)
		pump(w, 0);
	assert_int_equal(w->ends, 1);
	assert_int_equal(w->results, JOBS * RCPTS);
	assert_int_equal(w->done, JOBS);
}

/* A role that stops goes when queue knows all of it. */
static void
test_A_37_the_stop_waits_for_what_is_untold(void **state)
{
	struct world *w = *state;

	w->worker.stopping = true;
	end_all(w);
	assert_false(dlv_jobs_are_over(w->worker.jobs));
	for (int i = 0; i < 500 && !w->idle; i++)
		pump(w, 0);
	pump(w, 10);
	assert_int_equal(w->done, JOBS);
	assert_true(dlv_jobs_are_over(w->worker.jobs));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_A_37_results_go_out_in_slices, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_A_37_results_wait_for_a_busy_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_A_37_a_new_queue_hears_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_A_37_a_claimed_job_that_ends_is_told, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(
		    test_A_37_the_stop_waits_for_what_is_untold, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
