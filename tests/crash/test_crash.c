/*
 * Stops the spool at every write, flush, creation and removal of a scripted
 * run, loses what was not flushed in several ways, replays and compares with
 * a model: each acknowledged message is there once, with its state; nothing
 * that was finished comes back; what was not acknowledged is there whole or
 * not at all.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "queue/spool/spool-priv.h"
#include "tests/crash/simfs.h"

enum {
	SEGMENT = 8192 + 6000,
	MESSAGES = 160,
	LARGE_EVERY = 17,
	FEW_WORK = 1500,
	MAX_BODY = 1200
};

/* What was asked for and what was acknowledged, by message. */
struct model {
	bool asked, acked, failed, finish_asked, finish_acked;
	uint32_t tried_asked, tried_acked;
	uint32_t rcpts_asked, rcpts_acked;
	/* seen at replay */
	unsigned seen;
	uint32_t tried, rcpts;
};

struct run {
	struct sim *sim;
	struct q_spool *spool;
	struct q_exec exec;
	STAILQ_HEAD(, flush_task) jobs;
	struct model m[MESSAGES + 1];
	unsigned ncorrupt, nspace;
	unsigned nparts; /* turns that left a move unfinished */
	bool has_moved;	 /* a move was on its way to the disk */
	uint64_t space;
	int body_err;
	struct hb_buf body;
	char where[64]; /* for messages of this test */
};

/* --- jobs run when the test says so --- */

static void
submit(void *ctx, struct flush_task *j)
{
	struct run *r = ctx;

	STAILQ_INSERT_TAIL(&r->jobs, j, link);
}

static bool
run_job(struct run *r)
{
	struct flush_task *j = STAILQ_FIRST(&r->jobs);

	if (j == NULL)
		return false;
	STAILQ_REMOVE_HEAD(&r->jobs, link);
	j->run(j);
	j->done(j);
	return true;
}

static void
drain(void *ctx)
{
	while (run_job(ctx))
		continue;
}

static void
no_wake(void *ctx, int64_t ms)
{
}

/* messages made of their number; each has a header section */

enum { HEAD_SIZE = 24 };

static size_t
body_size(uint64_t id)
{
	return (size_t)(id * 7919 % MAX_BODY);
}

static void
make_body(uint64_t id, unsigned char *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (unsigned char)('0' + (id * 31 + i * 7) % 64);
	if (n >= 2)
		memcpy(dst + n - 2, "\r\n", 2);
}

static bool
is_large(uint64_t id)
{
	return id % LARGE_EVERY == 0;
}

static uint32_t
first_rcpts(uint64_t id)
{
	return (uint32_t)(id % 3 + 1);
}

/* --- replay --- */

static void
on_message(void *ctx, const struct hb_env *env, const struct hb_rcpt *rcpts,
    size_t n)
{
	struct run *r = ctx;

	assert_true(env->id >= 1 && env->id <= MESSAGES);
	assert_true(env->size == HEAD_SIZE + body_size(env->id));
	for (size_t i = 0; i < n; i++)
		assert_true(rcpts[i].idx == i);
	r->m[env->id].seen++;
	r->m[env->id].rcpts = (uint32_t)n;
}

static void
on_change(void *ctx, uint64_t id, const struct q_change *c)
{
	struct run *r = ctx;

	assert_int_equal(r->m[id].seen, 1);
	if (c->kind == Q_CHANGE_RCPT)
		r->m[id].rcpts++;
	if (c->kind == Q_CHANGE_TRIED)
		r->m[id].tried = c->attempts;
}

static void
on_corrupt(void *ctx, uint64_t id, const char *file)
{
	assert_memory_equal(file, "corrupt/", 8);
	((struct run *)ctx)->ncorrupt++;
}

static void
on_space(void *ctx, uint64_t bytes)
{
	struct run *r = ctx;

	r->nspace++;
	r->space = bytes;
}

static const struct q_spool_ops ops = { on_message, on_change, on_corrupt,
	on_space };

/* So little that a move takes many turns; 0: the usual. */
static unsigned move_work;

static void
start(struct run *r)
{
	struct q_spool_cfg cfg = { .io = sim_io(r->sim), .exec = &r->exec,
		.ops = &ops, .ctx = r, .wake = no_wake,
		.segment_size = SEGMENT, .cache_bytes = 8000,
		.move_work = move_work };
	struct hb_buf err = HB_BUF_INIT(0);

	r->exec = (struct q_exec){ r, submit, drain };
	STAILQ_INIT(&r->jobs);
	for (size_t i = 0; i <= MESSAGES; i++)
		r->m[i].seen = r->m[i].tried = r->m[i].rcpts = 0;
	r->ncorrupt = 0;
	r->spool = q_spool_start(&cfg, &err);
	hb_buf_free(&err);
}

/* --- the script --- */

struct ack {
	struct run *r;
	uint64_t id;
	uint32_t tried, rcpts;
	bool add, finish;
};

static void
on_ack(void *ctx, int err)
{
	struct ack *a = ctx;
	struct model *m = &a->r->m[a->id];

	if (err == 0) {
		m->acked |= a->add;
		m->finish_acked |= a->finish;
		if (a->tried > m->tried_acked)
			m->tried_acked = a->tried;
		m->rcpts_acked += a->rcpts;
	} else if (a->add) {
		m->failed = true;
	}
	free(a);
}

static struct ack *
new_ack(struct run *r, uint64_t id)
{
	struct ack *a = calloc(1, sizeof(*a));

	a->r = r;
	a->id = id;
	return a;
}

static bool
write_large(struct run *r, uint64_t id, struct hb_span body)
{
	struct q_io *io = sim_io(r->sim);
	int fd;

	if (q_spool_large_create(r->spool, id, &fd) < 0)
		return false;
	(void)io->pwrite(io->ctx, fd, body, 0);
	io->close(io->ctx, fd);
	return true;
}

static void
add(struct run *r, uint64_t id)
{
	struct hb_rcpt rcpts[3] = { { 0 } };
	unsigned char bytes[MAX_BODY];
	unsigned char head[HEAD_SIZE];
	struct hb_env env = { .id = id, .head = HEAD_SIZE,
		.size = HEAD_SIZE + body_size(id) };
	struct q_body body = { .head = hb_span(head, HEAD_SIZE),
		.bytes = hb_span(bytes, body_size(id)) };
	struct ack *a = new_ack(r, id);

	make_body(id, head, HEAD_SIZE);
	make_body(id, bytes, body.bytes.n);
	for (uint32_t i = 0; i < first_rcpts(id); i++)
		rcpts[i] = (struct hb_rcpt){ .idx = i,
			.address = HB_SPAN("someone@example.org") };
	if (is_large(id)) {
		body.large = true;
		body.size = body.bytes.n;
		body.crc = hb_crc32c(0, body.bytes);
		(void)write_large(r, id, body.bytes);
		body.bytes = HB_SPAN_NONE;
	}
	a->add = true;
	r->m[id].asked = true;
	r->m[id].rcpts_asked = r->m[id].rcpts_acked = first_rcpts(id);
	if (q_spool_add(r->spool, &env, rcpts, first_rcpts(id), &body, on_ack,
		a) < 0) {
		r->m[id].failed = true;
		free(a);
	}
}

static void
try_again(struct run *r, uint64_t id)
{
	struct hb_outcome out = { .result = HB_RESULT_DEFER, .code = 451,
		.text = HB_SPAN("try again later") };
	struct q_change c = { .kind = Q_CHANGE_TRIED, .outcome = &out };
	struct ack *a = new_ack(r, id);

	c.attempts = a->tried = r->m[id].tried_asked + 1;
	if (q_spool_change(r->spool, id, &c, 1, on_ack, a) < 0)
		free(a);
	else
		r->m[id].tried_asked++;
}

static void
add_rcpt(struct run *r, uint64_t id)
{
	struct hb_rcpt rcpt = { .idx = r->m[id].rcpts_asked,
		.address = HB_SPAN("expanded@example.org") };
	struct q_change c = { .kind = Q_CHANGE_RCPT, .rcpt = &rcpt };
	struct ack *a = new_ack(r, id);

	a->rcpts = 1;
	if (q_spool_change(r->spool, id, &c, 1, on_ack, a) < 0)
		free(a);
	else
		r->m[id].rcpts_asked++;
}

static void
finish(struct run *r, uint64_t id)
{
	struct q_change c = { .kind = Q_CHANGE_FINISHED };
	struct ack *a = new_ack(r, id);

	a->finish = true;
	if (q_spool_change(r->spool, id, &c, 1, on_ack, a) < 0)
		free(a);
	else
		r->m[id].finish_asked = true;
}

/* Results for mail that stays: many for one, with pauses in which it can be
 * moved; recipients for another. */
static void
change_old(struct run *r, uint64_t id)
{
	for (int i = 0; i < 2 && id % 10 < 6; i++)
		try_again(r, id < 60 ? 20 : 65);
	if (id % 6 == 3)
		add_rcpt(r, id < 60 ? 29 : 83);
}

static bool
has_move(const struct spool_batch *b)
{
	const struct q_rec *rec;

	if (b != NULL)
		STAILQ_FOREACH(rec, &b->recs, link)
			if (rec->type == Q_REC_MOVE)
				return true;
	return false;
}

static void
turn(struct run *r)
{
	q_spool_turn(r->spool);
	r->has_moved |= has_move(r->spool->flying);
	r->nparts += r->spool->mover != NULL;
}

/* Most mail leaves soon; of the rest some leaves late and some stays, so that
 * segments are reused, emptied and moved. */
static void
script(struct run *r)
{
	for (uint64_t id = 1; id <= MESSAGES && !sim_has_crashed(r->sim);
	     id++) {
		add(r, id);
		change_old(r, id);
		if (id > 3 && id % 9 != 5)
			finish(r, id - 3);
		if (id > 40 && id % 9 == 5)
			finish(r, id - 39);
		turn(r);
		if (id % 4 != 0)
			run_job(r);
		if (id % 7 == 0)
			drain(r);
	}
	for (int i = 0; i < 6 && !sim_has_crashed(r->sim); i++) {
		turn(r);
		drain(r);
	}
}

/* --- comparing --- */

static void
on_content(void *ctx, int err, const struct q_content *c)
{
	struct run *r = ctx;
	struct q_io *io = sim_io(r->sim);
	unsigned char large[MAX_BODY];

	r->body_err = err;
	hb_buf_clear(&r->body);
	hb_buf_add(&r->body, c->head);
	hb_buf_add(&r->body, c->body);
	if (c->fd >= 0) {
		hb_buf_add(&r->body, hb_span(large, (size_t)io->pread(io->ctx,
		    c->fd, large, sizeof(large), 0)));
		io->close(io->ctx, c->fd);
	}
}

static void
body_is_whole(struct run *r, uint64_t id)
{
	unsigned char want[HEAD_SIZE + MAX_BODY];
	size_t n = HEAD_SIZE + body_size(id);

	r->body_err = 1;
	q_spool_content(r->spool, id, on_content, r);
	assert_int_equal(r->body_err, 1); /* never inside of the question */
	q_read_wanted(r->spool);
	drain(r);
	assert_int_equal(r->body_err, 0);
	make_body(id, want, HEAD_SIZE);
	make_body(id, want + HEAD_SIZE, n - HEAD_SIZE);
	assert_true(hb_span_eq(hb_buf_span(&r->body), hb_span(want, n)));
}

/* What is wrong with a message, or NULL. */
static const char *
fault(const struct model *m, bool after_failure)
{
	if (m->seen > 1)
		return "is there twice";
	if (m->acked && !m->finish_asked && m->seen == 0)
		return "is lost";
	if (m->finish_acked && m->seen > 0)
		return "came back";
	if (!m->asked && m->seen > 0)
		return "was never asked for";
	if (m->failed && after_failure && m->seen > 0)
		return "was refused and is there";
	if (m->seen == 0)
		return NULL;
	if (m->tried < m->tried_acked || m->tried > m->tried_asked)
		return "has the wrong state";
	if (m->rcpts < m->rcpts_acked || m->rcpts > m->rcpts_asked)
		return "has the wrong recipients";
	return NULL;
}

static void
compare_one(struct run *r, uint64_t id, bool after_failure)
{
	const char *why = fault(&r->m[id], after_failure);

	if (why != NULL)
		fail_msg("%s: message %u %s", r->where, (unsigned)id, why);
	if (r->m[id].seen > 0)
		body_is_whole(r, id);
}

static void
compare(struct run *r, bool after_failure)
{
	for (uint64_t id = 1; id <= MESSAGES; id++)
		compare_one(r, id, after_failure);
}

/* The state at one start is what the next one must find. */
static void
take_as_truth(struct run *r)
{
	for (uint64_t id = 1; id <= MESSAGES; id++) {
		struct model *m = &r->m[id];
		bool there = m->seen == 1;

		*m = (struct model){ .asked = there, .acked = there,
			.tried_asked = m->tried, .tried_acked = m->tried,
			.rcpts_asked = m->rcpts, .rcpts_acked = m->rcpts };
	}
}

/* After a crash the spool works: a second run, then a second start. */
static void
goes_on(struct run *r)
{
	take_as_truth(r);
	for (uint64_t id = 1; id <= MESSAGES; id++) {
		if (!r->m[id].asked && id % 8 == 0) {
			memset(&r->m[id], 0, sizeof(r->m[id]));
			add(r, id);
		} else if (r->m[id].asked && id % 2 == 0) {
			finish(r, id);
		} else if (r->m[id].asked) {
			try_again(r, id);
		}
		q_spool_turn(r->spool);
		if (id % 16 == 0)
			drain(r);
	}
	q_spool_finish(&r->spool);
	start(r);
	assert_non_null(r->spool);
	compare(r, false);
	assert_int_equal(r->ncorrupt, 0);
}

static void
end(struct run *r)
{
	if (r->spool != NULL)
		q_spool_finish(&r->spool);
	sim_free(&r->sim);
	hb_buf_free(&r->body);
}

/* One way of losing what was not flushed when R stopped. */
static void
check_loss(const struct run *stopped, enum sim_loss loss, uint32_t seed)
{
	struct run *r = malloc(sizeof(*r));

	*r = *stopped;
	r->body = HB_BUF_INIT(0);
	r->sim = sim_after_crash(stopped->sim, loss, seed);
	snprintf(r->where, sizeof(r->where), "stopped at %u, loss %d, first",
	    sim_ops(stopped->sim), (int)loss);
	start(r);
	assert_non_null(r->spool);
	if (loss != SIM_SECTORS)
		assert_int_equal(r->ncorrupt, 0);
	/* no segment without a header is left over */
	assert_int_equal(sim_count(r->sim, "log"), r->spool->segs.nseg);
	compare(r, false);
	snprintf(r->where, sizeof(r->where), "stopped at %u, loss %d, second",
	    sim_ops(stopped->sim), (int)loss);
	if (loss != SIM_SECTORS && seed % 3 == 0)
		goes_on(r);
	end(r);
	free(r);
}

static struct run *
new_run(void)
{
	struct run *r = calloc(1, sizeof(*r));

	r->sim = sim_new();
	return r;
}

static unsigned
count_points(void)
{
	struct run *r = new_run();
	unsigned n;

	start(r);
	script(r);
	n = sim_ops(r->sim);
	assert_true(r->has_moved);
	assert_true(move_work == 0 || r->nparts >= 20);
	end(r);
	free(r);
	return n;
}

static void
crash_at(unsigned op)
{
	struct run *r = new_run();

	sim_crash_at(r->sim, op);
	start(r);
	if (r->spool != NULL) {
		struct model m[MESSAGES + 1];

		script(r);
		assert_true(sim_has_crashed(r->sim));
		memcpy(m, r->m, sizeof(m));
		q_spool_finish(&r->spool);
		/* what is told after the crash counts for nothing */
		memcpy(r->m, m, sizeof(m));
	}
	for (int loss = 0; loss < SIM_LOSSES; loss++)
		check_loss(r, loss, op * 4 + (unsigned)loss);
	check_loss(r, SIM_TEAR_LAST, op + 77777);
	end(r);
	free(r);
}

static void
crash_everywhere(void)
{
	unsigned n = count_points();

	printf("%u crash points\n", n);
	assert_true(n >= 300);
	for (unsigned op = 1; op <= n; op++)
		crash_at(op);
	printf("%u crash points\n", n);
}

static void
every_crash_point_keeps_what_was_acknowledged(void **state)
{
	crash_everywhere();
}

static void
test_A_2_every_crash_point_of_moves_in_parts(void **state)
{
	move_work = FEW_WORK;
	crash_everywhere();
	move_work = 0;
}

/* A call fails once; the spool goes on and keeps its word. */
static void
fail_at(unsigned op, int err, enum sim_loss loss)
{
	struct run *r = new_run();
	struct sim *disk;

	sim_fail_at(r->sim, op, err);
	start(r);
	if (r->spool == NULL) {
		end(r);
		free(r);
		return;
	}
	script(r);
	q_spool_finish(&r->spool);
	disk = sim_after_crash(r->sim, loss, op);
	sim_free(&r->sim);
	r->sim = disk;
	snprintf(r->where, sizeof(r->where), "failed at %u with %d, loss %d",
	    op, -err, (int)loss);
	start(r);
	assert_non_null(r->spool);
	compare(r, true);
	end(r);
	free(r);
}

static void
every_failed_call_is_survived(void **state)
{
	unsigned n = count_points();

	for (unsigned op = 1; op <= n; op++) {
		fail_at(op, -EIO, op % 2 ? SIM_LOSE_ALL : SIM_KEEP_ALL);
		fail_at(op, -ENOSPC, op % 2 ? SIM_KEEP_ALL : SIM_LOSE_ALL);
	}
}

static void
settle(struct run *r)
{
	for (int i = 0; i < 20; i++) {
		q_spool_turn(r->spool);
		drain(r);
	}
}

/* What comes meanwhile is kept, and others have their turns. */
static void
test_A_2_a_message_is_moved_in_parts(void **state)
{
	struct run *r = new_run();
	struct spool_entry *m;

	move_work = FEW_WORK;
	start(r);
	add(r, 20);
	settle(r);
	m = q_index_find(&r->spool->index, 20);
	for (int i = 0; i < 200; i++) {
		if (i % 2 == 0)
			try_again(r, 20);
		if (i % 50 == 7)
			add_rcpt(r, 20);
		turn(r);
		drain(r);
	}
	assert_true(r->nparts > 20);
	settle(r);
	assert_true(m->x->nchain < 50);
	q_spool_finish(&r->spool);
	start(r);
	compare(r, false);
	assert_int_equal(r->m[20].tried, 100);
	move_work = 0;
	end(r);
	free(r);
}

/* WHICH: the write (1) or the flush (2) of the batch fails, once. */
static void
refused_then_taken(unsigned which)
{
	struct run *r = new_run();
	uint32_t gen;

	start(r);
	add(r, 1);
	settle(r);
	gen = q_index_find(&r->spool->index, 1)->base.gen;
	sim_fail_at(r->sim, sim_ops(r->sim) + which, -EIO);
	add(r, 2);
	finish(r, 1);
	settle(r);
	assert_true(r->m[2].failed);
	assert_false(r->m[2].acked);
	assert_true(r->m[1].finish_acked); /* written again elsewhere */
	add(r, 3);
	settle(r);
	assert_true(r->m[3].acked);
	assert_true(q_index_find(&r->spool->index, 3)->base.gen != gen);
	end(r);
	free(r);
}

static void
a_failed_flush_is_not_tried_again_there(void **state)
{
	refused_then_taken(1);
	refused_then_taken(2);
}

/* --- damage --- */

/* Three acknowledged messages; WHICH is where its record stands. */
static struct run *
three_messages(uint64_t which, bool clean, struct q_piece *p)
{
	struct run *r = new_run();

	start(r);
	for (uint64_t id = 1; id <= 3; id++) {
		add(r, id);
		q_spool_turn(r->spool);
		drain(r);
		q_spool_turn(r->spool);
		drain(r);
	}
	*p = q_index_find(&r->spool->index, which)->base;
	if (clean)
		q_spool_finish(&r->spool);
	return r;
}

static struct run *
restarted(const struct run *from)
{
	struct run *r = malloc(sizeof(*r));

	*r = *from;
	r->spool = NULL;
	r->body = HB_BUF_INIT(0);
	r->sim = sim_after_crash(from->sim, SIM_KEEP_ALL, 1);
	return r;
}

static void
check_damage(struct run *r, uint64_t gone, unsigned corrupt)
{
	start(r);
	assert_non_null(r->spool);
	assert_int_equal(r->ncorrupt, corrupt);
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(r->m[id].seen, id != gone);
		if (id != gone)
			body_is_whole(r, id);
	}
	assert_int_equal(sim_count(r->sim, "corrupt"), corrupt);
	end(r);
	free(r);
}

static void
flip_each_byte(uint64_t which, bool clean)
{
	struct q_piece p;
	struct run *from = three_messages(which, clean, &p);

	for (uint32_t i = 0; i < p.total; i++) {
		struct run *r = restarted(from);
		struct hb_buf *b = sim_bytes(r->sim, "log/00000001");
		/* padding is not part of the record */
		bool pad = i >= Q_REC_HEAD + q_u32_at(hb_span(b->p + p.off, 8),
		    1);

		b->p[p.off + i] ^= 0x10;
		check_damage(r, pad ? 0 : which, !pad);
	}
	end(from);
	free(from);
}

static void
a_damaged_record_loses_no_other(void **state)
{
	flip_each_byte(1, false);
	flip_each_byte(2, false);
	flip_each_byte(3, true); /* the last one, after a clean end */
}

/* The body of a message whose envelope is damaged is set aside with it. */
static void
a_damaged_envelope_keeps_its_large_body(void **state)
{
	struct run *from = new_run(), *r;
	struct q_piece p;
	uint64_t id = 1, small = 1;

	while (!is_large(id))
		id++;
	while (is_large(small))
		small++;
	start(from);
	settle(from);
	add(from, id);
	settle(from);
	add(from, small);
	settle(from);
	p = q_index_find(&from->spool->index, id)->base;
	r = restarted(from);
	sim_bytes(r->sim, "log/00000001")->p[p.off + Q_REC_HEAD + 4] ^= 1;
	start(r);
	assert_false(r->m[id].seen);
	assert_true(r->m[small].seen);
	assert_int_equal(sim_count(r->sim, "large"), 0);
	assert_int_equal(sim_count(r->sim, "corrupt"), 2);
	end(r);
	free(r);
	end(from);
	free(from);
}

static void
a_cut_tail_is_no_damage(void **state)
{
	struct q_piece p;
	struct run *from = three_messages(3, false, &p);

	for (uint32_t cut = 0; cut < p.total - Q_REC_ALIGN; cut++) {
		struct run *r = restarted(from);
		struct hb_buf *b = sim_bytes(r->sim, "log/00000001");

		memset(b->p + p.off + cut, 0, b->n - p.off - cut);
		check_damage(r, 3, 0);
	}
	end(from);
	free(from);
}

static void
one_header_is_enough(void **state)
{
	struct q_piece p;
	struct run *from = three_messages(1, false, &p);

	for (uint32_t i = 0; i < 2 * Q_HEADER_SIZE; i++) {
		struct run *r = restarted(from);
		struct hb_buf *b = sim_bytes(r->sim, "log/00000001");

		b->p[i % Q_HEADER_SIZE +
		    (i < Q_HEADER_SIZE ? 0 : Q_HEADER_COPY)] ^= 0x10;
		check_damage(r, 0, 0);
	}
	end(from);
	free(from);
}

/* --- full disks --- */

/* A file system that takes no more: mail is refused, results still find
 * room, and what they free is used again. */
static void
a_full_disk_keeps_room_for_results(void **state)
{
	struct run *r = new_run();
	uint64_t id, last = 0;

	start(r);
	settle(r);
	for (id = 1; id <= MESSAGES && last == 0; id++) {
		if (is_large(id))
			continue;
		sim_set_full(r->sim, id > 30);
		add(r, id);
		settle(r);
		if (r->m[id].failed)
			last = id;
	}
	assert_true(last > 30);
	for (id = 1; id <= 10; id++) {
		try_again(r, id);
		settle(r);
		assert_int_equal(r->m[id].tried_acked, 1);
	}
	for (id = 1; id < last; id++)
		if (!is_large(id))
			finish(r, id);
	settle(r);
	for (id = 1; id < last; id++)
		assert_true(is_large(id) || r->m[id].finish_acked);
	add(r, MESSAGES);
	settle(r);
	assert_true(r->m[MESSAGES].acked);
	end(r);
	free(r);
}

/* A start on a full disk finds no room for a new segment: what is recorded
 * then goes behind the last record, and what it frees is used again. */
static void
a_start_on_a_full_disk_records_results(void **state)
{
	struct run *first = new_run(), *r;
	uint64_t id, last = 0;

	start(first);
	settle(first);
	for (id = 1; id <= MESSAGES && last == 0; id++) {
		if (is_large(id))
			continue;
		sim_set_full(first->sim, id > 30);
		add(first, id);
		settle(first);
		if (first->m[id].failed)
			last = id;
	}
	for (id = 1; id <= 5; id++) {
		try_again(first, id);
		settle(first);
	}
	r = restarted(first);
	sim_set_full(r->sim, true);
	start(r);
	for (id = 1; id < last; id++)
		if (!is_large(id)) {
			assert_true(r->m[id].seen);
			finish(r, id);
		}
	settle(r);
	for (id = 1; id < last; id++)
		assert_true(is_large(id) || r->m[id].finish_acked);
	add(r, MESSAGES);
	settle(r);
	assert_true(r->m[MESSAGES].acked);
	end(r);
	free(r);
	end(first);
	free(first);
}

static void
space_is_told_once_and_comes_back(void **state)
{
	struct run *r = new_run();

	start(r);
	settle(r);
	assert_int_equal(r->nspace, 0);
	sim_set_avail(r->sim, 0);
	q_spool_space_look(r->spool);
	q_spool_space_look(r->spool);
	assert_int_equal(r->nspace, 1);
	assert_int_equal(r->space, 0);
	add(r, 1);
	assert_true(r->m[1].failed);
	sim_set_avail(r->sim, 1 << 20);
	q_spool_space_look(r->spool);
	assert_int_equal(r->nspace, 2);
	assert_true(r->space > 0);
	add(r, 2);
	settle(r);
	assert_true(r->m[2].acked);
	end(r);
	free(r);
}

static void
no_log(void *ctx, enum hb_level level, struct hb_span record)
{
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_crash_point_keeps_what_was_acknowledged),
		cmocka_unit_test(
		    test_A_2_every_crash_point_of_moves_in_parts),
		cmocka_unit_test(test_A_2_a_message_is_moved_in_parts),
		cmocka_unit_test(every_failed_call_is_survived),
		cmocka_unit_test(a_failed_flush_is_not_tried_again_there),
		cmocka_unit_test(a_damaged_record_loses_no_other),
		cmocka_unit_test(a_damaged_envelope_keeps_its_large_body),
		cmocka_unit_test(a_cut_tail_is_no_damage),
		cmocka_unit_test(one_header_is_enough),
		cmocka_unit_test(a_full_disk_keeps_room_for_results),
		cmocka_unit_test(a_start_on_a_full_disk_records_results),
		cmocka_unit_test(space_is_told_once_and_comes_back),
	};

	hb_log_set_sink(no_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
