/*
 * hauberk-control: answers hauberkctl, mailq and the like.  Floor 4.  Peer
 * credentials decide who may ask what; this process formats the answers.
 */
#include "config.h"

#include "common/control/control.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLIENTS_MAX = 128,	/* of which root and the server's account keep */
	STRANGERS_MAX = 64,	/* this many free */
	STRANGER_MAX = 8,	/* of one user */
	STOP_MS = 900		/* to write the last answers */
};

static size_t
count_strangers(const struct ctl *ctl, const struct ctl_client *of)
{
	const struct ctl_client *c;
	size_t n = 0;

	TAILQ_FOREACH(c, &ctl->clients, link)
		n += !c->owner && (of == NULL || c->uid == of->uid);
	return n;
}

/* The newest client may be one too many. */
static void
limit_clients(struct ctl *ctl)
{
	struct ctl_client *last = TAILQ_LAST(&ctl->clients, ctl_clients);

	if (ctl->nclients > CLIENTS_MAX ||
	    (!last->owner && (count_strangers(ctl, NULL) > STRANGERS_MAX ||
		count_strangers(ctl, last) > STRANGER_MAX)))
		ctl_client_free(&last);
}

static void
on_connect(void *ctx, unsigned what)
{
	struct ctl *ctl = ctx;
	int fd;

	while ((fd = accept4(ctl->listen_fd, NULL, NULL,
		    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		ctl_client_new(ctl, fd);
		limit_clients(ctl);
	}
}

void
ctl_on_listen(struct ctl *ctl, struct hb_peer *p, const struct ipc_listen *m,
    int fd)
{
	hb_io_free(&ctl->listen_io);
	if (ctl->listen_fd >= 0)
		close(ctl->listen_fd);
	ctl->listen_fd = fd;
	ctl->listen_io = hb_io_new(ctl->env->loop, fd, on_connect, ctl);
	hb_io_want(ctl->listen_io, HB_IO_READ);
}

void
ctl_on_logread(struct ctl *ctl, struct hb_peer *p,
    const struct ipc_logread *m, int fd)
{
	if (ctl->log_fd >= 0)
		close(ctl->log_fd);
	ctl->log_fd = fd;
}

static void
on_peer(struct hb_role_env *env, struct hb_peer *p)
{
	struct ctl *ctl = env->ctx;

	if (ctl->npeers < CTL_PEERS_MAX)
		ctl->peers[ctl->npeers++] = p;
}

static void
on_peer_lost(struct hb_role_env *env, struct hb_peer *p)
{
	struct ctl *ctl = env->ctx;
	size_t i = 0;

	while (i < ctl->npeers && ctl->peers[i] != p)
		i++;
	if (i < ctl->npeers)
		ctl->peers[i] = ctl->peers[--ctl->npeers];
	ctl_peer_lost(ctl, p);
}

/* Those who asked for the stop have their answer; it must still be read. */
static void
end_when_written(void *ctx)
{
	struct ctl *ctl = ctx;
	const struct ctl_client *c;
	bool busy = false;

	TAILQ_FOREACH(c, &ctl->clients, link)
		busy = busy || c->out.n > 0;
	if (!busy || hb_mono_ms() >= ctl->stop_at_ms)
		hb_role_exit(ctl->env);
	else
		hb_timer_set(ctl->stop_timer, 10);
}

static void
on_stop(struct hb_role_env *env)
{
	struct ctl *ctl = env->ctx;

	hb_io_free(&ctl->listen_io);
	ctl->stop_at_ms = hb_mono_ms() + STOP_MS;
	hb_timer_set(ctl->stop_timer, 0);
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct ctl *ctl = HB_NEW(struct ctl);

	ctl->env = env;
	ctl->listen_fd = ctl->log_fd = -1;
	TAILQ_INIT(&ctl->clients);
	TAILQ_INIT(&ctl->asks);
	ctl->stop_timer = hb_timer_new(env->loop, end_when_written, ctl);
	/* chosen now: later the sandbox refuses to read /dev/urandom */
	json_object_seed(0);
	env->ctx = ctl;
	return 0;
}

static const struct hb_role_spec spec = {
	.role = HB_ROLE_CONTROL,
	.on = ctl_on_frame,
	.setup = setup,
	.on_peer = on_peer,
	.on_peer_lost = on_peer_lost,
	.on_stop = on_stop,
};

int
main(int argc, char **argv)
{
	return hb_role_run(&spec, argc, argv);
}
