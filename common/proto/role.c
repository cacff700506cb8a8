/* The table of roles.  Floor 1. */
#include "common/proto/role.h"

#include "common/proto/conf.h"
#include "common/proto/ipc.h"

#define HB_FILE_BIT(kind) (1u << HB_FILE_##kind)

static const struct hb_role_info infos[HB_ROLE_COUNT] = {
#define HB_ROLE(sym, word, ...) [HB_ROLE_##sym] = { .name = word, __VA_ARGS__ },
#include "common/proto/role.def"
};

const struct hb_role_info *
hb_role_info(enum hb_role r)
{
	return &infos[r];
}

const char *
hb_role_name(enum hb_role r)
{
	return r < HB_ROLE_COUNT ? infos[r].name : "unknown";
}

bool
hb_role_may(enum hb_role r, uint32_t what)
{
	return (infos[r].may & what) != 0;
}

bool
hb_role_gets(enum hb_role r, uint32_t what)
{
	return (infos[r].gets & what) != 0;
}

bool
hb_role_may_talk(enum hb_role a, enum hb_role b)
{
	return a != b && a < HB_ROLE_COUNT && b < HB_ROLE_COUNT &&
	    ((infos[a].peers >> b | infos[b].peers >> a) & 1) != 0;
}
