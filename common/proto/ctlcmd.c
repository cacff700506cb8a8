/* The commands of hauberkctl.  Floor 1. */
#include "common/proto/ctlcmd.h"

#include "common/base/err.h"
#include "common/proto/ipc.h"

enum {
#define X(sym, word, roles, all) FOR_ALL_##sym = (all),
	HB_CTL_VERBS(X)
#undef X
};

const struct hb_ctl_cmd_info hb_ctl_cmds[HB_CMD_COUNT] = {
#define CTL_CMD(sym, words, verb, least, most, args, text)                     \
	[HB_CMD_##sym] = { (words), (args), (text), HB_CTL_##verb, (least),    \
		(most), FOR_ALL_##verb,                                        \
		HB_CTL_##verb == HB_CTL_IMPORT ||                              \
		    HB_CTL_##verb == HB_CTL_STS_IMPORT },
#include "common/proto/ctlcmd.def"
};

/* How many words the name has, when WORDS begin with it; else 0. */
static size_t
begins_with(const char *name, const struct hb_span *words, size_t n)
{
	struct hb_span rest = hb_span_str(name), word;
	size_t i = 0;

	while ((word = hb_span_word(&rest)).n > 0) {
		if (i == n || !hb_span_eq(words[i], word))
			return 0;
		i++;
	}
	return i;
}

int
hb_ctl_cmd_find(const struct hb_span *words, size_t n, enum hb_ctl_cmd *cmd)
{
	for (unsigned i = 0; i < HB_CMD_COUNT; i++) {
		const struct hb_ctl_cmd_info *info = &hb_ctl_cmds[i];
		size_t used = begins_with(info->words, words, n);

		if (used == 0)
			continue;
		*cmd = (enum hb_ctl_cmd)i;
		n -= used;
		return n < info->least || n > info->most ? HB_E_RANGE
							  : (int)used;
	}
	return HB_E_NOTFOUND;
}
