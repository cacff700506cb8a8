/*
 * LD_PRELOAD: the wall clock is ahead by what the file $MOVING_CLOCK says, 8
 * bytes of milliseconds; 8 more say how long the machine slept, which the wall
 * clock shows too.  The file is mapped at start, so that processes that can
 * open no file any more follow it too; libfaketime reads its file anew each
 * time.  The monotonic clock goes on undisturbed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const struct {
	int64_t ahead_ms, asleep_ms;
} *moved;
static int (*real)(clockid_t id, struct timespec *ts);

__attribute__((constructor)) static void
map(void)
{
	const char *name = getenv("MOVING_CLOCK");
	int fd = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	real = (int (*)(clockid_t, struct timespec *))dlsym(
	    RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*moved), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p != MAP_FAILED)
		moved = p;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int r;

	if (real == NULL)
		map();
	r = real(id, ts);
	if (r != 0 || moved == NULL)
		return r;
	if (id == CLOCK_REALTIME)
		ts->tv_sec += moved->ahead_ms / 1000;
	if (id == CLOCK_REALTIME || id == CLOCK_BOOTTIME)
		ts->tv_sec += moved->asleep_ms / 1000;
	return r;
}

time_t
time(time_t *t)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (t != NULL)
		*t = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
