/*
 * Enters a role's sandbox: accounts, chroot, no new privileges, seccomp,
 * landlock, limits.  Floor 3.
 */
#ifndef HB_IO_SANDBOX_H
#define HB_IO_SANDBOX_H

#include "common/base/buf.h"
#include "common/proto/conf.h"

/* Accounts and chroot (as root only), then the filters.  0 or HB_E_*. */
int hb_sandbox_enter(enum hb_role role, const struct hb_conf *conf,
    struct hb_buf *err) HB_MUSTCHECK;

#endif
