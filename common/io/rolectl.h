/* What control asks of every role: STATUS, STATS, LOG_LEVEL; the rest goes to
 * the role.  Floor 3, for common/io/rolemain.c alone. */
#ifndef HB_IO_ROLECTL_H
#define HB_IO_ROLECTL_H

#include "common/io/rolemain.h"

/* Before the sandbox. */
void hb_rolectl_start(void);
void hb_rolectl_answer(struct hb_role_env *env,
    const struct hb_role_spec *spec, struct hb_peer *p,
    const struct ipc_ctl *q);

#endif
