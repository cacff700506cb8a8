/* hauberkd(8): options, start, loop, end.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/conf_load.h"
#include "common/parent/parent.h"
#include "common/io/sock.h"
#include "common/io/trouble.h"

enum { WATCH_MS = 5000, NOFILE_WANTED = 65536 };

struct parent_options {
	const char *file;
	bool foreground, check_only;
};

static void HB_NORETURN
usage(void)
{
	fputs("usage: hauberkd [-d] [-n] [-f FILE] [-V]\n", stderr);
	exit(EX_USAGE);
}

static struct parent_options
read_options(int argc, char **argv)
{
	struct parent_options o = { .file = HB_CONF_FILE };
	int c;

	while ((c = getopt(argc, argv, "dnf:V")) != -1)
		switch (c) {
		case 'd':
			o.foreground = true;
			break;
		case 'n':
			o.check_only = true;
			break;
		case 'f':
			o.file = optarg;
			break;
		case 'V':
			puts("hauberkd " PACKAGE_VERSION);
			exit(EX_OK);
		default:
			usage();
		}
	if (optind != argc)
		usage();
	return o;
}

static int
tell(const struct hb_buf *err, int code)
{
	struct hb_span s = hb_span_trim(hb_buf_span(err));

	if (s.n > 0)
		fprintf(stderr, "hauberkd: %.*s\n", HB_SPAN_ARG(s));
	return code;
}

/* A start would mend it; -n changes nothing. */
static void
check_submit(const struct pd_parent *pd)
{
	struct hb_buf why = HB_BUF_INIT(0);

	if (pd_check_submit(pd, false, &why) < 0) {
		hb_buf_adds(&why, " (hauberkd tries it at its start)\n");
		(void)fputs("hauberkd: warning: ", stderr);
		fwrite(why.p + why.off, 1, why.n, stderr);
	}
	hb_buf_free(&why);
}

/* Prints mistakes and warnings.  0 or EX_CONFIG. */
static int
load_conf(struct pd_parent *pd)
{
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	int code;

	code = pd_read_setup(pd, &pd->now, &report) ? 0 : EX_CONFIG;
	if (report.text.n > 0)
		fwrite(report.text.p + report.text.off, 1, report.text.n,
		    stderr);
	hb_buf_free(&report.text);
	return code;
}

/* The daemon's starter: waits until it is ready or has failed, and ends with
 * its code. */
static void HB_NORETURN
wait_for_daemon(int fd, pid_t pid)
{
	unsigned char code = EX_SOFTWARE;
	int status;
	ssize_t r;

	while ((r = read(fd, &code, 1)) < 0 && errno == EINTR)
		continue;
	if (r == 1 && code == 0)
		_exit(EX_OK);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) != 0)
		code = (unsigned char)WEXITSTATUS(status);
	_exit(code);
}

static void
daemonise(struct pd_parent *pd)
{
	int fd[2];
	pid_t pid;

	if (pd->foreground)
		return;
	if (pipe2(fd, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		perror("hauberkd");
		exit(EX_OSERR);
	}
	if (pid > 0) {
		close(fd[1]);
		wait_for_daemon(fd[0], pid);
	}
	close(fd[0]);
	pd->starter_fd = fd[1];
	setsid();
	if (chdir("/") != 0)
		exit(EX_OSERR);
}

static void
raise_limits(struct pd_parent *pd)
{
	struct rlimit l;

	(void)getrlimit(RLIMIT_NOFILE, &pd->nofile);
	l = pd->nofile;
	if (pd->privileged && l.rlim_max < NOFILE_WANTED)
		l.rlim_max = NOFILE_WANTED;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

/* Where the roles' programs are; an uninstalled build says so itself, which
 * root does not listen to. */
static const char *
libexec_dir(bool privileged)
{
	const char *other = getenv("HAUBERK_LIBEXEC");

	return !privileged && other != NULL && other[0] == '/' ? other
							       : HB_LIBEXECDIR;
}

/* A server that was installed in another folder than it was configured for
 * would start, and find none of them. */
static int
check_programs(const struct pd_parent *pd)
{
	char path[PATH_MAX];

	for (enum hb_role r = HB_ROLE_PARENT; r < HB_ROLE_COUNT; r++) {
		if (hb_role_info(r)->stop_wave == 0)
			continue;
		snprintf(path, sizeof(path), "%s/hauberk-%s", pd->libexec,
		    hb_role_name(r));
		if (access(path, X_OK) == 0)
			continue;
		fprintf(stderr, "hauberkd: cannot run %s: %s (this build "
		    "looks there for its programs; configure --prefix says "
		    "where they are installed)\n", path, strerror(errno));
		return EX_OSFILE;
	}
	return 0;
}

static int
open_control(struct pd_parent *pd, struct hb_buf *err)
{
	struct hb_buf path = HB_BUF_INIT(0);

	hb_buf_addf(&path, "%s/control.sock", pd->now.conf->run_dir);
	pd->control_fd = hb_sock_unix_listen(hb_buf_cstr(&path), 0666);
	hb_buf_free(&path);
	if (pd->control_fd >= 0)
		return 0;
	hb_buf_addf(err, "cannot make control.sock in %s: %s",
	    pd->now.conf->run_dir, strerror(-pd->control_fd));
	return EX_CANTCREAT;
}

static int
make_counters(struct pd_parent *pd, struct hb_buf *err)
{
	unsigned n = 0;

	for (size_t i = 0; i < pd->nprocs; i++)
		n += hb_role_gets(pd->procs[i].role, HB_GETS_COUNTERS);
	pd->counters = hb_counters_create(n, pd->now.conf->max_sessions);
	if (pd->counters != NULL)
		return 0;
	hb_buf_addf(err, "cannot make the table of counters: %s",
	    strerror(errno));
	return EX_OSERR;
}

/* Everything before the roles; 0 or an exit code. */
static int
prepare(struct pd_parent *pd, struct hb_buf *err)
{
	int code = pd_make_folders(pd, err);
	struct hb_buf why = HB_BUF_INIT(0);

	if (code == 0)
		code = pd_lock_folders(pd, err);
	if (code == 0)
		code = pd_listen(pd->now.conf, NULL, &pd->now.listeners, err);
	if (code == 0)
		code = pd_open_log(pd, err);
	if (code == 0)
		code = pd_clock_load(pd, err);
	if (code == 0)
		code = pd_load_files(pd, pd->now.conf, &pd->now.files, err);
	if (code == 0)
		code = open_control(pd, err);
	/* The server runs without it: mail of other hosts is taken all the
	 * same. */
	if (pd_check_submit(pd, true, &why) < 0)
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG,
		    hb_kv_str(HB_K_WORD, "hauberk-submit"),
		    hb_kv_span(HB_K_TEXT, hb_buf_span(&why)));
	hb_buf_free(&why);
	pd_role_text(pd->now.conf, &pd->text);
	return code;
}

static void
on_stop_signal(void *ctx, int signo)
{
	struct pd_parent *pd = ctx;

	pd_stop(pd);
}

static void
on_reload_signal(void *ctx, int signo)
{
	struct hb_buf why = HB_BUF_INIT(0);

	(void)pd_reload(ctx, &why); /* it has logged what is wrong */
	hb_buf_free(&why);
}

/* resolv.conf, and addresses, often come to be after us. */
static void
on_watch(void *ctx)
{
	struct pd_parent *pd = ctx;

	if (pd->phase == PD_RUNNING && pd_files_changed(pd)) {
		pd_load_watched(pd);
		pd_renew(pd, pd_is_watching);
	}
	pd_renewal_look(pd);
	pd_ping(pd);
	pd_end_overdue(pd, hb_mono_ms());
	hb_timer_set(pd->watch_timer, WATCH_MS);
}

static void
start_loop(struct pd_parent *pd)
{
	static const int stop[] = { SIGTERM, SIGINT };

	pd->loop = hb_loop_new();
	pd->started_ms = hb_boot_ms();
	hb_log_set_role("parent", getpid());
	hb_logsink_start(pd->loop, pd_log_lost, pd);
	hb_trouble_tell(pd_own_trouble, pd);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < HB_ARRAY_LEN(stop); i++)
		hb_loop_on_signal(pd->loop, stop[i], on_stop_signal, pd);
	hb_loop_on_signal(pd->loop, SIGHUP, on_reload_signal, pd);
	hb_loop_on_signal(pd->loop, SIGCHLD, pd_on_child, pd);
	pd->watch_timer = hb_timer_new(pd->loop, on_watch, pd);
	hb_timer_set(pd->watch_timer, WATCH_MS);
}

static int
run(struct pd_parent *pd)
{
	struct hb_buf err = HB_BUF_INIT(0);
	int code;

	start_loop(pd);
	code = prepare(pd, &err);
	if (code == 0) {
		pd_make_procs(pd);
		code = make_counters(pd, &err);
	}
	if (code != 0)
		return tell(&err, code);
	(void)pd_files_changed(pd);
	pd_renewal_begin(pd);
	pd->generation = 1;
	HB_LOG(HB_LOG_INFO, HB_EV_START, hb_kv_str(HB_K_STATE, "starting"),
	    hb_kv_str(HB_K_VERSION, PACKAGE_VERSION));
	pd_say_features(pd->now.conf);
	pd_log_lines(hb_buf_span(&pd->now.warnings), HB_LOG_WARN);
	pd_start_all(pd);
	if (hb_loop_run(pd->loop) != 0)
		return EX_SOFTWARE;
	HB_LOG(HB_LOG_INFO, HB_EV_STOP, hb_kv_str(HB_K_STATE, "stopped"));
	hb_logsink_flush();
	return pd->exit_code;
}

static void
remove_socket(const struct pd_parent *pd)
{
	struct hb_buf path = HB_BUF_INIT(0);

	if (pd->control_fd < 0)
		return;
	hb_buf_addf(&path, "%s/control.sock", pd->now.conf->run_dir);
	(void)unlink(hb_buf_cstr(&path));
	hb_buf_free(&path);
}

int
main(int argc, char **argv)
{
	static struct pd_parent pd = { .control_fd = -1, .lock_fd = -1,
		.run_lock_fd = -1,
		.log = { .fd = -1 }, .log_read_fd = -1, .starter_fd = -1 };
	struct parent_options o = read_options(argc, argv);
	char *full = realpath(o.file, NULL);
	int code;

	pd.conf_file = full != NULL ? full : o.file;
	pd.foreground = o.foreground;
	pd.privileged = geteuid() == 0;
	pd.libexec = libexec_dir(pd.privileged);
	code = o.check_only ? 0 : check_programs(&pd);
	if (code == 0)
		code = load_conf(&pd);
	if (code == 0 && o.check_only)
		check_submit(&pd);
	if (code != 0 || o.check_only)
		return code;
	umask(022);
	daemonise(&pd);
	raise_limits(&pd);
	code = run(&pd);
	remove_socket(&pd);
	return code;
}
