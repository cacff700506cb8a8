/* The machine of an attempt and its life.  Floor 2. */
#include "delivery/smtp/attempt-priv.h"

#include <stdlib.h>

/* --- the machine --- */

/* When the hosts cannot be learnt now the policy is not waited for: after
 * trouble of DNS that takes a minute.  An explanation wants to show it. */
static bool
is_hopeless(const struct dlv_attempt *a)
{
	return a->order.mode == DLV_SEND && a->mx.result == HB_RESULT_DEFER;
}

/* Returns whether something was done; false: wait for an answer. */
static bool
advance(struct dlv_attempt *a)
{
	switch (a->step) {
	case DLV_STEP_LEARN:
		if (a->waiting > 0 && !is_hopeless(a))
			return false;
		if (!dlv_learn_more(a))
			dlv_learned(a);
		return true;
	case DLV_STEP_NEXT:
		dlv_choose(a);
		return true;
	case DLV_STEP_DANE:
		dlv_ask_dane(a);
		return true;
	case DLV_STEP_JUDGE:
		dlv_judge(a);
		return true;
	case DLV_STEP_WAIT:
	case DLV_STEP_END:
	case DLV_STEP_ENDED:
		break;
	}
	return false;
}

/* Goes on after an event; may free the attempt. */
static void
run(struct dlv_attempt *a)
{
	while (advance(a))
		;
	if (a->step == DLV_STEP_END) {
		dlv_settle(a, &a->problem);
		a->step = DLV_STEP_ENDED;
		a->world->done(a->w);
	}
}

void
dlv_attempt_start(struct dlv_attempt *a)
{
	if (dlv_learn_route(a))
		dlv_learn(a);
	else
		dlv_end_with(a, HB_RESULT_DEFER, HB_REASON_CONFIG);
	run(a);
}

void
dlv_attempt_policy(struct dlv_attempt *a, const struct sts_policy *policy,
    enum hb_reason why)
{
	a->waiting--;
	dlv_take_policy(a, policy, why);
	run(a);
}

void
dlv_attempt_ledger(struct dlv_attempt *a, const struct dlv_seen *seen)
{
	a->waiting--;
	dlv_take_ledger(a, seen);
	run(a);
}

void
dlv_attempt_answer(struct dlv_attempt *a, size_t slot,
    const struct hb_dns_answer *answer)
{
	a->waiting--;
	dlv_take_answer(a, slot, answer);
	run(a);
}

void
dlv_attempt_connection(struct dlv_attempt *a,
    const struct dlv_connection_report *report)
{
	dlv_take_report(a, report);
	run(a);
}

struct dlv_attempt *
dlv_attempt_new(const struct dlv_params *order, const struct dlv_world *world,
    void *w)
{
	struct dlv_attempt *a = HB_NEW(struct dlv_attempt);
	size_t n = order->nrcpt + 1;

	a->order = *order;
	a->world = world;
	a->w = w;
	a->arena = hb_arena_new();
	a->outcome = hb_arena_alloc(a->arena, n * sizeof(*a->outcome));
	a->txn.rcpt = hb_arena_alloc(a->arena, n * sizeof(*a->txn.rcpt));
	a->index = hb_arena_alloc(a->arena, n * sizeof(*a->index));
	return a;
}

void
dlv_attempt_free(struct dlv_attempt **ap)
{
	if (*ap == NULL)
		return;
	hb_arena_free(&(*ap)->arena);
	free(*ap);
	*ap = NULL;
}

const struct hb_outcome *
dlv_attempt_outcome(const struct dlv_attempt *a, size_t rcpt)
{
	return &a->outcome[rcpt];
}

bool
dlv_attempt_unreachable(const struct dlv_attempt *a)
{
	return a->reach == DLV_REACH_TRIED && !a->policy_problem;
}

const struct dlv_mx *
dlv_attempt_mx(const struct dlv_attempt *a)
{
	return &a->mx;
}

const struct dlv_mx_result *
dlv_attempt_trial(const struct dlv_attempt *a, size_t i)
{
	return &a->trials[i];
}

const struct sts_channel *
dlv_attempt_channel(const struct dlv_attempt *a)
{
	return &a->channel;
}

enum dlv_trust
dlv_attempt_trust(const struct dlv_attempt *a)
{
	return a->trust;
}

const char *
dlv_attempt_policy_domain(const struct dlv_attempt *a)
{
	return a->policy_domain;
}

const struct hb_outcome *
dlv_attempt_problem(const struct dlv_attempt *a)
{
	return &a->problem;
}
