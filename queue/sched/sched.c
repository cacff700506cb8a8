/* The scheduler: messages, recipients, due times.  Floor 2. */
#include "queue/sched/sched.h"

#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "queue/sched/sched-priv.h"

#define OF_NODE(n)                                                             \
	((struct sched_rcpt *)(void *)((char *)(n)-offsetof(                   \
	    struct sched_rcpt, node)))

enum { FEW_RCPTS = 16 }; /* found by a walk */

static const bool state_is_busy[] = {
#define X(sym, busy) [Q_##sym] = busy,
	Q_STATES(X)
#undef X
};

void
q_line_push(struct q_line *l, struct sched_rcpt *r)
{
	r->prev = l->tail;
	r->next = NULL;
	if (l->tail != NULL)
		l->tail->next = r;
	else
		l->head = r;
	l->tail = r;
}

void
q_line_remove(struct q_line *l, struct sched_rcpt *r)
{
	if (r->prev != NULL)
		r->prev->next = r->next;
	else
		l->head = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	else
		l->tail = r->prev;
	r->prev = r->next = NULL;
}

struct q_sched *
q_sched_new(const struct q_sched_conf *conf)
{
	struct q_sched *s = HB_NEW(struct q_sched);

	s->conf = *conf;
	q_pool_init(&s->msgs, sizeof(struct sched_msg));
	q_pool_init(&s->rcpts, sizeof(struct sched_rcpt));
	memcpy(s->lasts.key, conf->key, sizeof(s->lasts.key));
	s->workers = hb_calloc(conf->workers + 1, sizeof(struct q_worker));
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
	free(s->mtable);
	free(s->workers);
	free(s);
}

/* Message table. */

static uint32_t
slot_of(const struct q_sched *s, uint64_t id)
{
	id ^= id >> 33;
	id *= UINT64_C(0xff51afd7ed558ccd);
	id ^= id >> 33;
	return (uint32_t)id & (s->mtable_size - 1);
}

static void
table_grow(struct q_sched *s)
{
	uint32_t old = s->mtable_size;
	struct sched_msg **v = s->mtable;

	s->mtable_size = old > 0 ? old * 2 : 256;
	s->mtable = hb_calloc(s->mtable_size, sizeof(struct sched_msg *));
	for (uint32_t i = 0; i < old; i++)
		while (v[i] != NULL) {
			struct sched_msg *m = v[i];
			struct sched_msg **at = &s->mtable[slot_of(s, m->id)];

			v[i] = m->hnext;
			m->hnext = *at;
			*at = m;
		}
	free(v);
}

struct sched_msg *
q_sched_add(struct q_sched *s, uint64_t id, int64_t arrived_ms, uint64_t size,
    uint32_t flags)
{
	struct sched_msg *m = q_pool_get(&s->msgs), **at;

	if (s->msgs.live > s->mtable_size)
		table_grow(s);
	at = &s->mtable[slot_of(s, id)];
	m->id = id;
	m->arrived_ms = arrived_ms;
	m->size = size;
	m->flags = flags;
	m->hnext = *at;
	*at = m;
	return m;
}

struct sched_msg *
q_sched_find(const struct q_sched *s, uint64_t id)
{
	struct sched_msg *m = NULL;

	if (s->mtable_size > 0)
		m = s->mtable[slot_of(s, id)];
	while (m != NULL && m->id != id)
		m = m->hnext;
	return m;
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
msg_push(struct sched_msg *m, struct sched_rcpt *r)
{
	r->mprev = m->rcpts_tail;
	r->mnext = NULL;
	if (m->rcpts_tail != NULL)
		m->rcpts_tail->mnext = r;
	else
		m->rcpts = r;
	m->rcpts_tail = r;
}

static void
msg_push_front(struct sched_msg *m, struct sched_rcpt *r)
{
	r->mprev = NULL;
	r->mnext = m->rcpts;
	if (m->rcpts != NULL)
		m->rcpts->mprev = r;
	else
		m->rcpts_tail = r;
	m->rcpts = r;
}

static void
msg_remove(struct sched_msg *m, struct sched_rcpt *r)
{
	if (r->mprev != NULL)
		r->mprev->mnext = r->mnext;
	else
		m->rcpts = r->mnext;
	if (r->mnext != NULL)
		r->mnext->mprev = r->mprev;
	else
		m->rcpts_tail = r->mprev;
}

static void
index_grow(struct sched_msg *m, uint32_t idx)
{
	uint32_t old = m->room;
	size_t cell = sizeof(struct sched_rcpt *);

	for (m->room = old > 0 ? old : FEW_RCPTS * 2; m->room <= idx;)
		m->room *= 2;
	m->by_idx = hb_realloc(m->by_idx, m->room * cell);
	memset(m->by_idx + old, 0, (m->room - old) * cell);
	for (struct sched_rcpt *r = old == 0 ? m->rcpts : NULL; r != NULL;
	     r = r->mnext)
		m->by_idx[r->idx] = r;
}

static void
index_put(struct sched_msg *m, struct sched_rcpt *r)
{
	if (r->idx >= m->room && (m->room > 0 || m->live > FEW_RCPTS))
		index_grow(m, m->next_idx);
	if (m->room > 0)
		m->by_idx[r->idx] = r;
}

struct sched_rcpt *
q_sched_find_rcpt(const struct sched_msg *m, uint32_t idx)
{
	struct sched_rcpt *r = m->rcpts;

	if (m->room > 0)
		return idx < m->room ? m->by_idx[idx] : NULL;
	while (r != NULL && r->idx != idx)
		r = r->mnext;
	return r;
}

struct sched_rcpt *
q_sched_next_rcpt(const struct sched_msg *m, uint32_t idx)
{
	struct sched_rcpt *best = NULL;

	for (; idx < m->room; idx++)
		if (m->by_idx[idx] != NULL)
			return m->by_idx[idx];
	for (struct sched_rcpt *r = m->room == 0 ? m->rcpts : NULL; r != NULL;
	     r = r->mnext)
		if (r->idx >= idx && (best == NULL || r->idx < best->idx))
			best = r;
	return best;
}

/* States and times. */

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
	q_line_push(&s->dsns, r);
}

/* No recipient is still in progress: send one DSN for all failures. */
static void
check_dsn(struct q_sched *s, struct sched_msg *m)
{
	if (m->failed == 0 || m->busy > 0)
		return;
	if ((m->rcpts->flags & Q_RF_QUEUED) == 0)
		queue_dsn(s, m->rcpts);
}

void
q_set_state(struct q_sched *s, struct sched_rcpt *r, enum q_state state)
{
	struct sched_msg *m = r->msg;

	s->count[r->state]--;
	m->busy -= state_is_busy[r->state];
	m->failed -= r->state == Q_FAILED;
	if ((r->state == Q_FAILED) != (state == Q_FAILED)) {
		msg_remove(m, r);
		if (state == Q_FAILED)
			msg_push_front(m, r);
		else
			msg_push(m, r);
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
		q_line_remove(&s->asks, r);
	else if ((r->flags & Q_RF_QUEUED) != 0)
		q_line_remove(&s->dsns, r);
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
	q_line_push(&s->asks, r);
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
	msg_push(m, r);
	m->live++;
	if (idx >= m->next_idx)
		m->next_idx = idx + 1;
	index_put(m, r);
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

	msg_remove(m, r);
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
	struct sched_job *job = r->job;

	if (r->state != Q_ACTIVE || job == NULL)
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
	struct sched_msg **at = &s->mtable[slot_of(s, m->id)];

	while (m->rcpts != NULL) {
		leave_job(m->rcpts);
		q_detach(s, m->rcpts);
		discard(s, m->rcpts);
	}
	if (m->njobs > 0)
		q_jobs_orphan(s, m);
	while (*at != m)
		at = &(*at)->hnext;
	*at = m->hnext;
	free(m->by_idx);
	q_pool_put(&s->msgs, m);
}

void
q_sched_unask(struct q_sched *s, struct sched_rcpt *r)
{
	if ((r->msg->flags & Q_MF_HELD) != 0)
		q_set_state(s, r, Q_HELD);
	else
		become_due(s, r);
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

	while (n < max && (r = m->rcpts) != NULL && r->state == Q_FAILED) {
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

/* A recipient's time has come.  True when ACT is filled. */
static bool
on_due(
    struct q_sched *s, struct sched_rcpt *r, int64_t now_ms, struct q_act *act)
{
	struct sched_msg *m = r->msg;

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
	if (r->state == Q_READY) {
		q_heap_remove(&s->times, &r->node);
		sched_dest_join(s, r, true);
	} else if (now_ms >= r->when_ms || now_ms >= q_sched_expires(s, m)) {
		become_due(s, r);
	} else {
		q_set_due(s, r); /* another of the message warned already */
	}
	return false;
}

static bool
take_due(struct q_sched *s, int64_t now_ms, struct q_act *act)
{
	struct q_node *top;

	while ((top = q_heap_top(&s->times)) != NULL && top->key <= now_ms)
		if (on_due(s, OF_NODE(top), now_ms, act))
			return true;
	return false;
}

static bool
take_ask(struct q_sched *s, struct q_act *act)
{
	struct sched_rcpt *r = s->asks.head;

	if (r == NULL || !s->router || s->count[Q_ASKED] >= Q_MAX_ASKS)
		return false;
	q_detach(s, r);
	q_set_state(s, r, Q_ASKED);
	*act = (struct q_act){ Q_ACT_ASK, r->msg, r, NULL };
	return true;
}

static bool
take_dsn(struct q_sched *s, struct q_act *act)
{
	struct sched_rcpt *r = s->dsns.head;

	if (r == NULL)
		return false;
	q_detach(s, r);
	*act = (struct q_act){ .kind = Q_ACT_DSN, .msg = r->msg };
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
	struct sched_msg *m;

	while ((m = q_sched_walk(s, &cursor)) != NULL) {
		if (m->arrived_ms > now_ms)
			m->arrived_ms = now_ms;
		for (struct sched_rcpt *r = m->rcpts; r != NULL; r = r->mnext)
			start_rcpt(s, r, now_ms, anew);
	}
}

/* The operator. */

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
	m->flags |= Q_MF_HELD;
	for (struct sched_rcpt *r = m->rcpts; r != NULL; r = r->mnext)
		q_sched_follow(s, r, 0);
}

void
q_sched_release(struct q_sched *s, struct sched_msg *m, int64_t now_ms)
{
	m->flags &= ~Q_MF_HELD;
	for (struct sched_rcpt *r = m->rcpts; r != NULL; r = r->mnext)
		q_sched_follow(s, r, now_ms);
}

void
q_sched_stats(const struct q_sched *s, struct q_sched_stats *out)
{
	*out = (struct q_sched_stats){
		.messages = s->msgs.live,
		.recipients = s->rcpts.live,
		.destinations = s->ndests,
		.unreachable = s->blocks.n,
		.jobs = s->njobs,
	};
	memcpy(out->state, s->count, sizeof(s->count));
}
