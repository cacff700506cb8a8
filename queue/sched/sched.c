/* The scheduler: messages, recipients, due times.  Floor 2. */
#include "queue/sched/sched.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "queue/sched/sched-priv.h"

#define OF_NODE(n)                                                             \
	((struct sched_rcpt *)(void *)((char *)(n)-offsetof(                   \
	    struct sched_rcpt, node)))

enum {
	FEW_RCPTS = 16, /* found by a walk */
	DUE_MOST = 2000 /* become due in one call */
};

static const bool state_is_busy[] = {
#define X(sym, busy) [Q_##sym] = busy,
	Q_STATES(X)
#undef X
};

struct q_sched *
q_sched_new(const struct q_sched_conf *conf)
{
	struct q_sched *s = HB_NEW(struct q_sched);

	s->conf = *conf;
	q_pool_init(&s->msgs, sizeof(struct sched_msg));
	q_pool_init(&s->rcpts, sizeof(struct sched_rcpt));
	memcpy(s->lasts.key, conf->key, sizeof(s->lasts.key));
	memcpy(&s->by_id.salt, conf->key, sizeof(s->by_id.salt));
	TAILQ_INIT(&s->asks);
	TAILQ_INIT(&s->dsns);
	s->workers = hb_calloc(conf->workers + 1, sizeof(struct q_worker));
	for (unsigned i = 0; i <= conf->workers; i++) {
		TAILQ_INIT(&s->workers[i].round);
		TAILQ_INIT(&s->workers[i].age);
	}
	s->next_job = conf->below(UINT32_MAX / 2);
	return s;
}

void
q_sched_free(struct q_sched **sp)
{
	struct q_sched *s = *sp;
	uint32_t cursor = 0;
	struct sched_msg *m;

	*sp = NULL;
	if (s == NULL)
		return;
	while ((m = q_sched_walk(s, &cursor)) != NULL)
		free(m->by_idx);
	sched_dest_free_all(s);
	q_lasts_free(&s->lasts);
	q_heap_free(&s->times);
	q_heap_free(&s->blocks);
	q_pool_free(&s->msgs);
	q_pool_free(&s->rcpts);
	hb_rows_free(&s->by_id);
	free(s->workers);
	free(s);
}

struct sched_msg *
q_sched_add(struct q_sched *s, uint64_t id, int64_t arrived_ms, uint64_t size,
    uint32_t flags)
{
	struct sched_msg *m = q_pool_get(&s->msgs);

	TAILQ_INIT(&m->rcpts);
	m->arrived_ms = arrived_ms;
	m->size = size;
	m->flags = flags;
	hb_rows_add(&s->by_id, m, id);
	return m;
}

struct sched_msg *
q_sched_find(const struct q_sched *s, uint64_t id)
{
	return hb_rows_find(&s->by_id, id);
}

struct sched_msg *
q_sched_walk(const struct q_sched *s, uint32_t *cursor)
{
	while (*cursor < s->msgs.used) {
		struct sched_msg *m = q_pool_at(&s->msgs, (*cursor)++);

		if (m->id != 0)
			return m;
	}
	return NULL;
}

/* Recipients of a message: a list, and a table by number where they are
 * many, so that what ends one of them looks at no other. */

static void
index_grow(struct sched_msg *m, uint32_t idx)
{
	uint32_t old = m->room;
	size_t cell = sizeof(struct sched_rcpt *);
	struct sched_rcpt *r;

	for (m->room = old > 0 ? old : FEW_RCPTS * 2; m->room <= idx;)
		m->room *= 2;
	m->by_idx = hb_realloc(m->by_idx, m->room * cell);
	memset(m->by_idx + old, 0, (m->room - old) * cell);
	if (old == 0)
		TAILQ_FOREACH(r, &m->rcpts, of_msg)
			m->by_idx[r->idx] = r;
}

struct sched_rcpt *
q_sched_find_rcpt(const struct sched_msg *m, uint32_t idx)
{
	struct sched_rcpt *r;

	if (m->room > 0)
		return idx < m->room ? m->by_idx[idx] : NULL;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		if (r->idx == idx)
			break;
	return r;
}

struct sched_rcpt *
q_sched_next_rcpt(const struct sched_msg *m, uint32_t idx)
{
	struct sched_rcpt *r, *best = NULL;

	for (; idx < m->room; idx++)
		if (m->by_idx[idx] != NULL)
			return m->by_idx[idx];
	if (m->room > 0)
		return NULL;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		if (r->idx >= idx && (best == NULL || r->idx < best->idx))
			best = r;
	return best;
}

/* --- states and times --- */

int64_t
q_sched_expires(const struct q_sched *s, const struct sched_msg *m)
{
	return m->arrived_ms + s->conf.lifetime_ms;
}

/* A warning at the end of the lifetime is none. */
static bool
wants_warning(const struct q_sched *s, const struct sched_msg *m)
{
	return s->conf.warn_ms > 0 && s->conf.warn_ms < s->conf.lifetime_ms &&
	    (m->flags & Q_MF_NOWARN) == 0;
}

void
q_set_due(struct q_sched *s, struct sched_rcpt *r)
{
	struct sched_msg *m = r->msg;
	int64_t key = q_sched_expires(s, m);

	if (r->state == Q_NEW && r->when_ms < key)
		key = r->when_ms;
	if (wants_warning(s, m) && m->arrived_ms + s->conf.warn_ms < key)
		key = m->arrived_ms + s->conf.warn_ms;
	q_heap_set(&s->times, &r->node, key);
}

static void
queue_dsn(struct q_sched *s, struct sched_rcpt *r)
{
	q_heap_remove(&s->times, &r->node);
	r->flags |= Q_RF_QUEUED;
	TAILQ_INSERT_TAIL(&s->dsns, r, line);
}

/* No recipient is still in progress: send one DSN for all failures. */
static void
check_dsn(struct q_sched *s, struct sched_msg *m)
{
	struct sched_rcpt *first = TAILQ_FIRST(&m->rcpts);

	if (m->failed == 0 || m->busy > 0)
		return;
	if ((first->flags & Q_RF_QUEUED) == 0)
		queue_dsn(s, first);
}

void
q_set_state(struct q_sched *s, struct sched_rcpt *r, enum q_state state)
{
	struct sched_msg *m = r->msg;

	s->count[r->state]--;
	m->busy -= state_is_busy[r->state];
	m->failed -= r->state == Q_FAILED;
	if ((r->state == Q_FAILED) != (state == Q_FAILED)) {
		TAILQ_REMOVE(&m->rcpts, r, of_msg);
		if (state == Q_FAILED)
			TAILQ_INSERT_HEAD(&m->rcpts, r, of_msg);
		else
			TAILQ_INSERT_TAIL(&m->rcpts, r, of_msg);
	}
	r->state = (uint8_t)state;
	s->count[state]++;
	m->busy += state_is_busy[state];
	m->failed += state == Q_FAILED;
}

void
q_detach(struct q_sched *s, struct sched_rcpt *r)
{
	q_heap_remove(&s->times, &r->node);
	if (r->state == Q_DUE)
		TAILQ_REMOVE(&s->asks, r, line);
	else if ((r->flags & Q_RF_QUEUED) != 0)
		TAILQ_REMOVE(&s->dsns, r, line);
	r->flags &= (uint8_t)~Q_RF_QUEUED;
	if (r->dest != NULL)
		sched_dest_leave(s, r);
}

static void
become_new(struct q_sched *s, struct sched_rcpt *r, int64_t when_ms)
{
	r->when_ms = when_ms;
	if ((r->msg->flags & Q_MF_HELD) != 0) {
		q_set_state(s, r, Q_HELD);
		return;
	}
	q_set_state(s, r, Q_NEW);
	q_set_due(s, r);
}

static void
become_due(struct q_sched *s, struct sched_rcpt *r)
{
	q_detach(s, r);
	q_set_state(s, r, Q_DUE);
	TAILQ_INSERT_TAIL(&s->asks, r, line);
}

static void
set_last(struct q_sched *s, struct sched_rcpt *r, const struct hb_outcome *o)
{
	q_last_put(&s->lasts, &r->last);
	if (o != NULL)
		r->last = q_last_get(&s->lasts, o);
}

bool
q_sched_waits_for(const struct q_sched *s, enum hb_reason r)
{
	return s->lasts.of[r] > 0;
}

struct sched_rcpt *
q_sched_rcpt(struct q_sched *s, struct sched_msg *m, uint32_t idx,
    int64_t when_ms)
{
	struct sched_rcpt *r = q_pool_get(&s->rcpts);

	r->msg = m;
	r->idx = idx;
	TAILQ_INSERT_TAIL(&m->rcpts, r, of_msg);
	m->live++;
	if (idx >= m->next_idx)
		m->next_idx = idx + 1;
	if (r->idx >= m->room && (m->room > 0 || m->live > FEW_RCPTS))
		index_grow(m, m->next_idx);
	if (m->room > 0)
		m->by_idx[r->idx] = r;
	s->count[Q_NEW]++;
	become_new(s, r, when_ms);
	return r;
}

void
q_sched_tried(struct q_sched *s, struct sched_rcpt *r, uint32_t attempts,
    int64_t next_ms, const struct hb_outcome *o)
{
	r->attempts = (uint16_t)(attempts < UINT16_MAX ? attempts : UINT16_MAX);
	set_last(s, r, o);
	q_heap_remove(&s->times, &r->node);
	become_new(s, r, next_ms);
}

/* Takes R off its message and gives the cell back. */
static void
discard(struct q_sched *s, struct sched_rcpt *r)
{
	struct sched_msg *m = r->msg;

	TAILQ_REMOVE(&m->rcpts, r, of_msg);
	if (m->room > 0)
		m->by_idx[r->idx] = NULL;
	m->live--;
	m->busy -= state_is_busy[r->state];
	m->failed -= r->state == Q_FAILED;
	s->count[r->state]--;
	q_last_put(&s->lasts, &r->last);
	q_pool_put(&s->rcpts, r);
}

static void
leave_job(struct sched_rcpt *r)
{
	struct sched_job *job = q_rcpt_job(r);

	if (job == NULL)
		return;
	for (size_t i = 0; i < job->n; i++)
		if (job->rcpts[i] == r)
			job->rcpts[i] = NULL;
	r->job = NULL;
}

void
q_sched_done(struct q_sched *s, struct sched_rcpt *r)
{
	struct sched_msg *m = r->msg;

	leave_job(r);
	q_detach(s, r);
	discard(s, r);
	check_dsn(s, m);
}

void
q_sched_forget(struct q_sched *s, struct sched_msg *m)
{
	struct sched_rcpt *r;

	while ((r = TAILQ_FIRST(&m->rcpts)) != NULL) {
		leave_job(r);
		q_detach(s, r);
		discard(s, r);
	}
	if (m->njobs > 0)
		q_jobs_orphan(s, m);
	hb_rows_remove(&s->by_id, m);
	free(m->by_idx);
	q_pool_put(&s->msgs, m);
}

void
q_sched_unask(struct q_sched *s, struct sched_rcpt *r)
{
	if ((r->msg->flags & Q_MF_HELD) != 0) {
		q_set_state(s, r, Q_HELD);
		return;
	}
	q_set_state(s, r, Q_DUE);
	TAILQ_INSERT_HEAD(&s->asks, r, line);
}

static void
count_attempt(
    struct q_sched *s, struct sched_rcpt *r, const struct hb_outcome *o)
{
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	r->flags &= (uint8_t)~Q_RF_FLUSH;
	set_last(s, r, o);
}

void
q_sched_defer(struct q_sched *s, struct sched_rcpt *r,
    const struct hb_outcome *o, int64_t when_ms)
{
	struct sched_msg *m = r->msg;

	leave_job(r);
	q_detach(s, r);
	count_attempt(s, r, o);
	become_new(s, r, when_ms);
	check_dsn(s, m);
}

void
q_sched_wait(
    struct q_sched *s, struct sched_rcpt *r, const struct hb_outcome *o)
{
	struct sched_msg *m = r->msg;

	leave_job(r);
	count_attempt(s, r, o);
	if ((m->flags & Q_MF_HELD) != 0) {
		q_detach(s, r);
		q_set_state(s, r, Q_HELD);
	} else {
		sched_dest_join(s, r, false);
	}
	check_dsn(s, m);
}

void
q_sched_fail(struct q_sched *s, struct sched_rcpt *r,
    const struct hb_outcome *o, int64_t now_ms)
{
	leave_job(r);
	q_detach(s, r);
	count_attempt(s, r, o);
	q_set_state(s, r, Q_FAILED);
	q_heap_set(&s->times, &r->node, now_ms + Q_DSN_WAIT_MS);
	check_dsn(s, r->msg);
}

static int
by_number(const void *a, const void *b)
{
	const struct sched_rcpt *x = *(struct sched_rcpt *const *)a;
	const struct sched_rcpt *y = *(struct sched_rcpt *const *)b;

	return x->idx < y->idx ? -1 : x->idx > y->idx;
}

size_t
q_sched_take_failed(
    struct q_sched *s, struct sched_msg *m, struct sched_rcpt **out, size_t max)
{
	struct sched_rcpt *r;
	size_t n = 0;

	while (n < max && (r = TAILQ_FIRST(&m->rcpts)) != NULL &&
	    r->state == Q_FAILED) {
		q_detach(s, r);
		q_set_state(s, r, Q_DSN);
		out[n++] = r;
	}
	if (n > 0)
		qsort(out, n, sizeof(struct sched_rcpt *), by_number);
	check_dsn(s, m);
	return n;
}

void
q_sched_dsn_again(struct q_sched *s, struct sched_rcpt *r, int64_t when_ms)
{
	q_set_state(s, r, Q_FAILED);
	q_heap_set(&s->times, &r->node, when_ms);
}

/* Those that are in work bring it up when they wait again. */
void
q_sched_warn_again(struct q_sched *s, struct sched_msg *m, int64_t when_ms)
{
	struct sched_rcpt *r;

	m->flags &= ~Q_MF_NOWARN;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		if (r->state != Q_FAILED && r->node.pos != 0)
			break;
	if (r != NULL && r->node.key > when_ms)
		q_heap_set(&s->times, &r->node, when_ms);
}

/* A recipient's time has come.  True when ACT is filled. */
static bool
on_due(
    struct q_sched *s, struct sched_rcpt *r, int64_t now_ms, struct q_act *act)
{
	struct sched_msg *m = r->msg;
	bool over;

	if (r->state == Q_FAILED) {
		queue_dsn(s, r);
		return false;
	}
	if (wants_warning(s, m) && now_ms < q_sched_expires(s, m) &&
	    now_ms >= m->arrived_ms + s->conf.warn_ms) {
		m->flags |= Q_MF_NOWARN;
		q_set_due(s, r);
		*act = (struct q_act){ .kind = Q_ACT_WARN, .msg = m };
		return true;
	}
	over = now_ms >= q_sched_expires(s, m);
	if (r->state == Q_READY && over)
		sched_dest_join(s, r, true);
	else if (r->state == Q_NEW && (over || now_ms >= r->when_ms))
		become_due(s, r);
	else
		q_set_due(s, r); /* another of the message warned already */
	return false;
}

static bool
take_due(struct q_sched *s, int64_t now_ms, struct q_act *act)
{
	unsigned moved;
	bool is = false;

	for (moved = 0; moved < DUE_MOST && !is; moved++) {
		struct q_node *top = q_heap_top(&s->times);

		if (top == NULL || top->key > now_ms)
			break;
		is = on_due(s, OF_NODE(top), now_ms, act);
	}
	act->moved = moved;
	return is;
}

static bool
take_ask(struct q_sched *s, struct q_act *act)
{
	struct sched_rcpt *r = TAILQ_FIRST(&s->asks);

	if (r == NULL || !s->router || s->count[Q_ASKED] >= Q_MAX_ASKS)
		return false;
	q_detach(s, r);
	q_set_state(s, r, Q_ASKED);
	act->kind = Q_ACT_ASK;
	act->msg = r->msg;
	act->rcpt = r;
	return true;
}

static bool
take_dsn(struct q_sched *s, struct q_act *act)
{
	struct sched_rcpt *r = TAILQ_FIRST(&s->dsns);

	if (r == NULL)
		return false;
	q_detach(s, r);
	act->kind = Q_ACT_DSN;
	act->msg = r->msg;
	return true;
}

void
q_sched_next(struct q_sched *s, int64_t now_ms, struct q_act *act)
{
	*act = (struct q_act){ .kind = Q_ACT_NONE };
	if (take_due(s, now_ms, act) || take_dsn(s, act) ||
	    take_ask(s, act))
		return;
	sched_dest_unblock_due(s, now_ms);
	act->job = sched_dest_next_job(s, now_ms);
	if (act->job != NULL) {
		act->kind = Q_ACT_JOB;
		act->msg = act->job->msg;
	}
}

int64_t
q_sched_wake(const struct q_sched *s)
{
	struct q_node *a = q_heap_top(&s->times);
	struct q_node *b = q_heap_top(&s->blocks);
	int64_t ms = sched_dest_wake(s);

	if (a != NULL && a->key < ms)
		ms = a->key;
	return b != NULL && b->key < ms ? b->key : ms;
}

void
q_sched_router(struct q_sched *s, bool usable)
{
	s->router = usable;
}

/* JITTER 0..255 spreads the wait over 1 .. 9/8 of its length.  Never less: a
 * greylist counts from the first attempt, and who comes a moment early waits
 * once more. */
int64_t
q_sched_backoff(const struct q_sched *s, unsigned attempts, uint8_t jitter)
{
	int64_t ms = s->conf.first_ms;

	for (; attempts > 1 && ms < s->conf.max_ms; attempts--)
		ms *= 2;
	if (ms > s->conf.max_ms)
		ms = s->conf.max_ms;
	return ms + ms * jitter / 2048;
}

void
q_sched_set_conf(struct q_sched *s, const struct q_sched_conf *conf)
{
	struct q_sched_conf before = s->conf;
	struct q_heap old = s->times;

	s->conf = *conf;
	s->conf.workers = before.workers;
	memcpy(s->conf.key, before.key, sizeof(before.key));
	s->times = (struct q_heap){ 0 };
	for (uint32_t i = 0; i < old.n; i++) {
		struct sched_rcpt *r = OF_NODE(old.v[i]);
		int64_t key = r->node.key;

		r->node.pos = 0;
		if (r->state == Q_FAILED)
			q_heap_set(&s->times, &r->node, key);
		else
			q_set_due(s, r);
	}
	q_heap_free(&old);
}

static void
start_rcpt(struct q_sched *s, struct sched_rcpt *r, int64_t now_ms, bool anew)
{
	int64_t most = now_ms + s->conf.max_ms;

	if (r->state != Q_NEW)
		return;
	if (anew && r->when_ms > now_ms)
		r->when_ms = now_ms;
	else if (r->when_ms > most)
		r->when_ms = most;
	q_set_due(s, r);
}

void
q_sched_start(struct q_sched *s, int64_t now_ms, bool anew)
{
	uint32_t cursor = 0;
	struct sched_rcpt *r;
	struct sched_msg *m;

	while ((m = q_sched_walk(s, &cursor)) != NULL) {
		if (m->arrived_ms > now_ms)
			m->arrived_ms = now_ms;
		TAILQ_FOREACH(r, &m->rcpts, of_msg)
			start_rcpt(s, r, now_ms, anew);
	}
}

/* --- the operator --- */

void
q_sched_flush(struct q_sched *s, struct sched_rcpt *r, int64_t now_ms)
{
	if (r->state == Q_NEW) {
		r->when_ms = now_ms;
		become_due(s, r);
	} else if (r->state == Q_READY && (r->flags & Q_RF_URGENT) == 0) {
		sched_dest_join(s, r, true);
	}
	r->flags |= Q_RF_FLUSH;
}

void
q_sched_follow(struct q_sched *s, struct sched_rcpt *r, int64_t now_ms)
{
	if ((r->msg->flags & Q_MF_HELD) == 0) {
		if (r->state == Q_HELD)
			become_new(s, r, now_ms);
	} else if (r->state == Q_NEW || r->state == Q_DUE ||
	    r->state == Q_READY) {
		q_detach(s, r);
		q_set_state(s, r, Q_HELD);
		check_dsn(s, r->msg);
	}
}

void
q_sched_hold(struct q_sched *s, struct sched_msg *m)
{
	struct sched_rcpt *r;

	m->flags |= Q_MF_HELD;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		q_sched_follow(s, r, 0);
}

void
q_sched_release(struct q_sched *s, struct sched_msg *m, int64_t now_ms)
{
	struct sched_rcpt *r;

	m->flags &= ~Q_MF_HELD;
	TAILQ_FOREACH(r, &m->rcpts, of_msg)
		q_sched_follow(s, r, now_ms);
}

void
q_sched_stats(const struct q_sched *s, struct q_sched_stats *out)
{
	*out = (struct q_sched_stats){
		.messages = s->msgs.live,
		.recipients = s->rcpts.live,
		.destinations = (uint32_t)s->dests.n,
		.unreachable = s->blocks.n,
		.jobs = (uint32_t)s->jobs.n,
	};
	memcpy(out->state, s->count, sizeof(s->count));
}
