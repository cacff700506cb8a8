/* `sts list|show|refresh|expire|forget|export`.  Every delivery worker is
 * asked: each lists its own domains, and a worker's memory is only its own.
 * Floor 4. */
#include "config.h"

#include "common/control/control.h"

static void
add_policy(struct ctl_client *c, const json_t *p)
{
	const json_t *mx;
	size_t i;

	ctl_add_text(c, p, "{-domain}\n    mode {-mode}\n    id {-id}\n"
	    "    fetched {-fetched}\n    refreshed {-refreshed}\n"
	    "    expires {-expires}\n    max_age {-max_age}\n"
	    "    last_error {-last_error}\n    source {-source}\n");
	json_array_foreach(json_object_get(p, "mx"), i, mx)
	{
		ctl_add(c, "    mx ");
		ctl_add_safe(c, ctl_string(mx));
		ctl_add(c, "\n");
	}
}

void
ctl_sts_list_element(struct ctl_client *c, json_t *v)
{
	if (!c->q.json)
		add_policy(c, v);
	ctl_rows_add(c, v);
}

void
ctl_sts_list_finish(struct ctl_client *c)
{
	ctl_rows_end(c);
	if (!c->q.json && c->rows == 0 && c->nasks > 0)
		ctl_add(c, "no policy is kept\n");
	ctl_exit_worst(c);
}

/* JSON whatever was asked for: import reads it. */
void
ctl_sts_export_begin(struct ctl_client *c)
{
	struct ipc_ctl q = { .verb = HB_CTL_STS_EXPORT };

	c->q.json = true;
	ctl_ask_all(c, HB_TO(DELIVERY), &q, true);
	if (c->waiting == 0)
		ctl_exit_worst(c);
}

void
ctl_sts_export_element(struct ctl_client *c, json_t *v)
{
	ctl_add_json(c, v, JSON_COMPACT);
	ctl_add(c, "\n");
}

/* One worker that knows the policy is enough: where it was dropped by
 * another, the rest find nothing any more. */
void
ctl_sts_finish(struct ctl_client *c)
{
	const struct ctl_ask *good = ctl_first_good(c);
	bool done = false;

	for (size_t i = 0; i < c->nasks; i++)
		done = done || c->asks[i]->exit_code == 0;
	if (!done) {
		ctl_exit_worst(c);
	} else {
		if (good != NULL && c->q.json) {
			ctl_add_json(c, good->tree.root, JSON_INDENT(2));
			ctl_add(c, "\n");
		} else if (good != NULL) {
			add_policy(c, good->tree.root);
		}
		ctl_exit(c, 0);
	}
}
