/* `hauberkctl sts list|show|refresh|expire|forget|export`.  Floor 3. */
#include "sts/sts-priv.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/ctlreply.h"

enum {
	ROWS = 100,                    /* of one slice of the list */
	PENDING_MAX = 4 * 1024 * 1024, /* bytes: then the list waits */
	PENDING_WAIT_MS = 20
};

static const char none_kept[] = "no policy is kept for this domain";

/* One question.  The store's answer keeps it alive, control's loss makes it
 * silent (peer NULL). */
struct sts_asking {
	struct sts_asking *next, **at;
	struct sts *s;
	struct hb_ctl to;
	enum hb_ctl_verb verb;
	struct sts_lookup *lookup;
	struct hb_timer *timer;
	char domain[HB_MAX_DOMAIN + 1];
	char last[HB_MAX_DOMAIN + 1]; /* list: row before the next slice */
	size_t rows;
};

static void
end(struct sts_asking *a, unsigned code, const char *text)
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
put_policy(const struct hb_ctl *to, const struct sts_policy *p)
{
	hb_ctl_text(to, "mode", sts_mode_word(p->mode));
	hb_ctl_array(to, "mx");
	for (size_t i = 0; i < p->nmx; i++)
		hb_ctl_str(to, NULL, p->mx[i]);
	hb_ctl_close(to);
	hb_ctl_int(to, "max_age", p->max_age_s);
}

/* One object of INTERFACE section 4; WHOLE: with the policy as it came. */
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
	if (sts_policy_parse(r->text, arena, &p, &why) == 0)
		put_policy(to, &p);
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

/* list */

static void ask_slice(void *ctx);

static void
on_row(void *ctx, struct hb_span key, struct hb_span value)
{
	struct sts_asking *a = ctx;
	struct sts_record r;

	a->rows++;
	if (hb_span_copy(key, a->last, sizeof(a->last)) < 0 ||
	    hb_span_eq(key, STS_CLOCK_KEY))
		return;
	if (a->to.peer != NULL && sts_owns(a->s, key) &&
	    sts_record_decode(value, &r) == 0)
		put_record(&a->to, key, &r, a->verb == HB_CTL_STS_EXPORT);
}

static void
on_slice(void *ctx, int err)
{
	struct sts_asking *a = ctx;

	if (err < 0 || a->to.peer == NULL) {
		end(a, 1, hb_strerror(err));
	} else if (a->rows >= ROWS) {
		hb_timer_set(a->timer, hb_peer_pending(a->to.peer) > PENDING_MAX
					   ? PENDING_WAIT_MS
					   : 0);
	} else {
		hb_ctl_close(&a->to);
		end(a, 0, NULL);
	}
}

static void
ask_slice(void *ctx)
{
	struct sts_asking *a = ctx;
	const struct sts_env *env = &a->s->env;

	if (a->to.peer != NULL && hb_peer_pending(a->to.peer) > PENDING_MAX) {
		hb_timer_set(a->timer, PENDING_WAIT_MS);
		return;
	}
	a->rows = 0;
	env->ops->list(
	    env->store, hb_span_str(a->last), ROWS, on_row, on_slice, a);
}

static void
begin_list(struct sts_asking *a)
{
	hb_ctl_array(&a->to, NULL);
	ask_slice(a);
}

/* show, and what refresh ends with */

static void
on_shown(void *ctx, int err, struct hb_span value)
{
	struct sts_asking *a = ctx;
	struct sts_record r;

	if (err == 0)
		err = sts_record_decode(value, &r);
	if (err < 0) {
		end(a, 1, err == HB_E_NOTFOUND ? none_kept : hb_strerror(err));
		return;
	}
	if (a->to.peer != NULL)
		put_record(&a->to, hb_span_str(a->domain), &r, false);
	end(a, 0, NULL);
}

static void
begin_show(struct sts_asking *a)
{
	const struct sts_env *env = &a->s->env;

	env->ops->get(env->store, hb_span_str(a->domain), on_shown, a);
}

static void
on_refreshed(void *ctx, struct sts_policy_ref *ref, enum hb_reason why)
{
	struct sts_asking *a = ctx;
	bool there = ref != NULL;

	sts_ref_release(&ref);
	a->lookup = NULL;
	if (there)
		why = sts_core_last_error(a->s->core, hb_span_str(a->domain));
	if (why != HB_REASON_NONE)
		end(a, 1, hb_reason_text(why));
	else
		begin_show(a);
}

static void
begin_refresh(struct sts_asking *a)
{
	struct sts_lookup *l = sts_lookup(
	    a->s, hb_span_str(a->domain), STS_FORCE, on_refreshed, a);

	if (l != NULL)
		a->lookup = l;
}

/* expire and forget: the store first, then what is in memory.  Every worker
 * does it: copies may be in the memory of all (a smarthost that spilled). */

static void
drop(struct sts_asking *a)
{
	sts_core_forget(a->s->core, hb_span_str(a->domain),
	    a->verb == HB_CTL_STS_FORGET, sts_now(a->s));
}

static void
on_changed(void *ctx, int err)
{
	struct sts_asking *a = ctx;

	if (err == 0)
		drop(a);
	end(a, err < 0 ? 1 : 0, err < 0 ? hb_strerror(err) : NULL);
}

static void
on_found(void *ctx, int err, struct hb_span value)
{
	struct sts_asking *a = ctx;
	const struct sts_env *env = &a->s->env;
	struct hb_buf changed = HB_BUF_INIT(0);
	struct sts_record r;

	if (err == HB_E_NOTFOUND) /* another worker was faster, maybe */
		drop(a);
	if (err < 0) {
		end(a, 1, err == HB_E_NOTFOUND ? none_kept : hb_strerror(err));
		return;
	}
	if (a->verb == HB_CTL_STS_EXPIRE && sts_record_decode(value, &r) == 0) {
		r.expires_ms = sts_now(a->s);
		sts_record_encode(&r, &changed);
	}
	env->ops->put(env->store, hb_span_str(a->domain), hb_buf_span(&changed),
	    false, on_changed, a);
	hb_buf_free(&changed);
}

static void
begin_change(struct sts_asking *a)
{
	const struct sts_env *env = &a->s->env;

	env->ops->get(env->store, hb_span_str(a->domain), on_found, a);
}

static const struct {
	enum hb_ctl_verb verb;
	bool domain, owner; /* has one; and its owner alone answers */
	void (*begin)(struct sts_asking *a);
} verbs[] = {
	{ HB_CTL_STS_LIST, false, false, begin_list },
	{ HB_CTL_STS_EXPORT, false, false, begin_list },
	{ HB_CTL_STS_SHOW, true, true, begin_show },
	{ HB_CTL_STS_REFRESH, true, true, begin_refresh },
	{ HB_CTL_STS_EXPIRE, true, false, begin_change },
	{ HB_CTL_STS_FORGET, true, false, begin_change },
};

static struct sts_asking *
asking_new(struct sts *s, struct hb_peer *control, const struct ipc_ctl *q)
{
	struct sts_asking *a = HB_NEW(struct sts_asking);

	a->s = s;
	a->to = (struct hb_ctl){ control, q->ref };
	a->verb = (enum hb_ctl_verb)q->verb;
	a->timer = hb_timer_new(s->env.loop, ask_slice, a);
	a->next = s->asking;
	a->at = &s->asking;
	if (a->next != NULL)
		a->next->at = &a->next;
	s->asking = a;
	return a;
}

/* Lower case: a key of the store. */
static int
take_domain(struct sts_asking *a, struct hb_span arg)
{
	if (arg.n == 0 || hb_span_copy(arg, a->domain, sizeof(a->domain)) < 0)
		return HB_E_SYNTAX;
	for (char *p = a->domain; *p != '\0'; p++)
		*p = (char)hb_lower((unsigned char)*p);
	return 0;
}

bool
sts_ctl(struct sts *s, struct hb_peer *control, const struct ipc_ctl *q)
{
	struct sts_asking *a;
	size_t i = 0;

	while (i < HB_ARRAY_LEN(verbs) && verbs[i].verb != q->verb)
		i++;
	if (q->verb == HB_CTL_STS_IMPORT) {
		sts_import_begin(s, control, q->ref);
		return true;
	}
	if (i == HB_ARRAY_LEN(verbs))
		return false;
	a = asking_new(s, control, q);
	if (verbs[i].domain && take_domain(a, q->arg) < 0)
		end(a, 1, "not a domain name");
	else if (verbs[i].owner && !sts_owns(s, hb_span_str(a->domain)))
		end(a, 1, NULL); /* another worker says it */
	else
		verbs[i].begin(a);
	return true;
}

void
sts_ctl_lost(struct sts *s, const struct hb_peer *control)
{
	for (struct sts_asking *a = s->asking; a != NULL; a = a->next)
		if (a->to.peer == control)
			a->to.peer = NULL;
	sts_import_lost(s, control);
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

void
sts_ctl_free(struct sts *s)
{
	for (struct sts_asking *a = s->asking; a != NULL; a = a->next)
		a->to.peer = NULL;
	while (s->asking != NULL) {
		sts_lookup_cancel(s->asking->lookup);
		end(s->asking, 0, NULL);
	}
}
