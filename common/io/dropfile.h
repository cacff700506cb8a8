/*
 * A file that hauberk-submit left in maildrop/, as it is read: its records,
 * then its message in slices.  Floor 3.  Queue reads it; smtpd does where mail
 * filters see what local commands submit.
 */
#ifndef HB_IO_DROPFILE_H
#define HB_IO_DROPFILE_H

#include "common/proto/maildrop.h"

struct hb_dropfile {
	int fd; /* at its beginning; borrowed */
	struct hb_drop_head head;
	uint32_t crc;  /* of what was read after the head */
	uint64_t left; /* bytes of the message */
};

/* What stands before the message, checked as all that enters
 * (common/proto/intake.h), in the arena. */
struct hb_dropped {
	struct hb_env env;
	struct hb_rcpt *rcpts; /* in their order, numbered from 0 */
	size_t n;
};
/* Reads it.  SIZE: of the whole file; MOST: recipients.  0; HB_E_IO; HB_E_* for
 * what is no such file. */
int hb_dropfile_begin(struct hb_dropfile *f, uint64_t size, size_t most,
    struct hb_arena *a, struct hb_dropped *out) HB_MUSTCHECK;
/* Appends the next N bytes of the message to OUT, or what is left of them.  0;
 * HB_E_IO; HB_E_MORE (the file ended); HB_E_CORRUPT (nothing is left, and it is
 * not what was written). */
int hb_dropfile_more(struct hb_dropfile *f, size_t n,
    struct hb_buf *out) HB_MUSTCHECK;

#endif
