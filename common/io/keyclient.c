/*
 * The client side of the key agent's channel.  Floor 3.  This is the only place
 * where smtpd waits for another process (HACKING "Roles"): 200 ms at most.
 *
 * After a timeout the answer is still due.  Until it has come nothing more is
 * asked and there is no further wait.  A stopped agent therefore costs one
 * wait, and a late answer, identified by its ref, is never taken for another
 * one.
 */
#include "config.h"

#include "common/io/keyclient.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/io/loop.h"

enum { WAIT_MS = 200, DEAD_MS = 10000, CHUNK = 4096 };

struct hb_keyclient {
	unsigned refs;
	int fd;
	uint32_t ref; /* of the last question */
	bool due;     /* its answer has not come */
	int64_t asked_ms;
	const char *wrong; /* what the agent did */
	void (*broken)(void *ctx, const char *why);
	void *ctx;
	struct hb_buf in;
};

struct hb_keyclient *
hb_keyclient_new(void)
{
	struct hb_keyclient *k = HB_NEW(struct hb_keyclient);

	k->refs = 1;
	k->fd = -1;
	k->in = HB_BUF_INIT(HB_MAX_IPC_FRAME);
	return k;
}

void
hb_keyclient_on_broken(struct hb_keyclient *k,
    void (*broken)(void *ctx, const char *why), void *ctx)
{
	k->broken = broken;
	k->ctx = ctx;
}

void
hb_keyclient_set_fd(struct hb_keyclient *k, int fd)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = fd;
	k->due = false;
	hb_buf_free(&k->in);
}

void
hb_keyclient_ref(struct hb_keyclient *k)
{
	k->refs++;
}

void
hb_keyclient_unref(struct hb_keyclient *k)
{
	if (--k->refs > 0)
		return;
	hb_keyclient_set_fd(k, -1);
	free(k);
}

void
hb_keyclient_free(struct hb_keyclient **k)
{
	if (*k == NULL)
		return;
	hb_keyclient_set_fd(*k, -1);
	hb_keyclient_unref(*k);
	*k = NULL;
}

/* The loop's clock stands still while we wait. */
static int64_t
mono_ms(void)
{
	hb_clock_refresh();
	return hb_mono_ms();
}

/* Waits for EVENTS until END_MS.  0, HB_E_TIMEOUT or HB_E_IO. */
static int
wait_for(int fd, short events, int64_t end_ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = end_ms - mono_ms();
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 0;
		if (r == 0)
			return HB_E_TIMEOUT;
		if (errno != EINTR)
			return HB_E_IO;
	}
}

static int
send_frame(int fd, struct hb_span s, int64_t end_ms)
{
	while (s.n > 0) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = 0;

		if (n > 0)
			s = hb_span_from(s, (size_t)n);
		else if (errno == EAGAIN || errno == EINTR)
			r = wait_for(fd, POLLOUT, end_ms);
		else
			r = HB_E_IO;
		if (r < 0)
			return r;
	}
	return 0;
}

/* 0: bytes came; HB_E_MORE: none are there; HB_E_IO. */
static int
take_bytes(struct hb_keyclient *k)
{
	unsigned char *room;
	ssize_t n;

	if (hb_buf_reserve(&k->in, CHUNK, &room) < 0)
		return HB_E_IO;
	n = recv(k->fd, room, CHUNK, MSG_DONTWAIT);
	if (n > 0) {
		hb_buf_added(&k->in, (size_t)n);
		return 0;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? HB_E_MORE
							    : HB_E_IO;
}

/* The answer that is due, when it is there.  0, HB_E_MORE, HB_E_PERM, or
 * HB_E_IO: nothing that may come now. */
static int
take_answer(struct hb_keyclient *k, struct hb_buf *sig)
{
	enum hb_ipc_type type;
	union hb_ipc_any msg;
	int used = hb_ipc_decode(hb_buf_span(&k->in), &type, &msg);
	int r = 0;

	if (used == 0)
		return HB_E_MORE;
	if (used < 0 || type != HB_IPC_SIGNATURE ||
	    msg.signature.ref != k->ref || k->in.n != (size_t)used) {
		k->wrong = "answers what was not asked";
		return HB_E_IO;
	}
	if (msg.signature.bytes.n == 0)
		r = HB_E_PERM;
	else if (sig != NULL)
		r = hb_buf_put(sig, msg.signature.bytes);
	k->due = false;
	hb_buf_free(&k->in);
	return r;
}

/* Waits for the answer until END_MS; SIG may be NULL. */
static int
await_answer(struct hb_keyclient *k, struct hb_buf *sig, int64_t end_ms)
{
	for (;;) {
		int r = take_answer(k, sig);

		if (r != HB_E_MORE)
			return r;
		r = take_bytes(k);
		if (r == HB_E_MORE)
			r = wait_for(k->fd, POLLIN, end_ms);
		if (r < 0)
			return r;
	}
}

static int
ask(struct hb_keyclient *k, struct ipc_sign *req, struct hb_buf *sig)
{
	struct hb_buf frame = HB_BUF_INIT(HB_MAX_IPC_FRAME);
	int64_t end_ms = mono_ms() + WAIT_MS;
	int r;

	req->ref = ++k->ref;
	r = hb_ipc_encode(HB_IPC_SIGN, req, &frame);
	if (r == 0) {
		r = send_frame(k->fd, hb_buf_span(&frame), end_ms);
		/* A frame cut short cannot be answered. */
		if (r < 0)
			r = HB_E_IO;
		k->due = true;
		k->asked_ms = mono_ms();
	}
	hb_buf_free(&frame);
	return r < 0 ? r : await_answer(k, sig, end_ms);
}

/* An agent that has just ended is replaced without our word. */
static void
give_up(struct hb_keyclient *k)
{
	const char *why = k->wrong;

	k->wrong = NULL;
	hb_keyclient_set_fd(k, -1);
	if (why != NULL && k->broken != NULL)
		k->broken(k->ctx, why);
}

int
hb_keyclient_sign(
    struct hb_keyclient *k, struct ipc_sign *req, struct hb_buf *sig)
{
	int r = 0;

	if (k->fd < 0)
		return HB_E_TEMP;
	if (k->due) {
		r = await_answer(k, NULL, 0);
		if (r == HB_E_TIMEOUT && mono_ms() - k->asked_ms < DEAD_MS)
			return HB_E_TEMP;
		if (r == HB_E_TIMEOUT) {
			k->wrong = "does not answer";
			r = HB_E_IO;
		}
	}
	if (r != HB_E_IO)
		r = ask(k, req, sig);
	if (r == HB_E_IO)
		give_up(k);
	return r;
}
