/*
 * Troubles of roles and of the parent itself, see common/io/trouble.h.  Floor
 * 4.  Several processes of a role may have the same one: the first begins it in
 * the log and the last ends it.  The troubles of a process are forgotten when
 * it ends; the next process finds them again.
 */
#include "config.h"

#include <stdlib.h>

#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/parent/parent.h"
#include "common/io/ctlreply.h"
#include "common/io/trouble.h"

struct pd_trouble {
	enum hb_role role;
	unsigned instance;
	enum hb_event ev;
	char *what, *text;
	int64_t since_ms;
};

static bool
is_about(const struct pd_trouble *t, enum hb_event ev, struct hb_span what)
{
	return t->ev == ev && hb_span_eq(hb_span_str(t->what), what);
}

static bool
is_of(const struct pd_trouble *t, enum hb_role role, unsigned instance)
{
	return t->role == role && t->instance == instance;
}

static void
log_trouble(const struct pd_trouble *t, bool on)
{
	HB_LOG(on ? HB_LOG_ERROR : HB_LOG_INFO, t->ev,
	    hb_kv_str(HB_K_STATE, on ? "trouble" : "over"),
	    hb_kv_str(t->what[0] == '/' ? HB_K_FILE : HB_K_WORD, t->what),
	    hb_kv_if(on, hb_kv_str(HB_K_ERROR, t->text)),
	    hb_kv_str(HB_K_NAME, hb_role_name(t->role)));
}

/* Takes row I out.  Returns whether nobody else has the same. */
static bool
remove_row(struct pd_parent *pd, size_t i)
{
	struct pd_trouble gone = pd->troubles[i];
	bool last = true;

	pd->troubles[i] = pd->troubles[--pd->ntroubles];
	for (size_t k = 0; k < pd->ntroubles; k++)
		if (is_about(&pd->troubles[k], gone.ev,
			hb_span_str(gone.what)))
			last = false;
	free(gone.what);
	free(gone.text);
	return last;
}

static void
begin(struct pd_parent *pd, const struct pd_trouble *by, struct hb_span what,
    struct hb_span text)
{
	struct pd_trouble *t = NULL;
	bool known = false;
	size_t of_role = 0;

	for (size_t i = 0; i < pd->ntroubles; i++) {
		struct pd_trouble *row = &pd->troubles[i];

		of_role += is_of(row, by->role, by->instance);
		if (!is_about(row, by->ev, what))
			continue;
		known = true;
		if (is_of(row, by->role, by->instance))
			t = row;
	}
	if (t == NULL && of_role >= HB_MAX_TROUBLES)
		return;
	if (t == NULL) {
		pd->troubles = hb_realloc(pd->troubles,
		    (pd->ntroubles + 1) * sizeof(*t));
		t = &pd->troubles[pd->ntroubles++];
		*t = *by;
		t->what = hb_span_dup(what);
		t->since_ms = hb_now_ms();
	}
	free(t->text);
	t->text = hb_span_dup(text);
	if (!known)
		log_trouble(t, true);
}

static void
end(struct pd_parent *pd, const struct pd_trouble *by, struct hb_span what)
{
	for (size_t i = 0; i < pd->ntroubles; i++) {
		struct pd_trouble t = pd->troubles[i];

		if (!is_of(&t, by->role, by->instance) ||
		    !is_about(&t, by->ev, what))
			continue;
		t.what = hb_span_dup(what);
		t.text = NULL; /* goes with the row */
		if (remove_row(pd, i))
			log_trouble(&t, false);
		free(t.what);
		return;
	}
}

void
pd_on_trouble(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_trouble *m)
{
	const struct pd_trouble by = { .role = hb_peer_role(p),
		.instance = hb_peer_instance(p),
		.ev = (enum hb_event)m->event };

	if (hb_span_find(m->what, 0) < m->what.n ||
	    hb_span_find(m->text, 0) < m->text.n)
		hb_peer_violation(p, "TROUBLE with a NUL byte");
	else if (m->on != 0)
		begin(pd, &by, m->what, m->text);
	else
		end(pd, &by, m->what);
}

void
pd_own_trouble(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text)
{
	const struct pd_trouble by = { .role = HB_ROLE_PARENT, .ev = ev };

	if (on)
		begin(ctx, &by, what, text);
	else
		end(ctx, &by, what);
}

void
pd_trouble_forget(struct pd_parent *pd, const struct pd_proc *pr)
{
	for (size_t i = pd->ntroubles; i-- > 0;)
		if (is_of(&pd->troubles[i], pr->role, pr->instance))
			(void)remove_row(pd, i);
}

/* Is one above row I of the same role about the same? */
static bool
is_repeated(const struct pd_parent *pd, size_t i)
{
	const struct pd_trouble *t = &pd->troubles[i];

	for (size_t k = 0; k < i; k++)
		if (pd->troubles[k].role == t->role &&
		    is_about(&pd->troubles[k], t->ev, hb_span_str(t->what)))
			return true;
	return false;
}

void
pd_answer_trouble(const struct hb_ctl *c, const struct pd_parent *pd)
{
	hb_ctl_array(c, "trouble");
	for (size_t i = 0; i < pd->ntroubles; i++) {
		const struct pd_trouble *t = &pd->troubles[i];

		if (is_repeated(pd, i))
			continue;
		hb_ctl_object(c, NULL);
		hb_ctl_text(c, "kind", hb_event_name(t->ev));
		hb_ctl_text(c, "what", t->what);
		hb_ctl_text(c, "text", t->text);
		hb_ctl_text(c, "role", hb_role_name(t->role));
		hb_ctl_time(c, "since", t->since_ms);
		hb_ctl_close(c);
	}
	hb_ctl_close(c);
}
