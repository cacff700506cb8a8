/*
 * A question of control that walks the queue, in slices, so that a million
 * messages hold up nobody: listing.c walks, verbs.c says what is done with a
 * message.  Floor 4.
 */
#ifndef QUEUE_MANAGER_LISTING_H
#define QUEUE_MANAGER_LISTING_H

#include "common/base/limits.h"
#include "common/io/ctlreply.h"
#include "queue/manager/role.h"

enum { Q_LISTING_SLICE = 200 /* messages at a time, or recipients */ };

struct q_listing;
struct q_verb {
	enum hb_ctl_verb verb;
	bool needs_arg;
	/* Messages that match.  One with many recipients may be left open:
	 * MORE goes on with it, from open_rcpt, and does ACT to each. */
	bool (*visit)(struct q_listing *w, struct sched_msg *m);
	void (*more)(struct q_listing *w, struct sched_msg *m);
	void (*act)(struct q_listing *w, struct sched_rcpt *r, bool matches);
};

/* One question under way. */
struct q_listing {
	TAILQ_ENTRY(q_listing) link;
	struct q *q;
	struct hb_ctl c;
	const struct q_verb *verb;
	struct hb_timer *timer;
	bool all, by_id;
	uint64_t etrn; /* not 0: number of a client's ETRN; c has its peer */
	bool below;    /* what is below the domain, too */
	uint64_t id;
	char name[HB_MAX_PATH + 1]; /* domain or address */
	char user[32]; /* not empty: mail that this user submitted here */
	uint32_t cursor;
	int64_t matched;
	/* The message that is not visited wholly because control has enough
	 * for now, or others have their turn; and its next recipient. */
	uint64_t open_id;
	uint32_t open_rcpt;
	uint64_t loading_id; /* its envelope is read before it is visited */
	struct q_tally *tally;
	bool answered; /* answered when all is durable */
	/* The listing is complete.  It ends when the log has the outcomes that
	 * it knows of: the records before this number; or at that time. */
	bool complete;
	uint64_t records;
	int64_t until_ms; /* monotonic */
};

/* listing.c */
void q_listing_start(struct q *q, const struct hb_ctl *c,
    const struct q_verb *verb, const struct ipc_ctl *question);
/* The domain is valid, the number not 0. */
void q_listing_etrn(struct q *q, struct hb_peer *p, const struct q_verb *verb,
    const struct ipc_etrn *m);
/* Does the question mean R?  H: NULL when its envelope cannot be read. */
bool q_listing_means(const struct q_listing *w, const struct q_envelope *h,
    const struct sched_rcpt *r);
/* Control has enough for now. */
bool q_listing_is_full(const struct q_listing *w);
/* Records a change that the answer waits for: what was removed stays so. */
void q_listing_record(struct q_listing *w, uint64_t id,
    const struct q_change *c);

/* verbs.c */
/* False: the question is none of these. */
bool q_walk(struct q *q, const struct hb_ctl *c,
    const struct ipc_ctl *question);

/* show.c: one message */
void q_show(struct q *q, const struct hb_ctl *c, struct hb_span arg);
void q_show_trace(struct q *q, const struct hb_ctl *c, struct hb_span arg);
/* The fields of a message, into an open object; its array of recipients is
 * left open. */
void q_show_msg(const struct hb_ctl *c, const struct q_envelope *h,
    const struct sched_msg *m);
void q_show_rcpt(const struct q *q, const struct hb_ctl *c,
    const struct q_envelope *h, const struct sched_rcpt *r);

#endif
