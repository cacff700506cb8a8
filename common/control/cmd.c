/* What each command asks, and the formats of the short ones.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <sysexits.h>

#include "common/base/timefmt.h"
#include "common/proto/ipc.h"

enum {
	FETCH_MS = 180000,  /* a policy is looked up and fetched */
	LIVE_MS = 1800000,  /* and every mail host connected to */
	STOP_MS = 16000,
	WALK_MS = 120000    /* a million messages are walked through */
};

static uint32_t
roles_of(const struct ctl_client *c)
{
	static const uint32_t roles[] = {
#define X(sym, word, roles, all) [HB_CTL_##sym] = (roles),
		HB_CTL_VERBS(X)
#undef X
	};

	return roles[hb_ctl_cmds[c->cmd_no].verb];
}

/* "example.org." of the DNS is the domain example.org. */
struct hb_span
ctl_without_dot(struct hb_span arg)
{
	return arg.n > 1 && arg.p[arg.n - 1] == '.' ? hb_span_head(arg, arg.n - 1)
						    : arg;
}

/* As hauberk-submit stamps mail of this user. */
static struct hb_span
user_of(struct ctl_client *c)
{
	hb_buf_clear(&c->user);
	hb_buf_addf(&c->user, "uid:%u", (unsigned)c->uid);
	return hb_buf_span(&c->user);
}

/* Arguments too long for a frame are nobody's id, domain or address. */
static bool
question(struct ctl_client *c, struct ipc_ctl *q)
{
	*q = (struct ipc_ctl){ .verb = hb_ctl_cmds[c->cmd_no].verb };
	if (!c->owner)
		q->arg2 = user_of(c);
	if (c->nargs > 0)
		q->arg = c->args[0] = ctl_without_dot(c->args[0]);
	if (q->arg.n <= 1024)
		return true;
	ctl_err(c, "the argument is too long");
	ctl_exit(c, EX_USAGE);
	return false;
}

/* Commands that are one question to each role of their verb. */
static void
begin_plain(struct ctl_client *c)
{
	struct ipc_ctl q;

	if (!question(c, &q))
		return;
	ctl_ask_all(c, roles_of(c), &q, false);
	if (c->waiting == 0)
		c->cmd->finish(c);
}

void
ctl_begin_rows(struct ctl_client *c)
{
	struct ipc_ctl q;

	if (!question(c, &q))
		return;
	ctl_rows_begin(c);
	ctl_ask_all(c, roles_of(c), &q, true);
	if (c->waiting == 0)
		c->cmd->finish(c);
}

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

const struct ctl_cmd ctl_cmds[HB_CMD_COUNT] = {
	[HB_CMD_STATUS] = { ctl_status_begin, ctl_status_finish, NULL,
		0, NULL },
	[HB_CMD_STATS] = { ctl_stats_begin, ctl_stats_finish, NULL, 0, NULL },
	[HB_CMD_QUEUE] = { ctl_queue_begin, ctl_queue_finish, ctl_queue_element,
		WALK_MS, ctl_queue_part },
	[HB_CMD_SHOW] = { begin_plain, ctl_show_finish, NULL, 0, NULL },
	[HB_CMD_TRACE] = { ctl_trace_begin, ctl_trace_finish, NULL, 0, NULL },
	[HB_CMD_FLUSH] = { begin_plain, finish_count, NULL, WALK_MS, NULL },
	[HB_CMD_HOLD] = { begin_plain, finish_count, NULL, WALK_MS, NULL },
	[HB_CMD_RELEASE] = { begin_plain, finish_count, NULL, WALK_MS, NULL },
	[HB_CMD_REMOVE] = { begin_plain, finish_count, NULL, WALK_MS, NULL },
	[HB_CMD_BOUNCE] = { begin_plain, finish_count, NULL, WALK_MS, NULL },
	[HB_CMD_EXPORT] = { ctl_export_begin, ctl_export_finish,
		ctl_export_element, WALK_MS, NULL },
	[HB_CMD_IMPORT] = { ctl_move_import_begin, ctl_move_import_finish,
		ctl_move_import_element, FETCH_MS, NULL },
	[HB_CMD_EXPLAIN] = { ctl_explain_begin, ctl_explain_finish, NULL,
		LIVE_MS, NULL },
	[HB_CMD_STS_LIST] = { ctl_sts_list_begin, ctl_sts_list_finish,
		ctl_sts_list_element, 0, NULL },
	[HB_CMD_STS_SHOW] = { begin_plain, ctl_sts_finish, NULL, 0, NULL },
	[HB_CMD_STS_REFRESH] = { begin_plain, ctl_sts_finish, NULL,
		FETCH_MS, NULL },
	[HB_CMD_STS_EXPIRE] = { begin_plain, ctl_sts_finish, NULL, 0, NULL },
	[HB_CMD_STS_FORGET] = { begin_plain, ctl_sts_finish, NULL, 0, NULL },
	[HB_CMD_STS_EXPORT] = { ctl_sts_export_begin, ctl_exit_worst,
		ctl_sts_export_element, 0, NULL },
	[HB_CMD_STS_IMPORT] = { ctl_import_begin, ctl_import_finish,
		ctl_import_element, FETCH_MS, NULL },
	[HB_CMD_LEDGER_LIST] = { ctl_begin_rows, ctl_ledger_list_finish,
		ctl_ledger_element, 0, NULL },
	[HB_CMD_LEDGER_SHOW] = { begin_plain, ctl_ledger_finish, NULL,
		0, NULL },
	[HB_CMD_LEDGER_FORGET] = { begin_plain, ctl_ledger_finish, NULL,
		0, NULL },
	[HB_CMD_RELOAD] = { begin_plain, ctl_exit_worst, NULL, 0, NULL },
	[HB_CMD_LOG_LEVEL] = { begin_plain, ctl_exit_worst, NULL, 0, NULL },
	[HB_CMD_PAUSE] = { begin_plain, ctl_exit_worst, NULL, 0, NULL },
	[HB_CMD_RESUME] = { begin_plain, ctl_exit_worst, NULL, 0, NULL },
	[HB_CMD_LAB_ADVANCE] = { begin_plain, finish_advance, NULL, 0, NULL },
	[HB_CMD_STOP] = { begin_plain, ctl_exit_worst, NULL, STOP_MS, NULL },
};

const char *
ctl_waits_for(const struct ctl_client *c)
{
	if (c->cmd == &ctl_cmds[HB_CMD_EXPLAIN])
		return ctl_explain_waits_for(c);
	if (c->cmd == &ctl_cmds[HB_CMD_STS_REFRESH])
		return "DNS, and the host that publishes the policy";
	return NULL;
}
