/* Answers to control requests.  Floor 4. */
#include "config.h"

#include <unistd.h>

#include "common/base/err.h"
#include "common/parent/parent.h"
#include "common/io/ctlreply.h"

static const char *
state_name(enum pd_state s)
{
	static const char *const names[] = { [PD_DOWN] = "down",
		[PD_STARTED] = "started", [PD_READY] = "ready" };

	return names[s];
}

static void
answer_proc(const struct hb_ctl *c, const struct pd_proc *pr)
{
	hb_ctl_object(c, NULL);
	hb_ctl_text(c, "role", hb_role_name(pr->role));
	hb_ctl_int(c, "instance", pr->instance);
	hb_ctl_int(c, "pid", pr->pid);
	hb_ctl_text(c, "state", state_name(pr->state));
	hb_ctl_int(c, "uptime_s",
	    pr->pid > 0 ? (hb_boot_ms() - pr->started_ms) / 1000 : 0);
	hb_ctl_int(c, "restarts", pr->restarts);
	hb_ctl_close(c);
}

static void
answer_clock(const struct hb_ctl *c, const struct pd_parent *pd)
{
	if (!pd->now.conf->lab)
		return;
	hb_ctl_int(c, "lab_ahead_s", pd->ahead_ms / 1000);
	hb_ctl_time(c, "lab_time", hb_now_ms());
}

static void
answer_status(const struct pd_parent *pd, const struct hb_ctl *c)
{
	struct hb_span warnings = hb_buf_span(&pd->now.warnings);
	static const char *const phases[] = { [PD_STARTING] = "starting",
		[PD_RUNNING] = "running", [PD_STOPPING] = "stopping" };

	hb_ctl_object(c, NULL);
	hb_ctl_text(c, "role", hb_role_name(HB_ROLE_PARENT));
	hb_ctl_int(c, "pid", getpid());
	hb_ctl_text(c, "version", PACKAGE_VERSION);
	hb_ctl_text(c, "state", phases[pd->phase]);
	hb_ctl_int(c, "uptime_s", (hb_boot_ms() - pd->started_ms) / 1000);
	hb_ctl_text(c, "hostname", pd->now.conf->hostname);
	hb_ctl_text(c, "configuration", pd->conf_file);
	hb_ctl_int(c, "generation", pd->generation);
	hb_ctl_bool(c, "privileged", pd->privileged);
	hb_ctl_int(c, "sessions", hb_counters_sessions(pd->counters));
	pd_answer_trouble(c, pd);
	/* what the configuration in force was warned of */
	hb_ctl_array(c, "warnings");
	while (warnings.n > 0)
		hb_ctl_str(c, NULL, hb_span_cut(&warnings, '\n'));
	hb_ctl_close(c);
	pd_answer_features(c, pd->now.conf);
	answer_clock(c, pd);
	hb_ctl_array(c, "paused");
	if (pd->delivery_paused)
		hb_ctl_text(c, NULL, "delivery");
	if (pd->listen_paused)
		hb_ctl_text(c, NULL, "listen");
	hb_ctl_close(c);
	hb_ctl_array(c, "roles");
	for (size_t i = 0; i < pd->nprocs; i++)
		answer_proc(c, &pd->procs[i]);
	hb_ctl_close(c);
	hb_ctl_close(c);
	hb_ctl_end(c, 0, NULL);
}

static void
answer_level(const struct hb_ctl *c, struct hb_span arg)
{
	enum hb_level level;

	if (hb_level_parse(arg, &level) != 0) {
		hb_ctl_end(c, 1, "the level is error, warn, info or debug");
		return;
	}
	hb_log_set_level(level);
	hb_ctl_end(c, 0, NULL);
}

static void
ask(struct pd_askers *list, const struct hb_ctl *c)
{
	if (list->n == PD_ASKERS_MAX)
		hb_ctl_end(c, 1, "too many ask at a time");
	else
		list->v[list->n++] = (struct pd_asker){
			hb_peer_instance(c->peer), hb_peer_number(c->peer),
			c->ref };
}

/* R < 0, and WHY if it says more. */
static void
refuse(const struct hb_ctl *c, int r, struct hb_buf *why)
{
	hb_ctl_end(c, 1, why->n > 0 ? hb_buf_cstr(why) : hb_strerror(r));
}

static void
on_reload(struct pd_parent *pd, const struct hb_ctl *c)
{
	struct hb_buf why = HB_BUF_INIT(0);
	int r = pd_reload(pd, &why);

	if (r == 0) {
		ask(&pd->reload_askers, c);
		pd_reload_done(pd);
	} else {
		refuse(c, r, &why);
	}
	hb_buf_free(&why);
}

static void
on_pause(struct pd_parent *pd, const struct hb_ctl *c, const struct ipc_ctl *q)
{
	struct hb_buf why = HB_BUF_INIT(0);
	int r = pd_pause(pd, q->arg, q->verb == HB_CTL_PAUSE, &why);

	if (r == 0)
		hb_ctl_end(c, 0, NULL);
	else
		refuse(c, r, &why);
	hb_buf_free(&why);
}

static void
on_advance(struct pd_parent *pd, const struct hb_ctl *c, struct hb_span time)
{
	struct hb_buf why = HB_BUF_INIT(0);
	int r = pd_clock_advance(pd, time, &why);

	if (r == 0) {
		ask(&pd->clock_askers, c);
		pd_clock_done(pd);
	} else {
		refuse(c, r, &why);
	}
	hb_buf_free(&why);
}

void
pd_on_ctl(struct pd_parent *pd, struct hb_peer *p, const struct ipc_ctl *q)
{
	struct hb_ctl c = { .peer = p, .ref = q->ref };

	if (q->verb == HB_CTL_STATUS)
		answer_status(pd, &c);
	else if (q->verb == HB_CTL_LOG_LEVEL)
		answer_level(&c, q->arg);
	else if (q->verb == HB_CTL_RELOAD)
		on_reload(pd, &c);
	else if (q->verb == HB_CTL_PAUSE || q->verb == HB_CTL_RESUME)
		on_pause(pd, &c, q);
	else if (q->verb == HB_CTL_LAB_ADVANCE)
		on_advance(pd, &c, q->arg);
	else if (q->verb == HB_CTL_STOP) {
		ask(&pd->stop_askers, &c);
		pd_stop(pd);
	} else
		hb_ctl_end(&c, 1, "not a question for the parent");
}
