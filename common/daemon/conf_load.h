/*
 * Reads the configuration for the parent: file, includes, the host's name.
 * Floor 3.
 */
#ifndef HB_DAEMON_CONF_LOAD_H
#define HB_DAEMON_CONF_LOAD_H

#include "common/proto/conf.h"

/* Reads a whole regular file of at most HB_MAX_LOADED_FILE bytes into an
 * unbounded buffer.  0 or -errno. */
int pd_read_file(const char *path, struct hb_buf *content) HB_MUSTCHECK;
/* The same of an open file; FD is borrowed. */
int pd_read_fd(int fd, struct hb_buf *content) HB_MUSTCHECK;

/* Folder of PATH, absolute.  Returns owned. */
char *pd_folder_of(const char *path);

/* Returns owned conf; every mistake is in REPORT (use the conf only without
 * errors).  LOOK: files that are read at start must be there.  Asks for the host's full name when FILE does not give one, which
 * may wait for a name server. */
struct hb_conf *pd_conf_load(
    const char *file, bool look, struct hb_conf_report *report);

/*
 * At a reload: CONF with the words of OLD that cannot change while we run.
 * CHANGED gets their names, separated by blanks.  Takes CONF, returns owned.
 */
struct hb_conf *pd_conf_keep_fixed(const struct hb_conf *old,
    struct hb_conf *conf, struct hb_buf *changed);

#endif
