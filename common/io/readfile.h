/*
 * Files that the operator names.  Floor 3.  Any of them may be empty, torn,
 * huge, a folder, a FIFO, a device or a link to nothing: this one reader never
 * waits, has a bound, and takes regular files alone.
 */
#ifndef HB_IO_READFILE_H
#define HB_IO_READFILE_H

#include "common/base/buf.h"

/* Reads a whole regular file of at most MOST bytes into an unbounded buffer.
 * 0 or -errno: EFBIG for more, EISDIR for a folder, EINVAL for what is neither
 * a folder nor a regular file; hb_file_error has the words for it. */
int hb_read_file(const char *path, size_t most, struct hb_buf *content)
    HB_MUSTCHECK;
/* The same of an open file; FD is borrowed. */
int hb_read_fd(int fd, size_t most, struct hb_buf *content) HB_MUSTCHECK;
/* What comes from a pipe or standard input until its end, for which this one
 * waits, into an unbounded buffer.  0 or -errno; EFBIG for more than MOST. */
int hb_read_all(int fd, size_t most, struct hb_buf *content) HB_MUSTCHECK;

#endif
