/* Local helpers by ticket, and unix endpoints.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/parent/parent.h"
#include "common/io/sandbox.h"
#include "common/io/sock.h"
#include "common/proto/endpoint.h"

enum {
	ACCOUNT_MAX = 65,
	/* Bounds of a helper's life, in seconds: what hangs must not keep its
	 * place for ever. */
	LOOKUP_S = 60,
	DELIVERY_S = 1200,
	LIFE_S = LOOKUP_S + DELIVERY_S + 30
};

/* Writes root's mail, and the postmaster's where nobody has that name. */
static const char no_rights[] = "nobody";

/*
 * MBOX deliveries, which run no command, have the group of the folder of
 * mailboxes: there a new one can only be made with its help.  It is their
 * effective group and not one of many, so that the kernel takes them for a
 * set-id program: other processes of the account, which must not get the
 * group, may not trace them or enter /proc/PID (ptrace(2), and there
 * PTRACE_MODE).
 */
static bool
become(const struct passwd *pw, bool mbox)
{
	const struct group *gr = mbox ? getgrnam("mail") : NULL;
	gid_t gid = gr != NULL ? gr->gr_gid : pw->pw_gid;

	return initgroups(pw->pw_name, pw->pw_gid) == 0 &&
	    setresgid(pw->pw_gid, gid, gid) == 0 &&
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == 0;
}

/* Does a role run as UID, under whatever name? */
static bool
is_of_role(const struct hb_conf *conf, uid_t uid)
{
	for (int r = HB_ROLE_PARENT + 1; r < HB_ROLE_HELPER; r++) {
		const struct passwd *pw =
		    getpwnam(hb_conf_account(conf, (enum hb_role)r));

		if (pw != NULL && pw->pw_uid == uid)
			return true;
	}
	return false;
}

/* The account to become, and AS: what the helper is told of it.  NULL: it is
 * one of ours, or there is not even nobody. */
static struct passwd *
find_account(const struct hb_conf *conf, const char *account, const char **as)
{
	const struct passwd *pw = getpwnam(account);

	if (pw == NULL && strcmp(account, "postmaster") != 0)
		*as = HB_HELPER_LOST;
	else if (pw == NULL || pw->pw_uid == 0 ||
	    strcmp(pw->pw_name, no_rights) == 0)
		*as = HB_HELPER_NOBODY;
	else if (is_of_role(conf, pw->pw_uid))
		return NULL;
	else
		return getpwnam(account); /* again: the roles took its place */
	return getpwnam(no_rights);
}

/*
 * The child: looks the account up here, where a slow name service keeps
 * nobody else waiting.  One that is not there is told to the helper, which can
 * say so; what else fails closes the channel, and queue tries later.
 */
static void HB_NORETURN
run_helper(const struct pd_parent *pd, const char *account, bool mbox, int fd)
{
	static char name[] = "nobody", home[] = "/";
	static struct passwd unknown = { .pw_name = name, .pw_dir = home };
	const char *as = HB_HELPER_OWN;
	struct passwd *pw;
	char path[PATH_MAX];
	sigset_t none;

	/* Signals as a fresh process has them. */
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	pd_child_fds(fd, -1, pd->foreground);
	setsid();
	umask(077);
	(void)setrlimit(RLIMIT_NOFILE, &pd->nofile);
	alarm(LOOKUP_S);
	pw = pd->privileged ? find_account(pd->now.conf, account, &as)
			    : getpwuid(geteuid());
	if (pw == NULL && !pd->privileged)
		pw = &unknown;
	if (pw == NULL ||
	    (pd->privileged && (pw->pw_uid == 0 || !become(pw, mbox))))
		_exit(EX_NOUSER);
	if (chdir(pw->pw_dir) != 0 && chdir("/") != 0)
		_exit(EX_OSERR);
	/* Only what a mailbox or a command may know. */
	clearenv();
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
	setenv("SHELL", "/bin/sh", 1);
	snprintf(path, sizeof(path), "%s/hauberk-local", pd->libexec);
	alarm(DELIVERY_S);
	execl(path, path, as, (char *)NULL);
	_exit(EX_OSFILE);
}

static struct pd_helper *
free_place(struct pd_parent *pd)
{
	for (size_t i = 0; i < HB_MAX_HELPERS; i++)
		if (pd->helpers[i].pid == 0)
			return &pd->helpers[i];
	return NULL;
}

/* Starts a helper as ACCOUNT (MBOX: with the mail group); *FD is queue's end
 * of its channel.  0 or errno. */
static int
start_helper(struct pd_parent *pd, const char *account, bool mbox, int *fd)
{
	struct pd_helper *place = free_place(pd);
	int pair[2], r;
	pid_t pid;

	if (place == NULL)
		return EAGAIN;
	r = hb_sock_pair(pair);
	if (r < 0)
		return -r;
	pid = fork();
	if (pid == 0)
		run_helper(pd, account, mbox, pair[1]);
	r = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return r;
	}
	place->pid = pid;
	place->until_ms = hb_mono_ms() + (int64_t)LIFE_S * 1000;
	*fd = pair[0];
	return 0;
}

/* "-" is the account of `user local`, nobody without it.  Not started by
 * root, all run as we do, whoever is named. */
static int
account_for(const struct pd_parent *pd, struct hb_span user, char *dst)
{
	const char *fixed = hb_conf_account(pd->now.conf, HB_ROLE_HELPER);

	dst[0] = '\0';
	if (!pd->privileged)
		return 0;
	if (hb_span_eq(user, HB_SPAN("-")))
		user = hb_span_str(strcmp(fixed,
		    hb_role_info(HB_ROLE_HELPER)->account) != 0 ? fixed : no_rights);
	if (hb_conf_is_own_account(pd->now.conf, user))
		return EPERM;
	return user.n > 0 && hb_span_copy(user, dst, ACCOUNT_MAX) == 0
	    ? 0 : EINVAL;
}

void
pd_on_helper_start(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_helper_start *m)
{
	struct ipc_helper answer = { .ticket = m->ticket };
	char account[ACCOUNT_MAX];
	int channel = -1, r = account_for(pd, m->user, account);

	if (r == 0 && pd->phase == PD_STOPPING)
		r = EAGAIN;
	if (r == 0)
		r = start_helper(pd, account, m->mbox != 0, &channel);
	answer.error = (uint32_t)r;
	hb_peer_post(p, HB_IPC_HELPER, &answer, channel);
	if (channel >= 0)
		close(channel);
}

/* One that lost its channel was not needed any more. */
static void
log_end(const struct pd_parent *pd, pid_t pid, int status)
{
	if (pd->phase == PD_STOPPING || (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == EX_OK || WEXITSTATUS(status) == EX_IOERR ||
		WEXITSTATUS(status) == EX_PROTOCOL)))
		return;
	HB_LOG(HB_LOG_WARN, HB_EV_ROLE, hb_kv_str(HB_K_NAME, "local"),
	    hb_kv_str(HB_K_STATE, "died"), hb_kv_int(HB_K_PID, pid),
	    hb_kv_if(WIFSIGNALED(status),
		hb_kv_int(HB_K_SIGNAL, WTERMSIG(status))),
	    hb_kv_if(WIFEXITED(status),
		hb_kv_int(HB_K_EXIT, WEXITSTATUS(status))));
}

bool
pd_helper_ended(struct pd_parent *pd, pid_t pid, int status)
{
	for (size_t i = 0; i < HB_MAX_HELPERS; i++)
		if (pd->helpers[i].pid == pid) {
			pd->helpers[i].pid = 0;
			log_end(pd, pid, status);
			return true;
		}
	return false;
}

/*
 * The alarms of run_helper end a helper that hangs, but not one that its user
 * has stopped: it runs as the user, who may signal it, and a stopped process
 * takes no signal but this one.
 */
void
pd_end_overdue(struct pd_parent *pd, int64_t now_ms)
{
	for (size_t i = 0; i < HB_MAX_HELPERS; i++)
		if (pd->helpers[i].pid > 0 &&
		    now_ms >= pd->helpers[i].until_ms)
			kill(-pd->helpers[i].pid, SIGKILL);
}

void
pd_kill_helpers(struct pd_parent *pd)
{
	pd_end_overdue(pd, INT64_MAX);
}

/* A descriptor, or -errno. */
static int
connect_endpoint(const struct hb_conf *conf, unsigned index)
{
	struct hb_span path;
	char *name;
	int fd;

	if (hb_endpoint_path(conf, index, &path) != 0)
		return -ENOENT;
	name = hb_span_dup(path);
	fd = hb_sock_unix_connect(name, SOCK_STREAM);
	free(name);
	return fd;
}

void
pd_on_endpoint_get(struct pd_parent *pd, struct hb_peer *p,
    const struct ipc_endpoint_get *m)
{
	struct ipc_endpoint answer = { .ref = m->ref };
	bool denied = hb_peer_role(p) == HB_ROLE_SMTPD &&
	    !hb_endpoint_is_filter(pd->now.conf, m->index);
	int channel = denied ? -EACCES
			     : connect_endpoint(pd->now.conf, m->index);

	answer.error = channel < 0 ? (uint32_t)-channel : 0;
	hb_peer_post(p, HB_IPC_ENDPOINT, &answer, channel >= 0 ? channel : -1);
	if (channel >= 0)
		close(channel);
}
