/* What common/parent/listen.c calls of the parent that is not tested here. */
#include "config.h"

#include "common/parent/parent.h"

void
pd_post(struct pd_proc *pr, enum hb_ipc_type type, const void *msg, int fd)
{
	(void)pr;
	(void)type;
	(void)msg;
	(void)fd;
}
