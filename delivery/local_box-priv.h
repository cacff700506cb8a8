/* What the kinds of local delivery share.  Floor 3. */
#ifndef DELIVERY_LOCAL_BOX_PRIV_H
#define DELIVERY_LOCAL_BOX_PRIV_H

#include "delivery/local_box.h"

void local_outcome(struct hb_outcome *out, enum hb_result result,
    unsigned code, const char *status, enum hb_reason reason);
void local_delivered(struct hb_outcome *out, struct hb_buf *text,
    const char *what);
/* Trouble with a mailbox is the site's, not the sender's: mail waits. */
void local_trouble(struct hb_outcome *out, struct hb_buf *text,
    const char *what, int err);

int64_t local_clock_us(void);

/* Writes head lines and message to FD.  0 or -errno. */
int local_write(int fd, const struct local_message *m, bool mbox);

#endif
