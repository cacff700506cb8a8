/* Readers of root's and the postmaster's mail.  Floor 2. */
#include "queue/router/unread.h"

/* Is the mailbox of ITEM written as nobody?  Root's is never written as root,
 * and no person reads mail as nobody.  What a command makes of its mail
 * cannot be seen from here. */
static bool
is_nobodys(const struct hb_conf *c, const struct rt_readers *who,
    const struct rt_item *item)
{
	if (!who->accounts || c->deliver.kind == HB_DELIVER_COMMAND ||
	    strcmp(hb_conf_account(c, HB_ROLE_HELPER),
		hb_role_info(HB_ROLE_HELPER)->account) != 0)
		return false;
	return hb_span_eq(item->route, HB_SPAN("local:root")) ||
	    (hb_span_eq(item->route, HB_SPAN("local:postmaster")) &&
		!who->postmaster);
}

const char *
rt_why_unread(const struct hb_conf *c, const struct rt_readers *who,
    const struct rt_item *items, size_t n, const struct hb_outcome *outcome)
{
	bool nobodys = false;

	if (outcome->result == HB_RESULT_DEFER)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool of_nobody = is_nobodys(c, who, &items[i]);

		nobodys = nobodys || of_nobody;
		if (!of_nobody && !hb_span_has_prefix_nocase(items[i].route,
		    HB_SPAN("error:")))
			return NULL;
	}
	if (nobodys)
		return "its mailbox would be written as nobody";
	return outcome->result == HB_RESULT_FAIL ? "there is no such user"
						 : "its alias is of no use";
}
