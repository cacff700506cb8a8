/* The self-signed certificate of a server without a configured one.  Floor
 * 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/parent/parent.h"
#include "common/io/file.h"

const char *
pd_tls_path(const struct hb_conf *conf, const char *name, struct hb_buf *space)
{
	hb_buf_clear(space);
	hb_buf_addf(space, "%s/tls/%s", conf->spool, name);
	return hb_buf_cstr(space);
}

static void HB_NORETURN
run_keyagent(const struct pd_parent *pd, int out)
{
	const char *account = hb_conf_account(pd->now.conf, HB_ROLE_KEYAGENT);
	struct pd_owner o = pd_owner_of(pd, account, NULL);
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/hauberk-keyagent", pd->libexec);
	if (pd->privileged && (setgroups(0, NULL) != 0 ||
		setresgid(o.gid, o.gid, o.gid) != 0 ||
		setresuid(o.uid, o.uid, o.uid) != 0))
		_exit(EX_OSERR);
	if (dup2(out, STDOUT_FILENO) < 0)
		_exit(EX_OSERR);
	execl(path, path, "-s", pd->now.conf->hostname, (char *)NULL);
	_exit(EX_OSFILE);
}

/* Certificate, then key, as the key agent's program prints them; the parent
 * has no cryptography of its own. */
static int
make_certificate(const struct pd_parent *pd, struct hb_buf *pem)
{
	int fd[2], status = 1, r;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_keyagent(pd, fd[1]);
	close(fd[1]);
	r = pid > 0 ? hb_read_all(fd[0], HB_MAX_LOADED_FILE, pem) : -EAGAIN;
	close(fd[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status != 0)
		r = -EIO;
	return r;
}

static int
write_file(const struct hb_conf *conf, const char *name, struct hb_span s,
    mode_t mode)
{
	struct hb_buf space[2] = { HB_BUF_INIT(0), HB_BUF_INIT(0) };
	const char *path = pd_tls_path(conf, name, &space[0]),
		   *temp = pd_tls_path(conf, "new", &space[1]);
	int fd, r = 0;

	(void)unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		r = -errno;
	else
		r = hb_write_all(fd, s);
	if (r == 0 && (fsync(fd) != 0 || rename(temp, path) != 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	hb_buf_free(&space[0]);
	hb_buf_free(&space[1]);
	return r;
}

/* Where the last PEM block of S begins. */
static size_t
last_block(struct hb_span s)
{
	static const char mark[] = "-----BEGIN ";

	for (size_t at = s.n; at-- > 0;)
		if (s.n - at >= sizeof(mark) - 1 &&
		    memcmp(s.p + at, mark, sizeof(mark) - 1) == 0)
			return at;
	return 0;
}

int
pd_ensure_certificate(const struct pd_parent *pd, const struct hb_conf *conf,
    struct hb_buf *err)
{
	struct hb_buf path = HB_BUF_INIT(0), pem = HB_BUF_INIT(0);
	struct hb_span all;
	size_t key;
	int r = 0;

	if (access(pd_tls_path(conf, "cert.pem", &path), R_OK) != 0) {
		r = make_certificate(pd, &pem);
		all = hb_buf_span(&pem);
		key = last_block(all);
		if (r == 0 && key == 0)
			r = -EIO;
		if (r == 0) /* the key first: a certificate has its key */
			r = write_file(conf, "key.pem", hb_span_from(all, key),
			    0600);
		if (r == 0)
			r = write_file(conf, "cert.pem",
			    hb_span_head(all, key), 0644);
	}
	if (r < 0)
		hb_buf_addf(err, "cannot make a self-signed certificate: %s",
		    strerror(-r));
	hb_buf_wipe(&pem);
	hb_buf_free(&path);
	return r < 0 ? EX_CANTCREAT : 0;
}

bool
pd_wants_own_certificate(const struct hb_conf *conf)
{
	return conf->certs.n == 0 && conf->listens.n > 0;
}

void
pd_role_text(const struct hb_conf *conf, struct hb_buf *out)
{
	hb_buf_clear(out);
	hb_conf_dump(conf, out);
	if (pd_wants_own_certificate(conf))
		hb_buf_addf(out, "tls-certificate \"%s/tls/cert.pem\" "
		    "\"key=%s/tls/key.pem\"\n", conf->spool, conf->spool);
}
