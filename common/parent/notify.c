/* Notifying systemd, sd_notify(3) without its library.  Floor 4. */
#include "config.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/parent/parent.h"

void
pd_notify(const char *state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct hb_span path = hb_span_str(getenv("NOTIFY_SOCKET"));
	int fd;

	if (path.n < 2 || path.n >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path.p, path.n);
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&un,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n));
	close(fd);
}
