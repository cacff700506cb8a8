/*
 * Whole files.  Floor 3.  One that the operator names may be empty, torn, huge,
 * a folder, a FIFO, a device or a link to nothing: its one reader never waits,
 * has a bound, and takes regular files alone.
 */
#ifndef HB_IO_FILE_H
#define HB_IO_FILE_H

#include <sys/types.h>

#include "common/base/buf.h"

/* Reads a whole regular file of at most MOST bytes into an unbounded buffer.  0
 * or -errno: EFBIG if it is longer, EISDIR for a folder, EINVAL for other files
 * that are not regular; hb_file_error has the texts. */
int hb_read_file(const char *path, size_t most, struct hb_buf *content)
    HB_MUSTCHECK;
/* The same for an open file; FD is borrowed. */
int hb_read_fd(int fd, size_t most, struct hb_buf *content) HB_MUSTCHECK;
/* Reads a pipe or standard input to its end, and waits for it, into an
 * unbounded buffer.  0 or -errno; EFBIG for more than MOST bytes. */
int hb_read_all(int fd, size_t most, struct hb_buf *content) HB_MUSTCHECK;
/* N bytes, or fewer at the end of FD, for which this one waits.  How many, or
 * -errno. */
ssize_t hb_read_some(int fd, void *dst, size_t n) HB_MUSTCHECK;

/* All of S, also where FD takes a part at a time.  0 or -errno. */
int hb_write_all(int fd, struct hb_span s) HB_MUSTCHECK;

#endif
