/* Rights of hauberk-submit, which let every user send.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/parent/parent.h"

enum { SUBMIT_MODE = 02755 };

const char *
pd_submit_group(const struct hb_conf *conf)
{
	for (size_t i = 0; i < conf->users.n; i++)
		if (strcmp(conf->users.v[i].role, "submit") == 0)
			return conf->users.v[i].account;
	return "_hauberkm";
}

static bool
is_right(const struct stat *st, gid_t gid)
{
	return st->st_uid == 0 && st->st_gid == gid &&
	    (st->st_mode & 07777) == SUBMIT_MODE;
}

/* A program that somebody else owns never becomes setgid by us.  chown clears
 * the bit, so it comes first. */
static int
give_rights(int fd, const struct stat *st, gid_t gid)
{
	if (!S_ISREG(st->st_mode) || st->st_uid != 0)
		return -EPERM;
	if (fchown(fd, 0, gid) != 0 || fchmod(fd, SUBMIT_MODE) != 0)
		return -errno;
	return 0;
}

int
pd_check_submit(const struct pd_parent *pd, bool set, struct hb_buf *why)
{
	const char *name = pd_submit_group(pd->now.conf);
	struct group *gr = pd->privileged ? getgrnam(name) : NULL;
	char path[PATH_MAX];
	struct stat st;
	int fd, r = 0;

	if (gr == NULL) /* told as an account, or all are one user */
		return 0;
	snprintf(path, sizeof(path), "%s/hauberk-submit", pd->libexec);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		r = -errno;
	else if (!is_right(&st, gr->gr_gid))
		r = set ? give_rights(fd, &st, gr->gr_gid) : -EPERM;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		hb_buf_addf(why, "%s cannot write into maildrop/ (%s), so users "
		    "cannot send: chgrp %s %s && chmod %o %s", path,
		    strerror(-r), name, path, SUBMIT_MODE, path);
	return r;
}
