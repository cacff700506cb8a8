/* Control requests that the durable store answers.  Floor 3. */
#include "config.h"

#include "common/io/ctlask.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum {
	ROWS = 100,                    /* of one slice of a list */
	PENDING_MAX = 4 * 1024 * 1024, /* bytes: then the list waits */
	PENDING_WAIT_MS = 20
};

void
hb_ctl_ask_end(struct hb_ctl_ask *a, unsigned code, const char *text)
{
	if (a->to.peer != NULL)
		hb_ctl_end(&a->to, code, text);
	hb_timer_free(&a->timer);
	hb_buf_free(&a->value);
	LIST_REMOVE(a, link);
	free(a);
}

void
hb_ctl_ask_done(struct hb_ctl_ask *a, int err)
{
	hb_ctl_ask_end(a, err < 0 ? 1 : 0, err < 0 ? hb_strerror(err) : NULL);
}

static bool
is_ours(const struct hb_ctl_ask *a, struct hb_span domain)
{
	return hb_store_owns(a->all->ops, a->all->store, domain);
}

bool
hb_ctl_ask_is_ours(const struct hb_ctl_ask *a)
{
	return is_ours(a, hb_span_str(a->domain));
}

/* --- one row --- */

void
hb_ctl_ask_get(struct hb_ctl_ask *a, hb_store_got_fn got)
{
	const struct hb_ctl_asks *all = a->all;

	all->ops->get(all->store, hb_span_str(a->domain), got, a);
}

void
hb_ctl_ask_put(
    struct hb_ctl_ask *a, struct hb_span value, hb_store_done_fn done)
{
	const struct hb_ctl_asks *all = a->all;

	all->ops->put(
	    all->store, hb_span_str(a->domain), value, false, done, a);
}

/* --- lists --- */

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct hb_ctl_ask *a = ctx;

	a->rows++;
	if (hb_span_copy(key, a->last, sizeof(a->last)) < 0)
		return;
	if (a->to.peer != NULL && is_ours(a, key))
		a->row(a, key, value);
}

static void
on_slice(void *ctx, int err)
{
	struct hb_ctl_ask *a = ctx;

	bool cut = err == HB_E_LIMIT;

	if ((err < 0 && !cut) || a->to.peer == NULL) {
		hb_ctl_ask_done(a, err);
	} else if (cut || a->rows >= ROWS) {
		hb_timer_set(a->timer, 0);
	} else {
		hb_ctl_close(&a->to);
		hb_ctl_ask_done(a, 0);
	}
}

static void
ask_slice(void *ctx)
{
	struct hb_ctl_ask *a = ctx;
	const struct hb_ctl_asks *all = a->all;

	if (a->to.peer != NULL && hb_peer_pending(a->to.peer) > PENDING_MAX) {
		hb_timer_set(a->timer, PENDING_WAIT_MS);
		return;
	}
	a->rows = 0;
	all->ops->list(
	    all->store, hb_span_str(a->last), ROWS, on_row, on_slice, a);
}

void
hb_ctl_ask_list(struct hb_ctl_ask *a, hb_ctl_ask_row_fn row)
{
	a->row = row;
	a->timer = hb_timer_new(a->all->loop, ask_slice, a);
	hb_ctl_array(&a->to, NULL);
	ask_slice(a);
}

/* --- questions --- */

static struct hb_ctl_ask *
ask_new(
    struct hb_ctl_asks *all, struct hb_peer *control, const struct ipc_ctl *q)
{
	struct hb_ctl_ask *a = HB_NEW(struct hb_ctl_ask);

	a->all = all;
	a->to = (struct hb_ctl){ control, q->ref };
	a->verb = (enum hb_ctl_verb)q->verb;
	a->value = HB_BUF_INIT(0);
	hb_buf_add(&a->value, q->value);
	LIST_INSERT_HEAD(&all->list, a, link);
	return a;
}

static int
take_domain(struct hb_ctl_ask *a, struct hb_span arg)
{
	if (arg.n == 0 || hb_span_copy(arg, a->domain, sizeof(a->domain)) < 0)
		return HB_E_SYNTAX;
	(void)hb_span_lower(arg, a->domain);
	return 0;
}

bool
hb_ctl_ask(struct hb_ctl_asks *all, const struct hb_ctl_ask_verb *verbs,
    size_t n, struct hb_peer *control, const struct ipc_ctl *q)
{
	const struct hb_ctl_ask_verb *v = verbs;
	struct hb_ctl_ask *a;

	while (v < verbs + n && v->verb != q->verb)
		v++;
	if (v == verbs + n)
		return false;
	a = ask_new(all, control, q);
	if (v->domain && take_domain(a, q->arg) < 0)
		hb_ctl_ask_end(a, 1, "not a domain name");
	else
		v->begin(a);
	return true;
}

void
hb_ctl_asks_lost(struct hb_ctl_asks *all, const struct hb_peer *control)
{
	struct hb_ctl_ask *a;

	LIST_FOREACH(a, &all->list, link)
		if (a->to.peer == control)
			a->to.peer = NULL;
}

void
hb_ctl_asks_free(struct hb_ctl_asks *all)
{
	struct hb_ctl_ask *a;

	while ((a = LIST_FIRST(&all->list)) != NULL) {
		a->to.peer = NULL;
		if (a->work != NULL)
			a->cancel(a->work);
		hb_ctl_ask_done(a, 0);
	}
}
