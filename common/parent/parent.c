/* Starting, connecting and restarting the roles.  Floor 4. */
#include "config.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/parent/parent.h"
#include "common/io/sock.h"
#include "common/io/workers.h"

enum {
	STEADY_MS = 2000, /* a role that lived so long restarts at once */
	FIRST_DELAY_MS = 100,
	LONGEST_DELAY_MS = 30000,
	BLAME_MS = 60000, /* in which a role may blame others */
	BLAMES_MAX = 8,	  /* so often */
	MOST_DOUBTED = 2, /* of trust */
	HEARING_MS = 5 /* for frames that wait when a role has ended */
};

static void
log_role(const struct pd_proc *pr, enum hb_level level, const char *state)
{
	HB_LOG(level, HB_EV_ROLE,
	    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
	    hb_kv_str(HB_K_STATE, state),
	    hb_kv_int(HB_K_INSTANCE, pr->instance),
	    hb_kv_int(HB_K_PID, pr->pid));
}

static struct pd_proc *
proc_of(struct pd_parent *pd, const struct hb_peer *p)
{
	struct pd_proc *pr = pd_find(pd, hb_peer_role(p), hb_peer_instance(p));

	if (pr == NULL)
		HB_BUG("a channel of no process");
	return pr;
}

static void
fail(struct pd_parent *pd, int code, const char *why)
{
	if (pd->phase != PD_STARTING || pd->exit_code != 0)
		return;
	fprintf(stderr, "hauberkd: %s\n", why);
	HB_LOG(HB_LOG_ERROR, HB_EV_STOP, hb_kv_str(HB_K_STATE, "failed"),
	    hb_kv_str(HB_K_ERROR, why));
	pd->exit_code = code;
	for (size_t i = 0; i < pd->nprocs; i++)
		pd_kill(&pd->procs[i]);
	hb_loop_stop(pd->loop);
}

/* --- what a role is given --- */

static void
connect_pair(struct pd_proc *a, struct pd_proc *b)
{
	struct ipc_peer to_a = { .role = b->role, .instance = b->instance },
			to_b = { .role = a->role, .instance = a->instance };
	int fd[2], r = hb_sock_pair(fd);

	if (r < 0) {
		HB_LOG(HB_LOG_ERROR, HB_EV_PEER,
		    hb_kv_str(HB_K_ERROR, strerror(-r)));
		return;
	}
	pd_post(a, HB_IPC_PEER, &to_a, fd[0]);
	pd_post(b, HB_IPC_PEER, &to_b, fd[1]);
	close(fd[0]);
	close(fd[1]);
}

static void
connect_all(struct pd_proc *pr)
{
	struct pd_parent *pd = pr->pd;

	for (size_t i = 0; i < pd->nprocs; i++) {
		struct pd_proc *other = &pd->procs[i];

		if (other != pr && other->peer != NULL &&
		    hb_role_may_talk(pr->role, other->role))
			connect_pair(pr, other);
	}
}

static void
send_descriptors(struct pd_proc *pr)
{
	struct pd_parent *pd = pr->pd;
	struct ipc_listen control = { .generation = pd->generation };

	pd_send_logread(pr);
	if (hb_role_gets(pr->role, HB_GETS_COUNTERS)) {
		/* Its own part of the table, then those of the others to
		 * read. */
		const struct hb_counters *c = pr->pd->counters;
		struct ipc_counters m = { .size = hb_counters_size(c) };
		unsigned n = hb_counters_workers(c);

		for (unsigned i = 0; i < n; i++) {
			m.part = (pr->instance + i) % n;
			pd_post(pr, HB_IPC_COUNTERS, &m,
			    hb_counters_fd(c, m.part, pr->instance));
		}
	}
	if (hb_role_gets(pr->role, HB_GETS_CONTROL))
		pd_post(pr, HB_IPC_LISTEN, &control, pd->control_fd);
	connect_all(pr);
}

/* --- what roles tell --- */

static void
on_all_ready(struct pd_parent *pd)
{
	pd->phase = PD_RUNNING;
	for (size_t i = 0; i < pd->nprocs; i++)
		pd_send_listeners(&pd->procs[i]);
	HB_LOG(HB_LOG_INFO, HB_EV_START, hb_kv_str(HB_K_STATE, "ready"),
	    hb_kv_str(HB_K_VERSION, PACKAGE_VERSION));
	hb_logsink_flush();
	if (pd->foreground)
		fprintf(stderr, "ready\n");
	if (pd->starter_fd >= 0) {
		(void)!write(pd->starter_fd, "", 1);
		close(pd->starter_fd);
		pd->starter_fd = -1;
		pd_let_go_of_terminal();
	}
	pd_notify("READY=1\n");
}

static bool
all_ready(const struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		if (pd->procs[i].state != PD_READY)
			return false;
	return true;
}

static void
could_not_use(struct pd_proc *pr, uint32_t generation, struct hb_span error)
{
	struct hb_buf why = HB_BUF_INIT(0);

	HB_LOG(HB_LOG_ERROR, HB_EV_ROLE,
	    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
	    hb_kv_str(HB_K_STATE, "failed"), hb_kv_span(HB_K_ERROR, error));
	hb_buf_addf(&why, "%s: %.*s", hb_role_name(pr->role),
	    HB_SPAN_ARG(error));
	fail(pr->pd, EX_CONFIG, hb_buf_cstr(&why));
	pd_reload_refused(pr->pd, generation, hb_buf_cstr(&why));
	pd_renewal_refused(pr->pd, generation, hb_buf_cstr(&why));
	hb_buf_free(&why);
}

void
pd_on_ready(struct pd_parent *pd, struct hb_peer *p, const struct ipc_ready *m)
{
	struct pd_proc *pr = proc_of(pd, p);

	if (m->generation > pd->generation) {
		hb_peer_violation(p, "ready for what it was not given");
		return;
	}
	pr->generation = m->generation;
	if (m->error.n > 0)
		could_not_use(pr, m->generation, m->error);
	else if (pr->state == PD_STARTED) {
		pr->state = PD_READY;
		hb_peer_set_state(p, HB_CHANNEL_SERVING);
		pr->ready_ms = hb_mono_ms();
		log_role(pr, HB_LOG_INFO, "ready");
	}
	if (pd->phase == PD_STARTING && all_ready(pd))
		on_all_ready(pd);
	pd_reload_done(pd);
	pd_renewal_next(pd);
}

static void
kill_broken(struct pd_proc *pr)
{
	pr->broke = true;
	pd_kill(pr);
}

/* Of a role that keeps nothing a new one costs little: two processes that were
 * less trusted, one after the other, are enough to have it replaced. */
static bool
is_doubted(struct pd_proc *of, const struct pd_proc *by)
{
	bool again = of->accuser != 0 && of->accuser != by->pid;

	of->accuser = by->pid;
	return again && hb_role_info(of->role)->forgets;
}

static unsigned
trust_of(const struct pd_proc *pr)
{
	return hb_role_info(pr->role)->trust;
}

/* A role that handles strangers' bytes and blames others again and again is
 * itself the broken one. */
static bool
blames_often(struct pd_proc *by)
{
	int64_t now = hb_mono_ms();

	if (trust_of(by) > MOST_DOUBTED)
		return false;
	if (now - by->blames_ms >= BLAME_MS) {
		by->blames_ms = now;
		by->blames = 0;
	}
	return ++by->blames > BLAMES_MAX;
}

/* A role says that another broke the protocol.  The less trusted one of the
 * two is replaced: a broken listener cannot have queue ended.  Who has no
 * channel to the other cannot know, and has broken the protocol itself. */
void
pd_on_peer_lost(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_peer_lost *m)
{
	struct pd_proc *by = proc_of(pd, p),
		       *of = pd_find(pd, (enum hb_role)m->role, m->instance);

	if (!hb_role_may_talk(by->role, (enum hb_role)m->role)) {
		hb_peer_violation(p, "blames a role that it cannot know");
		return;
	}
	if (of == NULL)
		return;
	HB_LOG(HB_LOG_ERROR, HB_EV_PEER, hb_kv_str(HB_K_STATE, "broken"),
	    hb_kv_str(HB_K_NAME, hb_role_name(of->role)),
	    hb_kv_str(HB_K_PEER, hb_role_name(by->role)),
	    hb_kv_span(HB_K_ERROR, m->why));
	if (trust_of(of) <= trust_of(by) && !blames_often(by)) {
		kill_broken(of);
		return;
	}
	if (is_doubted(of, by))
		kill_broken(of);
	kill_broken(by);
}

void
pd_on_pong(struct pd_parent *pd, struct hb_peer *p, const struct ipc_pong *m)
{
	proc_of(pd, p)->unanswered = 0;
}

void
pd_on_log_lost(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_log_lost *m)
{
	pd_log_lost(pd);
}

/* The channel to a role is gone: so is the role, or it has to go. */
static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct pd_parent *pd = ctx;
	struct pd_proc *pr = proc_of(pd, p);

	if (hb_peer_broke(p))
		HB_LOG(HB_LOG_ERROR, HB_EV_PEER,
		    hb_kv_str(HB_K_STATE, "broken"),
		    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
		    hb_kv_str(HB_K_PEER, "parent"),
		    hb_kv_str(HB_K_ERROR, why));
	pr->broke = pr->broke || hb_peer_broke(p);
	pr->peer = NULL;
	pd_kill(pr);
}

static const struct hb_peer_ops peer_ops = { .on = pd_on_frame,
	.on_close = on_close };

/* --- life of a process --- */

static void HB_NORETURN
run_role(const struct pd_proc *pr, int fd)
{
	const struct pd_parent *pd = pr->pd;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/hauberk-%s", pd->libexec,
	    hb_role_name(pr->role));
	pd_child_fds(fd, hb_role_gets(pr->role, HB_GETS_LOCK) ? pd->lock_fd : -1,
	    pd->foreground);
	execl(path, path, (char *)NULL);
	_exit(EX_OSFILE);
}

static void
start_proc(struct pd_proc *pr)
{
	struct pd_parent *pd = pr->pd;
	int fd[2], r = hb_sock_pair(fd);

	if (r == 0) {
		pr->pid = fork();
		if (pr->pid == 0)
			run_role(pr, fd[1]);
		close(fd[1]);
	}
	if (r != 0 || pr->pid < 0) {
		HB_LOG(HB_LOG_ERROR, HB_EV_ROLE,
		    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
		    hb_kv_str(HB_K_ERROR, "cannot start a process"));
		if (r == 0)
			close(fd[0]);
		pr->pid = 0;
		fail(pd, EX_OSERR, "cannot start a process");
		hb_timer_set(pr->timer, LONGEST_DELAY_MS / 10);
		return;
	}
	pr->state = PD_STARTED;
	pr->broke = false;
	pr->accuser = 0;
	pr->unanswered = 0;
	pr->blames = 0;
	pr->started_ms = hb_boot_ms();
	pr->peer = hb_peer_new(pd->loop, fd[0], HB_ROLE_PARENT, pr->role,
	    pr->instance, &peer_ops, pd);
	hb_peer_set_state(pr->peer, HB_CHANNEL_STARTING);
	log_role(pr, HB_LOG_INFO, pr->restarts > 0 ? "restarted" : "started");
	pr->ahead_ms = 0;
	pd_send_clock(pr);
	pd_send_log(pr);
	pd_send_conf(pr);
	pd_send_pause(pr);
	send_descriptors(pr);
	pd_send_listeners(pr);
}

static void
log_end(const struct pd_proc *pr)
{
	int status = pr->status;
	bool expected = pr->pd->phase == PD_STOPPING && status == 0;

	HB_LOG(expected ? HB_LOG_INFO : HB_LOG_ERROR, HB_EV_ROLE,
	    hb_kv_str(HB_K_NAME, hb_role_name(pr->role)),
	    hb_kv_str(HB_K_STATE, expected ? "stopped" : "died"),
	    hb_kv_int(HB_K_INSTANCE, pr->instance),
	    hb_kv_int(HB_K_PID, pr->pid),
	    hb_kv_if(WIFSIGNALED(status),
		hb_kv_int(HB_K_SIGNAL, WTERMSIG(status))),
	    hb_kv_if(WIFSIGNALED(status),
		hb_kv_str(HB_K_CORE, WCOREDUMP(status) ? "yes" : "no")),
	    hb_kv_if(WIFEXITED(status),
		hb_kv_int(HB_K_EXIT, WEXITSTATUS(status))));
}

static void
fail_start(struct pd_proc *pr)
{
	int status = pr->status;
	char why[128];

	snprintf(why, sizeof(why), "hauberk-%s ended while starting (%s %d)",
	    hb_role_name(pr->role), WIFSIGNALED(status) ? "signal" : "exit",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	fail(pr->pd, WIFEXITED(status) && WEXITSTATUS(status) != 0
	    ? WEXITSTATUS(status) : EX_SOFTWARE, why);
}

static void
act_on_end(struct pd_proc *pr)
{
	struct pd_parent *pd = pr->pd;
	bool was_ready = pr->state == PD_READY;

	log_end(pr);
	hb_peer_free(&pr->peer);
	pr->pid = 0;
	pr->ended = false;
	pr->state = PD_DOWN;
	pd_trouble_forget(pd, pr);
	pd_clock_done(pd);
	if (hb_role_gets(pr->role, HB_GETS_COUNTERS))
		hb_counters_forget(pd->counters, pr->instance, pr->broke);
	switch (pd->phase) {
	case PD_STARTING:
		fail_start(pr);
		break;
	case PD_RUNNING:
		/* At once after a steady life, then slower and slower. */
		if (was_ready && hb_mono_ms() - pr->ready_ms >= STEADY_MS)
			pr->delay_ms = 0;
		hb_timer_set(pr->timer, pr->delay_ms);
		pr->delay_ms = pr->delay_ms == 0 ? FIRST_DELAY_MS
						 : pr->delay_ms * 2;
		if (pr->delay_ms > LONGEST_DELAY_MS)
			pr->delay_ms = LONGEST_DELAY_MS;
		break;
	case PD_STOPPING:
		pd_stop_next(pd);
		break;
	}
}

static void
on_timer(void *ctx)
{
	struct pd_proc *pr = ctx;

	if (pr->ended)
		act_on_end(pr);
	else if (pr->pid == 0 && pr->pd->phase == PD_RUNNING) {
		pr->restarts++;
		start_proc(pr);
	}
}

void
pd_on_child(void *ctx, int signo)
{
	struct pd_parent *pd = ctx;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pd_helper_ended(pd, pid, status)) {
			if (pd->phase == PD_STOPPING)
				pd_stop_next(pd);
			continue;
		}
		for (size_t i = 0; i < pd->nprocs; i++) {
			struct pd_proc *pr = &pd->procs[i];

			if (pr->pid != pid)
				continue;
			pr->ended = true;
			pr->status = status;
			hb_timer_set(pr->timer, HEARING_MS);
		}
	}
}

/* --- table of processes --- */

static unsigned
instances(const struct hb_conf *conf, enum hb_role role)
{
	const struct hb_role_info *info = hb_role_info(role);

	if (info->stop_wave == 0)
		return 0;
	return info->workers == 0 ? 1 : hb_worker_count(
	    *(const unsigned *)((const char *)conf + info->workers));
}

void
pd_make_procs(struct pd_parent *pd)
{
	enum hb_role r;
	size_t n = 0;

	for (r = HB_ROLE_PARENT; r < HB_ROLE_COUNT; r++)
		n += instances(pd->now.conf, r);
	pd->procs = hb_calloc(n, sizeof(*pd->procs));
	for (r = HB_ROLE_PARENT; r < HB_ROLE_COUNT; r++)
		for (unsigned w = 0, all = instances(pd->now.conf, r); w < all;
		     w++) {
			struct pd_proc *pr = &pd->procs[pd->nprocs++];

			*pr = (struct pd_proc){ .pd = pd, .role = r,
				.instance = w };
			pr->timer = hb_timer_new(pd->loop, on_timer, pr);
		}
}

void
pd_start_all(struct pd_parent *pd)
{
	for (size_t i = 0; i < pd->nprocs; i++)
		start_proc(&pd->procs[i]);
}
