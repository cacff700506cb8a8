/*
 * hauberk-submit: leaves one message in maildrop/, durably.  Floor 4.  Any user
 * may run it with the rights of the group of maildrop/ (setgid), so it trusts
 * nothing: not its environment, descriptors, limits, arguments, nor the record
 * on its input.
 *
 * Where the spool is.  The configuration at its built-in path is the
 * administrator's.  Another FILE (-C) is trusted only if it belongs to root and
 * only root may write it.  For any other file the group's rights are dropped
 * for good before it is opened: the caller then writes only what the caller may
 * write anyway, which is enough for unprivileged servers and tests.  With the
 * group's rights only a folder of that very group is written to, so that a FILE
 * of root's that happens to parse leads nowhere else.
 *
 * The envelope's user comes from the real uid; the record's own claims about
 * it, the id and the time of arrival are dropped.
 *
 * The file is written under a name with a dot, flushed and renamed, and the
 * name is flushed: through the folder if it may be opened, and through the file
 * once more, which carries its own rename on ext4, XFS and Btrfs.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/hash.h"
#include "common/io/conf_load.h"
#include "common/proto/intake.h"
#include "common/io/file.h"
#include "common/proto/maildrop.h"
#include "common/proto/wire.h"

enum {
	BLOCK = 65536,
	NAME_BYTES = 64,
	KEEP_BYTES = 4 << 20, /* left for what is not local */
	KEEP_FILES = 20, /* one of so many */
	/* sizes of files: to 64 KiB, 1 MiB, 16 MiB, and above */
	SMALLEST = 1 << 16,
	CLASS_STEP = 16,
	LAST_CLASS = 3,
	FEWEST = 4 /* of the largest, however large */
};

struct submit {
	uint64_t max_size;
	size_t max_rcpts;
	struct hb_arena *arena;	  /* what is looked at */
	struct hb_drop_head head; /* as the caller says */
	struct hb_buf record;	  /* envelope and recipients */
	struct hb_buf env;	  /* envelope with our stamp */
	uint32_t crc_in, crc_out;
	struct hb_wire wire; /* of the body so far */
	int dir, fd;
	char tmp[NAME_BYTES + 1], name[NAME_BYTES];
};

static void HB_NORETURN HB_PRINTF(2, 3)
fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "hauberk-submit: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(code);
}

static void
sane_process(void)
{
	static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGHUP, SIGINT,
		SIGQUIT, SIGTERM, SIGALRM };
	sigset_t none;

	/* A caller may have closed what we would then open a file as. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", O_RDWR) != fd)
			_exit(EX_OSERR);
	close_range(3, ~0u, 0);
	clearenv();
	umask(0);
	for (size_t i = 0; i < HB_ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") != 0)
		fail(EX_OSERR, "cannot change to /");
}

static bool
is_setgid(void)
{
	return getegid() != getgid();
}

/* Does the owner of a file say nothing of who wrote it?  In /proc the command
 * line of a set-id process is root's, and it is the caller's words. */
static bool
is_made_up(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) != 0 || s.f_type == PROC_SUPER_MAGIC ||
	    s.f_type == FUSE_SUPER_MAGIC;
}

/* Only root can have written it. */
static bool
is_roots(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
	    (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && !is_made_up(fd);
}

/* What was looked at is what is read: one descriptor.  Group rights are gone
 * afterwards, unless FILE is to be believed. */
static void
read_conf(const char *file, struct hb_buf *text)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open(file, flags), r;

	if (is_setgid() && (fd < 0 || !is_roots(fd))) {
		gid_t own = getgid();

		if (setresgid(own, own, own) != 0 || getegid() != own)
			fail(EX_OSERR, "cannot give up the group");
		if (fd >= 0)
			close(fd);
		fd = open(file, flags);
	}
	r = fd < 0 ? -errno : hb_read_fd(fd, HB_MAX_LOADED_FILE, text);
	if (r < 0)
		fail(EX_CONFIG, "%s: %s", file, strerror(-r));
	close(fd);
}

/* The spool's folder maildrop/, owned; and the limits. */
static char *
maildrop_of(const char *file, struct submit *s)
{
	struct hb_buf text = HB_BUF_INIT(0), path = HB_BUF_INIT(0);
	struct hb_conf *conf;

	read_conf(file, &text);
	conf = pd_conf_peek(file, hb_buf_span(&text));
	hb_buf_addf(&path, "%s/maildrop", conf->spool);
	s->max_size = conf->max_message_size;
	s->max_rcpts = conf->max_recipients;
	hb_conf_free(&conf);
	hb_buf_free(&text);
	return hb_buf_cstr(&path);
}

/* By path alone: the group may enter and write the folder, not read it. */
static int
open_maildrop(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		fail(EX_CANTCREAT, "%s: %s", path, strerror(errno));
	if (is_setgid() && st.st_gid != getegid())
		fail(EX_CONFIG, "%s: does not belong to this program's group",
		    path);
	return fd;
}

/* --- input --- */

static void
read_all(void *dst, size_t n)
{
	if (hb_read_some(STDIN_FILENO, dst, n) != (ssize_t)n)
		fail(EX_DATAERR, "the record is cut short");
}

static void
read_head(struct submit *s)
{
	unsigned char head[HB_DROP_HEAD];
	int r;

	read_all(head, sizeof(head));
	r = hb_drop_head_parse(hb_span(head, sizeof(head)), &s->head);
	if (r < 0)
		fail(EX_DATAERR, "bad record: %s", hb_strerror(r));
}

static void
read_record(struct submit *s)
{
	size_t n = (size_t)s->head.env_n + s->head.rcpts_n;
	unsigned char *room;

	if (hb_buf_reserve(&s->record, n, &room) < 0)
		fail(EX_OSERR, "out of memory");
	read_all(room, n);
	hb_buf_added(&s->record, n);
	s->crc_in = hb_crc32c(0, hb_buf_span(&s->record));
}

static struct hb_span
recipients(const struct submit *s)
{
	return hb_span_from(hb_buf_span(&s->record), s->head.env_n);
}

static void
check_recipients(const struct submit *s)
{
	struct hb_span rest = recipients(s);
	struct hb_rcpt rcpt, clean;
	size_t n = 0;
	int r;

	while ((r = hb_drop_rcpt(&rest, &rcpt)) > 0) {
		if (++n > s->max_rcpts)
			fail(EX_UNAVAILABLE, "more than %zu recipients",
			    s->max_rcpts);
		r = hb_intake_rcpt(&rcpt, s->arena, &clean);
		if (r < 0)
			break;
	}
	if (r < 0)
		fail(EX_DATAERR, "bad recipient: %s", hb_strerror(r));
	if (n == 0)
		fail(EX_USAGE, "no recipient");
}

/* Who it is from is not the caller's to say. */
static void
stamp(struct submit *s)
{
	struct hb_env env;
	char user[32];
	int r = hb_drop_env(hb_span_head(hb_buf_span(&s->record),
				s->head.env_n), &env);

	if (r == 0)
		r = hb_intake_env(&env, s->arena);
	if (r < 0)
		fail(EX_DATAERR, "bad envelope: %s", hb_strerror(r));
	snprintf(user, sizeof(user), "uid:%u", (unsigned)getuid());
	env.user = hb_span_str(user);
	env.id = env.parent = 0;
	env.arrived_ms = 0;
	env.size = s->head.body_n;
	if (hb_tlv_encode(&hb_env_record, &env, &s->env) < 0)
		fail(EX_DATAERR, "the envelope is too long");
}

/* --- output --- */

static void HB_NORETURN
fail_writing(const struct submit *s, const char *what)
{
	int saved = errno;

	(void)unlinkat(s->dir, s->tmp, 0);
	fail(saved == ENOSPC || saved == EDQUOT || saved == EIO ||
		saved == EFBIG ? EX_TEMPFAIL : EX_CANTCREAT, "%s: %s", what,
	    strerror(saved));
}

/* The disk is full of local mail before it is full for others.  N: bytes that
 * are still to be written. */
static bool
has_room(const struct submit *s, uint64_t n)
{
	struct statvfs v;

	return fstatvfs(s->dir, &v) != 0 ||
	    ((uint64_t)v.f_bavail * v.f_frsize >= KEEP_BYTES + n &&
		v.f_favail >= v.f_files / KEEP_FILES);
}

/* Many may have found room at the same time. */
static void
check_room(const struct submit *s, uint64_t n)
{
	if (has_room(s, n))
		return;
	if (s->fd >= 0)
		(void)unlinkat(s->dir, s->tmp, 0);
	fail(EX_TEMPFAIL, "there is no room for the message now");
}

/* The bytes that a file of N may have, and how many such of one user may
 * wait; the last size is all that is larger. */
static unsigned
size_class(const struct submit *s, uint64_t n, uint64_t *files)
{
	uint64_t most = SMALLEST;
	unsigned class = 0;

	while (most < n && class < LAST_CLASS) {
		most *= CLASS_STEP;
		class++;
	}
	if (most < n)
		most = s->max_size;
	*files = most < HB_MAX_WAITING_OCTETS / FEWEST
	    ? HB_MAX_WAITING_OCTETS / most : FEWEST;
	return class;
}

/* The queue reads it as "others": the folder keeps all others out.  False:
 * another has the name, as what it writes or as what waits. */
static bool
create(struct submit *s)
{
	struct stat st;

	s->fd = openat(s->dir, s->tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0604);
	if (s->fd < 0 && errno == EEXIST)
		return false;
	if (s->fd < 0)
		fail(errno == ENOSPC || errno == EDQUOT ? EX_TEMPFAIL
							: EX_CANTCREAT,
		    "maildrop: %s", strerror(errno));
	/* while it is held the file is not taken for a dead one's */
	(void)flock(s->fd, LOCK_EX | LOCK_NB);
	if (fstatat(s->dir, s->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return true;
	close(s->fd);
	s->fd = -1;
	(void)unlinkat(s->dir, s->tmp, 0);
	return false;
}

/*
 * Each user has so many names for each size of file, and what waits keeps its
 * name: so nobody fills the disk of all, though the folder cannot be read from
 * here, and no count has to be kept.
 */
static void
take_name(struct submit *s)
{
	uint64_t files, r = 0, n = HB_DROP_HEAD + s->env.n +
	    s->head.rcpts_n + s->head.body_n;
	unsigned class = size_class(s, n, &files);

	if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		fail(EX_OSERR, "no random bytes");
	for (uint64_t i = 0; i < files; i++) {
		snprintf(s->name, sizeof(s->name), "%x.%u.%x",
		    (unsigned)getuid(), class,
		    (unsigned)((r % files + i) % files));
		snprintf(s->tmp, sizeof(s->tmp), ".%s", s->name);
		if (create(s))
			return;
	}
	fail(EX_TEMPFAIL, "%llu of your messages of this size wait already; "
	    "try again later", (unsigned long long)files);
}

static void
put(struct submit *s, struct hb_span b)
{
	int r = hb_write_all(s->fd, b);

	errno = -r;
	if (r < 0)
		fail_writing(s, "maildrop");
}

/* Nothing is left of what is refused. */
static void HB_NORETURN
refuse_data(const struct submit *s, const char *why)
{
	(void)unlinkat(s->dir, s->tmp, 0);
	fail(EX_DATAERR, "%s", why);
}

static void
check_wire(const struct submit *s, unsigned seen)
{
	if ((seen & HB_WIRE_FAULTS) != 0)
		refuse_data(s, hb_wire_fault(seen));
}

static void
copy_body(struct submit *s)
{
	static unsigned char block[BLOCK];
	uint64_t left = s->head.body_n;

	while (left > 0) {
		size_t want = left < BLOCK ? (size_t)left : BLOCK;
		ssize_t n = hb_read_some(STDIN_FILENO, block, want);
		struct hb_span got = hb_span(block, want);

		if (n != (ssize_t)want)
			refuse_data(s, "the record is cut short");
		check_room(s, left);
		check_wire(s, hb_wire_feed(&s->wire, got));
		s->crc_in = hb_crc32c(s->crc_in, got);
		s->crc_out = hb_crc32c(s->crc_out, got);
		put(s, got);
		left -= got.n;
	}
}

static void
write_file(struct submit *s)
{
	struct hb_drop_head head = { .env_n = (uint32_t)s->env.n,
		.rcpts_n = s->head.rcpts_n, .body_n = s->head.body_n };
	static const unsigned char zero[HB_DROP_HEAD];
	struct hb_buf bytes = HB_BUF_INIT(0);
	char more;

	put(s, hb_span(zero, sizeof(zero)));
	put(s, hb_buf_span(&s->env));
	put(s, recipients(s));
	s->crc_out = hb_crc32c(hb_crc32c(0, hb_buf_span(&s->env)),
	    recipients(s));
	copy_body(s);
	if (s->crc_in != s->head.crc || read(STDIN_FILENO, &more, 1) != 0)
		refuse_data(s, "the record is damaged");
	check_wire(s, hb_wire_end(&s->wire));
	head.crc = s->crc_out;
	hb_drop_head_put(&head, &bytes);
	if (pwrite(s->fd, bytes.p + bytes.off, bytes.n, 0) !=
	    (ssize_t)bytes.n)
		fail_writing(s, "maildrop");
	hb_buf_free(&bytes);
}

static void
make_durable(struct submit *s, const char *path)
{
	int dir;

	if (fdatasync(s->fd) != 0 ||
	    renameat(s->dir, s->tmp, s->dir, s->name) != 0)
		fail_writing(s, "maildrop");
	/* a folder that we may only write to: the file's flush takes its new
	 * name along, as far as there is a journal */
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fsync(dir >= 0 ? dir : s->fd) != 0) {
		(void)unlinkat(s->dir, s->name, 0);
		fail_writing(s, "maildrop");
	}
}

int
main(int argc, char **argv)
{
	static struct submit s;
	const char *file = HB_CONF_FILE;
	char *path;

	if (argc == 3 && hb_span_eq(hb_span_str(argv[1]), HB_SPAN("-C")) &&
	    argv[2][0] == '/')
		file = argv[2];
	else if (argc != 1)
		fail(EX_USAGE, "usage: hauberk-submit [-C /FILE]");
	sane_process();
	s.record = s.env = HB_BUF_INIT(0);
	hb_wire_init(&s.wire);
	s.arena = hb_arena_new();
	path = maildrop_of(file, &s);
	s.dir = open_maildrop(path);
	read_head(&s);
	if (s.head.body_n > s.max_size)
		fail(EX_UNAVAILABLE, "the message is larger than %llu bytes",
		    (unsigned long long)s.max_size);
	read_record(&s);
	check_recipients(&s);
	stamp(&s);
	s.fd = -1;
	check_room(&s, s.head.body_n);
	take_name(&s);
	write_file(&s);
	make_durable(&s, path);
	printf("ok %s\n", s.name);
	hb_arena_free(&s.arena);
	free(path);
	return EX_OK;
}
