/* Roles and pairs.  Floor 1. */
#include "common/proto/role.h"

#include <stddef.h>

static const char *const names[] = {
#define X(sym, name, account) [HB_ROLE_##sym] = name,
	HB_ROLES(X)
#undef X
};
static const char *const accounts[] = {
#define X(sym, name, account) [HB_ROLE_##sym] = account,
	HB_ROLES(X)
#undef X
};
static const struct {
	enum hb_role a, b;
} pairs[] = {
#define X(x, y) { HB_ROLE_##x, HB_ROLE_##y },
	HB_PEER_PAIRS(X)
#undef X
};

const char *
hb_role_name(enum hb_role r)
{
	return r < HB_ROLE_COUNT ? names[r] : "unknown";
}

const char *
hb_role_account(enum hb_role r)
{
	return r < HB_ROLE_COUNT ? accounts[r] : "";
}

bool
hb_role_may_talk(enum hb_role a, enum hb_role b)
{
	if (a == b || a >= HB_ROLE_COUNT || b >= HB_ROLE_COUNT)
		return false;
	/* The helper works for queue alone: the parent only starts it. */
	if (a != HB_ROLE_HELPER && b != HB_ROLE_HELPER &&
	    (a == HB_ROLE_PARENT || b == HB_ROLE_PARENT ||
		a == HB_ROLE_CONTROL || b == HB_ROLE_CONTROL))
		return true;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((pairs[i].a == a && pairs[i].b == b) ||
		    (pairs[i].a == b && pairs[i].b == a))
			return true;
	return false;
}
