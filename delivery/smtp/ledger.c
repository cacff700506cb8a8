/* The downgrade ledger: domains in memory and their requests.  Floor 2. */
#include "delivery/smtp/ledger.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/table.h"
#include "common/proto/stats.h"

enum {
	TRIM_LOOK = 64 /* of the oldest domains, for one that is idle */
};
#define LAST_GRAIN_MS (INT64_C(60) * 60 * 1000)
#define REREAD_MS (INT64_C(60) * 1000)

struct dlv_ledger_wait {
	struct dlv_ledger_wait *next, **at; /* *at points here */
	dlv_ledger_fn cb;
	void *ctx;
	bool *answered; /* set while dlv_ledger_get runs */
};

struct dlv_ledger_domain {
	UT_hash_handle hh;
	struct dlv_seen *seen; /* never NULL */
	struct dlv_ledger_wait *waiters;
	int64_t read_ms; /* when the store was read, if LOADED */
	unsigned saving; /* answers of the store that are awaited */
	unsigned busy;	 /* held while callbacks run */
	bool ours;	 /* this worker owns it */
	bool loaded, loading;
	bool forgotten; /* while it was loading */
	bool dirty;	/* SEEN is better than the store's */
	unsigned char name_n;
	unsigned char name[];
};

struct dlv_ledger {
	const struct dlv_ledger_ops *ops;
	void *ctx;
	struct dlv_ledger_domain *table; /* in order of use, oldest first */
};

struct hb_span
dlv_ledger_name(const struct dlv_ledger_domain *d)
{
	return hb_span(d->name, d->name_n);
}

static struct dlv_seen *
nothing_seen(void)
{
	static const struct dlv_notes nothing;

	return dlv_seen_new(&nothing);
}

struct dlv_ledger *
dlv_ledger_new(const struct dlv_ledger_ops *ops, void *ctx)
{
	struct dlv_ledger *l = HB_NEW(struct dlv_ledger);

	l->ops = ops;
	l->ctx = ctx;
	return l;
}

/* domains */

static void
drop(struct dlv_ledger *l, struct dlv_ledger_domain *d)
{
	HASH_DEL(l->table, d);
	while (d->waiters != NULL)
		dlv_ledger_cancel(d->waiters);
	dlv_seen_release(&d->seen);
	free(d);
}

void
dlv_ledger_free(struct dlv_ledger **l)
{
	if (*l == NULL)
		return;
	while ((*l)->table != NULL)
		drop(*l, (*l)->table);
	free(*l);
	*l = NULL;
}

/* To the end of the table. */
static void
use(struct dlv_ledger *l, struct dlv_ledger_domain *d)
{
	if (d->hh.next == NULL)
		return;
	HASH_DEL(l->table, d);
	HASH_ADD_KEYPTR(hh, l->table, d->name, d->name_n, d);
}

/* Waiters exist only while the record is being loaded. */
static bool
is_idle(const struct dlv_ledger_domain *d)
{
	return !d->loading && d->saving == 0 && d->busy == 0;
}

/* What the store could not take is known here alone: it is passed over, until
 * there is too much of it. */
static void
trim(struct dlv_ledger *l)
{
	struct dlv_ledger_domain *d = l->table, *next;

	for (int i = 0; i < TRIM_LOOK && d != NULL &&
	     HASH_COUNT(l->table) >= DLV_LEDGER_DOMAINS; i++) {
		next = d->hh.next;
		if (is_idle(d) && (!d->dirty ||
		    HASH_COUNT(l->table) >= DLV_LEDGER_MOST))
			drop(l, d);
		else
			use(l, d);
		d = next;
	}
}

static struct dlv_ledger_domain *
add(struct dlv_ledger *l, struct hb_span name)
{
	struct dlv_ledger_domain *d;

	trim(l);
	d = hb_calloc(1, sizeof(*d) + name.n);
	d->seen = nothing_seen();
	d->ours = l->ops->owns(l->ctx, name);
	d->name_n = (unsigned char)name.n;
	memcpy(d->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, l->table, d->name, d->name_n, d);
	return d;
}

static struct dlv_ledger_domain *
find(struct dlv_ledger *l, struct hb_span name)
{
	struct dlv_ledger_domain *d;

	HASH_FIND(hh, l->table, name.p, name.n, d);
	if (d != NULL)
		use(l, d);
	return d;
}

/* S in lower case, in DST; empty if it is no name. */
static struct hb_span
lower(struct hb_span s, unsigned char dst[HB_MAX_DOMAIN])
{
	if (s.n > HB_MAX_DOMAIN)
		return HB_SPAN_NONE;
	for (size_t i = 0; i < s.n; i++)
		dst[i] = hb_lower(s.p[i]);
	return hb_span(dst, s.n);
}

static struct dlv_ledger_domain *
find_or_add(struct dlv_ledger *l, struct hb_span domain)
{
	unsigned char bytes[HB_MAX_DOMAIN];
	struct hb_span name = lower(domain, bytes);
	struct dlv_ledger_domain *d;

	if (name.n == 0)
		return NULL;
	d = find(l, name);
	return d != NULL ? d : add(l, name);
}

/* the store */

static void
start_load(struct dlv_ledger *l, struct dlv_ledger_domain *d)
{
	if (d->loading)
		return;
	d->loading = true;
	l->ops->load(l->ctx, d);
}

static void
save(struct dlv_ledger *l, struct dlv_ledger_domain *d)
{
	struct hb_buf value = HB_BUF_INIT(0);
	struct dlv_notes n;

	dlv_notes_of(d->seen, &n);
	dlv_notes_encode(&n, &value);
	d->dirty = false;
	d->saving++;
	l->ops->save(l->ctx, d, hb_buf_span(&value));
	hb_buf_free(&value);
}

void
dlv_ledger_saved(struct dlv_ledger *l, struct dlv_ledger_domain *d, int err)
{
	(void)l;
	d->saving--;
	if (err < 0)
		d->dirty = true;
}

static void
write_back(struct dlv_ledger *l, struct dlv_ledger_domain *d)
{
	if (d->dirty && d->loaded)
		save(l, d);
	else if (d->dirty)
		start_load(l, d);
}

void
dlv_ledger_store_up(struct dlv_ledger *l)
{
	struct dlv_ledger_domain *d, *next;

	HASH_ITER(hh, l->table, d, next)
		write_back(l, d);
}

static void
answer_all(struct dlv_ledger_domain *d, bool readable)
{
	d->busy++;
	while (d->waiters != NULL) {
		struct dlv_ledger_wait w = *d->waiters;

		if (w.answered != NULL)
			*w.answered = true;
		dlv_ledger_cancel(d->waiters);
		w.cb(w.ctx, readable ? dlv_seen_take(d->seen) : NULL);
	}
	d->busy--;
}

static bool
same_sight(const struct dlv_sight *a, const struct dlv_sight *b)
{
	return a->best == b->best && a->since_ms == b->since_ms &&
	    a->last_ms == b->last_ms;
}

static bool
same_notes(const struct dlv_notes *a, const struct dlv_notes *b)
{
	if (a->nmx != b->nmx || !same_sight(&a->domain, &b->domain))
		return false;
	for (size_t i = 0; i < a->nmx; i++)
		if (!hb_span_eq(a->mx[i].name, b->mx[i].name) ||
		    !same_sight(&a->mx[i].sight, &b->mx[i].sight))
			return false;
	return true;
}

/* What the store has and what was noted meanwhile, or by a worker that does
 * not own the domain: the better counts. */
static void
merge(struct dlv_ledger_domain *d, const struct dlv_notes *stored)
{
	struct dlv_notes all = *stored;
	struct dlv_seen *own = d->seen;

	dlv_notes_add(&all, HB_SPAN_NONE, &own->domain);
	for (size_t i = 0; i < own->nmx; i++)
		dlv_notes_add(&all, own->mx[i].name, &own->mx[i].sight);
	d->dirty = d->ours && !same_notes(&all, stored);
	d->seen = dlv_seen_new(&all);
	dlv_seen_release(&own);
}

/* A damaged record is no reason to hold mail up for ever: it is as if nothing
 * had been seen, and the next channel makes a new one. */
static void
read_record(struct dlv_ledger_domain *d, struct hb_span value,
    struct dlv_notes *out)
{
	int err = dlv_notes_decode(value, out);

	if (err == 0)
		return;
	*out = (struct dlv_notes){ .nmx = 0 };
	HB_LOG(HB_LOG_ERROR, HB_EV_STORE, hb_kv_str(HB_K_NAME, "ledger"),
	    hb_kv_span(HB_K_DOMAIN, dlv_ledger_name(d)),
	    hb_kv_str(HB_K_ERROR, hb_strerror(err)));
}

void
dlv_ledger_loaded(struct dlv_ledger *l, struct dlv_ledger_domain *d, int err,
    struct hb_span value)
{
	struct dlv_notes stored = { .nmx = 0 };

	d->loading = false;
	if (d->forgotten) {
		d->forgotten = false;
		start_load(l, d);
		return;
	}
	if (err == 0)
		read_record(d, value, &stored);
	if (err == 0 || err == HB_E_NOTFOUND) {
		merge(d, &stored);
		d->loaded = true;
		d->read_ms = l->ops->now_ms();
		write_back(l, d);
	}
	answer_all(d, err == 0 || err == HB_E_NOTFOUND);
}

/* Where the owner writes, others read again. */
static bool
is_fresh(const struct dlv_ledger *l, const struct dlv_ledger_domain *d)
{
	int64_t age = l->ops->now_ms() - d->read_ms;

	return d->loaded && (d->ours || (age >= 0 && age < REREAD_MS));
}

/* questions */

void
dlv_ledger_cancel(struct dlv_ledger_wait *w)
{
	if (w == NULL)
		return;
	*w->at = w->next;
	if (w->next != NULL)
		w->next->at = w->at;
	free(w);
}

/* At the end: who came first is answered first. */
static struct dlv_ledger_wait *
wait_for(struct dlv_ledger_domain *d, dlv_ledger_fn cb, void *ctx)
{
	struct dlv_ledger_wait *w = HB_NEW(struct dlv_ledger_wait);
	struct dlv_ledger_wait **at = &d->waiters;

	while (*at != NULL)
		at = &(*at)->next;
	*w = (struct dlv_ledger_wait){ .at = at, .cb = cb, .ctx = ctx };
	*at = w;
	return w;
}

struct dlv_ledger_wait *
dlv_ledger_get(struct dlv_ledger *l, struct hb_span domain, dlv_ledger_fn cb,
    void *ctx)
{
	struct dlv_ledger_domain *d = find_or_add(l, domain);
	struct dlv_ledger_wait *w;
	bool answered = false;

	if (d == NULL) {
		cb(ctx, nothing_seen());
		return NULL;
	}
	if (is_fresh(l, d)) {
		cb(ctx, dlv_seen_take(d->seen));
		return NULL;
	}
	w = wait_for(d, cb, ctx);
	w->answered = &answered;
	start_load(l, d);
	if (answered)
		return NULL;
	w->answered = NULL;
	return w;
}

static bool
is_news(const struct dlv_sight *of, const struct dlv_sight *s)
{
	return s->best > of->best ||
	    (s->best == of->best && s->last_ms - of->last_ms >= LAST_GRAIN_MS);
}

/* Nearly every message finds that nothing is new. */
static bool
says_more(const struct dlv_seen *seen, struct hb_span mx,
    const struct dlv_sight *s)
{
	for (size_t i = 0; i < seen->nmx; i++)
		if (hb_span_eq(seen->mx[i].name, mx))
			return is_news(&seen->mx[i].sight, s) ||
			    is_news(&seen->domain, s);
	return true;
}

void
dlv_ledger_note(struct dlv_ledger *l, struct hb_span domain, struct hb_span mx,
    enum hb_rank rank)
{
	struct dlv_sight s = { .best = rank };
	struct dlv_ledger_domain *d = find_or_add(l, domain);
	unsigned char bytes[HB_MAX_DOMAIN];
	struct dlv_notes n;
	struct dlv_seen *old;

	mx = lower(mx, bytes);
	if (d == NULL || mx.n == 0 || rank == HB_RANK_NONE)
		return;
	s.since_ms = s.last_ms = l->ops->now_ms();
	if (!says_more(d->seen, mx, &s))
		return;
	dlv_notes_of(d->seen, &n);
	dlv_notes_add(&n, mx, &s);
	old = d->seen;
	d->seen = dlv_seen_new(&n);
	dlv_seen_release(&old);
	d->dirty = d->ours;
	write_back(l, d);
}

void
dlv_ledger_forget(struct dlv_ledger *l, struct hb_span domain)
{
	unsigned char bytes[HB_MAX_DOMAIN];
	struct hb_span name = lower(domain, bytes);
	struct dlv_ledger_domain *d = find(l, name);

	if (d == NULL)
		return;
	dlv_seen_release(&d->seen);
	d->seen = nothing_seen();
	d->loaded = d->dirty = false;
	d->forgotten = d->loading;
}

void
dlv_ledger_fall(struct hb_span domain, struct hb_span mx, enum hb_rank from,
    enum hb_rank to, uint64_t msg)
{
	hb_stat(HB_STAT_DOWNGRADE);
	HB_LOG(HB_LOG_WARN, HB_EV_DOWNGRADE, hb_kv_span(HB_K_DOMAIN, domain),
	    hb_kv_str(HB_K_FROM, hb_rank_word(from)),
	    hb_kv_str(HB_K_TO, hb_rank_word(to)),
	    hb_kv_span(HB_K_MX, mx), hb_kv_id(HB_K_MSG, msg));
}
