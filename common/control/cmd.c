/* The requests of each command, and the formats of the short ones.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include "common/base/timefmt.h"

enum {
	FETCH_MS = 180000,  /* a policy is looked up and fetched */
	LIVE_MS = 1800000,  /* and every mail host connected to */
	STOP_MS = 16000,
	WALK_MS = 120000    /* a million messages are walked through */
};

/* What was done to the messages. */
static const char *
done_word(enum hb_ctl_cmd cmd)
{
	static const char *const words[HB_CMD_COUNT] = {
		[HB_CMD_FLUSH] = " tried now",
		[HB_CMD_HOLD] = " held",
		[HB_CMD_RELEASE] = " released",
		[HB_CMD_REMOVE] = " removed",
		[HB_CMD_BOUNCE] = " returned to the sender",
	};

	return words[cmd] != NULL ? words[cmd] : "";
}

/* Actions: how many messages it was. */
static void
finish_count(struct ctl_client *c)
{
	const struct ctl_ask *a = c->nasks > 0 ? c->asks[0] : NULL;
	const json_t *n = a != NULL
	    ? json_object_get(a->tree.root, "messages") : NULL;

	if (c->q.json && a != NULL && a->tree.whole) {
		ctl_add_json(c, a->tree.root, JSON_COMPACT);
		ctl_add(c, "\n");
	} else if (a != NULL && a->exit_code == 0 && json_is_integer(n)) {
		ctl_addf(c, "%lld message%s%s\n",
		    (long long)json_integer_value(n),
		    json_integer_value(n) == 1 ? "" : "s",
		    done_word(c->cmd_no));
	}
	ctl_exit_worst(c);
}

static void
finish_advance(struct ctl_client *c)
{
	const struct ctl_ask *a = ctl_first_good(c);
	char by[32];

	if (a != NULL && c->q.json) {
		ctl_add_json(c, a->tree.root, JSON_COMPACT);
		ctl_add(c, "\n");
	} else if (a != NULL) {
		hb_time_amount(json_integer_value(json_object_get(
				   a->tree.root, "ahead_s")) * 1000, by);
		ctl_addf(c, "the clock is ahead by %s: it is ", by);
		ctl_add_text(c, a->tree.root, "{-time}\n");
	}
	ctl_exit_worst(c);
}

static const char *
refresh_waits_for(const struct ctl_client *c)
{
	return "DNS, and the host that publishes the policy";
}

#define PLAIN(last) .begin = ctl_begin_plain, .finish = (last)
const struct ctl_cmd ctl_cmds[HB_CMD_COUNT] = {
	[HB_CMD_STATUS] = { PLAIN(ctl_status_finish) },
	[HB_CMD_STATS] = { .begin = ctl_stats_begin,
		.finish = ctl_stats_finish },
	[HB_CMD_SESSIONS] = { .begin = ctl_begin_rows,
		.finish = ctl_sessions_finish,
		.element = ctl_sessions_element },
	[HB_CMD_QUEUE] = { .begin = ctl_queue_begin,
		.finish = ctl_queue_finish, .element = ctl_queue_element,
		.part = ctl_queue_part, .patience_ms = WALK_MS },
	[HB_CMD_SHOW] = { PLAIN(ctl_show_finish) },
	[HB_CMD_TRACE] = { .begin = ctl_trace_begin,
		.finish = ctl_trace_finish },
	[HB_CMD_FLUSH] = { PLAIN(finish_count), .patience_ms = WALK_MS },
	[HB_CMD_HOLD] = { PLAIN(finish_count), .patience_ms = WALK_MS },
	[HB_CMD_RELEASE] = { PLAIN(finish_count), .patience_ms = WALK_MS },
	[HB_CMD_REMOVE] = { PLAIN(finish_count), .patience_ms = WALK_MS },
	[HB_CMD_BOUNCE] = { PLAIN(finish_count), .patience_ms = WALK_MS },
	[HB_CMD_EXPORT] = { .begin = ctl_export_begin,
		.finish = ctl_export_finish, .element = ctl_export_element,
		.patience_ms = WALK_MS },
	[HB_CMD_IMPORT] = { .begin = ctl_move_import_begin,
		.finish = ctl_move_import_finish,
		.element = ctl_move_import_element, .patience_ms = FETCH_MS },
	[HB_CMD_EXPLAIN] = { .begin = ctl_explain_begin,
		.finish = ctl_explain_finish, .patience_ms = LIVE_MS,
		.waits_for = ctl_explain_waits_for },
	[HB_CMD_STS_LIST] = { .begin = ctl_begin_rows,
		.finish = ctl_sts_list_finish,
		.element = ctl_sts_list_element },
	[HB_CMD_STS_SHOW] = { PLAIN(ctl_sts_finish) },
	[HB_CMD_STS_REFRESH] = { PLAIN(ctl_sts_finish),
		.patience_ms = FETCH_MS, .waits_for = refresh_waits_for },
	[HB_CMD_STS_EXPIRE] = { PLAIN(ctl_sts_finish) },
	[HB_CMD_STS_FORGET] = { PLAIN(ctl_sts_finish) },
	[HB_CMD_STS_EXPORT] = { .begin = ctl_sts_export_begin,
		.finish = ctl_exit_worst, .element = ctl_sts_export_element },
	[HB_CMD_STS_IMPORT] = { .begin = ctl_import_begin,
		.finish = ctl_import_finish, .patience_ms = FETCH_MS },
	[HB_CMD_LEDGER_LIST] = { .begin = ctl_begin_rows,
		.finish = ctl_ledger_list_finish,
		.element = ctl_ledger_element },
	[HB_CMD_LEDGER_SHOW] = { PLAIN(ctl_ledger_finish) },
	[HB_CMD_LEDGER_FORGET] = { PLAIN(ctl_ledger_finish) },
	[HB_CMD_RELOAD] = { PLAIN(ctl_exit_worst) },
	[HB_CMD_LOG_LEVEL] = { PLAIN(ctl_exit_worst) },
	[HB_CMD_PAUSE] = { PLAIN(ctl_exit_worst) },
	[HB_CMD_RESUME] = { PLAIN(ctl_exit_worst) },
	[HB_CMD_LAB_ADVANCE] = { PLAIN(finish_advance) },
	[HB_CMD_STOP] = { PLAIN(ctl_exit_worst), .patience_ms = STOP_MS },
};
#undef PLAIN
