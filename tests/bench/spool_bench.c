/*
 * How many messages a second the spool makes durable.
 *
 *	spool_bench DIR CALLERS SECONDS [BYTES]
 *
 * Each of CALLERS sends the next message as soon as its last one is durable
 * and finished, as a busy session does.  Prints adds (and as many results)
 * a second.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "queue/spool/spool.h"

struct bench {
	struct hb_loop *loop;
	struct q_spool *spool;
	struct hb_span body;
	uint64_t last_id, adds, errors;
	bool stop;
	size_t running;
};

struct caller {
	struct bench *b;
	uint64_t id;
};

static void next_message(struct caller *c);

static void
on_finished(void *ctx, int err)
{
	struct caller *c = ctx;

	c->b->errors += err < 0;
	next_message(c);
}

static void
on_durable(void *ctx, int err)
{
	struct q_change change = { .kind = Q_CHANGE_FINISHED };
	struct caller *c = ctx;

	c->b->adds++;
	if (err < 0 || q_spool_change(c->b->spool, c->id, &change, 1,
			   on_finished, c) < 0)
		on_finished(c, -1);
}

static void
next_message(struct caller *c)
{
	struct hb_env env = { .sender = HB_SPAN("sender@example.org"),
		.size = c->b->body.n };
	struct hb_rcpt rcpt = { .address = HB_SPAN("rcpt@example.net") };
	struct q_body body = { .bytes = c->b->body };

	if (c->b->stop) {
		if (--c->b->running == 0)
			hb_loop_stop(c->b->loop);
		return;
	}
	env.id = c->id = ++c->b->last_id;
	if (q_spool_add(c->b->spool, &env, &rcpt, 1, &body, on_durable, c) <
	    0) {
		fprintf(stderr, "the spool takes no mail\n");
		exit(1);
	}
}

static void
on_time(void *ctx)
{
	((struct bench *)ctx)->stop = true;
}

static void
ignore_message(void *ctx, const struct hb_env *env,
    const struct hb_rcpt *rcpts, size_t n)
{
	struct bench *b = ctx;

	(void)rcpts;
	(void)n;
	if (env->id > b->last_id)
		b->last_id = env->id;
}

static void
ignore_change(void *ctx, uint64_t id, const struct q_change *c)
{
	(void)ctx;
	(void)id;
	(void)c;
}

static void
ignore_corrupt(void *ctx, uint64_t id, const char *file)
{
	(void)ctx;
	(void)id;
	(void)file;
}

static void
ignore_space(void *ctx, uint64_t bytes)
{
	(void)ctx;
	(void)bytes;
}

static int
run(struct bench *b, const char *dir, size_t callers, int64_t ms)
{
	static const struct q_spool_ops ops = { ignore_message, ignore_change,
		ignore_corrupt, ignore_space };
	struct hb_buf err = HB_BUF_INIT(0);
	struct q_flush *flush = q_flush_new(b->loop);
	struct caller *c = hb_calloc(callers, sizeof(*c));
	struct hb_timer *timer = hb_timer_new(b->loop, on_time, b);
	int r;

	b->spool = q_spool_open(b->loop, flush, dir, &ops, b, &err);
	if (b->spool == NULL) {
		fprintf(stderr, "%.*s\n", HB_SPAN_ARG(hb_buf_span(&err)));
		return 1;
	}
	hb_timer_set(timer, ms);
	b->running = callers;
	for (size_t i = 0; i < callers; i++) {
		c[i].b = b;
		next_message(&c[i]);
	}
	r = hb_loop_run(b->loop);
	q_spool_close(&b->spool);
	q_flush_free(&flush);
	hb_timer_free(&timer);
	free(c);
	return r < 0;
}

int
main(int argc, char **argv)
{
	struct bench b = { 0 };
	uint64_t callers, seconds, bytes = 4096;
	unsigned char *body;
	int r;

	if (argc < 4 ||
	    hb_span_u64(hb_span_str(argv[2]), 100000, &callers) < 0 ||
	    hb_span_u64(hb_span_str(argv[3]), 3600, &seconds) < 0 ||
	    (argc > 4 &&
	    hb_span_u64(hb_span_str(argv[4]), 1 << 24, &bytes) < 0)) {
		fprintf(stderr,
		    "usage: spool_bench DIR CALLERS SECONDS [BYTES]\n");
		return 64;
	}
	body = hb_malloc(bytes);
	memset(body, 'x', bytes);
	b.body = hb_span(body, bytes);
	b.loop = hb_loop_new();
	r = run(&b, argv[1], callers, (int64_t)seconds * 1000);
	printf("%llu callers, %llu bytes: %llu messages/s, %llu errors\n",
	    (unsigned long long)callers, (unsigned long long)bytes,
	    (unsigned long long)(b.adds / (seconds > 0 ? seconds : 1)),
	    (unsigned long long)b.errors);
	hb_loop_free(&b.loop);
	free(body);
	return r;
}
