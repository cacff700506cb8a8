/*
 * From one recipient to all deliveries: aliases, lists, includes, users,
 * catch-all.  Floor 2: a machine without callbacks.  It requests its facts, is
 * given the answers, and holds the results at the end.
 *
 *	address --> local? --no--> item with a remote route
 *	   ^          |yes
 *	   |       alias of LOCAL@DOMAIN, LOCAL, LOCAL without detail
 *	   +--------- each target, one level deeper
 *	              |no alias
 *	           user? --> item "local:USER" (or the lmtp route of `deliver`)
 *	              |no
 *	           alias of @DOMAIN --> its targets, or: no such user
 *
 * Each address is walked once, so that loops end and nobody gets a message
 * twice.  If a part cannot be looked up now, the whole answer is temporary:
 * nothing is reported until all is known.
 */
#ifndef QUEUE_ROUTER_EXPANSION_H
#define QUEUE_ROUTER_EXPANSION_H

#include "queue/router/rules.h"

struct rt_expansion;

struct rt_item {
	struct hb_span address, route, owner;
	uint32_t flags; /* HB_RCPT_* */
};

/* CONF outlives the expansion and is read again after each wait: a reload may
 * have replaced *CONF.  Owned by the caller. */
struct rt_expansion *rt_expansion_new(const struct hb_conf *const *conf,
    struct hb_span address);
/* For RCPT: would the address be delivered here?  Only the first steps, without
 * its targets and without items. */
struct rt_expansion *rt_expansion_exists(const struct hb_conf *const *conf,
    struct hb_span address);
void rt_expansion_free(struct rt_expansion **w);

enum rt_next {
	RT_LOOK_UP, /* look up *Q, now or later, then rt_expansion_answer */
	RT_PAUSE,   /* let others have their turn; then run it again */
	RT_DONE
};
/* Continues as far as possible.  *Q lives until it is answered. */
enum rt_next rt_expansion_run(struct rt_expansion *w,
    const struct rt_query **q);
/* Takes the result of the lookup; FOUND is not RT_LATER. */
void rt_expansion_answer(struct rt_expansion *w, enum rt_found found);

/* For the whole address: ok if all went well; a failed target of a list is one
 * of its items.  A deferral with items concerns only those that cannot be used
 * now.  Lives as long as W. */
const struct hb_outcome *rt_expansion_outcome(const struct rt_expansion *w);
/* The next items of a done expansion, at most MOST; returns how many. */
size_t rt_expansion_items(struct rt_expansion *w, size_t most,
    const struct rt_item **items);
bool rt_expansion_has_items(const struct rt_expansion *w);

#endif
