/*
 * Checks of a file in a separate process, with the rights of a role.  Floor 4.
 * The findings come as lines "E LINE TEXT" or "W LINE TEXT".
 */
#ifndef HB_PARENT_CONF_CHECK_RUN_H
#define HB_PARENT_CONF_CHECK_RUN_H

#include "common/parent/conf_check.h"
#include "common/proto/role.h"

/* A map or file of logins, as ROLE reads it. */
int pd_check_map(const struct pd_check *how, const struct hb_conf *conf,
    enum hb_role role, const struct hb_place *at, struct hb_buf *found)
    HB_MUSTCHECK;
/* PEM, by the key agent's program; WHAT is "pair" (chain, NUL, key) or
 * "roots". */
int pd_check_pem(const struct pd_check *how, const struct hb_conf *conf,
    const char *what, struct hb_span pem, struct hb_buf *found) HB_MUSTCHECK;
/* Who reads root's mail, by the router's program; CONF has no mistakes. */
int pd_check_root(const struct pd_check *how, const struct hb_conf *conf,
    struct hb_buf *found) HB_MUSTCHECK;
/* All three: 0, or HB_E_IO when it could not be looked at. */

/* Can others than its owner and root change PATH or a folder above it?  TEXT of
 * SIZE bytes says which and who. */
bool pd_check_writers(const char *path, char *text, size_t size);

#endif
