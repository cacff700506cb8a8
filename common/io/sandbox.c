/* The sandbox of a role.  Floor 3. */
#include "config.h"

#include "common/io/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif

#include <seccomp.h>

#include "common/base/err.h"
#include "common/proto/ipc.h"

static const struct call {
	int nr;
	const char *name;
	uint32_t may; /* HB_MAY_*; 0: hostile */
} calls[] = {
#define CALL(name, may) { SCMP_SYS(name), #name, (may) },
#define HOSTILE(name) { SCMP_SYS(name), #name, 0 },
#include "common/io/sandbox.def"
};

bool
hb_sandbox_allows(enum hb_role role, const char *name)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(calls); i++)
		if (strcmp(calls[i].name, name) == 0)
			return hb_role_may(role, calls[i].may);
	return false;
}

static int
failed(struct hb_buf *err, const char *what, const char *which)
{
	hb_buf_addf(err, "%s %s: %s", what, which, strerror(errno));
	return HB_E_PERM;
}

static int
change_account(const char *name, const struct passwd *pw, struct hb_buf *err)
{
	if (setgroups(0, NULL) != 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		return failed(err, "cannot become", name);
	return 0;
}

/* As root: into the root folder, then the account.  Otherwise only into the
 * folder, so that names relative to it work in both modes. */
static int
change_root(enum hb_role role, const struct hb_conf *conf, const char *root,
    struct hb_buf *err)
{
	const char *name = hb_conf_account(conf, role);
	struct passwd *pw = NULL;

	if (geteuid() == 0) {
		errno = 0;
		pw = getpwnam(name);
		if (pw == NULL) {
			hb_buf_addf(err, "account %s: %s", name,
			    errno != 0 ? strerror(errno) : "not found");
			return HB_E_NOTFOUND;
		}
	}
	if (chdir(root) != 0)
		return failed(err, "cannot enter", root);
	if (pw == NULL)
		return 0;
	if (strcmp(root, "/") != 0 && (chroot(".") != 0 || chdir("/") != 0))
		return failed(err, "chroot", root);
	return change_account(name, pw, err);
}

#ifdef HAVE_LINUX_LANDLOCK_H
#define LL_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LL_WRITE                                                               \
	(LL_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                             \
	    LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |   \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#define LL_FIRST_VERSION ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static int
landlock_allow(int set, uint64_t what)
{
	struct landlock_path_beneath_attr below = { .allowed_access = what };
	int r;

	if (what == 0)
		return 0;
	below.parent_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (below.parent_fd < 0)
		return -1;
	r = (int)syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH,
	    &below, 0);
	close(below.parent_fd);
	return r;
}

/*
 * Kernels without landlock (or with it switched off) have the rest.  Who
 * writes moves files between folders too (corrupt/): the first version of
 * landlock forbids that to everybody, so that he is better off without.
 */
static int
restrict_files(enum hb_role role, struct hb_buf *err)
{
	bool writes = hb_role_may(role, HB_MAY_WRITE);
	uint64_t rights = writes ? LL_WRITE | LANDLOCK_ACCESS_FS_REFER
	    : hb_role_may(role, HB_MAY_READ) ? LL_READ : 0;
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = LL_FIRST_VERSION | rights
	};
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION), set, r;

	if (writes && version == 1)
		return 0;
	set = (int)syscall(SYS_landlock_create_ruleset, &attr,
	    sizeof(attr.handled_access_fs), 0);
	if (set < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP
		    ? 0 : failed(err, "landlock", "rules");
	r = landlock_allow(set, rights);
	if (r == 0)
		r = (int)syscall(SYS_landlock_restrict_self, set, 0);
	if (r != 0)
		r = failed(err, "landlock", "rule");
	close(set);
	return r;
}
#else
static int
restrict_files(enum hb_role role, struct hb_buf *err)
{
	return 0;
}
#endif

/* Errors are harmless: a bound that cannot be set stays as it was. */
static void
set_limit(int what, rlim_t soft, rlim_t hard)
{
	struct rlimit l = { .rlim_cur = soft, .rlim_max = hard };

	(void)setrlimit((__rlimit_resource_t)what, &l);
}

static void
set_limits(enum hb_role role)
{
	struct rlimit l;

	set_limit(RLIMIT_CORE, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &l) == 0)
		set_limit(RLIMIT_NOFILE, l.rlim_max, l.rlim_max);
	if (!hb_role_may(role, HB_MAY_FORK | HB_MAY_THREAD))
		set_limit(RLIMIT_NPROC, 0, 0);
}

/* The reporting mode: the call is refused as always, and named. */
static void
on_blocked(int signo, siginfo_t *si, void *context)
{
	char *name = seccomp_syscall_resolve_num_arch(si->si_arch,
	    si->si_syscall);

	HB_LOG(HB_LOG_WARN, HB_EV_ROLE, hb_kv_str(HB_K_STATE, "blocked"),
	    hb_kv_str(HB_K_NAME, name != NULL ? name : "unknown"),
	    hb_kv_int(HB_K_CODE, si->si_syscall));
	free(name);
#if defined(__x86_64__)
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
	((ucontext_t *)context)->uc_mcontext.regs[0] = (uint64_t)-EPERM;
#endif
}

static bool
reporting(void)
{
	const char *mode = getenv("HAUBERK_SANDBOX");

	return mode != NULL && strcmp(mode, "report") == 0;
}

static int
add_calls(scmp_filter_ctx f, enum hb_role role)
{
	int r = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(calls) && r == 0; i++) {
		const struct call *c = &calls[i];

		if (c->may == 0)
			r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, c->nr, 0);
		else if (hb_role_may(role, c->may))
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, c->nr, 0);
	}
	return r;
}

/* Memory is writable or executable; only NSS brings code later. */
static int
add_memory_rules(scmp_filter_ctx f, enum hb_role role)
{
	const struct scmp_arg_cmp no_code =
	    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	unsigned n = hb_role_may(role, HB_MAY_NSS) ? 0 : 1;
	int r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), n,
	    &no_code);

	if (r == 0)
		r = seccomp_rule_add_array(f, SCMP_ACT_ALLOW,
		    SCMP_SYS(mprotect), n, &no_code);
	return r;
}

/* Threads where only they are wanted; clone3's arguments cannot be looked
 * at, libc then falls back to clone. */
static int
add_thread_rules(scmp_filter_ctx f, enum hb_role role)
{
	int r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (r == 0 && hb_role_may(role, HB_MAY_THREAD))
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	return r;
}

/* Sockets: the network, local services for NSS. */
static int
add_socket_rules(scmp_filter_ctx f, enum hb_role role)
{
	static const struct {
		uint32_t may;
		int family;
	} allowed[] = {
		{ HB_MAY_NET, AF_INET }, { HB_MAY_NET, AF_INET6 },
		{ HB_MAY_NSS, AF_UNIX }, { HB_MAY_NSS, AF_NETLINK },
	};
	int r = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(allowed) && r == 0; i++)
		if (hb_role_may(role, allowed[i].may))
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket),
			    1, SCMP_A0(SCMP_CMP_EQ,
				(scmp_datum_t)allowed[i].family, 0));
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_EQ, i == 0 ? FIONBIO : FIONREAD,
			0));
	return r;
}

#ifdef HB_ASAN
/* The sanitizer's own calls are not ours to list. */
enum { HAS_FILTER = false };
#else
enum { HAS_FILTER = true };
#endif

static int
filter_calls(enum hb_role role, struct hb_buf *err)
{
	struct sigaction sa = { .sa_sigaction = on_blocked,
		.sa_flags = SA_SIGINFO | SA_NODEFER };
	bool report = reporting();
	scmp_filter_ctx f = seccomp_init(report ? SCMP_ACT_TRAP
						: SCMP_ACT_ERRNO(EPERM));
	int r = f == NULL ? -ENOMEM : 0;

	if (report)
		sigaction(SIGSYS, &sa, NULL);
	if (r == 0)
		r = add_calls(f, role);
	if (r == 0)
		r = add_memory_rules(f, role);
	if (r == 0)
		r = add_thread_rules(f, role);
	if (r == 0)
		r = add_socket_rules(f, role);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r == 0)
		return 0;
	hb_buf_addf(err, "system call filter: %s", strerror(-r));
	return HB_E_PERM;
}

/* Borrowed, or RUN_DIR/empty put into SPACE. */
static const char *
root_of(enum hb_role role, const struct hb_conf *conf, struct hb_buf *space)
{
	switch (hb_role_info(role)->root) {
	case HB_ROOT_ALL:
		return "/";
	case HB_ROOT_SPOOL:
		return conf->spool;
	case HB_ROOT_RUN_DIR:
		return conf->run_dir;
	case HB_ROOT_EMPTY:
		break;
	}
	hb_buf_addf(space, "%s/empty", conf->run_dir);
	return hb_buf_cstr(space);
}

int
hb_sandbox_enter(enum hb_role role, const struct hb_conf *conf,
    struct hb_buf *err)
{
	struct hb_buf space = HB_BUF_INIT(0);
	const char *root = root_of(role, conf, &space);
	int r;

	set_limits(role);
	r = change_root(role, conf, root, err);
	hb_buf_free(&space);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		r = failed(err, "no new", "privileges");
	if (r == 0)
		r = restrict_files(role, err);
	return r == 0 && HAS_FILTER ? filter_calls(role, err) : r;
}
