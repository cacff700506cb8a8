/*
 * Operator's mistakes for which mail waits: logged once when the first message
 * waits for one, and once when none does any more, and shown by `status` in
 * between.  Floor 4.
 */
#include "config.h"

#include "queue/manager/role.h"

#include "common/base/limits.h"
#include "common/io/trouble.h"

/* What came from a mailbox's program or another host stays on its line. */
static void
put_plain(struct hb_buf *b, struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		hb_buf_addf(b, "%c",
		    s.p[i] >= ' ' && s.p[i] < 127 ? s.p[i] : '?');
}

void
q_blame(struct q *q, const struct hb_rcpt *rcpt, const struct hb_outcome *o)
{
	enum hb_reason r = (enum hb_reason)o->reason;
	struct hb_buf text = HB_BUF_INIT(0);

	if (hb_reason_fault(r) != HB_FAULT_OPERATOR || q->blamed[r])
		return;
	q->blamed[r] = true;
	put_plain(&text, rcpt != NULL ? rcpt->address : HB_SPAN_NONE);
	if (o->mx.n > 0) {
		hb_buf_adds(&text, " at ");
		put_plain(&text, o->mx);
	}
	hb_buf_adds(&text, ": ");
	put_plain(&text, o->text.n > 0 ? o->text
				       : hb_span_str(hb_reason_text(r)));
	hb_trouble_begin(HB_EV_MAIL, hb_span_str(hb_reason_word(r)),
	    hb_buf_span(&text));
	hb_buf_free(&text);
}

void
q_blame_end(struct q *q)
{
	for (unsigned i = 0; i < HB_REASON_COUNT; i++) {
		enum hb_reason r = (enum hb_reason)i;

		if (!q->blamed[r] || q_sched_waits_for(q->sched, r))
			continue;
		q->blamed[r] = false;
		hb_trouble_end(HB_EV_MAIL, hb_span_str(hb_reason_word(r)));
	}
}
