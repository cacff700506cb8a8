/*
 * Prototypes of a role's frame handlers, and the function that calls them,
 * made from ipc.def.  Floor 3.  No include guard: each role includes it with
 *
 *	IPC_TAKES(from, to)	true of the frames that it takes
 *	IPC_CTX			its type
 *	IPC_ON(name)		its handlers: void IPC_ON(NAME)(IPC_CTX *,
 *				struct hb_peer *, const struct ipc_NAME *),
 *				and a descriptor where the row has one
 *
 * IPC_ON(frame) is then its hb_peer_handler.  All frames have a prototype; the
 * call of one that the role does not take is dead code, so that a role links
 * when it handles what it takes.
 */
#define HB_FD_PARAM_0
#define HB_FD_PARAM_1 , int fd
#define HB_FD_PARAM_2 , int fd
#define HB_FD_ARG_0
#define HB_FD_ARG_1 , fd
#define HB_FD_ARG_2 , fd
#include "common/proto/record-none.h"

#define I_MSG(SYM, name, from, to, when, fd)                                   \
	void IPC_ON(name)(IPC_CTX *, struct hb_peer *,                         \
	    const struct ipc_##name *HB_FD_PARAM_##fd);
#include "common/proto/ipc.def"
#undef I_MSG

static inline bool
IPC_ON(frame)(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	switch (type) {
#define I_MSG(SYM, name, from, to, when, fd)                                   \
	case HB_IPC_##SYM:                                                     \
		if (!(IPC_TAKES(from, to)))                                    \
			return false;                                          \
		IPC_ON(name)(ctx, p, &m->name HB_FD_ARG_##fd);                 \
		return true;
#include "common/proto/ipc.def"
#undef I_MSG
	case HB_IPC_COUNT:
		break;
	}
	return false;
}

#include "common/proto/record-undef.h"
#undef HB_FD_PARAM_0
#undef HB_FD_PARAM_1
#undef HB_FD_PARAM_2
#undef HB_FD_ARG_0
#undef HB_FD_ARG_1
#undef HB_FD_ARG_2
#undef IPC_TAKES
#undef IPC_CTX
#undef IPC_ON
