/* The spool on a real file system, with the loop and the helper thread. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "queue/spool/spool.h"

enum { MAX_SEEN = 4096 };
#define HEAD "Subject: x\r\n"

struct seen {
	uint64_t id;
	uint32_t flags;
	size_t nrcpt, nchange;
	uint32_t attempts;
};

struct fix {
	char dir[64];
	struct hb_loop *loop;
	struct q_flush *flush;
	struct q_spool *spool;
	struct hb_timer *guard;
	struct seen seen[MAX_SEEN];
	size_t nseen, ncorrupt;
	int waiting; /* for callbacks */
	int err;
	struct hb_buf head, body;
	int fd;
};

static void
on_message(void *ctx, const struct hb_env *env, const struct hb_rcpt *rcpts,
    size_t n)
{
	struct fix *f = ctx;

	assert_true(f->nseen < MAX_SEEN);
	f->seen[f->nseen++] = (struct seen){ .id = env->id,
		.flags = env->flags, .nrcpt = n };
}

static void
on_change(void *ctx, uint64_t id, const struct q_change *c)
{
	struct fix *f = ctx;

	for (size_t i = 0; i < f->nseen; i++)
		if (f->seen[i].id == id) {
			f->seen[i].nchange++;
			if (c->kind == Q_CHANGE_TRIED)
				f->seen[i].attempts = c->attempts;
		}
}

static void
on_corrupt(void *ctx, uint64_t id, const char *file)
{
	struct fix *f = ctx;

	f->ncorrupt++;
}

static void
on_space(void *ctx, uint64_t bytes)
{
}

static const struct q_spool_ops ops = { on_message, on_change, on_corrupt,
	on_space };

static void
stuck(void *ctx)
{
	fail_msg("a callback is missing");
}

static void
open_spool(struct fix *f)
{
	struct hb_buf err = HB_BUF_INIT(0);

	f->nseen = f->ncorrupt = 0;
	f->flush = q_flush_new(f->loop);
	f->spool = q_spool_open(f->loop, f->flush, f->dir, &ops, f, &err);
	assert_non_null(f->spool);
	hb_buf_free(&err);
}

static void
close_spool(struct fix *f)
{
	q_spool_close(&f->spool);
	q_flush_free(&f->flush);
}

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/hb-spool-XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	hb_log_set_level(HB_LOG_ERROR);
	f->loop = hb_loop_new();
	f->guard = hb_timer_new(f->loop, stuck, f);
	f->fd = -1;
	open_spool(f);
	*state = f;
	return 0;
}

static void
remove_files(const char *dir, const char *sub)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	d = opendir(path);
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	rmdir(path);
}

static int
teardown(void **state)
{
	struct fix *f = *state;

	close_spool(f);
	hb_timer_free(&f->guard);
	hb_loop_free(&f->loop);
	remove_files(f->dir, "log");
	remove_files(f->dir, "large");
	remove_files(f->dir, "corrupt");
	rmdir(f->dir);
	hb_buf_free(&f->head);
	hb_buf_free(&f->body);
	free(f);
	return 0;
}

static void
called_back(struct fix *f)
{
	if (--f->waiting == 0)
		hb_loop_stop(f->loop);
}

static void
on_durable(void *ctx, int err)
{
	struct fix *f = ctx;

	if (err < 0)
		f->err = err;
	called_back(f);
}

static void
on_content(void *ctx, int err, const struct q_content *c)
{
	struct fix *f = ctx;

	f->err = err;
	f->fd = c->fd;
	hb_buf_clear(&f->body);
	hb_buf_add(&f->body, c->body);
	hb_buf_clear(&f->head);
	hb_buf_add(&f->head, c->head);
	called_back(f);
}

static int
wait_all(struct fix *f)
{
	int err;

	hb_timer_set(f->guard, 20000);
	while (f->waiting > 0)
		assert_int_equal(hb_loop_run(f->loop), 0);
	hb_timer_clear(f->guard);
	err = f->err;
	f->err = 0;
	return err;
}

static int
add(struct fix *f, uint64_t id, size_t nrcpt, struct hb_span body)
{
	struct hb_env env = { .id = id, .arrived_ms = 5,
		.flags = HB_ENV_REQUIRETLS, .sender = HB_SPAN("s@x.example"),
		.size = body.n };
	struct hb_rcpt *rcpts = calloc(nrcpt + 1, sizeof(*rcpts));
	struct q_body b = { .head = HB_SPAN(HEAD), .bytes = body };
	int r;

	for (size_t i = 0; i < nrcpt; i++)
		rcpts[i] = (struct hb_rcpt){ .idx = (uint32_t)i,
			.address = HB_SPAN("r@y.example") };
	r = q_spool_add(f->spool, &env, rcpts, nrcpt, &b, on_durable, f);
	f->waiting += r == 0;
	free(rcpts);
	return r;
}

static int
finish(struct fix *f, uint64_t id)
{
	struct q_change c = { .kind = Q_CHANGE_FINISHED };
	int r = q_spool_change(f->spool, id, &c, 1, on_durable, f);

	f->waiting += r == 0;
	return r;
}

static int
tried(struct fix *f, uint64_t id, uint32_t attempts)
{
	struct hb_outcome o = { .result = HB_RESULT_DEFER, .code = 451 };
	struct q_change c = { .kind = Q_CHANGE_TRIED, .attempts = attempts,
		.outcome = &o };
	int r = q_spool_change(f->spool, id, &c, 1, on_durable, f);

	f->waiting += r == 0;
	return r;
}

static int
body_of(struct fix *f, uint64_t id)
{
	f->waiting++;
	q_spool_content(f->spool, id, on_content, f);
	return wait_all(f);
}

static void
reopen(struct fix *f)
{
	close_spool(f);
	open_spool(f);
}

/* The only segment gets the header of another format. */
static void
age_segment(const struct fix *f)
{
	char path[128];
	unsigned char bytes[64];
	uint32_t crc;
	int fd;

	snprintf(path, sizeof(path), "%s/log/00000001", f->dir);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	crc = hb_crc32c(0, hb_span(bytes, 28)); /* the first one's place */
	for (size_t i = 0; i < 4; i++)
		bytes[28 + i] = (unsigned char)(crc >> (8 * i));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 4096),
	    sizeof(bytes));
	close(fd);
}

static uint32_t
crc_of_segment(const struct fix *f)
{
	static unsigned char bytes[1 << 20];
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/log/00000001", f->dir);
	fd = open(path, O_RDONLY);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	return hb_crc32c(0, hb_span(bytes, (size_t)n));
}

/* Never misread, never destroyed, and the way out is said. */
static void
a_spool_of_another_format_is_refused(void **state)
{
	struct fix *f = *state;
	struct hb_buf err = HB_BUF_INIT(0);
	uint32_t before;

	assert_int_equal(add(f, 1, 1, HB_SPAN("\r\nhello\r\n")), 0);
	assert_int_equal(wait_all(f), 0);
	close_spool(f);
	age_segment(f);
	before = crc_of_segment(f);
	f->nseen = f->ncorrupt = 0;
	f->flush = q_flush_new(f->loop);
	f->spool = q_spool_open(f->loop, f->flush, f->dir, &ops, f, &err);
	assert_null(f->spool);
	hb_buf_add(&err, hb_span("", 1));
	assert_non_null(strstr((char *)err.p, "format 1"));
	assert_non_null(strstr((char *)err.p, "hauberkctl export"));
	assert_non_null(strstr((char *)err.p, "hauberkctl import"));
	assert_int_equal(f->nseen + f->ncorrupt, 0);
	assert_int_equal(crc_of_segment(f), before);
	hb_buf_free(&err);
	q_flush_free(&f->flush);
	remove_files(f->dir, "log");
	open_spool(f);
}

/* Both headers and the first record are lost: what is behind them is no file
 * whose making was cut off. */
static void
test_A_35_a_segment_without_its_beginning_stays(void **state)
{
	struct fix *f = *state;
	static const unsigned char zero[8192 + 64];
	uint32_t before;
	char path[128];
	int fd;

	for (uint64_t id = 1; id <= 20; id++)
		assert_int_equal(add(f, id, 1, HB_SPAN("\r\nhello\r\n")), 0);
	assert_int_equal(wait_all(f), 0);
	close_spool(f);
	snprintf(path, sizeof(path), "%s/log/00000001", f->dir);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, zero, sizeof(zero), 0), sizeof(zero));
	close(fd);
	before = crc_of_segment(f);
	open_spool(f);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(crc_of_segment(f), before);
}

static void
messages_survive_a_restart(void **state)
{
	struct fix *f = *state;

	for (uint64_t id = 1; id <= 100; id++)
		assert_int_equal(add(f, id, id % 4, HB_SPAN("hello\r\n")), 0);
	assert_int_equal(add(f, 7, 1, HB_SPAN("x")), HB_E_EXISTS);
	assert_int_equal(finish(f, 7), HB_E_STATE);
	assert_int_equal(wait_all(f), 0);
	for (uint64_t id = 1; id <= 100; id += 2)
		assert_int_equal(finish(f, id), 0);
	assert_int_equal(finish(f, 7), HB_E_NOTFOUND);
	assert_int_equal(tried(f, 2, 3), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(q_spool_count(f->spool), 50);
	for (int i = 0; i < 3; i++) {
		reopen(f);
		assert_int_equal(f->nseen, 50);
		assert_int_equal(f->ncorrupt, 0);
		assert_int_equal(f->seen[0].id, 2);
		assert_int_equal(f->seen[0].attempts, 3);
		assert_int_equal(f->seen[1].id, 4);
	}
	assert_int_equal(body_of(f, 4), 0);
	assert_span(hb_buf_span(&f->head), HEAD);
	assert_span(hb_buf_span(&f->body), "hello\r\n");
	assert_int_equal(body_of(f, 5), HB_E_NOTFOUND);
}

static void
envelopes_are_loaded_with_added_recipients(void **state)
{
	struct fix *f = *state;
	struct hb_arena *a = hb_arena_new();
	struct hb_rcpt more = { .idx = 2, .address = HB_SPAN("z@z.example") };
	struct q_change c = { .kind = Q_CHANGE_RCPT, .rcpt = &more };
	struct hb_rcpt *rcpts;
	struct hb_env env;
	size_t n;

	assert_int_equal(add(f, 1, 2, HB_SPAN("x")), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(q_spool_change(f->spool, 1, &c, 1, NULL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(q_spool_load(f->spool, 1, a, &env, &rcpts,
		    &n), 0);
		assert_span(env.sender, "s@x.example");
		assert_int_equal(n, 3);
		assert_span(rcpts[0].address, "r@y.example");
		assert_span(rcpts[2].address, "z@z.example");
		reopen(f);
	}
	assert_int_equal(q_spool_load(f->spool, 2, a, &env, &rcpts, &n),
	    HB_E_NOTFOUND);
	hb_arena_free(&a);
}

static int
add_later(struct fix *f, uint64_t id, uint32_t idx, const char *address)
{
	struct hb_rcpt more = { .idx = idx, .address = hb_span_str(address) };
	struct q_change c = { .kind = Q_CHANGE_RCPT, .rcpt = &more };
	int r = q_spool_change(f->spool, id, &c, 1, on_durable, f);

	f->waiting += r == 0;
	return r;
}

/* Slices of one item until the end, or an error. */
static int
load_all(struct q_load *l, unsigned *slices)
{
	int r;

	*slices = 0;
	do
		r = q_load_some(l, 1);
	while (r == 0 && ++*slices < 1000);
	return r;
}

static void
envelopes_are_loaded_in_slices(void **state)
{
	struct fix *f = *state;
	struct hb_arena *a = hb_arena_new();
	struct q_load *l;
	struct hb_rcpt *rcpts;
	struct hb_env env;
	unsigned slices;
	size_t n;

	assert_int_equal(add(f, 1, 20, HB_SPAN("x")), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(add_later(f, 1, 21, "b@z.example"), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(tried(f, 1, 3), 0);
	/* written late, and not on the disk yet */
	assert_int_equal(add_later(f, 1, 20, "a@z.example"), 0);
	for (int i = 0; i < 2; i++) {
		l = q_load_new(f->spool, 1, a);
		assert_int_equal(load_all(l, &slices), 1);
		assert_true(slices > 20);
		q_load_result(l, &env, &rcpts, &n);
		q_load_free(&l);
		assert_span(env.sender, "s@x.example");
		assert_int_equal(n, 22);
		for (uint32_t k = 0; k < n; k++)
			assert_int_equal(rcpts[k].idx, k);
		assert_span(rcpts[19].address, "r@y.example");
		assert_span(rcpts[20].address, "a@z.example");
		assert_span(rcpts[21].address, "b@z.example");
		assert_int_equal(wait_all(f), 0);
		reopen(f);
	}
	hb_arena_free(&a);
}

/* It begins anew, or ends, when the message is not what it was. */
static void
slices_see_what_happens_meanwhile(void **state)
{
	struct fix *f = *state;
	struct hb_arena *a = hb_arena_new();
	struct q_load *l = q_load_new(f->spool, 1, a);
	unsigned slices;

	assert_int_equal(q_load_some(l, 1), HB_E_NOTFOUND);
	assert_int_equal(add(f, 1, 20, HB_SPAN("x")), 0);
	assert_int_equal(q_load_some(l, 1), HB_E_NOTFOUND); /* not durable */
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(q_load_some(l, 1), 0);
	assert_int_equal(q_load_some(l, 5), 0);
	/* this adds nothing to what is read */
	assert_int_equal(tried(f, 1, 3), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(q_load_some(l, 5), 0);
	assert_int_equal(add_later(f, 1, 20, "a@z.example"), 0);
	assert_int_equal(q_load_some(l, 5), HB_E_STATE);
	q_load_free(&l);
	assert_int_equal(wait_all(f), 0);
	l = q_load_new(f->spool, 1, a);
	assert_int_equal(q_load_some(l, 1), 0);
	assert_int_equal(finish(f, 1), 0);
	assert_int_equal(q_load_some(l, 5), HB_E_NOTFOUND);
	assert_int_equal(load_all(l, &slices), HB_E_NOTFOUND);
	q_load_free(&l);
	assert_int_equal(wait_all(f), 0);
	hb_arena_free(&a);
}

static int
add_file(struct fix *f, uint64_t id, struct hb_span body, uint32_t spoil)
{
	struct hb_env env = { .id = id, .flags = HB_ENV_LARGE,
		.size = body.n };
	struct hb_rcpt rcpt = { .address = HB_SPAN("r@y.example") };
	struct q_body b = { .head = HB_SPAN(HEAD), .large = true,
		.size = body.n,
		.crc = hb_crc32c(0, body) ^ spoil };
	int fd, r;

	assert_int_equal(q_spool_large_create(f->spool, id, &fd), 0);
	assert_int_equal(write(fd, body.p, body.n), body.n);
	close(fd);
	r = q_spool_add(f->spool, &env, &rcpt, 1, &b, on_durable, f);
	f->waiting += r == 0;
	return r;
}

static int
add_large(struct fix *f, uint64_t id, size_t size, uint32_t spoil)
{
	unsigned char *bytes = malloc(size);
	int r;

	memset(bytes, 'L', size);
	for (size_t end = size; end > 1; end -= end < 1000 ? end : 1000)
		memcpy(bytes + end - 2, "\r\n", 2);
	r = add_file(f, id, hb_span(bytes, size), spoil);
	free(bytes);
	return r;
}

static int
large_files(struct fix *f)
{
	char path[128];
	struct dirent *e;
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "%s/large", f->dir);
	d = opendir(path);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
large_messages_are_checked_and_removed(void **state)
{
	struct fix *f = *state;
	int fd;

	assert_int_equal(add_large(f, 1, 3000000, 0), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(add_large(f, 2, 1000, 1), 0);
	assert_int_equal(wait_all(f), HB_E_CORRUPT);
	assert_int_equal(q_spool_large_create(f->spool, 3, &fd), 0);
	close(fd);
	reopen(f);
	assert_int_equal(large_files(f), 1); /* orphans are gone */
	assert_int_equal(f->nseen, 1);
	assert_int_equal(body_of(f, 1), 0);
	assert_true(f->fd >= 0);
	assert_int_equal(lseek(f->fd, 0, SEEK_END), 3000000);
	assert_int_equal(write(f->fd, "x", 1), -1); /* read-only */
	close(f->fd);
	assert_int_equal(finish(f, 1), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	assert_int_equal(large_files(f), 0);
}

/* A file that a body waits in has no name, and is in nobody's way. */
static void
test_T_7_a_kept_body_leaves_nothing(void **state)
{
	struct fix *f = *state;
	char byte;
	int fd;

	assert_int_equal(q_spool_kept_create(f->spool, 1, &fd), 0);
	assert_int_equal(large_files(f), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(add_large(f, 1, 3000, 0), 0);
	assert_int_equal(wait_all(f), 0);
	close(fd);
	assert_int_equal(q_spool_kept_create(f->spool, 1, &fd), HB_E_EXISTS);
	assert_int_equal(body_of(f, 1), 0);
	close(f->fd);
}

/* Whoever wrote the file made the checksum too. */
static void
test_A_1_large_bodies_have_wire_form(void **state)
{
	static const char *const bad[] = { "x\r\n.\r\nQUIT\r\n", "x\n.\r\n",
		"x\r.\r\n", "x", "x\r" };
	struct fix *f = *state;

	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++) {
		assert_int_equal(add_file(f, 1, hb_span_str(bad[i]), 0), 0);
		assert_int_equal(wait_all(f), HB_E_CORRUPT);
		reopen(f);
		assert_int_equal(large_files(f), 0);
		assert_int_equal(f->nseen, 0);
	}
}

static void
an_altered_large_file_is_set_aside(void **state)
{
	struct fix *f = *state;
	char path[128];
	int fd;

	assert_int_equal(add_large(f, 1, 300000, 0), 0);
	assert_int_equal(wait_all(f), 0);
	snprintf(path, sizeof(path), "%s/large/%016x", f->dir, 1);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 299999), 1);
	close(fd);
	assert_int_equal(body_of(f, 1), HB_E_CORRUPT);
	assert_int_equal(large_files(f), 0);
	assert_int_equal(finish(f, 1), 0);
	assert_int_equal(wait_all(f), 0);
	snprintf(path, sizeof(path), "%s/corrupt/%016x", f->dir, 1);
	assert_int_equal(access(path, R_OK), 0);
}

static void
flip_body(struct fix *f, const char *needle)
{
	static unsigned char bytes[20 << 20];
	char path[128];
	unsigned char *at;
	ssize_t n;
	int fd;

	for (int i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/log/%08x", f->dir, i);
		fd = open(path, O_RDWR);
		if (fd < 0)
			continue;
		n = read(fd, bytes, sizeof(bytes));
		at = memmem(bytes, (size_t)n, needle, strlen(needle));
		if (at != NULL)
			assert_int_equal(pwrite(fd, "X", 1, at - bytes), 1);
		close(fd);
	}
}

/* Read in slices, the good part is not taken for the whole. */
static void
slices_find_a_damaged_update(void **state)
{
	struct fix *f = *state;
	struct hb_arena *a = hb_arena_new();
	struct q_load *l;
	unsigned slices;

	assert_int_equal(add(f, 1, 20, HB_SPAN("x")), 0);
	assert_int_equal(wait_all(f), 0);
	assert_int_equal(add_later(f, 1, 20, "needle@z.example"), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	l = q_load_new(f->spool, 1, a);
	assert_int_equal(q_load_some(l, 1), 0);
	flip_body(f, "needle");
	assert_int_equal(load_all(l, &slices), HB_E_CORRUPT);
	assert_true(slices >= 20);
	q_load_free(&l);
	hb_arena_free(&a);
}

static void
an_altered_body_is_never_handed_out(void **state)
{
	struct fix *f = *state;

	assert_int_equal(add(f, 1, 1, HB_SPAN("first")), 0);
	assert_int_equal(add(f, 2, 1, HB_SPAN("needle-in-2")), 0);
	assert_int_equal(add(f, 3, 1, HB_SPAN("third")), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f); /* out of the cache */
	flip_body(f, "needle-in-2");
	assert_int_equal(body_of(f, 2), HB_E_CORRUPT);
	assert_int_equal(body_of(f, 3), 0);
	reopen(f);
	assert_int_equal(f->ncorrupt, 1);
	assert_int_equal(f->nseen, 2);
	assert_int_equal(body_of(f, 1), 0);
	assert_int_equal(body_of(f, 3), 0);
}

/* Many times a segment's worth of mail passes; some stays. */
static void
a_small_spool_stays_small(void **state)
{
	struct fix *f = *state;
	static unsigned char bytes[200000];
	char path[128];
	struct dirent *e;
	int n = 0;
	DIR *d;

	memset(bytes, 'b', sizeof(bytes));
	for (uint64_t id = 1; id <= 900; id++) {
		assert_int_equal(add(f, id, 1, hb_span(bytes, sizeof(bytes))),
		    0);
		if (id % 20 == 0) {
			assert_int_equal(wait_all(f), 0);
			for (uint64_t k = id - 19; k < id; k++)
				assert_int_equal(finish(f, k), 0);
			assert_int_equal(wait_all(f), 0);
		}
	}
	reopen(f);
	assert_int_equal(f->nseen, 45);
	snprintf(path, sizeof(path), "%s/log", f->dir);
	d = opendir(path);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	assert_true(n >= 2 && n <= 16);
}

static void
rtls_02_updates_fold_into_a_move(void **state)
{
	struct fix *f = *state;

	assert_int_equal(add(f, 1, 1, HB_SPAN("body")), 0);
	assert_int_equal(wait_all(f), 0);
	for (uint32_t i = 1; i <= 100; i++) {
		assert_int_equal(tried(f, 1, i), 0);
		assert_int_equal(wait_all(f), 0);
	}
	reopen(f);
	assert_int_equal(f->nseen, 1);
	assert_int_equal(f->seen[0].flags, HB_ENV_REQUIRETLS);
	assert_int_equal(f->seen[0].attempts, 100);
	assert_true(f->seen[0].nchange < 25);
	assert_int_equal(body_of(f, 1), 0);
	assert_span(hb_buf_span(&f->body), "body");
}

/* Larger than a segment: it gets one of its own size. */
static void
a_giant_record_gets_its_segment(void **state)
{
	struct fix *f = *state;
	size_t size = 17 << 20;
	unsigned char *bytes = malloc(size);

	memset(bytes, 'g', size);
	assert_int_equal(add(f, 1, 1, HB_SPAN("small")), 0);
	assert_int_equal(add(f, 2, 1, hb_span(bytes, size)), 0);
	assert_int_equal(add(f, 3, 1, HB_SPAN("small")), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	assert_int_equal(f->nseen, 3);
	assert_int_equal(body_of(f, 2), 0);
	assert_int_equal(f->body.n, size);
	free(bytes);
}

/* What this process has read so far, by the kernel's account. */
static long long
bytes_read(void)
{
	FILE *io = fopen("/proc/self/io", "r");
	long long n = 0;

	assert_non_null(io);
	assert_int_equal(fscanf(io, "rchar: %lld", &n), 1);
	fclose(io);
	return n;
}

/* Each job asks for the body. */
static void
test_A_2_a_body_is_read_without_the_recipients(void **state)
{
	struct fix *f = *state;
	long long before, once;

	assert_int_equal(add(f, 1, 50000, HB_SPAN("hello\r\n")), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	before = bytes_read();
	assert_int_equal(body_of(f, 1), 0);
	once = bytes_read() - before;
	assert_true(once > 50000 * 11);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(body_of(f, 1), 0);
		assert_span(hb_buf_span(&f->head), HEAD);
		assert_span(hb_buf_span(&f->body), "hello\r\n");
	}
	assert_true(bytes_read() - before < 2 * once);
}

/* A message comes in with its state: one record, all or nothing. */
static void
test_S_17_a_message_with_its_changes(void **state)
{
	struct fix *f = *state;
	struct hb_env env = { .id = 7, .arrived_ms = 5,
		.sender = HB_SPAN("s@x.example") };
	struct hb_rcpt rcpt = { .address = HB_SPAN("r@y.example") };
	struct q_change c[] = { { .kind = Q_CHANGE_TRIED, .attempts = 4 },
		{ .kind = Q_CHANGE_WARNED } };
	struct q_body b = { .bytes = HB_SPAN("a: b\r\n"), .changes = c,
		.nchanges = HB_ARRAY_LEN(c) };

	assert_int_equal(q_spool_add(f->spool, &env, &rcpt, 1, &b, on_durable,
	    f), 0);
	f->waiting++;
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	assert_int_equal(f->nseen, 1);
	assert_int_equal(f->seen[0].nchange, 2);
	assert_int_equal(f->seen[0].attempts, 4);
	assert_int_equal(tried(f, 7, 5), 0);
	assert_int_equal(wait_all(f), 0);
	reopen(f);
	assert_int_equal(f->seen[0].attempts, 5);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(messages_survive_a_restart),
		T(envelopes_are_loaded_with_added_recipients),
		T(envelopes_are_loaded_in_slices),
		T(slices_see_what_happens_meanwhile),
		T(slices_find_a_damaged_update),
		T(large_messages_are_checked_and_removed),
		T(test_T_7_a_kept_body_leaves_nothing),
		T(test_A_1_large_bodies_have_wire_form),
		T(an_altered_large_file_is_set_aside),
		T(a_spool_of_another_format_is_refused),
		T(test_A_35_a_segment_without_its_beginning_stays),
		T(an_altered_body_is_never_handed_out),
		T(a_small_spool_stays_small),
		T(rtls_02_updates_fold_into_a_move),
		T(a_giant_record_gets_its_segment),
		T(test_S_17_a_message_with_its_changes),
		T(test_A_2_a_body_is_read_without_the_recipients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
