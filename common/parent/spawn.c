/* Children between fork and exec.  Floor 4. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/parent/parent.h"

enum { OUT_OF_THE_WAY = 16 };

static void
null_for(int fd, int flags)
{
	int null = open("/dev/null", flags);

	if (null >= 0 && null != fd) {
		dup2(null, fd);
		close(null);
	}
}

void
pd_child_fds(int fd, int lock, bool keep_stderr)
{
	fd = fcntl(fd, F_DUPFD, OUT_OF_THE_WAY);
	lock = lock >= 0 ? fcntl(lock, F_DUPFD, OUT_OF_THE_WAY) : -1;
	null_for(STDIN_FILENO, O_RDONLY);
	null_for(STDOUT_FILENO, O_WRONLY);
	if (!keep_stderr)
		null_for(STDERR_FILENO, O_WRONLY);
	if (fd < 0 || dup2(fd, 3) < 0 || (lock >= 0 && dup2(lock, 4) < 0))
		_exit(71);
	close_range(lock >= 0 ? 5 : 4, ~0u, 0);
}

void
pd_be_fresh(const struct pd_parent *pd, int fd)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP)
			signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	pd_child_fds(fd, -1, pd->foreground);
	setsid();
	umask(077);
	(void)setrlimit(RLIMIT_NOFILE, &pd->nofile);
}

void
pd_let_go_of_terminal(void)
{
	null_for(STDIN_FILENO, O_RDONLY);
	null_for(STDOUT_FILENO, O_WRONLY);
	null_for(STDERR_FILENO, O_WRONLY);
}
