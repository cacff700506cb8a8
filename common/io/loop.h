/*
 * The event loop.  Floor 3.  Role mains and other adaptors use libevent only
 * through it.  One loop per process.
 */
#ifndef HB_IO_LOOP_H
#define HB_IO_LOOP_H

#include "common/base/span.h"

struct hb_loop;
struct hb_timer;
struct hb_io;

struct hb_loop *hb_loop_new(void);
void hb_loop_free(struct hb_loop **l);
/* Runs until hb_loop_stop.  Returns 0, or HB_E_IO. */
int hb_loop_run(struct hb_loop *l) HB_MUSTCHECK;
void hb_loop_stop(struct hb_loop *l);
/* The longest turn so far, in milliseconds of CPU time: the longest time that
 * this process was deaf. */
int64_t hb_loop_longest_ms(void);
/* This turn is the last one of preparation: later turns count. */
void hb_loop_serves(void);

/*
 * The clocks, in ms, read once per turn of the loop (HACKING "Clocks"):
 *
 *	hb_now_ms	a date, for people and certificates: wall clock
 *	hb_mono_ms	a deadline, a pace: stands still in suspend, as timers do
 *	hb_age_ms	age of stored data: goes on in suspend, for at most a
 *			day of each
 *	hb_boot_ms	for the check of the wall clock, and uptime: goes on in
 *			suspend, where the kernel has it
 *
 * Waiting mail has the queue's own clock, q_now.  hb_now_ms and hb_age_ms
 * include the lab's shift.
 */
int64_t hb_now_ms(void);
int64_t hb_mono_ms(void);
int64_t hb_age_ms(void);
int64_t hb_boot_ms(void);
/* Reads the clocks now: at the start of a turn (the loop does it), or after
 * work. */
void hb_clock_refresh(void);
void hb_clock_set_ahead(int64_t ahead_ms);
int64_t hb_clock_ahead(void); /* shift included in hb_now_ms */

/* One-shot timers.  CB runs MS from now or later; set it again to re-arm. */
typedef void (*hb_timer_fn)(void *ctx);
struct hb_timer *hb_timer_new(struct hb_loop *l, hb_timer_fn cb, void *ctx);
void hb_timer_set(struct hb_timer *t, int64_t ms);
void hb_timer_clear(struct hb_timer *t);
bool hb_timer_is_set(const struct hb_timer *t);
void hb_timer_free(struct hb_timer **t);

/* Descriptor readiness, level-triggered.  Does not own FD. */
#define HB_IO_READ 1u
#define HB_IO_WRITE 2u
typedef void (*hb_io_fn)(void *ctx, unsigned what);
struct hb_io *hb_io_new(struct hb_loop *l, int fd, hb_io_fn cb, void *ctx);
void hb_io_want(struct hb_io *io, unsigned what); /* replaces; 0: nothing */
void hb_io_free(struct hb_io **io);

/* Signals, delivered by the loop, not in handler context. */
typedef void (*hb_signal_fn)(void *ctx, int signo);
void hb_loop_on_signal(struct hb_loop *l, int signo, hb_signal_fn cb, void *ctx);

/*
 * Work at the end of the current turn, after all ready events: peers and the
 * log batch their writes here.  A hook stays until it is removed.
 */
struct hb_hook;
struct hb_hook *hb_hook_new(struct hb_loop *l, void (*cb)(void *ctx), void *ctx);
/* Runs the hook once at the end of this turn. */
void hb_hook_arm(struct hb_hook *h);
void hb_hook_free(struct hb_hook **h);

/* Cryptographically random bytes (getrandom), and a number below N (N > 0). */
void hb_random(void *dst, size_t n);
uint32_t hb_random_below(uint32_t n);

#endif
