/*
 * Jobs of queue: received, attempted, answered.  Results are kept until queue
 * confirms that they are durable, so that a queue that restarts in between gets
 * them again.
 *
 * What queue has to be told is told in slices, and no more than its channel
 * holds: many long jobs may end together, or be kept for a new queue.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/base/table.h"

enum {
	MAX_RCPTS = 100000,
	MAX_OUTCOME = 4096,
	TELL_TURN = 500,	/* recipients; then others have their turn */
	TELL_WAITING = 8 << 20	/* half of a channel, whose end is told */
};

enum job_state { J_GATHERING, J_RUNNING, J_FINISHED };

struct dlv_job {
	UT_hash_handle hh; /* by number, those of this queue */
	LIST_ENTRY(dlv_job) link; /* those of earlier queues */
	TAILQ_ENTRY(dlv_job) of_untold;
	bool is_untold;
	size_t told; /* recipients of it */
	uint32_t number;
	enum job_state state;
	struct dlv_jobs *jobs;
	struct hb_arena *arena;
	struct hb_span route, domain;
	struct hb_env env;
	bool final, flush;
	struct dlv_rcpt *rcpt;
	size_t nrcpt, room;
	struct hb_buf body;
	int fd; /* large body, or -1 */
	struct dlv_task task;
	/* FINISHED */
	struct hb_buf *results; /* encoded outcomes, nrcpt of them */
	bool unreachable;
	enum hb_reason reason;
};

struct dlv_jobs {
	struct dlv_worker *worker;
	struct dlv_job *table;
	LIST_HEAD(, dlv_job) old;
	TAILQ_HEAD(, dlv_job) untold; /* to queue: claims and results */
	bool claiming; /* CLAIMS_END follows them */
	struct hb_hook *hook;	 /* of untold, and for what one turn leaves */
	struct hb_timer *timer;
	size_t running;
};

static struct dlv_job *
find(struct dlv_jobs *s, uint32_t number)
{
	struct dlv_job *j;

	HASH_FIND(hh, s->table, &number, sizeof(number), j);
	return j;
}

/* Frees what a finished job needs no more. */
static void
drop_input(struct dlv_job *j)
{
	dlv_task_stop(&j->task);
	hb_buf_free(&j->body);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}

static void
set_told(struct dlv_job *j)
{
	if (j->is_untold)
		TAILQ_REMOVE(&j->jobs->untold, j, of_untold);
	j->is_untold = false;
}

static void
free_job(struct dlv_job *j)
{
	set_told(j);
	if (j->state == J_RUNNING)
		j->jobs->running--;
	drop_input(j);
	for (size_t i = 0; j->results != NULL && i < j->nrcpt; i++)
		hb_buf_free(&j->results[i]);
	free(j->results);
	free(j->rcpt);
	hb_arena_free(&j->arena);
	free(j);
}

/* --- results --- */

static void
keep_results(struct dlv_job *j)
{
	const struct sts_policy_ref *ref = j->task.ref;

	j->results = hb_calloc(j->nrcpt, sizeof(*j->results));
	for (size_t i = 0; i < j->nrcpt; i++) {
		struct hb_outcome o = *dlv_attempt_outcome(j->task.attempt, i);

		o.idx = j->rcpt[i].idx;
		o.policy_id = ref != NULL ? ref->id : HB_SPAN_NONE;
		j->results[i].max = MAX_OUTCOME;
		if (hb_tlv_encode(&hb_outcome_record, &o, &j->results[i]) < 0)
			HB_BUG("an outcome does not fit its record");
	}
	j->unreachable = dlv_attempt_unreachable(j->task.attempt);
	j->reason = dlv_attempt_problem(j->task.attempt)->reason;
}

static void
tell_result(const struct dlv_job *j, size_t i, struct hb_peer *queue)
{
	struct ipc_job_result m = { .job = j->number, .id = j->env.id,
		.outcome = hb_buf_span(&j->results[i]) };

	hb_peer_post(queue, HB_IPC_JOB_RESULT, &m, -1);
}

static void
tell_claim(const struct dlv_job *j, size_t i, struct hb_peer *queue)
{
	struct ipc_job_claim m = { .job = j->number, .id = j->env.id,
		.idx = j->rcpt[i].idx };

	hb_peer_post(queue, HB_IPC_JOB_CLAIM, &m, -1);
}

/* At most N recipients of J; how many they were. */
static size_t
tell_job(struct dlv_job *j, size_t n, struct hb_peer *queue)
{
	struct ipc_job_done done = { .job = j->number,
		.unreachable = j->unreachable, .reason = j->reason };
	size_t end = j->nrcpt - j->told > n ? j->told + n : j->nrcpt;
	size_t begin = j->told;

	for (; j->told < end; j->told++)
		(j->state == J_FINISHED ? tell_result : tell_claim)(j, j->told,
		    queue);
	if (j->told < j->nrcpt)
		return n;
	set_told(j);
	if (j->state == J_FINISHED)
		hb_peer_post(queue, HB_IPC_JOB_DONE, &done, -1);
	return end - begin;
}

static void
tell_some(void *ctx)
{
	struct dlv_jobs *s = ctx;
	struct dlv_worker *w = s->worker;
	struct hb_peer *queue = hb_role_peer(w->env, HB_ROLE_QUEUE, 0);
	struct ipc_claims_end end = { .nofield_ = 0 };
	struct dlv_job *j = NULL;
	size_t n = 0;

	while (queue != NULL && (j = TAILQ_FIRST(&s->untold)) != NULL &&
	    n < TELL_TURN && hb_peer_pending(queue) <= TELL_WAITING)
		n += tell_job(j, TELL_TURN - n, queue);
	if (j != NULL && n >= TELL_TURN)
		hb_timer_set(s->timer, 0);
	if (queue != NULL && j == NULL && s->claiming) {
		s->claiming = false;
		hb_peer_post(queue, HB_IPC_CLAIMS_END, &end, -1);
	}
	if (w->stopping && dlv_jobs_are_over(s))
		dlv_worker_idle(w);
}

/* From its first recipient on. */
static void
set_untold(struct dlv_job *j)
{
	set_told(j);
	j->told = 0;
	j->is_untold = true;
	TAILQ_INSERT_TAIL(&j->jobs->untold, j, of_untold);
	hb_hook_arm(j->jobs->hook);
}

static void
on_task_done(struct dlv_task *t)
{
	struct dlv_job *j = (struct dlv_job *)(void *)((char *)t -
	    offsetof(struct dlv_job, task));

	keep_results(j);
	drop_input(j);
	j->state = J_FINISHED;
	j->jobs->running--;
	set_untold(j);
}

/* --- frames of queue --- */

void
dlv_on_job(struct dlv_worker *w, struct hb_peer *p, const struct ipc_job *m)
{
	struct dlv_jobs *s = w->jobs;
	struct dlv_job *j;
	struct hb_span rec;

	if (find(s, m->job) != NULL) {
		hb_peer_violation(p, "job number in use");
		return;
	}
	j = HB_NEW(struct dlv_job);
	j->number = m->job;
	j->jobs = s;
	j->fd = -1;
	j->arena = hb_arena_new();
	j->body = HB_BUF_INIT(HB_MAX_JOB_BYTES);
	j->route = hb_arena_span(j->arena, m->route);
	j->domain = hb_arena_span(j->arena, m->domain);
	j->final = m->final;
	j->flush = m->flush;
	j->task.worker = s->worker;
	j->task.done = on_task_done;
	rec = hb_arena_span(j->arena, m->env);
	HASH_ADD(hh, s->table, number, sizeof(j->number), j);
	if (hb_tlv_decode(&hb_env_record, rec, &j->env) < 0)
		hb_peer_violation(p, "damaged envelope");
}

/* The job that is being gathered under NUMBER; else the frame is wrong. */
static struct dlv_job *
gathering(struct dlv_worker *w, struct hb_peer *p, uint32_t number)
{
	struct dlv_job *j = find(w->jobs, number);

	if (j != NULL && j->state == J_GATHERING)
		return j;
	hb_peer_violation(p, "no such job is being gathered");
	return NULL;
}

static void
add_room(struct dlv_job *j)
{
	if (j->nrcpt < j->room)
		return;
	j->room = j->room == 0 ? 4 : j->room * 2;
	j->rcpt = hb_realloc(j->rcpt, j->room * sizeof(*j->rcpt));
}

void
dlv_on_job_rcpt(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_job_rcpt *m)
{
	struct dlv_job *j = gathering(w, p, m->job);
	struct hb_rcpt r;

	if (j == NULL)
		return;
	if (j->nrcpt >= MAX_RCPTS ||
	    hb_tlv_decode(&hb_rcpt_record, m->rcpt, &r) < 0) {
		hb_peer_violation(p, "damaged recipient");
		return;
	}
	add_room(j);
	j->rcpt[j->nrcpt++] = (struct dlv_rcpt){ .idx = r.idx,
		.address = hb_arena_span(j->arena, r.address),
		.orcpt = hb_arena_span(j->arena, r.orcpt),
		.notify = r.notify };
}

void
dlv_on_job_body(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_job_body *m)
{
	struct dlv_job *j = gathering(w, p, m->job);

	if (j != NULL && hb_buf_put(&j->body, m->bytes) < 0)
		hb_peer_violation(p, "body too long for its frames");
}

void
dlv_on_job_file(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_job_file *m, int fd)
{
	struct dlv_job *j = gathering(w, p, m->job);

	if (j == NULL || j->fd >= 0) {
		close(fd);
		return;
	}
	j->fd = fd;
}

void
dlv_on_job_start(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_job_start *m)
{
	struct dlv_job *j = gathering(w, p, m->job);
	struct dlv_params order;
	struct dlv_body body;

	if (j == NULL)
		return;
	if (j->nrcpt == 0) {
		hb_peer_violation(p, "job without recipient");
		return;
	}
	if (j->env.head > j->env.size) {
		hb_peer_violation(p, "header section longer than its message");
		return;
	}
	order = (struct dlv_params){ .mode = DLV_SEND, .route = j->route,
		.domain = j->domain, .env = &j->env, .rcpt = j->rcpt,
		.nrcpt = j->nrcpt, .final = j->final, .flush = j->flush };
	body = (struct dlv_body){ .bytes = hb_buf_span(&j->body),
		.fd = j->fd, .len = j->fd >= 0 ? j->env.size - j->env.head : 0 };
	j->state = J_RUNNING;
	j->jobs->running++;
	dlv_task_start(&j->task, &order, &body);
}

void
dlv_on_job_ack(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_job_ack *m)
{
	struct dlv_jobs *s = w->jobs;
	struct dlv_job *j = find(s, m->job);

	if (j != NULL && j->state == J_FINISHED) {
		HASH_DEL(s->table, j);
		free_job(j);
		return;
	}
	LIST_FOREACH(j, &s->old, link) {
		if (j->number != m->job || j->state != J_FINISHED)
			continue;
		LIST_REMOVE(j, link);
		free_job(j);
		return;
	}
}

/* --- a new queue --- */

/* Jobs of the queue before this one have numbers that may come again. */
static void
retire_all(struct dlv_jobs *s)
{
	struct dlv_job *j, *next;

	HASH_ITER(hh, s->table, j, next) {
		HASH_DEL(s->table, j);
		if (j->state == J_GATHERING) {
			free_job(j);
			continue;
		}
		LIST_INSERT_HEAD(&s->old, j, link);
	}
}

void
dlv_jobs_queue_up(struct dlv_jobs *s)
{
	struct dlv_job *j;

	retire_all(s);
	LIST_FOREACH(j, &s->old, link)
		set_untold(j);
	s->claiming = true;
	hb_hook_arm(s->hook);
}

void
dlv_jobs_queue_drained(struct dlv_jobs *s)
{
	tell_some(s);
}

/* --- life --- */

struct dlv_jobs *
dlv_jobs_new(struct dlv_worker *w)
{
	struct dlv_jobs *s = HB_NEW(struct dlv_jobs);

	s->worker = w;
	TAILQ_INIT(&s->untold);
	s->hook = hb_hook_new(w->env->loop, tell_some, s);
	s->timer = hb_timer_new(w->env->loop, tell_some, s);
	return s;
}

void
dlv_jobs_free(struct dlv_jobs **sp)
{
	struct dlv_jobs *s = *sp;
	struct dlv_job *j;

	if (s == NULL)
		return;
	retire_all(s);
	while ((j = LIST_FIRST(&s->old)) != NULL) {
		LIST_REMOVE(j, link);
		free_job(j);
	}
	hb_hook_free(&s->hook);
	hb_timer_free(&s->timer);
	free(s);
	*sp = NULL;
}

size_t
dlv_jobs_running(const struct dlv_jobs *s)
{
	return s->running;
}

bool
dlv_jobs_are_over(const struct dlv_jobs *s)
{
	return s->running == 0 && (TAILQ_EMPTY(&s->untold) ||
	    hb_role_peer(s->worker->env, HB_ROLE_QUEUE, 0) == NULL);
}
