/*
 * Enters a role's sandbox: account, root folder, no new privileges, landlock,
 * limits, system call filter.  Floor 3.
 *
 * The working folder of a role is its root folder, with and without chroot.
 * The environment variable HAUBERK_SANDBOX=report makes the filter log each
 * blocked call by name instead of only refusing it.
 */
#ifndef HB_IO_SANDBOX_H
#define HB_IO_SANDBOX_H

#include "common/base/buf.h"
#include "common/proto/conf.h"

/* Sets account and chroot (only as root), then the filters.  0 or HB_E_*. */
int hb_sandbox_enter(enum hb_role role, const struct hb_conf *conf,
    struct hb_buf *err) HB_MUSTCHECK;

/* For the test of the table: may ROLE use the call NAME? */
bool hb_sandbox_allows(enum hb_role role, const char *name);

#endif
