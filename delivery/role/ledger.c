/*
 * The downgrade ledger in the delivery role: its store, and `hauberkctl ledger
 * list|show|forget`.  Floor 4.
 */
#include "config.h"

#include "delivery/role/main.h"

static void *
table_of(const struct dlv_worker *w)
{
	return dlv_store_table(w->store, HB_TABLE_LEDGER);
}

/* --- the store --- */

static void
on_loaded(void *ctx, int err, struct hb_span value)
{
	dlv_ledger_loaded(ctx, err, value);
}

static void
on_saved(void *ctx, int err)
{
	dlv_ledger_saved(ctx, err);
}

static void
op_load(void *ctx, struct dlv_ledger_domain *d)
{
	struct dlv_worker *w = ctx;

	dlv_store_ops.get(table_of(w), dlv_ledger_name(d), on_loaded,
	    d);
}

static void
op_save(void *ctx, struct dlv_ledger_domain *d, struct hb_span value)
{
	struct dlv_worker *w = ctx;

	dlv_store_ops.put(table_of(w), dlv_ledger_name(d), value, true,
	    on_saved, d);
}

static void
on_turn(void *ctx)
{
	const struct dlv_worker *w = ctx;

	dlv_ledger_turn(w->ledger);
}

static void
op_soon(void *ctx)
{
	const struct dlv_worker *w = ctx;

	hb_hook_arm(w->ledger_turn);
}

static bool
op_owns(void *ctx, struct hb_span domain)
{
	const struct dlv_worker *w = ctx;

	return dlv_store_ops.owns(table_of(w), domain);
}

void
dlv_worker_ledger_setup(struct dlv_worker *w)
{
	static const struct dlv_ledger_ops ops = { .load = op_load,
		.save = op_save, .owns = op_owns, .now_ms = hb_now_ms,
		.soon = op_soon };

	w->ledger = dlv_ledger_new(&ops, w);
	w->ledger_turn = hb_hook_new(w->env->loop, on_turn, w);
	w->ledger_asks = (struct hb_ctl_asks){ .loop = w->env->loop,
		.ops = &dlv_store_ops, .store = table_of(w), .ctx = w };
}

/* --- questions of control --- */

static void
put_sight(const struct hb_ctl *to, const struct dlv_sight *s)
{
	hb_ctl_text(to, "best", hb_rank_word(s->best));
	hb_ctl_time(to, "since", s->since_ms);
	hb_ctl_time(to, "last", s->last_ms);
}

static void
put_seen(const struct hb_ctl *to, struct hb_span domain,
    const struct dlv_sight *all, const struct dlv_seen_mx *mx, size_t nmx)
{
	hb_ctl_object(to, NULL);
	hb_ctl_str(to, "domain", domain);
	put_sight(to, all);
	hb_ctl_array(to, "mx");
	for (size_t i = 0; i < nmx; i++) {
		hb_ctl_object(to, NULL);
		hb_ctl_str(to, "name", mx[i].name);
		put_sight(to, &mx[i].sight);
		hb_ctl_close(to);
	}
	hb_ctl_close(to);
	hb_ctl_close(to);
}

static void
put_row(struct hb_ctl_ask *a, struct hb_span key, struct hb_span value)
{
	struct dlv_notes n;

	if (dlv_notes_decode(value, &n) == 0)
		put_seen(&a->to, key, &n.domain, n.mx, n.nmx);
}

static void
begin_list(struct hb_ctl_ask *a)
{
	hb_ctl_ask_list(a, put_row);
}

/* show and forget: the owner has the truth, in memory too */

static void
on_forgotten(void *ctx, int err)
{
	hb_ctl_ask_done(ctx, err);
}

static void
on_seen(void *ctx, struct dlv_seen *seen)
{
	struct hb_ctl_ask *a = ctx;
	struct dlv_worker *w = a->all->ctx;

	a->work = NULL;
	if (seen == NULL) {
		hb_ctl_ask_end(a, 1, "the store cannot be read now");
	} else if (seen->domain.best == HB_RANK_NONE) {
		hb_ctl_ask_end(a, 1, "nothing is remembered of this domain");
	} else if (a->verb == HB_CTL_LEDGER_FORGET) {
		dlv_ledger_forget(w->ledger, hb_span_str(a->domain));
		hb_ctl_ask_put(a, HB_SPAN_NONE, on_forgotten);
	} else {
		if (a->to.peer != NULL)
			put_seen(&a->to, hb_span_str(a->domain), &seen->domain,
			    seen->mx, seen->nmx);
		hb_ctl_ask_done(a, 0);
	}
	dlv_seen_release(&seen);
}

static void
cancel_wait(void *work)
{
	dlv_ledger_cancel(work);
}

static void
begin_one(struct hb_ctl_ask *a)
{
	struct dlv_worker *w = a->all->ctx;
	struct hb_span domain = hb_span_str(a->domain);

	if (hb_ctl_ask_is_ours(a)) {
		a->cancel = cancel_wait;
		a->work = dlv_ledger_get(w->ledger, domain, on_seen, a);
		return;
	}
	if (a->verb == HB_CTL_LEDGER_FORGET)
		dlv_ledger_forget(w->ledger, domain);
	hb_ctl_ask_done(a, 0); /* the owner says it */
}

static const struct hb_ctl_ask_verb verbs[] = {
	{ HB_CTL_LEDGER_LIST, false, begin_list },
	{ HB_CTL_LEDGER_SHOW, true, begin_one },
	{ HB_CTL_LEDGER_FORGET, true, begin_one },
};

bool
dlv_ledger_ctl(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	return hb_ctl_ask(&w->ledger_asks, verbs, HB_ARRAY_LEN(verbs), control,
	    q);
}
