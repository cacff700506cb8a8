/* What the kinds of local delivery share.  Floor 3. */
#ifndef DELIVERY_LOCAL_BOX_PRIV_H
#define DELIVERY_LOCAL_BOX_PRIV_H

#include <sys/stat.h>

#include "delivery/local/box.h"

void local_outcome(struct hb_outcome *out, enum hb_result result,
    unsigned code, const char *status, enum hb_reason reason);
void local_delivered(struct hb_outcome *out, struct hb_buf *text,
    const char *what);
/* Trouble with a mailbox is the site's, not the sender's: mail waits.  TEXT may
 * have a better word for it already; else it becomes "WHAT: " and ERR's. */
void local_trouble(struct hb_outcome *out, struct hb_buf *text,
    const char *what, int err);
/* Is what stands there as ST says ours or root's?  Others may have put theirs
 * in its place, where a folder lets everybody write. */
bool local_is_ours(const struct stat *st);

int64_t local_clock_us(void);

/* Writes FIRST, head lines and message to FD; mbox: and an empty line.  0 or
 * -errno. */
int local_write(int fd, const struct local_message *m, struct hb_span first,
    bool mbox);

#endif
