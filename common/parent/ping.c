/* Replacing a role that runs but no longer answers.  Floor 4. */
#include "config.h"

#include "common/parent/parent.h"

/* In turns of the watch, five seconds each: so long no role is busy with one
 * thing, if it reads no files: their size is the operator's. */
enum { SILENT_TURNS = 12, SILENT_TURNS_FILES = 24 };

static unsigned
turns_of(enum hb_role role)
{
	return hb_role_may(role, HB_MAY_READ)
	    ? SILENT_TURNS_FILES : SILENT_TURNS;
}

void
pd_ping(struct pd_parent *pd)
{
	struct ipc_ping m = { 0 };

	for (size_t i = 0; i < pd->nprocs; i++) {
		struct pd_proc *pr = &pd->procs[i];

		if (pr->state != PD_READY || pd->phase != PD_RUNNING)
			continue;
		if (pr->unanswered++ < turns_of(pr->role)) {
			pd_post(pr, HB_IPC_PING, &m, -1);
			continue;
		}
		HB_LOG(HB_LOG_ERROR, HB_EV_ROLE,
		    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
		    hb_kv_str(HB_K_STATE, "silent"),
		    hb_kv_int(HB_K_INSTANCE, pr->instance),
		    hb_kv_int(HB_K_PID, pr->pid));
		pd_kill(pr);
	}
}
