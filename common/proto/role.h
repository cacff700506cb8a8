/*
 * The roles and who may talk to whom (one list each).  Floor 1.
 * A pair that is not listed has no channel.  HACKING "Roles".
 */
#ifndef HB_PROTO_ROLE_H
#define HB_PROTO_ROLE_H

#include <stdbool.h>

/* symbol, name (of the executable: hauberk-NAME), account, chroot */
#define HB_ROLES(X)                                                            \
	X(PARENT, "parent", "root")                                            \
	X(SMTPD, "smtpd", "_hauberk")                                          \
	X(ROUTER, "router", "_hauberkr")                                       \
	X(QUEUE, "queue", "_hauberkq")                                         \
	X(DELIVERY, "delivery", "_hauberkd")                                   \
	X(KEYAGENT, "keyagent", "_hauberkk")                                   \
	X(CONTROL, "control", "_hauberkc")                                     \
	X(HELPER, "local", "local")

enum hb_role {
#define X(sym, name, account) HB_ROLE_##sym,
	HB_ROLES(X)
#undef X
	HB_ROLE_COUNT
};

/* Pairs besides parent-everyone and control-everyone. */
#define HB_PEER_PAIRS(X)                                                       \
	X(SMTPD, ROUTER)                                                       \
	X(SMTPD, QUEUE)                                                        \
	X(SMTPD, KEYAGENT)                                                     \
	X(QUEUE, ROUTER)                                                       \
	X(QUEUE, DELIVERY)                                                     \
	X(DELIVERY, KEYAGENT)                                                  \
	X(QUEUE, HELPER)

const char *hb_role_name(enum hb_role r);
const char *hb_role_account(enum hb_role r);
bool hb_role_may_talk(enum hb_role a, enum hb_role b);

#endif
