/* The sessions of this process, for hauberkctl.  Floor 4. */
#include "config.h"

#include <stdio.h>

#include "common/base/limits.h"
#include "smtpd/worker.h"

static void
put(const struct hb_ctl *c, const char *key, const char *text)
{
	if (text[0] != '\0')
		hb_ctl_text(c, key, text);
	else
		hb_ctl_null(c, key);
}

static void
show(const struct hb_ctl *c, const struct smtpd_client *client)
{
	struct smtpd_session_view v = smtpd_session_view(client->session);

	char id[17];

	hb_msgid_format(v.id, id);
	hb_ctl_object(c, NULL);
	hb_ctl_text(c, "session", id);
	hb_ctl_text(c, "client", v.client);
	hb_ctl_int(c, "port", client->addr.port);
	hb_ctl_time(c, "since", client->since_ms);
	hb_ctl_text(c, "state", v.state);
	put(c, "tls", v.tls);
	put(c, "user", v.user);
	put(c, "helo", v.helo);
	hb_ctl_int(c, "transactions", v.messages);
	hb_ctl_int(c, "bytes", (int64_t)v.bytes);
	hb_ctl_close(c);
}

void
smtpd_sessions_ctl(const struct smtpd_worker *w, const struct hb_ctl *c)
{
	char text[64];
	size_t n = 0;

	hb_ctl_array(c, NULL);
	for (size_t i = 0; i < w->n_slots && n < HB_MAX_SESSIONS_SHOWN; i++) {
		if (w->clients[i] == NULL)
			continue;
		show(c, w->clients[i]);
		n++;
	}
	hb_ctl_close(c);
	snprintf(text, sizeof(text), "%zu more sessions are not shown",
	    w->n_clients - n);
	hb_ctl_end(c, n < w->n_clients ? 1 : 0,
	    n < w->n_clients ? text : NULL);
}
