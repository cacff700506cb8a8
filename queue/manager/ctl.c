/* Questions of control.  Floor 4. */
#include "config.h"

#include "queue/manager/listing.h"

/* Into the object that is open. */
static void
status(struct q *q, const struct hb_ctl *c)
{
	struct q_sched_stats s;
	uint32_t active;

	q_sched_stats(q->sched, &s);
	active = s.state[Q_DUE] + s.state[Q_ASKED] + s.state[Q_READY] +
	    s.state[Q_ACTIVE];
	hb_ctl_int(c, "messages", s.messages);
	hb_ctl_int(c, "recipients", s.recipients);
	hb_ctl_int(c, "active", active);
	hb_ctl_int(c, "deferred", s.state[Q_NEW]);
	hb_ctl_int(c, "held", s.state[Q_HELD]);
	hb_ctl_int(c, "destinations", s.destinations);
	hb_ctl_int(c, "unreachable", s.unreachable);
	hb_ctl_int(c, "jobs", s.jobs);
	hb_ctl_int(c, "clock_off_s", q_stamp(q).off_ms / 1000);
	hb_ctl_int(c, "spool_free", (int64_t)q_spool_space(q->spool));
	if (q->drop != NULL)
		q_drop_status(q->drop, c);
	hb_ctl_int(c, "accepted_total", (int64_t)q->accepted);
	hb_ctl_int(c, "delivered_total",
	    (int64_t)hb_stat_sum(HB_STAT_DELIVERED_LOCAL));
	hb_ctl_int(c, "deferred_total", (int64_t)hb_stats[HB_STAT_DEFERRED]);
	hb_ctl_int(c, "failed_total", (int64_t)hb_stats[HB_STAT_FAILED]);
	hb_ctl_int(c, "notices_total",
	    (int64_t)hb_stat_sum(HB_STAT_NOTICE_FAILURE));
}

void
q_ctl(struct q *q, struct hb_peer *control, const struct ipc_ctl *question)
{
	struct hb_ctl c = { .peer = control, .ref = question->ref };

	switch (question->verb) {
	case HB_CTL_STATUS:
		status(q, &c);
		break;
	case HB_CTL_SHOW:
		q_show(q, &c, question->arg);
		break;
	case HB_CTL_TRACE:
		q_show_trace(q, &c, question->arg);
		break;
	case HB_CTL_EXPORT:
		q_export(q, &c);
		break;
	case HB_CTL_IMPORT:
		q_import(q, &c);
		break;
	default:
		if (!q_walk(q, &c, question))
			hb_ctl_end(&c, 1, "not a question for this role");
	}
}
