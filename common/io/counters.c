/*
 * The shared table of session counts.  Floor 3.
 *
 * A worker's part holds the number of its sessions and a hash table of clients
 * in buckets of eight.  A client without a free place in its bucket is counted
 * only in the total.
 */
#include "config.h"

#include "common/io/counters-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/io/loop.h"

enum {
	MIN_PLACES = 1024,
	MAX_PLACES = 1 << 20,
	MAX_BELIEVED = 1 << 20, /* of what another part says */
	MAGIC = 0x48624375
};

static size_t
part_size(uint32_t places)
{
	return sizeof(struct hb_part) + places * sizeof(struct hb_client_count);
}

static uint32_t
places_for(unsigned max_sessions)
{
	uint32_t n = MIN_PLACES;

	while (n < MAX_PLACES && n / 4 < max_sessions)
		n *= 2;
	return n;
}

static struct hb_counters *
counters_new(unsigned workers, unsigned self, uint32_t places)
{
	struct hb_counters *c = HB_NEW(struct hb_counters);

	c->workers = workers;
	c->self = self;
	c->places = places;
	c->size = part_size(places);
	for (unsigned i = 0; i < HB_COUNTERS_WORKERS; i++)
		c->fd[i] = c->read_fd[i] = -1;
	return c;
}

/* --- the parent's side --- */

/* A descriptor that cannot write, of a file that cannot be opened again. */
static int
open_for_reading(int fd)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r >= 0 && fchmod(fd, 0) != 0 ? -1 : r;
}

static void
put_head(struct hb_counters *c, struct hb_part *part)
{
	part->magic = MAGIC;
	part->places = c->places;
	memcpy(part->key, c->key, sizeof(part->key));
}

static int
make_part(struct hb_counters *c, unsigned worker)
{
	int fd = memfd_create("hauberk-counters",
	    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at;

	c->fd[worker] = fd;
	/* a file cut short would end whoever reads it */
	if (fd < 0 || ftruncate(fd, (off_t)c->size) != 0 ||
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return -errno;
	c->read_fd[worker] = open_for_reading(fd);
	if (c->read_fd[worker] < 0)
		return -errno;
	at = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	c->part[worker] = at;
	put_head(c, at);
	return 0;
}

struct hb_counters *
hb_counters_create(unsigned workers, unsigned max_sessions)
{
	struct hb_counters *c;

	if (workers == 0 || workers > HB_COUNTERS_WORKERS)
		return NULL;
	c = counters_new(workers, 0, places_for(max_sessions));
	hb_random(c->key, sizeof(c->key));
	for (unsigned i = 0; i < workers && c != NULL; i++)
		if (make_part(c, i) < 0)
			hb_counters_free(&c);
	return c;
}

unsigned
hb_counters_workers(const struct hb_counters *c)
{
	return c->workers;
}

int
hb_counters_fd(const struct hb_counters *c, unsigned part, unsigned reader)
{
	return part == reader ? c->fd[part] : c->read_fd[part];
}

uint64_t
hb_counters_size(const struct hb_counters *c)
{
	return c->size;
}

void
hb_counters_forget(struct hb_counters *c, unsigned worker, bool all)
{
	struct hb_part *part = worker < c->workers ? c->part[worker] : NULL;

	if (part == NULL)
		return;
	if (all)
		memset(part->mark, 0, sizeof(part->mark) + sizeof(part->good));
	atomic_store(&part->sessions, 0);
	memset(part->place, 0, c->places * sizeof(struct hb_client_count));
	put_head(c, part);
}

/* --- a worker's side --- */

static bool
is_sound(const struct hb_part *p, uint64_t size)
{
	uint32_t places = p->places;

	return p->magic == MAGIC && places >= MIN_PLACES &&
	    places <= MAX_PLACES && (places & (places - 1)) == 0 &&
	    part_size(places) == size;
}

static struct hb_part *
map_part(int fd, uint64_t size, bool own)
{
	struct hb_part *p = MAP_FAILED;
	struct stat st;

	if (size >= sizeof(struct hb_part) && fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size == size)
		p = mmap(NULL, size, own ? PROT_READ | PROT_WRITE : PROT_READ,
		    MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* The number of places follows from SIZE, which the parent says; the head of
 * another's part is not believed. */
static bool
take_own(struct hb_counters **c, const struct hb_part *p, uint64_t size,
    unsigned self)
{
	if (!is_sound(p, size))
		return false;
	*c = counters_new(0, self, p->places);
	memcpy((*c)->key, p->key, sizeof((*c)->key));
	return true;
}

int
hb_counters_add(struct hb_counters **c, int fd, uint64_t size, unsigned part,
    unsigned self)
{
	struct hb_part *p = map_part(fd, size, part == self);

	if (p == NULL)
		return -EINVAL;
	if (part >= HB_COUNTERS_WORKERS || (*c == NULL && part != self) ||
	    (*c == NULL && !take_own(c, p, size, self)) ||
	    (*c)->size != size || (*c)->part[part] != NULL) {
		munmap(p, size);
		return -EINVAL;
	}
	(*c)->part[part] = p;
	if (part >= (*c)->workers)
		(*c)->workers = part + 1;
	return 0;
}

void
hb_counters_free(struct hb_counters **c)
{
	if (*c == NULL)
		return;
	for (unsigned i = 0; i < HB_COUNTERS_WORKERS; i++) {
		if ((*c)->part[i] != NULL)
			munmap((*c)->part[i], (*c)->size);
		if ((*c)->fd[i] >= 0)
			close((*c)->fd[i]);
		if ((*c)->read_fd[i] >= 0)
			close((*c)->read_fd[i]);
	}
	free(*c);
	*c = NULL;
}

/* --- sessions --- */

/* Never 0, which marks a free place. */
static uint64_t
client_key(const struct hb_counters *c, const struct hb_netaddr *a)
{
	size_t n = a->family == 6 ? 8 : 4;

	return hb_siphash(c->key, hb_span(a->b, n)) | 1;
}

static struct hb_client_count *
bucket(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	uint64_t at = (key >> 1) & (c->places - 1) &
	    ~(uint64_t)(HB_COUNTERS_BUCKET - 1);

	return &c->part[worker]->place[at];
}

static struct hb_client_count *
find(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	struct hb_client_count *b;

	if (c->part[worker] == NULL)
		return NULL;
	b = bucket(c, worker, key);
	for (int i = 0; i < HB_COUNTERS_BUCKET; i++)
		if (atomic_load(&b[i].client) == key)
			return &b[i];
	return NULL;
}

/* The place with the oldest window among those without sessions, or NULL. */
static struct hb_client_count *
idle_place(struct hb_client_count *b)
{
	struct hb_client_count *best = NULL;

	for (int i = 0; i < HB_COUNTERS_BUCKET; i++) {
		if (atomic_load(&b[i].sessions) != 0)
			continue;
		if (best == NULL ||
		    atomic_load(&b[i].window_ms) < atomic_load(&best->window_ms))
			best = &b[i];
	}
	return best;
}

static struct hb_client_count *
find_or_take(struct hb_counters *c, uint64_t key)
{
	struct hb_client_count *p = find(c, c->self, key);

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

/* What another part says may be anything. */
static unsigned
believed(uint32_t n)
{
	return n < MAX_BELIEVED ? n : MAX_BELIEVED;
}

static unsigned
client_sessions(const struct hb_counters *c, uint64_t key)
{
	unsigned n = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		struct hb_client_count *p = find(c, w, key);

		if (p != NULL)
			n += believed(atomic_load(&p->sessions));
	}
	return n;
}

/* A window begins with a session, not by the clock: a burst is never counted
 * in two halves. */
static bool
is_over(struct hb_client_count *p, const struct hb_rate *rate, int64_t now_ms)
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
		struct hb_client_count *p = find(c, w, key);

		if (p != NULL && !is_over(p, rate, now_ms))
			n += believed(atomic_load(&p->started));
	}
	return n;
}

static void
count_start(struct hb_client_count *p, const struct hb_rate *rate, int64_t now_ms)
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
	struct hb_client_count *p = key != 0 ? find_or_take(c, key) : NULL;
	enum hb_admit got;

	atomic_fetch_add(&c->part[c->self]->sessions, 1);
	*slot = UINT32_MAX;
	if (p != NULL) {
		atomic_fetch_add(&p->sessions, 1);
		count_start(p, &limits->max_rate_per_client, now_ms);
		*slot = (uint32_t)(p - c->part[c->self]->place);
	}
	got = judge(c, p != NULL ? key : 0, limits, now_ms);
	if (got != HB_ADMIT_OK)
		hb_counters_leave(c, *slot);
	return got;
}

void
hb_counters_leave(struct hb_counters *c, uint32_t slot)
{
	struct hb_part *own = c->part[c->self];

	atomic_fetch_sub(&own->sessions, 1);
	if (slot < c->places)
		atomic_fetch_sub(&own->place[slot].sessions, 1);
}

unsigned
hb_counters_sessions(const struct hb_counters *c)
{
	unsigned n = 0;

	for (unsigned w = 0; w < c->workers; w++)
		if (c->part[w] != NULL)
			n += believed(atomic_load(&c->part[w]->sessions));
	return n;
}
