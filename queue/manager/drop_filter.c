/*
 * Drops that go by the mail filters.  Floor 4.
 *
 * Where filters are configured a drop is not read here: a worker of smtpd gets
 * its file, read-only, and runs a session for it.  What the filters let through
 * comes back as a transaction; when that is durable the file is removed.  A
 * crash in between takes the message in twice and loses nothing, as without
 * filters.
 *
 * A filter that refuses cannot be heard by the command, which has ended: the
 * message is taken in for those whom it refused, with the filter's words as
 * their route, which brings a DSN.  One that says `later' leaves the file
 * waiting, which is tried again as mail is, for as long as mail waits.
 */
#include "config.h"

#include "queue/manager/drop-priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/io/ctlreply.h"
#include "common/proto/intake.h"

enum {
	HANDED_MAX = 16,     /* files that workers of smtpd have */
	DEFERRED_MAX = 10000 /* that are remembered; others come sooner */
};

/* A file that waits because a filter said so. */
struct deferred {
	struct hb_memo_entry entry;
	int64_t until_ms;
	unsigned tries;
	char name[Q_TURN_NAME];
};

static void
free_deferred(struct hb_memo_entry *e)
{
	free((struct deferred *)(void *)e);
}

void
q_drop_filter_init(struct q_drop *d)
{
	TAILQ_INIT(&d->handed.files);
	TAILQ_INIT(&d->refused.files);
	d->deferred = (struct hb_memo){ .max = DEFERRED_MAX,
		.free = free_deferred };
}

void
q_drop_filter_free(struct q_drop *d)
{
	q_drop_line_free(&d->handed);
	q_drop_line_free(&d->refused);
	hb_memo_clear(&d->deferred);
}

bool
q_drop_is_filtered(const struct q_drop *d)
{
	return d->q->env->conf->milters.n > 0;
}

bool
q_drop_may_hand(const struct q_drop *d)
{
	return d->handed.n < HANDED_MAX && d->refused.n == 0;
}

void
q_drop_filter_status(const struct q_drop *d, const struct hb_ctl *c)
{
	if (q_drop_is_filtered(d))
		hb_ctl_int(c, "maildrop_deferred",
		    (int64_t)hb_memo_count(&d->deferred));
}

/* --- files that wait --- */

static struct deferred *
find_deferred(struct q_drop *d, const char *name)
{
	return (struct deferred *)(void *)hb_memo_find(&d->deferred,
	    hb_span_str(name));
}

bool
q_drop_is_deferred(struct q_drop *d, const char *name)
{
	const struct deferred *w = hb_memo_count(&d->deferred) > 0
	    ? find_deferred(d, name) : NULL;

	return w != NULL && w->until_ms > hb_age_ms();
}

static void
forget_deferred(struct q_drop *d, const char *name)
{
	struct deferred *w = find_deferred(d, name);

	if (w != NULL)
		hb_memo_drop(&d->deferred, &w->entry);
}

/* --- a file on its way --- */

static struct hb_peer *
next_smtpd(struct q_drop *d)
{
	struct hb_peer **v = d->q->smtpd;
	size_t n = HB_ARRAY_LEN(d->q->smtpd);

	for (size_t i = 0; i < n; i++) {
		d->next_smtpd = (d->next_smtpd + 1) % n;
		if (v[d->next_smtpd] != NULL)
			return v[d->next_smtpd];
	}
	return NULL;
}

int
q_drop_hand(struct q_drop_file *f, uint64_t size)
{
	struct q_drop *d = f->d;
	struct hb_peer *p = next_smtpd(d);
	struct ipc_drop m = { .drop = ++d->last_number, .uid = f->uid,
		.dropped_ms = f->dropped_ms, .size = size };
	int err = p != NULL ? hb_peer_send(p, HB_IPC_DROP, &m, f->fd)
			    : HB_E_TEMP;

	if (err < 0)
		return err;
	f->number = m.drop;
	f->smtpd = hb_peer_instance(p);
	close(f->fd);
	f->fd = -1;
	f->arena = hb_arena_new();
	q_drop_move(f, &d->handed);
	return 0;
}

/* It is as if it had never been handed out. */
static void
leave(struct q_drop_file *f)
{
	f->d->again = true;
	q_drop_end(f);
}

static void
remove_file(struct q_drop_file *f)
{
	f->is_taken = true;
	forget_deferred(f->d, f->name);
	q_drop_remove(f);
}

static struct q_drop_file *
find(const struct q *q, const struct hb_peer *p, uint32_t number)
{
	struct q_drop_file *f;

	TAILQ_FOREACH(f, &q->drop->handed.files, link)
		if (f->number == number && f->smtpd == hb_peer_instance(p))
			return f;
	return NULL;
}

void
q_drops_lost(struct q *q, const struct hb_peer *p)
{
	struct q_drop_file *f, *next;

	if (q->drop == NULL)
		return;
	for (f = TAILQ_FIRST(&q->drop->handed.files); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->smtpd != hb_peer_instance(p))
			continue;
		if (f->has_txn)
			f->is_lost = true; /* its commit is on its way */
		else
			leave(f);
	}
}

/* --- its transaction --- */

struct q_drop_file *
q_drop_begin(struct q *q, const struct hb_peer *p, uint32_t number)
{
	struct q_drop_file *f = q->drop != NULL ? find(q, p, number) : NULL;

	if (f == NULL || f->has_txn || f->is_taken)
		return NULL;
	f->has_txn = true;
	return f;
}

void
q_drop_complete(const struct q_drop_file *f, struct hb_env *e,
    struct hb_arena *a)
{
	q_drop_local_env(e, f->uid, a);
}

const struct hb_rcpt *
q_drop_refused(const struct q_drop_file *f, size_t *n)
{
	*n = f->nrefused;
	return f->refusals;
}

void
q_drop_durable(struct q_drop_file *f)
{
	f->has_txn = false;
	remove_file(f);
	if (f->is_lost)
		q_drop_end(f);
}

void
q_drop_failed(struct q_drop_file *f)
{
	f->has_txn = false;
	if (f->is_lost)
		leave(f);
}

/* --- what filters say --- */

/* A route that says what a filter said; NONE: these are no words. */
static struct hb_span
route_of(struct hb_arena *a, struct hb_span status, struct hb_span text)
{
	struct hb_buf b = HB_BUF_INIT(HB_MAX_ROUTE);
	struct hb_route r = { .kind = HB_ROUTE_ERROR, .status = status,
		.rest = text }, parsed;
	struct hb_span s = HB_SPAN_NONE;

	if (hb_intake_is_text(text) && hb_route_format(&r, &b) == 0 &&
	    hb_route_parse(hb_buf_span(&b), &parsed) == 0)
		s = hb_arena_span(a, hb_buf_span(&b));
	hb_buf_free(&b);
	return s;
}

void
q_on_drop_refused(struct q *q, struct hb_peer *p,
    const struct ipc_drop_refused *m)
{
	struct q_drop_file *f = q->drop != NULL ? find(q, p, m->drop) : NULL;
	struct hb_rcpt in, *r;

	if (f == NULL || f->has_txn || f->is_taken ||
	    f->nrefused == q->env->conf->max_recipients ||
	    hb_tlv_decode(&hb_rcpt_record, m->rcpt, &in) < 0 ||
	    (f->nrefused > 0 && in.idx <= f->refusals[f->nrefused - 1].idx)) {
		hb_peer_violation(p, "malformed refusal of a recipient");
		return;
	}
	if (f->nrefused == f->room) {
		f->room = f->room > 0 ? f->room * 2 : 4;
		f->refusals = hb_realloc(f->refusals,
		    f->room * sizeof(*f->refusals));
	}
	r = &f->refusals[f->nrefused];
	if (hb_intake_rcpt(&in, f->arena, r) < 0 ||
	    (r->route = route_of(f->arena, m->status, m->text)).n == 0) {
		hb_peer_violation(p, "malformed refusal of a recipient");
		return;
	}
	r->idx = in.idx;
	r->flags |= HB_RCPT_EXPANDED;
	f->nrefused++;
}

/* The route of those of whom no filter spoke; NONE: they are no recipients. */
static void
take_in_refused(struct q_drop_file *f, struct hb_span rest)
{
	f->rest = rest;
	f->is_refused = true;
	q_drop_move(f, &f->d->refused);
}

static void
defer(struct q_drop_file *f, const struct ipc_drop_end *m)
{
	struct q_drop *d = f->d;
	struct deferred *w = find_deferred(d, f->name);
	int64_t ms;

	if (w == NULL) {
		w = HB_NEW(struct deferred);
		memcpy(w->name, f->name, sizeof(w->name));
		hb_memo_add(&d->deferred, &w->entry, hb_span_str(w->name), 0);
	}
	ms = q_sched_backoff(d->q->sched, ++w->tries,
	    (uint8_t)hb_random_below(256));
	w->until_ms = hb_age_ms() + ms;
	HB_LOG(HB_LOG_INFO, HB_EV_SPOOL, hb_kv_str(HB_K_FILE, f->name),
	    hb_kv_str(HB_K_STATE, "waits"),
	    hb_kv_int(HB_K_CODE, (int64_t)m->code),
	    hb_kv_span(HB_K_TEXT, m->text));
	q_drop_end(f);
}

/* Mail does not wait for ever, for a filter neither. */
static bool
is_too_old(const struct q_drop_file *f)
{
	return hb_now_ms() - f->dropped_ms > f->d->q->env->conf->lifetime;
}

void
q_on_drop_end(struct q *q, struct hb_peer *p, const struct ipc_drop_end *m)
{
	struct q_drop_file *f = q->drop != NULL ? find(q, p, m->drop) : NULL;
	unsigned class = m->code / 100;
	struct hb_span rest = HB_SPAN_NONE;

	if (f == NULL || f->has_txn) {
		hb_peer_violation(p, "end of a drop that it does not have");
		return;
	}
	if (f->is_taken) {
		q_drop_end(f);
	} else if (class == 4 && !is_too_old(f)) {
		defer(f, m);
	} else if (class == 0) {
		q_drop_set_aside(f, "it is not as it was written");
	} else if (class == 2 && f->nrefused == 0) {
		remove_file(f);
		q_drop_end(f);
	} else {
		if (class == 4)
			rest = route_of(f->arena, HB_SPAN("5.4.7"), m->text);
		else if (class == 5)
			rest = route_of(f->arena, m->status, m->text);
		if (class != 2 && rest.n == 0)
			rest = HB_SPAN("error:5.7.1 refused by a mail filter");
		take_in_refused(f, rest);
	}
}

/* --- taking in what was refused --- */

size_t
q_drop_refuse(const struct q_drop_file *f, struct hb_rcpt *v, size_t n)
{
	size_t kept = 0, at = 0;

	for (size_t i = 0; i < n; i++) {
		if (at < f->nrefused && f->refusals[at].idx == i) {
			v[kept++] = f->refusals[at++];
		} else if (f->rest.n > 0) {
			v[kept] = v[i];
			v[kept].route = f->rest;
			v[kept++].flags |= HB_RCPT_EXPANDED;
		}
	}
	return kept;
}
