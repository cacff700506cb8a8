/* Accounts and root folders of the roles; the parent prepares them.
 * Floor 3. */
#include "config.h"

#include "common/io/sandbox.h"

const char *
hb_sandbox_account(enum hb_role role, const struct hb_conf *conf)
{
	return hb_conf_account(conf, role);
}

const char *
hb_sandbox_root(enum hb_role role, const struct hb_conf *conf,
    struct hb_buf *space)
{
	if (role == HB_ROLE_QUEUE)
		return conf->spool;
	if (role == HB_ROLE_CONTROL)
		return conf->run_dir;
	if (role == HB_ROLE_ROUTER)
		return "/";
	hb_buf_clear(space);
	hb_buf_adds(space, conf->run_dir);
	hb_buf_add(space, hb_span("/empty", sizeof("/empty")));
	return (const char *)space->p + space->off;
}
