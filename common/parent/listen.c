/* Listening sockets: bound here, kept here, shared with each listener
 * process.  Floor 4. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/parent/parent.h"
#include "common/io/sock.h"

static bool
same_place(const struct hb_listen *a, const struct hb_listen *b)
{
	return a->any == b->any && a->addr.port == b->addr.port &&
	    (a->any || hb_netaddr_eq(&a->addr, &b->addr));
}

static const struct pd_listener *
find(const struct pd_listeners *l, const struct hb_listen *spec)
{
	for (size_t i = 0; l != NULL && i < l->n; i++)
		if (l->v[i].n > 0 && same_place(&l->v[i].spec, spec))
			return &l->v[i];
	return NULL;
}

/* "*": both families; a system without IPv6 listens on IPv4 alone. */
static int
open_any(const struct hb_listen *spec, struct pd_listener *out)
{
	struct hb_netaddr a = { .family = 4, .port = spec->addr.port };
	int fd = hb_sock_listen(&a);

	if (fd < 0)
		return fd;
	out->fd[out->n++] = fd;
	a.family = 6;
	fd = hb_sock_listen(&a);
	if (fd >= 0)
		out->fd[out->n++] = fd;
	else if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
		return fd;
	return 0;
}

static int
open_one(const struct hb_listen *spec, struct pd_listener *out)
{
	int fd;

	if (spec->any)
		return open_any(spec, out);
	fd = hb_sock_listen(&spec->addr);
	if (fd < 0)
		return fd;
	out->fd[out->n++] = fd;
	return 0;
}

static int
cannot(const struct hb_listen *spec, int error, struct hb_buf *err)
{
	char text[HB_NETADDR_TEXT];

	if (spec->any)
		hb_buf_addf(err, "cannot listen on *:%u: %s",
		    (unsigned)spec->addr.port, strerror(-error));
	else {
		hb_netaddr_format_port(&spec->addr, text);
		hb_buf_addf(err, "cannot listen on %s: %s", text,
		    strerror(-error));
	}
	return error == -EACCES ? EX_NOPERM : EX_OSERR;
}

int
pd_listen(const struct hb_conf *conf, const struct pd_listeners *have,
    struct pd_listeners *out, struct hb_buf *err)
{
	const struct hb_listens *want = &conf->listens;

	*out = (struct pd_listeners){ .n = want->n,
		.v = hb_calloc(want->n + 1, sizeof(struct pd_listener)) };
	for (size_t i = 0; i < want->n; i++) {
		const struct pd_listener *old = find(have, &want->v[i]);
		struct pd_listener *l = &out->v[i];
		bool twice = find(out, &want->v[i]) != NULL;
		int r = 0;

		if (old != NULL && !twice)
			*l = *old;
		l->spec = want->v[i];
		l->spec.proxies = (struct hb_cidrs){ 0 };
		if (twice)
			r = -EADDRINUSE;
		else if (old == NULL)
			r = open_one(&want->v[i], l);
		if (r < 0) {
			pd_listen_close(out, have);
			return cannot(&want->v[i], r, err);
		}
	}
	return 0;
}

static bool
shares(const struct pd_listeners *l, int fd)
{
	for (size_t i = 0; l != NULL && i < l->n; i++)
		for (size_t k = 0; k < l->v[i].n; k++)
			if (l->v[i].fd[k] == fd)
				return true;
	return false;
}

void
pd_listen_close(struct pd_listeners *l, const struct pd_listeners *keep)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->v[i].n; k++)
			if (!shares(keep, l->v[i].fd[k]))
				close(l->v[i].fd[k]);
	free(l->v);
	*l = (struct pd_listeners){ 0 };
}
