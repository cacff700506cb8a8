/* Control requests to every role: STATUS, STATS, LOG_LEVEL; the role answers
 * the rest.  Floor 3, only for common/io/rolemain.c. */
#ifndef HB_IO_ROLECTL_H
#define HB_IO_ROLECTL_H

#include "common/io/rolemain.h"

/* Call it before the sandbox. */
void hb_rolectl_start(void);
void hb_rolectl_answer(struct hb_role_env *env,
    const struct hb_role_spec *spec, struct hb_peer *p,
    const struct ipc_ctl *q);

#endif
