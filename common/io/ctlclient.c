/* Requests to the daemon.  Floor 3. */
#include "config.h"

#include "common/io/ctlclient.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/conf_load.h"
#include "common/io/file.h"

enum { END_WAIT_MS = 15000, READ_SIZE = 65536 };

char *
ctl_socket_of(const char *file)
{
	struct hb_buf text = HB_BUF_INIT(0), path = HB_BUF_INIT(0);
	struct hb_conf *conf;

	if (hb_read_file(file, HB_MAX_LOADED_FILE, &text) < 0)
		hb_buf_clear(&text);
	conf = pd_conf_peek(file, hb_buf_span(&text));
	hb_buf_addf(&path, "%s/control.sock", conf->run_dir);
	hb_conf_free(&conf);
	hb_buf_free(&text);
	return hb_buf_cstr(&path);
}

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, saved;

	if (hb_span_copy(hb_span_str(path), sun.sun_path,
		sizeof(sun.sun_path)) < 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool
write_all(int fd, struct hb_span s)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		s = hb_span_from(s, (size_t)n);
	}
	return true;
}

/* Prints a piece.  The exit code, or -1 while more follows. */
static int
take_piece(const struct hb_ctl_piece *p, FILE *out)
{
	FILE *to = p->kind == HB_CTL_OUT ? out : stderr;

	if (p->kind == HB_CTL_EXIT)
		return (int)p->exit_code;
	if (p->bytes.n > 0 && fwrite(p->bytes.p, 1, p->bytes.n, to) == 0)
		return EX_IOERR;
	return -1;
}

/* INPUT in pieces, and their end. */
static bool
send_input(int fd, FILE *input)
{
	struct hb_buf out = HB_BUF_INIT(0);
	char part[HB_CTL_PIECE];
	bool good = true;
	size_t n;

	while (good && (n = fread(part, 1, sizeof(part), input)) > 0) {
		hb_ctl_piece_put(HB_CTL_OUT, hb_span(part, n), &out);
		good = write_all(fd, hb_buf_span(&out));
		hb_buf_clear(&out);
	}
	hb_ctl_exit_put(EX_OK, &out);
	good = good && write_all(fd, hb_buf_span(&out));
	hb_buf_free(&out);
	return good;
}

/* The whole answer: its exit code, or a negative error. */
static int
read_answer(int fd, FILE *out)
{
	struct hb_buf in = HB_BUF_INIT(0);
	int code = -1;

	while (code < 0) {
		struct hb_ctl_piece piece;
		unsigned char *room;
		ssize_t n;
		int used = hb_ctl_piece_parse(hb_buf_span(&in), &piece);

		if (used > 0) {
			code = take_piece(&piece, out);
			hb_buf_consume(&in, (size_t)used);
			continue;
		}
		if (used < 0 || hb_buf_reserve(&in, READ_SIZE, &room) < 0)
			break;
		n = read(fd, room, READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		hb_buf_added(&in, (size_t)n);
	}
	hb_buf_free(&in);
	return code >= 0 ? code : HB_E_CLOSED;
}

/* The process that made the socket, as a descriptor; -1: not to be had. */
static int
daemon_of(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 ||
	    who.pid <= 0)
		return -1;
	return pidfd_open(who.pid, 0);
}

static int
wait_for_end(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int r;

	if (pidfd < 0)
		return 0;
	while ((r = poll(&p, 1, END_WAIT_MS)) < 0 && errno == EINTR)
		continue;
	if (r > 0)
		return 0;
	fprintf(stderr, "the server has not ended yet\n");
	return 1;
}

/* Where nobody listens, nothing is wrong with a file. */
static void
tell_unreachable(const char *socket, int error)
{
	bool down = error == ENOENT || error == ECONNREFUSED;

	fprintf(stderr, "%s%s: %s\n",
	    down ? "the server is not running, or has another socket: " : "",
	    socket, strerror(error));
}

int
ctl_ask_daemon(const char *socket, const struct hb_ctl_question *q,
    FILE *input, FILE *to, bool wait_end)
{
	struct hb_buf out = HB_BUF_INIT(0);
	int fd = connect_to(socket), pidfd = -1, code = HB_E_CLOSED;

	if (fd < 0) {
		tell_unreachable(socket, errno);
		return EX_UNAVAILABLE;
	}
	if (hb_ctl_question_put(q, &out) < 0) {
		fprintf(stderr, "the command is too long\n");
		close(fd);
		return EX_USAGE;
	}
	if (wait_end)
		pidfd = daemon_of(fd);
	if (write_all(fd, hb_buf_span(&out))) {
		/* what is not taken any more was answered already */
		if (input != NULL)
			(void)send_input(fd, input);
		code = read_answer(fd, to);
		if (code == EX_OK && input != NULL && ferror(input)) {
			fprintf(stderr, "the file could not be read\n");
			code = EX_NOINPUT;
		}
	}
	hb_buf_free(&out);
	if (wait_end && code <= 0)
		code = wait_for_end(pidfd);
	close(fd);
	if (pidfd >= 0)
		close(pidfd);
	if (code >= 0 && fflush(to) != 0)
		return EX_IOERR;
	if (code < 0)
		fprintf(stderr, "the server closed the connection\n");
	return code < 0 ? EX_UNAVAILABLE : code;
}
