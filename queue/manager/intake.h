/*
 * An incoming message from a file: a drop, or one of an import.  Floor 4.  The
 * machine of SMTP (common/proto/incoming.h) checks it; its body goes into
 * memory or, if it is long, into a file of its own.
 */
#ifndef QUEUE_MANAGER_INTAKE_H
#define QUEUE_MANAGER_INTAKE_H

#include "common/proto/incoming.h"
#include "queue/spool/spool.h"

struct q_intake {
	struct q_spool *spool;
	uint64_t id, total; /* bytes of the message, as announced */
	struct hb_incoming in;
	struct hb_buf rest; /* not taken yet: a line of the header section */
	struct hb_buf body; /* if it is not large */
	int fd;		    /* of a large one being written; -1: none */
	bool large;
};

/* RULES: with no_dot. */
void q_intake_start(struct q_intake *k, struct q_spool *spool, uint64_t id,
    uint64_t total, const struct hb_incoming_rules *rules);
/* Feeds its next bytes.  0, or HB_E_NOSPACE, HB_E_IO, HB_E_EXISTS (a file of
 * this id). */
int q_intake_feed(struct q_intake *k, struct hb_span bytes) HB_MUSTCHECK;
/*
 * Ends it.  Returns NULL if the message is good: pass BODY to q_spool_add;
 * ENV's size and flags are set, and q_env_head comes next.  Otherwise describes
 * the fault.
 */
const char *q_intake_end(struct q_intake *k,
    const struct hb_incoming_fields *f, struct hb_env *env,
    struct q_body *body);
/* Drops its file, if there is one. */
void q_intake_discard(struct q_intake *k);
void q_intake_free(struct q_intake *k);

#endif
