/*
 * A listener that was taken over: it starts as hauberk-smtpd does, in its
 * sandbox, and then sends its peers and the parent whatever may hurt them.
 * HOSTILE_GAME says which game it plays in this life, see games[]; later lives
 * play dice with their number as the seed.  hostile_test.py watches the
 * others.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/io/rolemain.h"
#include "tests/unit/dice.h"

enum { PARENT_FD = 3, START_MS = 50, TURN_MS = 200, FLOOD = 3000,
	FRAMES = 400, BLAMES_EARLY = 5 };

static struct hb_role_env *self;
static int channel[HB_ROLE_COUNT];
static int table_fd = -1, other_table_fd = -1;
static uint64_t table_size;
static unsigned life;

static void
on_counters(const struct ipc_counters *m, int fd)
{
	table_size = m->size;
	if (m->part == self->instance)
		table_fd = fd;
	else
		other_table_fd = fd;
}

/* Takes every channel raw, and reads nothing of it unless it is full. */
static bool
claim_peer(struct hb_role_env *env, enum hb_role role, unsigned instance,
    int fd)
{
	channel[role] = fd;
	return true;
}

/* --- sending --- */

static void
drain(int fd)
{
	char bytes[65536];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* All of S, with GIFT in front; gives up when the other side is gone or does
 * not read. */
static void
put_bytes(enum hb_role to, struct hb_span s, int gift)
{
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl = { .h = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		      .cmsg_len = CMSG_LEN(sizeof(int)) } };
	int fd = channel[to];

	memcpy(CMSG_DATA(&ctl.h), &gift, sizeof(gift));
	while (s.n > 0) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		struct iovec iov = { (void *)(uintptr_t)s.p, s.n };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (gift >= 0) {
			m.msg_control = &ctl;
			m.msg_controllen = sizeof(ctl);
		}
		n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		drain(fd);
		if (n < 0 && errno == EAGAIN && poll(&p, 1, 500) > 0)
			continue;
		if (n <= 0)
			return;
		gift = -1;
		s = hb_span_from(s, (size_t)n);
	}
}

static void
put_gift(enum hb_role to, enum hb_ipc_type type, const void *msg, int gift)
{
	struct hb_buf b = HB_BUF_INIT(HB_MAX_IPC_FRAME);

	if (hb_ipc_encode(type, msg, &b) == 0) {
		if (gift >= 0)
			hb_ipc_mark_fd(b.p + b.off);
		put_bytes(to, hb_buf_span(&b), gift);
	}
	hb_buf_free(&b);
}

static void
put(enum hb_role to, enum hb_ipc_type type, const void *msg)
{
	put_gift(to, type, msg, -1);
}

/* --- transactions --- */

static void
begin(uint32_t txn)
{
	struct hb_env e = { .id = UINT64_C(0xbad0000) + txn,
		.sender = HB_SPAN("hostile@client.test"),
		.with = HB_SPAN("ESMTP") };
	struct hb_buf b = HB_BUF_INIT(0);
	struct ipc_txn_begin m = { .txn = txn };

	if (hb_tlv_encode(&hb_env_record, &e, &b) == 0) {
		m.env = hb_buf_span(&b);
		put(HB_ROLE_QUEUE, HB_IPC_TXN_BEGIN, &m);
	}
	hb_buf_free(&b);
}

static void
rcpt(uint32_t txn, uint32_t idx, const char *address)
{
	struct hb_rcpt r = { .idx = idx, .address = hb_span_str(address) };
	struct hb_buf b = HB_BUF_INIT(0);
	struct ipc_txn_rcpt m = { .txn = txn };

	if (hb_tlv_encode(&hb_rcpt_record, &r, &b) == 0) {
		m.rcpt = hb_buf_span(&b);
		put(HB_ROLE_QUEUE, HB_IPC_TXN_RCPT, &m);
	}
	hb_buf_free(&b);
}

static void
body(uint32_t txn, const char *text)
{
	struct ipc_txn_data m = { .txn = txn, .bytes = hb_span_str(text) };

	put(HB_ROLE_QUEUE, HB_IPC_TXN_DATA, &m);
}

static void
header(uint32_t txn, struct hb_span bytes)
{
	struct ipc_txn_head m = { .txn = txn, .bytes = bytes };

	put(HB_ROLE_QUEUE, HB_IPC_TXN_HEAD, &m);
}

static void
commit(uint32_t txn, uint64_t size, uint32_t crc)
{
	struct ipc_txn_commit m = { .txn = txn, .size = size, .crc = crc };

	put(HB_ROLE_QUEUE, HB_IPC_TXN_COMMIT, &m);
}

static void
message(uint32_t txn, const char *text)
{
	begin(txn);
	rcpt(txn, 0, "carol@hb.test");
	body(txn, text);
	commit(txn, strlen(text), hb_crc32c(0, hb_span_str(text)));
}

/* The bodies no session lets through: what a reader of the next hop takes
 * for the end of the message. */
static void
inject(void)
{
	static const char *const texts[] = {
		"a: b\r\n\r\nx\r\n.\r\nMAIL FROM:<injected@x>\r\n",
		"a: b\r\n\r\nx\n.\ninjected\r\n", "a: b\r\n\r\ninjected\r.\r\r\n",
		"a: b\r\n\r\ninjected without an end",
	};

	for (uint32_t i = 0; i < HB_ARRAY_LEN(texts); i++)
		message(100 + i, texts[i]);
}

/* --- games --- */

static void
floods(void)
{
	struct ipc_auth a = { .user = HB_SPAN("alice"),
		.password = HB_SPAN("wrong") };
	struct ipc_check c = { .stage = HB_STAGE_RCPT,
		.sender = HB_SPAN("a@client.test"), .listen = UINT32_MAX,
		.rcpt = HB_SPAN("nobody@hb.test"), .client = HB_SPAN("?") };

	for (uint32_t i = 0; i < FLOOD; i++) {
		a.ref = c.ref = i;
		put(HB_ROLE_ROUTER, HB_IPC_AUTH, &a);
		put(HB_ROLE_ROUTER, HB_IPC_CHECK, &c);
	}
}

/* With keys that there are and that there are not, answers not awaited. */
static void
sign_flood(void)
{
	struct ipc_sign s = { .alg = HB_SIGN_ECDSA, .digest_name =
		HB_SPAN("SHA256"), .data = HB_SPAN("0123456789abcdef"
		"0123456789abcdef") };

	for (uint32_t i = 0; i < FLOOD; i++) {
		s.ref = i;
		s.key = i % 3 == 0 ? 0 : i;
		put(HB_ROLE_KEYAGENT, HB_IPC_SIGN, &s);
	}
}

/* Its own part of the table, and that of the other, if it could. */
static void
scribble(void)
{
	void *own = mmap(NULL, table_size, PROT_READ | PROT_WRITE, MAP_SHARED,
	    table_fd, 0), *other = mmap(NULL, table_size,
	    PROT_READ | PROT_WRITE, MAP_SHARED, other_table_fd, 0);

	if (own != MAP_FAILED)
		memset(own, (int)roll(256), table_size);
	if (other != MAP_FAILED)
		memset(other, 0xff, table_size);
}

static void
blame_delivery(void)
{
	struct ipc_peer_lost m = { .role = HB_ROLE_DELIVERY };

	put(HB_ROLE_PARENT, HB_IPC_PEER_LOST, &m);
}

static void
blame_queue(void)
{
	struct ipc_peer_lost m = { .role = HB_ROLE_QUEUE };

	put(HB_ROLE_PARENT, HB_IPC_PEER_LOST, &m);
}

static void
out_of_order(void)
{
	struct ipc_txn_abort none = { .txn = 12 };
	struct ipc_txn_large large = { .txn = 13 };

	put(HB_ROLE_QUEUE, HB_IPC_TXN_ABORT, &none);
	begin(13);
	put(HB_ROLE_QUEUE, HB_IPC_TXN_LARGE, &large);
	put(HB_ROLE_QUEUE, HB_IPC_TXN_LARGE, &large);
	commit(13, UINT64_MAX, 0);
	begin(13);
	begin(13);
	body(14, "of no transaction");
}

static void
huge(void)
{
	begin(1);
	for (uint32_t i = 0; i < 20 * FLOOD; i++)
		rcpt(1, UINT32_MAX - i, "carol@hb.test");
	commit(1, UINT64_MAX, UINT32_MAX);
}

/* Header sections that end early, have no end, or never come to one. */
static void
headers(void)
{
	static unsigned char long_one[HB_MAX_IPC_BODY];

	memset(long_one, 'x', sizeof(long_one));
	memcpy(long_one + sizeof(long_one) - 2, "\r\n", 2);
	header(20, HB_SPAN("Subject: of no transaction\r\n"));
	begin(21);
	rcpt(21, 0, "carol@hb.test");
	header(21, HB_SPAN("Subject: x\r\n.\r\nMAIL FROM:<x@y.test>\r\n"));
	commit(21, 0, 0);
	begin(22);
	rcpt(22, 0, "carol@hb.test");
	header(22, HB_SPAN("Subject: no end"));
	commit(22, 0, 0);
	begin(23);
	rcpt(23, 0, "carol@hb.test");
	for (unsigned i = 0; i < 100; i++)
		header(23, hb_span(long_one, sizeof(long_one)));
	commit(23, UINT64_MAX, 0);
}

/* Frames that carry what they should not. */
static void
gifts(void)
{
	struct ipc_txn_data data = { .txn = 1, .bytes = HB_SPAN("x\r\n") };
	struct ipc_sign sign = { .ref = 1 };
	int pair[2] = { -1, -1 };
	const int odd[] = { PARENT_FD, table_fd, channel[HB_ROLE_ROUTER],
		STDIN_FILENO };

	(void)!socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	close(pair[1]);
	for (size_t i = 0; i < HB_ARRAY_LEN(odd); i++) {
		put_gift(HB_ROLE_KEYAGENT, HB_IPC_SIGN, &sign, odd[i]);
		put_gift(HB_ROLE_QUEUE, HB_IPC_TXN_DATA, &data, odd[i]);
	}
	for (unsigned i = 0; i < 200; i++)
		put_bytes(HB_ROLE_ROUTER, HB_SPAN("\1"), pair[0]);
	put_gift(HB_ROLE_QUEUE, HB_IPC_TXN_DATA, &data, pair[0]);
}

static void
to_parent(void)
{
	struct ipc_ready ready = { .generation = UINT32_MAX,
		.error = HB_SPAN("no") };
	struct ipc_log_lost lost = { 0 };
	struct ipc_endpoint_get get = { .index = UINT32_MAX };
	struct ipc_clock_set clock = { .ahead_ms = INT64_MIN };

	for (unsigned i = 0; i < FRAMES; i++) {
		get.index = i * 77777;
		put(HB_ROLE_PARENT, HB_IPC_READY, &ready);
		put(HB_ROLE_PARENT, HB_IPC_LOG_LOST, &lost);
		put(HB_ROLE_PARENT, HB_IPC_ENDPOINT_GET, &get);
		put(HB_ROLE_PARENT, HB_IPC_CLOCK_SET, &clock);
	}
}

/* A frame of any type with few or many random bytes, some of them cut. */
static void
random_frame(enum hb_role to)
{
	unsigned char f[512];
	uint32_t n = 8 + roll(chance(70) ? 24 : sizeof(f) - 8);

	for (size_t i = 0; i < n; i++)
		f[i] = (unsigned char)roll(chance(50) ? 4 : 256);
	f[0] = (unsigned char)((n - 8) & 255);
	f[1] = (unsigned char)((n - 8) >> 8);
	f[2] = f[3] = f[5] = f[7] = 0;
	f[4] = (unsigned char)roll(HB_IPC_COUNT + 1);
	f[6] = chance(5);
	put_bytes(to, hb_span(f, chance(95) ? n : roll(n)),
	    chance(10) ? STDIN_FILENO : -1);
}

static void
play_dice(void)
{
	static const enum hb_role to[] = { HB_ROLE_ROUTER, HB_ROLE_QUEUE,
		HB_ROLE_KEYAGENT, HB_ROLE_CONTROL, HB_ROLE_PARENT };

	for (unsigned i = 0; i < FRAMES; i++)
		random_frame(to[roll(HB_ARRAY_LEN(to))]);
}

static const struct game {
	void (*play[3])(void); /* the last of them may cost it its life */
} games[] = {
	{ { inject, scribble, blame_delivery } },
	{ { floods, sign_flood } },
	{ { out_of_order, blame_queue } },
	{ { headers, huge } },
	{ { to_parent, gifts } },
	{ { NULL } }, /* it blames before it is ready: setup */
};

static void
on_turn(void *ctx)
{
	static unsigned turn;

	if (life >= HB_ARRAY_LEN(games))
		play_dice();
	else if (turn < HB_ARRAY_LEN(games[life].play) &&
	    games[life].play[turn] != NULL)
		games[life].play[turn++]();
	else
		hb_role_exit(self);
	hb_timer_set(*(struct hb_timer **)ctx, TURN_MS);
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	self = env;
	life = (unsigned)number_of("HOSTILE_GAME", 0);
	dice_seed(life);
	channel[HB_ROLE_PARENT] = PARENT_FD;
	if (life == BLAMES_EARLY)
		blame_delivery();
	return 0;
}

/* Strangers, and so whoever takes a listener over, come with the listeners. */
static void
on_listen(void)
{
	static struct hb_timer *timer;

	if (timer != NULL)
		return;
	timer = hb_timer_new(self->loop, on_turn, &timer);
	hb_timer_set(timer, START_MS);
}

static bool
on_frame(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (type == HB_IPC_COUNTERS) {
		on_counters(&m->counters, fd);
		return true;
	}
	if (fd >= 0)
		close(fd);
	if (type == HB_IPC_LISTEN)
		on_listen();
	return true;
}

int
main(int argc, char **argv)
{
	struct hb_role_spec spec = { .role = HB_ROLE_SMTPD, .on = on_frame,
		.setup = setup, .claim_peer = claim_peer };

	return hb_role_run(&spec, argc, argv);
}
