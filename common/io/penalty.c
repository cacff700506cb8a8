/* Penalties for failed tries.  Floor 3.  See penalty.h. */
#include "config.h"

#include "common/io/penalty.h"

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/io/counters-priv.h"

enum {
	ONE = 1000,	     /* a failure, in the table's unit */
	CHARGE = ONE / 4,    /* for a try whose end is not known */
	MAIL = ONE / 2,	     /* what a message pays for */
	MOST_ABOVE = 12 * ONE, /* a count stops so far above what is free */
	KEYS_MAX = 3,
	LONGEST_WAIT_MS = 45000
};
#define GOOD_MS (30 * 24 * 3600 * (int64_t)1000)

enum rule_id { ADDRESS, NETWORK, NAME, PAIR, RULES };

/* What is free, how fast a failure is forgotten, the first and the longest
 * interval. */
struct rule {
	uint32_t free;
	int64_t forget_ms, first_ms, most_ms;
};
static const struct rule rules[][RULES] = {
	[HB_TRY_LOGIN] = {
		[ADDRESS] = { 3 * ONE, 300000, 1000, 30000 },
		[NETWORK] = { 30 * ONE, 60000, 1000, 5000 },
		[NAME] = { 10 * ONE, 60000, 1000, 5000 },
		[PAIR] = { 3 * ONE, 300000, 1000, 30000 },
	},
	[HB_TRY_RCPT] = {
		[ADDRESS] = { 20 * ONE, 30000, 500, 5000 },
		[NETWORK] = { 200 * ONE, 5000, 500, 5000 },
	},
	[HB_TRY_SESSION] = {
		[ADDRESS] = { 5 * ONE, 60000, 0, 0 },
		[NETWORK] = { 50 * ONE, 10000, 0, 0 },
	},
	[HB_TRY_TLS] = {
		[ADDRESS] = { 20 * ONE, 50, 50, 50 },
		[NETWORK] = { 100 * ONE, 20, 20, 20 },
	},
};

struct penalty_key {
	const struct rule *rule;
	uint64_t hash;
};
struct keys {
	struct penalty_key v[KEYS_MAX];
	size_t n;
};

/* --- keys --- */

static uint64_t
hash_of(const struct hb_counters *c, const struct hb_try *t, enum rule_id id,
    size_t bytes)
{
	unsigned char tag[2] = { (unsigned char)t->kind, (unsigned char)id };
	struct hb_siphash h;

	hb_siphash_init(&h, c->key);
	hb_siphash_update(&h, hb_span(tag, sizeof(tag)));
	hb_siphash_update(&h, hb_span(&t->client->family, bytes > 0 ? 1 : 0));
	hb_siphash_update(&h, hb_span(t->client->b, bytes));
	if (id == NAME || id == PAIR)
		for (size_t i = 0; i < t->login.n; i++) {
			unsigned char one = hb_lower(t->login.p[i]);

			hb_siphash_update(&h, hb_span(&one, 1));
		}
	return hb_siphash_final(&h) | 1;
}

static void
add_key(struct keys *keys, const struct hb_counters *c,
    const struct hb_try *t, enum rule_id id, size_t bytes)
{
	keys->v[keys->n++] = (struct penalty_key){ &rules[t->kind][id],
		hash_of(c, t, id, bytes) };
}

static size_t
network_bytes(const struct hb_try *t)
{
	return t->client->family == 6 ? 6 : 3;
}

/* --- logins that succeeded --- */

static struct hb_good *
good_bucket(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	uint64_t at = (key >> 1) & (HB_COUNTERS_GOODS - 1) &
	    ~(uint64_t)(HB_COUNTERS_BUCKET - 1);

	return &c->part[worker]->good[at];
}

static bool
is_good(const struct hb_counters *c, uint64_t key, int64_t now_ms)
{
	for (unsigned w = 0; w < c->workers; w++) {
		struct hb_good *b;

		if (c->part[w] == NULL)
			continue;
		b = good_bucket(c, w, key);
		for (int i = 0; i < HB_COUNTERS_BUCKET; i++)
			if (atomic_load(&b[i].key) == key &&
			    now_ms - atomic_load(&b[i].at_ms) < GOOD_MS)
				return true;
	}
	return false;
}

/* The same, a free one, or the oldest. */
static void
remember_good(struct hb_counters *c, uint64_t key, int64_t now_ms)
{
	struct hb_good *b = good_bucket(c, c->self, key), *best = b;

	for (int i = 0; i < HB_COUNTERS_BUCKET; i++) {
		if (atomic_load(&b[i].key) == key) {
			best = &b[i];
			break;
		}
		if (atomic_load(&b[i].at_ms) < atomic_load(&best->at_ms))
			best = &b[i];
	}
	atomic_store(&best->at_ms, now_ms);
	atomic_store(&best->key, key);
}

static void
find_keys(const struct hb_counters *c, const struct hb_try *t, int64_t now_ms,
    struct keys *keys)
{
	keys->n = 0;
	if (t->kind == HB_TRY_LOGIN) {
		uint64_t pair = hash_of(c, t, PAIR, network_bytes(t));

		if (is_good(c, pair, now_ms)) {
			add_key(keys, c, t, PAIR, network_bytes(t));
			return;
		}
		add_key(keys, c, t, NAME, 0);
	}
	add_key(keys, c, t, ADDRESS, t->client->family == 6 ? 8 : 4);
	add_key(keys, c, t, NETWORK, network_bytes(t));
}

/* --- counts --- */

static struct hb_mark *
mark_bucket(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	uint64_t at = (key >> 1) & (HB_COUNTERS_MARKS - 1) &
	    ~(uint64_t)(HB_COUNTERS_BUCKET - 1);

	return &c->part[worker]->mark[at];
}

static struct hb_mark *
find_mark(const struct hb_counters *c, unsigned worker, uint64_t key)
{
	struct hb_mark *b;

	if (c->part[worker] == NULL)
		return NULL;
	b = mark_bucket(c, worker, key);
	for (int i = 0; i < HB_COUNTERS_BUCKET; i++)
		if (atomic_load(&b[i].key) == key)
			return &b[i];
	return NULL;
}

/* What time has left of the count.  Another part may say anything: it is
 * bounded. */
static uint32_t
count_now(struct hb_mark *m, const struct rule *r, int64_t now_ms)
{
	int64_t age = now_ms - atomic_load(&m->at_ms);
	uint32_t score = atomic_load(&m->score);
	int64_t gone;

	if (score > r->free + MOST_ABOVE)
		score = r->free + MOST_ABOVE;
	if (age <= 0)
		return score;
	gone = age / r->forget_ms * ONE + age % r->forget_ms * ONE /
	    r->forget_ms;
	return gone < score ? score - (uint32_t)gone : 0;
}

/* The place that is worth least in our bucket; its rule is not known, a count
 * as it was written is enough to choose by. */
static struct hb_mark *
least(struct hb_mark *b)
{
	struct hb_mark *best = b;

	for (int i = 1; i < HB_COUNTERS_BUCKET; i++) {
		uint32_t s = atomic_load(&b[i].score),
			 least = atomic_load(&best->score);

		if (s < least || (s == least && atomic_load(&b[i].at_ms) <
			atomic_load(&best->at_ms)))
			best = &b[i];
	}
	return best;
}

static struct hb_mark *
take_mark(struct hb_counters *c, const struct penalty_key *k, int64_t now_ms)
{
	struct hb_mark *m = find_mark(c, c->self, k->hash);
	uint32_t score;

	if (m != NULL)
		return m;
	m = least(mark_bucket(c, c->self, k->hash));
	score = count_now(m, k->rule, now_ms);
	if (score > k->rule->free)
		score = k->rule->free;
	atomic_store(&m->score, score);
	atomic_store(&m->at_ms, now_ms);
	atomic_store(&m->turn_ms, 0);
	atomic_store(&m->key, k->hash);
	return m;
}

/* Brings our count up to date and adds BY. */
static void
add(struct hb_counters *c, const struct penalty_key *k, int by, int64_t now_ms)
{
	struct hb_mark *m = take_mark(c, k, now_ms);
	int64_t score = (int64_t)count_now(m, k->rule, now_ms) + by;
	int64_t most = (int64_t)k->rule->free + MOST_ABOVE;

	score = score < 0 ? 0 : score > most ? most : score;
	atomic_store(&m->score, (uint32_t)score);
	atomic_store(&m->at_ms, now_ms);
}

/* Over all workers. */
static uint32_t
count_all(
    const struct hb_counters *c, const struct penalty_key *k, int64_t now_ms)
{
	uint32_t n = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		struct hb_mark *m = find_mark(c, w, k->hash);

		if (m != NULL)
			n += count_now(m, k->rule, now_ms);
	}
	return n;
}

/* When the last try under this key begins its work; one that nobody would
 * have let wait so long is not believed. */
static int64_t
last_turn(
    const struct hb_counters *c, const struct penalty_key *k, int64_t now_ms)
{
	int64_t last = 0;

	for (unsigned w = 0; w < c->workers; w++) {
		struct hb_mark *m = find_mark(c, w, k->hash);
		int64_t at = m != NULL ? atomic_load(&m->turn_ms) : 0;

		if (at > last && at <= now_ms + LONGEST_WAIT_MS)
			last = at;
	}
	return last;
}

static int64_t
interval(const struct rule *r, uint32_t count)
{
	uint32_t above;
	int64_t ms;

	if (count <= r->free)
		return 0;
	above = (count - r->free) / ONE;
	ms = r->first_ms << (above < 10 ? above : 10);
	return ms < r->most_ms ? ms : r->most_ms;
}

static int
charge_of(const struct hb_try *t)
{
	return t->kind == HB_TRY_TLS ? ONE : CHARGE;
}

/*
 * Each key has places of its own in time, an interval apart.  What another key
 * makes a try wait moves none of them: else one address that waits long would
 * make its whole network wait, and the owner of the name.
 */
int64_t
hb_penalty_begin(struct hb_counters *c, const struct hb_try *t,
    int64_t now_ms)
{
	int64_t place[KEYS_MAX], turn = now_ms;
	struct keys keys;

	find_keys(c, t, now_ms, &keys);
	for (size_t i = 0; i < keys.n; i++) {
		const struct penalty_key *k = &keys.v[i];
		int64_t ms, next;

		add(c, k, charge_of(t), now_ms);
		ms = interval(k->rule, count_all(c, k, now_ms));
		next = last_turn(c, k, now_ms) + ms;
		place[i] = ms > 0 && next > now_ms ? next : now_ms;
		if (place[i] > turn)
			turn = place[i];
	}
	if (turn - now_ms > LONGEST_WAIT_MS) {
		hb_penalty_end(c, t, HB_TRY_OPEN, now_ms);
		return HB_E_LIMIT;
	}
	for (size_t i = 0; i < keys.n; i++)
		atomic_store(&take_mark(c, &keys.v[i], now_ms)->turn_ms,
		    place[i]);
	return turn - now_ms;
}

/* N tries are charged already, for a part of what they cost if refused. */
bool
hb_penalty_is_free(const struct hb_counters *c, const struct hb_try *t,
    unsigned n, int64_t now_ms)
{
	struct keys keys;

	find_keys(c, t, now_ms, &keys);
	for (size_t i = 0; i < keys.n; i++)
		if (count_all(c, &keys.v[i], now_ms) +
			n * (uint32_t)(ONE - charge_of(t)) +
			(uint32_t)charge_of(t) > keys.v[i].rule->free)
			return false;
	return true;
}

void
hb_penalty_end(struct hb_counters *c, const struct hb_try *t,
    enum hb_try_end how, int64_t now_ms)
{
	int by = how == HB_TRY_BAD ? ONE - charge_of(t)
	    : how == HB_TRY_MAIL ? -MAIL : -charge_of(t);
	struct keys keys;

	find_keys(c, t, now_ms, &keys);
	for (size_t i = 0; i < keys.n; i++)
		add(c, &keys.v[i], by, now_ms);
	if (how == HB_TRY_DONE && t->kind == HB_TRY_LOGIN)
		remember_good(c, hash_of(c, t, PAIR, network_bytes(t)),
		    now_ms);
}

/* It did no work that would have had to wait for a turn. */
void
hb_penalty_session(struct hb_counters *c, const struct hb_netaddr *client,
    int64_t now_ms)
{
	struct hb_try t = { .kind = HB_TRY_SESSION, .client = client };
	struct keys keys;

	find_keys(c, &t, now_ms, &keys);
	for (size_t i = 0; i < keys.n; i++)
		add(c, &keys.v[i], ONE, now_ms);
}
