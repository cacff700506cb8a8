/*
 * `hauberkctl sts import`: policies of another server are added to the store
 * unless it has a newer one.  Floor 3.
 *
 * Control sends each as STS_ROW; an element of the answer to STS_IMPORT reports
 * it when the store has taken it, or its error.  The store flushes many at a
 * time; the answer ends when all are durable.
 */
#include "sts/sts-priv.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/limits.h"

enum {
	/* how far the clock of the other server may be ahead of ours */
	AHEAD_MS = 60 * 60 * 1000,
	FLUSH_ROWS = 8192
};

struct sts_import {
	LIST_ENTRY(sts_import) link;
	struct sts *s;
	struct hb_ctl to; /* its peer is NULL when control is gone */
	LIST_HEAD(, row) rows; /* on their way to the store */
	size_t puts;      /* so far */
	size_t unflushed; /* of them not durable yet */
	int failed;       /* of one of them */
	struct hb_buf domain, value; /* of the last one */
	bool over;	  /* no more will come */
	bool flushed;     /* it was asked for */
};

struct row {
	LIST_ENTRY(row) link;
	struct sts_import *im;
	uint64_t line;
	size_t size; /* of the policy's text */
	int64_t refreshed_ms;
	bool there; /* an older one is */
	struct hb_buf domain, value;
};

static void on_put(void *ctx, int err);

static void
put(struct sts_import *im, bool lazy)
{
	const struct sts_env *env = &im->s->env;

	im->unflushed++;
	env->ops->put(env->store, hb_buf_span(&im->domain),
	    hb_buf_span(&im->value), lazy, on_put, im);
}

/* False: something is still to be waited for. */
static bool
is_done(struct sts_import *im)
{
	if (!LIST_EMPTY(&im->rows) || (!im->over && im->to.peer != NULL))
		return false;
	if (im->unflushed > 0 && !im->flushed) {
		im->flushed = true;
		put(im, false); /* once more: flushes those before it */
	}
	return im->unflushed == 0;
}

static void
end_if_over(struct sts_import *im)
{
	if (!is_done(im))
		return;
	if (im->to.peer != NULL) {
		hb_ctl_close(&im->to);
		hb_ctl_end(&im->to, im->failed < 0,
		    im->failed < 0 ? hb_strerror(im->failed) : NULL);
	}
	hb_buf_free(&im->domain);
	hb_buf_free(&im->value);
	LIST_REMOVE(im, link);
	free(im);
}

static void
answer(const struct sts_import *im, uint64_t line, size_t size,
    const char *result)
{
	if (im->to.peer == NULL)
		return;
	hb_ctl_object(&im->to, NULL);
	hb_ctl_int(&im->to, "line", (int64_t)line);
	hb_ctl_int(&im->to, "size", (int64_t)size);
	hb_ctl_text(&im->to, "result", result);
	hb_ctl_close(&im->to);
}

static void
row_free(struct row *r)
{
	LIST_REMOVE(r, link);
	hb_buf_free(&r->domain);
	hb_buf_free(&r->value);
	free(r);
}

static void
row_end(struct row *r, const char *result)
{
	struct sts_import *im = r->im;

	answer(im, r->line, r->size, result);
	row_free(r);
	end_if_over(im);
}

static void
on_put(void *ctx, int err)
{
	struct sts_import *im = ctx;

	if (err < 0)
		im->failed = err;
	im->unflushed--;
	end_if_over(im);
}

static void
row_put(struct row *r)
{
	struct sts_import *im = r->im;

	sts_core_imported(im->s->core, hb_buf_span(&r->domain),
	    hb_buf_span(&r->value), r->there, sts_now(im->s));
	hb_buf_clear(&im->domain);
	hb_buf_add(&im->domain, hb_buf_span(&r->domain));
	hb_buf_clear(&im->value);
	hb_buf_add(&im->value, hb_buf_span(&r->value));
	put(im, ++im->puts % FLUSH_ROWS != 0);
	row_end(r, "imported");
}

/* Or all that the store knows is that fetching one failed. */
static bool
is_policy(struct hb_span value)
{
	struct sts_record r;

	return sts_record_decode(value, &r) < 0 || !sts_record_is_wait(&r);
}

static void
on_got(void *ctx, int err, struct hb_span value)
{
	struct row *r = ctx;
	struct sts_record old;

	r->there = err == 0 && is_policy(value);
	if (err < 0 && err != HB_E_NOTFOUND) {
		row_end(r, hb_strerror(err));
		return;
	}
	if (r->there && sts_record_decode(value, &old) == 0 &&
	    old.refreshed_ms >= r->refreshed_ms) {
		row_end(r, "kept");
		return;
	}
	row_put(r);
}

/* NULL, and the record; or what is wrong with the policy. */
static const char *
check(const struct sts *s, const struct ipc_sts_row *m, struct sts_record *r)
{
	struct sts_policy_ref *ref;
	int64_t now = sts_now(s), end;

	if (!sts_is_name(m->domain))
		return "not a domain name in A-labels";
	if (!hb_store_owns(s->env.ops, s->env.store, m->domain))
		return "the workers are being changed: try again";
	*r = (struct sts_record){ .id = m->id,
		.fetched_ms = m->fetched_ms,
		.expires_ms = m->expires_ms,
		.refreshed_ms = m->refreshed_ms,
		.tried_ms = m->refreshed_ms,
		.source = HB_SPAN("imported"),
		.text = m->text };
	if (!sts_is_id(m->id))
		return "id is not 1 to 32 letters and digits";
	if (m->fetched_ms <= 0 || m->fetched_ms > m->refreshed_ms ||
	    m->refreshed_ms > now + AHEAD_MS)
		return "fetched and refreshed are not in this order, or ahead "
		       "of the clock";
	ref = sts_ref_new(m->domain, r);
	if (ref == NULL)
		return "not a policy";
	r->mode = ref->policy.mode;
	end = sts_expires_at(&ref->policy, m->refreshed_ms);
	sts_ref_release(&ref);
	if (m->expires_ms > end) /* RFC 8461 s3.2: not longer than max_age */
		r->expires_ms = end;
	return r->expires_ms > now ? NULL : "the policy has expired";
}

static void
take(struct sts_import *im, const struct ipc_sts_row *m)
{
	const struct sts_env *env = &im->s->env;
	struct sts_record record;
	const char *why = check(im->s, m, &record);
	struct row *r;

	if (why != NULL) {
		answer(im, m->line, m->text.n, why);
		return;
	}
	r = HB_NEW(struct row);
	*r = (struct row){ .im = im,
		.line = m->line,
		.size = m->text.n,
		.refreshed_ms = m->refreshed_ms,
		.domain = HB_BUF_INIT(0),
		.value = HB_BUF_INIT(0) };
	hb_buf_add(&r->domain, m->domain);
	sts_record_encode(&record, &r->value);
	LIST_INSERT_HEAD(&im->rows, r, link);
	env->ops->get(env->store, hb_buf_span(&r->domain), on_got, r);
}

void
sts_import_row(
    struct sts *s, const struct hb_peer *control, const struct ipc_sts_row *m)
{
	struct sts_import *im;

	LIST_FOREACH(im, &s->imports, link)
		if (im->to.peer == control && im->to.ref == m->ref &&
		    !im->over)
			break;
	if (im == NULL)
		return; /* the import ended meanwhile */
	if (m->domain.n > 0) {
		take(im, m);
		return;
	}
	im->over = true;
	end_if_over(im);
}

void
sts_import_begin(struct sts *s, struct hb_peer *control, uint32_t ref)
{
	struct sts_import *im = HB_NEW(struct sts_import);

	im->s = s;
	im->to = (struct hb_ctl){ control, ref };
	im->domain = HB_BUF_INIT(0);
	im->value = HB_BUF_INIT(0);
	LIST_INSERT_HEAD(&s->imports, im, link);
	hb_ctl_array(&im->to, NULL);
}

void
sts_import_free(struct sts *s)
{
	struct sts_import *im;

	while ((im = LIST_FIRST(&s->imports)) != NULL) {
		while (!LIST_EMPTY(&im->rows))
			row_free(LIST_FIRST(&im->rows));
		im->to.peer = NULL;
		im->unflushed = 0;
		end_if_over(im);
	}
}

void
sts_import_lost(struct sts *s, const struct hb_peer *control)
{
	struct sts_import *im, *next;

	for (im = LIST_FIRST(&s->imports); im != NULL; im = next) {
		next = LIST_NEXT(im, link);
		if (im->to.peer != control)
			continue;
		im->to.peer = NULL;
		end_if_over(im);
	}
}
