/*
 * Unix endpoints of LMTP: the parent connects because the jail cannot reach
 * them, and passes the descriptor.
 */
#include "config.h"

#include "delivery/role/main.h"

#include "common/proto/endpoint.h"

void
dlv_endpoint_ask(void *ctx, uint32_t ref, struct hb_span path)
{
	const struct dlv_worker *w = ctx;
	struct ipc_endpoint_get m = { .ref = ref };

	/* A path that reload took away gets a number that is none: refused
	 * like any other that cannot be reached. */
	if (hb_endpoint_find(w->env->conf, path, &m.index) < 0)
		m.index = UINT32_MAX;
	hb_peer_post(w->env->parent, HB_IPC_ENDPOINT_GET, &m, -1);
}

void
dlv_on_endpoint(struct dlv_worker *w, struct hb_peer *p,
    const struct ipc_endpoint *m, int fd)
{
	dlv_pool_endpoint(w->pool, m->ref, m->error == 0 ? fd : -1,
	    (int)m->error);
}
