/* Sockets and addresses.  Floor 3. */
#include "config.h"

#include "common/io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel cuts it to net.core.somaxconn. */
enum { BACKLOG = 4096 };

socklen_t
hb_sock_from_netaddr(const struct hb_netaddr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET };

		in.sin_port = htons(a->port);
		memcpy(&in.sin_addr, a->b, sizeof(in.sin_addr));
		memcpy(ss, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == 6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

		in6.sin6_port = htons(a->port);
		memcpy(&in6.sin6_addr, a->b, sizeof(in6.sin6_addr));
		memcpy(ss, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

static void
from_in6(const struct sockaddr_in6 *in6, struct hb_netaddr *out)
{
	const unsigned char *b = in6->sin6_addr.s6_addr;

	out->port = ntohs(in6->sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		out->family = 4;
		memcpy(out->b, b + 12, 4);
	} else {
		out->family = 6;
		memcpy(out->b, b, 16);
	}
}

bool
hb_sock_to_netaddr(const struct sockaddr_storage *ss, socklen_t len,
    struct hb_netaddr *out)
{
	memset(out, 0, sizeof(*out));
	if (ss->ss_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in in;

		memcpy(&in, ss, sizeof(in));
		out->family = 4;
		out->port = ntohs(in.sin_port);
		memcpy(out->b, &in.sin_addr, 4);
		return true;
	}
	if (ss->ss_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 in6;

		memcpy(&in6, ss, sizeof(in6));
		from_in6(&in6, out);
		return true;
	}
	return false;
}

bool
hb_sock_of_interface(const struct sockaddr *sa, struct hb_netaddr *out)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	size_t len = sa == NULL		      ? 0
	    : sa->sa_family == AF_INET	      ? sizeof(struct sockaddr_in)
	    : sa->sa_family == AF_INET6	      ? sizeof(struct sockaddr_in6)
					      : 0;

	if (len > 0)
		memcpy(&ss, sa, len);
	return hb_sock_to_netaddr(&ss, (socklen_t)len, out);
}

int
hb_sock_stream(const struct hb_netaddr *like)
{
	int fd = socket(like->family == 6 ? AF_INET6 : AF_INET,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 ? fd : -errno;
}

static int
bind_and_listen(int fd, const struct sockaddr *sa, socklen_t len)
{
	if (bind(fd, sa, len) != 0 || listen(fd, BACKLOG) != 0)
		return -errno;
	return 0;
}

/* Returns R when it is 0: FD; otherwise closes FD. */
static int
done_or_close(int fd, int r)
{
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int
hb_sock_listen(const struct hb_netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = hb_sock_from_netaddr(a, &ss);
	int on = 1, fd = hb_sock_stream(a);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (a->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on,
		sizeof(on)) != 0))
		return done_or_close(fd, -errno);
	return done_or_close(fd,
	    bind_and_listen(fd, (struct sockaddr *)&ss, len));
}

static int
unix_address(const char *path, struct sockaddr_un *un)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return hb_span_copy(hb_span_str(path), un->sun_path,
		   sizeof(un->sun_path)) == 0 ? 0 : -ENAMETOOLONG;
}

int
hb_sock_unix_connect(const char *path, int type)
{
	struct sockaddr_un un;
	int r = unix_address(path, &un), fd;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 ? 0 : -errno;
	return done_or_close(fd, r);
}

int
hb_sock_unix_listen(const char *path, unsigned mode)
{
	struct sockaddr_un un;
	int r = unix_address(path, &un), fd;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (unlink(path) != 0 && errno != ENOENT)
		return done_or_close(fd, -errno);
	r = bind_and_listen(fd, (struct sockaddr *)&un, sizeof(un));
	if (r == 0 && chmod(path, (mode_t)mode) != 0)
		r = -errno;
	return done_or_close(fd, r);
}

int
hb_sock_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		   0, fd) == 0 ? 0 : -errno;
}

int
hb_sock_set_nonblock(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) != 0)
		return -errno;
	return 0;
}

void
hb_sock_set_nodelay(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}
