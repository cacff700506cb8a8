/* A loop's turn without the loop: clocks, hooks, random numbers.  Floor 3. */
#include "config.h"

#include "common/io/loop-priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "common/base/mem.h"

struct hb_hook {
	struct hb_hooks *loop;
	void (*cb)(void *ctx);
	void *ctx;
	struct hb_hook *next; /* in the loop's list of armed hooks */
	bool armed;
};

/* Mail that could not be tried is not returned unheard after a long sleep. */
#define SLEEP_MAX_MS (INT64_C(24) * 60 * 60 * 1000)

static struct {
	int64_t wall_ms, mono_ms, boot_ms, ahead_ms;
	int64_t skipped_ms; /* of long sleeps */
} now;

static int64_t cpu_ns, longest_ns; /* cpu_ns: at the end of the last turn */

static bool
read_clock(clockid_t id, int64_t *ms)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) != 0)
		return false;
	*ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	return true;
}

/* CLOCK_BOOTTIME is missing where a kernel is old, or played by a container. */
void
hb_clock_refresh(void)
{
	int64_t slept_ms = now.mono_ms - now.boot_ms;

	if (!read_clock(CLOCK_REALTIME, &now.wall_ms) ||
	    !read_clock(CLOCK_MONOTONIC, &now.mono_ms))
		HB_BUG("clock_gettime");
	if (!read_clock(CLOCK_BOOTTIME, &now.boot_ms))
		now.boot_ms = now.mono_ms;
	slept_ms += now.boot_ms - now.mono_ms;
	if (slept_ms > SLEEP_MAX_MS)
		now.skipped_ms += slept_ms - SLEEP_MAX_MS;
}

/* Time of the processor: what other processes take is not ours, nor is sleep. */
void
hb_turn_ended(void)
{
	struct timespec ts;
	int64_t ns;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) != 0)
		return;
	ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	if (cpu_ns > 0 && ns - cpu_ns > longest_ns)
		longest_ns = ns - cpu_ns;
	cpu_ns = ns;
}

void
hb_loop_serves(void)
{
	cpu_ns = longest_ns = 0;
}

int64_t
hb_loop_longest_ms(void)
{
	return longest_ns / 1000000;
}

void
hb_clock_set_ahead(int64_t ahead_ms)
{
	now.ahead_ms = ahead_ms;
}

int64_t
hb_clock_ahead(void)
{
	return now.ahead_ms;
}

int64_t
hb_now_ms(void)
{
	if (now.wall_ms == 0)
		hb_clock_refresh();
	return now.wall_ms + now.ahead_ms;
}

int64_t
hb_mono_ms(void)
{
	if (now.mono_ms == 0)
		hb_clock_refresh();
	return now.mono_ms;
}

int64_t
hb_boot_ms(void)
{
	if (now.mono_ms == 0)
		hb_clock_refresh();
	return now.boot_ms;
}

int64_t
hb_age_ms(void)
{
	return hb_boot_ms() - now.skipped_ms + now.ahead_ms;
}

/* A hook may arm itself or others: those run in the next turn, which then
 * must not sleep. */
void
hb_hooks_run(struct hb_hooks *l)
{
	struct hb_hook *h = l->armed;

	l->armed = NULL;
	while (h != NULL) {
		struct hb_hook *next = h->next;

		if (h->cb == NULL) {
			free(h);
		} else {
			h->armed = false;
			h->next = NULL;
			h->cb(h->ctx);
		}
		h = next;
	}
}

void
hb_hooks_free(struct hb_hooks *l)
{
	/* hooks that were armed when their owner freed them */
	while (l->armed != NULL) {
		struct hb_hook *h = l->armed;

		l->armed = h->next;
		if (h->cb == NULL)
			free(h);
	}
}

struct hb_hook *
hb_hook_new(struct hb_loop *l, void (*cb)(void *ctx), void *ctx)
{
	struct hb_hook *h = HB_NEW(struct hb_hook);

	h->loop = (struct hb_hooks *)(void *)l;
	h->cb = cb;
	h->ctx = ctx;
	return h;
}

void
hb_hook_arm(struct hb_hook *h)
{
	if (h->armed)
		return;
	h->armed = true;
	h->next = h->loop->armed;
	h->loop->armed = h;
}

/* An armed hook stays in a list that may be under way: it is freed there. */
void
hb_hook_free(struct hb_hook **h)
{
	if (*h == NULL)
		return;
	if ((*h)->armed)
		(*h)->cb = NULL;
	else
		free(*h);
	*h = NULL;
}

void
hb_random(void *dst, size_t n)
{
	unsigned char *p = dst;

	while (n > 0) {
		ssize_t r = getrandom(p, n, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			HB_BUG("getrandom");
		p += r;
		n -= (size_t)r;
	}
}

uint32_t
hb_random_below(uint32_t n)
{
	uint64_t v;

	HB_ASSERT(n > 0);
	/* 64 bits against 32: the bias is below 2^-32. */
	hb_random(&v, sizeof(v));
	return (uint32_t)(v % n);
}
