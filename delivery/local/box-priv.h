/* Shared by the kinds of local delivery.  Floor 3. */
#ifndef DELIVERY_LOCAL_BOX_PRIV_H
#define DELIVERY_LOCAL_BOX_PRIV_H

#include <sys/stat.h>

#include "delivery/local/box.h"

void local_outcome(struct hb_outcome *out, enum hb_result result,
    unsigned code, const char *status, enum hb_reason reason);
void local_delivered(struct hb_outcome *out, struct hb_buf *text,
    const char *what);
/* Trouble with a mailbox is the site's fault, not the sender's: mail waits.
 * TEXT may already have a better description; otherwise it becomes "WHAT: " and
 * that of ERR. */
void local_trouble(struct hb_outcome *out, struct hb_buf *text,
    const char *what, int err);
/* Does the file with status ST belong to us or root?  Others may have replaced
 * it in a folder that everybody may write. */
bool local_is_ours(const struct stat *st);

int64_t local_clock_us(void);

/* Writes FIRST, head lines and message to FD; mbox: and an empty line.  0 or
 * -errno. */
int local_write(int fd, const struct local_message *m, struct hb_span first,
    bool mbox);

#endif
