/* `ledger list|show|forget`: the best channels seen.  The worker that owns a
 * domain answers, the others return nothing.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

static void
add_sight(struct ctl_client *c, const json_t *v)
{
	ctl_add_text(c, v, " {-best} since {-since}, last seen {-last}\n");
}

static void
add_domain(struct ctl_client *c, const json_t *v)
{
	const json_t *mx;
	size_t i;

	ctl_add_text(c, v, "{-domain}");
	add_sight(c, v);
	json_array_foreach(json_object_get(v, "mx"), i, mx)
	{
		ctl_add_text(c, mx, "    {-name}");
		add_sight(c, mx);
	}
}

void
ctl_ledger_element(struct ctl_client *c, json_t *v)
{
	if (!c->q.json)
		add_domain(c, v);
	ctl_rows_add(c, v);
}

void
ctl_ledger_list_finish(struct ctl_client *c)
{
	ctl_rows_end(c);
	if (!c->q.json && c->rows == 0 && c->nasks > 0)
		ctl_add(c, "nothing is remembered\n");
	ctl_exit_worst(c);
}

void
ctl_ledger_finish(struct ctl_client *c)
{
	const struct ctl_ask *a = ctl_first_good(c);

	if (a != NULL && c->q.json) {
		ctl_add_json(c, a->tree.root, JSON_INDENT(2));
		ctl_add(c, "\n");
	} else if (a != NULL) {
		add_domain(c, a->tree.root);
	}
	ctl_exit_worst(c);
}
