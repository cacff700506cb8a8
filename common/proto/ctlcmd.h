/* The commands of hauberkctl (ctlcmd.def).  Floor 1. */
#ifndef HB_PROTO_CTLCMD_H
#define HB_PROTO_CTLCMD_H

#include "common/base/span.h"

enum hb_ctl_cmd {
#define CTL_CMD(sym, words, verb, least, most, args, text) HB_CMD_##sym,
#include "common/proto/ctlcmd.def"
	HB_CMD_COUNT
};

struct hb_ctl_cmd_info {
	const char *words, *args, *text;
	unsigned verb; /* enum hb_ctl_verb */
	size_t least, most; /* arguments */
	bool for_all;	    /* any user may ask */
	bool takes_file;    /* its last argument is sent after the request */
};

extern const struct hb_ctl_cmd_info hb_ctl_cmds[HB_CMD_COUNT];

/*
 * Finds the command that WORDS begin with and checks the number of arguments.
 * Returns how many words its name has (> 0); HB_E_NOTFOUND; HB_E_RANGE (CMD is
 * known, too few or too many arguments).
 */
int hb_ctl_cmd_find(const struct hb_span *words, size_t n,
    enum hb_ctl_cmd *cmd) HB_MUSTCHECK;

#endif
