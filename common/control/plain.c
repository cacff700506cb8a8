/* Commands that send one request to each role of their verb.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

#include <sysexits.h>

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

void
ctl_begin_plain(struct ctl_client *c)
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
