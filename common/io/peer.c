/* Channels between roles.  Floor 3. */
#include "config.h"

#include "common/io/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <poll.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"

enum {
	OUT_MAX = 16 * 1024 * 1024,
	READ_SIZE = 65536,
	READ_TURN = 16 * READ_SIZE, /* then others have their turn */
	FDS_READ = 64,		    /* descriptors kept of what was read */
	FDS_WRITE = 1024	    /* descriptors waiting to be sent */
};

/* A descriptor in either direction; OUT: bytes before the frame it goes with. */
struct waiting_fd {
	int fd;
	uint64_t at;
};

struct hb_peer {
	struct hb_io *io;
	struct hb_hook *flush;
	int fd;
	enum hb_role self, other;
	enum hb_channel state;
	unsigned instance;
	uint64_t number;
	const struct hb_peer_ops *ops;
	void *ctx;
	struct hb_buf in, out;
	uint64_t out_sent; /* bytes written since the start */
	struct waiting_fd *out_fds;
	size_t n_out_fds, cap_out_fds;
	int in_fds[FDS_READ];
	size_t n_in_fds;
	bool paused, closed, was_full;
	bool broke; /* the other side did what it may not */
	const char *over; /* why it is to be closed at the end of the turn */
	unsigned depth; /* our functions on the stack: a handler of theirs may
			 * free P, and the last one does */
	bool freed;
};

static void on_ready(void *ctx, unsigned what);
static void flush_out(void *ctx);

struct hb_peer *
hb_peer_new(struct hb_loop *l, int fd, enum hb_role self, enum hb_role other,
    unsigned instance, const struct hb_peer_ops *ops, void *ctx)
{
	static uint64_t last_number;
	struct hb_peer *p = HB_NEW(struct hb_peer);
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	p->fd = fd;
	p->self = self;
	p->other = other;
	p->instance = instance;
	p->number = ++last_number;
	p->state = HB_CHANNEL_SERVING;
	p->ops = ops;
	p->ctx = ctx;
	p->in = HB_BUF_INIT(HB_MAX_IPC_FRAME + READ_SIZE);
	p->out = HB_BUF_INIT(OUT_MAX);
	p->io = hb_io_new(l, fd, on_ready, p);
	p->flush = hb_hook_new(l, flush_out, p);
	hb_io_want(p->io, HB_IO_READ);
	return p;
}

static void
close_fds(struct hb_peer *p)
{
	for (size_t i = 0; i < p->n_in_fds; i++)
		close(p->in_fds[i]);
	for (size_t i = 0; i < p->n_out_fds; i++)
		close(p->out_fds[i].fd);
	p->n_in_fds = p->n_out_fds = 0;
}

static void
close_channel(struct hb_peer *p)
{
	if (p->closed)
		return;
	p->closed = true;
	hb_io_free(&p->io);
	hb_hook_free(&p->flush);
	close(p->fd);
	close_fds(p);
}

static void
destroy(struct hb_peer *p)
{
	hb_buf_free(&p->in);
	hb_buf_free(&p->out);
	free(p->out_fds);
	free(p);
}

void
hb_peer_free(struct hb_peer **p)
{
	struct hb_peer *q = *p;

	if (q == NULL)
		return;
	*p = NULL;
	close_channel(q);
	if (q->depth > 0)
		q->freed = true;
	else
		destroy(q);
}

/* Enters and leaves code that may free the peer. */
static void
leave(struct hb_peer *p)
{
	if (--p->depth == 0 && p->freed)
		destroy(p);
}

static void
lost(struct hb_peer *p, const char *why)
{
	if (p->closed)
		return;
	p->depth++;
	close_channel(p);
	p->freed = true;
	p->ops->on_close(p->ctx, p, why);
	leave(p);
}

void
hb_peer_violation(struct hb_peer *p, const char *why)
{
	p->broke = true;
	lost(p, why);
}

bool
hb_peer_broke(const struct hb_peer *p)
{
	return p->broke;
}

/* How many bytes may go before the next frame that carries a descriptor,
 * which must be the first of its write. */
static size_t
sendable(const struct hb_peer *p, bool *with_fd)
{
	uint64_t limit = p->out.n;

	*with_fd = p->n_out_fds > 0 && p->out_fds[0].at == p->out_sent;
	for (size_t i = *with_fd ? 1 : 0; i < p->n_out_fds; i++)
		if (p->out_fds[i].at > p->out_sent) {
			limit = p->out_fds[i].at - p->out_sent;
			break;
		}
	return limit < p->out.n ? (size_t)limit : p->out.n;
}

static ssize_t
send_some(struct hb_peer *p)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl;
	bool with_fd;
	size_t n = sendable(p, &with_fd);
	struct iovec iov = { p->out.p + p->out.off, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t r;

	if (with_fd) {
		memset(&ctl, 0, sizeof(ctl));
		m.msg_control = &ctl;
		m.msg_controllen = sizeof(ctl);
		ctl.h.cmsg_level = SOL_SOCKET;
		ctl.h.cmsg_type = SCM_RIGHTS;
		ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ctl.h), &p->out_fds[0].fd, sizeof(int));
	}
	r = sendmsg(p->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (r > 0 && with_fd) {
		close(p->out_fds[0].fd);
		p->n_out_fds--;
		memmove(p->out_fds, p->out_fds + 1,
		    p->n_out_fds * sizeof(p->out_fds[0]));
	}
	if (r > 0) {
		hb_buf_consume(&p->out, (size_t)r);
		p->out_sent += (uint64_t)r;
	}
	return r;
}

static void
update_wants(struct hb_peer *p)
{
	hb_io_want(p->io, (p->paused ? 0 : HB_IO_READ) |
	    (p->out.n > 0 ? HB_IO_WRITE : 0));
}

static void
drained(struct hb_peer *p)
{
	if (p->out.n == 0 && p->out.cap > READ_SIZE * 4)
		hb_buf_free(&p->out);
	if (!p->was_full || p->out.n > OUT_MAX / 4)
		return;
	p->was_full = false;
	if (p->ops->on_drain != NULL)
		p->ops->on_drain(p->ctx, p);
}

static void run_frames(struct hb_peer *p);

/* Nobody reads any more.  What the other side said last is still heard; its
 * end is found by reading. */
static void
drop_out(struct hb_peer *p)
{
	hb_buf_clear(&p->out);
	for (size_t i = 0; i < p->n_out_fds; i++)
		close(p->out_fds[i].fd);
	p->n_out_fds = 0;
}

static void
write_out(struct hb_peer *p)
{
	p->depth++;
	while (!p->closed && p->out.n > 0) {
		ssize_t r = send_some(p);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EPIPE && !p->paused)
			drop_out(p);
		else if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			lost(p, strerror(errno));
		if (r < 0)
			break;
	}
	if (!p->closed) {
		update_wants(p);
		drained(p);
	}
	leave(p);
}

static void
flush_out(void *ctx)
{
	struct hb_peer *p = ctx;

	p->depth++;
	if (p->over != NULL)
		lost(p, p->over);
	if (!p->paused)
		run_frames(p); /* what was read before a pause */
	write_out(p);
	leave(p);
}

/* Returns the copy, or -1. */
static int
add_fd(struct hb_peer *p, int fd)
{
	int copy = p->n_out_fds < FDS_WRITE ? fcntl(fd, F_DUPFD_CLOEXEC, 3)
					    : -1;

	if (copy < 0)
		return -1;
	if (p->n_out_fds == p->cap_out_fds) {
		p->cap_out_fds = p->cap_out_fds > 0 ? p->cap_out_fds * 2 : 8;
		p->out_fds = hb_realloc(p->out_fds,
		    p->cap_out_fds * sizeof(*p->out_fds));
	}
	p->out_fds[p->n_out_fds++] = (struct waiting_fd){ copy,
		p->out_sent + p->out.n };
	return copy;
}

int
hb_peer_send(struct hb_peer *p, enum hb_ipc_type type, const void *msg, int fd)
{
	int copy = -1, r;
	size_t start;

	if (p->closed || p->over != NULL)
		return HB_E_CLOSED;
	HB_ASSERT(hb_ipc_may_send(type, p->self, p->other));
	if (fd >= 0 && (copy = add_fd(p, fd)) < 0)
		return HB_E_LIMIT;
	start = p->out.n;
	r = hb_ipc_encode(type, msg, &p->out);
	if (r < 0) {
		if (fd >= 0) {
			close(copy);
			p->n_out_fds--;
		}
		return r;
	}
	if (fd >= 0)
		hb_ipc_mark_fd(p->out.p + p->out.off + start);
	if (p->out.n >= OUT_MAX / 2)
		p->was_full = true;
	hb_hook_arm(p->flush);
	return 0;
}

void
hb_peer_post(struct hb_peer *p, enum hb_ipc_type type, const void *msg, int fd)
{
	int r = hb_peer_send(p, type, msg, fd);

	if (r == 0 || p->closed || p->over != NULL)
		return;
	p->broke = true; /* it does not read */
	p->over = hb_strerror(r);
	hb_hook_arm(p->flush);
}

size_t
hb_peer_pending(const struct hb_peer *p)
{
	return p->out.n;
}

void
hb_peer_pause(struct hb_peer *p, bool pause)
{
	if (p->closed || p->paused == pause)
		return;
	p->paused = pause;
	update_wants(p);
	if (!pause && p->in.n > 0)
		hb_hook_arm(p->flush);
}

/* Only writes: a handler that flushes is not entered again. */
void
hb_peer_flush(struct hb_peer *p, int ms)
{
	int64_t until;

	hb_clock_refresh();
	until = hb_mono_ms() + ms;
	p->depth++;
	while (!p->closed && p->out.n > 0) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

		write_out(p);
		hb_clock_refresh();
		if (p->closed || p->out.n == 0 || hb_mono_ms() >= until ||
		    poll(&pfd, 1, (int)(until - hb_mono_ms())) <= 0)
			break;
	}
	leave(p);
}

void
hb_peer_set_state(struct hb_peer *p, enum hb_channel state)
{
	p->state = state;
}

enum hb_channel
hb_peer_state(const struct hb_peer *p)
{
	return p->state;
}

enum hb_role
hb_peer_role(const struct hb_peer *p)
{
	return p->other;
}

unsigned
hb_peer_instance(const struct hb_peer *p)
{
	return p->instance;
}

bool
hb_peer_is(const struct hb_peer *p, uint64_t number)
{
	return p != NULL && p->number == number;
}

uint64_t
hb_peer_number(const struct hb_peer *p)
{
	return p->number;
}

/* Keeps the descriptors that came with a read; more than we keep room for
 * is an offence.  0 or HB_E_LIMIT. */
static int
take_fds(struct hb_peer *p, struct msghdr *m)
{
	int r = (m->msg_flags & MSG_CTRUNC) != 0 ? HB_E_LIMIT : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (p->n_in_fds < FDS_READ) {
				p->in_fds[p->n_in_fds++] = fd;
			} else {
				close(fd);
				r = HB_E_LIMIT;
			}
		}
	}
	return r;
}

/* One read.  > 0 bytes; 0 nothing now; < 0 lost (WHY set). */
static ssize_t
read_some(struct hb_peer *p, const char **why)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} ctl;
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &ctl, .msg_controllen = sizeof(ctl) };
	unsigned char *room;
	ssize_t r;

	if (hb_buf_reserve(&p->in, READ_SIZE, &room) < 0) {
		*why = "frame longer than its bound";
		p->broke = true;
		return -1;
	}
	iov.iov_base = room;
	iov.iov_len = READ_SIZE;
	r = recvmsg(p->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (r <= 0) {
		*why = r == 0 ? "closed" : strerror(errno);
		return -1;
	}
	hb_buf_added(&p->in, (size_t)r);
	if (take_fds(p, &m) < 0) {
		*why = "too many descriptors";
		p->broke = true;
		return -1;
	}
	return r;
}

static int
next_fd(struct hb_peer *p)
{
	int fd = p->in_fds[0];

	p->n_in_fds--;
	memmove(p->in_fds, p->in_fds + 1, p->n_in_fds * sizeof(p->in_fds[0]));
	return fd;
}

static const char *
dispatch(struct hb_peer *p, enum hb_ipc_type type, const union hb_ipc_any *msg)
{
	const struct hb_ipc_info *info = hb_ipc_info(type);
	bool with_fd = hb_ipc_has_fd(hb_buf_span(&p->in));
	int fd = -1;

	if (!hb_ipc_may_send(type, p->other, p->self))
		return "frame not allowed for this pair";
	if ((info->when >> p->state & 1) == 0)
		return "frame out of its time";
	if (with_fd ? p->n_in_fds == 0 : info->needs_fd)
		return "descriptor missing";
	if (with_fd)
		fd = next_fd(p);
	if (p->ops->on(p->ctx, p, type, msg, fd))
		return NULL;
	if (fd >= 0)
		close(fd);
	return "frame not expected here";
}

/* All whole frames of the input.  Pausing stops between two frames. */
static void
run_frames(struct hb_peer *p)
{
	while (!p->closed && !p->paused && p->over == NULL) {
		union hb_ipc_any msg;
		enum hb_ipc_type type;
		int used = hb_ipc_decode(hb_buf_span(&p->in), &type, &msg);
		const char *why;

		if (used == 0)
			break;
		why = used < 0 ? hb_strerror(used) : dispatch(p, type, &msg);
		if (why != NULL) {
			hb_peer_violation(p, why);
			return;
		}
		hb_buf_consume(&p->in, (size_t)used);
	}
	if (!p->closed && p->in.n == 0 && p->in.cap > READ_SIZE)
		hb_buf_free(&p->in);
}

static void
on_ready(void *ctx, unsigned what)
{
	struct hb_peer *p = ctx;
	const char *why = NULL;
	size_t total = 0;

	p->depth++;
	if ((what & HB_IO_WRITE) != 0)
		hb_hook_arm(p->flush);
	while ((what & HB_IO_READ) != 0 && !p->closed && !p->paused &&
	    total < READ_TURN) {
		ssize_t r = read_some(p, &why);

		if (r == 0)
			break;
		run_frames(p);
		if (r < 0) {
			lost(p, why);
			break;
		}
		total += (size_t)r;
		if ((size_t)r < READ_SIZE)
			break;
	}
	leave(p);
}
