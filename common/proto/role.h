/*
 * The roles, their properties, and who may talk to whom.  Floor 1.  A pair that
 * is not listed has no channel.  HACKING "Roles".
 */
#ifndef HB_PROTO_ROLE_H
#define HB_PROTO_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hb_role {
#define HB_ROLE(sym, name, ...) HB_ROLE_##sym,
#include "common/proto/role.def"
	HB_ROLE_COUNT
};

/* Sets of roles. */
#define HB_TO(role) (1u << HB_ROLE_##role)
#define HB_ANY ((1u << HB_ROLE_COUNT) - 1)

/* The folder that a role is confined to and works in. */
enum hb_root { HB_ROOT_EMPTY, HB_ROOT_ALL, HB_ROOT_SPOOL, HB_ROOT_RUN_DIR };

/* What the sandbox allows a role to do, each with its system calls. */
#define HB_MAY_RUN 1u	  /* needed by every process of ours */
#define HB_MAY_NET 2u	  /* network sockets */
#define HB_MAY_ACCEPT 4u  /* on sockets that it was given */
#define HB_MAY_PAIR 8u	  /* socket pairs, to wake itself */
#define HB_MAY_READ 16u	  /* files below its folder */
#define HB_MAY_WRITE 32u  /* those files, and their folders */
#define HB_MAY_PWRITE 64u /* to files that it has open */
#define HB_MAY_FORK 128u
#define HB_MAY_THREAD 256u
#define HB_MAY_NSS 512u /* local services, and modules with code */

/* Descriptors that the parent gives to a role besides log and channels. */
#define HB_GETS_LISTENERS 1u /* SMTP listeners */
#define HB_GETS_COUNTERS 2u  /* the table of sessions */
#define HB_GETS_LOCK 4u	     /* lock of the spool, held as long as it lives */
#define HB_GETS_CONTROL 8u   /* the control socket, and the log for reading */

struct hb_role_info {
	const char *name;    /* of the executable: hauberk-NAME */
	const char *account; /* default without `user` */
	enum hb_root root;
	uint32_t may;	     /* HB_MAY_* */
	uint32_t files;	     /* 1 << HB_FILE_*: files that it is sent */
	uint32_t gets;	     /* HB_GETS_* */
	uint32_t peers;	     /* has a channel to; listed once a pair */
	size_t workers;	     /* offset in struct hb_conf; 0: one process */
	unsigned stop_wave;  /* of common/parent/stop.c; 0: not started */
	/* If two roles blame each other, the one with the higher trust is
	 * believed. */
	unsigned trust;
	bool forgets; /* it keeps no state, so that a new one costs little */
};

/* R is below HB_ROLE_COUNT. */
const struct hb_role_info *hb_role_info(enum hb_role r);
const char *hb_role_name(enum hb_role r);
/* May R do any of WHAT? */
bool hb_role_may(enum hb_role r, uint32_t what);
bool hb_role_gets(enum hb_role r, uint32_t what);
bool hb_role_may_talk(enum hb_role a, enum hb_role b);

#endif
