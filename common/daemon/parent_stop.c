/* Stopping in order, and replacing the configuration.  Floor 4. */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/daemon/conf_load.h"
#include "common/daemon/parent.h"

enum { RELOAD_WAIT_MS = 10000 };

/* Sessions and deliveries end while queue and router still answer; control
 * goes last, it tells whoever asked.  Together below 15 s. */
static const struct {
	uint32_t roles;
	int64_t bound_ms;
} waves[] = {
	{ HB_TO(SMTPD) | HB_TO(DELIVERY), 8000 },
	{ HB_TO(QUEUE) | HB_TO(ROUTER) | HB_TO(KEYAGENT), 4000 },
	{ HB_TO(CONTROL), 1000 },
};

static bool
in_wave(const struct pd_parent *pd, const struct pd_proc *pr)
{
	return (waves[pd->wave].roles >> pr->role & 1) != 0;
}

static bool
wave_is_over(const struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (in_wave(pd, &pd->procs[i]) && pd->procs[i].pid > 0)
			return false;
	return true;
}

static void
start_wave(struct pd_parent *pd)
{
	struct ipc_stop m = { 0 };

	if (pd->wave == HB_ARRAY_LEN(waves) - 1)
		pd_answer_all(pd, &pd->stop_askers, 0, "stopped");
	hb_timer_set(pd->stop_timer, waves[pd->wave].bound_ms);
	for (size_t i = 0; i < pd->nprocs; i++)
		if (in_wave(pd, &pd->procs[i]))
			pd_post(&pd->procs[i], HB_IPC_STOP, &m, -1);
}

void
pd_stop_next(struct pd_parent *pd)
{
	while (wave_is_over(pd)) {
		if (++pd->wave == HB_ARRAY_LEN(waves)) {
			hb_loop_stop(pd->loop);
			return;
		}
		start_wave(pd);
	}
}

/* A wave that does not end in time is killed; its end brings the next. */
static void
on_late(void *ctx)
{
	struct pd_parent *pd = ctx;

	pd_kill_helpers(pd);
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

/* reload */

/* Everyone has the new configuration, or is not there to have it. */
void
pd_reload_done(struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].state == PD_READY &&
		    pd->procs[i].generation != pd->generation)
			return;
	pd_answer_all(pd, &pd->reload_askers, 0, NULL);
}

static void
on_reload_late(void *ctx)
{
	struct pd_parent *pd = ctx;

	pd_answer_all(pd, &pd->reload_askers, 1, "a role did not answer");
}

static void
log_lines(struct hb_span text, enum hb_level level)
{
	while (text.n > 0)
		HB_LOG(level, HB_EV_CONFIG,
		    hb_kv_span(HB_K_TEXT, hb_span_cut(&text, '\n')));
}

/* All that can fail, on the side. */
static int
prepare(struct pd_parent *pd, struct hb_conf **conf, struct pd_files *files,
    struct pd_listeners *listeners, struct hb_buf *why)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_buf changed = HB_BUF_INIT(0);
	int r = 0;

	*conf = pd_conf_load(pd->conf_file, &report);
	log_lines(hb_buf_span(&report.text),
	    report.errors > 0 ? HB_LOG_ERROR : HB_LOG_WARN);
	if (report.errors > 0) {
		hb_buf_add(why, hb_span_trim(hb_buf_span(&report.text)));
		r = HB_E_SYNTAX;
	} else {
		*conf = pd_conf_keep_fixed(pd->conf, *conf, &changed);
		if (changed.n > 0)
			HB_LOG(HB_LOG_WARN, HB_EV_CONFIG,
			    hb_kv_span(HB_K_WORD, hb_buf_span(&changed)),
			    hb_kv_str(HB_K_TEXT, "changes at the next start"));
	}
	if (r == 0 && pd_load_files(pd, *conf, files, why) != 0)
		r = HB_E_IO;
	if (r == 0 && pd_listen(*conf, &pd->listeners, listeners, why) != 0) {
		pd_free_files(files);
		r = HB_E_IO;
	}
	if (r != 0)
		hb_conf_free(conf);
	hb_buf_free(&report.text);
	hb_buf_free(&changed);
	return r;
}

static void
reopen_logs(struct pd_parent *pd, struct hb_buf *why)
{
	if (pd_open_log(pd, why) != 0)
		return;
	for (size_t i = 0; i < pd->nprocs; i++)
		pd_send_log(&pd->procs[i]);
}

static void
use(struct pd_parent *pd, struct hb_conf *conf, struct pd_files *files,
    struct pd_listeners *listeners, struct hb_buf *why)
{
	struct hb_conf *old = pd->conf;

	pd->conf = conf;
	pd_role_text(conf, &pd->text);
	pd_free_files(&pd->files);
	pd->files = *files;
	pd_listen_close(&pd->listeners, listeners);
	pd->listeners = *listeners;
	hb_conf_free(&old);
	(void)pd_files_changed(pd);
	pd->generation++;
	reopen_logs(pd, why);
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].state != PD_DOWN)
			pd_send_conf(&pd->procs[i]);
}

int
pd_reload(struct pd_parent *pd, struct hb_buf *why)
{
	static struct pd_files files;
	struct pd_listeners listeners;
	struct hb_conf *conf;
	int r;

	if (pd->phase != PD_RUNNING)
		return HB_E_STATE;
	pd_notify("RELOADING=1\n");
	r = prepare(pd, &conf, &files, &listeners, why);
	if (r == 0)
		use(pd, conf, &files, &listeners, why);
	else
		reopen_logs(pd, why);
	HB_LOG(r == 0 ? HB_LOG_INFO : HB_LOG_ERROR, HB_EV_CONFIG,
	    hb_kv_str(HB_K_STATE, r == 0 ? "reloaded" : "kept"),
	    hb_kv_if(r != 0, hb_kv_span(HB_K_ERROR, hb_buf_span(why))));
	if (r == 0) {
		pd_say_features(pd->conf);
		if (pd->reload_timer == NULL)
			pd->reload_timer = hb_timer_new(pd->loop,
			    on_reload_late, pd);
		hb_timer_set(pd->reload_timer, RELOAD_WAIT_MS);
	}
	pd_notify("READY=1\n");
	return r;
}
