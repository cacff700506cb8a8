/*
 * From one recipient to all deliveries: aliases, lists, includes, users,
 * catch-all.  Floor 2: asks for what it must know, and tells what it found.
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
 * twice.  A part that cannot be learnt now makes the whole answer temporary:
 * nothing is told until all is known.
 */
#ifndef QUEUE_ROUTER_EXPANSION_H
#define QUEUE_ROUTER_EXPANSION_H

#include "queue/router/rules.h"

struct rt_expansion;

struct rt_item {
	struct hb_span address, route, owner;
	uint32_t flags; /* HB_RCPT_* */
};

struct rt_expansion_ops {
	/* As rt_lookup_alias, rt_lookup_user. */
	int (*alias)(void *ctx, struct hb_span key, struct hb_buf *value);
	void (*user)(void *ctx, struct hb_span local, struct hb_span domain,
	    rt_found_fn cb, void *cb_ctx);
	/* Content of a list's file.  0, or HB_E_TEMP. */
	int (*include)(void *ctx, struct hb_span path, struct hb_buf *content);
	/* The answer: ITEMS, and for the whole address OUTCOME (ok when all is
	 * well; a failed target of a list is one of its items).  A deferral
	 * with items is of those alone that cannot be used now.  The walk is
	 * freed after this. */
	void (*done)(void *ctx, const struct rt_item *items, size_t n,
	    const struct hb_outcome *outcome);
	/* Calls GO with ARG in another turn: a long walk gives way. */
	void (*later)(void *ctx, void (*go)(void *arg), void *arg);
	/* May be NULL.  Takes items before done, which gets none then: a long
	 * answer in parts.  False: not now, ask again later. */
	bool (*part)(void *ctx, const struct rt_item *items, size_t n);
};

/* Starts; done may be called before this returns.  CONF outlives the walk and
 * is looked at anew after each wait: a reload may have replaced *CONF. */
void rt_expansion(const struct hb_conf *const *conf, struct hb_span address,
    const struct rt_expansion_ops *ops, void *ctx);

/*
 * Would the address be delivered here?  The first steps of the walk, without
 * its targets: for RCPT.  CB: RT_FOUND, RT_NOTFOUND, RT_TEMP.
 */
void rt_exists(const struct hb_conf *const *conf, struct hb_span address,
    const struct rt_expansion_ops *ops, void *ctx, rt_found_fn cb,
    void *cb_ctx);

#endif
