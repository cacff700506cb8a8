/* The folders of spool and run-dir, and their owners.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/parent/parent.h"

struct pd_owner
pd_owner_of(const struct pd_parent *pd, const char *account, const char *group)
{
	struct pd_owner o = { geteuid(), getegid() };
	struct passwd *pw;
	struct group *gr;

	if (!pd->privileged)
		return o;
	pw = account != NULL ? getpwnam(account) : NULL;
	if (pw != NULL)
		o = (struct pd_owner){ pw->pw_uid, pw->pw_gid };
	gr = group != NULL ? getgrnam(group) : NULL;
	if (gr != NULL)
		o.gid = gr->gr_gid;
	return o;
}

static int
set_folder(int fd, struct pd_owner o, mode_t mode)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if ((st.st_uid != o.uid || st.st_gid != o.gid) &&
	    fchown(fd, o.uid, o.gid) != 0)
		return -errno;
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0)
		return -errno;
	return 0;
}

/* Makes PATH in AT if it is missing and sets it right; a link is refused. */
static int
make_folder(int at, const char *path, struct pd_owner o, mode_t mode)
{
	int fd, r;

	if (mkdirat(at, path, 0700) != 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = set_folder(fd, o, mode);
	close(fd);
	return r;
}

static int
no_folder(const char *path, const char *sub, int r, struct hb_buf *err)
{
	hb_buf_addf(err, "cannot make the folder %s%s%s: %s", path,
	    sub[0] != '\0' ? "/" : "", sub, strerror(-r));
	return EX_CANTCREAT;
}

static int
make_subfolders(const char *path, const char *const names[], size_t n,
    struct pd_owner o, mode_t mode, struct hb_buf *err)
{
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (at < 0)
		return no_folder(path, "", -errno, err);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = make_folder(at, names[i], o, mode);
		if (r < 0)
			r = no_folder(path, names[i], r, err);
	}
	close(at);
	return r;
}

static int
make_top(const char *path, mode_t mode, struct hb_buf *err)
{
	struct pd_owner self = { geteuid(), getegid() };
	char *copy = hb_strdup(path);
	int r;

	/* The folders above PATH, as anyone makes them. */
	for (char *p = copy + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(copy, 0755); /* the last one tells what is wrong */
		*p = '/';
	}
	free(copy);
	r = make_folder(AT_FDCWD, path, self, mode);
	return r < 0 ? no_folder(path, "", r, err) : 0;
}

int
pd_make_folders(const struct pd_parent *pd, struct hb_buf *err)
{
	static const char *const of_queue[] = { "log", "large", "store",
		"corrupt" };
	static const char *const drop[] = { "maildrop" };
	static const char *const own[] = { "tls" };
	static const char *const empty[] = { "empty" };
	const struct hb_conf *c = pd->now.conf;
	const char *queue = hb_conf_account(c, HB_ROLE_QUEUE);
	struct pd_owner self = { geteuid(), getegid() };
	int r = make_top(c->spool, 0755, err);

	if (r == 0)
		r = make_top(c->run_dir, 0755, err);
	if (r == 0)
		r = make_subfolders(c->spool, of_queue,
		    HB_ARRAY_LEN(of_queue), pd_owner_of(pd, queue, NULL), 0700,
		    err);
	if (r == 0)
		r = make_subfolders(c->spool, drop, 1,
		    pd_owner_of(pd, queue, pd_submit_group(c)), 01730, err);
	if (r == 0)
		r = make_subfolders(c->spool, own, 1, self, 0700, err);
	if (r == 0)
		r = make_subfolders(c->run_dir, empty, 1, self, 0555, err);
	return r;
}
