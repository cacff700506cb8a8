/* Lookups of users, aliases and logins.  Floor 3. */
#include "config.h"

#include "queue/router/lookup.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/io/trouble.h"
#include "common/proto/address.h"
#include "common/proto/intake.h"
#include "queue/router/usual.h"

enum {
	CHILDREN = 4,
	ANSWER_MS = 10000,
	REMEMBER_FOUND_MS = 60000,
	REMEMBER_MISSING_MS = 5000,
	REMEMBER_MAX = 10000,
	VALUE_TOLD = 100 /* bytes of a value that is no good */
};

/* A user that was looked up, or is being looked up: equal questions are
 * asked once. */
struct asker {
	rt_found_fn cb;
	void *ctx;
	struct asker *next;
};
struct known {
	UT_hash_handle hh;
	struct rt_lookup *lookup;
	struct asker *askers; /* NULL: answered */
	enum rt_found found;
	int64_t until_ms;
	unsigned generation;
	size_t n;
	unsigned char name[]; /* n bytes */
};

struct rt_lookup {
	const struct hb_conf *conf;
	struct hb_map *aliases, *users, *senders, *access;
	uint64_t access_version; /* of its content */
	struct hb_buf bad_access; /* its entry that the operator was told of */
	struct hb_map **logins;
	uint64_t *login_versions;
	struct hb_buf usual; /* the hash for a login that does not exist */
	bool scram; /* there are verifiers; one that is like them: */
	struct hb_scram_verifier like;
	struct rt_pool *user_pool, *password_pool, *pam;
	struct rt_judge *judge;
	struct known *known;
	unsigned generation;
	struct hb_timer *reading; /* a long map that changed */
};

/* Opens *M unless it is what SPEC says already.  A long file is read here and
 * now: before the role serves, or at a reload that names another file. */
static void
open_map(struct hb_map **m, const struct hb_mapspec *spec,
    enum hb_map_syntax syntax)
{
	struct hb_buf value = HB_BUF_INIT(0);

	if (hb_map_is(*m, spec))
		return;
	hb_map_close(m);
	if (spec->kind == HB_MAP_NONE)
		return;
	*m = hb_map_open(spec, syntax);
	(void)!hb_map_get(*m, HB_SPAN_NONE, &value);
	hb_buf_free(&value);
}

static void
open_maps(struct rt_lookup *k)
{
	static const struct hb_mapspec none;
	const struct hb_conf *c = k->conf;

	open_map(&k->aliases, &c->aliases, HB_MAPSYN_ALIASES);
	open_map(&k->users, c->local_users.passwd ? &none
						  : &c->local_users.map,
	    HB_MAPSYN_TABLE);
	open_map(&k->senders, &c->sender_login, HB_MAPSYN_TABLE);
	open_map(&k->access, &c->access, HB_MAPSYN_TABLE);
	k->logins = hb_calloc(c->auth.n, sizeof(*k->logins));
	k->login_versions = hb_calloc(c->auth.n, sizeof(*k->login_versions));
	for (size_t i = 0; i < c->auth.n; i++) {
		struct hb_mapspec spec = { HB_MAP_TEXT, c->auth.v[i].arg };

		k->logins[i] = hb_map_open(&spec, HB_MAPSYN_ALIASES);
	}
}

static void
read_on(void *ctx)
{
	struct rt_lookup *k = ctx;
	bool more = hb_map_read_on(k->aliases);

	more = hb_map_read_on(k->users) || more;
	more = hb_map_read_on(k->senders) || more;
	more = hb_map_read_on(k->access) || more;
	for (size_t i = 0; i < k->conf->auth.n; i++)
		more = hb_map_read_on(k->logins[i]) || more;
	if (more)
		hb_timer_set(k->reading, 0);
}

struct rt_lookup *
rt_lookup_new(struct hb_loop *l, const struct hb_conf *conf)
{
	struct rt_lookup *k = HB_NEW(struct rt_lookup);

	k->conf = conf;
	k->user_pool = rt_pool_new(l, CHILDREN, ANSWER_MS);
	k->password_pool = rt_pool_new(l, CHILDREN, ANSWER_MS);
	k->reading = hb_timer_new(l, read_on, k);
	open_maps(k);
	return k;
}

void
rt_lookup_set_judge(struct rt_lookup *k, struct rt_judge *j)
{
	k->judge = j;
	rt_judge_set_path(j, k->conf->auth.dovecot);
}

void
rt_lookup_set_pam(struct rt_lookup *k, struct rt_pool *pam)
{
	k->pam = pam;
}

/* After each lookup. */
static void
looked_up(struct rt_lookup *k, const struct hb_map *m)
{
	if (hb_map_is_reading(m) && !hb_timer_is_set(k->reading))
		hb_timer_set(k->reading, 0);
}

/* Forgets what is answered; what is under way is still answered. */
static void
forget(struct rt_lookup *k, bool all)
{
	struct known *e, *tmp;

	HASH_ITER (hh, k->known, e, tmp) {
		if (e->askers != NULL ||
		    (!all && e->until_ms > hb_age_ms()))
			continue;
		HASH_DEL(k->known, e);
		free(e);
	}
}

void
rt_lookup_stop(struct rt_lookup *k)
{
	rt_pool_stop(k->user_pool);
	rt_pool_stop(k->password_pool);
}

void
rt_lookup_reconf(struct rt_lookup *k, const struct hb_conf *conf)
{
	for (size_t i = 0; i < k->conf->auth.n; i++)
		hb_map_close(&k->logins[i]);
	free(k->logins);
	free(k->login_versions);
	k->logins = NULL;
	k->login_versions = NULL;
	/* Maps and lists that are no longer named trouble nobody. */
	hb_trouble_end_all(HB_EV_MAP);
	hb_buf_clear(&k->bad_access);
	k->conf = conf;
	if (k->judge != NULL)
		rt_judge_set_path(k->judge, conf->auth.dovecot);
	k->generation++;
	k->scram = false;
	open_maps(k);
	forget(k, true);
}

static void
user_answered(void *ctx, enum rt_found found)
{
	struct known *e = ctx;
	struct rt_lookup *k = e->lookup;
	struct asker *a = e->askers;

	e->found = found;
	e->until_ms = hb_age_ms() + (found == RT_FOUND ? REMEMBER_FOUND_MS
				       : found == RT_NOTFOUND
				? REMEMBER_MISSING_MS : 0);
	if (e->generation != k->generation)
		e->until_ms = 0;
	e->askers = NULL;
	while (a != NULL) {
		struct asker *next = a->next;

		a->cb(a->ctx, found);
		free(a);
		a = next;
	}
}

static struct known *
known_new(struct rt_lookup *k, struct hb_span name)
{
	struct known *e = hb_calloc(1, sizeof(*e) + name.n);

	if (HASH_COUNT(k->known) >= REMEMBER_MAX)
		forget(k, false);
	if (HASH_COUNT(k->known) >= REMEMBER_MAX)
		forget(k, true);
	e->lookup = k;
	e->generation = k->generation;
	e->n = name.n;
	memcpy(e->name, name.p, name.n);
	HASH_ADD_KEYPTR(hh, k->known, e->name, e->n, e);
	return e;
}

static enum rt_found
system_user(struct rt_lookup *k, unsigned lane, struct hb_span name,
    rt_found_fn cb, void *ctx)
{
	struct known *e = NULL;
	struct asker *a;

	HASH_FIND(hh, k->known, name.p, name.n, e);
	if (e != NULL && e->askers == NULL && e->until_ms > hb_age_ms())
		return e->found;
	if (e == NULL)
		e = known_new(k, name);
	if (e->askers == NULL &&
	    rt_pool_user(k->user_pool, lane, name, user_answered, e) ==
		RT_TEMP)
		return RT_TEMP;
	a = HB_NEW(struct asker);
	*a = (struct asker){ cb, ctx, e->askers };
	e->askers = a;
	return RT_LATER;
}

static enum rt_found
found_of(int r)
{
	return r == 0 ? RT_FOUND : r == HB_E_NOTFOUND ? RT_NOTFOUND : RT_TEMP;
}

/* A map of users has keys LOCAL@DOMAIN, LOCAL, or @DOMAIN for all of it. */
static enum rt_found
map_user(struct rt_lookup *k, struct hb_span local, struct hb_span domain)
{
	struct hb_buf key = HB_BUF_INIT(0), value = HB_BUF_INIT(0);
	int r;

	hb_buf_add(&key, local);
	hb_buf_adds(&key, "@");
	hb_buf_add(&key, domain);
	r = hb_map_get(k->users, hb_buf_span(&key), &value);
	if (r == HB_E_NOTFOUND)
		r = hb_map_get(k->users, local, &value);
	if (r == HB_E_NOTFOUND && domain.n > 0)
		r = hb_map_get(k->users, hb_span_from(hb_buf_span(&key),
		    local.n), &value);
	looked_up(k, k->users);
	hb_buf_free(&key);
	hb_buf_free(&value);
	return found_of(r);
}

enum rt_found
rt_lookup_sender(struct rt_lookup *k, struct hb_span sender,
    struct hb_buf *value)
{
	struct hb_span local, domain;
	int r;

	if (k->senders == NULL)
		return RT_NOTFOUND;
	hb_addr_split(sender, &local, &domain);
	r = hb_map_get(k->senders, sender, value);
	if (r == HB_E_NOTFOUND && domain.n > 0)
		r = hb_map_get(k->senders, hb_span_from(sender, local.n),
		    value);
	looked_up(k, k->senders);
	return found_of(r);
}

bool
rt_lookup_begin_access(struct rt_lookup *k)
{
	uint64_t version;

	if (k->access == NULL)
		return false;
	version = hb_map_version(k->access);
	looked_up(k, k->access);
	if (version != k->access_version && k->bad_access.n > 0) {
		hb_trouble_end(HB_EV_MAP, hb_buf_span(&k->bad_access));
		hb_buf_clear(&k->bad_access);
	}
	k->access_version = version;
	return true;
}

enum rt_found
rt_lookup_access(struct rt_lookup *k, struct hb_span key, struct hb_buf *value,
    struct hb_map_place *at)
{
	at->file = k->conf->access.arg;
	at->line = 0;
	return found_of(hb_map_find(k->access, key, value, at));
}

void
rt_lookup_bad_access(struct rt_lookup *k, struct hb_span rule,
    struct hb_span value)
{
	struct hb_buf text = HB_BUF_INIT(0);

	if (k->bad_access.n > 0)
		return;
	hb_buf_add(&k->bad_access, rule);
	hb_buf_adds(&text, "nobody understands the value '");
	hb_buf_add(&text, hb_span_head(value, VALUE_TOLD));
	hb_buf_adds(&text, "': what it is about is refused for now");
	hb_trouble_begin(HB_EV_MAP, rule, hb_buf_span(&text));
	hb_buf_free(&text);
}

static enum rt_found
alias(struct rt_lookup *k, struct hb_span key, struct hb_buf *value)
{
	int r;

	if (k->aliases == NULL)
		return RT_NOTFOUND;
	r = hb_map_get(k->aliases, key, value);
	looked_up(k, k->aliases);
	return found_of(r);
}

enum rt_found
rt_look_up(struct rt_lookup *k, unsigned lane, const struct rt_query *q,
    rt_found_fn cb, void *ctx)
{
	if (q->kind == RT_QUERY_ALIAS)
		return alias(k, q->key, q->value);
	if (k->users != NULL)
		return map_user(k, q->key, q->domain);
	return system_user(k, lane, q->key, cb, ctx);
}

static void
count_usual(void *ctx, struct hb_span value)
{
	rt_usual_count(ctx, value);
}

/* Once for each content of the login files. */
static void
find_usual(struct rt_lookup *k)
{
	struct rt_usual u = { .n = 0 };
	bool changed = false;

	for (size_t i = 0; i < k->conf->auth.n; i++) {
		uint64_t v = hb_map_version(k->logins[i]);

		looked_up(k, k->logins[i]);
		changed = changed || v != k->login_versions[i];
		k->login_versions[i] = v;
	}
	if (!changed)
		return;
	for (size_t i = 0; i < k->conf->auth.n; i++)
		hb_map_walk(k->logins[i], count_usual, &u);
	hb_buf_clear(&k->usual);
	hb_buf_add(&k->usual, rt_usual_hash(&u));
	k->scram = hb_scram_verifier_parse(rt_usual_verifier(&u), &k->like) ==
	    0;
}

bool
rt_lookup_scram(struct rt_lookup *k)
{
	find_usual(k);
	return k->scram;
}

/* As hb_map_get, in the first file that has USER. */
static int
get_login(struct rt_lookup *k, struct hb_span user, struct hb_buf *value)
{
	int r = HB_E_NOTFOUND;

	find_usual(k);
	for (size_t i = 0; i < k->conf->auth.n && r == HB_E_NOTFOUND; i++) {
		r = hb_map_get(k->logins[i], user, value);
		looked_up(k, k->logins[i]);
	}
	return r;
}

enum rt_found
rt_lookup_verifier(struct rt_lookup *k, struct hb_span user,
    struct hb_scram_verifier *v)
{
	struct hb_buf value = HB_BUF_INIT(0);
	enum rt_found found = RT_TEMP;
	int r = get_login(k, user, &value);

	if (r != HB_E_TEMP && k->scram) {
		struct hb_scram_verifier false_one;

		hb_scram_verifier_fake(&k->like, user, &false_one);
		found = r == 0 && hb_scram_verifier_parse(
		    rt_hash_of(hb_buf_span(&value)), v) == 0 ? RT_FOUND
							      : RT_NOTFOUND;
		if (found == RT_NOTFOUND)
			*v = false_one;
	}
	hb_buf_wipe(&value);
	return found;
}

enum rt_found
rt_lookup_password(struct rt_lookup *k, unsigned lane,
    const struct ipc_auth *m, struct hb_buf *user, rt_found_fn cb, void *ctx)
{
	struct hb_buf value = HB_BUF_INIT(0);
	enum rt_found found = RT_TEMP;
	int r = get_login(k, m->user, &value);

	if (r == HB_E_NOTFOUND && k->conf->auth.dovecot != NULL) {
		found = rt_judge_ask(k->judge, m, user, cb, ctx);
	} else if (r == HB_E_NOTFOUND && k->conf->auth.pam != NULL) {
		/* modules hand it to scripts and logs */
		found = hb_intake_is_text(m->user)
		    ? rt_pool_pam(k->pam, lane, m, user, cb, ctx) : RT_NOTFOUND;
	} else if (r != HB_E_TEMP) {
		struct rt_password q = { .password = m->password,
			.hash = rt_hash_of(hb_buf_span(&value)),
			.usual = hb_buf_span(&k->usual) };

		found = rt_pool_password(k->password_pool, lane, &q, cb, ctx);
	}
	hb_buf_wipe(&value);
	return found;
}
