/* The scheduler: destinations, their lines and windows, jobs.  Floor 2. */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "queue/sched/sched-priv.h"

#define OF_NODE(n)                                                             \
	((struct sched_dest *)(void *)((char *)(n)-offsetof(                   \
	    struct sched_dest, node)))

static uint16_t
home_of(const struct q_sched *s, const struct q_route *r)
{
	unsigned n = s->conf.workers;

	if (r->local || n == 0)
		return (uint16_t)n;
	return (uint16_t)hb_home_worker(r->domain, n);
}

static struct sched_dest *
dest_new(struct q_sched *s, const struct q_route *r, uint64_t hash)
{
	struct sched_dest *d =
	    hb_calloc(1, sizeof(*d) + r->key.n + r->domain.n);
	unsigned max = s->conf.max_connections;

	memcpy(d->text, r->key.p, r->key.n);
	if (r->domain.n > 0)
		memcpy(d->text + r->key.n, r->domain.p, r->domain.n);
	TAILQ_INIT(&d->line);
	TAILQ_INIT(&d->urgent);
	d->key_n = (uint32_t)r->key.n;
	d->route_n = (uint32_t)r->route_n;
	d->domain_n = (uint32_t)r->domain.n;
	d->rcpts_n = (uint32_t)r->rcpts_n;
	d->home = home_of(s, r);
	d->local = r->local;
	d->spread = r->spread;
	d->window = max < Q_FIRST_WINDOW ? max : Q_FIRST_WINDOW;
	hb_rows_add(&s->dests, d, hash);
	return d;
}

static struct sched_dest *
dest_get(struct q_sched *s, const struct q_route *r)
{
	uint64_t hash = hb_siphash(s->conf.key, r->key);
	struct sched_dest *d = hb_rows_find(&s->dests, hash);

	while (d != NULL && !hb_span_eq(hb_span(d->text, d->key_n), r->key))
		d = hb_rows_same(d);
	return d != NULL ? d : dest_new(s, r, hash);
}

struct hb_span
sched_dest_route(const struct sched_dest *d)
{
	return hb_span(d->text, d->route_n);
}

struct hb_span
sched_dest_domain(const struct sched_dest *d)
{
	return hb_span(d->text + d->key_n, d->domain_n);
}

struct hb_span
sched_dest_rcpts_domain(const struct sched_dest *d)
{
	return d->rcpts_n > 0
	    ? hb_span(d->text + d->key_n - d->rcpts_n, d->rcpts_n)
	    : sched_dest_domain(d);
}

/* The round of a worker: destinations that may have a job for it. */

static void
round_leave(struct q_sched *s, struct sched_dest *d)
{
	struct q_worker *w = &s->workers[d->home];

	if (d->in_round)
		TAILQ_REMOVE(&w->round, d, round);
	d->in_round = false;
}

static uint32_t
window_of(const struct sched_dest *d)
{
	return d->local ? Q_LOCAL_WINDOW : d->fails > 0 ? 1 : d->window;
}

static bool
is_blocked(const struct sched_dest *d)
{
	return d->node.pos != 0;
}

/* Recipients of D that may go now; NULL: none. */
static struct q_line *
line_of(struct sched_dest *d)
{
	if (!TAILQ_EMPTY(&d->urgent))
		return &d->urgent;
	if (!TAILQ_EMPTY(&d->line) && !is_blocked(d))
		return &d->line;
	return NULL;
}

static void
activate(struct q_sched *s, struct sched_dest *d)
{
	if (line_of(d) == NULL || d->active >= window_of(d)) {
		round_leave(s, d);
		return;
	}
	if (!d->in_round)
		TAILQ_INSERT_TAIL(&s->workers[d->home].round, d, round);
	d->in_round = true;
}

static void
dest_free(struct q_sched *s, struct sched_dest *d)
{
	hb_rows_remove(&s->dests, d);
	round_leave(s, d);
	q_heap_remove(&s->blocks, &d->node);
	q_last_put(&s->lasts, &d->last);
	free(d);
}

/* A destination without recipients is kept while its block is news. */
static void
maybe_free(struct q_sched *s, struct sched_dest *d)
{
	if (d->refs == 0 && d->active == 0 && !is_blocked(d))
		dest_free(s, d);
	else
		activate(s, d);
}

static void
line_leave(struct sched_rcpt *r)
{
	struct sched_dest *d = r->dest;

	if (r->state == Q_READY && (r->flags & Q_RF_URGENT) != 0)
		TAILQ_REMOVE(&d->urgent, r, line);
	else if (r->state == Q_READY)
		TAILQ_REMOVE(&d->line, r, line);
	r->flags &= (uint8_t)~Q_RF_URGENT;
}

void
sched_dest_join(struct q_sched *s, struct sched_rcpt *r, bool urgent)
{
	struct sched_dest *d = r->dest;

	line_leave(r);
	q_set_state(s, r, Q_READY);
	if (urgent) {
		TAILQ_INSERT_TAIL(&d->urgent, r, line);
		r->flags |= Q_RF_URGENT;
		q_heap_remove(&s->times, &r->node);
	} else {
		TAILQ_INSERT_TAIL(&d->line, r, line);
		q_set_due(s, r);
	}
	activate(s, d);
}

void
sched_dest_leave(struct q_sched *s, struct sched_rcpt *r)
{
	struct sched_dest *d = r->dest;

	line_leave(r);
	r->dest = NULL;
	d->refs--;
	maybe_free(s, d);
}

void
q_sched_route(struct q_sched *s, struct sched_rcpt *r,
    const struct q_route *route, int64_t now_ms)
{
	if ((r->msg->flags & Q_MF_HELD) != 0) {
		q_set_state(s, r, Q_HELD);
		return;
	}
	r->dest = dest_get(s, route);
	r->dest->refs++;
	sched_dest_join(s, r, (r->flags & Q_RF_FLUSH) != 0 ||
	    now_ms >= q_sched_expires(s, r->msg));
}

void
sched_dest_unblock_due(struct q_sched *s, int64_t now_ms)
{
	struct q_node *top;

	while ((top = q_heap_top(&s->blocks)) != NULL && top->key <= now_ms) {
		q_heap_remove(&s->blocks, top);
		maybe_free(s, OF_NODE(top));
	}
}

void
sched_dest_free_all(struct q_sched *s)
{
	struct sched_dest *d = hb_rows_next(&s->dests, NULL), *after;
	struct sched_job *j = hb_rows_next(&s->jobs, NULL), *next;

	for (; d != NULL; d = after) {
		after = hb_rows_next(&s->dests, d);
		dest_free(s, d);
	}
	hb_rows_free(&s->dests);
	for (; j != NULL; j = next) {
		next = hb_rows_next(&s->jobs, j);
		free(j);
	}
	hb_rows_free(&s->jobs);
}

/* --- workers --- */

void
q_sched_worker(struct q_sched *s, unsigned worker, bool usable)
{
	if (worker <= s->conf.workers)
		s->workers[worker].usable = usable;
}

/* Local helpers are a worker with bounds of its own. */
static unsigned
young_most(const struct q_sched *s, unsigned i)
{
	return i == s->conf.workers ? Q_LOCAL_JOBS : Q_WORKER_JOBS;
}

static unsigned
jobs_most(const struct q_sched *s, unsigned i)
{
	return i == s->conf.workers ? Q_LOCAL_MOST : Q_WORKER_MOST;
}

static bool
has_room(const struct q_sched *s, unsigned i)
{
	const struct q_worker *w = &s->workers[i];

	return w->usable && w->bytes < Q_WORKER_BYTES &&
	    w->young < young_most(s, i) && w->jobs < jobs_most(s, i);
}

/* The worker for D's next job: its home, unless D has no domain of its own
 * and more to do than one worker should carry.  Above conf.workers: none. */
static unsigned
choose(const struct q_sched *s, const struct sched_dest *d)
{
	unsigned n = s->conf.workers, best = d->home;

	if (d->spread && d->at_home >= Q_SPILL)
		for (unsigned i = 0; i < n; i++)
			if (has_room(s, i) && (!has_room(s, best) ||
			    s->workers[i].jobs < s->workers[best].jobs))
				best = i;
	return has_room(s, best) ? best : n + 1;
}

/* --- jobs --- */

static void
job_insert(struct q_sched *s, struct sched_job *job)
{
	hb_rows_add(&s->jobs, job, job->no);
	s->workers[job->worker].jobs++;
	s->workers[job->worker].bytes += job->bytes;
}

struct sched_job *
q_sched_job(const struct q_sched *s, uint32_t no)
{
	return hb_rows_find(&s->jobs, no);
}

static uint32_t
new_number(struct q_sched *s)
{
	do
		s->next_job++;
	while (s->next_job == 0 || q_sched_job(s, s->next_job) != NULL);
	return s->next_job;
}

/* --- young jobs, in the order in which they began --- */

static void
young_leave(struct q_worker *w, struct sched_job *job)
{
	if (!job->young)
		return;
	TAILQ_REMOVE(&w->age, job, age);
	job->young = false;
	w->young--;
}

int64_t
sched_dest_wake(const struct q_sched *s)
{
	int64_t ms = INT64_MAX;

	for (unsigned i = 0; i <= s->conf.workers; i++) {
		const struct q_worker *w = &s->workers[i];

		if (!TAILQ_EMPTY(&w->round) && w->young >= young_most(s, i) &&
		    w->jobs < jobs_most(s, i) &&
		    TAILQ_FIRST(&w->age)->old_ms < ms)
			ms = TAILQ_FIRST(&w->age)->old_ms;
	}
	return ms;
}

/* Takes recipients of one message off the front of LINE; a helper serves one. */
static void
fill_job(struct q_sched *s, struct sched_job *job, const struct q_line *line)
{
	size_t most = job->dest->local ? 1 : Q_JOB_RCPTS;
	struct sched_rcpt *r;

	while ((r = TAILQ_FIRST(line)) != NULL &&
	    (job->msg == NULL || r->msg == job->msg) && job->n < most) {
		job->msg = r->msg;
		job->flush |= (r->flags & Q_RF_FLUSH) != 0;
		q_heap_remove(&s->times, &r->node);
		line_leave(r);
		q_set_state(s, r, Q_ACTIVE);
		r->job = job;
		job->rcpts[job->n++] = r;
	}
}

static struct sched_job *
make_job(
    struct q_sched *s, struct sched_dest *d, unsigned worker, int64_t now_ms)
{
	struct sched_job *job = HB_NEW(struct sched_job);
	struct sched_msg *m;

	job->no = new_number(s);
	job->worker = worker;
	job->dest = d;
	job->jitter = (uint8_t)s->conf.below(256);
	fill_job(s, job, line_of(d));
	m = job->msg;
	m->njobs++;
	job->bytes = (m->flags & Q_MF_LARGE) != 0 ? Q_LARGE_WEIGHT : m->size;
	job->final = now_ms >= q_sched_expires(s, m);
	d->active++;
	d->at_home += worker == d->home;
	job->old_ms = now_ms + Q_OLD_MS;
	job_insert(s, job);
	job->young = true;
	TAILQ_INSERT_TAIL(&s->workers[worker].age, job, age);
	s->workers[worker].young++;
	round_leave(s, d);
	activate(s, d);
	return job;
}

struct sched_job *
sched_dest_next_job(struct q_sched *s, int64_t now_ms)
{
	unsigned total = s->conf.workers + 1;

	for (unsigned i = 0; i < total; i++) {
		struct sched_job *eldest;

		while ((eldest = TAILQ_FIRST(&s->workers[i].age)) != NULL &&
		    eldest->old_ms <= now_ms)
			young_leave(&s->workers[i], eldest);
	}
	for (unsigned i = 0; i < total; i++) {
		unsigned turn = (s->turn + i) % total;
		struct sched_dest *d = TAILQ_FIRST(&s->workers[turn].round);
		unsigned to = d != NULL ? choose(s, d) : total;

		if (to < total) {
			s->turn = (turn + 1) % total;
			return make_job(s, d, to, now_ms);
		}
	}
	return NULL;
}

struct sched_job *
q_sched_claim(struct q_sched *s, unsigned worker, uint32_t no)
{
	struct sched_job *job = HB_NEW(struct sched_job);

	job->no = no;
	job->worker = worker;
	job->jitter = (uint8_t)s->conf.below(256);
	job_insert(s, job);
	return job;
}

bool
q_sched_claim_rcpt(
    struct q_sched *s, struct sched_job *job, struct sched_rcpt *r)
{
	if (job->n == Q_JOB_RCPTS || (job->msg != NULL && job->msg != r->msg) ||
	    r->state == Q_ACTIVE || r->state == Q_FAILED ||
	    r->state == Q_DSN)
		return false;
	if (job->msg == NULL)
		r->msg->njobs++;
	job->msg = r->msg;
	q_detach(s, r);
	q_set_state(s, r, Q_ACTIVE);
	r->job = job;
	job->rcpts[job->n++] = r;
	return true;
}

void
q_jobs_orphan(struct q_sched *s, const struct sched_msg *m)
{
	for (struct sched_job *j = hb_rows_next(&s->jobs, NULL); j != NULL;
	     j = hb_rows_next(&s->jobs, j))
		if (j->msg == m)
			j->msg = NULL;
}

void
q_sched_job_end(struct q_sched *s, struct sched_job *job)
{
	struct q_worker *w = &s->workers[job->worker];
	struct sched_dest *d = job->dest;

	hb_rows_remove(&s->jobs, job);
	young_leave(w, job);
	w->jobs--;
	w->bytes -= job->bytes;
	if (job->msg != NULL)
		job->msg->njobs--;
	if (d == NULL)
		return;
	job->dest = NULL;
	d->active--;
	d->at_home -= job->worker == d->home;
	maybe_free(s, d);
}

/* --- windows --- */

int64_t
q_sched_unreachable(struct q_sched *s, struct sched_job *job,
    const struct hb_outcome *o, int64_t now_ms)
{
	struct sched_dest *d = job->dest;
	int64_t wait;

	if (s->conf.host_memory_ms == 0)
		return 0;
	if (d == NULL)
		return now_ms + q_sched_backoff(s, 1, job->jitter);
	if (is_blocked(d)) /* another job said so already */
		return d->node.key;
	if (d->fails < UINT16_MAX)
		d->fails++;
	d->window = 1;
	q_last_put(&s->lasts, &d->last);
	d->last = q_last_get(&s->lasts, o);
	wait = q_sched_backoff(s, d->fails, job->jitter);
	if (wait > s->conf.host_memory_ms)
		wait = s->conf.host_memory_ms;
	q_heap_set(&s->blocks, &d->node, now_ms + wait);
	activate(s, d);
	return now_ms + wait;
}

void
q_sched_reached(struct q_sched *s, struct sched_job *job, bool trouble)
{
	struct sched_dest *d = job->dest;

	if (d == NULL)
		return;
	if (d->fails > 0) {
		d->fails = 0;
		q_heap_remove(&s->blocks, &d->node);
		q_last_put(&s->lasts, &d->last);
	}
	if (trouble)
		d->window = d->window > 1 ? d->window / 2 : 1;
	else if (d->window < s->conf.max_connections)
		d->window++;
	if (d->window > s->conf.max_connections)
		d->window = s->conf.max_connections;
	activate(s, d);
}

/* --- for the listing --- */

const struct q_last *
q_rcpt_last(const struct sched_rcpt *r)
{
	bool waits = r->state == Q_READY && r->dest->last != NULL;

	return waits ? r->dest->last : r->last;
}

int64_t
q_rcpt_next_ms(const struct sched_rcpt *r)
{
	if (r->state == Q_NEW)
		return r->when_ms;
	if (r->state == Q_READY && is_blocked(r->dest))
		return r->dest->node.key;
	return 0;
}
