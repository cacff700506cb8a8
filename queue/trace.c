/* The last events of messages, for hauberkctl trace.  Floor 4. */
#include "config.h"

#include "queue/role.h"

#include <stdlib.h>

enum { EVENTS = 8192 };

struct q_trace {
	struct q_event v[EVENTS];
	uint64_t n; /* ever added */
};

void
q_trace_add(struct q *q, uint64_t id, const char *what, uint32_t idx,
    const struct hb_outcome *o)
{
	struct q_event *e;

	if (q->trace == NULL)
		q->trace = HB_NEW(struct q_trace);
	e = &q->trace->v[q->trace->n++ % EVENTS];
	*e = (struct q_event){ .id = id, .at_ms = hb_now_ms(), .what = what,
		.idx = idx };
	if (o == NULL)
		return;
	e->result = (enum hb_result)o->result;
	e->reason = (enum hb_reason)o->reason;
	if (hb_span_copy(hb_span_head(o->text, sizeof(e->text) - 1), e->text,
	    sizeof(e->text)) < 0)
		e->text[0] = 0;
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
