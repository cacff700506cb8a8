/*
 * What `access' says of a question of smtpd: the machine of access.h with its
 * map.  Floor 3.
 */
#ifndef QUEUE_ROUTER_GATE_H
#define QUEUE_ROUTER_GATE_H

#include "queue/router/access.h"
#include "queue/router/lookup.h"

/* Zero it before the first use. */
struct rt_gate {
	struct rt_access_said said;
	struct hb_buf rule; /* the entry that decided, for the log */
	struct hb_buf value; /* SAID has spans of it */
};
void rt_gate_free(struct rt_gate *g);

/* False: the table says nothing, or there is none.  An entry that nobody
 * understands, and a table that cannot be read, are told to the operator. */
bool rt_gate_ask(struct rt_gate *g, struct rt_lookup *k,
    enum rt_access_check check, const struct ipc_check *q);

#endif
