/*
 * Parts of what an address expands to, while they are on their way to the disk.
 * Floor 4.  Who removes the address, or returns its mail, takes them back.
 */
#include "config.h"

#include "queue/manager/role.h"

#include <stdlib.h>

static uint64_t
key_of(uint64_t id, uint32_t idx)
{
	return id + ((uint64_t)idx << 32);
}

void
q_piece_begin(struct q *q, struct q_part *p)
{
	p->is_on_way = true;
	hb_rows_add(&q->pieces, p, key_of(p->id, p->idx));
}

void
q_piece_end(struct q *q, struct q_part *p)
{
	if (p->is_on_way)
		hb_rows_remove(&q->pieces, p);
	p->is_on_way = false;
}

void
q_piece_take_back(struct q *q, const struct q_part *p)
{
	static const struct hb_outcome removed = { .result = HB_RESULT_FAIL,
		.reason = HB_REASON_REMOVED };
	struct q_change *c = hb_calloc(p->count + 1, sizeof(*c));

	for (uint32_t i = 0; i < p->count; i++)
		c[i] = (struct q_change){ .kind = Q_CHANGE_DONE,
			.idx = p->first + i, .outcome = &removed,
			.route = HB_SPAN("discard:") };
	if (p->count > 0)
		q_record(q, p->id, c, p->count, NULL, NULL);
	free(c);
}

void
q_pieces_leave(struct q *q, const struct sched_rcpt *r)
{
	const struct q_part *p = hb_rows_find(&q->pieces,
	    key_of(r->msg->id, r->idx));

	while (p != NULL && (p->id != r->msg->id || p->idx != r->idx))
		p = hb_rows_same(p);
	if (p != NULL)
		q_piece_take_back(q, p);
}
