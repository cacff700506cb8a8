/* `hauberkctl sts list|show|refresh|expire|forget|export|import`.  Floor 3. */
#include "sts/sts-priv.h"

#include "common/base/err.h"

/* how far the clock of the server that exported may be ahead of ours */
enum { AHEAD_MS = 60 * 60 * 1000 };

static struct sts *
sts_of(const struct hb_ctl_ask *a)
{
	return a->all->ctx;
}

static void
fail(struct hb_ctl_ask *a, int err)
{
	hb_ctl_ask_end(a, 1,
	    err == HB_E_NOTFOUND ? "no policy is kept for this domain"
				 : hb_strerror(err));
}

/* 0, HB_E_NOTFOUND or what is wrong with the row. */
static int
policy_of(struct hb_span value, struct sts_record *r)
{
	int err = sts_record_decode(value, r);

	return err == 0 && sts_record_is_wait(r) ? HB_E_NOTFOUND : err;
}

/* A policy as `sts list' has it; WHOLE: with its text as it came. */
static void
put_record(const struct hb_ctl *to, struct hb_span domain,
    const struct sts_record *r, bool whole)
{
	struct hb_arena *arena = hb_arena_new();
	struct sts_policy p;
	const char *why;

	hb_ctl_object(to, NULL);
	hb_ctl_str(to, "domain", domain);
	hb_ctl_str(to, "id", r->id);
	if (sts_policy_parse(r->text, arena, &p, &why) == 0) {
		hb_ctl_text(to, "mode", sts_mode_word(p.mode));
		hb_ctl_array(to, "mx");
		for (size_t i = 0; i < p.nmx; i++)
			hb_ctl_str(to, NULL, p.mx[i]);
		hb_ctl_close(to);
		hb_ctl_int(to, "max_age", p.max_age_s);
	}
	hb_ctl_time(to, "fetched", r->fetched_ms);
	hb_ctl_time(to, "expires", r->expires_ms);
	hb_ctl_time(to, "refreshed", r->refreshed_ms);
	if (r->last_error.n > 0)
		hb_ctl_str(to, "last_error", r->last_error);
	else
		hb_ctl_null(to, "last_error");
	hb_ctl_str(to, "source", r->source);
	if (whole)
		hb_ctl_str(to, "text", r->text);
	hb_ctl_close(to);
	hb_arena_free(&arena);
}

/* --- list and export --- */

static void
put_row(struct hb_ctl_ask *a, struct hb_span key, struct hb_span value)
{
	struct sts_record r;

	if (!hb_span_eq(key, STS_CLOCK_KEY) && policy_of(value, &r) == 0)
		put_record(&a->to, key, &r, a->verb == HB_CTL_STS_EXPORT);
}

static void
begin_list(struct hb_ctl_ask *a)
{
	hb_ctl_ask_list(a, put_row);
}

/* show, and what refresh ends with: the owner alone answers */

static void
on_shown(void *ctx, int err, struct hb_span value)
{
	struct hb_ctl_ask *a = ctx;
	struct sts_record r;

	if (err == 0)
		err = policy_of(value, &r);
	if (err < 0) {
		fail(a, err);
		return;
	}
	if (a->to.peer != NULL)
		put_record(&a->to, hb_span_str(a->domain), &r, false);
	hb_ctl_ask_done(a, 0);
}

static void
begin_show(struct hb_ctl_ask *a)
{
	if (hb_ctl_ask_is_ours(a))
		hb_ctl_ask_get(a, on_shown);
	else
		hb_ctl_ask_end(a, 1, NULL);
}

static void
on_refreshed(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct hb_ctl_ask *a = ctx;
	bool there = ref != NULL;

	sts_ref_release(&ref);
	a->work = NULL;
	if (there)
		why = sts_last_error(sts_of(a), hb_span_str(a->domain));
	if (why != HB_REASON_NONE)
		hb_ctl_ask_end(a, 1, hb_reason_text(why));
	else
		begin_show(a);
}

static void
cancel_lookup(void *work)
{
	sts_lookup_cancel(work);
}

static void
begin_refresh(struct hb_ctl_ask *a)
{
	if (!hb_ctl_ask_is_ours(a)) {
		hb_ctl_ask_end(a, 1, NULL);
		return;
	}
	a->cancel = cancel_lookup;
	a->work = sts_lookup(
	    sts_of(a), hb_span_str(a->domain), STS_FORCE, on_refreshed, a);
}

/* expire and forget: the store first, then what is in memory.  Every worker
 * does it: copies may be in the memory of all (a smarthost that spilled). */

static void
drop(struct hb_ctl_ask *a, bool removed)
{
	sts_core_forget(sts_of(a)->core, hb_span_str(a->domain), removed,
	    sts_now(sts_of(a)));
}

static void
on_changed(void *ctx, int err)
{
	struct hb_ctl_ask *a = ctx;

	if (err == 0)
		drop(a, a->verb == HB_CTL_STS_FORGET);
	hb_ctl_ask_done(a, err);
}

/* There was no policy, but a wait before the next fetch. */
static void
on_wait_ended(void *ctx, int err)
{
	if (err == 0)
		drop(ctx, false);
	hb_ctl_ask_done(ctx, err);
}

static void
on_found(void *ctx, int err, struct hb_span value)
{
	struct hb_ctl_ask *a = ctx;
	struct hb_buf changed = HB_BUF_INIT(0);
	bool forget = a->verb == HB_CTL_STS_FORGET;
	struct sts_record r;
	int row = err == 0 ? policy_of(value, &r) : err;

	if (err == HB_E_NOTFOUND) /* another worker was faster, maybe */
		drop(a, forget);
	if (err < 0 || (row == HB_E_NOTFOUND && !forget)) {
		fail(a, row);
		return;
	}
	if (row == 0 && !forget) {
		r.expires_ms = sts_now(sts_of(a));
		sts_record_encode(&r, &changed);
	}
	hb_ctl_ask_put(a, hb_buf_span(&changed),
	    row == HB_E_NOTFOUND ? on_wait_ended : on_changed);
	hb_buf_free(&changed);
}

static void
begin_change(struct hb_ctl_ask *a)
{
	hb_ctl_ask_get(a, on_found);
}

/* import: a policy of another server, unless a newer one is here */

/* NULL, and the record as it is to be kept; or what is wrong with it. */
static const char *
check_import(const struct hb_ctl_ask *a, struct sts_record *r)
{
	struct sts_policy_ref *ref = NULL;
	int64_t now = sts_now(sts_of(a)), end;

	if (sts_record_decode(hb_buf_span(&a->value), r) == 0)
		ref = sts_ref_new(hb_span_str(a->domain), r);
	if (ref == NULL)
		return "not a policy";
	r->mode = ref->policy.mode;
	end = sts_expires_at(&ref->policy, r->refreshed_ms);
	sts_ref_release(&ref);
	if (r->fetched_ms <= 0 || r->fetched_ms > r->refreshed_ms ||
	    r->refreshed_ms > now + AHEAD_MS)
		return "fetched and refreshed are not in this order, or ahead "
		       "of the clock";
	if (r->expires_ms > end) /* RFC 8461 s3.2: not longer than max_age */
		r->expires_ms = end;
	return r->expires_ms > now ? NULL : "the policy has expired";
}

static void
on_imported(void *ctx, int err)
{
	hb_ctl_ask_end(ctx, err < 0 ? 1 : 0,
	    err < 0 ? hb_strerror(err) : "imported");
}

static void
import(struct hb_ctl_ask *a, const struct sts_record *r, bool there)
{
	struct hb_buf value = HB_BUF_INIT(0);

	sts_record_encode(r, &value);
	sts_core_imported(sts_of(a)->core, hb_span_str(a->domain),
	    hb_buf_span(&value), there, sts_now(sts_of(a)));
	hb_ctl_ask_put(a, hb_buf_span(&value), on_imported);
	hb_buf_free(&value);
}

static void
on_older(void *ctx, int err, struct hb_span value)
{
	struct hb_ctl_ask *a = ctx;
	struct sts_record old, new;
	int row = err == 0 ? policy_of(value, &old) : err;
	const char *why = check_import(a, &new);

	if (err < 0 && err != HB_E_NOTFOUND)
		hb_ctl_ask_done(a, err);
	else if (why != NULL)
		hb_ctl_ask_end(a, 1, why);
	else if (row == 0 && old.refreshed_ms >= new.refreshed_ms)
		hb_ctl_ask_end(a, 0, "kept");
	else
		import(a, &new, row != HB_E_NOTFOUND);
}

static void
begin_import(struct hb_ctl_ask *a)
{
	if (!sts_is_name(hb_span_str(a->domain)))
		hb_ctl_ask_end(a, 1, "not a domain name in A-labels");
	else if (!hb_ctl_ask_is_ours(a))
		hb_ctl_ask_end(
		    a, 1, "the workers are being changed: try again");
	else
		hb_ctl_ask_get(a, on_older);
}

static const struct hb_ctl_ask_verb verbs[] = {
	{ HB_CTL_STS_LIST, false, begin_list },
	{ HB_CTL_STS_EXPORT, false, begin_list },
	{ HB_CTL_STS_SHOW, true, begin_show },
	{ HB_CTL_STS_REFRESH, true, begin_refresh },
	{ HB_CTL_STS_EXPIRE, true, begin_change },
	{ HB_CTL_STS_FORGET, true, begin_change },
	{ HB_CTL_STS_IMPORT, true, begin_import },
};

bool
sts_ctl(struct sts *s, struct hb_peer *control, const struct ipc_ctl *q)
{
	return hb_ctl_ask(
	    &s->asks, verbs, HB_ARRAY_LEN(verbs), control, q);
}

void
sts_ctl_lost(struct sts *s, const struct hb_peer *control)
{
	hb_ctl_asks_lost(&s->asks, control);
}

void
sts_status(const struct sts *s, const struct hb_ctl *to)
{
	struct sts_counts n = sts_core_counts(s->core);

	sts_now(s);
	hb_ctl_int(to, "policies", (int64_t)n.kept);
	hb_ctl_int(to, "policies_failing", (int64_t)n.failing);
	hb_ctl_bool(to, "policies_counting", !n.whole);
	hb_ctl_text(
	    to, "clock", sts_clock_word(sts_core_clock_state(s->core)));
}
