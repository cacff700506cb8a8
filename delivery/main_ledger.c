/*
 * The memory of downgrades in the delivery role: the store behind it, and
 * `hauberkctl ledger list|show|forget`.  Floor 4.
 */
#include "config.h"

#include "delivery/main.h"

#include <stdlib.h>

#include "common/base/err.h"

enum {
	ROWS = 100,		       /* of one slice of the list */
	PENDING_MAX = 4 * 1024 * 1024, /* bytes: then the list waits */
	PENDING_WAIT_MS = 20
};

static const char nothing_seen[] = "nothing is remembered of this domain";

static void *
table_of(const struct dlv_worker *w)
{
	return dlv_store_table(w->store, HB_TABLE_LEDGER);
}

/* --- the store ---------------------------------------------------------- */

struct question {
	struct dlv_worker *worker;
	struct dlv_ledger_domain *domain;
};

static struct question *
question_new(struct dlv_worker *w, struct dlv_ledger_domain *d)
{
	struct question *q = HB_NEW(struct question);

	q->worker = w;
	q->domain = d;
	return q;
}

static void
on_loaded(void *ctx, int err, struct hb_span value)
{
	struct question q = *(struct question *)ctx;

	free(ctx);
	dlv_ledger_loaded(q.worker->ledger, q.domain, err, value);
}

static void
on_saved(void *ctx, int err)
{
	struct question q = *(struct question *)ctx;

	free(ctx);
	dlv_ledger_saved(q.worker->ledger, q.domain, err);
}

static void
op_load(void *ctx, struct dlv_ledger_domain *d)
{
	struct dlv_worker *w = ctx;

	dlv_store_ops.get(table_of(w), dlv_ledger_name(d), on_loaded,
	    question_new(w, d));
}

static void
op_save(void *ctx, struct dlv_ledger_domain *d, struct hb_span value)
{
	struct dlv_worker *w = ctx;

	dlv_store_ops.put(table_of(w), dlv_ledger_name(d), value, true,
	    on_saved, question_new(w, d));
}

static bool
op_owns(void *ctx, struct hb_span domain)
{
	const struct dlv_worker *w = ctx;

	return dlv_store_ops.owns(table_of(w), domain);
}

struct dlv_ledger *
dlv_worker_ledger_new(struct dlv_worker *w)
{
	static const struct dlv_ledger_ops ops = { .load = op_load,
		.save = op_save, .owns = op_owns, .now_ms = hb_now_ms };

	return dlv_ledger_new(&ops, w);
}

/* --- questions of control ----------------------------------------------- */

/* One question; control's loss makes it silent (peer NULL), the answers that
 * it waits for come all the same. */
struct dlv_ledger_asking {
	struct dlv_ledger_asking *next, **at;
	struct dlv_worker *worker;
	struct hb_ctl to;
	enum hb_ctl_verb verb;
	struct hb_timer *timer;
	char domain[HB_MAX_DOMAIN + 1];
	char last[HB_MAX_DOMAIN + 1]; /* list: row before the next slice */
	size_t rows;
};

static void
end(struct dlv_ledger_asking *a, unsigned code, const char *text)
{
	if (a->to.peer != NULL)
		hb_ctl_end(&a->to, code, text);
	hb_timer_free(&a->timer);
	*a->at = a->next;
	if (a->next != NULL)
		a->next->at = a->at;
	free(a);
}

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

/* list */

static void ask_slice(void *ctx);

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct dlv_ledger_asking *a = ctx;
	struct dlv_notes n;

	a->rows++;
	if (hb_span_copy(key, a->last, sizeof(a->last)) < 0)
		return;
	if (a->to.peer != NULL && op_owns(a->worker, key) &&
	    dlv_notes_decode(value, &n) == 0)
		put_seen(&a->to, key, &n.domain, n.mx, n.nmx);
}

static void
on_slice(void *ctx, int err)
{
	struct dlv_ledger_asking *a = ctx;

	if (err < 0 || a->to.peer == NULL) {
		end(a, 1, hb_strerror(err));
	} else if (a->rows >= ROWS) {
		hb_timer_set(a->timer, 0);
	} else {
		hb_ctl_close(&a->to);
		end(a, 0, NULL);
	}
}

/* While control does not read, the list waits. */
static void
ask_slice(void *ctx)
{
	struct dlv_ledger_asking *a = ctx;

	if (a->to.peer != NULL && hb_peer_pending(a->to.peer) > PENDING_MAX) {
		hb_timer_set(a->timer, PENDING_WAIT_MS);
		return;
	}
	a->rows = 0;
	dlv_store_ops.list(table_of(a->worker), hb_span_str(a->last), ROWS,
	    on_row, on_slice, a);
}

static void
begin_list(struct dlv_ledger_asking *a)
{
	hb_ctl_array(&a->to, NULL);
	ask_slice(a);
}

/* show and forget: the owner has the truth, in memory too */

static void
on_forgotten(void *ctx, int err)
{
	end(ctx, err < 0 ? 1 : 0, err < 0 ? hb_strerror(err) : NULL);
}

static void
on_seen(void *ctx, struct dlv_seen *seen)
{
	struct dlv_ledger_asking *a = ctx;
	struct dlv_worker *w = a->worker;
	struct hb_span domain = hb_span_str(a->domain);

	if (seen == NULL) {
		end(a, 1, "the store cannot be read now");
	} else if (seen->domain.best == HB_RANK_NONE) {
		end(a, 1, nothing_seen);
	} else if (a->verb == HB_CTL_LEDGER_FORGET) {
		dlv_ledger_forget(w->ledger, domain);
		dlv_store_ops.put(table_of(w), domain, HB_SPAN_NONE, false,
		    on_forgotten, a);
	} else {
		if (a->to.peer != NULL)
			put_seen(&a->to, domain, &seen->domain, seen->mx,
			    seen->nmx);
		end(a, 0, NULL);
	}
	dlv_seen_release(&seen);
}

static void
begin_one(struct dlv_ledger_asking *a)
{
	struct dlv_worker *w = a->worker;

	if (op_owns(w, hb_span_str(a->domain))) {
		(void)dlv_ledger_get(w->ledger, hb_span_str(a->domain),
		    on_seen, a);
		return;
	}
	if (a->verb == HB_CTL_LEDGER_FORGET)
		dlv_ledger_forget(w->ledger, hb_span_str(a->domain));
	end(a, 0, NULL); /* the owner says it */
}

static struct dlv_ledger_asking *
asking_new(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	struct dlv_ledger_asking *a = HB_NEW(struct dlv_ledger_asking);

	a->worker = w;
	a->to = (struct hb_ctl){ control, q->ref };
	a->verb = (enum hb_ctl_verb)q->verb;
	a->timer = hb_timer_new(w->env->loop, ask_slice, a);
	a->next = w->ledger_asking;
	a->at = &w->ledger_asking;
	if (a->next != NULL)
		a->next->at = &a->next;
	w->ledger_asking = a;
	return a;
}

/* Lower case: a key of the store. */
static int
take_domain(struct dlv_ledger_asking *a, struct hb_span arg)
{
	if (arg.n == 0 || hb_span_copy(arg, a->domain, sizeof(a->domain)) < 0)
		return HB_E_SYNTAX;
	for (char *p = a->domain; *p != '\0'; p++)
		*p = (char)hb_lower((unsigned char)*p);
	return 0;
}

bool
dlv_ledger_ctl(struct dlv_worker *w, struct hb_peer *control,
    const struct ipc_ctl *q)
{
	bool list = q->verb == HB_CTL_LEDGER_LIST;
	struct dlv_ledger_asking *a;

	if (!list && q->verb != HB_CTL_LEDGER_SHOW &&
	    q->verb != HB_CTL_LEDGER_FORGET)
		return false;
	a = asking_new(w, control, q);
	if (list)
		begin_list(a);
	else if (take_domain(a, q->arg) < 0)
		end(a, 1, "not a domain name");
	else
		begin_one(a);
	return true;
}

void
dlv_ledger_ctl_lost(struct dlv_worker *w, const struct hb_peer *control)
{
	for (struct dlv_ledger_asking *a = w->ledger_asking; a != NULL;
	     a = a->next)
		if (a->to.peer == control)
			a->to.peer = NULL;
}
