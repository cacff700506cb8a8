/* Accounts, folders and files that the parent prepares.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/parent/conf_check.h"
#include "common/parent/parent.h"
#include "common/io/readfile.h"
#include "common/io/sock.h"
#include "common/io/trouble.h"

enum { LOCK_TRIES = 50, LOCK_WAIT_MS = 100 };

static const char resolv_conf[] = "/etc/resolv.conf";

bool
pd_file_is_for(enum hb_file_kind kind, enum hb_role role)
{
	return (hb_role_info(role)->files >> kind & 1) != 0;
}

/* folders */

struct owner {
	uid_t uid;
	gid_t gid;
};

static struct owner
owner_of(const struct pd_parent *pd, const char *account, const char *group)
{
	struct owner o = { geteuid(), getegid() };
	struct passwd *pw;
	struct group *gr;

	if (!pd->privileged)
		return o;
	pw = account != NULL ? getpwnam(account) : NULL;
	if (pw != NULL)
		o = (struct owner){ pw->pw_uid, pw->pw_gid };
	gr = group != NULL ? getgrnam(group) : NULL;
	if (gr != NULL)
		o.gid = gr->gr_gid;
	return o;
}

static int
set_folder(int fd, struct owner o, mode_t mode)
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
make_folder(int at, const char *path, struct owner o, mode_t mode)
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

/* The folders above PATH, as anyone makes them. */
static void
make_above(const char *path)
{
	char *copy = hb_strdup(path);

	for (char *p = copy + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(copy, 0755); /* the last one tells what is wrong */
		*p = '/';
	}
	free(copy);
}

static int
no_folder(const char *path, const char *sub, int r, struct hb_buf *err)
{
	hb_buf_addf(err, "cannot make the folder %s%s%s: %s", path,
	    sub[0] != '\0' ? "/" : "", sub, strerror(-r));
	return EX_CANTCREAT;
}

static int
make_subfolders(const struct pd_parent *pd, const char *path,
    const char *const names[], size_t n, struct owner o, mode_t mode,
    struct hb_buf *err)
{
	int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	(void)pd;
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
	struct owner self = { geteuid(), getegid() };
	int r;

	make_above(path);
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
	struct owner self = { geteuid(), getegid() };
	int r = make_top(c->spool, 0755, err);

	if (r == 0)
		r = make_top(c->run_dir, 0755, err);
	if (r == 0)
		r = make_subfolders(pd, c->spool, of_queue,
		    HB_ARRAY_LEN(of_queue), owner_of(pd, queue, NULL), 0700,
		    err);
	if (r == 0)
		r = make_subfolders(pd, c->spool, drop, 1,
		    owner_of(pd, queue, pd_submit_group(c)), 01730, err);
	if (r == 0)
		r = make_subfolders(pd, c->spool, own, 1, self, 0700, err);
	if (r == 0)
		r = make_subfolders(pd, c->run_dir, empty, 1, self, 0555, err);
	return r;
}

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

	hb_buf_addf(&path, "%s/%s%c", folder, name, '\0');
	*fd = open((const char *)path.p + path.off,
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

/* the certificate of the first start */

static void
tls_path(const struct hb_conf *conf, const char *name, struct hb_buf *out)
{
	hb_buf_clear(out);
	hb_buf_addf(out, "%s/tls/%s%c", conf->spool, name, '\0');
}

static const char *
text_of(const struct hb_buf *b)
{
	return (const char *)b->p + b->off;
}

static void HB_NORETURN
run_keyagent(const struct pd_parent *pd, int out)
{
	const char *account = hb_conf_account(pd->now.conf, HB_ROLE_KEYAGENT);
	struct owner o = owner_of(pd, account, NULL);
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
	struct hb_buf path = HB_BUF_INIT(0), temp = HB_BUF_INIT(0);
	int fd, r = 0;

	tls_path(conf, name, &path);
	tls_path(conf, "new", &temp);
	(void)unlink(text_of(&temp));
	fd = open(text_of(&temp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		r = -errno;
	else if (write(fd, s.p, s.n) != (ssize_t)s.n || fsync(fd) != 0 ||
	    rename(text_of(&temp), text_of(&path)) != 0)
		r = errno != 0 ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	hb_buf_free(&path);
	hb_buf_free(&temp);
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

static int
ensure_certificate(const struct pd_parent *pd, const struct hb_conf *conf,
    struct hb_buf *err)
{
	struct hb_buf path = HB_BUF_INIT(0), pem = HB_BUF_INIT(0);
	struct hb_span all;
	size_t key;
	int r = 0;

	tls_path(conf, "cert.pem", &path);
	if (access(text_of(&path), R_OK) != 0) {
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

static bool
wants_own_certificate(const struct hb_conf *conf)
{
	return conf->certs.n == 0 && conf->listens.n > 0;
}

void
pd_role_text(const struct hb_conf *conf, struct hb_buf *out)
{
	hb_buf_clear(out);
	hb_conf_dump(conf, out);
	if (wants_own_certificate(conf))
		hb_buf_addf(out, "tls-certificate \"%s/tls/cert.pem\" "
		    "\"key=%s/tls/key.pem\"\n", conf->spool, conf->spool);
}

/* files */

struct loading {
	struct pd_files *out;
	struct pd_files *before; /* of watched files, or NULL */
	struct hb_buf *err;
	int code;
};

/* A file that was there and cannot be read now goes on with what it said. */
static void
keep_before(struct loading *l, struct pd_file *f, const char *path, int r)
{
	struct hb_buf why = HB_BUF_INIT(0);

	for (size_t i = 0; l->before != NULL && i < l->before->n; i++) {
		struct pd_file *old = &l->before->v[i];

		if (old->kind != f->kind)
			continue;
		*f = *old;
		old->bytes = HB_BUF_INIT(0);
		l->out->n++;
		hb_buf_addf(&why, "cannot be read: %s; what it said before "
		    "stays in force", hb_file_error(r));
		hb_trouble_begin(HB_EV_CONFIG, hb_span_str(path),
		    hb_buf_span(&why));
		hb_buf_free(&why);
		return;
	}
}

/* Takes the file in; a missing one is a mistake if it is NEEDED. */
static void
load(struct loading *l, enum hb_file_kind kind, size_t index, const char *path,
    bool needed)
{
	struct pd_file *f = &l->out->v[l->out->n];
	int r;

	HB_ASSERT(l->out->n < PD_FILES_MAX);
	*f = (struct pd_file){ .kind = kind, .index = (unsigned)index };
	r = hb_read_file(path, HB_MAX_LOADED_FILE, &f->bytes);
	if (r == 0 && (!needed || hb_buf_span(&f->bytes).n > 0)) {
		l->out->n++;
		hb_trouble_end(HB_EV_CONFIG, hb_span_str(path));
		return;
	}
	hb_buf_wipe(&f->bytes);
	if (!needed) {
		keep_before(l, f, path, r);
		return;
	}
	l->code = EX_CONFIG;
	hb_buf_addf(l->err, "%s: cannot read it: %s\n", path,
	    r < 0 ? hb_file_error(r) : "It is empty");
}

/* fe80::/10: they stand in no MX record, and come and go with each
 * container. */
static bool
is_link_local(const struct hb_netaddr *a)
{
	return a->family == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* The addresses of this host but for 127.0.0.0/8, one a line.  False: they
 * cannot be had now. */
static bool
list_interfaces(struct hb_buf *out)
{
	struct ifaddrs *list;
	char text[HB_NETADDR_TEXT];

	if (getifaddrs(&list) != 0)
		return false;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct hb_netaddr a;

		if (!hb_sock_of_interface(i->ifa_addr, &a) ||
		    hb_netaddr_is_loopback(&a) || is_link_local(&a))
			continue;
		hb_netaddr_format(&a, text);
		hb_buf_addf(out, "%s\n", text);
	}
	freeifaddrs(list);
	return true;
}

static void
load_interfaces(struct loading *l)
{
	struct pd_file *f = &l->out->v[l->out->n++];

	HB_ASSERT(l->out->n <= PD_FILES_MAX);
	*f = (struct pd_file){ .kind = HB_FILE_INTERFACES };
	if (!list_interfaces(&f->bytes))
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_TEXT,
		    "the addresses of this host cannot be read"),
		    hb_kv_str(HB_K_ERROR, strerror(errno)));
}

/* What the system may change without a word to us. */
static void
load_watched(struct loading *l, const struct hb_conf *conf)
{
	load_interfaces(l);
	load(l, HB_FILE_RESOLV, 0, resolv_conf, false);
	if (conf->hosts_file != NULL)
		load(l, HB_FILE_HOSTS, 0, conf->hosts_file, false);
}

static void
load_certificates(struct loading *l, const struct hb_conf *conf)
{
	struct hb_buf path = HB_BUF_INIT(0);

	for (size_t i = 0; i < conf->certs.n; i++) {
		load(l, HB_FILE_CERT, i, conf->certs.v[i].chain, true);
		load(l, HB_FILE_KEY, i, conf->certs.v[i].key, true);
	}
	if (wants_own_certificate(conf)) {
		tls_path(conf, "cert.pem", &path);
		load(l, HB_FILE_CERT, 0, text_of(&path), true);
		tls_path(conf, "key.pem", &path);
		load(l, HB_FILE_KEY, 0, text_of(&path), true);
	}
	hb_buf_free(&path);
}

static void
load_roots(struct loading *l, const struct hb_conf *conf)
{
	const char *bundle;
	size_t i = 0;

	for (; i < conf->ca_files.n; i++)
		load(l, HB_FILE_CA, i, conf->ca_files.v[i], true);
	if (i > 0)
		return;
	bundle = pd_ca_bundle();
	if (bundle != NULL)
		load(l, HB_FILE_CA, 0, bundle, true);
	else
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_WORD,
		    "ca-file"), hb_kv_str(HB_K_TEXT, "no bundle of trusted "
		    "roots on this system: nothing can be verified"));
}

int
pd_load_files(const struct pd_parent *pd, const struct hb_conf *conf,
    struct pd_files *out, struct hb_buf *err)
{
	struct loading l = { .out = out, .err = err };

	out->n = 0;
	if (wants_own_certificate(conf))
		l.code = ensure_certificate(pd, conf, err);
	if (l.code == 0)
		load_certificates(&l, conf);
	load_roots(&l, conf);
	load_watched(&l, conf);
	if (conf->smarthost.auth_file != NULL)
		load(&l, HB_FILE_AUTH, 0, conf->smarthost.auth_file, true);
	if (l.code != 0)
		pd_free_files(out);
	return l.code;
}

void
pd_free_files(struct pd_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		hb_buf_wipe(&files->v[i].bytes);
	files->n = 0;
}

/* A number that changes with the file. */
static int64_t
state_of(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) != 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000003 + st.st_mtim.tv_nsec +
	    (int64_t)st.st_ino * 31 + st.st_size;
}

static bool
is_watched(enum hb_file_kind kind)
{
	return kind == HB_FILE_RESOLV || kind == HB_FILE_HOSTS ||
	    kind == HB_FILE_INTERFACES;
}

bool
pd_is_watching(enum hb_role role)
{
	for (int k = 0; k < HB_FILE_COUNT; k++)
		if (is_watched((enum hb_file_kind)k) &&
		    pd_file_is_for((enum hb_file_kind)k, role))
			return true;
	return false;
}

/* All others stay as they were loaded: a certificate that is being replaced
 * must not come without its key, nor before the reload. */
void
pd_load_watched(struct pd_parent *pd)
{
	struct pd_files *files = &pd->now.files;
	struct pd_files before = { .n = 0 };
	struct loading l = { .out = files, .before = &before };
	size_t kept = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct pd_file *f = &files->v[i];

		if (is_watched(f->kind))
			before.v[before.n++] = *f;
		else
			files->v[kept++] = *f;
	}
	files->n = kept;
	load_watched(&l, pd->now.conf);
	pd_free_files(&before);
}

static bool
interfaces_changed(const struct pd_parent *pd)
{
	const struct pd_files *files = &pd->now.files;
	struct hb_buf now = HB_BUF_INIT(0);
	bool changed = false, known = list_interfaces(&now);

	for (size_t i = 0; known && i < files->n; i++)
		if (files->v[i].kind == HB_FILE_INTERFACES)
			changed = !hb_span_eq(hb_buf_span(&now),
			    hb_buf_span(&files->v[i].bytes));
	hb_buf_free(&now);
	return changed;
}

bool
pd_files_changed(struct pd_parent *pd)
{
	int64_t now = state_of(resolv_conf) * 7 +
	    state_of(pd->now.conf->hosts_file);
	bool changed = now != pd->watched;

	pd->watched = now;
	return interfaces_changed(pd) || changed;
}
