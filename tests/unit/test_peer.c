/* Channels between roles over a real socketpair, with the real loop. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/peer.h"

struct side {
	struct hb_loop *loop;
	struct hb_peer *peer;
	unsigned got, fds, drained;
	uint64_t bytes;
	char why[64];
	bool broke;
	unsigned stop_at; /* pause after so many frames */
	bool free_in_handler;
};

static void
on_data(struct side *s, struct hb_peer *p, const struct ipc_txn_data *m)
{
	s->bytes += m->bytes.n;
	assert_int_equal(m->txn, s->got);
	if (++s->got == s->stop_at)
		hb_peer_pause(p, true);
	if (s->free_in_handler)
		hb_peer_free(&s->peer);
}

/* Every third frame is one without a descriptor, and bears its number too. */
static bool
smtpd_on(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	struct side *s = ctx;
	char c;

	if (s->got % 3 == 0) {
		assert_int_equal(type, HB_IPC_SPACE);
		assert_int_equal(m->space.bytes, s->got);
		assert_int_equal(fd, -1);
	} else {
		assert_int_equal(type, HB_IPC_TXN_LARGE_FD);
		assert_int_equal(m->txn_large_fd.txn, s->got);
		assert_int_equal(pread(fd, &c, 1, s->got % 7), 1);
		assert_int_equal(c, "abcdefg"[s->got % 7]);
		close(fd);
		s->fds++;
	}
	s->got++;
	return true;
}

static bool
queue_on(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (type != HB_IPC_TXN_DATA)
		return false;
	assert_int_equal(fd, -1);
	on_data(ctx, p, &m->txn_data);
	return true;
}

static void
on_close(void *ctx, struct hb_peer *p, const char *why)
{
	struct side *s = ctx;

	s->broke = hb_peer_broke(p);
	snprintf(s->why, sizeof(s->why), "%s", why);
	s->peer = NULL;
	hb_loop_stop(s->loop);
}

static void
on_drain(void *ctx, struct hb_peer *p)
{
	struct side *s = ctx;

	s->drained++;
}

static const struct hb_peer_ops queue_ops = { queue_on, on_close, on_drain };
static const struct hb_peer_ops smtpd_ops = { smtpd_on, on_close, on_drain };

static void
stop_loop(void *ctx)
{
	hb_loop_stop(ctx);
}

/* What is not to happen is waited for in this way. */
static void
run_for(struct hb_loop *l, int ms)
{
	struct hb_timer *t = hb_timer_new(l, stop_loop, l);

	hb_timer_set(t, ms);
	assert_int_equal(hb_loop_run(l), 0);
	hb_timer_free(&t);
}

/* Until COND is true, for so many turns of a millisecond and more. */
#define run_until(l, cond)                                                     \
	do {                                                                   \
		unsigned turns_ = 5000;                                        \
		while (!(cond)) {                                              \
			assert_true(turns_-- > 0);                             \
			run_for((l), 1);                                       \
		}                                                              \
	} while (0)

struct world {
	struct hb_loop *loop;
	struct side queue, smtpd;
	int raw; /* smtpd's end when there is no peer on it */
};

static void
make_world(struct world *w, bool raw)
{
	int sv[2];

	memset(w, 0, sizeof(*w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	w->loop = w->queue.loop = w->smtpd.loop = hb_loop_new();
	w->queue.peer = hb_peer_new(w->loop, sv[0], HB_ROLE_QUEUE,
	    HB_ROLE_SMTPD, 0, &queue_ops, &w->queue);
	w->raw = sv[1];
	if (!raw)
		w->smtpd.peer = hb_peer_new(w->loop, sv[1], HB_ROLE_SMTPD,
		    HB_ROLE_QUEUE, 0, &smtpd_ops, &w->smtpd);
}

static void
free_world(struct world *w)
{
	hb_peer_free(&w->queue.peer);
	hb_peer_free(&w->smtpd.peer);
	hb_loop_free(&w->loop);
}

static void
frames_arrive_in_order(void **state)
{
	static unsigned char body[HB_MAX_IPC_BODY];
	struct world w;
	unsigned sent = 0;

	make_world(&w, false);
	for (;; sent++) {
		struct ipc_txn_data m = { .txn = sent,
			.bytes = hb_span(body, (sent * 7919) % sizeof(body)) };

		if (hb_peer_send(w.smtpd.peer, HB_IPC_TXN_DATA, &m, -1) < 0)
			break;
	}
	assert_true(sent > 400); /* the bound of 16 MiB */
	run_until(w.loop, w.queue.got >= sent && w.smtpd.drained > 0);
	assert_int_equal(w.queue.got, sent);
	assert_int_equal(w.smtpd.drained, 1);
	assert_int_equal(hb_peer_pending(w.smtpd.peer), 0);
	free_world(&w);
}

/* Frame I of those that smtpd_on expects. */
static void
post_large_or_space(struct world *w, unsigned i, int fd)
{
	struct ipc_txn_large_fd large = { .txn = i };
	struct ipc_space space = { .bytes = i };

	if (i % 3 == 0)
		hb_peer_post(w->queue.peer, HB_IPC_SPACE, &space, -1);
	else
		hb_peer_post(w->queue.peer, HB_IPC_TXN_LARGE_FD, &large, fd);
}

static void
descriptors_stay_with_their_frames(void **state)
{
	struct world w;
	char name[] = "/tmp/hbtestXXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	assert_int_equal(write(fd, "abcdefg", 7), 7);
	make_world(&w, false);
	for (unsigned i = 0; i < 60; i++)
		post_large_or_space(&w, i, fd);
	run_until(w.loop, w.smtpd.got >= 60);
	assert_int_equal(w.smtpd.got, 60);
	assert_int_equal(w.smtpd.fds, 40);
	close(fd);
	free_world(&w);
}

/* As many as one worker may have large bodies, to one that does not read
 * now. */
static void
many_descriptors_wait(void **state)
{
	struct world w;
	char name[] = "/tmp/hbtestXXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	assert_int_equal(write(fd, "abcdefg", 7), 7);
	make_world(&w, false);
	hb_peer_pause(w.smtpd.peer, true);
	for (unsigned i = 0; i < 700; i++)
		post_large_or_space(&w, i, fd);
	run_for(w.loop, 50);
	assert_int_equal(w.smtpd.got, 0);
	hb_peer_pause(w.smtpd.peer, false);
	run_for(w.loop, 500);
	assert_int_equal(w.smtpd.got, 700);
	assert_int_equal(w.smtpd.fds, 466);
	close(fd);
	free_world(&w);
}

/* Who posts several frames need not look after each. */
static void
what_takes_no_more_is_given_up_at_the_end_of_the_turn(void **state)
{
	static unsigned char body[HB_MAX_IPC_BODY];
	struct ipc_txn_data m = { .bytes = hb_span(body, sizeof(body)) };
	struct world w;

	make_world(&w, false);
	hb_peer_pause(w.queue.peer, true);
	for (int i = 0; i < 20 * 1024 * 1024 / HB_MAX_IPC_BODY; i++)
		hb_peer_post(w.smtpd.peer, HB_IPC_TXN_DATA, &m, -1);
	assert_string_equal(w.smtpd.why, "");
	run_for(w.loop, 500);
	assert_string_equal(w.smtpd.why, "limit exceeded");
	assert_true(w.smtpd.broke);
	free_world(&w);
}

static void
a_pause_holds_frames_back(void **state)
{
	struct world w;

	make_world(&w, false);
	w.queue.stop_at = 3;
	for (unsigned i = 0; i < 10; i++) {
		struct ipc_txn_data m = { .txn = i };

		hb_peer_post(w.smtpd.peer, HB_IPC_TXN_DATA, &m, -1);
	}
	run_until(w.loop, w.queue.got >= 3);
	run_for(w.loop, 50);
	assert_int_equal(w.queue.got, 3);
	hb_peer_pause(w.queue.peer, false);
	run_until(w.loop, w.queue.got >= 10);
	assert_int_equal(w.queue.got, 10);
	free_world(&w);
}

static void
bad_frames_close_the_channel(void **state)
{
	static const struct {
		struct hb_span bytes;
		const char *why;
	} rows[] = {
		{ HB_SPAN("\xff\xff\xff\xff\0\0\0\0"), "limit exceeded" },
		{ HB_SPAN("\0\0\0\0\xff\0\0\0"), "malformed" },
		/* READY is for the parent, CONF_PART from it */
		{ HB_SPAN("\0\0\0\0\0\0\0\0"), "frame not allowed for this pair" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct world w;

		make_world(&w, true);
		assert_int_equal(write(w.raw, rows[i].bytes.p, rows[i].bytes.n),
		    rows[i].bytes.n);
		run_until(w.loop, w.queue.peer == NULL);
		assert_string_equal(w.queue.why, rows[i].why);
		assert_null(w.queue.peer);
		close(w.raw);
		free_world(&w);
	}
}

static void
a_frame_that_lacks_its_descriptor_closes_the_channel(void **state)
{
	struct ipc_txn_large_fd m = { .txn = 1 };
	struct world w;

	make_world(&w, false);
	hb_peer_post(w.queue.peer, HB_IPC_TXN_LARGE_FD, &m, -1);
	run_until(w.loop, w.smtpd.peer == NULL);
	assert_string_equal(w.smtpd.why, "descriptor missing");
	assert_true(w.smtpd.broke);
	free_world(&w);
}

/* What may come in a state of a channel; all else that the pair may carry is
 * refused. */
static const struct legal {
	enum hb_role from, to;
	enum hb_channel state;
	enum hb_ipc_type types[12];
	size_t n;
} legal[] = {
	{ HB_ROLE_PARENT, HB_ROLE_SMTPD, HB_CHANNEL_STARTING,
	    { HB_IPC_CONF_PART, HB_IPC_FILE_PART, HB_IPC_CONF_END,
		HB_IPC_LOGFD, HB_IPC_CLOCK, HB_IPC_PING, HB_IPC_STOP }, 7 },
	{ HB_ROLE_PARENT, HB_ROLE_SMTPD, HB_CHANNEL_SERVING,
	    { HB_IPC_CONF_PART, HB_IPC_FILE_PART, HB_IPC_CONF_END,
		HB_IPC_LOGFD, HB_IPC_CLOCK, HB_IPC_PING, HB_IPC_STOP,
		HB_IPC_PEER, HB_IPC_LISTEN, HB_IPC_COUNTERS,
		HB_IPC_LISTEN_STOP, HB_IPC_ENDPOINT }, 12 },
	{ HB_ROLE_QUEUE, HB_ROLE_PARENT, HB_CHANNEL_STARTING,
	    { HB_IPC_READY, HB_IPC_CLOCK_SET, HB_IPC_PONG, HB_IPC_LOG_LOST,
		HB_IPC_TROUBLE }, 5 },
	{ HB_ROLE_QUEUE, HB_ROLE_PARENT, HB_CHANNEL_SERVING,
	    { HB_IPC_READY, HB_IPC_CLOCK_SET, HB_IPC_PONG, HB_IPC_LOG_LOST,
		HB_IPC_TROUBLE, HB_IPC_PEER_LOST, HB_IPC_HELPER_START }, 7 },
	{ HB_ROLE_DELIVERY, HB_ROLE_QUEUE, HB_CHANNEL_CLAIMING,
	    { HB_IPC_JOB_RESULT, HB_IPC_JOB_DONE, HB_IPC_STORE_GET,
		HB_IPC_STORE_PUT, HB_IPC_STORE_LIST, HB_IPC_JOB_CLAIM,
		HB_IPC_CLAIMS_END }, 7 },
	{ HB_ROLE_DELIVERY, HB_ROLE_QUEUE, HB_CHANNEL_SERVING,
	    { HB_IPC_JOB_RESULT, HB_IPC_JOB_DONE, HB_IPC_STORE_GET,
		HB_IPC_STORE_PUT, HB_IPC_STORE_LIST }, 5 },
};

static bool
is_legal(const struct legal *row, enum hb_ipc_type type)
{
	for (size_t i = 0; i < row->n; i++)
		if (row->types[i] == type)
			return true;
	return false;
}

static bool
take_any(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	struct side *s = ctx;

	if (fd >= 0)
		close(fd);
	s->got++;
	return true;
}

/* One frame of TYPE, empty, over a channel in the row's state. */
static void
check_state(const struct legal *row, enum hb_ipc_type type)
{
	static const struct hb_peer_ops any = { take_any, on_close, NULL };
	union hb_ipc_any m;
	struct side from = { 0 }, to = { 0 };
	int sv[2];

	memset(&m, 0, sizeof(m));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	from.loop = to.loop = hb_loop_new();
	from.peer = hb_peer_new(from.loop, sv[0], row->from, row->to, 0, &any,
	    &from);
	to.peer = hb_peer_new(to.loop, sv[1], row->to, row->from, 0, &any, &to);
	hb_peer_set_state(to.peer, row->state);
	hb_peer_post(from.peer, type, &m,
	    hb_ipc_info(type)->has_fd ? STDIN_FILENO : -1);
	run_until(to.loop, to.got == 1 || to.peer == NULL);
	assert_string_equal(to.why,
	    is_legal(row, type) ? "" : "frame out of its time");
	assert_int_equal(to.got, is_legal(row, type));
	hb_peer_free(&from.peer);
	hb_peer_free(&to.peer);
	hb_loop_free(&to.loop);
}

static void
a_frame_out_of_its_time_closes_the_channel(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(legal); i++)
		for (int type = 0; type < HB_IPC_COUNT; type++)
			if (hb_ipc_may_send((unsigned)type, legal[i].from,
				legal[i].to))
				check_state(&legal[i], (enum hb_ipc_type)type);
}

static void
a_lost_end_is_told(void **state)
{
	struct world w;

	make_world(&w, false);
	hb_peer_free(&w.smtpd.peer);
	run_until(w.loop, w.queue.peer == NULL);
	assert_string_equal(w.queue.why, "closed");
	free_world(&w);
}

static void
a_handler_may_free_its_peer(void **state)
{
	struct world w;

	make_world(&w, false);
	w.queue.free_in_handler = true;
	for (unsigned i = 0; i < 3; i++) {
		struct ipc_txn_data m = { .txn = i };

		hb_peer_post(w.smtpd.peer, HB_IPC_TXN_DATA, &m, -1);
	}
	run_until(w.loop, w.queue.got >= 1);
	run_for(w.loop, 50);
	assert_int_equal(w.queue.got, 1);
	free_world(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_in_order),
		cmocka_unit_test(descriptors_stay_with_their_frames),
		cmocka_unit_test(many_descriptors_wait),
		cmocka_unit_test(
		    what_takes_no_more_is_given_up_at_the_end_of_the_turn),
		cmocka_unit_test(a_pause_holds_frames_back),
		cmocka_unit_test(bad_frames_close_the_channel),
		cmocka_unit_test(
		    a_frame_that_lacks_its_descriptor_closes_the_channel),
		cmocka_unit_test(a_frame_out_of_its_time_closes_the_channel),
		cmocka_unit_test(a_lost_end_is_told),
		cmocka_unit_test(a_handler_may_free_its_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
