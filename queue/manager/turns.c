/* Turns of local users.  Floor 2. */
#include "queue/manager/turns.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/base/mem.h"
#include "common/base/table.h"

struct file {
	UT_hash_handle hh; /* by name */
	STAILQ_ENTRY(file) link;
	char name[Q_TURN_NAME];
};

/* Stays known until his bucket is full again. */
struct user {
	UT_hash_handle hh;
	TAILQ_ENTRY(user) link;
	uint32_t uid;
	STAILQ_HEAD(, file) files;
	size_t n;
	int64_t spent; /* milliseconds of the rate, each file costs some */
	int64_t at_ms; /* when SPENT was true */
};

struct q_turns {
	struct file *files;
	struct user *users;
	TAILQ_HEAD(, user) ring; /* who waits; the first is next */
	unsigned count;
	int64_t per_ms;
};

struct q_turns *
q_turns_new(void)
{
	struct q_turns *t = HB_NEW(struct q_turns);

	TAILQ_INIT(&t->ring);
	return t;
}

void
q_turns_rate(struct q_turns *t, unsigned count, int64_t per_ms)
{
	t->count = count;
	t->per_ms = per_ms;
}

/* A bucket of PER_MS milliseconds holds COUNT files; in units of 1/COUNT ms,
 * so that nothing is lost by rounding. */
static int64_t
spent_now(const struct q_turns *t, const struct user *u, int64_t now_ms)
{
	int64_t back = (now_ms - u->at_ms) * t->count;

	return back < u->spent ? u->spent - back : 0;
}

/* Milliseconds until a file of U may go. */
static int64_t
wait_of(const struct q_turns *t, const struct user *u, int64_t now_ms)
{
	int64_t over;

	if (t->count == 0)
		return 0;
	over = spent_now(t, u, now_ms) + t->per_ms -
	    t->per_ms * (int64_t)t->count;
	return over <= 0 ? 0 : (over + t->count - 1) / t->count;
}

static struct user *
user_of(struct q_turns *t, uint32_t uid)
{
	struct user *u;

	HASH_FIND(hh, t->users, &uid, sizeof(uid), u);
	if (u != NULL)
		return u;
	u = HB_NEW(struct user);
	u->uid = uid;
	STAILQ_INIT(&u->files);
	HASH_ADD(hh, t->users, uid, sizeof(uid), u);
	return u;
}

bool
q_turns_add(struct q_turns *t, uint32_t uid, const char *name)
{
	struct user *u = user_of(t, uid);
	struct file *f;

	HASH_FIND_STR(t->files, name, f);
	if (f != NULL)
		return true;
	if (u->n == Q_TURNS_PER_USER)
		return false;
	f = HB_NEW(struct file);
	if (hb_span_copy(hb_span_str(name), f->name, sizeof(f->name)) < 0)
		HB_BUG("the name of a drop is too long");
	HASH_ADD_STR(t->files, name, f);
	STAILQ_INSERT_TAIL(&u->files, f, link);
	if (u->n++ == 0)
		TAILQ_INSERT_TAIL(&t->ring, u, link);
	return true;
}

static void
forget_user(struct q_turns *t, struct user *u)
{
	HASH_DEL(t->users, u);
	free(u);
}

static void
take_file(struct q_turns *t, struct user *u, int64_t now_ms, char *name)
{
	struct file *f = STAILQ_FIRST(&u->files);

	memcpy(name, f->name, sizeof(f->name));
	STAILQ_REMOVE_HEAD(&u->files, link);
	HASH_DEL(t->files, f);
	free(f);
	TAILQ_REMOVE(&t->ring, u, link);
	if (--u->n > 0)
		TAILQ_INSERT_TAIL(&t->ring, u, link);
	u->spent = spent_now(t, u, now_ms) + (t->count > 0 ? t->per_ms : 0);
	u->at_ms = now_ms;
	if (TAILQ_EMPTY(&t->ring)) {
		/* Users without files whose bucket is full again need not be
		 * known. */
		struct user *quiet, *tmp;

		HASH_ITER(hh, t->users, quiet, tmp)
			if (quiet->n == 0 && spent_now(t, quiet, now_ms) == 0)
				forget_user(t, quiet);
	}
}

bool
q_turns_next(struct q_turns *t, int64_t now_ms, char name[Q_TURN_NAME])
{
	struct user *u;

	TAILQ_FOREACH(u, &t->ring, link) {
		if (wait_of(t, u, now_ms) > 0)
			continue;
		take_file(t, u, now_ms, name);
		return true;
	}
	return false;
}

size_t
q_turns_count(const struct q_turns *t)
{
	return HASH_COUNT(t->files);
}

int64_t
q_turns_wait(const struct q_turns *t, int64_t now_ms)
{
	const struct user *u;
	int64_t least = -1;

	TAILQ_FOREACH(u, &t->ring, link) {
		int64_t w = wait_of(t, u, now_ms);

		if (least < 0 || w < least)
			least = w;
	}
	return least;
}

void
q_turns_free(struct q_turns **tp)
{
	struct q_turns *t = *tp;
	struct file *f, *ftmp;
	struct user *u, *utmp;

	*tp = NULL;
	if (t == NULL)
		return;
	HASH_ITER(hh, t->files, f, ftmp) {
		HASH_DEL(t->files, f);
		free(f);
	}
	HASH_ITER(hh, t->users, u, utmp)
		forget_user(t, u);
	free(t);
}
