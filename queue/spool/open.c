/* The spool in the queue's process: real files, the loop's turns.  Floor 3. */
#include "config.h"

#include <stdlib.h>

#include "queue/spool/spool-priv.h"

enum { SETTLE_MS = 30000, CACHE_BYTES = 16 << 20, GATHER_PART = 4 };

struct q_spool_real {
	struct q_io io;
	struct hb_hook *hook;
	struct hb_timer *timer;
	int64_t timer_ms; /* monotonic: when it goes off */
	struct q_spool *spool;
};

static void
turn(void *ctx)
{
	struct q_spool_real *real = ctx;

	if (real->spool != NULL)
		q_spool_turn(real->spool);
}

static void
wake(void *ctx, int64_t ms)
{
	struct q_spool_real *real = ctx;
	int64_t at = hb_mono_ms() + ms;

	if (ms == 0) {
		hb_hook_arm(real->hook);
	} else if (!hb_timer_is_set(real->timer) || at < real->timer_ms) {
		hb_timer_set(real->timer, ms);
		real->timer_ms = at;
	}
}

static void
free_real(struct q_spool_real *real)
{
	hb_hook_free(&real->hook);
	hb_timer_free(&real->timer);
	q_io_close(&real->io);
	free(real);
}

struct q_spool *
q_spool_open(struct hb_loop *l, struct q_flush *f, const char *dir,
    const struct q_spool_ops *ops, void *ctx, struct hb_buf *err)
{
	struct q_spool_real *real = HB_NEW(struct q_spool_real);
	struct q_spool_cfg cfg = { .io = &real->io,
		.exec = q_flush_exec(f), .ops = ops, .ctx = ctx,
		.wake = wake, .wake_ctx = real, .settle_ms = SETTLE_MS,
		.cache_bytes = CACHE_BYTES, .gather_part = GATHER_PART };
	int r = q_io_open(&real->io, dir);

	if (r < 0) {
		hb_buf_addf(err, "spool %s: %s", dir, strerror(-r));
		free(real);
		return NULL;
	}
	real->hook = hb_hook_new(l, turn, real);
	real->timer = hb_timer_new(l, turn, real);
	real->spool = q_spool_start(&cfg, err);
	if (real->spool == NULL) {
		free_real(real);
		return NULL;
	}
	real->spool->real = real;
	return real->spool;
}

void
q_spool_close(struct q_spool **s)
{
	struct q_spool_real *real;

	if (*s == NULL)
		return;
	real = (*s)->real;
	q_spool_finish(s);
	free_real(real);
}
