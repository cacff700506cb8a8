/*
 * Reads the configuration for the parent: file, includes, the host's name.
 * Floor 3.
 */
#ifndef HB_DAEMON_CONF_LOAD_H
#define HB_DAEMON_CONF_LOAD_H

#include "common/proto/conf.h"

/* Folder of PATH, absolute.  Returns owned. */
char *pd_folder_of(const char *path);

/* Returns owned conf; every mistake is in REPORT (use the conf only without
 * errors).  Asks for the host's full name when FILE does not give one, which
 * may wait for a name server. */
struct hb_conf *pd_conf_load(const char *file, struct hb_conf_report *report);

/*
 * At a reload: CONF with the words of OLD that cannot change while we run.
 * CHANGED gets their names, separated by blanks.  Returns owned, or CONF itself
 * when nothing has changed.
 */
struct hb_conf *pd_conf_keep_fixed(const struct hb_conf *old,
    struct hb_conf *conf, struct hb_buf *changed) HB_MUSTCHECK;

#endif
