/*
 * Does anyone read mail to root and the postmaster?  Floor 2.  Cron and the
 * rest of the system write to root, and RFC 5321 s4.5.1 requires a postmaster.
 */
#ifndef QUEUE_ROUTER_UNREAD_H
#define QUEUE_ROUTER_UNREAD_H

#include "queue/router/expansion.h"

struct rt_readers {
	bool accounts;	 /* mailboxes are written as their owners */
	bool postmaster; /* an account of that name exists */
};

/* Why nobody reads the result of an address's walk; NULL if someone does, or if
 * it cannot be known now. */
const char *rt_why_unread(const struct hb_conf *c, const struct rt_readers *who,
    const struct rt_item *items, size_t n, const struct hb_outcome *outcome);

#endif
