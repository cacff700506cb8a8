/*
 * Inside of the shared table, only for counters.c and penalty.c.  Floor 3.
 *
 * Each worker has a memory file, its part, which only it can write; it reads
 * the parts of the other workers and validates everything in them.
 */
#ifndef HB_IO_COUNTERS_PRIV_H
#define HB_IO_COUNTERS_PRIV_H

#include <stdatomic.h>

#include "common/io/counters.h"

enum {
	HB_COUNTERS_BUCKET = 8,
	HB_COUNTERS_WORKERS = 256,
	HB_COUNTERS_MARKS = 8192, /* penalties of one worker */
	HB_COUNTERS_GOODS = 4096  /* logins at networks, of one worker */
};

struct hb_client_count {
	_Atomic uint64_t client; /* keyed hash of the address; 0: free */
	_Atomic uint32_t sessions;
	_Atomic uint32_t started; /* new sessions since window_ms */
	_Atomic int64_t window_ms;
};

/* Failed tries under one key. */
struct hb_mark {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint32_t score; /* thousandths of an attempt, at at_ms */
	uint32_t unused;
	_Atomic int64_t at_ms;
	_Atomic int64_t turn_ms; /* when the last of them may start its work */
};

/* A successful login from a network. */
struct hb_good {
	_Atomic uint64_t key;
	_Atomic int64_t at_ms;
};

struct hb_part {
	uint32_t magic, places;
	unsigned char key[16]; /* the same in all parts */
	_Atomic uint32_t sessions;
	uint32_t unused;
	struct hb_mark mark[HB_COUNTERS_MARKS];
	struct hb_good good[HB_COUNTERS_GOODS];
	struct hb_client_count place[];
};

struct hb_counters {
	struct hb_part *part[HB_COUNTERS_WORKERS]; /* NULL: not known here */
	int fd[HB_COUNTERS_WORKERS], read_fd[HB_COUNTERS_WORKERS]; /* parent */
	size_t size; /* of each part */
	unsigned workers, self;
	uint32_t places;
	unsigned char key[16];
};

#endif
