/*
 * A message that comes in from a file: a drop, or one of an import.  Floor 4.
 * What looks at it is the machine of SMTP (common/proto/incoming.h); its body
 * goes into memory, or, where it is long, into a file of its own.
 */
#ifndef QUEUE_MANAGER_INTAKE_H
#define QUEUE_MANAGER_INTAKE_H

#include "common/proto/incoming.h"
#include "queue/spool/spool.h"

struct q_intake {
	struct q_spool *spool;
	uint64_t id, total; /* bytes of the message, as was said */
	struct hb_incoming in;
	struct hb_buf rest; /* not taken yet: a line of the header section */
	struct hb_buf body; /* that is not large */
	int fd;		    /* of a large one being written; -1: none */
	bool large;
};

/* RULES: with no_dot. */
void q_intake_start(struct q_intake *k, struct q_spool *spool, uint64_t id,
    uint64_t total, const struct hb_incoming_rules *rules);
/* The next bytes of it.  0, or HB_E_NOSPACE, HB_E_IO, HB_E_EXISTS (a file of
 * this id). */
int q_intake_feed(struct q_intake *k, struct hb_span bytes) HB_MUSTCHECK;
/*
 * All has come.  NULL: it is good; BODY is what q_spool_add takes, and ENV's
 * size and flags are set: q_env_head follows.  Else says what is wrong.
 */
const char *q_intake_end(struct q_intake *k,
    const struct hb_incoming_fields *f, struct hb_env *env,
    struct q_body *body);
/* Its file, where there is one, is not needed. */
void q_intake_discard(struct q_intake *k);
void q_intake_free(struct q_intake *k);

#endif
