/* Lock: only one server uses a spool or a run-dir.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/parent/parent.h"

enum { LOCK_TRIES = 50, LOCK_WAIT_MS = 100 };

static void
wait_ms(long ms)
{
	struct timespec ts = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* A server that is just ending is waited for.  *FD gets the file that holds
 * the lock. */
static int
lock_folder(const char *folder, const char *name, const char *what, int *fd,
    struct hb_buf *err)
{
	struct hb_buf path = HB_BUF_INIT(0);
	int r = -1;

	hb_buf_addf(&path, "%s/%s", folder, name);
	*fd = open(hb_buf_cstr(&path),
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	hb_buf_free(&path);
	if (*fd < 0) {
		hb_buf_addf(err, "cannot open the lock in %s: %s", folder,
		    strerror(errno));
		return EX_CANTCREAT;
	}
	for (int i = 0; i < LOCK_TRIES && r != 0; i++) {
		if (i > 0)
			wait_ms(LOCK_WAIT_MS);
		r = flock(*fd, LOCK_EX | LOCK_NB);
	}
	if (r == 0)
		return 0;
	hb_buf_addf(err, "another hauberkd uses the %s %s", what, folder);
	return EX_TEMPFAIL;
}

int
pd_lock_folders(struct pd_parent *pd, struct hb_buf *err)
{
	const struct hb_conf *c = pd->now.conf;
	/* The queue process holds this lock too: a parent that was killed is
	 * not followed by a new one before its queue has let go of the
	 * spool. */
	int code = lock_folder(c->spool, "lock", "spool", &pd->lock_fd, err);

	/* Who has the control socket is the one that hauberkctl reaches. */
	if (code == 0)
		code = lock_folder(c->run_dir, "control.lock", "run-dir",
		    &pd->run_lock_fd, err);
	return code;
}
