/*
 * Unix endpoints of LMTP: the parent connects because the jail cannot reach
 * them, and passes the descriptor.
 */
#include "config.h"

#include "delivery/role/main.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/proto/endpoint.h"

struct waiting {
	struct waiting *next;
	uint32_t ref;
	struct dlv_connection *link; /* NULL: given up meanwhile */
};

struct dlv_endpoints {
	struct waiting *waiting;
	uint32_t last_ref;
};

void
dlv_endpoint_ask(void *ctx, struct dlv_connection *l, struct hb_span path)
{
	struct dlv_worker *w = ctx;
	struct dlv_endpoints *e = w->endpoints;
	struct ipc_endpoint_get m = { .ref = ++e->last_ref };
	struct waiting *q = HB_NEW(struct waiting);

	*q = (struct waiting){ e->waiting, m.ref, l };
	e->waiting = q;
	/* A path that reload took away gets a number that is none: refused
	 * like any other that cannot be reached. */
	if (hb_endpoint_find(w->env->conf, path, &m.index) < 0)
		m.index = UINT32_MAX;
	hb_peer_post(w->env->parent, HB_IPC_ENDPOINT_GET, &m, -1);
}

void
dlv_endpoint_forget(void *ctx, const struct dlv_connection *l)
{
	struct dlv_worker *w = ctx;

	for (struct waiting *q = w->endpoints->waiting; q != NULL; q = q->next)
		if (q->link == l)
			q->link = NULL;
}

void
dlv_on_endpoint(void *env, struct hb_peer *p, const void *msg, int fd)
{
	struct dlv_worker *w = ((struct hb_role_env *)env)->ctx;
	const struct ipc_endpoint *m = msg;
	struct waiting **at = &w->endpoints->waiting, *q;

	(void)p;
	while (*at != NULL && (*at)->ref != m->ref)
		at = &(*at)->next;
	q = *at;
	if (q != NULL)
		*at = q->next;
	if (q == NULL || q->link == NULL) {
		if (fd >= 0)
			close(fd);
	} else {
		dlv_connection_endpoint(q->link, m->error == 0 ? fd : -1,
		    (int)m->error);
	}
	free(q);
}

struct dlv_endpoints *
dlv_endpoints_new(void)
{
	return HB_NEW(struct dlv_endpoints);
}

void
dlv_endpoints_free(struct dlv_endpoints **ep)
{
	struct dlv_endpoints *e = *ep;
	struct waiting *q;

	if (e == NULL)
		return;
	while ((q = e->waiting) != NULL) {
		e->waiting = q->next;
		free(q);
	}
	free(e);
	*ep = NULL;
}
