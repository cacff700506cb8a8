/*
 * The spool: a log of records in reused segments, with group commit (DESIGN
 * section 5; states and transitions in queue/states).  Floor 3.
 *
 * The spool knows for each live message where its newest base record and its
 * updates stand, no more.  Who is to be tried when is the scheduler's.
 * Nothing is durable before its callback ran; callbacks come in order of the
 * calls, in the loop, after the flush in the helper thread.
 */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include "common/io/loop.h"
#include "common/proto/envelope.h"

struct q_spool;

/* One change of a live message. */
enum q_change_kind {
	Q_CHANGE_RCPT,	  /* a new recipient (expansion): rcpt */
	Q_CHANGE_TRIED,	  /* still waiting: idx, attempts, next_ms, outcome */
	Q_CHANGE_DONE,	  /* recipient needs no more work: idx, outcome (ok, fail, replaced by expansion) */
	Q_CHANGE_FLAGS,	  /* message flags are now flags (HB_ENV_HELD) */
	Q_CHANGE_WARNED,  /* the delay warning of this message is made */
	Q_CHANGE_FINISHED /* nothing of the message is needed any more */
};
struct q_change {
	enum q_change_kind kind;
	const struct hb_rcpt *rcpt;
	uint32_t idx, attempts, flags;
	int64_t next_ms;
	const struct hb_outcome *outcome;
};

struct q_spool_ops {
	/* Replay, message by message in order of arrival: first the envelope
	 * with its recipients, then what changed.  Spans live for the call. */
	void (*on_message)(void *ctx, const struct hb_env *env,
	    const struct hb_rcpt *rcpts, size_t n);
	void (*on_change)(void *ctx, uint64_t id, const struct q_change *c);
	/* A damaged record or body was set aside in corrupt/. */
	void (*on_corrupt)(void *ctx, uint64_t id, const char *file);
	/* Room for new mail changed (bytes; 0: full). */
	void (*on_space)(void *ctx, uint64_t bytes);
};

/*
 * Opens DIR (chroot: "/"), makes what is missing, replays.  Returns owned, or
 * NULL with ERR filled.
 */
struct q_spool *q_spool_open(struct hb_loop *l, const char *dir,
    const struct q_spool_ops *ops, void *ctx, struct hb_buf *err);
/* Flushes what waits, then closes. */
void q_spool_close(struct q_spool **s);

/* ERR: 0 durable, or HB_E_IO, HB_E_NOSPACE: nothing of it is kept. */
typedef void (*q_durable_fn)(void *ctx, int err);

/*
 * A new message; BODY in wire form.  For a large one BODY is empty, the file
 * large/ID was written, and size and crc say what it must hold: it is checked
 * and flushed before the record.  Returns 0 (DONE will run), HB_E_NOSPACE,
 * HB_E_EXISTS, HB_E_CORRUPT (large file is not as said).
 */
struct q_body {
	struct hb_span bytes;
	uint64_t size;
	uint32_t crc; /* CRC-32C of all of it */
};
int q_spool_add(struct q_spool *s, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n, const struct q_body *body,
    q_durable_fn done, void *ctx) HB_MUSTCHECK;

/* Changes of one message, all or nothing.  DONE may be NULL. */
int q_spool_change(struct q_spool *s, uint64_t id, const struct q_change *c,
    size_t n, q_durable_fn done, void *ctx) HB_MUSTCHECK;

/* The large file of a message being received: write-only descriptor, owned
 * by the caller; removed if the message is never added. */
int q_spool_large_create(struct q_spool *s, uint64_t id, int *fd) HB_MUSTCHECK;
void q_spool_large_discard(struct q_spool *s, uint64_t id);

/*
 * The body, checked: BYTES filled, or for a large message *FD (read-only,
 * owned by the caller; -1 otherwise).  HB_E_CORRUPT: it was altered and is
 * now in corrupt/; HB_E_NOTFOUND; HB_E_IO.
 */
int q_spool_body(struct q_spool *s, uint64_t id, struct hb_buf *bytes,
    int *fd) HB_MUSTCHECK;
/* Reads envelope and recipients of a live message again (arena-owned). */
int q_spool_load(struct q_spool *s, uint64_t id, struct hb_arena *a,
    struct hb_env *env, struct hb_rcpt **rcpts, size_t *n) HB_MUSTCHECK;

uint64_t q_spool_space(const struct q_spool *s); /* bytes for new mail */

#endif
