/* Maildir.  Floor 3, blocking. */
#include "config.h"

#include "delivery/local_box-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

/* Makes PATH and the folders above it; those that are there stay as they
 * are.  0 or -errno. */
static int
make_folders(const char *path)
{
	char *copy = hb_strdup(path);
	int r = 0;

	for (char *p = copy + 1; r == 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			r = -errno;
		*p = c;
		if (c == '\0')
			break;
	}
	free(copy);
	return r;
}

static int
make_maildir(const char *path)
{
	static const char *const subs[] = { "tmp", "new", "cur" };
	struct hb_buf b = HB_BUF_INIT(0);
	int r = 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(subs) && r == 0; i++) {
		hb_buf_clear(&b);
		hb_buf_addf(&b, "%s/%s%c", path, subs[i], '\0');
		if (mkdir((char *)b.p, 0700) == 0 || errno == EEXIST)
			continue;
		r = make_folders((char *)b.p);
	}
	hb_buf_free(&b);
	return r;
}

static int
flush_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		r = -errno;
	close(fd);
	return r;
}

/* Writes and flushes tmp/NAME.  0 or -errno, nothing left behind. */
static int
write_tmp(const struct local_message *m, const char *tmp)
{
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = local_write(fd, m, HB_SPAN_NONE, false);
	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (close(fd) != 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlink(tmp);
	return r;
}

static int
deliver_maildir(const struct local_message *m, const char *path)
{
	struct hb_buf name = HB_BUF_INIT(0), tmp = HB_BUF_INIT(0),
		      new = HB_BUF_INIT(0);
	uint64_t random;
	int r = make_maildir(path);

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		r = -EIO;
	local_unique(local_clock_us(), (int)getpid(), random, m->hostname, &name);
	hb_buf_addf(&tmp, "%s/tmp/%.*s%c", path, HB_SPAN_ARG(hb_buf_span(&name)),
	    '\0');
	hb_buf_addf(&new, "%s/new/%.*s%c", path, HB_SPAN_ARG(hb_buf_span(&name)),
	    '\0');
	if (r == 0)
		r = write_tmp(m, (char *)tmp.p);
	if (r == 0 && rename((char *)tmp.p, (char *)new.p) != 0) {
		r = -errno;
		unlink((char *)tmp.p);
	}
	if (r == 0) {
		hb_buf_clear(&new);
		hb_buf_addf(&new, "%s/new%c", path, '\0');
		r = flush_folder((char *)new.p);
	}
	hb_buf_free(&name);
	hb_buf_free(&tmp);
	hb_buf_free(&new);
	return r;
}

void
local_maildir(const struct local_message *m, const char *path,
    struct hb_outcome *out, struct hb_buf *text)
{
	int r = deliver_maildir(m, path);

	if (r < 0)
		local_trouble(out, text, path, -r);
	else
		local_delivered(out, text, "maildir");
}
