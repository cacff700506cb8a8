/*
 * The best channels seen to a domain, as stored and as the rest of the program
 * holds them.  Floor 1.  delivery/smtp/ledger.h has the rules.
 */
#ifndef DELIVERY_SMTP_SEEN_H
#define DELIVERY_SMTP_SEEN_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/proto/tlsfacts.h"

enum { DLV_SEEN_MXS = 16 }; /* hosts kept per domain */

/* Sightings of one host, or of all hosts of a domain together. */
struct dlv_sight {
	enum hb_rank best;
	int64_t since_ms; /* first time of BEST; ms since 1970 */
	int64_t last_ms;  /* last time, to the hour */
};
struct dlv_seen_mx {
	struct hb_span name; /* lower case */
	struct dlv_sight sight;
};
/* All that is known of a domain: reference-counted, unchanged until
 * released. */
struct dlv_seen {
	struct dlv_sight domain;
	const struct dlv_seen_mx *mx; /* by name */
	size_t nmx;
	unsigned count; /* holders */
};

/* The best of this MX; of the domain, if the MX was never seen; NONE: nothing
 * is known.  SEEN may be NULL: NONE.  MX in any case. */
enum hb_rank dlv_seen_best(const struct dlv_seen *seen, struct hb_span mx);
struct dlv_seen *dlv_seen_take(struct dlv_seen *seen); /* accepts NULL */
void dlv_seen_release(struct dlv_seen **seen);	       /* accepts NULL inside */

/* The same while it is changed; names are borrowed. */
struct dlv_notes {
	struct dlv_sight domain;
	struct dlv_seen_mx mx[DLV_SEEN_MXS];
	size_t nmx;
};
void dlv_notes_of(const struct dlv_seen *seen, struct dlv_notes *out);
/* Merges S for MX (only for the domain, if MX is empty): the better one counts,
 * of two equal ones the whole period.  MX: lower case, at most HB_MAX_DOMAIN
 * bytes, borrowed.  With too many hosts the one not seen for longest is
 * dropped. */
void dlv_notes_add(struct dlv_notes *n, struct hb_span mx,
    const struct dlv_sight *s);
/* Returns owned, count 1; names are copied. */
struct dlv_seen *dlv_seen_new(const struct dlv_notes *n);

/* OUT is unbounded. */
void dlv_notes_encode(const struct dlv_notes *n, struct hb_buf *out);
/* Names point into VALUE.  0 or HB_E_SYNTAX, HB_E_MORE, HB_E_RANGE. */
int dlv_notes_decode(struct hb_span value, struct dlv_notes *out) HB_MUSTCHECK;

#endif
