/* Stopping in order.  Floor 4. */
#include "config.h"

#include "common/parent/parent.h"

/* Sessions and deliveries end while queue and router still answer; control
 * goes last, it tells whoever asked.  Together below 15 s. */
static const int64_t waves_ms[] = { 8000, 4000, 1000 };
enum {
	HELPERS_WAVE = 1, /* of those that use helpers, which end with them */
	MORE_MS = 1000	  /* for those that waited for a helper */
};

static bool
in_wave(const struct pd_parent *pd, const struct pd_proc *pr)
{
	return hb_role_info(pr->role)->stop_wave == pd->wave + 1;
}

static bool
wave_is_over(const struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (in_wave(pd, &pd->procs[i]) && pd->procs[i].pid > 0)
			return false;
	return pd->wave != HELPERS_WAVE || !pd_has_helpers(pd);
}

static void
start_wave(struct pd_parent *pd)
{
	struct ipc_stop m = { 0 };

	if (pd->wave == HB_ARRAY_LEN(waves_ms) - 1)
		pd_answer_all(pd, &pd->stop_askers, 0, "stopped");
	hb_timer_set(pd->stop_timer, waves_ms[pd->wave]);
	for (size_t i = 0; i < pd->nprocs; i++)
		if (in_wave(pd, &pd->procs[i]))
			pd_post(&pd->procs[i], HB_IPC_STOP, &m, -1);
}

void
pd_stop_next(struct pd_parent *pd)
{
	while (wave_is_over(pd)) {
		if (++pd->wave == HB_ARRAY_LEN(waves_ms)) {
			hb_loop_stop(pd->loop);
			return;
		}
		start_wave(pd);
	}
}

/* A wave that does not end in time is killed; its end brings the next.  First
 * its helpers alone: a recipient can stop his own, and queue waits for it. */
static void
on_late(void *ctx)
{
	struct pd_parent *pd = ctx;

	pd_kill_helpers(pd);
	if (pd->wave == HELPERS_WAVE && !pd->helpers_late) {
		pd->helpers_late = true;
		hb_timer_set(pd->stop_timer, MORE_MS);
		return;
	}
	for (size_t i = 0; i < pd->nprocs; i++)
		if (in_wave(pd, &pd->procs[i]))
			pd_kill(&pd->procs[i]);
}

void
pd_stop(struct pd_parent *pd)
{
	if (pd->phase == PD_STOPPING)
		return;
	pd->phase = PD_STOPPING;
	pd_notify("STOPPING=1\n");
	HB_LOG(HB_LOG_INFO, HB_EV_STOP, hb_kv_str(HB_K_STATE, "stopping"));
	pd->stop_timer = hb_timer_new(pd->loop, on_late, pd);
	pd->wave = 0;
	start_wave(pd);
	pd_stop_next(pd);
}
