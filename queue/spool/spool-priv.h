/*
 * Inside of the spool: index, batches, cache.  Floor 3; only for the files of
 * this folder and the crash test.
 */
#ifndef QUEUE_SPOOL_SPOOL_PRIV_H
#define QUEUE_SPOOL_SPOOL_PRIV_H

#include <sys/queue.h>

#include "common/base/rows.h"
#include "queue/spool/record.h"
#include "queue/spool/segment.h"
#include "queue/spool/spool.h"
#include "queue/spool/io.h"

/* A record in the log. */
struct q_piece {
	uint32_t gen, off, total;
};

/* For a message that has updates or moves after its base. */
struct q_extra {
	struct q_piece *chain; /* updates since the base, in order */
	uint32_t nchain;
	uint32_t *gens; /* other generations with records of it */
	uint32_t ngens;
};

enum spool_entry_state { SPOOL_NEW, SPOOL_LIVE, SPOOL_DYING };

/* One message: 56 bytes, the memory of a waiting message with one or no
 * update. */
struct spool_entry {
	HB_ROW(id);
	struct q_extra *x;  /* or NULL */
	struct q_cached *cached;
	struct q_piece base;
	uint32_t nrcpt;
	uint16_t pending; /* records on their way to the disk */
	uint8_t state;
	bool large;
};

static inline struct spool_entry *
q_index_find(const struct hb_rows *ix, uint64_t id)
{
	return hb_rows_find(ix, id);
}
void q_index_free(struct hb_rows *ix); /* and the entries */
struct spool_entry *q_index_add(struct hb_rows *ix, uint64_t id); /* is new */
void q_index_remove(struct hb_rows *ix, struct spool_entry *m);   /* frees it */
void q_entry_add_piece(struct spool_entry *m, struct q_piece p);
void q_entry_add_gen(struct spool_entry *m, uint32_t gen);

/* Payloads of fresh messages, and header section and body of messages with too
 * many recipients for a job to read them all again; the oldest is evicted
 * first. */
struct q_cached {
	TAILQ_ENTRY(q_cached) link;
	struct spool_entry *m;
	bool content; /* holds only these two, described by INFO */
	struct q_message_info info;
	struct hb_buf payload;
};
TAILQ_HEAD(q_cache_list, q_cached);
struct q_cache {
	struct q_cache_list list;
	size_t bytes;
};
/* Takes PAYLOAD's memory.  M has nothing in the cache. */
struct q_cached *q_cache_put(struct q_cache *c, struct spool_entry *m,
    struct hb_buf *payload);
/* Drops the oldest entries until at most MOST bytes are kept. */
void q_cache_trim(struct q_cache *c, size_t most);
void q_cache_drop(struct q_cache *c, struct spool_entry *m);

/* A record to write. */
struct q_rec {
	STAILQ_ENTRY(q_rec) link;
	enum q_rec_type type;
	bool retried; /* a write of it failed once */
	bool carried; /* FINISHED, copied forward as it is */
	uint64_t id, seq;
	uint32_t off, total;
	struct hb_buf payload;
	q_durable_fn done; /* or NULL */
	void *ctx;
	int err;
};
STAILQ_HEAD(q_rec_list, q_rec);

/* Records that one write and one flush make durable. */
struct spool_batch {
	struct flush_task job;
	STAILQ_ENTRY(spool_batch) link;
	struct q_spool *s;
	struct q_seg *seg;
	uint32_t at;
	uint32_t nmail; /* new messages in it */
	struct hb_buf bytes;
	struct q_rec_list recs;
	int fd, r;
};
STAILQ_HEAD(spool_batch_list, spool_batch);

struct q_compact {
	uint32_t gen; /* segment being emptied; 0: none */
	uint32_t at;
	uint64_t fence; /* its carried records are below this sequence */
	bool again;	/* some could not be moved yet */
};

struct q_spool_cfg {
	const struct q_io *io;
	const struct q_exec *exec;
	const struct q_spool_ops *ops;
	void *ctx;
	/* Requests q_spool_turn: at the end of this turn, or after MS. */
	void (*wake)(void *ctx, int64_t ms);
	void *wake_ctx;
	uint32_t segment_size; /* 0: according to the file system */
	int64_t settle_ms;     /* a segment younger than this is not moved */
	unsigned gather_part;  /* a flush waits for more records for that part
				  of the last one's time; 0: never */
	size_t cache_bytes;
	unsigned move_work; /* moving work per turn; 0: the default */
};

/* A body that is to be read at the end of the turn. */
struct spool_wanted {
	STAILQ_ENTRY(spool_wanted) link;
	uint64_t id;
	q_content_fn cb;
	void *ctx;
};
STAILQ_HEAD(spool_wanted_list, spool_wanted);

struct q_spool {
	struct q_spool_cfg cfg;
	const struct q_io *io;
	struct q_segs segs;
	struct hb_rows index; /* live messages; ids come from smtpd */
	struct q_cache cache;
	struct spool_wanted_list wanted;
	uint64_t next_seq, durable_seq; /* all below this is durable */
	struct q_rec_list waiting;	/* not in a batch yet */
	size_t waiting_bytes;
	struct spool_batch *gather;	      /* takes records */
	struct spool_batch_list closed;   /* full: next to write */
	struct spool_batch *flying;	      /* in the helper thread */
	int64_t flying_ms;	      /* its start */
	int64_t gather_until_ms;      /* no flush begins before, unless */
	uint32_t gather_mail;	      /* this many new messages are there */
	struct q_compact compact;
	struct hb_buf refold;	      /* ids with too many updates */
	struct q_mover *mover;	      /* of the message being moved */
	int64_t work;		      /* moving work left in this turn */
	bool is_fresh;		      /* no moving work yet in this turn */
	uint64_t avail;		      /* of the file system */
	int64_t avail_ms;	      /* when that was measured */
	bool full;		      /* on_space(0) was called */
	bool damaged;		      /* the start-up found damage */
	unsigned jobs;		      /* large files in the thread */
	struct q_spool_real *real;    /* loop, timer, hook: NULL in tests */
};

/* queue/spool/append.c */
struct q_rec *q_rec_new(enum q_rec_type type, uint64_t id, q_durable_fn done,
    void *ctx);
void q_rec_free(struct q_rec *r);
/* Asks for q_spool_turn. */
void q_spool_wake(struct q_spool *s, int64_t ms);
/* Takes R, which goes out with the next batch. */
void q_spool_append(struct q_spool *s, struct q_rec *r);
/* FINISHED is written for M. */
void q_spool_drop(struct q_spool *s, struct spool_entry *m);
/* No record of M is needed any more. */
void q_pieces_dead(struct q_spool *s, const struct spool_entry *m);
/* The same, and it leaves the index. */
void q_spool_forget(struct q_spool *s, struct spool_entry *m);

/* queue/spool/space.c */
/* The last segment is for results: it takes no mail. */
bool q_space_is_reserved(const struct q_spool *s);
/* Has a segment made that takes NEED bytes, if there is none. */
void q_space_prepare(struct q_spool *s, uint32_t need);
/* A segment was made or could not be made: q_segs.changed. */
void q_space_changed(void *ctx);

/* queue/spool/batch.c */
/* All that waits goes into batches; a flush begins when it is time. */
void q_batches_turn(struct q_spool *s);
/* All becomes durable, or fails, before this returns. */
void q_batches_end(struct q_spool *s);

/* queue/spool/spool.c */
struct q_spool *q_spool_start(const struct q_spool_cfg *cfg,
    struct hb_buf *err);
void q_spool_finish(struct q_spool **s);
/* Work at the end of a turn: batches, flush, one slice of compaction. */
void q_spool_turn(struct q_spool *s);

/* queue/spool/read.c */
/* Reads and checks the payload of one record; BYTES keeps it. */
int q_piece_read(struct q_spool *s, const struct q_piece *p, uint64_t id,
    struct hb_buf *bytes, struct hb_span *payload) HB_MUSTCHECK;
int q_base_read(struct q_spool *s, const struct spool_entry *m,
    struct hb_buf *bytes, struct q_message *out) HB_MUSTCHECK;
/* The same, and OUT lives as long as BYTES: what is cached may be dropped
 * between two turns. */
int q_base_own(struct q_spool *s, const struct spool_entry *m,
    struct hb_buf *bytes, struct q_message *out) HB_MUSTCHECK;
/* Bodies that were asked for in this turn. */
void q_read_wanted(struct q_spool *s);
/* Copies bytes into corrupt/GEN-OFF and logs; NAME gets the path. */
#define Q_CORRUPT_PATH 40
void q_set_aside(struct q_spool *s, const struct q_piece *p, uint64_t id,
    struct hb_span bytes, char name[Q_CORRUPT_PATH]);
void q_set_aside_piece(struct q_spool *s, const struct q_piece *p,
    uint64_t id, char name[Q_CORRUPT_PATH]);

/* queue/spool/large.c */
#define Q_LARGE_PATH 24
void q_large_path(uint64_t id, char dst[Q_LARGE_PATH]);
/* Checks size and CRC in the thread, flushes file and folder, then appends R
 * or fails it. */
void q_large_commit(struct q_spool *s, struct q_rec *r, int fd, uint64_t size,
    uint32_t crc);
void q_large_fetch(struct q_spool *s, struct spool_entry *m,
    const struct q_message *msg, q_content_fn cb, void *ctx);
void q_large_remove(struct q_spool *s, uint64_t id);
void q_large_remove_orphans(struct q_spool *s);
/* Does the file exist with SIZE bytes? */
bool q_large_is_there(struct q_spool *s, uint64_t id, uint64_t size);

/* queue/spool/mover.c */
struct q_mover;
void q_mover_free(struct q_mover **mv);
/* Starts a turn, with a turn's work. */
void q_move_turn(struct q_spool *s);
/* Begins to write M again, while no other message is being moved.  1: done; 0:
 * continue with q_move_some; or an error. */
int q_move(struct q_spool *s, struct spool_entry *m) HB_MUSTCHECK;
int q_move_some(struct q_spool *s) HB_MUSTCHECK;

/* queue/spool/move.c */
void q_compact_step(struct q_spool *s);

/* queue/spool/replay.c */
int q_replay(struct q_spool *s) HB_MUSTCHECK;

#endif
