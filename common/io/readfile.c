/* Reading files that the operator names.  Floor 3. */
#include "config.h"

#include "common/io/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 65536 };

int
hb_read_all(int fd, size_t most, struct hb_buf *content)
{
	for (;;) {
		unsigned char *room;
		ssize_t r;

		if (hb_buf_reserve(content, PIECE, &room) != 0)
			return -EFBIG;
		r = read(fd, room, PIECE);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r == 0 ? 0 : -errno;
		hb_buf_added(content, (size_t)r);
		if (content->n > most)
			return -EFBIG;
	}
}

int
hb_read_fd(int fd, size_t most, struct hb_buf *content)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	return hb_read_all(fd, most, content);
}

int
hb_read_file(const char *path, size_t most, struct hb_buf *content)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

	if (fd < 0)
		return -errno;
	r = hb_read_fd(fd, most, content);
	close(fd);
	return r;
}
