/* The downgrade ledger: domains in memory and their requests.  Floor 2. */
#include "delivery/smtp/ledger.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/memo.h"
#include "common/proto/stats.h"

#define LAST_GRAIN_MS (INT64_C(60) * 60 * 1000)
#define REREAD_MS (INT64_C(60) * 1000)

struct dlv_ledger_wait {
	struct hb_wait wait;
	dlv_ledger_fn cb;
	void *ctx;
	struct dlv_seen *seen; /* the answer */
};

struct dlv_ledger_domain {
	struct hb_memo_entry memo; /* its waits: struct dlv_ledger_wait */
	struct dlv_ledger *ledger;
	struct dlv_seen *seen; /* never NULL */
	int64_t read_ms; /* when the store was read, if LOADED */
	unsigned saving; /* answers of the store that are awaited */
	bool ours;	 /* this worker owns it */
	bool loaded, loading;
	bool forgotten; /* while it was loading */
	bool dirty;	/* SEEN is better than the store's */
	unsigned char name[];
};

struct dlv_ledger {
	const struct dlv_ledger_ops *ops;
	void *ctx;
	struct hb_memo memo;
	struct hb_wait told; /* with an answer, to be told this turn */
};

struct hb_span
dlv_ledger_name(const struct dlv_ledger_domain *d)
{
	return d->memo.key;
}

static struct dlv_seen *
nothing_seen(void)
{
	static const struct dlv_notes nothing;

	return dlv_seen_new(&nothing);
}

/* --- domains --- */

static void
free_domain(struct hb_memo_entry *e)
{
	struct dlv_ledger_domain *d = (struct dlv_ledger_domain *)e;

	dlv_seen_release(&d->seen);
	free(d);
}

/* What the store could not take is known here alone: it is passed over, until
 * there is too much of it. */
static bool
is_busy(const struct hb_memo_entry *e)
{
	const struct dlv_ledger_domain *d =
	    (const struct dlv_ledger_domain *)e;

	return d->loading || d->saving > 0 || (d->dirty &&
	    hb_memo_count(&d->ledger->memo) < DLV_LEDGER_MOST);
}

struct dlv_ledger *
dlv_ledger_new(const struct dlv_ledger_ops *ops, void *ctx)
{
	struct dlv_ledger *l = HB_NEW(struct dlv_ledger);

	l->ops = ops;
	l->ctx = ctx;
	l->memo = (struct hb_memo){ .max = DLV_LEDGER_DOMAINS,
		.must_stay = is_busy, .free = free_domain };
	hb_waits_init(&l->told);
	return l;
}

static void
drop(struct hb_wait *wait, const void *arg)
{
	struct dlv_ledger_wait *w = (struct dlv_ledger_wait *)wait;

	dlv_seen_release(&w->seen);
	free(w);
}

void
dlv_ledger_free(struct dlv_ledger **l)
{
	if (*l == NULL)
		return;
	for (struct hb_memo_entry *e = NULL;
	    (e = hb_memo_next(&(*l)->memo, e)) != NULL;)
		hb_waits_each(&e->waits, drop, NULL);
	hb_waits_each(&(*l)->told, drop, NULL);
	hb_memo_clear(&(*l)->memo);
	free(*l);
	*l = NULL;
}

static struct dlv_ledger_domain *
add(struct dlv_ledger *l, struct hb_span name)
{
	struct dlv_ledger_domain *d = hb_calloc(1, sizeof(*d) + name.n);

	d->ledger = l;
	d->seen = nothing_seen();
	d->ours = l->ops->owns(l->ctx, name);
	memcpy(d->name, name.p, name.n);
	hb_memo_add(&l->memo, &d->memo, hb_span(d->name, name.n), 0);
	return d;
}

static struct dlv_ledger_domain *
find(struct dlv_ledger *l, struct hb_span name)
{
	return (struct dlv_ledger_domain *)hb_memo_find(&l->memo, name);
}

/* S in lower case, in DST; empty if it is no name. */
static struct hb_span
lower(struct hb_span s, unsigned char dst[HB_MAX_DOMAIN])
{
	if (s.n > HB_MAX_DOMAIN)
		return HB_SPAN_NONE;
	return hb_span_lower(s, dst);
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

/* --- the store --- */

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
dlv_ledger_saved(struct dlv_ledger_domain *d, int err)
{
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
	for (struct hb_memo_entry *e = NULL;
	    (e = hb_memo_next(&l->memo, e)) != NULL;)
		write_back(l, (struct dlv_ledger_domain *)e);
}

/* At the end of the turn. */
static void
answer_all(struct dlv_ledger *l, struct dlv_ledger_domain *d, bool readable)
{
	struct hb_wait *all = &d->memo.waits;

	for (struct hb_wait *w = all->next; readable && w != all; w = w->next)
		((struct dlv_ledger_wait *)w)->seen = dlv_seen_take(d->seen);
	hb_waits_move(&l->told, all);
	l->ops->soon(l->ctx);
}

static void
tell(struct hb_wait *wait, const void *arg)
{
	struct dlv_ledger_wait *w = (struct dlv_ledger_wait *)wait;

	w->cb(w->ctx, w->seen);
	free(w);
}

void
dlv_ledger_turn(struct dlv_ledger *l)
{
	hb_waits_each(&l->told, tell, NULL);
}

static bool
same_notes(const struct dlv_notes *a, const struct dlv_notes *b)
{
	struct hb_buf x = HB_BUF_INIT(0), y = HB_BUF_INIT(0);
	bool same;

	dlv_notes_encode(a, &x);
	dlv_notes_encode(b, &y);
	same = hb_span_eq(hb_buf_span(&x), hb_buf_span(&y));
	hb_buf_free(&x);
	hb_buf_free(&y);
	return same;
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
dlv_ledger_loaded(struct dlv_ledger_domain *d, int err, struct hb_span value)
{
	struct dlv_ledger *l = d->ledger;
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
		/* What the store has and what was noted meanwhile, or by a
		 * worker that does not own the domain: the better counts. */
		struct dlv_notes all = stored;
		struct dlv_seen *own = d->seen;

		dlv_notes_add(&all, HB_SPAN_NONE, &own->domain);
		for (size_t i = 0; i < own->nmx; i++)
			dlv_notes_add(&all, own->mx[i].name, &own->mx[i].sight);
		d->dirty = d->ours && !same_notes(&all, &stored);
		d->seen = dlv_seen_new(&all);
		dlv_seen_release(&own);
		d->loaded = true;
		d->read_ms = l->ops->now_ms();
		write_back(l, d);
	}
	answer_all(l, d, err == 0 || err == HB_E_NOTFOUND);
}

/* Where the owner writes, others read again. */
static bool
is_fresh(const struct dlv_ledger *l, const struct dlv_ledger_domain *d)
{
	int64_t age = l->ops->now_ms() - d->read_ms;

	return d->loaded && (d->ours || (age >= 0 && age < REREAD_MS));
}

/* --- questions --- */

void
dlv_ledger_cancel(struct dlv_ledger_wait *w)
{
	if (w == NULL)
		return;
	hb_waits_remove(&w->wait);
	drop(&w->wait, NULL);
}

struct dlv_seen *
dlv_ledger_cached(struct dlv_ledger *l, struct hb_span domain)
{
	unsigned char bytes[HB_MAX_DOMAIN];
	struct dlv_ledger_domain *d = find(l, lower(domain, bytes));

	return d != NULL && is_fresh(l, d) ? dlv_seen_take(d->seen) : NULL;
}

struct dlv_ledger_wait *
dlv_ledger_get(struct dlv_ledger *l, struct hb_span domain, dlv_ledger_fn cb,
    void *ctx)
{
	struct dlv_ledger_domain *d = find_or_add(l, domain);
	struct dlv_ledger_wait *w = HB_NEW(struct dlv_ledger_wait);

	w->cb = cb;
	w->ctx = ctx;
	if (d != NULL) {
		hb_waits_add(&d->memo.waits, &w->wait);
		if (is_fresh(l, d))
			answer_all(l, d, true);
		else
			start_load(l, d);
		return w;
	}
	w->seen = nothing_seen();
	hb_waits_add(&l->told, &w->wait);
	l->ops->soon(l->ctx);
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
