/*
 * Checks of the configuration that need the system: the files, folders and
 * accounts that it names.  Floor 4: for `hauberkd -n', start and reload.
 */
#ifndef HB_PARENT_CONF_CHECK_H
#define HB_PARENT_CONF_CHECK_H

#include "common/proto/conf.h"

struct pd_check {
	const char *libexec; /* folder of the key agent's program */
	bool privileged;     /* roles have accounts of their own */
};

/*
 * Adds every mistake and warning to REPORT, by its line.  CONF may have
 * mistakes already.  Each file is checked as the role that reads it; the parent
 * itself parses none of them.
 */
void pd_conf_check(const struct pd_check *how, const struct hb_conf *conf,
    struct hb_conf_report *report);

/* The system's bundle of trusted roots, or NULL. */
const char *pd_ca_bundle(void);

#endif
