/*
 * The segment files of the spool: made, numbered, given a new generation before
 * each use, and removed if there are too many.  Floor 3.
 *
 * This counts the live records of a segment; the spool knows their meaning.
 * States and transitions: queue/spool/states.
 */
#ifndef QUEUE_SPOOL_SEGMENT_H
#define QUEUE_SPOOL_SEGMENT_H

#include "common/base/table.h"
#include "queue/spool/flush.h"
#include "queue/spool/record.h"
#include "queue/spool/io.h"

enum q_seg_state {
	Q_SEG_MAKING,  /* zeroes, or the header of its next use, are written */
	Q_SEG_READY,   /* empty, header durable: the next one to use */
	Q_SEG_CURRENT, /* appended to */
	Q_SEG_SEALED,  /* has live records, or others need it */
	Q_SEG_FREE,    /* not needed; old generation on disk */
	Q_SEG_GOING    /* is being removed */
};

struct q_seg {
	UT_hash_handle hh; /* by gen */
	uint32_t gen, number, size;
	uint32_t tail;	   /* end of the appended bytes */
	uint32_t nlive;	   /* live records in it */
	uint64_t live;	   /* their size in bytes */
	enum q_seg_state state;
	bool bad;	   /* a write failed: never written again */
	int fd;		   /* -1: not open now */
	unsigned busy;	   /* batches in progress */
	int64_t sealed_ms; /* monotonic */
	unsigned char key[Q_KEY_SIZE];
	/* Generations with records that records of this one void. */
	uint32_t *deps;
	size_t ndeps;
};

struct q_segs {
	const struct q_io *io;
	const struct q_exec *exec;
	struct q_seg *by_gen; /* all but a new one being made */
	struct q_seg *current, *ready, *making;
	uint32_t last_gen, last_number, size;
	uint64_t total, live; /* bytes: sealed segments, and live in them */
	size_t nfree, nsealed, nopen, nseg;
	unsigned jobs;
	int error;	      /* why the last one could not be made, or 0 */
	uint32_t format;      /* q_segs_open: of a segment that is refused */
	void *ctx;
	void (*changed)(void *ctx); /* one is ready, gone, or failed */
};

#define Q_SEG_PATH 24
void q_seg_path(uint32_t number, char dst[Q_SEG_PATH]);

/* Size of new segments on a file system of TOTAL bytes. */
uint32_t q_seg_size_for(uint64_t total);

/* Reads the headers of log/.  Calls ODD for a file without a valid one.
 * HB_E_UNSUPPORTED: one has another format; nothing of it was touched. */
int q_segs_open(struct q_segs *s,
    void (*odd)(void *ctx, const char *path)) HB_MUSTCHECK;
void q_segs_close(struct q_segs *s);

struct q_seg *q_seg_find(const struct q_segs *s, uint32_t gen); /* or NULL */
/* Open descriptor, or a negative errno. */
int q_seg_fd(struct q_segs *s, struct q_seg *seg) HB_MUSTCHECK;

/*
 * Starts making a segment ready for LEN record bytes, from a free one or a new
 * one, unless one is ready or being made.  segs->error says why it failed.
 */
void q_segs_prepare(struct q_segs *s, uint32_t len);
/*
 * For a start on a full disk: if no segment can be made, appends to the newest
 * one again if it has room for LEN record bytes.
 */
bool q_segs_go_back(struct q_segs *s, uint32_t len);
/* The ready segment becomes current, the current one sealed. */
void q_segs_switch(struct q_segs *s, int64_t mono_ms);
void q_segs_seal(struct q_segs *s, int64_t mono_ms);

/* A live record of TOTAL bytes was added or removed. */
void q_seg_live(struct q_segs *s, struct q_seg *seg, uint32_t total);
void q_seg_dead(struct q_segs *s, struct q_seg *seg, uint32_t total);
void q_seg_depend(struct q_seg *seg, uint32_t gen);
/* Forgets the deps: other records durably replace the dependent ones. */
void q_seg_undepend(struct q_seg *seg);
bool q_seg_is_pinned(const struct q_segs *s, struct q_seg *seg);
/* Frees sealed segments that are not needed, removes superfluous ones. */
void q_segs_collect(struct q_segs *s);

/* Bytes that can be appended without new space of the file system. */
uint64_t q_segs_room(const struct q_segs *s);

#endif
