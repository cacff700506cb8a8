/*
 * The spool: a log of records in reused segments, with group commit (HACKING
 * "The spool"; states and transitions in queue/spool/states).  Floor 3.
 *
 * For each live message the spool knows only where its newest base record and
 * its updates are.  The scheduler decides who is tried when.  Nothing is
 * durable before its callback ran.  Callbacks run in the loop, never inside the
 * call that requested them, after the flush in the helper thread; in order of
 * the calls, except for large messages, whose callback runs when their file is
 * checked and flushed.  Changes are flushed like messages: all requests of one
 * turn of the loop, and all that come while a flush runs, share the next flush;
 * after a slow one, so do the next requests of its clients (q_spool_cfg).
 */
#ifndef QUEUE_SPOOL_SPOOL_H
#define QUEUE_SPOOL_SPOOL_H

#include "common/base/mem.h"
#include "common/io/loop.h"
#include "queue/spool/change.h"
#include "queue/spool/flush.h"

struct q_spool;

struct q_spool_ops {
	/* Replay: each live message in the order of the log (a message that was
	 * moved forward comes late: env->arrived_ms is the order of arrival),
	 * first the envelope with its recipients, then its changes.  Spans live
	 * for the call. */
	void (*on_message)(void *ctx, const struct hb_env *env,
	    const struct hb_rcpt *rcpts, size_t n);
	void (*on_change)(void *ctx, uint64_t id, const struct q_change *c);
	/* A damaged record was set aside in FILE (below corrupt/) and the spool
	 * no longer has the message ID; 0: message unknown. */
	void (*on_corrupt)(void *ctx, uint64_t id, const char *file);
	/* Room for new mail became 0, or returned (bytes). */
	void (*on_space)(void *ctx, uint64_t bytes);
};

/*
 * Opens DIR (after the sandbox: "/" in a chroot), makes missing parts, replays:
 * calls OPS before it returns.  F is borrowed and outlives the spool.  Returns
 * owned, or NULL with ERR filled.
 */
struct q_spool *q_spool_open(struct hb_loop *l, struct q_flush *f,
    const char *dir, const struct q_spool_ops *ops, void *ctx,
    struct hb_buf *err);
/* Flushes waiting records (callbacks run), then closes. */
void q_spool_close(struct q_spool **s);

/*
 * ERR: 0 durable; HB_E_IO, HB_E_NOSPACE, HB_E_CORRUPT (a large file is not as
 * announced): nothing of it is kept.  A failed change was tried on two
 * segments.
 */
typedef void (*q_durable_fn)(void *ctx, int err);

/* The header section is bounded (limits.def) and stands in the record, ready
 * to be read and changed without the rest: complete lines, without the empty
 * one that ends it.  That line begins the body. */
struct q_body {
	struct hb_span head;  /* header section, wire form */
	struct hb_span bytes; /* the rest; empty if large */
	bool large;	      /* large/ID was written and holds the body */
	uint64_t size;	      /* of the body */
	uint32_t crc;	      /* CRC-32C of it */
	/* changes of the message from before it came here */
	const struct q_change *changes;
	size_t nchanges;
};
/*
 * Adds a new message.  BODY: size and crc count only for a large one, whose
 * file is checked and flushed in the helper thread before the record.  Returns
 * 0 (DONE will run), HB_E_NOSPACE, HB_E_EXISTS, HB_E_NOTFOUND (no such file),
 * HB_E_RANGE (a field exceeds its bound: the caller's bug).  Until DONE ran the
 * message accepts no change.
 */
int q_spool_add(struct q_spool *s, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n, const struct q_body *body,
    q_durable_fn done, void *ctx) HB_MUSTCHECK;

/*
 * Changes one message, all or nothing.  DONE may be NULL.  After
 * Q_CHANGE_FINISHED the message is gone at once for every call.  Returns 0,
 * HB_E_NOTFOUND, HB_E_STATE (not durable yet), HB_E_RANGE.
 */
int q_spool_change(struct q_spool *s, uint64_t id, const struct q_change *c,
    size_t n, q_durable_fn done, void *ctx) HB_MUSTCHECK;

/* Makes the large file of a message being received: write-only descriptor,
 * owned by the caller; removed if the message is never added (on discard, or at
 * the next start).  0, HB_E_EXISTS, HB_E_NOSPACE, HB_E_IO. */
int q_spool_large_create(struct q_spool *s, uint64_t id, int *fd) HB_MUSTCHECK;
/* A file without a name, to keep the body of message ID in before it is ours.
 * A crash may leave its name, which start-up removes.  *FD is the caller's.
 * Errors as above. */
int q_spool_kept_create(struct q_spool *s, uint64_t id, int *fd) HB_MUSTCHECK;
void q_spool_large_discard(struct q_spool *s, uint64_t id);

/*
 * A message, checked.  The spans live for the call and are adjacent in memory.
 * Of a large message BODY is empty and FD holds it: read-only, owned by the
 * callback; otherwise -1.
 */
struct q_content {
	struct hb_span head, body;
	int fd;
};
/* ERR: HB_E_CORRUPT: it was altered and set aside in corrupt/, and the caller
 * must finish the message; HB_E_NOTFOUND; HB_E_IO.  C is empty then. */
typedef void (*q_content_fn)(void *ctx, int err, const struct q_content *c);
/* CB runs at the end of the turn; for a large body after its check in the
 * helper thread. */
void q_spool_content(struct q_spool *s, uint64_t id, q_content_fn cb,
    void *ctx);
/*
 * Reads envelope and recipients (also those added later) of a live message
 * again, into A, in slices: the base record first, then about MOST recipients
 * or changes each time.  1: all is there; 0: go on; HB_E_NOTFOUND, HB_E_IO,
 * HB_E_CORRUPT; HB_E_STATE: it was written again, or has more recipients: begin
 * anew.
 */
struct q_load;
struct q_load *q_load_new(struct q_spool *s, uint64_t id, struct hb_arena *a);
int q_load_some(struct q_load *l, size_t most) HB_MUSTCHECK;
void q_load_result(const struct q_load *l, struct hb_env *env,
    struct hb_rcpt **rcpts, size_t *n);
void q_load_free(struct q_load **l);
/* All of it at once.  0 or an error. */
int q_spool_load(struct q_spool *s, uint64_t id, struct hb_arena *a,
    struct hb_env *env, struct hb_rcpt **rcpts, size_t *n) HB_MUSTCHECK;

uint64_t q_spool_space(const struct q_spool *s); /* bytes for new mail */
void q_spool_space_look(struct q_spool *s);	 /* measures it again */
size_t q_spool_count(const struct q_spool *s);	 /* live messages */

#endif
