/* `sessions`: the clients of every listener process.  Floor 4. */
#include "config.h"

#include "common/control/control.h"

void
ctl_sessions_element(struct ctl_client *c, json_t *v)
{
	if (!c->q.json)
		ctl_add_text(c, v, "{-client} port {-port} since {-since}: "
		    "{-state}\n    session {-session} helo {-helo} tls {-tls} user {-user}, "
		    "{-transactions} messages, {-bytes} bytes\n");
	ctl_rows_add(c, v);
}

void
ctl_sessions_finish(struct ctl_client *c)
{
	ctl_rows_end(c);
	if (!c->q.json && c->rows == 0 && c->nasks > 0)
		ctl_add(c, "nobody is connected\n");
	ctl_exit_worst(c);
}
