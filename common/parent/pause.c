/*
 * `hauberkctl pause|resume delivery|listen`.  Floor 4.  It lasts until resume
 * or the parent's end; a restarted role is paused again.
 */
#include "config.h"

#include "common/base/err.h"
#include "common/parent/parent.h"

void
pd_send_pause(struct pd_proc *pr)
{
	struct ipc_pause m = { .on = pr->pd->delivery_paused };

	if (pr->role != HB_ROLE_QUEUE)
		return;
	pd_post(pr, HB_IPC_PAUSE, &m, -1);
}

static int
pause_delivery(struct pd_parent *pd, bool on, struct hb_buf *why)
{
	struct pd_proc *queue = pd_find(pd, HB_ROLE_QUEUE, 0);

	pd->delivery_paused = on;
	pd_send_pause(queue);
	if (queue->peer != NULL) /* before whoever asked goes on */
		hb_peer_flush(queue->peer, 0);
	return 0;
}

/* The sockets are closed here too: clients are refused and do not wait. */
static int
pause_listen(struct pd_parent *pd, bool on, struct hb_buf *why)
{
	struct ipc_listen_stop stop = { 0 };

	if (on == pd->listen_paused)
		return 0;
	if (pd->before.conf != NULL) {
		hb_buf_adds(why, "a reload is under way");
		return HB_E_STATE;
	}
	if (on)
		pd_listen_close(&pd->now.listeners, NULL);
	else if (pd_listen(pd->now.conf, NULL, &pd->now.listeners, why) != 0)
		return HB_E_IO;
	pd->listen_paused = on;
	for (size_t i = 0; i < pd->nprocs; i++) {
		struct pd_proc *pr = &pd->procs[i];

		if (on && hb_role_gets(pr->role, HB_GETS_LISTENERS))
			pd_post(pr, HB_IPC_LISTEN_STOP, &stop, -1);
		pd_send_listeners(pr); /* while paused there are none */
	}
	return 0;
}

int
pd_pause(struct pd_parent *pd, struct hb_span what, bool on,
    struct hb_buf *why)
{
	static const struct {
		const char *word;
		int (*set)(struct pd_parent *pd, bool on, struct hb_buf *why);
	} table[] = { { "delivery", pause_delivery },
		{ "listen", pause_listen } };
	size_t i = 0;
	int r;

	while (i < HB_ARRAY_LEN(table) &&
	    !hb_span_eq(what, hb_span_str(table[i].word)))
		i++;
	if (i == HB_ARRAY_LEN(table) || pd->phase != PD_RUNNING) {
		hb_buf_adds(why, "it is delivery or listen, of a server that "
		    "runs");
		return HB_E_SYNTAX;
	}
	r = table[i].set(pd, on, why);
	if (r == 0)
		HB_LOG(HB_LOG_WARN, HB_EV_CONTROL,
		    hb_kv_str(HB_K_ACTION, on ? "pause" : "resume"),
		    hb_kv_str(HB_K_NAME, table[i].word));
	return r;
}
