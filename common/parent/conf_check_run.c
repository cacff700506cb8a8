/* Checks of a file with the rights of a role.  Floor 4. */
#include "config.h"

#include "common/parent/conf_check_run.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/file.h"
#include "common/proto/access.h"
#include "common/proto/maptext.h"
#include "common/proto/scram.h"

enum { LONGEST_S = 20, LINES_TOLD = 20, FOUND_MAX = 65536 };

/* In a child: takes the rights of ROLE.  A name service may keep us waiting, so
 * it is asked no more than a start asks it. */
static void
become(const struct pd_check *how, const struct hb_conf *conf,
    enum hb_role role)
{
	const struct passwd *pw;

	alarm(LONGEST_S);
	if (!how->privileged)
		return;
	pw = getpwnam(hb_conf_account(conf, role));
	if (pw == NULL || setgroups(0, NULL) != 0 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) != 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
		_exit(EX_NOUSER);
}

/* Takes what PID says on FD until both have ended. */
static int
hear(pid_t pid, int fd, struct hb_buf *found)
{
	int status = 1, r = pid > 0 ? hb_read_all(fd, FOUND_MAX, found) : -1;

	close(fd);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return r == 0 && status == 0 ? 0 : HB_E_IO;
}

/* --- who else may write --- */

/* Says who may write PATH but its owner and root, or NULL.  In a sticky
 * folder nobody can take away what is another's. */
static const char *
writers(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 ||
	    (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0))
		return NULL;
	if ((st.st_mode & S_IWOTH) != 0)
		return "everybody";
	return (st.st_mode & S_IWGRP) != 0 && st.st_gid != 0 ? "its group"
							     : NULL;
}

bool
pd_check_writers(const char *path, char *text, size_t size)
{
	char full[PATH_MAX], *slash;
	const char *who = NULL;
	bool above = false;

	if (realpath(path, full) == NULL)
		return false;
	while ((who = writers(full)) == NULL && strcmp(full, "/") != 0) {
		slash = strrchr(full, '/');
		slash[slash == full ? 1 : 0] = '\0';
		above = true;
	}
	if (who == NULL)
		return false;
	snprintf(text, size, "%s can be changed by %s%s%s", full, who,
	    above ? ", and so can " : "", above ? path : "");
	return true;
}

/* --- maps --- */

/* Is HASH one that crypt(3) makes? */
static bool
is_hash(struct hb_span hash)
{
	static const char *const known[] = { "$2a$", "$2b$", "$2y$", "$5$",
		"$6$", "$y$", "$gy$", "$7$", "$1$", "$sha1$", "$md5" };

	for (size_t i = 0; i < HB_ARRAY_LEN(known); i++)
		if (hb_span_has_prefix_nocase(hash, hb_span_str(known[i])))
			return true;
	return hash.n == 13 && hash.p[0] != '$'; /* the traditional one */
}

static bool
is_table(const struct hb_place *at)
{
	return at->kind == HB_PLACE_USERS || at->kind == HB_PLACE_SENDERS ||
	    at->kind == HB_PLACE_ACCESS;
}

/* "HASH" or "{SCHEME}HASH", more fields behind a colon. */
static bool
is_login(struct hb_span value)
{
	struct hb_span hash = hb_span_trim(hb_span_cut(&value, ':'));
	struct hb_scram_verifier v;

	if (hb_scram_is_verifier(hash))
		return hb_scram_verifier_parse(hash, &v) == 0;
	if (hash.n > 0 && hash.p[0] == '{')
		hash = hb_span_from(hash, hb_span_find(hash, '}') + 1);
	return is_hash(hash);
}

/* The file of a list that an alias includes: its path as the router takes it,
 * which reads nothing relative to a folder of its own. */
static void
check_list(struct hb_span rest, unsigned line, FILE *out)
{
	char name[PATH_MAX], text[2 * PATH_MAX + 64];
	struct hb_buf path = HB_BUF_INIT(0), content = HB_BUF_INIT(0);
	int r;

	hb_alias_unquote(rest, &path);
	r = hb_span_copy(hb_span_trim(hb_buf_span(&path)), name, sizeof(name));
	hb_buf_free(&path);
	if (r < 0)
		return;
	if (name[0] == '/')
		r = hb_read_file(name, HB_MAX_LIST_FILE, &content);
	if (name[0] != '/')
		fprintf(out, "W %u the path of the list '%s' does not begin "
		    "with /: mail for it waits\n", line, name);
	else if (r < 0)
		fprintf(out, "W %u cannot read %s: %s: mail for it waits\n",
		    line, name, hb_file_error(r));
	else if (pd_check_writers(name, text, sizeof(text)))
		fprintf(out, "W %u %s\n", line, text);
	hb_buf_free(&content);
}

static void
check_lists(struct hb_span targets, unsigned line, FILE *out)
{
	struct hb_span mark = HB_SPAN(":include:");
	struct hb_buf target = HB_BUF_INIT(0);

	while (hb_alias_next(&targets, &target) > 0)
		if (hb_span_has_prefix_nocase(hb_buf_span(&target), mark))
			check_list(hb_span_from(hb_buf_span(&target), mark.n),
			    line, out);
	hb_buf_free(&target);
}

/* What is wrong with an entry of AT, or NULL. */
static const char *
why_not(const struct hb_place *at, struct hb_span value)
{
	if (value.n > HB_MAX_MAP_VALUE)
		return "this entry is too long and is not used";
	if (at->kind == HB_PLACE_LOGINS && !is_login(value))
		return "this password has no hash that crypt(5) knows, nor a "
		    "verifier of SCRAM-SHA-256: nobody can log in with it";
	return NULL;
}

static const char *
why_no_access(enum hb_access_fault f)
{
	static const char *const texts[] = {
		[HB_ACCESS_GOOD] = NULL,
		[HB_ACCESS_UNKNOWN] = "nobody understands this value: what "
		    "the entry is about is refused for now",
		[HB_ACCESS_IGNORED] = "this tag says something to sendmail "
		    "and nothing here",
		[HB_ACCESS_UNMET] = "this demand for TLS cannot be made here: "
		    "say it with tls-policy",
	};

	return texts[f];
}

struct lines {
	FILE *out;
	size_t warnings, mistakes;
};

static void
tell_line(struct lines *l, unsigned line, bool mistake, const char *what)
{
	size_t n = mistake ? l->mistakes++ : l->warnings++;

	if (n < LINES_TOLD)
		fprintf(l->out, "%c %u %s\n", mistake ? 'E' : 'W', line, what);
}

static void
check_entries(const struct hb_place *at, struct hb_span text, FILE *out)
{
	struct lines l = { .out = out };
	struct hb_maptext m;
	struct hb_span key, value;
	int r;

	hb_maptext_init(&m, text, is_table(at)
	    ? HB_MAPSYN_TABLE : HB_MAPSYN_ALIASES);
	while ((r = hb_maptext_next(&m, &key, &value)) != 0) {
		enum hb_access_fault f = HB_ACCESS_GOOD;
		const char *what;

		if (r < 0)
			what = is_table(at)
			    ? "this line is not 'NAME TEXT' and is not used"
			    : "this line is not 'NAME: TEXT' and is not used";
		else
			what = why_not(at, value);
		if (what == NULL && at->kind == HB_PLACE_ACCESS) {
			f = hb_access_fault(key, value);
			what = why_no_access(f);
		}
		if (what != NULL)
			tell_line(&l, m.line, f == HB_ACCESS_UNMET, what);
		else if (at->kind == HB_PLACE_ALIASES)
			check_lists(value, m.line, out);
	}
	if (l.warnings > LINES_TOLD)
		fprintf(out, "W 0 %s has %zu lines that cannot be used\n",
		    at->path, l.warnings);
	hb_maptext_free(&m);
}

/* 0 or -errno. */
static int
check_text(const struct hb_place *at, FILE *out)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int r = hb_read_file(at->path, HB_MAX_MAP_FILE, &text);

	if (r == 0 && text.n == 0)
		fprintf(out, "E 0 %s is empty: a file without entries has a "
		    "line with #\n", at->path);
	else if (r == 0)
		check_entries(at, hb_buf_span(&text), out);
	return r;
}

/* 0 or -errno. */
static int
check_db(const char *path, FILE *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r = fd < 0 || fstat(fd, &st) != 0 ? -errno : 0;

	if (r == 0 && !S_ISREG(st.st_mode))
		r = -EINVAL;
	if (r == 0 && st.st_size == 0)
		fprintf(out, "E 0 %s is empty: make it anew\n", path);
	if (fd >= 0)
		close(fd);
	return r;
}

static void HB_NORETURN
look_at_map(const struct hb_place *at, int fd)
{
	FILE *out = fdopen(fd, "w");
	char db[PATH_MAX];
	int text = -ENOENT, hash = -ENOENT;

	if (out == NULL)
		_exit(EX_OSERR);
	snprintf(db, sizeof(db), "%s.db", at->path);
	if (at->map != HB_MAP_TEXT)
		hash = check_db(db, out);
	if (at->map != HB_MAP_HASH)
		text = check_text(at, out);
	/* one of the two is enough */
	if (hash < 0 && (hash != -ENOENT || at->map == HB_MAP_HASH))
		fprintf(out, "E 0 cannot read %s: %s\n", db,
		    hb_file_error(hash));
	if (text < 0 && at->map != HB_MAP_HASH &&
	    (text != -ENOENT || hash == -ENOENT))
		fprintf(out, "E 0 cannot read %s: %s\n", at->path,
		    hb_file_error(text));
	_exit(fflush(out) == 0 ? EX_OK : EX_IOERR);
}

int
pd_check_map(const struct pd_check *how, const struct hb_conf *conf,
    enum hb_role role, const struct hb_place *at, struct hb_buf *found)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return HB_E_IO;
	pid = fork();
	if (pid == 0) {
		become(how, conf, role);
		look_at_map(at, fd[1]);
	}
	close(fd[1]);
	return hear(pid, fd[0], found);
}

/* --- programs of roles --- */

static void HB_NORETURN
run_program(const struct pd_check *how, enum hb_role role,
    const char *const words[2], int in, int out)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/hauberk-%s", how->libexec,
	    hb_role_name(role));
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(EX_OSERR);
	execl(path, path, words[0], words[1], (char *)NULL);
	_exit(EX_OSFILE);
}

/* Asks the program of ROLE, with these two WORDS, about INPUT. */
static int
ask_program(const struct pd_check *how, const struct hb_conf *conf,
    enum hb_role role, const char *const words[2], struct hb_span input,
    struct hb_buf *found)
{
	int in = memfd_create("input", MFD_CLOEXEC), fd[2];
	pid_t pid;

	if (in < 0)
		return HB_E_IO;
	if (hb_write_all(in, input) < 0 ||
	    lseek(in, 0, SEEK_SET) != 0 || pipe2(fd, O_CLOEXEC) != 0) {
		close(in);
		return HB_E_IO;
	}
	pid = fork();
	if (pid == 0) {
		become(how, conf, role);
		run_program(how, role, words, in, fd[1]);
	}
	close(in);
	close(fd[1]);
	return hear(pid, fd[0], found);
}

int
pd_check_pem(const struct pd_check *how, const struct hb_conf *conf,
    const char *what, struct hb_span pem, struct hb_buf *found)
{
	return ask_program(how, conf, HB_ROLE_KEYAGENT,
	    (const char *const[]){ "-c", what }, pem, found);
}

int
pd_check_root(const struct pd_check *how, const struct hb_conf *conf,
    struct hb_buf *found)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int r;

	hb_conf_dump(conf, &text);
	r = ask_program(how, conf, HB_ROLE_ROUTER, (const char *const[]){ "-r",
	    how->privileged ? "accounts" : "alone" }, hb_buf_span(&text),
	    found);
	hb_buf_free(&text);
	return r;
}
