/*
 * Reading files that the operator names.  Floor 3.  Any of them may be empty,
 * torn, huge, a folder, a FIFO, a device or a dangling link: this one reader
 * never waits, is bounded, and accepts only regular files.
 */
#ifndef HB_IO_READFILE_H
#define HB_IO_READFILE_H

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

#endif
