/*
 * The places where a message goes: one mailbox or address gets one copy, over
 * all recipients of the message and all ways through aliases.  Floor 2.
 *
 * The set holds numbers of recipients.  What they are is looked up in the
 * list of the message, so a recipient whose route changed is where it is now.
 */
#ifndef QUEUE_MANAGER_PLACES_H
#define QUEUE_MANAGER_PLACES_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"

struct q_places;

/* By D, whose template says what tells one mailbox from another: the user,
 * with %d the domain as well, with %a the whole address. */
struct q_places *q_places_new(const struct hb_deliver *d);
void q_places_free(struct q_places **p);
/* R has a route. */
void q_places_add(struct q_places *p, const struct hb_rcpt *r);
/* Does another recipient than number SELF have the place of R?  V: the N
 * recipients of the message, in order of idx. */
bool q_places_taken(const struct q_places *p, const struct hb_rcpt *v,
    size_t n, const struct hb_rcpt *r, uint32_t self);

/* Drops from ITEMS those with the address of one before them.  Returns how
 * many stay, moved to the front in their order. */
size_t q_rcpts_unique(struct hb_rcpt *items, size_t n);

#endif
