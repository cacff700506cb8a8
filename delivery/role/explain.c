/*
 * EXPLAIN_ROUTE: where mail for a route would go and why, determined by the
 * code that sends it.  explain_show.c writes the answer.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>

struct explain {
	LIST_ENTRY(explain) link;
	struct hb_ctl ctl;
	struct hb_arena *arena;
	struct dlv_params order;
	struct dlv_task task;
};

static void
free_explain(struct explain *e)
{
	LIST_REMOVE(e, link);
	dlv_task_stop(&e->task);
	hb_arena_free(&e->arena);
	free(e);
}

static void
on_task_done(struct dlv_task *t)
{
	struct explain *e = (struct explain *)(void *)((char *)t -
	    offsetof(struct explain, task));

	dlv_explain_show(&e->ctl, t, &e->order);
	free_explain(e);
}

/* The worker that owns the domain knows the most of it; what has none is
 * answered by the first. */
static bool
is_ours(const struct dlv_worker *w, const struct ipc_ctl *q)
{
	struct hb_route r;
	bool named = hb_route_parse(q->arg, &r) == 0 && !r.literal &&
	    r.host.n > 0 && r.kind != HB_ROUTE_LMTP;

	return named ? dlv_store_ops.owns(
		      dlv_store_table(w->store, HB_TABLE_POLICY), r.host)
		     : w->env->instance == 0;
}

static struct explain *
explain_new(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct explain *e = HB_NEW(struct explain);
	bool live = (q->flags & DLV_EXPLAIN_FLAG_LIVE) != 0;

	e->ctl = (struct hb_ctl){ control, q->ref };
	e->arena = hb_arena_new();
	e->order = (struct dlv_params){
		.mode = live ? DLV_EXPLAIN_LIVE : DLV_EXPLAIN,
		.route = hb_arena_span(e->arena, q->arg),
		.domain = hb_arena_span(e->arena, q->arg2) };
	e->task.worker = w;
	e->task.done = on_task_done;
	LIST_INSERT_HEAD(&w->explains, e, link);
	return e;
}

void
dlv_explain(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct dlv_body none = { .fd = -1 };
	struct explain *e;

	if (!is_ours(w, q)) {
		hb_ctl_end(&(struct hb_ctl){ control, q->ref }, 0, NULL);
		return;
	}
	e = explain_new(w, control, q);
	dlv_task_start(&e->task, &e->order, &none);
}

void
dlv_explain_lost(struct dlv_worker *w, const struct hb_peer *control)
{
	struct explain *e, *next;

	for (e = LIST_FIRST(&w->explains); e != NULL; e = next) {
		next = LIST_NEXT(e, link);
		if (control == NULL || e->ctl.peer == control)
			free_explain(e);
	}
}
