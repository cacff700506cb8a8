/*
 * Reads the configuration for the parent: file, includes, the host's name.
 * Floor 3.
 */
#ifndef HB_IO_CONF_LOAD_H
#define HB_IO_CONF_LOAD_H

#include "common/proto/conf.h"

/* Returns an owned conf; REPORT holds every mistake (use the conf only if there
 * is none).  If FILE does not give the host's full name, it is looked up, which
 * may wait for a name server.  ALABELS: hb_idna_domain, which not every program
 * that has this file links. */
struct hb_conf *pd_conf_load(const char *file, hb_conf_alabels_fn alabels,
    struct hb_conf_report *report);

/* TEXT of FILE, for a program that needs a few words of it: mistakes are not
 * told and no resolver is asked.  Returns an owned conf. */
struct hb_conf *pd_conf_peek(const char *file, struct hb_span text);

/*
 * At a reload: CONF with those values of OLD that cannot change while we run.
 * CHANGED gets the names of these keywords, separated by blanks.  Returns
 * owned, or CONF itself if nothing has changed.
 */
struct hb_conf *pd_conf_keep_fixed(const struct hb_conf *old,
    struct hb_conf *conf, struct hb_buf *changed) HB_MUSTCHECK;

#endif
