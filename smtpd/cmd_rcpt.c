/* RCPT.  Floor 2.  RFC 5321 s4.1.1.3, s4.5.3.1.10, RFC 3461 s4. */
#include "smtpd/session-priv.h"

static void
ask(struct smtpd_session *s, const struct smtpd_args *a)
{
	struct smtpd_question *q = smtpd_question(s, SMTPD_STAGE_RCPT);

	q->rcpt.address = hb_arena_span(s->questions,
	    hb_buf_span(&a->address));
	q->rcpt.notify = a->params.notify;
	q->rcpt.orcpt = hb_arena_span(s->questions, a->params.orcpt);
	q->routed = a->path.routed;
}

/* Those that are asked about may all be taken. */
static bool
is_full(const struct smtpd_session *s)
{
	return s->txn.n_taken + smtpd_unanswered(s) >=
	    s->rules->max_recipients;
}

void
smtpd_cmd_rcpt(struct smtpd_session *s, struct hb_span args)
{
	struct smtpd_args a = { .address = HB_BUF_INIT(0) };
	struct smtpd_fault fault = { SMTPD_R_TOO_MANY_RCPT, HB_SPAN_NONE };
	bool full = is_full(s);

	if (!full)
		fault = smtpd_read_args(s, HB_PARAM_FOR_RCPT, args, &a);
	if (fault.id == SMTPD_R_NONE)
		ask(s, &a);
	else if (s->first != NULL)
		s->put_off = true;
	else if (full)
		smtpd_reply(s, fault.id);
	else
		smtpd_reply_fault(s, &fault);
	hb_buf_free(&a.address);
}

void
smtpd_answer_rcpt(struct smtpd_session *s, struct smtpd_question *q)
{
	bool accept = q->verdict.action == HB_ACTION_ACCEPT;

	if (!accept && q->verdict.action != HB_ACTION_DISCARD) {
		smtpd_reply_verdict(s, &q->verdict);
		return;
	}
	s->txn.n_taken++;
	smtpd_txn_note(s, q);
	if (accept)
		smtpd_txn_add_rcpt(s, &q->rcpt);
	smtpd_reply(s, SMTPD_R_RCPT_OK);
}
