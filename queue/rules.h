/*
 * Rules of the queue manager that need nothing but their arguments: which
 * recipients travel together, which are the same, what a local delivery does.
 * Floor 2.
 */
#ifndef QUEUE_RULES_H
#define QUEUE_RULES_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"
#include "common/proto/ipc.h"
#include "common/proto/route.h"
#include "queue/sched.h"

/*
 * How recipients with ROUTE (parsed: P) and OWNER are scheduled.  KEY (empty)
 * receives the text that TO points into.  With `deliver lmtp` a local route
 * becomes that one.
 */
void q_rule_route(const struct hb_conf *conf, const struct hb_route *p,
    struct hb_span route, struct hb_span owner, struct hb_buf *key,
    struct q_route *to);

/*
 * Drops from ITEMS those that are in HAVE already (but for number IDX, which
 * they replace), or that come twice: same address, route and owner.  Returns
 * how many stay, moved to the front in their order.
 */
size_t q_rule_merge(const struct hb_rcpt *have, size_t nhave, uint32_t idx,
    struct hb_rcpt *items, size_t n);

/* What the helper is told. */
struct q_local {
	enum hb_local_kind kind;
	struct hb_buf account; /* to become; empty: none of its own */
	struct hb_buf target;
};
/*
 * Works out a local delivery of ADDRESS by ROUTE.  Returns 0; HB_E_SYNTAX
 * (what would be put in for % has bytes that a path or command cannot bear);
 * HB_E_NOTFOUND (a home is needed and not known).  L's buffers are filled in
 * any case, the caller frees them.
 */
int q_rule_local(const struct hb_conf *conf, const struct hb_route *route,
    struct hb_span address, struct q_local *l) HB_MUSTCHECK;

#endif
