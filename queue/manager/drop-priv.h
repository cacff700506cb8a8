/*
 * Inside of the maildrop: what drop.c (one file) offers to drop_find.c (which
 * file is next) alone.  Floor 4.
 */
#ifndef QUEUE_MANAGER_DROP_PRIV_H
#define QUEUE_MANAGER_DROP_PRIV_H

#include <dirent.h>
#include <sys/types.h>

#include "common/proto/maildrop.h"
#include "queue/manager/intake.h"
#include "queue/manager/role.h"
#include "queue/manager/turns.h"

enum {
	Q_DROP_PATH = 4352,
	Q_DROP_SLICE = 1 << 20,	/* bytes read in one turn of the loop */
	Q_DROP_SCAN_MS = 1000	/* to the next look, where none is told */
};

/* A file in process: being read, or on its way to the disk. */
struct q_drop_file {
	TAILQ_ENTRY(q_drop_file) link;
	struct q_drop *d;
	int fd;
	char name[Q_TURN_NAME];
	struct hb_drop_head head;
	struct hb_arena *arena;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t nrcpt;
	struct hb_buf slice;
	struct q_intake in;
	uint32_t crc; /* of the file, after its head */
	uint64_t left;
	int64_t dropped_ms; /* when it was written */
	uid_t uid;
};
TAILQ_HEAD(q_drop_files, q_drop_file);

struct q_drop {
	struct q *q;
	int notify;
	struct hb_io *io;
	struct hb_timer *look, *step;
	char *dir, *corrupt;
	/* decides which one is next */
	struct q_turns *turns;
	DIR *scan;	    /* in progress, or NULL */
	bool scans_corrupt; /* it is in its second half, corrupt/ */
	bool again;	    /* there may be files that TURNS does not know */
	bool paused;	    /* no room, until the next scan */
	bool unread;	    /* a file could not be read since the last scan */
	size_t seen, seen_unfinished; /* by the current scan */
	size_t n_waiting, n_unfinished, n_corrupt; /* as of the last scan */
	struct q_drop_file *file;    /* being read, or NULL */
	struct q_drop_files flushed; /* being made durable */
	unsigned nflushed;
	size_t nread; /* bytes, in this turn */
};

void q_drop_path(const char *dir, const char *name, char out[Q_DROP_PATH]);
/* Can one more file be taken now? */
bool q_drop_is_ready(const struct q_drop *d);
bool q_drop_has(const struct q_drop *d, const char *name); /* in process */
void q_drop_take(struct q_drop *d, const char *name);
void q_drop_file_free(struct q_drop_file **f);
void q_drop_more(struct q_drop_file *f); /* the next slice of it */

#endif
