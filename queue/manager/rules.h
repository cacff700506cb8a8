/*
 * Rules of the queue manager that depend only on their arguments: which
 * recipients are delivered together, what a local delivery does.  Floor 2.
 */
#ifndef QUEUE_MANAGER_RULES_H
#define QUEUE_MANAGER_RULES_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"
#include "common/proto/ipc.h"
#include "common/proto/route.h"
#include "queue/sched/sched.h"

/*
 * How recipients with ROUTE (parsed: P) and OWNER are scheduled, in DOMAIN.  If
 * the operator has a tls-policy for that domain but its mail goes through
 * another host, they are not mixed with others' recipients.  KEY (empty)
 * receives the text that TO points into.  With `deliver lmtp` a local route
 * becomes that one.
 */
void q_rule_route(const struct hb_conf *conf, const struct hb_route *p,
    struct hb_span route, struct hb_span owner, struct hb_span domain,
    struct hb_buf *key, struct q_route *to);

/* Is mail by ROUTE (parsed) to be discarded?  /dev/null, as the target of an
 * alias or of `deliver mbox', is not a file that a helper could append to. */
bool q_rule_discards(const struct hb_conf *conf, const struct hb_route *route);

/* Data for the parent and the helper; spans of the configuration and the
 * route. */
struct q_local {
	enum hb_local_kind kind;
	struct hb_span account; /* to become; HB_LOCAL_ACCOUNT: of `user
				 * local` */
	struct hb_span target;	/* the helper fills in %u and the like */
	struct hb_span user;	/* %u */
};
/* Determines a local delivery by ROUTE (local:, file:, pipe:). */
void q_rule_local(const struct hb_conf *conf, const struct hb_route *route,
    struct q_local *l);

#endif
