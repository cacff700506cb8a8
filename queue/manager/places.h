/*
 * The places to which a message goes: one mailbox or address gets one copy,
 * over all recipients of the message and all ways through aliases.  Floor 2.
 *
 * The set holds numbers of recipients.  Each is looked up in the message's
 * list, so a recipient whose route changed is found at its new place.
 */
#ifndef QUEUE_MANAGER_PLACES_H
#define QUEUE_MANAGER_PLACES_H

#include "common/proto/conf.h"
#include "common/proto/envelope.h"

struct q_places;

/* D's template says what distinguishes mailboxes: the user, with %d also the
 * domain, with %a the whole address. */
struct q_places *q_places_new(const struct hb_deliver *d);
void q_places_free(struct q_places **p);
/* R has a route. */
void q_places_add(struct q_places *p, const struct hb_rcpt *r);
/* Does a recipient other than number SELF have the place of R?  V: the N
 * recipients of the message, sorted by idx. */
bool q_places_taken(const struct q_places *p, const struct hb_rcpt *v,
    size_t n, const struct hb_rcpt *r, uint32_t self);

/* Drops from ITEMS those whose address an earlier one has.  Returns how many
 * remain, moved to the front in their order. */
size_t q_rcpts_unique(struct hb_rcpt *items, size_t n);

#endif
