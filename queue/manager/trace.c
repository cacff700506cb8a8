/* What happened to messages: the last events, for hauberkctl trace, and the
 * line of the log about an attempt.  Floor 4. */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

#include "common/proto/dane.h"
#include "common/proto/header.h"

enum { EVENTS = 4096 };

struct q_trace {
	struct q_event v[EVENTS];
	uint64_t n; /* ever added */
};

static void
keep(char *dst, size_t size, struct hb_span s)
{
	if (hb_span_copy(hb_span_head(s, size - 1), dst, size) < 0)
		dst[0] = '\0';
}

void
q_trace_add(struct q *q, uint64_t id, const char *what, uint32_t idx,
    struct hb_span rcpt, const struct hb_outcome *o)
{
	struct q_event *e;

	if (q->trace == NULL)
		q->trace = HB_NEW(struct q_trace);
	e = &q->trace->v[q->trace->n++ % EVENTS];
	*e = (struct q_event){ .id = id, .at_ms = hb_now_ms(), .what = what,
		.idx = idx };
	keep(e->rcpt, sizeof(e->rcpt), rcpt);
	if (o == NULL)
		return;
	e->result = (enum hb_result)o->result;
	e->reason = hb_outcome_reason(o);
	e->dane = o->tls.n > 0 ? hb_dane_word(o->dane) : "";
	e->code = o->code;
	keep(e->mx, sizeof(e->mx), o->mx);
	keep(e->addr, sizeof(e->addr), o->addr);
	keep(e->tls, sizeof(e->tls), o->tls);
	keep(e->sts, sizeof(e->sts), o->sts);
	keep(e->status, sizeof(e->status), hb_outcome_status(o));
	keep(e->text, sizeof(e->text), o->text);
}

void
q_trace_accept(struct q *q, const struct hb_env *env)
{
	struct q_event *e;

	q_trace_add(q, env->id, "accepted", 0, HB_SPAN_NONE, NULL);
	e = &q->trace->v[(q->trace->n - 1) % EVENTS];
	keep(e->text, sizeof(e->text), env->message_id);
}

/* What is longer than is kept is the same if its beginning is. */
static bool
is_id_of(const struct q_event *e, struct hb_span message_id)
{
	struct hb_span kept = hb_span_str(e->text);

	if (strcmp(e->what, "accepted") != 0)
		return false;
	return hb_message_id_eq(kept, message_id) ||
	    (kept.n == sizeof(e->text) - 1 &&
		hb_span_eq(kept, hb_span_head(message_id, kept.n)));
}

uint64_t
q_trace_find(const struct q *q, struct hb_span message_id)
{
	uint64_t n = q->trace != NULL ? q->trace->n : 0;

	for (uint64_t i = 0; i < n && i < EVENTS; i++) {
		const struct q_event *e = &q->trace->v[(n - 1 - i) % EVENTS];

		if (is_id_of(e, message_id))
			return e->id;
	}
	return 0;
}

void
q_tell_outcome(struct q *q, uint64_t id, int64_t delay_ms,
    const struct hb_rcpt *rcpt, const struct hb_outcome *o)
{
	bool remote = o->tls.n > 0; /* else it was no matter of a connection */
	bool taken = o->result == HB_RESULT_OK && o->from_remote != 0;

	HB_LOG(HB_LOG_INFO, HB_EV_DELIVERY, hb_kv_id(HB_K_MSG, id),
	    hb_kv_span(HB_K_RCPT, rcpt->address),
	    hb_kv_if(rcpt->original.n > 0,
		hb_kv_span(HB_K_ORIG, rcpt->original)),
	    hb_kv_span(HB_K_MX, o->mx),
	    hb_kv_if(remote, hb_kv_span(HB_K_ADDR, o->addr)),
	    hb_kv_str(HB_K_RESULT, hb_result_word(o->result)),
	    hb_kv_int(HB_K_CODE, hb_outcome_code(o)),
	    hb_kv_span(HB_K_STATUS, hb_outcome_status(o)),
	    hb_kv_span(HB_K_TLS, remote ? o->tls : HB_SPAN("none")),
	    hb_kv_if(o->kex.n > 0, hb_kv_span(HB_K_KEX, o->kex)),
	    hb_kv_span(HB_K_STS, o->sts.n > 0 ? o->sts : HB_SPAN("none")),
	    hb_kv_if(remote, hb_kv_str(HB_K_DANE, hb_dane_word(o->dane))),
	    hb_kv_str(HB_K_REASON, hb_reason_word(hb_outcome_reason(o))),
	    hb_kv_if(o->expired != 0, hb_kv_str(HB_K_EXPIRED, "yes")),
	    hb_kv_if(o->policy_id.n > 0,
		hb_kv_span(HB_K_POLICY_ID, o->policy_id)),
	    hb_kv_int(HB_K_DELAY_MS, delay_ms),
	    hb_kv_if(o->text.n > 0 && !taken,
		hb_kv_span(HB_K_TEXT, o->text)));
	q_trace_add(q, id, "attempt", rcpt->idx, rcpt->address, o);
}

const struct q_event *
q_trace_next(const struct q *q, uint64_t id, size_t *cursor)
{
	uint64_t n = q->trace != NULL ? q->trace->n : 0;
	uint64_t from = n > EVENTS ? n - EVENTS : 0;

	while (from + *cursor < n) {
		const struct q_event *e =
		    &q->trace->v[(from + (*cursor)++) % EVENTS];

		if (e->id == id)
			return e;
	}
	return NULL;
}
