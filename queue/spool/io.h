/*
 * The system calls of the spool as a table, so that a test can stop the spool
 * at each of them and lose unflushed data.  Floor 3.
 *
 * Paths are relative to the spool.  Functions return >= 0 or a negative errno.
 * All may be called in the helper thread too.
 */
#ifndef QUEUE_SPOOL_IO_H
#define QUEUE_SPOOL_IO_H

#include "common/base/span.h"

struct q_io {
	void *ctx;
	int (*open)(void *ctx, const char *path, int flags);
	int (*close)(void *ctx, int fd);
	/* Bytes read, fewer than N only at the end of the file. */
	int64_t (*pread)(void *ctx, int fd, void *dst, size_t n, uint64_t at);
	/* Writes all of S. */
	int (*pwrite)(void *ctx, int fd, struct hb_span s, uint64_t at);
	int (*sync)(void *ctx, int fd);
	int (*sync_dir)(void *ctx, const char *path);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*mkdir)(void *ctx, const char *path);
	int (*list)(void *ctx, const char *path,
	    void (*name)(void *arg, const char *name), void *arg);
	int64_t (*size)(void *ctx, int fd);
	/* Bytes of the file system: free for us, and in all. */
	int (*space)(void *ctx, uint64_t *avail, uint64_t *total);
};

/* The real system calls, below DIR, which is opened once.  0 or a negative
 * errno. */
int q_io_open(struct q_io *io, const char *dir) HB_MUSTCHECK;
void q_io_close(struct q_io *io);

/* A negative errno as HB_E_NOSPACE, HB_E_NOTFOUND, HB_E_EXISTS or HB_E_IO. */
int q_io_error(int64_t r);

/* Writes all of S to the file of a large message, and logs a failure.  0,
 * HB_E_NOSPACE, HB_E_IO. */
int q_write_all(int fd, struct hb_span s) HB_MUSTCHECK;

#endif
