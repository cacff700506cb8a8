/*
 * The shared table of session counts.  Floor 3.
 *
 * Layout: a head, then for each worker its part: the number of sessions and
 * a hash table of clients in buckets of eight.  A client without a free place
 * in its bucket is counted in the total alone.
 */
#include "config.h"

#include "common/io/counters.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/io/loop.h"

enum {
	BUCKET = 8,
	MIN_PLACES = 1024,
	MAX_PLACES = 1 << 20,
	MAX_WORKERS = 256,
	MAGIC = 0x48624374
};

struct place {
	_Atomic uint64_t client; /* keyed hash of the address; 0: free */
	_Atomic uint32_t sessions;
	_Atomic uint32_t started; /* new sessions since window_ms */
	_Atomic int64_t window_ms;
};

struct part {
	_Atomic uint32_t sessions;
	uint32_t unused;
	struct place place[];
};

struct head {
	uint32_t magic, workers, places, unused;
	unsigned char key[16];
};

struct hb_counters {
	struct head *head;
	size_t size;
	unsigned self;
	uint32_t workers, places; /* as found once, checked */
	unsigned char key[16];
};

static size_t
part_size(uint32_t places)
{
	return sizeof(struct part) + places * sizeof(struct place);
}

static size_t
table_size(unsigned workers, uint32_t places)
{
	return sizeof(struct head) + workers * part_size(places);
}

static struct part *
part_of(const struct hb_counters *c, unsigned worker)
{
	unsigned char *p = (unsigned char *)(c->head + 1);

	return (struct part *)(void *)(p + worker * part_size(c->places));
}

static uint32_t
places_for(unsigned max_sessions)
{
	uint32_t n = MIN_PLACES;

	while (n < MAX_PLACES && n / 4 < max_sessions)
		n *= 2;
	return n;
}

static int
write_head(int fd, unsigned workers, uint32_t places)
{
	struct head h = {
		.magic = MAGIC, .workers = workers, .places = places
	};

	hb_random(h.key, sizeof(h.key));
	if (ftruncate(fd, (off_t)table_size(workers, places)) != 0)
		return -errno;
	return pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) ? 0 : -EIO;
}

int
hb_counters_create(unsigned workers, unsigned max_sessions, uint64_t *size)
{
	uint32_t places = places_for(max_sessions);
	int fd, r;

	if (workers == 0 || workers > MAX_WORKERS)
		return -EINVAL;
	fd = memfd_create("hauberk-counters", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_head(fd, workers, places);
	if (r < 0) {
		close(fd);
		return r;
	}
	*size = table_size(workers, places);
	return fd;
}

static bool
is_sound(const struct head *h, uint64_t size, unsigned self)
{
	return h->magic == MAGIC && h->workers > 0 &&
	    h->workers <= MAX_WORKERS && self < h->workers &&
	    h->places >= MIN_PLACES && h->places <= MAX_PLACES &&
	    (h->places & (h->places - 1)) == 0 &&
	    table_size(h->workers, h->places) == size;
}

struct hb_counters *
hb_counters_map(int fd, uint64_t size, unsigned self)
{
	struct hb_counters *c = NULL;
	struct head *h = MAP_FAILED;
	struct stat st;

	if (size >= sizeof(struct head) && fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size == size)
		h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (h == MAP_FAILED)
		return NULL;
	if (!is_sound(h, size, self)) {
		munmap(h, size);
		return NULL;
	}
	c = HB_NEW(struct hb_counters);
	*c = (struct hb_counters){ .head = h, .size = size, .self = self,
		.workers = h->workers, .places = h->places };
	memcpy(c->key, h->key, sizeof(c->key));
	return c;
}

void
hb_counters_unmap(struct hb_counters **c)
{
	if (*c == NULL)
		return;
	munmap((*c)->head, (*c)->size);
	free(*c);
	*c = NULL;
}

/* Never 0, which marks a free place. */
static uint64_t
client_key(const struct hb_counters *c, const struct hb_netaddr *a)
{
	size_t n = a->family == 6 ? 8 : 4;

	return hb_siphash(c->key, hb_span(a->b, n)) | 1;
}

static struct place *
bucket(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	uint64_t at = (key >> 1) & (c->places - 1) & ~(uint64_t)(BUCKET - 1);

	return &part_of(c, worker)->place[at];
}

static struct place *
find(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	struct place *b = bucket(c, worker, key);

	for (int i = 0; i < BUCKET; i++)
		if (atomic_load(&b[i].client) == key)
			return &b[i];
	return NULL;
}

/* The place with the oldest window among those without sessions, or NULL. */
static struct place *
idle_place(struct place *b)
{
	struct place *best = NULL;

	for (int i = 0; i < BUCKET; i++) {
		if (atomic_load(&b[i].sessions) != 0)
			continue;
		if (best == NULL ||
		    atomic_load(&b[i].window_ms) < atomic_load(&best->window_ms))
			best = &b[i];
	}
	return best;
}

static struct place *
find_or_take(struct hb_counters *c, uint64_t key)
{
	struct place *p = find(c, c->self, key);

	if (p != NULL)
		return p;
	p = idle_place(bucket(c, c->self, key));
	if (p != NULL) {
		atomic_store(&p->started, 0);
		atomic_store(&p->window_ms, 0);
		atomic_store(&p->client, key);
	}
	return p;
}

static unsigned
client_sessions(const struct hb_counters *c, uint64_t key)
{
	unsigned n = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		struct place *p = find(c, w, key);

		if (p != NULL)
			n += atomic_load(&p->sessions);
	}
	return n;
}

/* A window begins with a session, not by the clock: a burst is never counted
 * in two halves. */
static bool
is_over(struct place *p, const struct hb_rate *rate, int64_t now_ms)
{
	int64_t age = now_ms - atomic_load(&p->window_ms);

	return age < 0 || age >= rate->per_ms;
}

/* New sessions of the client in the windows that NOW is in. */
static unsigned
client_started(const struct hb_counters *c, uint64_t key,
    const struct hb_rate *rate, int64_t now_ms)
{
	unsigned n = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		struct place *p = find(c, w, key);

		if (p != NULL && !is_over(p, rate, now_ms))
			n += atomic_load(&p->started);
	}
	return n;
}

static void
count_start(struct place *p, const struct hb_rate *rate, int64_t now_ms)
{
	if (atomic_load(&p->started) == 0 || is_over(p, rate, now_ms)) {
		atomic_store(&p->window_ms, now_ms);
		atomic_store(&p->started, 0);
	}
	atomic_fetch_add(&p->started, 1);
}

static enum hb_admit
judge(const struct hb_counters *c, uint64_t key, const struct hb_conf *limits,
    int64_t now_ms)
{
	const struct hb_rate *rate = &limits->max_rate_per_client;

	if (hb_counters_sessions(c) > limits->max_sessions)
		return HB_ADMIT_TOTAL;
	if (key == 0)
		return HB_ADMIT_OK;
	if (client_sessions(c, key) > limits->max_sessions_per_client)
		return HB_ADMIT_CLIENT;
	if (rate->count > 0 &&
	    client_started(c, key, rate, now_ms) > rate->count)
		return HB_ADMIT_RATE;
	return HB_ADMIT_OK;
}

enum hb_admit
hb_counters_enter(struct hb_counters *c, const struct hb_netaddr *client,
    const struct hb_conf *limits, int64_t now_ms, uint32_t *slot)
{
	uint64_t key = client->family != 0 ? client_key(c, client) : 0;
	struct place *p = key != 0 ? find_or_take(c, key) : NULL;
	enum hb_admit got;

	atomic_fetch_add(&part_of(c, c->self)->sessions, 1);
	*slot = UINT32_MAX;
	if (p != NULL) {
		atomic_fetch_add(&p->sessions, 1);
		count_start(p, &limits->max_rate_per_client, now_ms);
		*slot = (uint32_t)(p - part_of(c, c->self)->place);
	}
	got = judge(c, p != NULL ? key : 0, limits, now_ms);
	if (got != HB_ADMIT_OK)
		hb_counters_leave(c, *slot);
	return got;
}

void
hb_counters_leave(struct hb_counters *c, uint32_t slot)
{
	struct part *own = part_of(c, c->self);

	atomic_fetch_sub(&own->sessions, 1);
	if (slot < c->places)
		atomic_fetch_sub(&own->place[slot].sessions, 1);
}

unsigned
hb_counters_sessions(const struct hb_counters *c)
{
	unsigned n = 0;

	for (unsigned w = 0; w < c->workers; w++)
		n += atomic_load(&part_of(c, w)->sessions);
	return n;
}

void
hb_counters_forget(struct hb_counters *c, unsigned worker)
{
	if (worker < c->workers)
		memset(part_of(c, worker), 0, part_size(c->places));
}
