/*
 * Inside of the maildrop, only for its files, of which each calls those before
 * it: drop_file.c, drop_filter.c, drop.c (one file), drop_find.c (which file is
 * next).  Floor 4.
 */
#ifndef QUEUE_MANAGER_DROP_PRIV_H
#define QUEUE_MANAGER_DROP_PRIV_H

#include <dirent.h>
#include <sys/types.h>

#include "common/base/memo.h"
#include "common/io/dropfile.h"
#include "queue/manager/intake.h"
#include "queue/manager/role.h"
#include "queue/manager/turns.h"

enum {
	Q_DROP_PATH = 4352,
	Q_DROP_SLICE = 1 << 20,	/* bytes read in one turn of the loop */
	Q_DROP_SCAN_MS = 1000	/* to the next look, where none is told */
};

struct q_drop_file;
struct q_drop_line {
	TAILQ_HEAD(, q_drop_file) files;
	unsigned n;
};

/* A file in process: being read, on its way to the disk, or with smtpd. */
struct q_drop_file {
	TAILQ_ENTRY(q_drop_file) link;
	struct q_drop_line *line; /* NULL: it is being read */
	struct q_drop *d;
	int fd;
	char name[Q_TURN_NAME];
	struct hb_dropfile file;
	struct hb_arena *arena;
	struct hb_env env;
	struct hb_rcpt *rcpts;
	size_t nrcpt;
	struct hb_buf slice;
	struct q_intake in;
	int64_t dropped_ms; /* when it was written */
	uid_t uid;
	/* drop_filter.c */
	uint32_t number; /* in frames */
	unsigned smtpd;	 /* the worker that has it */
	bool has_txn, is_lost; /* that worker is */
	bool is_taken;	       /* the file is removed */
	bool is_refused;       /* by filters: it is taken in for DSNs */
	struct hb_rcpt *refusals; /* malloc, by idx; in arena */
	size_t nrefused, room;
	struct hb_span rest; /* route of the others; NONE: they are out */
};

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
	struct q_drop_file *file;   /* being read, or NULL */
	struct q_drop_line flushed; /* being made durable */
	struct q_drop_line handed;  /* smtpd has them */
	struct q_drop_line refused; /* filters did, they are read next */
	struct hb_memo deferred;    /* by filters */
	uint32_t last_number;
	size_t next_smtpd;
	size_t nread; /* bytes, in this turn */
};

/* drop_file.c */
void q_drop_path(const char *dir, const char *name, char out[Q_DROP_PATH]);
void q_drop_file_free(struct q_drop_file **f);
void q_drop_line_free(struct q_drop_line *l);
/* F is in TO now, and nowhere else; NULL: it is the one that is read. */
void q_drop_move(struct q_drop_file *f, struct q_drop_line *to);
/* It is not in work any more: frees F.  So do those that follow. */
void q_drop_end(struct q_drop_file *f);
/* The file stays where it is. */
void q_drop_leave(struct q_drop_file *f);
void q_drop_leave_for_later(struct q_drop_file *f, int err);
void q_drop_leave_unread(struct q_drop_file *f, int err);
void q_drop_set_aside(struct q_drop_file *f, const char *why);
/* The file is gone. */
void q_drop_remove(struct q_drop_file *f);
/* What an envelope of local mail says of its way in. */
void q_drop_local_env(struct hb_env *e, uid_t uid, struct hb_arena *a);

/* drop_filter.c */
void q_drop_filter_init(struct q_drop *d);
void q_drop_filter_free(struct q_drop *d);
void q_drop_filter_status(const struct q_drop *d, const struct hb_ctl *c);
bool q_drop_is_filtered(const struct q_drop *d);
bool q_drop_may_hand(const struct q_drop *d);
/* To a worker of smtpd; SIZE: of the file.  0, or HB_E_* where none takes it
 * now. */
int q_drop_hand(struct q_drop_file *f, uint64_t size) HB_MUSTCHECK;
/* Did a filter say that it has to wait? */
bool q_drop_is_deferred(struct q_drop *d, const char *name);
/* Leaves those of the N recipients of a refused drop that it is taken in for,
 * each with its route; how many. */
size_t q_drop_refuse(const struct q_drop_file *f, struct hb_rcpt *v, size_t n);

/* drop.c */
/* Can one more file be taken now? */
bool q_drop_is_ready(const struct q_drop *d);
bool q_drop_has(const struct q_drop *d, const char *name); /* in process */
void q_drop_take(struct q_drop *d, const char *name);
void q_drop_take_refused(struct q_drop *d); /* there is one, and none is read */
void q_drop_more(struct q_drop_file *f); /* the next slice of it */

#endif
