/* Addresses to and from struct sockaddr.  Floor 3. */
#include "config.h"

#include "common/io/sock.h"

#include <netinet/in.h>
#include <string.h>

static socklen_t
from_v4(const struct hb_netaddr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };

	sin.sin_port = htons(a->port);
	memcpy(&sin.sin_addr, a->b, 4);
	memcpy(out, &sin, sizeof(sin));
	return sizeof(sin);
}

static socklen_t
from_v6(const struct hb_netaddr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

	sin6.sin6_port = htons(a->port);
	memcpy(&sin6.sin6_addr, a->b, 16);
	memcpy(out, &sin6, sizeof(sin6));
	return sizeof(sin6);
}

socklen_t
hb_sock_from_netaddr(const struct hb_netaddr *a, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->family == 4)
		return from_v4(a, out);
	return a->family == 6 ? from_v6(a, out) : 0;
}

bool
hb_sock_to_netaddr(
    const struct sockaddr_storage *sa, socklen_t len, struct hb_netaddr *out)
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	memset(out, 0, sizeof(*out));
	if (len >= sizeof(sin) && sa->ss_family == AF_INET) {
		memcpy(&sin, sa, sizeof(sin));
		out->family = 4;
		out->port = ntohs(sin.sin_port);
		memcpy(out->b, &sin.sin_addr, 4);
		return true;
	}
	if (len >= sizeof(sin6) && sa->ss_family == AF_INET6) {
		memcpy(&sin6, sa, sizeof(sin6));
		out->family = 6;
		out->port = ntohs(sin6.sin6_port);
		memcpy(out->b, &sin6.sin6_addr, 16);
		return true;
	}
	return false;
}
